// rename.log on disk: a line is durable before its move begins, so that no report is ever moved without one.
import { closeSync, fstatSync, fsyncSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type LogEntry, logLine, parseLogLine } from '../record/renamelog.ts';
import { failAt, fsyncFolder } from './files.ts';

export const LOG_NAME = 'rename.log';

/** Of the end of a log; more than the moves take that are under way at once. */
const TAIL = 1024 * 1024;

/** The log of a folder, open for more lines. Under the folder's lock only. */
export class RenameLog {
  /** Moves that a run before this one may not have come to the end of: sources and their targets. */
  readonly begun = new Map<string, string>();
  #path: string;
  #fd: number;

  /** @throws Failure where it cannot be written */
  constructor(folder: string) {
    this.#path = join(folder, LOG_NAME);
    try {
      this.#fd = openSync(this.#path, 'a+', 0o644);
      const { size } = fstatSync(this.#fd);
      const tail = Buffer.alloc(Math.min(size, TAIL));
      readSync(this.#fd, tail, 0, tail.length, size - tail.length);
      const lines = tail.toString().split('\n');
      for (const entry of lines.map(parseLogLine)) {
        if (!entry) continue;
        if (entry.outcome === 'duplicate' || entry.outcome === 'undone') this.begun.delete(entry.source);
        else this.begun.set(entry.source, entry.target);
      }
      // A run that was killed may have left a part of a line, before anything of it was done.
      if (lines.at(-1) !== '') writeSync(this.#fd, '\n');
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
