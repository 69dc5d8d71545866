// Plain files, done durably: what is written is fsynced, and so is the folder that names it.
import { createHash } from 'node:crypto';
import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  fsync,
  fsyncSync,
  futimesSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  type Stats,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { promisify } from 'node:util';
import { describeAt, errno, Failure, Malformed } from '../stream/errors.ts';
import { giveRoom, takeRoom } from './rooms.ts';

/** What a call on an open file throws does not tell which file it was. */
export function named(path: string, error: unknown): unknown {
  if (errno(error) !== undefined) (error as NodeJS.ErrnoException).path ??= path;
  return error;
}

/** Fsyncs an open file; while the disk works, the caller goes on. */
export const fsyncSoon = promisify(fsync);

/** Makes a folder's names durable. */
export function fsyncFolder(path: string): void {
  const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    fsyncSync(fd);
  } catch (error) {
    throw named(path, error);
  } finally {
    closeSync(fd);
  }
}

/** As `fsyncFolder`, while the caller goes on. Only the fsync waits for the disk: nothing else is worth a thread. */
export function fsyncFolderSoon(path: string): Promise<void> {
  return fsyncAt(path, constants.O_RDONLY | constants.O_DIRECTORY);
}

/** Makes a file durable that another process may have written. */
export function fsyncFileSoon(path: string): Promise<void> {
  return fsyncAt(path, constants.O_RDONLY);
}

async function fsyncAt(path: string, flags: number): Promise<void> {
  const fd = openSync(path, flags);
  try {
    await fsyncSoon(fd);
  } catch (error) {
    throw named(path, error);
  } finally {
    closeSync(fd);
  }
}

/**
 * mkdir -p, every new name durable. Not by mkdir's `recursive`: where a folder is there but takes none (ENOENT, as /proc
 * and automounts answer), node tries again for ever.
 * @param madeIn is told of each folder that has a new name, where the caller makes it durable
 */
export function makeFolder(path: string, madeIn = fsyncFolder): void {
  if (isFolder(path)) return;
  const above = dirname(path);
  if (above !== path) makeFolder(above, madeIn);
  try {
    mkdirSync(path);
  } catch (error) {
    if (errno(error) !== 'EEXIST' || !isFolder(path)) throw error; // another process may have made it just now
  }
  madeIn(above);
}

export function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/** Writes a whole new file and fsyncs it; the folder is the caller's to fsync. */
export function writeFileDurably(path: string, content: string | Uint8Array): void {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content;
  const fd = openSync(path, 'wx', 0o644);
  try {
    writeWhole(fd, bytes);
    fsyncSync(fd);
  } catch (error) {
    throw named(path, error);
  } finally {
    closeSync(fd);
  }
}

/**
 * Puts a file in the place of another as one step: a reader sees the old or the new one, whole. The temporary file
 * always has the same name, so that the next writer takes away what a killed one left: under a lock only.
 * @param mark tells the temporary files of writers apart where there is no lock
 */
export function replaceFile(path: string, content: string | Uint8Array, mark = ''): void {
  const temporary = join(dirname(path), `.${basename(path)}${mark}.tmp`);
  unlinkIfThere(temporary);
  try {
    writeFileDurably(temporary, content);
    renameSync(temporary, path);
  } catch (error) {
    unlinkIfThere(temporary);
    throw error;
  }
  fsyncFolder(dirname(path));
}

export function unlinkIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (errno(error) !== 'ENOENT') throw error;
  }
}

/** lstat; undefined where there is nothing. */
export function lstatOf(path: string | Buffer): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false });
}

export function exists(path: string | Buffer): boolean {
  return lstatOf(path) !== undefined;
}

/** A small file of ours. */
export function readWhole(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw named(path, error);
  }
}

/** As `readWhole`, for who gives the room back (`giveRoom`). */
export function readInRoom(path: string): Buffer {
  const fd = openSync(path, 'r');
  try {
    const { size } = fstatSync(fd);
    const room = takeRoom(size);
    return room.subarray(0, readFully(fd, room, 0));
  } catch (error) {
    throw named(path, error);
  } finally {
    closeSync(fd);
  }
}

const LF = 10;
const LINES_BYTES = 64 * 1024;

/** A file's lines, many at a time, in a buffer that is used again. The last may have no end. */
export function* linesOf(path: string): Generator<Buffer> {
  const fd = openSync(path, 'r');
  try {
    let buffer = Buffer.allocUnsafe(LINES_BYTES);
    let held = 0;
    for (let at = 0; ; ) {
      if (held === buffer.length) buffer = Buffer.concat([buffer], 2 * buffer.length); // one long line
      const read = readAt(fd, path, buffer.subarray(held), at);
      at += read;
      held += read;
      const end = read === 0 ? held : buffer.lastIndexOf(LF, held - 1) + 1;
      if (end > 0) yield buffer.subarray(0, end);
      if (read === 0) return;
      buffer.copyWithin(0, end, held);
      held -= end;
    }
  } finally {
    closeSync(fd);
  }
}

