// rename.log on disk: a line is durable before its move begins, so that no report is ever moved without one.
import { closeSync, fstatSync, fsyncSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type LogEntry, logLine } from '../record/renamelog.ts';
import { failAt, fsyncFolder } from './files.ts';

export const LOG_NAME = 'rename.log';

/** The log of a folder, open for more lines. Under the folder's lock only. */
export class RenameLog {
  #path: string;
  #fd: number;

  /** @throws Failure where it cannot be written */
  constructor(folder: string) {
    this.#path = join(folder, LOG_NAME);
    try {
      this.#fd = openSync(this.#path, 'a+', 0o644);
      mendEnd(this.#fd);
      fsyncFolder(dirname(this.#path));
    } catch (error) {
      failAt(this.#path, error);
    }
  }

  /** Adds lines as one step; they are durable when it returns. @throws Failure, and then none was added */
  add(entries: LogEntry[]): void {
    const bytes = Buffer.from(entries.map(logLine).join(''));
    try {
      const { size } = fstatSync(this.#fd);
      try {
        for (let done = 0; done < bytes.length; ) done += writeSync(this.#fd, bytes, done);
        fsyncSync(this.#fd);
      } catch (error) {
        ftruncateSync(this.#fd, size);
        throw error;
      }
    } catch (error) {
      failAt(this.#path, error);
    }
  }

  close(): void {
    closeSync(this.#fd);
  }
}

/** A run that was killed may have left a part of a line, before anything of it was done: the next line is another. */
function mendEnd(fd: number): void {
  const { size } = fstatSync(fd);
  const last = Buffer.alloc(1);
  if (size > 0 && readSync(fd, last, 0, 1, size - 1) === 1 && last[0] !== 0x0a) writeSync(fd, '\n');
}
