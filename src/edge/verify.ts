// Reads a can again from the disk and compares it with what went in.
import { createHash, type Hash } from 'node:crypto';
import { closeSync, fstatSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { lineHash } from '../record/identity.ts';
import { named, readFully } from './files.ts';
import { HEADER, inflateMembers, inflateSegments, MEMBER_END, memberEnd, Sum, TRAILER } from './gzip.ts';
import { type BatchPlace, type BuiltCan, endOfTar } from './pack.ts';
import { LINE_END, type PackedItem } from './press.ts';
import { release, releaseAround } from './release.ts';
import { paddingOf, tarHeader } from './tar.ts';

/** What a can in `building/` must hold. */
export interface Expected extends Pick<BuiltCan<unknown>, 'dir' | 'files' | 'batches' | 'inMembers'> {
  items: Pick<PackedItem<unknown>, 'member' | 'mtime' | 'bytes' | 'sha256' | 'hash'>[];
}

type Packed = Pick<Expected, 'items' | 'batches' | 'inMembers'>;

/** Text that is read and inflated at once. */
const STRETCH = 1024 * 1024;

/**
 * Checks both files against what was packed, in one pass over them: every header, post and zero of the tar, every
 * line in its member, batch after batch without a gap. Compressed bytes that both files share are compared, and
 * inflated once, from the lines.
 * @returns SHA-256 of the bytes that were read, of each file
 * @throws Error naming what differs
 */
export async function verifyCan({ dir, files, ...packed }: Expected): Promise<string[]> {
  const both = files.map(({ name, bytes }) => new ReadBack(join(dir, name), bytes)) as [ReadBack, ReadBack];
  try {
    await new CanCheck(both, packed).run();
    return both.map((file) => file.finish());
  } finally {
    for (const file of both) file.close();
  }
}

class CanCheck {
  readonly #tar: ReadBack;
  readonly #jsonl: ReadBack;
  readonly #packed: Packed;
  /** Of the tar's text. */
  readonly #sum = new Sum();
  /** Items that were seen. */
  #seen = 0;

  constructor([tar, jsonl]: [ReadBack, ReadBack], packed: Packed) {
    this.#tar = tar;
    this.#jsonl = jsonl;
    this.#packed = packed;
  }

  async run(): Promise<void> {
    const { items, batches, inMembers } = this.#packed;
    const tar = this.#tar;
    if (!inMembers && !tar.take(HEADER.length).equals(HEADER)) tar.fail('not the header that was written');
    for (let n = 0; n < batches.length; ) {
      const stretch: BatchPlace[] = [];
      for (let text = 0; n < batches.length && (text === 0 || text + batches[n]!.text <= STRETCH); n++) {
        stretch.push(batches[n]!);
        text += batches[n]!.text;
      }
      await this.#check(stretch);
    }
    if (this.#seen !== items.length) tar.fail(`${this.#seen} members, but ${items.length} posts`);
    const last = endOfTar(this.#sum, inMembers);
    if (!tar.take(last.length).equals(last)) tar.fail('another end, or another sum than that of its text');
  }

  async #check(stretch: BatchPlace[]): Promise<void> {
    const tar = cut(
      this.#tar,
      stretch.map((batch) => batch.tar),
    );
    const jsonl = cut(
      this.#jsonl,
      stretch.map((batch) => batch.jsonl),
    );
    const lines = new Text(this.#jsonl, sum(stretch.map((batch) => batch.lines)), (length) =>
      inflateMembers(jsonl.all, length),
    );
    const rest = new Text(this.#tar, sum(stretch.map(aroundLine)), (length) =>
      this.#packed.inMembers
        ? inflateMembers(tar.all, length)
        : inflateSegments(aroundShared(tar.parts, stretch), length),
    );
    for (const [n, batch] of stretch.entries()) {
      const bytes = { tar: tar.parts[n]!, jsonl: jsonl.parts[n]! };
      if (batch.shared) await this.#shared(batch, lines.take(batch.lines), rest, bytes);
      else await this.#grouped(batch, lines.take(batch.lines), rest, bytes);
    }
    lines.release();
    rest.release();
  }

  /** Each batch must be a member by itself. */
  #frame(member: Buffer, sum: { crc: number; length: number }): void {
    const trailer = memberEnd(sum).subarray(-TRAILER);
    if (!member.subarray(0, HEADER.length).equals(HEADER) || !member.subarray(-TRAILER).equals(trailer))
      this.#jsonl.fail(`no member of ${sum.length} bytes of text`);
  }

  /** A line that stands in both files in the same compressed bytes. */
  async #shared({ shared, text }: BatchPlace, lines: Buffer, rest: Text, bytes: Bytes): Promise<void> {
    const { at, length, from, to } = shared!;
    const line = lines.subarray(0, to - from);
    const crc = crc32(line);
    this.#frame(bytes.jsonl, { crc: crc32(LF, crc), length: line.length + LF.length });
    const content = bytes.tar.subarray(at, at + length);
    const compressed = bytes.jsonl.subarray(HEADER.length, -MEMBER_END);
    if (!compressed.subarray(0, length).equals(content) || !compressed.subarray(length).equals(LINE_END))
      this.#jsonl.fail('not the bytes that the tar has');
    const before = rest.take(from);
    const after = rest.take(text - to);
    this.#sum.addText(before);
    this.#sum.add({ crc, length: line.length });
    this.#sum.addText(after);
    const { item, header } = await this.#next(before);
    const head = before.subarray(header);
    const tail = after.subarray(0, item.bytes - head.length - line.length);
    this.#post(item, [head, line, tail], after.subarray(tail.length));
  }

  /** Measurements that were compressed together. */
  async #grouped(batch: BatchPlace, lines: Buffer, rest: Text, bytes: Bytes): Promise<void> {
    this.#frame(bytes.jsonl, { crc: crc32(lines), length: lines.length });
    const text = rest.take(batch.text);
    if (!this.#packed.inMembers) this.#sum.addText(text);
    let at = 0;
    let start = 0;
    for (let n = 0; n < batch.items; n++) {
      const { item, header } = await this.#next(text.subarray(at));
      at += header;
      const padding = paddingOf(item.bytes).length;
      this.#post(item, [text.subarray(at, at + item.bytes)], text.subarray(at + item.bytes, at + item.bytes + padding));
      at += item.bytes + padding;
      const lf = lines.indexOf(0x0a, start);
      if (lf === -1 || lineHash(lines.subarray(start, lf)) !== item.hash)
        this.#jsonl.fail(`line ${this.#seen - 1} is not the one that was packed`);
      start = lf + 1;
    }
    if (at !== text.length) this.#tar.fail('more posts than were packed');
    if (start !== lines.length) this.#jsonl.fail('more lines than posts');
  }

  /** The item whose member begins here, and the length of its header. */
  async #next(text: Buffer): Promise<{ item: Expected['items'][number]; header: number }> {
    const item = this.#packed.items[this.#seen++];
    if (!item) return this.#tar.fail(`more members than ${this.#packed.items.length} posts`);
    const { member: name, bytes, mtime } = item;
    const header = await tarHeader({ name, bytes, mtime });
    if (!text.subarray(0, header.length).equals(header))
      this.#tar.fail(`member ${this.#seen} has not the header of ${name}`);
    return { item, header: header.length };
  }

  #post({ member, bytes, sha256 }: Expected['items'][number], pieces: Buffer[], padding: Buffer): void {
    const hash = createHash('sha256');
    let length = 0;
    for (const piece of pieces) {
      hash.update(piece);
      length += piece.length;
    }
    if (length !== bytes || hash.digest('hex') !== sha256 || !padding.equals(paddingOf(bytes)))
      this.#tar.fail(`member ${this.#seen} (${member}) is not the post that was packed`);
  }
}

