// A number of rows out of a stream of any length, the same ones at every run and in whatever order the rows come.
import { createHash, randomBytes } from 'node:crypto';
import { closeSync, openSync, unlinkSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type MeasurementRow, measurementRow, openRow } from '../record/rows.ts';
import { failAt, readFully } from './files.ts';
import type { RowsInto } from './rowfilter.ts';

/** A row that is in the sample so far. */
interface Kept {
  rank: number;
  /** Of its bytes in the file. */
  offset: number;
  length: number;
}

/**
 * Each document gets a rank out of its bytes and the seed, and those with the lowest ranks are the sample. They wait in a
 * file without a name, so that memory is for their places alone.
 */
export class Sample implements RowsInto {
  readonly isRows: boolean;
  readonly #size: number;
  readonly #seed: string;
  readonly #into: RowsInto;
  readonly #path = join(tmpdir(), `cannery-sample-${randomBytes(8).toString('hex')}`);
  readonly #fd: number;
  #held = 0;
  /** A heap: none has a higher rank than the first, nor than the one it hangs on. */
  readonly #kept: Kept[] = [];

  constructor(size: number, seed: number, into: RowsInto) {
    this.#size = size;
    this.#seed = `${seed} `;
    this.#into = into;
    this.isRows = into.isRows;
    try {
      this.#fd = openSync(this.#path, 'wx+', 0o600);
      unlinkSync(this.#path);
    } catch (error) {
      failAt(this.#path, error);
    }
  }

  async add(row: MeasurementRow, document: Buffer): Promise<void> {
    const digest = createHash('sha256').update(this.#seed).update(row.document).digest();
    const rank = digest.readUIntBE(0, 6);
    const isFull = this.#kept.length >= this.#size;
    if (isFull && !(rank < this.#kept[0]!.rank)) return;
    const one = { rank, offset: this.#held, length: this.#write(measurementRow(row, document)) };
    if (!isFull) this.#rise(this.#kept.push(one) - 1);
    else {
      this.#kept[0] = one;
      this.#sink();
    }
  }

  #write(pieces: (string | Buffer)[]): number {
    const before = this.#held;
    try {
      for (const piece of pieces) {
        const bytes = typeof piece === 'string' ? Buffer.from(piece) : piece;
        for (let done = 0; done < bytes.length; )
          done += writeSync(this.#fd, bytes, done, bytes.length - done, this.#held + done);
        this.#held += bytes.length;
      }
    } catch (error) {
      failAt(this.#path, error);
    }
    return this.#held - before;
  }

  #rise(from: number): void {
    const heap = this.#kept;
    for (let at = from; at > 0; ) {
      const above = (at - 1) >> 1;
      if (heap[above]!.rank >= heap[at]!.rank) return;
      [heap[above], heap[at]] = [heap[at]!, heap[above]!];
      at = above;
    }
  }

  #sink(): void {
    const heap = this.#kept;
    for (let at = 0; ; ) {
      const [left, right] = [2 * at + 1, 2 * at + 2];
      const rank = (i: number) => heap[i]?.rank ?? -1;
      const high = rank(right) > rank(left) ? right : left;
      if (rank(high) <= heap[at]!.rank) return;
      [heap[high], heap[at]] = [heap[at]!, heap[high]!];
      at = high;
    }
  }

  /** Those of the sample go on in the order in which they came. */
  async end(): Promise<void> {
    for (const { offset, length } of this.#kept.sort((a, b) => a.offset - b.offset)) {
      const bytes = Buffer.allocUnsafe(length);
      if (readFully(this.#fd, bytes, offset) < length) failAt(this.#path, new Error('the sample was cut short'));
      const row = openRow(bytes)!;
      await this.#into.add(row, row.document);
    }
    closeSync(this.#fd);
    await this.#into.end();
  }
}
