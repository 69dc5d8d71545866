// Gzip by members: a can's files are series of small gzip members, each readable by itself, which
// together are one ordinary gzip file.
import { promisify } from 'node:util';
import zlib from 'node:zlib';

const deflateRaw = promisify(zlib.deflateRaw) as (b: Uint8Array, o: zlib.ZlibOptions) => Promise<Buffer>;

/** No name, no time, unknown system: the same input gives the same bytes on every machine. */
const HEADER = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);

/** One piece of deflated text, either shared by two members or made for one. */
export interface Segment {
  deflated: Buffer;
  text: Uint8Array;
}

/**
 * Deflates with an empty window and ends on a byte, so that the result can stand in any member after
 * anything, and something else can follow.
 */
export async function segment(text: Uint8Array, level: number): Promise<Segment> {
  return { deflated: await deflateRaw(text, { level, finishFlush: zlib.constants.Z_SYNC_FLUSH }), text };
}

/** As `segment`, in place: for the small texts around a large one. */
export function segmentSync(text: Uint8Array, level: number): Segment {
  return { deflated: zlib.deflateRawSync(text, { level, finishFlush: zlib.constants.Z_SYNC_FLUSH }), text };
}

/** A final, empty deflate block. */
const LAST_BLOCK = Buffer.from([0x03, 0x00]);

/** A gzip member of segments, in order. */
export function memberOf(segments: Segment[]): Buffer {
  let crc = 0;
  let length = 0;
  for (const { text } of segments) {
    crc = zlib.crc32(text as Buffer, crc);
    length += text.length;
  }
  const trailer = Buffer.allocUnsafe(8);
  trailer.writeUInt32LE(crc, 0);
  trailer.writeUInt32LE(length % 2 ** 32, 4);
  return Buffer.concat([HEADER, ...segments.map((s) => s.deflated), LAST_BLOCK, trailer]);
}

/** A gzip member of one text. */
export async function member(text: Uint8Array, level: number): Promise<Buffer> {
  const deflated = await deflateRaw(text, { level });
  const trailer = Buffer.allocUnsafe(8);
  trailer.writeUInt32LE(zlib.crc32(text as Buffer), 0);
  trailer.writeUInt32LE(text.length % 2 ** 32, 4);
  return Buffer.concat([HEADER, deflated, trailer]);
}

export const inflateMember = promisify(zlib.gunzip) as (b: Uint8Array, o?: zlib.ZlibOptions) => Promise<Buffer>;

export function isGzip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b;
}