const LF = Buffer.from('\n');

/** What a batch is in both files. */
interface Bytes {
  tar: Buffer;
  jsonl: Buffer;
}

const sum = (lengths: number[]) => lengths.reduce((all, length) => all + length, 0);

/** Text of the tar that the lines do not have. */
const aroundLine = ({ text, shared }: BatchPlace) => (shared ? text - (shared.to - shared.from) : text);

/** Deflated bytes of the tar without those that the lines have as well. */
function aroundShared(tar: Buffer[], stretch: BatchPlace[]): Buffer[] {
  return stretch.flatMap(({ shared }, n) => {
    const bytes = tar[n]!;
    return shared ? [bytes.subarray(0, shared.at), bytes.subarray(shared.at + shared.length)] : [bytes];
  });
}

/** The next bytes of a file, and the same cut where these lengths end. */
function cut(file: ReadBack, lengths: number[]): { all: Buffer; parts: Buffer[] } {
  const all = file.take(sum(lengths));
  let at = 0;
  const parts = lengths.map((length) => {
    at += length;
    return all.subarray(at - length, at);
  });
  return { all, parts };
}

/** Inflated text, from its beginning to its end. */
class Text {
  readonly #text: Buffer;
  #at = 0;

  constructor(file: ReadBack, length: number, inflate: (length: number) => Buffer) {
    try {
      this.#text = inflate(length);
    } catch (error) {
      file.fail((error as Error).message);
    }
    if (this.#text.length !== length) file.fail(`${this.#text.length} bytes of text where ${length} were packed`);
  }

  take(length: number): Buffer {
    this.#at += length;
    return this.#text.subarray(this.#at - length, this.#at);
  }

  /** Nothing is taken any more. */
  release(): void {
    releaseAround(this.#text);
  }
}

/** A file that is read from its beginning to its end, with its digest. */
class ReadBack {
  readonly #path: string;
  readonly #bytes: number;
  #at = 0;
  #fd: number | undefined;
  #room: Buffer = Buffer.alloc(0);
  #hash: Hash = createHash('sha256');

  constructor(path: string, bytes: number) {
    this.#path = path;
    this.#bytes = bytes;
  }

  fail(what: string): never {
    throw new Error(`${this.#path}: before byte ${this.#at}: ${what}`);
  }

  /** @returns what is good until more is taken */
  take(length: number): Buffer {
    if (length > this.#room.length) this.#room = Buffer.allocUnsafeSlow(Math.max(length, STRETCH));
    const bytes = this.#room.subarray(0, length);
    try {
      this.#fd ??= openSync(this.#path, 'r');
      if (readFully(this.#fd, bytes, this.#at) < length) throw new Error(`${this.#path}: cut short`);
    } catch (error) {
      throw named(this.#path, error);
    }
    this.#at += length;
    this.#hash.update(bytes);
    return bytes;
  }

  /** @throws Error where there are more or fewer bytes than were written */
  finish(): string {
    const size = this.#fd === undefined ? 0 : fstatSync(this.#fd).size;
    if (size !== this.#bytes || this.#at !== this.#bytes) this.fail(`${size} bytes, but ${this.#bytes} were written`);
    return this.#hash.digest('hex');
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    release(this.#room);
  }
}
