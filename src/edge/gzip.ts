// Gzip from pieces: texts are deflated by themselves and put together, as one member (a postcan) or as a series
// of small ones, each readable by itself (lines).
import { promisify } from 'node:util';
import zlib from 'node:zlib';
import { crc32Combine } from '../record/crc32.ts';
import { deflateInto, type Strength } from './deflater.ts';
import { Gathered } from './gathered.ts';

/** No name, no time, unknown system: the same input gives the same bytes on every machine. */
export const HEADER = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);

/** Text from which a member of lines is closed. */
export const MEMBER_TEXT = 64 * 1024;

/** Text from which a member is closed that a program makes: one for each is started, so that there are fewer. */
export const PROGRAM_TEXT = 1024 * 1024;

/** Text and its deflated bytes, which can stand in any member after anything, with something else behind them. */
export interface Segment {
  deflated: Uint8Array;
  /** Of the text. */
  crc: number;
  length: number;
}

/** How text is compressed: by a strength of ours, or by zlib at a level from 1 to 9. */
export type Level = Strength | number;

/** Deflates with an empty window and ends on a byte. */
export function segment(text: Uint8Array, level: Level): Segment {
  const gathered = new Gathered(text.length + 1024);
  deflateTo(gathered, text, level);
  return { deflated: gathered.taken(), crc: zlib.crc32(text as Buffer), length: text.length };
}

/** Gathers the deflated bytes of a segment. */
export function deflateTo(into: Gathered, text: Uint8Array, level: Level): void {
  if (typeof level === 'number') into.add(zlibbed(text, level));
  else deflateInto(into, text, level);
}

function zlibbed(text: Uint8Array, level: number): Buffer {
  // One buffer for the whole result: node would gather it from pieces of 16 KB.
  const chunkSize = Math.max(1024, text.length >> 1);
  // The most memory: 3 % less time for 0.2 % more bytes, of fewer and larger blocks.
  return zlib.deflateRawSync(text, { level, memLevel: 9, chunkSize, finishFlush: zlib.constants.Z_SYNC_FLUSH });
}

/** CRC and length of what a member holds so far. */
export class Sum {
  crc = 0;
  length = 0;

  add({ crc, length }: Pick<Segment, 'crc' | 'length'>): void {
    this.crc = crc32Combine(this.crc, crc, length);
    this.length += length;
  }

  addText(text: Buffer): void {
    this.crc = zlib.crc32(text, this.crc);
    this.length += text.length;
  }
}

/** A final, empty deflate block. */
const LAST_BLOCK = Buffer.from([0x03, 0x00]);

/** Of a member's end: CRC and length. */
export const TRAILER = 8;
/** The last block, and the trailer. */
export const MEMBER_END = LAST_BLOCK.length + TRAILER;

/** What ends a member. */
export function memberEnd({ crc, length }: Pick<Segment, 'crc' | 'length'>): Buffer {
  const end = Buffer.alloc(MEMBER_END);
  LAST_BLOCK.copy(end);
  end.writeUInt32LE(crc, LAST_BLOCK.length);
  end.writeUInt32LE(length % 2 ** 32, LAST_BLOCK.length + 4);
  return end;
}

/** A whole gzip member. */
export function memberOf(text: Segment): Buffer {
  return Buffer.concat([HEADER, text.deflated, memberEnd(text)]);
}

export const inflateMember = promisify(zlib.gunzip) as (b: Uint8Array, o?: zlib.ZlibOptions) => Promise<Buffer>;

/** What zlib gives with `info`: the text, and how many bytes it took for it. */
export interface Inflated {
  buffer: Buffer;
  engine: { bytesWritten: number };
}

/** For a text of this length, in one piece. */
function exactly(length: number): zlib.ZlibOptions {
  return { chunkSize: Math.max(64, length + 1), maxOutputLength: Math.max(1, length), info: true };
}

/**
 * Text of segments on end, which must end on a byte and where a block does.
 * @param length of the text
 * @throws Error for more text, or where something else than segments stands
 */
export function inflateSegments(deflated: readonly Uint8Array[], length: number): Buffer {
  const whole = Buffer.concat([...deflated, LAST_BLOCK]);
  const done = zlib.inflateRawSync(whole, exactly(length)) as unknown as Inflated;
  if (done.engine.bytesWritten !== whole.length) throw new Error('a last block where others follow');
  return done.buffer;
}

/** Text of whole gzip members on end. @throws Error for more text, or anything else */
export function inflateMembers(members: Uint8Array, length: number): Buffer {
  const done = zlib.gunzipSync(members, exactly(length)) as unknown as Inflated;
  if (done.engine.bytesWritten !== members.length) throw new Error('not whole members');
  return done.buffer;
}

export function isGzip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b;
}
