// Lines out of cans, each in one ranged read; never another line's bytes.

import { KEY_NAMES, lookupKeys, NO_LINE } from '../record/facts.ts';
import { lineHash } from '../record/identity.ts';
import { readJson } from '../record/json.ts';
import { ROW_DEPTH } from '../record/rows.ts';
import { describe, errno, Malformed } from '../stream/errors.ts';
import { isGzip } from './gzip.ts';
import type { Found, MemberPlace } from './index-db.ts';
import { inflate } from './inflate.ts';
import { MemberReads } from './memberreads.ts';
import { SLICE } from './members.ts';
import { peekBytes } from './source.ts';
import type { Store } from './store.ts';

const LF = 0x0a;

/** Faults of the system that belong to one can. */
const OWN = new Set(['ENOENT', 'EACCES', 'EISDIR', 'ENOTDIR', 'EIO', 'ENAMETOOLONG']);

/** A line that a look-up found, and its member; a can that others made has none. */
export interface Match {
  found: Found;
  place: MemberPlace | undefined;
}

/** Lines of cans, read with few requests where it is known which will be asked for. */
export class LineReads {
  #members: MemberReads;
  #streams: Streams;

  constructor(maxLine: number) {
    this.#members = new MemberReads(maxLine);
    this.#streams = new Streams(maxLine);
  }

  /** A line will be asked for. */
  want({ found, place }: Match): void {
    if (found.unreadable) return;
    if (place) this.#members.want(found.can, place);
    else this.#streams.want(found);
  }

  /** A line that was to be asked for will not be. */
  forget({ found, place }: Match): void {
    if (found.unreadable) return;
    if (place) this.#members.forget(found.can, place);
    else this.#streams.forget(found);
  }

  /** Has a line's bytes brought, so that `line` need not wait. Whatever is wrong is told then. */
  async prefetch(store: Store, { found, place }: Match): Promise<void> {
    if (found.unreadable) return;
    const bringing = place ? this.#members.prefetch(store, found, place) : this.#streams.prefetch(store, found);
    await bringing.catch(() => undefined);
  }

  /**
   * A line, good until the next is asked for.
   * @throws Malformed where it is unreadable, or where the store gives other bytes than were indexed
   */
  async line(store: Store, { found, place }: Match): Promise<Buffer> {
    const { s3path, linenum } = found;
    if (found.unreadable) {
      const postcan = s3path.replace(/\.jsonl\.gz$/, '.tar.gz');
      const [, folder] = /([^/]+?)\.[^/]*$/.exec(s3path) ?? [];
      throw new Malformed(`unreadable: its bytes are in ${postcan}, member ${folder}/${found.measurement_uid}.post`);
    }
    const judged = (line: Buffer | undefined) => line && { line, isRight: isTheLine(line, found) };
    let given: ReturnType<typeof judged>;
    try {
      if (place) {
        const n = linenum - place.first_line;
        const own = (text: Buffer) => judged(lineFinder(n)(text));
        const soon = lineFinder(n);
        const right = (text: Buffer) => {
          const one = judged(soon(text));
          return one?.isRight ? one : undefined;
        };
        given = await this.#members.read(store, found, place, own, found.hash ? right : undefined);
      } else given = judged(await this.#streams.line(store, found));
    } catch (error) {
      // What is wrong with one can is told of it; a store that is away is not.
      const own = error instanceof Malformed || OWN.has(errno(error) ?? '');
      if (!own) throw error;
      const reason = describe(error);
      throw new Malformed(reason.includes(s3path) ? reason : `${s3path}: ${reason}`);
    }
    if (given === undefined) throw new Malformed(`${s3path}: ends before line ${linenum}`);
    const { line, isRight } = given;
    if (!found.hash && line.equals(NO_LINE)) throw new Malformed(`${s3path}: line ${linenum} is {}: the body is lost`);
    if (!isRight) throw new Malformed(`${s3path}: line ${linenum} is not the one that was indexed`);
    return line;
  }
}

function isTheLine(line: Buffer, { hash, report_id, input }: Found): boolean {
  if (hash) return lineHash(line) === hash;
  // Nobody kept a hash of a line that others wrote: it must at least answer the question.
  try {
    const keys = lookupKeys(line, readJson(line, { maxDepth: ROW_DEPTH, names: KEY_NAMES }).value);
    return keys.report_id === (report_id ?? '') && keys.input === (input ?? '');
  } catch {
    return false;
  }
}

/** Finds the n-th line of a text, from 0; where it has not come yet, it may be asked again with more of the same text. */
function lineFinder(n: number): (text: Buffer) => Buffer | undefined {
  let start = 0;
  let looked = 0;
  return (text) => {
    for (let end = text.indexOf(LF, looked); end !== -1; end = text.indexOf(LF, looked)) {
      if (n-- === 0) return text.subarray(start, end);
      start = looked = end + 1;
    }
    looked = text.length;
    return undefined;
  };
}

const FIRST_READ = 256 * 1024;
const LARGEST_READ = 4 * 1024 * 1024;
/** Lines of one pass that may wait to be asked for, in bytes. */
const KEPT = 32 * 1024 * 1024;
/** Objects that zlib-sync inflates: it gives back no memory of them. */
const MOST_SYNC = 500;

type Place = Pick<Found, 'can' | 's3path' | 'linenum'>;

/**
 * Lines of cans that others made, usually of one gzip stream, which is read from its beginning, no further than the last line that
 * is wanted, and once for all of these.
 */
class Streams {
  readonly maxLine: number;
  #cans = new Map<number, StreamedCan>();
  #inflated = 0;