/** JSON of a file of ours, in whatever form. @throws as `parseJson` */
export function readJsonFile(path: string): unknown {
  return parseJson(path, readWhole(path).toString());
}

/** @throws Error naming the file */
export function parseJson(path: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`${path}: ${(error as Error).message}`);
  }
}

/** Moves a name into another folder without ever overwriting, durably there; the folder it leaves is the caller's to fsync. */
export function moveWithoutClobber(from: string | Buffer, folder: string, base: Buffer): void {
  const fromBytes = Buffer.from(from);
  const stat = lstatSync(fromBytes);
  for (let n = 1; ; n++) {
    const name = n === 1 ? base : Buffer.concat([base, Buffer.from(`~${n}`)]);
    const to = Buffer.concat([Buffer.from(`${folder}/`), name]);
    const there = lstatOf(to);
    // One that a killed run had linked already needs its old name taken away alone.
    const linked = stat.isFile() && there?.dev === stat.dev && there.ino === stat.ino;
    if (there && !linked) continue;
    if (stat.isFile()) {
      if (!linked) linkSync(fromBytes, to);
      fsyncFolder(folder); // the new name is safe before the old one goes
      unlinkSync(fromBytes);
    } else {
      renameSync(fromBytes, to); // a link or a folder cannot be hard-linked; the packer's lock guards the gap
      fsyncFolder(folder);
    }
    return;
  }
}

/** Which file a path meant when it was read: enough to tell whether it still is the same. */
export interface FileIdentity {
  dev: bigint;
  ino: bigint;
  size: bigint;
  mtimeNs: bigint;
}

/** Gives a buffer for so many bytes. */
export type Room = (bytes: number) => Buffer;

export interface FileRead {
  bytes: Buffer;
  identity: FileIdentity;
}

const NO_LINKS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** What an open that follows no link tells of something else than a file. @throws Malformed; errno errors */
function notRegular(error: unknown): never {
  if (errno(error) === 'ELOOP') throw new Malformed('a symbolic link, not followed');
  if (errno(error) === 'ENXIO') throw new Malformed('not a regular file');
  throw error;
}

function openRegular(path: string): number {
  try {
    return openSync(path, NO_LINKS);
  } catch (error) {
    return notRegular(error);
  }
}

/**
 * Reads a regular file whole, following no link.
 * @param room gives the buffer for a file of this length
 * @throws Malformed for a link, a folder, a file over `max` bytes or one that changed meanwhile; errno errors
 */
export function readRegularFile(path: string, max: number, room: Room = Buffer.allocUnsafe): FileRead {
  const fd = openRegular(path);
  try {
    const before = fstatSync(fd, { bigint: true });
    if (!before.isFile()) throw new Malformed('not a regular file');
    if (before.size > BigInt(max)) throw new Malformed(`${before.size} bytes, over the limit of ${max} (--max-line)`);
    const bytes = room(Number(before.size));
    const done = readFully(fd, bytes, 0);
    const after = fstatSync(fd, { bigint: true });
    if (done < bytes.length || after.size !== before.size || after.mtimeNs !== before.mtimeNs) {
      throw new Malformed('changed while it was read');
    }
    const { dev, ino, size, mtimeNs } = before;
    return { bytes, identity: { dev, ino, size, mtimeNs } };
  } catch (error) {
    throw named(path, error);
  } finally {
    closeSync(fd);
  }
}

/** Fills a buffer from a file. @returns how many bytes there were */
export function readFully(fd: number, bytes: Uint8Array, position: number): number {
  let done = 0;
  while (done < bytes.length) {
    const read = readSync(fd, bytes, done, bytes.length - done, position + done);
    if (read === 0) break;
    done += read;
  }
  return done;
}

export interface FileDigest {
  bytes: number;
  sha256: string;
  identity: FileIdentity;
  /** Permission bits. */
  mode: number;
}

/**
 * Reads a regular file of any length from end to end, following no link.
 * @param each is given every piece, which is used again after it
 * @throws Malformed for a link, a folder or a file that changed meanwhile; errno errors
 */
export async function digestRegularFile(path: string, each?: (piece: Buffer) => Promise<unknown>): Promise<FileDigest> {
  const fd = openRegular(path);
  try {
    const before = fstatSync(fd, { bigint: true });
    if (!before.isFile()) throw new Malformed('not a regular file');
    const hash = createHash('sha256');
    const bytes = await eachPiece(fd, path, Number(before.size), (piece) => {
      hash.update(piece);
      return each?.(piece);
    });
    const after = fstatSync(fd, { bigint: true });
    if (BigInt(bytes) !== before.size || after.size !== before.size || after.mtimeNs !== before.mtimeNs)
      throw new Malformed('changed while it was read');
    const { dev, ino, size, mtimeNs } = before;
    const mode = Number(before.mode) & 0o777;
    return { bytes, sha256: hash.digest('hex'), identity: { dev, ino, size, mtimeNs }, mode };
  } finally {
    closeSync(fd);
  }
}

/** Stays in a processor's own memory from reading to hashing. */
const PIECE = 256 * 1024;
/** Pieces after which others have their turn. */
const TURN = 4;

