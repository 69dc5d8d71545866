// LZ4 frames: the library decodes blocks and checks them; what stands around the blocks is read here, since it takes whole
// frames only.
import { Malformed } from '../stream/errors.ts';
import { ByteReader } from './members.ts';
import type { Bytes } from './source.ts';

const FRAME = 0x184d2204;
/** Of the format before frames, which has neither an end nor checksums. */
const LEGACY = 0x184c2102;
/** Blocks may refer to so much of the text before them. */
const WINDOW = 64 * 1024;
const UNCOMPRESSED = 0x80000000;
const FLAGS = { version: 0xc0, independent: 0x20, blockSums: 0x10, size: 8, textSum: 4, reserved: 2, dictionary: 1 };

/** Loaded where there is LZ4, for it is rare. */
async function load() {
  const [{ default: xxhash }, { default: lz4 }] = await Promise.all([import('xxhash-wasm'), import('lz4-napi')]);
  return { ...(await xxhash()), uncompress: lz4.uncompressSync };
}
type Library = Awaited<ReturnType<typeof load>>;
let library: Promise<Library> | undefined;

/** True where LZ4 begins: a frame, one to be skipped, or the legacy format. */
export function isLz4(head: Buffer): boolean {
  if (head.length < 4) return false;
  const magic = head.readUInt32LE();
  return magic === FRAME || magic === LEGACY || isSkippable(magic);
}

function isSkippable(magic: number): boolean {
  return magic >>> 4 === 0x184d2a5;
}

/**
 * The text of frames on end, as it comes: a block is in memory, of 4 MB at most.
 * @throws Malformed for what is broken, cut short or of another kind, and past `max` bytes; what came before was yielded
 */
export async function* decodeLz4(source: Bytes, max: number): AsyncGenerator<Buffer> {
  library ??= load();
  const lib = await library;
  const reader = new ByteReader(source);
  let left = max;
  try {
    while ((await reader.peek(1)).length > 0) {
      const magic = (await take(reader, 4)).readUInt32LE();
      if (magic === LEGACY) throw new Malformed('lz4 of the legacy format, which is not read: lz4 -d knows it');
      if (isSkippable(magic)) await skip(reader, (await take(reader, 4)).readUInt32LE());
      else if (magic !== FRAME) throw new Malformed('broken lz4: something else behind a frame');
      else
        for await (const text of frame(reader, lib)) {
          left -= text.length;
          if (left < 0) throw new Malformed(`inflates to more than ${max} bytes (--max-inflated)`);
          yield text;
        }
    }
  } finally {
    await reader.close();
  }
}

async function* frame(reader: ByteReader, lib: Library): AsyncGenerator<Buffer> {
  const { flags, largest, size } = await header(reader, lib);
  const textSum = flags & FLAGS.textSum ? lib.create32() : undefined;
  let window: Buffer = Buffer.alloc(0);
  let length = 0;
  for (;;) {
    const word = (await take(reader, 4)).readUInt32LE();
    if (word === 0) break;
    const isPlain = word >= UNCOMPRESSED;
    const bytes = word % UNCOMPRESSED;
    if (bytes > largest) throw new Malformed(`broken lz4: a block of ${bytes} bytes, and the most is ${largest}`);
    const block = await take(reader, bytes);
    if (flags & FLAGS.blockSums && (await take(reader, 4)).readUInt32LE() !== lib.h32Raw(block))
      throw new Malformed('broken lz4: a block is not what its checksum tells');
    const text = isPlain ? Buffer.from(block) : decode(block, largest, window, lib);
    textSum?.update(text);
    length += text.length;
    if (!(flags & FLAGS.independent))
      window = text.length >= WINDOW ? text.subarray(-WINDOW) : Buffer.concat([window, text]).subarray(-WINDOW);
    yield text;
  }
  if (textSum && (await take(reader, 4)).readUInt32LE() !== textSum.digest())
    throw new Malformed('broken lz4: the text is not what its checksum tells');
  if (size !== undefined && size !== length)
    throw new Malformed(`broken lz4: ${length} bytes of text, its header tells of ${size}`);
}

function decode(block: Buffer, largest: number, window: Buffer, { uncompress }: Library): Buffer {
  // The library wants the size in front, and takes a larger one for a bound.
  const sized = Buffer.allocUnsafe(4 + block.length);
  sized.writeUInt32LE(largest);
  block.copy(sized, 4);
  try {
    return window.length > 0 ? uncompress(sized, window) : uncompress(sized);
  } catch (error) {
    throw new Malformed(`broken lz4: ${(error as Error).message}`);
  }
}

interface Header {
  flags: number;
  /** Bytes of the largest block. */
  largest: number;
  /** Of the text, where it is told. */
  size: number | undefined;
}

async function header(reader: ByteReader, { h32Raw }: Library): Promise<Header> {
  const [flags = 0, sizes = 0] = await reader.peek(2);
  const isDictionary = (flags & FLAGS.dictionary) !== 0;
  const count = 2 + (flags & FLAGS.size ? 8 : 0) + (isDictionary ? 4 : 0);
  const bytes = Buffer.from(await take(reader, count + 1));
  if ((h32Raw(bytes.subarray(0, count)) >>> 8) % 256 !== bytes[count])
    throw new Malformed('broken lz4: the header is not what its checksum tells');
  const code = sizes >> 4;
  if ((flags & FLAGS.version) !== 0x40 || flags & FLAGS.reserved || sizes & 0x0f || code < 4 || code > 7)
    throw new Malformed('lz4 of an unknown version');
  if (isDictionary) throw new Malformed('lz4 that was made with a dictionary, which is not here');
  const size = flags & FLAGS.size ? Number(bytes.readBigUInt64LE(2)) : undefined;
  return { flags, largest: 2 ** (8 + 2 * code), size };
}

/** A view, good until the next call. @throws Malformed where the source ends before */
async function take(reader: ByteReader, count: number): Promise<Buffer> {
  const bytes = await reader.peek(count);
  if (bytes.length < count) throw new Malformed('lz4 cut short');
  reader.skip(count);
  return bytes;
}

async function skip(reader: ByteReader, count: number): Promise<void> {
  for (let left = count; left > 0; ) left -= (await take(reader, Math.min(left, WINDOW))).length;
}