  constructor(maxLine: number) {
    this.maxLine = maxLine;
  }

  /** A line will be asked for. */
  want({ can, linenum }: Place): void {
    const known = this.#cans.get(can) ?? new StreamedCan(this.maxLine);
    this.#cans.set(can, known);
    known.want(linenum);
  }

  /** A line that was to be asked for will not be. */
  forget({ can, linenum }: Place): void {
    const known = this.#cans.get(can);
    known?.forget(linenum);
    if (known?.isDone) this.#cans.delete(can);
  }

  /** Has a line brought. Whatever is wrong is told by `line`. */
  async prefetch(store: Store, place: Place): Promise<void> {
    await this.#can(place).bring(store, place, () => this.#inflated++ < MOST_SYNC);
  }

  /** The line; undefined where the can ends before it. */
  async line(store: Store, place: Place): Promise<Buffer | undefined> {
    const can = this.#can(place);
    try {
      await this.prefetch(store, place);
      return can.take(place.linenum);
    } finally {
      can.forget(place.linenum);
      if (can.isDone) this.#cans.delete(place.can);
    }
  }

  #can(place: Place): StreamedCan {
    if (!this.#cans.get(place.can)?.wants(place.linenum)) this.want(place);
    return this.#cans.get(place.can)!;
  }
}

class StreamedCan {
  /** Line numbers, and how often each is still asked for. */
  #wanted = new Map<number, number>();
  #kept = new Map<number, Buffer>();
  /** What is known of lines from a number on: that there are none, or why they cannot be read. */
  #end: { from: number; fault?: unknown } | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #maxLine: number;

  constructor(maxLine: number) {
    this.#maxLine = maxLine;
  }

  get isDone(): boolean {
    return this.#wanted.size === 0;
  }

  want(n: number): void {
    this.#wanted.set(n, (this.#wanted.get(n) ?? 0) + 1);
  }

  wants(n: number): boolean {
    return this.#wanted.has(n);
  }

  /** One after the other: what the one reads is there for the next. */
  bring(store: Store, { s3path, linenum }: Place, maySync: () => boolean): Promise<void> {
    const mine = this.#turn.then(async () => {
      if (!this.#knows(linenum)) await this.#read(store, s3path, linenum, maySync());
    });
    this.#turn = mine.catch(() => undefined);
    return mine;
  }

  /** A line that was brought; undefined where the can ends before it. @throws why it cannot be read */
  take(n: number): Buffer | undefined {
    if (this.#end?.fault !== undefined && n >= this.#end.from) throw this.#end.fault;
    return this.#kept.get(n);
  }

  #knows(n: number): boolean {
    return this.#kept.has(n) || (this.#end !== undefined && n >= this.#end.from);
  }