/**
 * Hands over the pieces of a file, all in one buffer. Each is read at once, since going to another thread for it takes as
 * long as hashing it.
 * @returns bytes read: of a file that grows, more than `size`
 */
async function eachPiece(fd: number, path: string, size: number, take: (piece: Buffer) => unknown): Promise<number> {
  const buffer = takeRoom(PIECE);
  try {
    let bytes = 0;
    for (let n = 1; bytes <= size; n++) {
      const read = readAt(fd, path, buffer, bytes);
      if (read === 0) break;
      await take(buffer.subarray(0, read));
      bytes += read;
      if (n % TURN === 0) await turn();
    }
    return bytes;
  } finally {
    giveRoom(buffer);
  }
}

function readAt(fd: number, path: string, buffer: Buffer, position: number): number {
  try {
    return readSync(fd, buffer, 0, buffer.length, position);
  } catch (error) {
    throw named(path, error);
  }
}

/** In hex. */
export interface Digests {
  bytes: number;
  sha256: string;
  md5: string;
}

/** Digests of a file, by a name that may be a link. */
export async function digestFile(path: string): Promise<Digests> {
  const md5 = createHash('md5');
  const digest = await sha256OfFile(path, (piece) => md5.update(piece));
  return { ...digest, md5: md5.digest('hex') };
}

/** As `digestFile`, where nobody asks for the MD5, which takes twice the time. */
export async function sha256OfFile(path: string, each?: (piece: Buffer) => unknown): Promise<Omit<Digests, 'md5'>> {
  const sha = createHash('sha256');
  const bytes = await piecesOf(path, (piece) => {
    sha.update(piece);
    each?.(piece);
  });
  return { bytes, sha256: sha.digest('hex') };
}

/** The pieces of a file by a name that may be a link. @returns bytes read */
async function piecesOf(path: string, take: (piece: Buffer) => unknown): Promise<number> {
  const fd = openSync(path, 'r');
  try {
    return await eachPiece(fd, path, fstatSync(fd).size, take);
  } finally {
    closeSync(fd);
  }
}

/**
 * Copies a regular file to a new name, durably, with its time and permissions (who could not read it still cannot), and
 * reads the copy back. What is wrong with the original is thrown as by `digestRegularFile`; no copy is left then.
 * @throws Failure where the copy cannot be written, or is read back with other bytes
 */
export async function copyVerified(from: string, to: string): Promise<FileDigest> {
  const here = <T>(task: () => T): T => {
    try {
      return task();
    } catch (error) {
      return failAt(to, error);
    }
  };
  const fd = here(() => openSync(to, 'wx', 0o600));
  let done = false;
  try {
    const original = await digestRegularFile(from, async (piece) => here(() => writeWhole(fd, piece)));
    const seconds = Number(original.identity.mtimeNs / 1000n) / 1e6;
    here(() => futimesSync(fd, seconds, seconds));
    here(() => fchmodSync(fd, original.mode | 0o400)); // by a group's right alone its new owner could not read it back
    await fsyncSoon(fd).catch((error) => failAt(to, error));
    const { sha256 } = await digestRegularFile(to).catch((error) => failAt(to, error));
    if (sha256 !== original.sha256) throw new Failure(`${to}: read back other bytes than were written`);
    done = true;
    return original;
  } finally {
    closeSync(fd);
    if (!done) unlinkIfThere(to);
  }
}

/** Copies a file to a new name, durably; who reads the copy back is sure. */
export async function copyFile(from: string, to: string, mode: number): Promise<void> {
  const copy = openSync(to, 'wx', mode);
  try {
    await piecesOf(from, (piece) => writeWhole(copy, piece));
    await fsyncSoon(copy);
  } finally {
    closeSync(copy);
  }
}

function writeWhole(fd: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done);
}

/** An error of a path that is ours to write: every other item would meet it too. */
export function failAt(path: string, error: unknown): never {
  throw new Failure(`${path}: ${describeAt(path, error)}`);
}

export function isSameFile(path: string, identity: FileIdentity): boolean {
  const now = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  if (!now?.isFile()) return false;
  const { dev, ino, size, mtimeNs } = identity;
  return now.dev === dev && now.ino === ino && now.size === size && now.mtimeNs === mtimeNs;
}

/** Bytes for which nobody looks first whether there are as many. */
const MUCH = 1024 * 1024;

/** Bytes of a range of an open file. @throws Malformed where the file ends before, under the name that it is told by */
export function readRange(
  fd: number,
  offset: number,
  length: number,
  name: string,
  room: Room = Buffer.allocUnsafe,
): Buffer {
  // A damaged index may tell of more than there is memory for.
  const size = length > MUCH ? fstatSync(fd).size : Number.POSITIVE_INFINITY;
  const bytes = offset + length > size ? undefined : room(length);
  if (bytes && readFully(fd, bytes, offset) === length) return bytes;
  throw new Malformed(`${name}: ends at byte ${fstatSync(fd).size}, before byte ${offset + length}`);
}
