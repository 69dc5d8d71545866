// One line out of a can, in one ranged read; never another line's bytes.
import { lineHash } from '../record/identity.ts';
import { readJson } from '../record/json.ts';
import { KEY_NAMES, lookupKeys, NO_LINE } from '../record/post.ts';
import { ROW_DEPTH } from '../record/rows.ts';
import { describe, errno, Malformed } from '../stream/errors.ts';
import { inflateMember, isGzip, MEMBER_TEXT } from './gzip.ts';
import type { Found, IndexDb } from './index-db.ts';
import { inflate } from './inflate.ts';
import { SLICE } from './members.ts';
import { peekBytes } from './source.ts';
import type { Store } from './store.ts';

const LF = 0x0a;

/** Faults of the system that belong to one can. */
const OWN = new Set(['ENOENT', 'EACCES', 'EISDIR', 'ENOTDIR', 'EIO', 'ENAMETOOLONG']);

/**
 * The line that a look-up found.
 * @throws Malformed where it is unreadable, or where the store gives other bytes than were indexed
 */
export async function readLine(index: IndexDb, store: Store, found: Found, maxLine: number): Promise<Buffer> {
  const { s3path, linenum } = found;
  if (found.unreadable) {
    const postcan = s3path.replace(/\.jsonl\.gz$/, '.tar.gz');
    const [, folder] = /([^/]+?)\.[^/]*$/.exec(s3path) ?? [];
    throw new Malformed(`unreadable: its bytes are in ${postcan}, member ${folder}/${found.measurement_uid}.post`);
  }
  const place = index.member(found.can, linenum);
  let line: Buffer | undefined;
  try {
    line = place
      ? await lineOfMember(store, s3path, place.offset, place.length, linenum - place.first_line, maxLine)
      : await lineOfStream(store, s3path, linenum, maxLine);
  } catch (error) {
    // What is wrong with one can is told of it; a store that is away is not.
    const own = error instanceof Malformed || OWN.has(errno(error) ?? '');
    if (!own) throw error;
    const reason = describe(error);
    throw new Malformed(reason.includes(s3path) ? reason : `${s3path}: ${reason}`);
  }
  if (line === undefined) throw new Malformed(`${s3path}: ends before line ${linenum}`);
  if (!found.hash && line.equals(NO_LINE)) throw new Malformed(`${s3path}: line ${linenum} is {}: the body is lost`);
  if (!isTheLine(line, found)) throw new Malformed(`${s3path}: line ${linenum} is not the one that was indexed`);
  return line;
}

function isTheLine(line: Buffer, { hash, report_id, input }: Found): boolean {
  if (hash) return lineHash(line) === hash.toString('hex');
  // Nobody kept a hash of a line that others wrote: it must at least answer the question.
  try {
    const keys = lookupKeys(line, readJson(line, { maxDepth: ROW_DEPTH, names: KEY_NAMES }).value);
    return keys.report_id === (report_id ?? '') && keys.input === (input ?? '');
  } catch {
    return false;
  }
}

async function lineOfMember(
  store: Store,
  key: string,
  offset: number,
  length: number,
  n: number,
  maxLine: number,
): Promise<Buffer | undefined> {
  const bytes = await store.read(key, offset, length);
  let text: Buffer;
  try {
    text = await inflateMember(bytes, { maxOutputLength: maxLine + MEMBER_TEXT });
  } catch (error) {
    throw new Malformed(`${key}: no gzip member at byte ${offset} (${(error as NodeJS.ErrnoException).code})`);
  }
  let start = 0;
  for (let i = 0; i < n; i++) {
    const end = text.indexOf(LF, start);
    if (end === -1) return undefined;
    start = end + 1;
  }
  const end = text.indexOf(LF, start);
  return end === -1 ? undefined : text.subarray(start, end);
}

const FIRST_READ = 256 * 1024;
const LARGEST_READ = 4 * 1024 * 1024;

/** Reads a can that others made (usually one gzip stream) from its beginning, and no further than the line. */
async function lineOfStream(store: Store, key: string, n: number, maxLine: number): Promise<Buffer | undefined> {
  const size = await store.size(key);
  if (size === undefined) throw new Malformed(`${key}: not in the store`);
  async function* ranges() {
    let step = FIRST_READ;
    for (let at = 0; at < size!; at += step, step = Math.min(step * 2, LARGEST_READ)) {
      yield await store.read(key, at, Math.min(step, size! - at));
    }
  }
  const { head, all } = await peekBytes(ranges(), 2);
  if (!isGzip(head)) return seek(all, n, maxLine);
  return (
    (await seek(inflateFirstMember(all), n, maxLine, false)) ??
    (await seek(inflate(ranges(), Number.POSITIVE_INFINITY), n, maxLine))
  );
}

/** @param whole the text is all there is: its last line may lack a line feed */
async function seek(
  text: AsyncIterable<Uint8Array>,
  n: number,
  maxLine: number,
  whole = true,
): Promise<Buffer | undefined> {
  const seeker = new LineSeeker(n, maxLine);
  for await (const piece of text) {
    const line = seeker.push(piece as Buffer);
    if (line) return line;
  }
  return whole ? seeker.end() : undefined;
}

/**
 * zlib-sync inflates each chunk at once, so reading stops at the line's own. It knows one member only and does
 * not tell where that ends: a line that it does not reach is looked for again with node's zlib.
 */
async function* inflateFirstMember(source: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  const { default: zlibSync } = await import('zlib-sync');
  const inflater = new zlibSync.Inflate({ windowBits: 31, chunkSize: 256 * 1024 });
  for await (const bytes of source) {
    for (let at = 0; at < bytes.length; at += SLICE) {
      inflater.push(Buffer.from(bytes.subarray(at, at + SLICE)), zlibSync.Z_SYNC_FLUSH);
      if (inflater.err < 0 && inflater.err !== zlibSync.Z_BUF_ERROR)
        throw new Malformed(`broken gzip: ${inflater.msg}`);
      if (inflater.result) yield inflater.result as Buffer;
      if (inflater.err === zlibSync.Z_STREAM_END) return;
    }
  }
}

/** Gathers the n-th line (from 0) of text that comes in pieces. */
class LineSeeker {
  #left: number;
  #max: number;
  #pieces: Buffer[] = [];
  #held = 0;
  constructor(n: number, max: number) {
    this.#left = n;
    this.#max = max;
  }

  /** @returns the line, once its end was seen */
  push(text: Buffer): Buffer | undefined {
    let start = 0;
    for (; this.#left > 0; this.#left--) {
      const end = text.indexOf(LF, start);
      if (end === -1) return undefined;
      start = end + 1;
    }
    const end = text.indexOf(LF, start);
    const piece = text.subarray(start, end === -1 ? text.length : end);
    this.#pieces.push(piece);
    this.#held += piece.length;
    if (this.#held > this.#max) throw new Malformed(`line longer than the limit of ${this.#max} bytes (--max-line)`);
    return end === -1 ? undefined : Buffer.concat(this.#pieces);
  }

  /** A last line without a line feed. */
  end(): Buffer | undefined {
    return this.#left === 0 && this.#held > 0 ? Buffer.concat(this.#pieces) : undefined;
  }
}
