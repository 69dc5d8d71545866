// Reads a can again from the disk and compares it with what went in.
import { createHash, type Hash } from 'node:crypto';
import { closeSync, fstatSync, openSync } from 'node:fs';
import { join } from 'node:path';
import zlib from 'node:zlib';
import { lineHash } from '../record/identity.ts';
import { named, readFully } from './files.ts';
import { HEADER, inflateSegments, inflateWhole, memberEnd, memberOf, Sum, segment } from './gzip.ts';
import type { CanFile } from './outgoing.ts';
import type { BatchPlace } from './pack.ts';
import type { PackedItem, Shared } from './press.ts';
import { TAR_END, tarMembers } from './tar.ts';

/** What a can in `building/` must hold. */
export interface Expected {
  dir: string;
  files: CanFile[];
  items: Pick<PackedItem<unknown>, 'member' | 'bytes' | 'sha256' | 'hash'>[];
  batches: BatchPlace[];
  /** The postcan is members, one for each batch. */
  inMembers: boolean;
}

/**
 * Checks both files against what was packed, in one pass over them: their digests, every post's name and bytes, every
 * line in its member, batch after batch without a gap. Compressed bytes that both files share are compared, and
 * inflated once.
 * @throws Error naming what differs
 */
export async function verifyCan({ dir, files, ...packed }: Expected): Promise<void> {
  const [tar, jsonl] = files.map((file) => new ReadBack(dir, file)) as [ReadBack, ReadBack];
  const { items } = packed;
  try {
    let n = 0;
    for await (const { name, size, body } of tarMembers(texts(tar, jsonl, packed))) {
      const item = items[n++];
      const hash = createHash('sha256');
      for await (const piece of body) hash.update(piece);
      if (!item || name !== item.member || size !== item.bytes || hash.digest('hex') !== item.sha256)
        throw new Error(`${tar.path}: member ${n} (${name}) is not the post that was packed`);
    }
    if (n !== items.length) throw new Error(`${tar.path}: ${n} members, but ${items.length} posts`);
  } finally {
    tar.close();
    jsonl.close();
  }
}

/** The text of the tar, batch by batch; the lines of each are checked on the way. */
async function* texts(
  tar: ReadBack,
  jsonl: ReadBack,
  { items, batches, inMembers }: Pick<Expected, 'items' | 'batches' | 'inMembers'>,
): AsyncGenerator<Buffer> {
  const sum = new Sum();
  const next = (stretch: Buffer, length: number) => {
    if (inMembers) return inflated(tar, stretch, length, inflateWhole);
    const text = inflated(tar, stretch, length);
    sum.crc = zlib.crc32(text, sum.crc);
    sum.length += length;
    return text;
  };
  if (!inMembers && !tar.take(HEADER.length).equals(HEADER))
    throw new Error(`${tar.path}: not the header that was written`);
  let n = 0;
  for (const batch of batches) {
    const stretch = tar.take(batch.tar);
    const text = next(stretch, batch.text);
    const member = jsonl.take(batch.jsonl);
    if (batch.shared) checkShared(jsonl, member, stretch, text, batch.shared);
    else checkLines(jsonl, inflated(jsonl, member, batch.lines, inflateWhole), items.slice(n, n + batch.items), n);
    n += batch.items;
    yield text;
  }
  const end = segment(TAR_END, 9);
  yield next(tar.take((inMembers ? memberOf(end) : end.deflated).length), TAR_END.length);
  const trailer = memberEnd(sum);
  if (!inMembers && !tar.take(trailer.length).equals(trailer))
    throw new Error(`${tar.path}: another sum than that of its text`);
  if (n !== items.length) throw new Error(`${jsonl.path}: ${n} lines, but ${items.length} posts`);
  tar.finish();
  jsonl.finish();
}

function inflated({ path }: ReadBack, deflated: Buffer, length: number, inflate = inflateSegments): Buffer {
  let text: Buffer;
  try {
    text = inflate(deflated, length);
  } catch (error) {
    throw new Error(`${path}: ${(error as Error).message}`);
  }
  if (text.length !== length) throw new Error(`${path}: ${text.length} bytes of text where ${length} were packed`);
  return text;
}

const LF = Buffer.from('\n');

/** Who has the same compressed bytes, and their sum, has the same line. */
function checkShared(jsonl: ReadBack, member: Buffer, stretch: Buffer, text: Buffer, shared: Shared): void {
  const { at, length, from, to } = shared;
  const line = text.subarray(from, to);
  const crc = zlib.crc32(LF, zlib.crc32(line));
  const rest = member.subarray(HEADER.length + length);
  const end = memberEnd({ crc, length: line.length + 1 });
  const same =
    member.subarray(0, HEADER.length).equals(HEADER) &&
    member.subarray(HEADER.length, HEADER.length + length).equals(stretch.subarray(at, at + length)) &&
    inflated(jsonl, rest.subarray(0, -end.length), 1).equals(LF) &&
    rest.subarray(-end.length).equals(end);
  if (!same) throw new Error(`${jsonl.path}: the member before byte ${jsonl.at} is not the line that was packed`);
}

/** @param first number of the first line */
function checkLines(jsonl: ReadBack, text: Buffer, items: Expected['items'], first: number): void {
  let start = 0;
  for (const [i, { hash }] of items.entries()) {
    const lf = text.indexOf(0x0a, start);
    if (lf === -1 || lineHash(text.subarray(start, lf)) !== hash)
      throw new Error(`${jsonl.path}: line ${first + i} is not the one that was packed`);
    start = lf + 1;
  }
  if (start !== text.length) throw new Error(`${jsonl.path}: more lines than posts before byte ${jsonl.at}`);
}

/** A file that is read from its beginning to its end, with its digest. */
class ReadBack {
  readonly path: string;
  at = 0;
  #file: CanFile;
  #fd: number | undefined;
  #hash: Hash = createHash('sha256');

  constructor(dir: string, file: CanFile) {
    this.path = join(dir, file.name);
    this.#file = file;
  }

  take(length: number): Buffer {
    const bytes = Buffer.allocUnsafe(length);
    try {
      this.#fd ??= openSync(this.path, 'r');
      if (readFully(this.#fd, bytes, this.at) < length) throw new Error(`${this.path}: cut short`);
    } catch (error) {
      throw named(this.path, error);
    }
    this.at += length;
    this.#hash.update(bytes);
    return bytes;
  }

  /** @throws Error where there are more or other bytes than were written */
  finish(): void {
    const { name, bytes, sha256 } = this.#file;
    const size = this.#fd === undefined ? 0 : fstatSync(this.#fd).size;
    if (size !== bytes || this.at !== bytes || this.#hash.digest('hex') !== sha256)
      throw new Error(`${name}: read back other bytes than were written`);
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
  }
}
