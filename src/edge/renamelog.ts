// rename.log on disk: a line is durable before its move begins, so that no report is ever moved without one.
import { closeSync, fstatSync, fsyncSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { type LogEntry, logLine, parseLogLine } from '../record/renamelog.ts';
import { exists, failAt, fsyncFolder } from './files.ts';

export const LOG_NAME = 'rename.log';

/** Of the end of a log; more than the moves take that are under way at once. */
const TAIL = 1024 * 1024;

/** The log of a folder, open for more lines. Under the folder's lock only. */
export class RenameLog {
  #path: string;
  #fd: number;

  /** @throws Failure where it cannot be written */
  constructor(folder: string) {
    this.#path = join(folder, LOG_NAME);
    try {
      this.#fd = openSync(this.#path, 'a+', 0o644);
      // A run that was killed may have left a part of a line, before anything of it was done.
      const last = tailOf(this.#fd, 1);
      if (last !== '' && last !== '\n') writeSync(this.#fd, '\n');
      fsyncFolder(folder);
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

/**
 * Moves that a killed run may not have come to the end of: targets and their sources, of the last lines of a log.
 * Duplicates are none of them: their target belongs to another report.
 */
export function begunMoves(folder: string): Map<string, string> {
  const begun = new Map<string, string>();
  const path = join(folder, LOG_NAME);
  if (!exists(path)) return begun;
  const fd = openSync(path, 'r');
  try {
    for (const entry of tailOf(fd, TAIL).split('\n').map(parseLogLine)) {
      if (!entry || entry.outcome === 'duplicate') continue;
      if (entry.outcome !== 'undone') begun.set(entry.target, entry.source);
      else if (begun.get(entry.target) === entry.source) begun.delete(entry.target);
    }
  } finally {
    closeSync(fd);
  }
  return begun;
}

function tailOf(fd: number, length: number): string {
  const { size } = fstatSync(fd);
  const tail = Buffer.alloc(Math.min(size, length));
  readSync(fd, tail, 0, tail.length, size - tail.length);
  return tail.toString();
}
