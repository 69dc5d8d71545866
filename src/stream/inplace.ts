import { readSync } from 'node:fs';
import { errno } from './errors.ts';
import type { Line, LineLimits, LongLine } from './lines.ts';

const LF = 0x0a;
/** Bytes. Much larger ones would not stay in the processor's cache. */
const ROOM = 512 * 1024;

export interface InPlace extends LineLimits {
  /** Called before the bytes of lines that were given are written over. */
  release(): Promise<void>;
  /** Bytes to read into at first. @default half a megabyte */
  room?: number;
}

/** Reads into a buffer, from `at` on and `length` bytes at most. @returns how many came; 0 at the end */
export type ReadInto = (buffer: Buffer, at: number, length: number) => number | Promise<number>;

/**
 * Splits bytes on 0x0A alone, as splitLines does, but without a copy: a line stands in the buffer that is read into,
 * and is good until the next one is asked for.
 */
export async function* linesInPlace(read: ReadInto, limits: InPlace): AsyncGenerator<Line> {
  let buffer = Buffer.allocUnsafeSlow(limits.room ?? ROOM);
  /** Where the line under way begins, how far it was looked through, and where what was read ends. */
  let start = 0;
  let seen = 0;
  let held = 0;
  let number = 1;
  let long: LongLine | undefined;
  try {
    for (;;) {
      buffer[held] = LF; // ends the search
      const end = buffer.indexOf(LF, seen);
      if (end < held) {
        const piece = buffer.subarray(start, end);
        if (long || piece.length > limits.maxLine) {
          long ??= limits.onLong(number);
          long.write(piece);
          long.end();
          long = undefined;
        } else yield { number, bytes: piece, ended: true };
        number++;
        start = seen = end + 1;
        continue;
      }
      await limits.release();
      if (long || held - start > limits.maxLine) {
        long ??= limits.onLong(number);
        long.write(buffer.subarray(start, held));
        start = held;
      }
      if (start === held) start = held = 0;
      else if (held === buffer.length - 1) {
        const room = start > 0 ? buffer : Buffer.allocUnsafeSlow(2 * buffer.length);
        buffer.copy(room, 0, start, held);
        buffer = room;
        held -= start;
        start = 0;
      }
      seen = held;
      const got = read(buffer, held, buffer.length - 1 - held);
      const count = typeof got === 'number' ? got : await got;
      if (count === 0) break;
      held += count;
    }
    if (held > start) yield { number, bytes: buffer.subarray(start, held), ended: false };
  } finally {
    long?.end(); // also when the source fails within it
  }
}

/**
 * Reads a descriptor and waits for it, without a turn of the event loop. Where it is one that does not wait, because
 * whoever opened it wants it so, its stream is read from then on.
 */
export function readerOf(fd: number, stream: () => AsyncIterable<Uint8Array>): ReadInto {
  let other: ReadInto | undefined;
  return (buffer, at, length) => {
    if (other) return other(buffer, at, length);
    try {
      return readSync(fd, buffer, at, length, null);
    } catch (error) {
      if (errno(error) !== 'EAGAIN') throw error;
    }
    other = streamReader(stream());
    return other(buffer, at, length);
  };
}

/** Reads a stream. */
export function streamReader(stream: AsyncIterable<Uint8Array>): ReadInto {
  const chunks = stream[Symbol.asyncIterator]();
  let chunk: Uint8Array = Buffer.alloc(0);
  return async (buffer, at, length) => {
    while (chunk.length === 0) {
      const { done, value } = await chunks.next();
      if (done) return 0;
      chunk = value;
    }
    const piece = chunk.subarray(0, length);
    buffer.set(piece, at);
    chunk = chunk.subarray(piece.length);
    return piece.length;
  };
}
