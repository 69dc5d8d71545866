import { Malformed } from './errors.ts';

const LF = 0x0a;

export interface Line {
  /** From 1. */
  number: number;
  /** Without the line feed. */
  bytes: Buffer;
  /** False for last bytes that no line feed follows. */
  ended: boolean;
}

/** Takes the pieces of a line that is over the limit, so that it is kept without being held in memory. */
export interface LongLine {
  write(piece: Buffer): void;
  end(): void;
}

export interface LineLimits {
  /** Longest line in bytes. */
  maxLine: number;
  /** Called with the number of a line over the limit. */
  onLong(number: number): LongLine;
}

/**
 * Splits bytes on 0x0A alone (a bare CR is data), with line numbers and the raw bytes.
 * @param from the number of the first line
 * When the source fails, the complete lines before were yielded and the error is thrown on.
 */
export async function* splitLines(
  source: AsyncIterable<Uint8Array>,
  limits: LineLimits,
  from = 1,
): AsyncGenerator<Line> {
  let pieces: Buffer[] = [];
  let held = 0;
  let number = from;
  let long: LongLine | undefined;
  const keep = (piece: Buffer) => {
    if (long) return long.write(piece);
    pieces.push(piece);
    held += piece.length;
    if (held <= limits.maxLine) return;
    long = limits.onLong(number);
    for (const p of pieces) long.write(p);
    pieces = [];
    held = 0;
  };
  try {
    for await (const raw of source) {
      const chunk = Buffer.isBuffer(raw) ? raw : Buffer.from(raw.buffer, raw.byteOffset, raw.byteLength);
      let start = 0;
      for (let end = chunk.indexOf(LF); end !== -1; end = chunk.indexOf(LF, start)) {
        if (pieces.length === 0 && !long && end - start <= limits.maxLine) {
          yield { number, bytes: chunk.subarray(start, end), ended: true };
        } else {
          keep(chunk.subarray(start, end));
          if (long) long.end();
          else yield { number, bytes: pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces, held), ended: true };
          long = undefined;
          pieces = [];
          held = 0;
        }
        number++;
        start = end + 1;
      }
      // The source may use its chunk again, so what waits for its line feed is copied.
      if (start < chunk.length) keep(Buffer.from(chunk.subarray(start)));
    }
    if (held > 0) yield { number, bytes: Buffer.concat(pieces, held), ended: false };
  } finally {
    long?.end(); // also when the source fails within it
  }
}

/** Reads a whole source into memory. @throws Malformed over `max` bytes */
export async function readAll(source: AsyncIterable<Uint8Array>, max: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let held = 0;
  for await (const piece of source) {
    held += piece.length;
    if (held > max) throw new Malformed(`longer than the limit of ${max} bytes (--max-line)`);
    pieces.push(Buffer.from(piece));
  }
  return Buffer.concat(pieces, held);
}
