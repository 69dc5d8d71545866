import { createHash, randomBytes } from 'node:crypto';
import { closeSync, createReadStream, type Dirent, linkSync, openSync, readdirSync, statSync } from 'node:fs';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { compareKeys } from '../record/names.ts';
import { errno, Failure, Malformed } from '../stream/errors.ts';
import {
  copyFile,
  exists,
  fsyncFileSoon,
  fsyncFolderSoon,
  lstatOf,
  makeFolder,
  named,
  type Room,
  readRange,
  sha256OfFile,
  unlinkIfThere,
} from './files.ts';
import {
  Changed,
  type Offer,
  type PutResult,
  packedDigests,
  type Store,
  type StoredFile,
  type StoredObject,
  type Taker,
} from './store.ts';

/** A plain folder. A file appears under its key whole and durable, or not at all. */
export class FolderStore implements Store {
  readonly name: string;
  #keepMode: boolean;
  /** Folders whose names were fsynced by this process. */
  #durable = new Set<string>();
  /** Folders that were swept by this process. */
  #swept = new Set<string>();
  /** The file that was read last stays open: look-ups come in runs of one can. */
  #reading: { path: string; fd: number } | undefined;

  /** @param keepMode a file has no more rights than the one that it was made from */
  constructor(path: string, keepMode = false) {
    this.name = path;
    this.#keepMode = keepMode;
  }

  async place(): Promise<{ store: string }> {
    return { store: this.name };
  }

  async offer(key: string, file: StoredFile): Promise<Offer> {
    try {
      return await this.#copy(key, file);
    } catch (error) {
      await packedDigests(file); // whose fault it is: the original's is told first
      throw error;
    }
  }

  async put(key: string, file: StoredFile): Promise<PutResult> {
    const offer = await this.#copy(key, file);
    try {
      return await offer.accept();
    } finally {
      offer.drop();
    }
  }

  /** A copy that is whole and durable, under a name that nobody reads. */
  async #copy(key: string, file: StoredFile): Promise<Offer> {
    const target = this.#path(key);
    const folder = dirname(target);
    makeFolder(this.name);
    makeFolder(folder, () => undefined); // made durable with the file's own name
    this.#sweep(folder);
    const temporary = join(folder, temporaryName(basename(target)));
    const drop = () => unlinkIfThere(temporary);
    try {
      const mode = this.#keepMode ? statSync(file.path).mode & 0o666 : 0o666;
      await copyFile(file.path, temporary, mode | 0o400);
      // Before it has its name: what is there once is never taken away again.
      if (!(await holds(temporary, file))) throw new Failure(`${target}: read back other bytes than were stored`);
    } catch (error) {
      drop();
      throw named(target, error);
    }
    return { accept: () => this.#accept(temporary, target, file), drop };
  }

