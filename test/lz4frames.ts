// LZ4 frames of every form that the format has, for tests: as the tool writes them, Python's library (linked blocks), and others.
import lz4 from 'lz4-napi';
import xxhash from 'xxhash-wasm';

const { h32Raw } = await xxhash();

export interface FrameForm {
  /** 4 to 7: 64 KB, 256 KB, 1 MB, 4 MB. */
  code?: number;
  /** Text of one block; blocks may be shorter than they can be. */
  block?: number;
  linked?: boolean;
  blockSums?: boolean;
  textSum?: boolean;
  size?: boolean;
  /** Blocks as they are. */
  plain?: boolean;
}

export function lz4Frame(text: Buffer, form: FrameForm = {}): Buffer {
  const { code = 4, linked = true, blockSums = true, textSum = true, size = true, plain = false } = form;
  const block = Math.min(form.block ?? Number.POSITIVE_INFINITY, 2 ** (8 + 2 * code));
  const flags = 0x40 | (linked ? 0 : 0x20) | (blockSums ? 0x10 : 0) | (size ? 8 : 0) | (textSum ? 4 : 0);
  const told = Buffer.alloc(size ? 10 : 2);
  told.set([flags, code << 4]);
  if (size) told.writeBigUInt64LE(BigInt(text.length), 2);
  const pieces = [word(0x184d2204), told, Buffer.from([(h32Raw(told) >>> 8) & 0xff])];
  for (let at = 0; at < text.length; at += block) {
    const piece = text.subarray(at, at + block);
    const before = linked && at > 0 ? text.subarray(Math.max(0, at - 65536), at) : undefined;
    // Of what the library gives, the size in front is not the frame's.
    const packed = lz4.compressSync(piece, before).subarray(4);
    const isPlain = plain || packed.length >= piece.length;
    const body = isPlain ? piece : packed;
    pieces.push(word(body.length + (isPlain ? 2 ** 31 : 0)), body);
    if (blockSums) pieces.push(word(h32Raw(body)));
  }
  pieces.push(word(0));
  if (textSum) pieces.push(word(h32Raw(text)));
  return Buffer.concat(pieces);
}

export function skippable(bytes: Buffer, n = 0): Buffer {
  return Buffer.concat([word(0x184d2a50 + n), word(bytes.length), bytes]);
}

export function word(n: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(n);
  return bytes;
}
