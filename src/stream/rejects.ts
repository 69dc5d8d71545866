import { isUtf8 } from 'node:buffer';
import { closeSync, fstatSync, fsyncSync, openSync, readSync, type Stats, statSync, writeSync } from 'node:fs';
import { describe, Failure } from './errors.ts';
import type { LongLine } from './lines.ts';

/** Longer ones go to the file in pieces, as base64: as JSON text they could outgrow a string. */
const WHOLE = 16 * 1024 * 1024;

/** What the bytes of a reject are, so that `cat --format rejects` reads them the same way again. */
export const REJECT_KINDS = ['post', 'document', 'yaml', 'row', 'request', 'file'] as const;

export type RejectKind = (typeof REJECT_KINDS)[number];

export interface Reject {
  as: RejectKind;
  /** Name of the input; null for standard input. */
  file: string | null;
  /** Line from 1; null where the item is a whole file. */
  line: number | null;
  reason: string;
}

/**
 * The file of `--rejects`: one row an item that could not go on, with its bytes. It is opened for
 * appending, so that a second run does not wipe what the first could not do, and readable by its owner only.
 */
export class RejectsFile {
  #fd: number;
  #stage: string;
  /** Rejects that came while a streamed one was open: its line must not be broken. */
  #queue: string[] | undefined;

  constructor(path: string, stage: string) {
    this.#fd = openSync(path, 'a', 0o600);
    this.#stage = stage;
    if (endsWithinLine(path, fstatSync(this.#fd))) this.#write('\n'); // of a run that was killed
  }

  #head(reject: Reject): string {
    const { as, file, line, reason } = reject;
    return JSON.stringify({ cannery: 'reject', stage: this.#stage, as, file, line, reason }).slice(0, -1);
  }

  write(reject: Reject, bytes: Uint8Array | null): void {
    if (bytes !== null && bytes.length > WHOLE && !this.#queue) {
      const pieces = this.stream(reject);
      const whole = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
      for (let at = 0; at < whole.length; at += WHOLE) pieces.write(whole.subarray(at, at + WHOLE));
      pieces.end();
      return;
    }
    const data =
      bytes === null
        ? null
        : isUtf8(bytes)
          ? Buffer.from(bytes).toString()
          : { format: 'base64', data: Buffer.from(bytes).toString('base64') };
    const row = `${this.#head(reject)},"data":${JSON.stringify(data)}}\n`;
    if (this.#queue) this.#queue.push(row);
    else this.#write(row);
  }

  /** A reject whose bytes come in pieces, of any length. */
  stream(reject: Reject): LongLine {
    this.#write(`${this.#head(reject)},"data":{"format":"base64","data":"`);
    this.#queue = [];
    let rest: Buffer = Buffer.alloc(0);
    return {
      write: (piece) => {
        const bytes = Buffer.concat([rest, piece]);
        const whole = bytes.length - (bytes.length % 3); // base64 takes three bytes at a time
        this.#write(bytes.subarray(0, whole).toString('base64'));
        rest = bytes.subarray(whole);
      },
      end: () => {
        this.#write(`${rest.toString('base64')}"}}\n${this.#queue?.join('')}`);
        this.#queue = undefined;
      },
    };
  }

  #write(text: string): void {
    const bytes = Buffer.from(text);
    try {
      for (let done = 0; done < bytes.length; ) done += writeSync(this.#fd, bytes, done);
    } catch (error) {
      throw new Failure(`--rejects: ${describe(error)}`);
    }
  }

  /** True for the rejects file itself: read as input, it would grow for ever. */
  isAt(path: string): boolean {
    return isSameFile(this.#fd, () => statSync(path));
  }

  /** The same of an open file. */
  isOpenAt(fd: number): boolean {
    return isSameFile(this.#fd, () => fstatSync(fd));
  }

  close(): void {
    try {
      fsyncSync(this.#fd);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EINVAL') throw error; // a pipe or /dev/stderr
    }
    closeSync(this.#fd);
  }
}

/** True for a plain file that is open here and is found there too. */
export function isSameFile(fd: number, there: () => Stats): boolean {
  try {
    const one = fstatSync(fd);
    const other = there();
    return one.isFile() && one.dev === other.dev && one.ino === other.ino; // a terminal may well be both
  } catch {
    return false; // what is wrong with it, its reader will tell
  }
}

function endsWithinLine(path: string, { size }: Stats): boolean {
  if (size === 0) return false; // pipes and devices too
  const fd = openSync(path, 'r');
  try {
    const last = Buffer.alloc(1);
    return readSync(fd, last, 0, 1, size - 1) === 1 && last[0] !== 0x0a;
  } finally {
    closeSync(fd);
  }
}
