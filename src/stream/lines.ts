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
  for await (const lines of linesOfChunks(source, limits, from)) for (const line of lines) yield line;
}

/** As `splitLines`: the lines that end in a chunk come together, and are good until the next are asked for. */
export async function* linesAtOnce(source: AsyncIterable<Uint8Array>, limits: LineLimits): AsyncGenerator<Line[]> {
  for await (const lines of linesOfChunks(source, limits, 1)) yield [...lines];
}

/** The lines that end in each chunk, and what no line feed follows: to be read before the next are asked for. */
async function* linesOfChunks(
  source: AsyncIterable<Uint8Array>,
  limits: LineLimits,
  from: number,
): AsyncGenerator<Iterable<Line>> {
  const splitter = new LineSplitter(limits, from);
  try {
    for await (const chunk of source) yield splitter.push(chunk);
    yield splitter.end();
  } finally {
    splitter.close();
  }
}

class LineSplitter {
  #limits: LineLimits;
  #number: number;
  /** Of a line that goes on in the next chunk. */
  #pieces: Buffer[] = [];
  #held = 0;
  #long: LongLine | undefined;

  constructor(limits: LineLimits, from: number) {
    this.#limits = limits;
    this.#number = from;
  }

  /** Lines that end in a chunk. */
  *push(raw: Uint8Array): Generator<Line> {
    const chunk = Buffer.isBuffer(raw) ? raw : Buffer.from(raw.buffer, raw.byteOffset, raw.byteLength);
    let start = 0;
    for (let end = chunk.indexOf(LF); end !== -1; end = chunk.indexOf(LF, start)) {
      const bytes = this.#line(chunk.subarray(start, end));
      if (bytes) yield { number: this.#number, bytes, ended: true };
      this.#number++;
      start = end + 1;
    }
    // The source may use its chunk again, so what waits for its line feed is copied.
    if (start < chunk.length) this.#keep(Buffer.from(chunk.subarray(start)));
  }

  /** What no line feed follows. */
  *end(): Generator<Line> {
    if (this.#held === 0) return;
    yield { number: this.#number, bytes: Buffer.concat(this.#pieces, this.#held), ended: false };
  }

  close(): void {
    this.#long?.end(); // also when the source fails within it
  }

  /** @returns undefined for one that is over the limit */
  #line(end: Buffer): Buffer | undefined {
    if (this.#pieces.length === 0 && !this.#long && end.length <= this.#limits.maxLine) return end;
    this.#keep(end);
    const line = this.#long ? undefined : Buffer.concat(this.#pieces, this.#held);
    this.#long?.end();
    this.#long = undefined;
    this.#pieces = [];
    this.#held = 0;
    return line;
  }

  #keep(piece: Buffer): void {
    if (this.#long) {
      this.#long.write(piece);
      return;
    }
    this.#pieces.push(piece);
    this.#held += piece.length;
    if (this.#held <= this.#limits.maxLine) return;
    this.#long = this.#limits.onLong(this.#number);
    for (const p of this.#pieces) this.#long.write(p);
    this.#pieces = [];
    this.#held = 0;
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
