// Inflates gzip. Of cans of ours, which are series of members, several are inflated side by side.
import { pipeline, Readable } from 'node:stream';
import zlib from 'node:zlib';
import { Malformed } from '../stream/errors.ts';
import { HEADER, type Inflated, inflateMember } from './gzip.ts';
import type { Bytes } from './source.ts';

/** Compressed bytes that one task inflates: fewer would not be worth it. */
const SLICE = 192 * 1024;
/** A member larger than this is inflated as it comes. */
export const LARGEST_SLICE = 2 * 1024 * 1024;
/** Text that a slice may become: one that makes more is inflated as it comes. */
export const LARGEST_TEXT = 8 * 1024 * 1024;
/** Tasks under way: the threads of node's pool. */
const TASKS = 4;

/**
 * Inflates gzip of one or many members as it comes.
 * @param before bytes of text that came out of the same input already
 * @throws Malformed for broken or cut-short gzip, and past `max` bytes; what came before was yielded
 */
export async function* inflate(source: Bytes, max: number, before = 0): AsyncGenerator<Buffer> {
  const slices = new Slices(source);
  const running: { slice: Buffer; text: Promise<Buffer | undefined> }[] = [];
  let count = before;
  try {
    for (;;) {
      while (running.length < TASKS) {
        const slice = await slices.next();
        if (!slice) break;
        running.push({ slice, text: wholeText(slice) });
      }
      if (running.length === 0) break;
      const text = await running[0]!.text;
      if (!text) break;
      running.shift();
      count += text.length;
      if (count > max) throw tooMuch(max);
      yield text;
    }
    if (running.length === 0 && slices.ended) return;
    // What is no series of our members, and what is broken, is read as one stream.
    yield* inflateStream(slices.rest(running), max, count);
  } finally {
    await slices.close();
  }
}

const tooMuch = (max: number) => new Malformed(`inflates to more than ${max} bytes (--max-inflated)`);

/** @param count bytes that were inflated before */
async function* inflateStream(source: Bytes, max: number, count: number): AsyncGenerator<Buffer> {
  const gunzip = zlib.createGunzip({ chunkSize: 256 * 1024 });
  pipeline(Readable.from(source), gunzip, () => undefined); // an error comes out of the loop below
  try {
    for await (const chunk of gunzip) {
      count += chunk.length;
      if (count > max) throw tooMuch(max);
      yield chunk as Buffer;
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'Z_BUF_ERROR') throw new Malformed('gzip cut short');
    if (code?.startsWith('Z_')) throw new Malformed(`broken gzip: ${(error as Error).message}`);
    throw error;
  } finally {
    gunzip.destroy();
  }
}

/** @returns undefined for what is not whole members and nothing else */
async function wholeText(slice: Buffer): Promise<Buffer | undefined> {
  try {
    return wholeOf(slice, (await inflateMember(slice, SLICE_OPTIONS)) as unknown as Inflated);
  } catch {
    return undefined;
  }
}

/** The same, at once. */
export function wholeTextNow(slice: Uint8Array): Buffer | undefined {
  try {
    return wholeOf(slice, zlib.gunzipSync(slice, SLICE_OPTIONS) as unknown as Inflated);
  } catch {
    return undefined;
  }
}

const SLICE_OPTIONS = { info: true, chunkSize: 1024 * 1024, maxOutputLength: LARGEST_TEXT };

const wholeOf = (slice: Uint8Array, { buffer, engine }: Inflated) =>
  engine.bytesWritten === slice.length ? buffer : undefined;

/** Cuts a source before headers of ours. Such bytes may stand within a member too: inflating shows it. */
export class Slices {
  #source: AsyncIterator<Uint8Array>;
  #held: Buffer = Buffer.alloc(0);
  #state: 'cutting' | 'as it comes' | 'read' | 'broken' = 'cutting';
  #error: unknown;

  constructor(source: Bytes) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** True once all was given. */
  get ended(): boolean {
    return this.#state === 'read' && this.#held.length === 0;
  }

  /** @returns undefined once nothing more can be cut */
  async next(): Promise<Buffer | undefined> {
    let from = SLICE;
    for (;;) {
      const at = this.#held.indexOf(HEADER, from);
      if (at !== -1) return this.#take(at);
      from = Math.max(SLICE, this.#held.length - HEADER.length + 1);
      if (this.#state === 'read' && this.#held.length > 0) return this.#take(this.#held.length);
      if (this.#state !== 'cutting') return undefined;
      if (this.#held.length > LARGEST_SLICE || !this.#isOurs()) this.#state = 'as it comes';
      else await this.#more();
    }
  }

  #isOurs(): boolean {
    const length = Math.min(this.#held.length, HEADER.length);
    return this.#held.subarray(0, length).equals(HEADER.subarray(0, length));
  }

  #take(length: number): Buffer {
    const slice = this.#held.subarray(0, length);
    this.#held = this.#held.subarray(length);
    return slice;
  }

  async #more(): Promise<void> {
    try {
      const next = await this.#source.next();
      if (next.done) this.#state = 'read';
      else this.#held = Buffer.concat([this.#held, next.value]);
    } catch (error) {
      this.#state = 'broken'; // told when what came before has been given
      this.#error = error;
    }
  }

  /** What was not cut, with what was cut and not used before it. */
  async *rest(unused: readonly { slice: Uint8Array }[]): AsyncGenerator<Uint8Array> {
    yield* unused.map(({ slice }) => slice);
    if (this.#held.length > 0) yield this.#take(this.#held.length);
    if (this.#state === 'broken') throw this.#error;
    while (this.#state !== 'read') {
      const next = await this.#source.next();
      if (next.done) this.#state = 'read';
      else yield next.value;
    }
  }

  async close(): Promise<void> {
    await this.#source.return?.();
  }
}
