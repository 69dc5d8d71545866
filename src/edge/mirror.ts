// The folder that `fetch` fills. A file gets its name when it is whole, verified and durable; the manifest tells of it after
// that. What has come of the others lies in a hidden folder, under names that tell which state of which object it is of.
import {
  closeSync,
  constants,
  fsyncSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  type Stats,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { keyFault, type MirrorEntry, mirrorLine, parseMirror, partName, partStem } from '../record/mirror.ts';
import { Failure, Malformed } from '../stream/errors.ts';
import { failAt, fsyncFolder, fsyncFolderSoon, fsyncSoon, lstatOf, makeFolder, unlinkIfThere } from './files.ts';
import { type Lock, tryLock } from './lock.ts';

const STATE = '.cannery-fetch';

interface Waiting {
  /** What is whole, verified and fsynced; undefined where the file has its name already. */
  part: string | undefined;
  entry: MirrorEntry;
  done: (fault?: unknown) => void;
}

export class Mirror {
  readonly dir: string;
  #lock: Lock;
  #manifest: number;
  #entries: Map<string, MirrorEntry>;
  #parts: string;
  /** Stem → names of what has come in earlier runs. */
  #found = new Map<string, string[]>();
  /** Folders that are there, and no links. */
  #plain = new Set<string>();
  /** Folders whose own names are durable. */
  #durable = new Set<string>();
  #waiting: Waiting[] = [];
  #committing = false;

  /** Takes a folder for this process alone; it is made where it is missing. @throws Failure where another fetch has it */
  static open(dir: string, waitMs: number): Mirror {
    const state = join(dir, STATE);
    makeFolder(join(state, 'parts'));
    const lock = tryLock(join(state, 'lock'), waitMs);
    if (!lock) throw new Failure(`${dir}: another fetch is at work here (--wait SECONDS waits for it)`);
    try {
      return new Mirror(dir, state, lock);
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  private constructor(dir: string, state: string, lock: Lock) {
    this.dir = dir;
    this.#lock = lock;
    this.#parts = join(state, 'parts');
    const path = join(state, 'manifest.jsonl');
    this.#manifest = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_APPEND, 0o644);
    const bytes = readFileSync(path);
    const { entries, whole } = parseMirror(bytes);
    this.#entries = entries;
    try {
      if (whole < bytes.length) ftruncateSync(this.#manifest, whole);
      fsyncSync(this.#manifest); // what a killed run wrote counts from now on
    } catch (error) {
      failAt(path, error);
    }
    fsyncFolder(state);
    for (const name of readdirSync(this.#parts)) {
      const stem = name.slice(0, name.indexOf('.') + 1);
      this.#found.set(stem, [...(this.#found.get(stem) ?? []), name]);
    }
  }

  entry(key: string): MirrorEntry | undefined {
    return this.#entries.get(key);
  }

  path(key: string): string {
    const fault = keyFault(key);
    if (fault !== undefined) throw new Malformed(fault);
    return join(this.dir, key);
  }

  /** What lies under a key. @throws Malformed where it is no file, or lies behind a link */
  stat(key: string): Stats | undefined {
    this.#refuseLinks(dirname(key));
    const stat = lstatOf(this.path(key));
    if (stat && !stat.isFile()) throw new Malformed(`${this.path(key)} is there, and no file`);
    return stat;
  }

  /** True where the manifest tells of a copy, and the file under its name is that copy for all that can be seen. */
  has(entry: MirrorEntry): boolean {
    const stat = this.stat(entry.s3path);
    return stat?.size === entry.bytes && stat.mtimeMs === entry.mtime;
  }

  #refuseLinks(folder: string): void {
    if (folder === '.' || this.#plain.has(folder)) return;
    this.#refuseLinks(dirname(folder));
    const path = join(this.dir, folder);
    const stat = lstatOf(path);
    if (!stat) return;
    if (!stat.isDirectory()) throw new Malformed(`${path} is there, and no folder`);
    this.#plain.add(folder);
  }

  /** Where an object's bytes gather, and whether some of this state are there; those of another are given up. */
  part(store: string, key: string, etag: string): { path: string; begun: boolean } {
    const stem = partStem(store, key);
    const name = partName(store, key, etag);
    const names = this.#found.get(stem) ?? [];
    for (const other of names) if (other !== name) unlinkIfThere(join(this.#parts, other));
    this.#found.set(stem, [name]);
    return { path: join(this.#parts, name), begun: names.includes(name) };
  }

  /** Gives a file its name, durably, and tells the manifest of it. Those that wait at once share what it costs. */
  commit(part: string | undefined, entry: MirrorEntry): Promise<void> {
    return new Promise((done, failed) => {
      this.#waiting.push({ part, entry, done: (fault) => (fault === undefined ? done() : failed(fault)) });
      if (!this.#committing) this.#commitAll();
    });
  }

  async #commitAll(): Promise<void> {
    this.#committing = true;
    for (await turn(); this.#waiting.length > 0; await turn()) {
      const batch = this.#waiting.splice(0);
      const placed: Waiting[] = [];
      try {
        for (const one of batch) {
          try {
            this.#place(one);
            placed.push(one);
          } catch (error) {
            if (!(error instanceof Malformed)) throw error;
            one.done(error);
          }
        }
        await this.#syncFolders(placed.map(({ entry }) => dirname(this.path(entry.s3path))));
        await this.#append(placed.map(({ entry }) => mirrorLine(entry)).join(''));
        for (const { entry, done } of placed) {
          this.#entries.set(entry.s3path, entry);
          done();
        }
      } catch (error) {
        for (const { done } of batch) done(error);
      }
    }
    this.#committing = false;
  }

  #place({ part, entry }: Waiting): void {
    if (part === undefined) return;
    const path = this.path(entry.s3path);
    this.stat(entry.s3path);
    try {
      makeFolder(dirname(path), () => undefined); // the batch is made durable as one
      renameSync(part, path);
    } catch (error) {
      failAt(path, error);
    }
  }

  /** Makes the names in folders durable, and those of the folders themselves, which a killed run may have made. */
  async #syncFolders(folders: string[]): Promise<void> {
    const named = new Set<string>();
    const all = new Set(folders);
    for (let folder of folders) {
      for (; folder !== this.dir && !this.#durable.has(folder) && !named.has(folder); folder = dirname(folder)) {
        named.add(folder);
        all.add(dirname(folder));
      }
    }
    await Promise.all([...all].map((folder) => fsyncFolderSoon(folder).catch((error) => failAt(folder, error))));
    for (const folder of named) this.#durable.add(folder);
  }

  async #append(lines: string): Promise<void> {
    try {
      const bytes = Buffer.from(lines);
      for (let done = 0; done < bytes.length; ) done += writeSync(this.#manifest, bytes, done);
      await fsyncSoon(this.#manifest);
    } catch (error) {
      failAt(join(this.dir, STATE, 'manifest.jsonl'), error);
    }
  }

  close(): void {
    closeSync(this.#manifest);
    this.#lock.release();
  }
}