  forget(n: number): void {
    const left = (this.#wanted.get(n) ?? 1) - 1;
    if (left > 0) return void this.#wanted.set(n, left);
    this.#wanted.delete(n);
    this.#kept.delete(n);
  }

  /** Keeps a line, and of the others that are wanted as many as there is room for. */
  async #read(store: Store, key: string, n: number, sync: boolean): Promise<void> {
    await new Promise((done) => setImmediate(done)); // requests that came with this one are told meanwhile
    const numbers = [...new Set([n, ...this.#wanted.keys()])].filter((one) => !this.#knows(one));
    numbers.sort((a, b) => a - b);
    let room = KEPT;
    try {
      for await (const line of linesOf(store, key, [...numbers], this.#maxLine, sync)) {
        const number = numbers.shift()!;
        if (number === n || room > 0) this.#kept.set(number, line);
        room -= line.length;
        if (room <= 0 && this.#kept.has(n)) return;
      }
      if (numbers.length > 0) this.#end = { from: numbers[0]! };
    } catch (fault) {
      this.#end = { from: numbers[0]!, fault };
    }
  }
}

/** The lines of these numbers, in their order, as far as there are any. */
async function* linesOf(
  store: Store,
  key: string,
  numbers: number[],
  maxLine: number,
  sync: boolean,
): AsyncGenerator<Buffer> {
  const size = await store.size(key);
  if (size === undefined) throw new Malformed(`${key}: not in the store`);
  async function* ranges() {
    let step = FIRST_READ;
    for (let at = 0; at < size!; at += step, step = Math.min(step * 2, LARGEST_READ)) {
      yield await store.read(key, at, Math.min(step, size! - at));
    }
  }
  const { head, all } = await peekBytes(ranges(), 2);
  if (!isGzip(head)) return yield* seek(all, numbers, maxLine);
  if (sync) yield* seek(inflateFirstMember(all), numbers, maxLine, false);
  if (numbers.length > 0) yield* seek(inflate(ranges(), Number.POSITIVE_INFINITY), numbers, maxLine);
}

/**
 * @param numbers from which each line that was found is taken away
 * @param whole   the text is all there is: its last line may lack a line feed
 */
async function* seek(
  text: AsyncIterable<Uint8Array>,
  numbers: number[],
  maxLine: number,
  whole = true,
): AsyncGenerator<Buffer> {
  const seeker = new LineSeeker(maxLine);
  for await (const piece of text) {
    let at = 0;
    while (numbers.length > 0 && at !== -1) {
      at = seeker.push(piece as Buffer, at, numbers[0]!);
      if (at === -1) break;
      numbers.shift();
      yield seeker.take();
    }
    if (numbers.length === 0) return;
  }
  if (!whole || !seeker.isWithin(numbers[0]!)) return;
  numbers.shift();
  yield seeker.take();
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

/** Gathers lines, by number from 0, of text that comes in pieces. */
class LineSeeker {
  /** Number of the line that is being read. */
  #at = 0;
  #max: number;
  #pieces: Buffer[] = [];
  #held = 0;
  constructor(max: number) {
    this.#max = max;
  }

  /**
   * Reads on to the end of the n-th line.
   * @param from where in the text to go on
   * @returns where the next line begins, once its end was seen; else -1
   */
  push(text: Buffer, from: number, n: number): number {
    let start = from;
    for (; this.#at < n; this.#at++) {
      const end = text.indexOf(LF, start);
      if (end === -1) return -1;
      start = end + 1;
    }
    const end = text.indexOf(LF, start);
    const piece = text.subarray(start, end === -1 ? text.length : end);
    this.#pieces.push(piece);
    this.#held += piece.length;
    if (this.#held > this.#max) throw new Malformed(`line longer than the limit of ${this.#max} bytes (--max-line)`);
    if (end === -1) return -1;
    this.#at++;
    return end + 1;
  }

  /** True where a line without a line feed has begun. */
  isWithin(n: number): boolean {
    return this.#at === n && this.#held > 0;
  }

  /** The line, copied out of its text. */
  take(): Buffer {
    const line = Buffer.concat(this.#pieces);
    this.#pieces = [];
    this.#held = 0;
    return line;
  }
}
