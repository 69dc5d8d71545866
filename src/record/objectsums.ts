// What a store says of an object's bytes, and whether bytes agree with it.
import { createHash, type Hash } from 'node:crypto';

const MiB = 1024 * 1024;
/** Sizes that programs put objects in; of the public bucket it is 8 MiB. */
const USUAL_PARTS = [8, 5, 16, 15, 10, 6, 7, 20, 25, 32, 50, 64, 100, 128, 256, 512, 1024, 5120].map((n) => n * MiB);
const MOST_GUESSES = 12;

/** An ETag that is an MD5 in form, of the object or, where `parts` are told, of the MD5s of its parts. */
export function md5Of(etag: string): { md5: string; parts?: number } | undefined {
  const [, md5, parts] = /^([0-9a-f]{32})(?:-([1-9]\d{0,4}))?$/.exec(etag) ?? [];
  if (md5 === undefined) return undefined;
  return parts === undefined ? { md5 } : { md5, parts: Number(parts) };
}

/** Sizes of parts that an object of so many bytes and parts may have, the usual ones first. */
export function partSizes(bytes: number, parts: number): number[] {
  const fits = (size: number) => Math.max(1, Math.ceil(bytes / size)) === parts;
  const found = new Set(USUAL_PARTS.filter(fits));
  if (parts === 1) found.add(Math.max(bytes, 1));
  // Every whole number of mebibytes, and of millions, that gives this count of parts.
  for (const unit of [MiB, 1_000_000])
    for (let n = Math.ceil(bytes / parts / unit); n > 0 && fits(n * unit) && found.size < MOST_GUESSES; n++)
      found.add(n * unit);
  return [...found].slice(0, MOST_GUESSES);
}

/** The ETag of an object that was put in parts of one size. */
export class PartsMd5 {
  #size: number;
  #part: Hash = createHash('md5');
  #held = 0;
  #all = createHash('md5');
  #count = 0;

  constructor(size: number) {
    this.#size = size;
  }

  update(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      if (this.#held === this.#size) this.#close();
      const piece = bytes.subarray(at, at + this.#size - this.#held);
      this.#part.update(piece);
      this.#held += piece.length;
      at += piece.length;
    }
  }

  #close(): void {
    this.#all.update(this.#part.digest());
    this.#part = createHash('md5');
    this.#held = 0;
    this.#count++;
  }

  /** The ETag. */
  end(): string {
    this.#close();
    return `${this.#all.digest('hex')}-${this.#count}`;
  }
}

const CASTAGNOLI = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  return crc;
});

/** CRC-32C, as S3 may tell it; `before` is that of the bytes before. */
export function crc32c(bytes: Uint8Array, before = 0): number {
  let crc = ~before;
  for (const byte of bytes) crc = CASTAGNOLI[(crc ^ byte) & 0xff]! ^ (crc >>> 8);
  return ~crc >>> 0;
}
