// Gzip from pieces: texts are deflated by themselves and put together, as one member (a postcan) or as a series
// of small ones, each readable by itself (lines).
import { promisify } from 'node:util';
import zlib from 'node:zlib';

const deflateRaw = promisify(zlib.deflateRaw) as (b: Uint8Array, o: zlib.ZlibOptions) => Promise<Buffer>;

/** No name, no time, unknown system: the same input gives the same bytes on every machine. */
export const HEADER = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);

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

/** A gzip member that is written piece by piece, from segments in order. */
export class MemberWriter {
  #crc = 0;
  #length = 0;

  begin(): Buffer {
    return HEADER;
  }

  add({ deflated, text }: Segment): Buffer {
    this.#crc = zlib.crc32(text as Buffer, this.#crc);
    this.#length += text.length;
    return deflated;
  }

  end(): Buffer {
    const trailer = Buffer.allocUnsafe(8);
    trailer.writeUInt32LE(this.#crc, 0);
    trailer.writeUInt32LE(this.#length % 2 ** 32, 4);
    return Buffer.concat([LAST_BLOCK, trailer]);
  }
}

/** A whole gzip member of segments. */
export function memberOf(segments: Segment[]): Buffer {
  const writer = new MemberWriter();
  return Buffer.concat([writer.begin(), ...segments.map((one) => writer.add(one)), writer.end()]);
}

export const inflateMember = promisify(zlib.gunzip) as (b: Uint8Array, o?: zlib.ZlibOptions) => Promise<Buffer>;

export function isGzip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b;
}
