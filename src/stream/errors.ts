// The one table of exit codes. Only main exits; everything else throws or counts.
import { constants } from 'node:os';

export const EXIT = { ok: 0, failed: 1, usage: 2, rejects: 3 } as const;

/** The command line is wrong: exit 2. */
export class UsageError extends Error {}

/** Could not run, for a reason that the message tells in full: exit 1. */
export class Failure extends Error {}

/** One item is bad; the rest goes on. A verb turns it into a reject: exit 3. */
export class Malformed extends Error {}

/** The reader of our stdout went away (`| head`): quiet success. */
export class ReaderGone extends Error {}

const TABLE: [new (...args: never[]) => Error, number][] = [
  [ReaderGone, EXIT.ok],
  [UsageError, EXIT.usage],
  [Malformed, EXIT.rejects],
];

/** Exit code for an error that reached main. */
export function exitCodeOf(error: unknown): number {
  return TABLE.find(([type]) => error instanceof type)?.[1] ?? EXIT.failed;
}

const ERRNO: Record<string, string> = {
  ENOENT: 'no such file or folder',
  EACCES: 'permission denied',
  EPERM: 'not permitted',
  ENOSPC: 'no space left on device',
  EDQUOT: 'disk quota exceeded',
  EIO: 'input/output error',
  EFBIG: 'file too large',
  ENAMETOOLONG: 'name too long',
  EMFILE: 'too many open files',
  ENFILE: 'too many open files in the system',
  EROFS: 'read-only file system',
  EISDIR: 'is a folder',
  ENOTDIR: 'not a folder',
  ELOOP: 'is a symbolic link',
  EEXIST: 'exists already',
  ENOTEMPTY: 'folder is not empty',
  ECONNREFUSED: 'connection refused',
};

/** What went wrong, without stack; who prints it makes it printable. */
export function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { path } = error as NodeJS.ErrnoException;
  const known = ERRNO[errno(error) ?? ''];
  if (known) return path ? `${path}: ${known}` : known;
  return error.message || error.name;
}

/** As `describe`, for a message that names the path already. */
export function describeAt(path: string | null, error: unknown): string {
  return describe(error).replace(`${path}: `, '');
}

/** The system's name of an error; node itself does not know some, EDQUOT among them. */
export function errno(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code, errno: number = 0 } = error as NodeJS.ErrnoException;
  if (code !== 'UNKNOWN' && !code?.startsWith('Unknown system error')) return code;
  return Object.entries(constants.errno).find(([, known]) => known === -number)?.[0] ?? code;
}

/** Text that is safe on a terminal and stays on one line: a file name may hold anything. */
export function printable(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\ud800-\udfff]/gu, (c) => {
    const code = c.charCodeAt(0);
    return code === 10 ? '\\n' : `\\x${code.toString(16).padStart(2, '0')}`;
  });
}
