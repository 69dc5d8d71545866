import { randomBytes } from 'node:crypto';
import { createReadStream, createWriteStream, linkSync, readdirSync, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { errno, Failure } from '../stream/errors.ts';
import { fsyncFolder, makeFolder, readRange, unlinkIfThere } from './files.ts';
import { digestFile } from './outgoing.ts';
import type { PutResult, Store, StoredFile } from './store.ts';

/** A plain folder. A file appears under its key whole and durable, or not at all. */
export class FolderStore implements Store {
  readonly name: string;

  constructor(path: string) {
    this.name = path;
  }

  async put(key: string, file: StoredFile): Promise<PutResult> {
    const target = this.#path(key);
    const folder = dirname(target);
    makeFolder(folder);
    sweepTemporaries(folder, basename(target));
    const temporary = join(folder, temporaryName(basename(target)));
    try {
      await pipeline(createReadStream(file.path), createWriteStream(temporary, { flags: 'wx' }));
      const handle = await open(temporary, 'r');
      await handle.sync();
      await handle.close();
      linkSync(temporary, target); // unlike rename, it never takes the place of a file
    } catch (error) {
      if (errno(error) !== 'EEXIST') throw error;
      return (await this.#holds(target, file)) ? 'same' : 'other';
    } finally {
      unlinkIfThere(temporary);
    }
    fsyncFolder(folder);
    if (!(await this.#holds(target, file))) throw new Failure(`${target}: read back other bytes than were stored`);
    return 'stored';
  }

  async #holds(target: string, file: StoredFile): Promise<boolean> {
    const { bytes, sha256 } = await digestFile(target);
    return bytes === file.bytes && sha256 === file.sha256;
  }

  async size(key: string): Promise<number | undefined> {
    return statSync(this.#path(key), { throwIfNoEntry: false })?.size;
  }

  async read(key: string, offset: number, length: number): Promise<Buffer> {
    return readRange(this.#path(key), offset, length);
  }

  #path(key: string): string {
    if (key.startsWith('/') || key.split('/').some((part) => part === '..' || part === ''))
      throw new Failure(`'${key}' is no key`);
    return join(this.name, key);
  }

  close(): void {}
}

/** The name tells whose temporary file it is, so that one of a dead process can be told from one in the making. */
function temporaryName(base: string): string {
  return `.${base}.${hostname()}.${process.pid}.${randomBytes(4).toString('hex')}.tmp`;
}

/** Gives back what a killed upload of the same file left. */
function sweepTemporaries(folder: string, base: string): void {
  const mine = `.${base}.${hostname()}.`;
  for (const name of readdirSync(folder)) {
    if (!name.startsWith(mine) || !name.endsWith('.tmp')) continue;
    const pid = Number(name.slice(mine.length).split('.')[0]);
    if (pid !== process.pid && !isAlive(pid)) unlinkIfThere(join(folder, name));
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errno(error) !== 'ESRCH';
  }
}
