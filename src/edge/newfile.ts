// A file, or a folder of files, that appears whole under its name or not at all, and never in the place of another.
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { errno, Failure } from '../stream/errors.ts';
import { exists, failAt, fsyncFolder, named } from './files.ts';

/** A file that is written from its beginning to its end. */
export class FileWriter {
  readonly #path: string;
  readonly #fd: number;

  constructor(path: string) {
    this.#path = path;
    try {
      this.#fd = openSync(path, 'wx', 0o644);
    } catch (error) {
      failAt(path, error);
    }
  }

  write(bytes: Uint8Array): void {
    try {
      for (let done = 0; done < bytes.length; ) done += writeSync(this.#fd, bytes, done);
    } catch (error) {
      failAt(this.#path, named(this.#path, error));
    }
  }

  /** Makes the bytes durable; the name is the folder's to keep. */
  close(): void {
    try {
      fsyncSync(this.#fd);
    } catch (error) {
      failAt(this.#path, named(this.#path, error));
    } finally {
      closeSync(this.#fd);
    }
  }
}

/** What is being made beside its place, under a hidden name. */
export class NewPlace {
  /** Where to write until `commit`. */
  readonly temporary: string;
  readonly #path: string;
  readonly #isFolder: boolean;
  /** Folders that have got names. */
  readonly #folders = new Set<string>();

  /** @throws Failure where something has the name already */
  constructor(path: string, isFolder: boolean) {
    this.#path = resolve(path);
    this.#isFolder = isFolder;
    this.#refuse();
    const mark = randomBytes(4).toString('hex');
    this.temporary = join(dirname(this.#path), `.${basename(this.#path)}.${mark}.part`);
    if (isFolder) this.#make(this.temporary);
  }

  #refuse(): void {
    if (exists(this.#path)) throw new Failure(`${this.#path} is there already: nothing is written over`);
  }

  #make(folder: string): void {
    try {
      mkdirSync(folder);
    } catch (error) {
      failAt(folder, error);
    }
    this.#folders.add(folder);
  }

  /** Makes folders within. @returns the path of a file in the last of them */
  within(folders: readonly string[], base: string): string {
    let at = this.temporary;
    for (const name of folders) {
      at = join(at, name);
      if (!this.#folders.has(at)) this.#make(at);
    }
    return join(at, base);
  }

  /** Gives the name to what is complete. @throws Failure where another has it by now */
  commit(): void {
    try {
      for (const folder of this.#folders) fsyncFolder(folder);
      if (!this.#isFolder) this.#link();
      else {
        this.#refuse();
        renameSync(this.temporary, this.#path); // takes the place of an empty folder at most
      }
      fsyncFolder(dirname(this.#path));
    } catch (error) {
      if (errno(error) === 'EEXIST') this.#refuse();
      failAt(this.#path, error);
    }
  }

  #link(): void {
    try {
      linkSync(this.temporary, this.#path);
      unlinkSync(this.temporary);
    } catch (error) {
      if (!NO_LINKS.has(errno(error) ?? '')) throw error;
      this.#refuse();
      renameSync(this.temporary, this.#path);
    }
  }

  /** Takes away what was made so far. */
  abandon(): void {
    rmSync(this.temporary, { recursive: true, force: true });
  }
}

/** From disks of laptops that have no links. */
const NO_LINKS = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK']);
