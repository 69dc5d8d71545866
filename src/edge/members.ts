// Gzip member by member, with the place of each, and the lines of a can. Node's own gunzip reads all members as
// one text and tells neither where one ends nor that something else comes behind the last.
import zlib from 'node:zlib';
import { Malformed } from '../stream/errors.ts';
import { HEADER, isGzip } from './gzip.ts';
import type { MemberPlace } from './index-db.ts';
import type { Bytes } from './source.ts';

const LF = 0x0a;

/** Compressed bytes that are inflated at once: a bomb makes a thousand times as much of them. */
export const SLICE = 16 * 1024;

/** A source of bytes that knows where it is. */
export class ByteReader {
  /** Offset of the next byte. */
  position: number;
  #source: AsyncIterator<Uint8Array>;
  #held: Buffer = Buffer.alloc(0);

  constructor(source: Bytes, position = 0) {
    this.#source = source[Symbol.asyncIterator]();
    this.position = position;
  }

  /** The next bytes, which stay the next ones; fewer at the end. */
  async peek(count: number): Promise<Buffer> {
    if (this.#held.length < count) {
      const pieces = this.#held.length > 0 ? [this.#held] : [];
      for (let held = this.#held.length; held < count; held += pieces.at(-1)!.length) {
        const next = await this.#source.next();
        if (next.done) break;
        pieces.push(Buffer.from(next.value.buffer, next.value.byteOffset, next.value.byteLength));
      }
      this.#held = pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
    }
    return this.#held.subarray(0, count);
  }

  /** @throws Malformed where the source ends before */
  async take(count: number): Promise<Buffer> {
    const bytes = await this.peek(count);
    if (bytes.length < count) throw new Malformed('gzip cut short');
    this.skip(count);
    return bytes;
  }

  /** Passes over bytes that were peeked at. */
  skip(count: number): void {
    this.#held = this.#held.subarray(count);
    this.position += count;
  }

  /** Takes what comes; undefined at the end. */
  async chunk(): Promise<Buffer | undefined> {
    const bytes = await this.peek(1);
    if (bytes.length === 0) return undefined;
    const all = this.#held;
    this.skip(all.length);
    return all;
  }

  /** Reads no further. */
  async close(): Promise<void> {
    await this.#source.return?.();
  }

  /** Reads to the end: who counts and hashes the source must see all of it. */
  async drain(): Promise<void> {
    while (await this.chunk());
  }
}

/** A gzip member on its way. */
export interface Member {
  offset: number;
  /** 0 until its end was seen. */
  length: number;
  /** Its header is the one that we write. */
  plainHeader: boolean;
}

/** The text of a member. @throws Malformed for what is no whole gzip member */
export async function* memberText(reader: ByteReader, member: Member): AsyncGenerator<Buffer> {
  member.plainHeader = await readHeader(reader);
  let crc = 0;
  let length = 0;
  for await (const text of inflateRaw(reader)) {
    crc = zlib.crc32(text, crc);
    length += text.length;
    yield text;
  }
  const trailer = await reader.take(8);
  if (trailer.readUInt32LE(0) !== crc) throw new Malformed('broken gzip: incorrect data check');
  if (trailer.readUInt32LE(4) !== length % 2 ** 32) throw new Malformed('broken gzip: incorrect length check');
  member.length = reader.position - member.offset;
}

const FLAGS = { headerCrc: 2, extra: 4, name: 8, comment: 16, unknown: 0xe0 };

/** Reads up to the deflated bytes. @returns true for the very header that we write @throws Malformed */
export async function readHeader(reader: ByteReader): Promise<boolean> {
  const first = Buffer.from(await reader.peek(HEADER.length));
  if (!isGzip(first)) throw new Malformed('no gzip member begins here');
  await reader.take(HEADER.length);
  const flags = first[3]!;
  if (first[2] !== 8 || flags & FLAGS.unknown) throw new Malformed('broken gzip: unknown method or flags');
  if (flags & FLAGS.extra) await reader.take((await reader.take(2)).readUInt16LE(0));
  if (flags & FLAGS.name) await skipText(reader);
  if (flags & FLAGS.comment) await skipText(reader);
  if (flags & FLAGS.headerCrc) await reader.take(2);
  return first.equals(HEADER);
}

async function skipText(reader: ByteReader): Promise<void> {
  while ((await reader.take(1))[0] !== 0);
}

/** Inflates to the end of the deflate stream and no further. */
async function* inflateRaw(reader: ByteReader): AsyncGenerator<Buffer> {
  const raw = zlib.createInflateRaw({ chunkSize: 64 * 1024 });
  let texts: Buffer[] = [];
  raw.on('data', (text) => texts.push(text));
  const ended = new Promise<void>((done) => raw.once('end', done));
  const failed = new Promise<void>((done) => raw.once('error', () => done()));
  try {
    for (;;) {
      const slice = await reader.peek(SLICE);
      if (slice.length === 0) throw new Malformed('gzip cut short');
      const before = raw.bytesWritten;
      await Promise.race([new Promise<void>((done) => raw.write(slice, () => done())), ended, failed]);
      if (raw.errored) throw new Malformed(`broken gzip: ${raw.errored.message}`);
      const used = raw.bytesWritten - before;
      reader.skip(used);
      // It wants no more: its end was seen. An end that falls together with the slice's shows in the next.
      if (used < slice.length) await ended;
      yield* texts;
      texts = [];
      if (used < slice.length) return;
    }
  } finally {
    raw.destroy();
  }
}