  async #accept(temporary: string, target: string, file: StoredFile): Promise<PutResult> {
    const folder = dirname(target);
    try {
      linkSync(temporary, target); // unlike rename, it never takes the place of a file
    } catch (error) {
      if (errno(error) !== 'EEXIST') throw named(target, error);
      if (!(await holds(target, file))) return 'other';
      // Who put it there may have died before it was durable.
      await fsyncFileSoon(target);
      await this.#makeDurable(folder);
      return 'same';
    }
    unlinkIfThere(temporary);
    await this.#makeDurable(folder);
    return 'stored';
  }

  #sweep(folder: string): void {
    if (!this.#swept.has(folder)) sweepTemporaries(folder);
    this.#swept.add(folder);
  }

  /** The names from the store down to a folder: another process may have made them a moment ago. */
  async #makeDurable(folder: string): Promise<void> {
    await fsyncFolderSoon(folder);
    const chain: string[] = [];
    for (let below = folder; below.length > this.name.length && !this.#durable.has(below); below = dirname(below)) {
      await fsyncFolderSoon(dirname(below));
      chain.push(below);
    }
    // Not before: other puts of this run pass over what is here, and all that is above it.
    for (const below of chain) this.#durable.add(below);
  }

  async holds(key: string, file: StoredFile): Promise<boolean> {
    return holds(this.#path(key), file);
  }

  async *list(folder: string): AsyncGenerator<StoredObject> {
    const path = this.#path(folder);
    if (!exists(path)) return;
    this.#sweep(path); // where all is there, nothing will be put
    for (const name of readdirSync(path)) {
      const stat = lstatOf(join(path, name));
      if (stat) yield { key: `${folder}/${name}`, bytes: stat.isFile() ? stat.size : Number.NaN };
    }
  }

  async size(key: string): Promise<number | undefined> {
    return statSync(this.#path(key), { throwIfNoEntry: false })?.size;
  }

  async *walk(after: string, failed: (folder: string, error: unknown) => void): AsyncGenerator<StoredObject> {
    // What is not there must not look like an empty store.
    if (!exists(this.name)) throw new Failure(`${this.name}: no such folder`);
    yield* this.#walk('', after, failed);
  }

  /** @param folder its key with the slash, or '' */
  *#walk(folder: string, after: string, failed: (folder: string, error: unknown) => void): Generator<StoredObject> {
    let entries: Dirent[];
    try {
      entries = readdirSync(join(this.name, folder), { withFileTypes: true });
    } catch (error) {
      return failed(folder, error);
    }
    // A folder's objects sort by its name with the slash: after `a-b`, before `a0`.
    const keyed = entries.map((entry) => ({ entry, key: `${folder}${entry.name}${entry.isDirectory() ? '/' : ''}` }));
    for (const { entry, key } of keyed.sort((a, b) => compareKeys(a.key, b.key))) {
      const isBehind = compareKeys(key, after) > 0;
      if (entry.isDirectory()) {
        if (isBehind || after.startsWith(key)) yield* this.#walk(key, after, failed);
      } else if (isBehind) {
        // A link counts as the file that reading it gives; links to folders are not followed.
        const stat = statSync(join(this.name, key), { throwIfNoEntry: false });
        if (stat) yield { key, bytes: stat.isFile() ? stat.size : Number.NaN };
      }
    }
  }

  async read(key: string, offset: number, length: number, room?: Room): Promise<Buffer> {
    const path = this.#path(key);
    try {
      if (this.#reading?.path !== path) {
        this.close();
        this.#reading = { path, fd: openSync(path, 'r') };
      }
      return readRange(this.#reading.fd, offset, length, key, room);
    } catch (error) {
      if (!['ENOENT', 'ENOTDIR'].includes(errno(error) ?? '')) throw named(path, error);
      if (!exists(this.name)) throw new Failure(`${this.name}: no such folder`);
      // The store is well, this one file is not: a fault of the item, after which others are read.
      throw new Malformed(`${key}: not in the store`);
    }
  }

  async send(key: string, taker: Taker): Promise<void> {
    const path = this.#path(key);
    const before = statSync(path, { bigint: true, throwIfNoEntry: false });
    if (!before && !exists(this.name)) throw new Failure(`${this.name}: no such folder`);
    if (!before?.isFile()) throw new Malformed(before ? 'not a regular file' : 'not in the store any more');
    const etag = stateOf(before);
    const start = taker.held;
    if ((taker.etag !== undefined && taker.etag !== etag) || start > before.size)
      throw new Changed(`${key}: has changed`);
    await taker.begin({ bytes: Number(before.size), etag, checksums: {}, plain: true }, start);
    for await (const piece of createReadStream(path, { start, highWaterMark: PIECE }))
      await taker.take(piece as Buffer);
    const now = statSync(path, { bigint: true, throwIfNoEntry: false });
    if (!now || stateOf(now) !== etag) throw new Changed(`${key}: changed while it was read`);
  }

  async firstPart(): Promise<undefined> {}

  #path(key: string): string {
    if (NO_KEY.test(key)) throw new Malformed(`'${key}' is no key`);
    return join(this.name, key);
  }

  close(): void {
    if (this.#reading) closeSync(this.#reading.fd);
    this.#reading = undefined;
  }
}

/** A part is empty, or leads upward. */
const NO_KEY = /(?:^|\/)(?:\.\.)?(?:\/|$)/;

const PIECE = 256 * 1024;

/** Tells one state of a file from another. */
function stateOf({ size, mtimeNs, ino }: { size: bigint; mtimeNs: bigint; ino: bigint }): string {
  return `${size}-${mtimeNs}-${ino}`;
}

async function holds(path: string, file: StoredFile): Promise<boolean> {
  const { bytes, sha256 } = await sha256OfFile(path);
  return bytes === file.bytes && sha256 === file.sha256;
}

/** The name tells whose temporary file it is, so that one of a dead process can be told from one in the making. */
function temporaryName(base: string): string {
  const stem = Buffer.byteLength(base) > 100 ? createHash('sha256').update(base).digest('hex') : base; // 255 in all
  return `.${stem}${mine()}${process.pid}.${randomBytes(4).toString('hex')}.tmp`;
}

function mine(): string {
  return `.${hostname()}.`;
}

/** After which nobody writes to a file any more: its process is dead, and the number was given to another. */
const GIVEN_UP_MS = 86_400_000;

/** Gives back what killed runs on this machine left. */
function sweepTemporaries(folder: string): void {
  for (const name of readdirSync(folder)) {
    const [, stem, pid] = /^(\..+\.)(\d+)\.[0-9a-f]{8}\.tmp$/.exec(name) ?? [];
    if (!stem?.endsWith(mine())) continue;
    const path = join(folder, name);
    const age = Date.now() - (lstatOf(path)?.mtimeMs ?? Date.now());
    if (!isAlive(Number(pid)) || age > GIVEN_UP_MS) unlinkIfThere(path);
  }
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errno(error) !== 'ESRCH';
  }
}
