// Bytes held to what a store tells of them, as they come.
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { Checked } from '../record/mirror.ts';
import { crc32c, md5Of, PartsMd5, partSizes } from '../record/objectsums.ts';
import type { ObjectFacts } from './store.ts';

/** A digest in the making, in the end as S3 tells it. */
interface Sum {
  update(bytes: Uint8Array): unknown;
  end(): string;
}

function hashSum(name: string, form: 'hex' | 'base64'): Sum {
  const hash = createHash(name);
  return { update: (bytes) => hash.update(bytes), end: () => hash.digest(form) };
}

function crcSum(next: (bytes: Uint8Array, before: number) => number): Sum {
  const sum = Buffer.alloc(4);
  const update = (bytes: Uint8Array) => sum.writeUInt32BE(next(bytes, sum.readUInt32BE()) >>> 0);
  return { update, end: () => sum.toString('base64') };
}

/** Digests that a store may tell beside the ETag; the first of them that is of the whole counts. */
const BESIDE: [Checked, () => Sum][] = [
  ['sha256', () => hashSum('sha256', 'base64')],
  ['sha1', () => hashSum('sha1', 'base64')],
  ['crc32c', () => crcSum(crc32c)],
  ['crc32', () => crcSum(crc32)],
];

/** Holds bytes, given all of them in order, to what a store tells: makes the digest that this needs, and no other. */
export class Comparison {
  /** `size` where no digest is told. */
  readonly by: Checked;
  #told = '';
  /** The one that it must be, or those of which one must be it. */
  #sums: Sum[] = [];

  /** @param partSize where it is known; else every usual one is tried */
  constructor({ bytes, etag, checksums, plain }: ObjectFacts, partSize?: number) {
    const isWhole = (told: string | undefined) => told !== undefined && !told.includes('-');
    const beside = BESIDE.find(([name]) => isWhole(checksums[name]));
    const given = plain ? md5Of(etag) : undefined;
    if (beside) {
      const [name, sum] = beside;
      this.by = name;
      this.#told = checksums[name]!;
      this.#sums = [sum()];
    } else if (given) {
      const { parts } = given;
      const sizes = partSize === undefined ? partSizes(bytes, parts ?? 1) : [partSize];
      this.by = parts === undefined ? 'md5' : 'parts';
      this.#told = etag;
      this.#sums = parts === undefined ? [hashSum('md5', 'hex')] : sizes.map((size) => new PartsMd5(size));
    } else this.by = 'size';
  }

  update(bytes: Uint8Array): void {
    for (const sum of this.#sums) sum.update(bytes);
  }

  /** Ends it. */
  agrees(): boolean {
    return this.by === 'size' || this.#sums.some((sum) => sum.end() === this.#told);
  }
}

/** What bytes were: their SHA-256, and whether they agree with what a store tells of them, by which digest. */
export interface Verdict {
  sha256: string;
  by: Checked;
  agrees: boolean;
}

/** A comparison, and the SHA-256 that the manifest tells. */
export class Digest {
  #sha256 = createHash('sha256');
  #comparison: Comparison;

  constructor(facts: ObjectFacts) {
    this.#comparison = new Comparison(facts);
  }

  update(bytes: Uint8Array): void {
    this.#sha256.update(bytes);
    this.#comparison.update(bytes);
  }

  /** Ends it. */
  end(): Verdict {
    return { sha256: this.#sha256.digest('hex'), by: this.#comparison.by, agrees: this.#comparison.agrees() };
  }
}