/**
 * The beginning of a member (`aligned`: a line begins there too), a line, or a break, after which the lines go on
 * at a place that is known, or not at all.
 */
export type Piece =
  | { kind: 'member'; member: Member; aligned: boolean }
  | { kind: 'line'; line: Buffer; ended: boolean }
  | { kind: 'break'; reason: string; offset: number; resume: MemberPlace | undefined };

export interface LineOptions {
  maxLine: number;
  /** What is no gzip is broken; else its bytes are taken for the text. */
  gzip: boolean;
  /** Reads on from an offset. */
  reopen?: (offset: number) => Bytes;
  /** The first member behind an offset that the index knows. */
  after?: (offset: number) => MemberPlace | undefined;
}

/** Text of a member that is held until its sum is known to be right; more than that must be let go before. */
const HELD = 2 * 1024 * 1024;

/** Damage may make other lines of a member, and more or fewer: those of one that is broken are not to be seen. */
async function* checked(text: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let pieces: Buffer[] = [];
  let held = 0;
  for await (const piece of text) {
    pieces.push(piece);
    held += piece.length;
    if (held <= HELD) continue;
    yield* pieces;
    pieces = [];
  }
  yield* pieces;
}

/** Lines of a `.jsonl.gz`, or of one that in spite of its name is no gzip. The source is read to its end in any case. */
export async function* canLines(source: Bytes, options: LineOptions): AsyncGenerator<Piece> {
  const first = new ByteReader(source);
  let reader = first;
  const cutter = new LineCutter(options.maxLine);
  const head = await reader.peek(2);
  if (!options.gzip && head.length > 0 && !isGzip(head)) {
    try {
      for (let text = await reader.chunk(); text; text = await reader.chunk()) yield* cutter.push(text);
      yield* cutter.end();
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      yield { kind: 'break', reason: error.message, offset: 0, resume: undefined };
      await reader.drain();
    }
    return;
  }
  while ((await reader.peek(1)).length > 0) {
    const member: Member = { offset: reader.position, length: 0, plainHeader: false };
    try {
      yield { kind: 'member', member, aligned: cutter.isEmpty };
      for await (const text of checked(memberText(reader, member))) yield* cutter.push(text);
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      const resume = options.reopen && options.after?.(member.offset);
      yield { kind: 'break', reason: error.message, offset: member.offset, resume };
      await reader.drain();
      if (!resume) return;
      cutter.drop();
      reader = new ByteReader(options.reopen!(resume.offset), resume.offset);
    }
  }
  yield* cutter.end();
}

class LineCutter {
  #pieces: Buffer[] = [];
  #held = 0;
  #max: number;

  constructor(max: number) {
    this.#max = max;
  }

  get isEmpty(): boolean {
    return this.#held === 0;
  }

  *push(text: Buffer): Generator<Piece> {
    let start = 0;
    for (let end = text.indexOf(LF); end !== -1; end = text.indexOf(LF, start)) {
      this.#keep(text.subarray(start, end));
      yield { kind: 'line', line: this.#whole(), ended: true };
      start = end + 1;
    }
    this.#keep(text.subarray(start));
  }

  /** A last line without a line feed. */
  *end(): Generator<Piece> {
    if (!this.isEmpty) yield { kind: 'line', line: this.#whole(), ended: false };
  }

  drop(): void {
    this.#pieces = [];
    this.#held = 0;
  }

  #keep(piece: Buffer): void {
    if (piece.length === 0) return;
    this.#pieces.push(piece);
    this.#held += piece.length;
    if (this.#held > this.#max) throw new Malformed(`line longer than the limit of ${this.#max} bytes (--max-line)`);
  }

  #whole(): Buffer {
    const line = this.#pieces.length === 1 ? this.#pieces[0]! : Buffer.concat(this.#pieces, this.#held);
    this.drop();
    return line;
  }
}

/** The text of a file of one gzip member, or of many, or of none. @param seen told of each member when it begins */
export async function* wholeText(reader: ByteReader, seen: (member: Member) => void): AsyncGenerator<Buffer> {
  if (!isGzip(await reader.peek(2))) {
    for (let text = await reader.chunk(); text; text = await reader.chunk()) yield text;
    return;
  }
  while ((await reader.peek(1)).length > 0) {
    const member: Member = { offset: reader.position, length: 0, plainHeader: false };
    seen(member);
    yield* memberText(reader, member);
  }
}
