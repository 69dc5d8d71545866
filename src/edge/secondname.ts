// A second name for a file, where none was: the first one may go once the folder of the second is durable.
import { randomBytes } from 'node:crypto';
import { closeSync, constants, fsyncSync, linkSync, openSync, readdirSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { errno, Failure, Malformed } from '../stream/errors.ts';
import { copyVerified, type FileDigest, isSameFile, unlinkIfThere } from './files.ts';

/**
 * Another device; a file system without hard links, or a file that belongs to somebody else (Linux refuses to link
 * those); or a file that has all the links that it can have.
 */
const NO_LINK = new Set(['EXDEV', 'EPERM', 'EMLINK', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS']);

const PART = /^\.[0-9a-f]{12}\.rename-part$/;

/**
 * Gives a file another name: by a link, or by a copy that was read back. What is under the name already stays; the
 * folder of the name is the caller's to fsync.
 * @param digest what the file was when it was read
 * @param copy never by a link
 * @throws Malformed where the file has changed since, Failure where it cannot be copied, errno errors (EEXIST)
 */
export async function giveName(from: string, to: string, digest: FileDigest, copy = false): Promise<void> {
  if (!copy && linked(from, to, digest)) return;
  const part = join(dirname(to), `.${randomBytes(6).toString('hex')}.rename-part`);
  try {
    const { sha256 } = await copyVerified(from, part);
    if (sha256 !== digest.sha256) throw new Malformed('changed while it was copied');
    linkSync(part, to);
  } catch (error) {
    if (NO_LINK.has(errno(error) ?? '')) throw new Failure(`${to}: this file system has no hard links`);
    throw error;
  } finally {
    unlinkIfThere(part);
  }
}

function linked(from: string, to: string, digest: FileDigest): boolean {
  try {
    fsyncFile(from); // it may be young: its name must not outlive its bytes
    linkSync(from, to);
  } catch (error) {
    if (NO_LINK.has(errno(error) ?? '')) return false;
    throw error;
  }
  if (isSameFile(to, digest.identity)) return true;
  unlinkIfThere(to); // a name of ours, given a moment ago
  throw new Malformed('changed while it was renamed');
}

export function fsyncFile(path: string): void {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Throws away what killed runs were copying. Under the folder's lock only. */
export function sweepParts(folder: string): void {
  for (const name of readdirSync(folder)) if (PART.test(name)) unlinkIfThere(join(folder, name));
}

/** True where two paths are one name, by whatever way it is reached: what goes under one is gone under the other. */
export function isOneName(a: string, b: string): boolean {
  const [one, other] = [a, b].map((path) => statSync(dirname(path), { throwIfNoEntry: false }));
  return basename(a) === basename(b) && one?.ino === other?.ino && one?.dev === other?.dev;
}
