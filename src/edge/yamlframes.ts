// A YAML report is a series of framed documents: `---`, the document, `...`. They are found here by their
// frames alone, whatever stands inside, so that one bad document costs no other.
import type { LongLine } from '../stream/lines.ts';

/** Its bytes stand until the next one is asked for. */
export interface Frame {
  /** As it stands in the file, from its `---` line to the end of its `...` line inclusive. */
  bytes: Buffer;
  /** The document: what follows `---`, also on its line, up to the `...` line. */
  text: Buffer;
  /** Of its first line, from 1. */
  line: number;
  /** Of its first byte in the file, from 0. */
  offset: number;
  /** What ended it: `...`, another `---`, or the end of the file. */
  end: 'closed' | 'reopened' | 'cut';
  /** True for text outside of frames that is no comment, no directive and not blank: no `---` stands before it. */
  bare: boolean;
}

export interface FrameLimits {
  /** Longest frame in bytes. */
  maxFrame: number;
  /** Called for a frame over the limit, with its line and offset; takes its bytes, which are held no longer. */
  onLong(line: number, offset: number): LongLine;
}

/**
 * Splits a report into its frames. Only `---` and `...` at the very beginning of a line, alone or followed by
 * white space, frame; a byte order mark may stand before the first. Lines end with 0x0A; a CR there is white space.
 * Outside of frames blank lines, comments, directives and `...` are passed over; other text is a bare frame.
 * When the source fails, the frames that were closed before were yielded and the error is thrown on.
 */
export async function* yamlFrames(source: AsyncIterable<Uint8Array>, limits: FrameLimits): AsyncGenerator<Frame> {
  const splitter = new Splitter(limits);
  try {
    for await (const chunk of source) yield* splitter.push(chunk, false);
    yield* splitter.push(NOTHING, true);
  } finally {
    splitter.release();
  }
}

const NOTHING = Buffer.alloc(0);
const BOM = Buffer.from([0xef, 0xbb, 0xbf]);
const LF = 0x0a;
const DASH = 0x2d;
const DOT = 0x2e;
/** Of a line outside of frames: more white space than this is taken for a document. */
const LONGEST_BLANK = 1024;

class Splitter {
  #limits: FrameLimits;
  /** The beginning of a line of which too little is here to tell what it is. */
  #carry: Buffer = NOTHING;
  /** Of the carry, in the file. */
  #offset = 0;
  #line = 1;
  /** True within a line whose beginning was looked at. */
  #midline = false;
  #pieces: Buffer[] = [];
  #held = 0;
  #long: LongLine | undefined;
  /** The frame that is open. */
  #frame: { line: number; offset: number; bare: boolean } | undefined;
  /** Bytes of the frame before its `...`, once that was seen. */
  #closing: number | undefined;

  constructor(limits: FrameLimits) {
    this.#limits = limits;
  }

  *push(chunk: Uint8Array, last: boolean): Generator<Frame> {
    const given = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
    const buffer = this.#carry.length > 0 ? Buffer.concat([this.#carry, given]) : given;
    let at = 0;
    if (this.#offset === 0 && this.#line === 1 && !this.#midline && !this.#frame) {
      if (buffer.length < 3 && !last && BOM.subarray(0, buffer.length).equals(buffer)) {
        this.#carry = Buffer.from(buffer);
        return;
      }
      if (buffer.subarray(0, 3).equals(BOM)) at = 3;
    }
    let from = at; // of what belongs to the frame and is not kept yet
    while (at < buffer.length) {
      const end = buffer.indexOf(LF, at);
      if (!this.#midline) {
        if (end === -1 && !last && buffer.length - at < (this.#frame ? 4 : LONGEST_BLANK)) break;
        const mark = marker(buffer, at);
        if (mark === DASH) {
          if (this.#frame) {
            this.#keep(buffer.subarray(from, at));
            yield* this.#end('reopened');
          }
          this.#frame = { line: this.#line, offset: this.#offset + at, bare: false };
          from = at;
        } else if (this.#frame) {
          if (mark === DOT) this.#closing = this.#held + at - from;
        } else if (mark !== DOT && !isNoText(buffer, at, end === -1 ? buffer.length : end)) {
          this.#frame = { line: this.#line, offset: this.#offset + at, bare: true };
          from = at;
        }
      }
      this.#midline = end === -1;
      at = end === -1 ? buffer.length : end + 1;
      if (end === -1) break;
      this.#line++;
      if (this.#closing !== undefined) {
        this.#keep(buffer.subarray(from, at));
        from = at;
        yield* this.#end('closed');
      }
    }
    // Copies: the source may use its chunk again.
    if (this.#frame) this.#keep(Buffer.from(buffer.subarray(from, at)));
    this.#carry = Buffer.from(buffer.subarray(at));
    this.#offset += at;
    if (last && this.#frame) yield* this.#end(this.#closing === undefined ? 'cut' : 'closed');
  }

  #keep(piece: Buffer): void {
    this.#held += piece.length;
    if (this.#long) {
      this.#long.write(piece);
      return;
    }
    this.#pieces.push(piece);
    if (this.#held <= this.#limits.maxFrame) return;
    this.#long = this.#limits.onLong(this.#frame!.line, this.#frame!.offset);
    for (const kept of this.#pieces) this.#long.write(kept);
    this.#pieces = [];
  }

  *#end(end: Frame['end']): Generator<Frame> {
    const frame = this.#frame!;
    if (this.#long) this.release();
    else {
      const bytes = this.#pieces.length === 1 ? this.#pieces[0]! : Buffer.concat(this.#pieces);
      yield { bytes, text: bytes.subarray(frame.bare ? 0 : 3, this.#closing), ...frame, end };
    }
    this.#pieces = [];
    this.#held = 0;
    this.#frame = undefined;
    this.#closing = undefined;
  }

  release(): void {
    this.#long?.end();
    this.#long = undefined;
  }
}

/** DASH or DOT for a line that frames. */
function marker(buffer: Buffer, at: number): number | undefined {
  const c = buffer[at];
  if ((c !== DASH && c !== DOT) || buffer[at + 1] !== c || buffer[at + 2] !== c) return undefined;
  const next = buffer[at + 3];
  return next === undefined || isWhite(next) || next === LF ? c : undefined;
}

/** A line outside of frames that counts for nothing: blank, a comment, or a directive. */
function isNoText(buffer: Buffer, at: number, end: number): boolean {
  if (buffer[at] === 0x25) return true;
  let first = at;
  while (first < end && isWhite(buffer[first]!)) first++;
  return first - at < LONGEST_BLANK && (first === end || buffer[first] === 0x23);
}

function isWhite(c: number): boolean {
  return c === 0x20 || c === 0x09 || c === 0x0d;
}
