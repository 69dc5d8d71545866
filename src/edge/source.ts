// Opens anything that holds measurements: what it is, is told by its first bytes and its name.
import { createReadStream } from 'node:fs';
import { isGzip } from './gzip.ts';
import { inflate } from './inflate.ts';
import { decodeLz4, isLz4 } from './lz4.ts';

export type Bytes = AsyncIterable<Uint8Array>;

export function fileBytes(path: string): Bytes {
  return createReadStream(path, { highWaterMark: 256 * 1024 });
}

/** What is at hand. */
export async function* once<T>(one: T): AsyncGenerator<T> {
  yield one;
}

/**
 * The beginning of a source, and the whole source again.
 * @param enough told of the last chunk and of the bytes so far; reading on stops when it says so
 */
export async function peek(
  source: Bytes,
  enough: (chunk: Buffer, held: number) => boolean,
): Promise<{ head: Buffer; all: Bytes; ended: boolean }> {
  const iterator = source[Symbol.asyncIterator]();
  const seen: Buffer[] = [];
  let held = 0;
  let ended = false;
  while (!ended) {
    const next = await iterator.next();
    if (next.done) ended = true;
    else {
      const chunk = Buffer.from(next.value); // a copy: the source may use its own again
      seen.push(chunk);
      held += chunk.length;
      if (enough(chunk, held)) break;
    }
  }
  async function* all() {
    try {
      yield* seen;
      for (let next = await iterator.next(); !next.done; next = await iterator.next()) yield next.value;
    } finally {
      await iterator.return?.();
    }
  }
  return { head: Buffer.concat(seen), all: all(), ended };
}

/** The first bytes, to tell what a source is. */
export function peekBytes(source: Bytes, count: number): Promise<{ head: Buffer; all: Bytes }> {
  // JSON is known by its first byte: its first row must not wait for more to come.
  return peek(source, (chunk, held) => held >= count || (held === chunk.length && chunk[0] === 0x7b));
}

/** Inflates what begins with the magic bytes of gzip or LZ4, hands on anything else: names often say otherwise. */
export async function* unpacked(source: Bytes, max: number): AsyncGenerator<Uint8Array> {
  const { head, all } = await peekBytes(source, 4);
  if (isGzip(head)) yield* inflate(all, max);
  else if (isLz4(head)) yield* decodeLz4(all, max);
  else yield* all;
}

/**
 * POSIX and GNU tar say so at byte 257 of their first header, and the header's own sum must agree: a probe can
 * write five letters anywhere.
 */
export function isTar(head: Buffer): boolean {
  if (head.length < 512 || head.toString('latin1', 257, 262) !== 'ustar') return false;
  let sum = 0;
  for (let i = 0; i < 512; i++) sum += i >= 148 && i < 156 ? 0x20 : head[i]!;
  return Number.parseInt(head.toString('latin1', 148, 156), 8) === sum;
}
