// Makes cans: two files with the same measurements in the same order. A large measurement is deflated once
// and its bytes stand in both; small ones are deflated in groups. The lines are a series of gzip members, so that
// one can be read by itself; the posts are one member, which every reader of gzip takes whole.
import { createHash, type Hash } from 'node:crypto';
import { rmSync } from 'node:fs';
import { type FileHandle, mkdir, open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { lineHash, sha256 } from '../record/identity.ts';
import { JSONL_EXT, keyFolder, POSTCAN_EXT, parseCanName } from '../record/names.ts';
import { orderedMap } from '../stream/ordered.ts';
import { named } from './files.ts';
import { MemberWriter, memberOf, type Segment, segment, segmentSync } from './gzip.ts';
import type { CanFile, IndexRow } from './outgoing.ts';
import { TAR_END, TarFrame } from './tar.ts';

/** One measurement on its way into a can; `origin` is the caller's own. */
export interface Item<O> {
  /** Name in the tar: `<folder>/<uid>.post`. */
  member: string;
  /** Milliseconds since the epoch. */
  mtime: number;
  /** Bytes of the post. */
  post: Buffer;
  /** Its line, without line feed; `{}` when unreadable. */
  line: Buffer;
  /** Where the line's very bytes stand in the post. */
  within: { start: number; end: number } | null;
  uid: string | null;
  report_id: string;
  input: string;
  unreadable: boolean;
  origin: O;
}

/** Text of a jsonl member, and the size from which a measurement is deflated alone and shared. */
export const MEMBER_TEXT = 64 * 1024;

interface FramedItem<O> extends Item<O> {
  /** Tar header of the post. */
  header: Buffer;
  /** Zeros after it. */
  padding: Buffer;
}

/** Text of the rows of one can: a can of very many small measurements ends before its rows are too much for memory. */
const MAX_ROWS = 32 * 1024 * 1024;

/** Measurements compressed together: a member of the jsonl, and a run of segments of the tar. */
interface Batch<O> {
  items: FramedItem<O>[];
  jsonl: Buffer;
  tar: Segment[];
}

export interface PackOptions {
  /** Compressed size at which the next can begins; a measurement is never split, and a larger one has a can for itself. */
  maxBytes: number;
  /** Of deflate, 1 to 9. */
  level: number;
}

/** A can that lies complete in `building/`, not yet verified. */
export interface BuiltCan<O> {
  can: string;
  dir: string;
  files: CanFile[];
  rows: IndexRow[];
  items: PackedItem<O>[];
}

/** What is kept of an item once its bytes are in the can. */
export interface PackedItem<O> {
  member: string;
  bytes: number;
  sha256: string;
  unreadable: boolean;
  origin: O;
}

/**
 * Packs items, in order, into one can after the other.
 * @param begin  makes the name of the next can; undefined when only its content can tell (row cans)
 * @param nameOf names a can from the digests of its two files, where `begin` could not
 */
export async function* packCans<O>(
  building: string,
  items: AsyncIterable<Item<O>>,
  options: PackOptions,
  begin: () => string | undefined,
  nameOf: (files: CanFile[]) => string = () => '',
): AsyncGenerator<BuiltCan<O>> {
  const compress = (group: FramedItem<O>[]) => compressBatch(group, options.level);
  const batches = orderedMap(inBatches(items), compress, {
    concurrency: 4,
    weigh: (group) => group.reduce((sum, item) => sum + item.post.length, 0),
    maxWeight: 16 * 1024 * 1024,
  });
  let writer: CanWriter<O> | undefined;
  try {
    for await (const batch of batches) {
      const waiting = [batch];
      for (let next = waiting.shift(); next; next = waiting.shift()) {
        if (writer && !writer.fits(next, options.maxBytes)) {
          const full: CanWriter<O> = writer;
          writer = undefined;
          yield await full.finish(nameOf);
        }
        if (!writer && next.items.length > 1 && !fitsAlone(next, options.maxBytes)) {
          // A limit smaller than one group of small measurements: halve the group until it fits.
          const half = next.items.length >> 1;
          waiting.unshift(await compress(next.items.slice(0, half)), await compress(next.items.slice(half)));
          continue;
        }
        writer ??= await CanWriter.create<O>(building, begin());
        await writer.append(next);
      }
    }
    if (writer) {
      const last = writer;
      writer = undefined;
      yield await last.finish(nameOf);
    }
  } finally {
    await writer?.abandon();
  }
}

/** Groups lines up to MEMBER_TEXT; a large one stands alone. The grouping depends on the items alone. */
async function* inBatches<O>(items: AsyncIterable<Item<O>>): AsyncGenerator<FramedItem<O>[]> {
  const frame = new TarFrame();
  let group: FramedItem<O>[] = [];
  let text = 0;
  for await (const item of items) {
    const large = Math.max(item.line.length, item.post.length) >= MEMBER_TEXT;
    if (large && group.length > 0) {
      yield group;
      group = [];
      text = 0;
    }
    group.push({ ...item, ...(await frame.around(item.member, item.post, item.mtime)) });
    text += item.line.length + 1;
    if (!large && text < MEMBER_TEXT) continue;
    yield group;
    group = [];
    text = 0;
  }
  if (group.length > 0) yield group;
}

const LF = Buffer.from('\n');

async function compressBatch<O>(items: FramedItem<O>[], level: number): Promise<Batch<O>> {
  const { post, line, within, header, padding } = items[0]!;
  if (items.length === 1 && within && line.length >= MEMBER_TEXT) {
    const shared: Segment = await segment(line, level);
    const before = segmentSync(Buffer.concat([header, post.subarray(0, within.start)]), level);
    const after = segmentSync(Buffer.concat([post.subarray(within.end), padding]), level);
    return { items, jsonl: memberOf([shared, segmentSync(LF, level)]), tar: [before, shared, after] };
  }
  const lines = Buffer.concat(items.flatMap((item) => [item.line, LF]));
  const posts = Buffer.concat(items.flatMap((item) => [item.header, item.post, item.padding]));
  const [jsonl, tar] = await Promise.all([segment(lines, level), segment(posts, level)]);
  return { items, jsonl: memberOf([jsonl]), tar: [tar] };
}

/** Bytes that gzip's frame and the end of the tar may take. */
const END_ROOM = 64;

/** About as much as rows.jsonl takes for these items. */
function rowText<O>(items: Item<O>[]): number {
  return items.reduce((sum, { report_id, input }) => sum + 200 + report_id.length + input.length, 0);
}

function deflatedSize(segments: Segment[]): number {
  return segments.reduce((sum, { deflated }) => sum + deflated.length, 0);
}

function fitsAlone<O>(batch: Batch<O>, maxBytes: number): boolean {
  return Math.max(deflatedSize(batch.tar) + END_ROOM, batch.jsonl.length) <= maxBytes;
}

/** A file being written, with its digests. */
class HashedFile {
  bytes = 0;
  #path: string;
  #handle: FileHandle;
  #sha: Hash = createHash('sha256');
  #md5: Hash = createHash('md5');

  private constructor(path: string, handle: FileHandle) {
    this.#path = path;
    this.#handle = handle;
  }

  static async create(path: string): Promise<HashedFile> {
    return new HashedFile(path, await open(path, 'wx', 0o644));
  }

  async write(bytes: Buffer): Promise<void> {
    this.#sha.update(bytes);
    this.#md5.update(bytes);
    this.bytes += bytes.length;
    try {
      for (let done = 0; done < bytes.length; ) done += (await this.#handle.write(bytes, done)).bytesWritten;
    } catch (error) {
      throw named(this.#path, error);
    }
  }

  /** fsync and close; after a failed fsync the file is never tried again. */
  async finish(): Promise<{ bytes: number; sha256: string; md5: string }> {
    try {
      await this.#handle.sync();
      await this.#handle.close();
    } catch (error) {
      throw named(this.#path, error);
    }
    return { bytes: this.bytes, sha256: this.#sha.digest('hex'), md5: this.#md5.digest('hex') };
  }

  async close(): Promise<void> {
    await this.#handle.close().catch(() => undefined);
  }
}

class CanWriter<O> {
  #name: string | undefined;
  #dir: string;
  #building: string;
  #tar: HashedFile;
  #jsonl: HashedFile;
  #member = new MemberWriter();
  #rows: IndexRow[] = [];
  #rowText = 0;
  #items: PackedItem<O>[] = [];

  private constructor(building: string, name: string | undefined, dir: string, tar: HashedFile, jsonl: HashedFile) {
    this.#building = building;
    this.#name = name;
    this.#dir = dir;
    this.#tar = tar;
    this.#jsonl = jsonl;
  }

  static async create<O>(building: string, name: string | undefined): Promise<CanWriter<O>> {
    const dir = join(building, name ?? `unnamed-${unnamed++}`);
    await mkdir(dir);
    const file = (ext: string) => HashedFile.create(join(dir, `${name ?? 'unnamed'}${ext}`));
    return new CanWriter<O>(building, name, dir, await file(POSTCAN_EXT), await file(JSONL_EXT));
  }

  /** True while the can stays within the limit with this batch. */
  fits(batch: Batch<O>, maxBytes: number): boolean {
    if (this.#rowText + rowText(batch.items) > MAX_ROWS) return false;
    const tar = this.#tar.bytes + deflatedSize(batch.tar) + END_ROOM;
    return Math.max(tar, this.#jsonl.bytes + batch.jsonl.length) <= maxBytes;
  }

  async append(batch: Batch<O>): Promise<void> {
    this.#rowText += rowText(batch.items);
    const offset = this.#jsonl.bytes;
    const { length } = batch.jsonl;
    for (const item of batch.items) {
      const { uid: measurement_uid, report_id, input, line, unreadable } = item;
      const row: IndexRow = {
        measurement_uid,
        report_id,
        input,
        linenum: this.#rows.length,
        offset,
        length,
        hash: lineHash(line),
      };
      if (unreadable) row.unreadable = true;
      this.#rows.push(row);
      const { member, post, origin } = item;
      this.#items.push({ member, bytes: post.length, sha256: sha256(post), unreadable, origin });
    }
    await this.#writeTar(batch.tar);
    await this.#jsonl.write(batch.jsonl);
  }

  async #writeTar(segments: Segment[]): Promise<void> {
    if (this.#tar.bytes === 0) await this.#tar.write(this.#member.begin());
    for (const one of segments) await this.#tar.write(this.#member.add(one));
  }

  /** Closes both files and gives the can its name. */
  async finish(nameOf: (files: CanFile[]) => string): Promise<BuiltCan<O>> {
    try {
      await this.#writeTar([segmentSync(TAR_END, 9)]);
      await this.#tar.write(this.#member.end());
      const digests = [await this.#tar.finish(), await this.#jsonl.finish()];
      const extensions = [POSTCAN_EXT, JSONL_EXT];
      const unnamed = extensions.map((ext, i) => ({ name: ext, s3path: '', ...digests[i]! }));
      const can = this.#name ?? nameOf(unnamed);
      let dir = this.#dir;
      if (this.#name === undefined) {
        dir = join(this.#building, can);
        for (const ext of extensions) await rename(join(this.#dir, `unnamed${ext}`), join(this.#dir, can + ext));
        await rename(this.#dir, dir);
        this.#dir = dir;
      }
      const key = keyFolder(parseCanName(can)!);
      const files = unnamed.map((file) => ({ ...file, name: can + file.name, s3path: `${key}/${can}${file.name}` }));
      return { can, dir, files, rows: this.#rows, items: this.#items };
    } catch (error) {
      await this.abandon();
      throw error;
    }
  }

  /** Gives the disk space back. */
  async abandon(): Promise<void> {
    await this.#tar.close();
    await this.#jsonl.close();
    rmSync(this.#dir, { recursive: true, force: true });
  }
}

let unnamed = 0;
