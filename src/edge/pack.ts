// Makes cans: two files with the same measurements in the same order. The lines are a series of gzip members, so that
// one can be read by itself; the posts are one member, which every reader of gzip takes whole. What a program of the user's
// makes are members always.
import { createHash, type Hash } from 'node:crypto';
import { rmSync } from 'node:fs';
import { type FileHandle, mkdir, open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { JSONL_EXT, keyFolder, POSTCAN_EXT, parseCanName } from '../record/names.ts';
import { named } from './files.ts';
import { HEADER, memberEnd, memberOf, Sum, segment } from './gzip.ts';
import type { CanFile, IndexRow } from './outgoing.ts';
import { type Batch, END_ROOM, type PackedItem, type Shared } from './press.ts';
import { release } from './release.ts';
import { TAR_END } from './tar.ts';

/** Text of the rows of one can: a can of very many small measurements ends before its rows are too much for memory. */
const MAX_ROWS = 32 * 1024 * 1024;

/** Where a batch stands in both files, one behind the other, for who reads them back. */
export interface BatchPlace {
  items: number;
  jsonl: number;
  /** Text of the member. */
  lines: number;
  tar: number;
  /** Text of the stretch of the tar. */
  text: number;
  shared: Shared | null;
}

/** A can that lies complete in `building/`, not yet verified. */
export interface BuiltCan<O> {
  can: string;
  /** What its batches came under. */
  group: string;
  dir: string;
  files: CanFile[];
  rows: IndexRow[];
  items: PackedItem<O>[];
  batches: BatchPlace[];
  /** Its postcan is members, one for each batch. */
  inMembers: boolean;
}

/** Batches of one group, which goes into cans of its own. */
export interface Pressed<O> {
  group: string;
  batches: Batch<O>[];
  /** Nothing more of the group comes: its can is not kept waiting for the next one. */
  last: boolean;
}

export interface PackOptions {
  /** Compressed size at which the next can begins; a batch is never split, and a larger one has a can for itself. */
  maxBytes: number;
  /** Makes the name of the next can; without it only its content can tell (row cans). */
  begin?: (group: string) => string;
  /** Names a can from the digests of its two files, where `begin` could not. */
  nameOf?: (files: CanFile[]) => string;
  /** The batches' stretches of the tar are whole gzip members. */
  inMembers: boolean;
}

/** Packs batches, in order, into one can after the other; those of a group come together. */
export async function* packCans<O>(
  building: string,
  pressed: AsyncIterable<Pressed<O>>,
  { maxBytes, begin, nameOf = () => '', inMembers }: PackOptions,
): AsyncGenerator<BuiltCan<O>> {
  let writer: CanWriter<O> | undefined;
  const finish = (whole: CanWriter<O>) => {
    writer = undefined;
    return whole.finish(nameOf);
  };
  try {
    for await (const { group, batches, last } of pressed) {
      for (const batch of batches) {
        if (writer && (writer.group !== group || !writer.fits(batch, maxBytes))) yield await finish(writer);
        writer ??= await CanWriter.create<O>(building, group, begin?.(group), inMembers);
        await writer.append(batch);
      }
      if (writer && last) yield await finish(writer);
    }
    if (writer) yield await finish(writer);
  } finally {
    await writer?.abandon();
  }
}

/** About as much as rows.jsonl takes for these items. */
function rowText<O>(items: PackedItem<O>[]): number {
  return items.reduce((sum, { report_id, input }) => sum + 200 + report_id.length + input.length, 0);
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

  async write(bytes: Uint8Array): Promise<void> {
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
  readonly group: string;
  #name: string | undefined;
  #dir: string;
  #building: string;
  #tar: HashedFile;
  #jsonl: HashedFile;
  #sum = new Sum();
  #rows: IndexRow[] = [];
  #rowText = 0;
  #items: PackedItem<O>[] = [];
  #batches: BatchPlace[] = [];

  #inMembers: boolean;

  private constructor(
    building: string,
    group: string,
    name: string | undefined,
    dir: string,
    files: HashedFile[],
    inMembers: boolean,
  ) {
    this.#inMembers = inMembers;
    this.#building = building;
    this.group = group;
    this.#name = name;
    this.#dir = dir;
    [this.#tar, this.#jsonl] = files as [HashedFile, HashedFile];
  }

  static async create<O>(
    building: string,
    group: string,
    name: string | undefined,
    inMembers: boolean,
  ): Promise<CanWriter<O>> {
    const dir = join(building, name ?? `unnamed-${unnamed++}`);
    await mkdir(dir);
    const file = (ext: string) => HashedFile.create(join(dir, `${name ?? 'unnamed'}${ext}`));
    const files = [await file(POSTCAN_EXT), await file(JSONL_EXT)];
    return new CanWriter<O>(building, group, name, dir, files, inMembers);
  }

  /** True while the can stays within the limit with this batch. */
  fits({ items, tar, jsonl }: Batch<O>, maxBytes: number): boolean {
    if (this.#rowText + rowText(items) > MAX_ROWS) return false;
    return Math.max(this.#tar.bytes + tar.deflated.length + END_ROOM, this.#jsonl.bytes + jsonl.length) <= maxBytes;
  }

  async append({ items, tar, jsonl, lines, shared }: Batch<O>): Promise<void> {
    this.#rowText += rowText(items);
    const offset = this.#jsonl.bytes;
    const { length } = jsonl;
    for (const item of items) {
      const { uid: measurement_uid, report_id, input, hash, unreadable } = item;
      const row: IndexRow = { measurement_uid, report_id, input, linenum: this.#rows.length, offset, length, hash };
      if (unreadable) row.unreadable = true;
      this.#rows.push(row);
      this.#items.push(item);
    }
    const place = { jsonl: length, lines, tar: tar.deflated.length, text: tar.length, shared };
    this.#batches.push({ items: items.length, ...place });
    if (this.#tar.bytes === 0 && !this.#inMembers) await this.#tar.write(HEADER);
    this.#sum.add(tar);
    await this.#tar.write(tar.deflated);
    await this.#jsonl.write(jsonl);
    release(tar.deflated, jsonl);
  }

  /** Closes both files and gives the can its name. */
  async finish(nameOf: (files: CanFile[]) => string): Promise<BuiltCan<O>> {
    try {
      const end = segment(TAR_END, 9);
      this.#sum.add(end);
      await this.#tar.write(this.#inMembers ? memberOf(end) : Buffer.concat([end.deflated, memberEnd(this.#sum)]));
      const digests = await Promise.all([this.#tar.finish(), this.#jsonl.finish()]);
      const extensions = [POSTCAN_EXT, JSONL_EXT];
      const unnamed = extensions.map((ext, i) => ({ name: ext, s3path: '', ...digests[i]! }));
      const can = this.#name ?? nameOf(unnamed);
      if (this.#name === undefined) {
        const dir = join(this.#building, can);
        for (const ext of extensions) await rename(join(this.#dir, `unnamed${ext}`), join(this.#dir, can + ext));
        await rename(this.#dir, dir);
        this.#dir = dir;
      }
      const key = keyFolder(parseCanName(can)!);
      const files = unnamed.map((file) => ({ ...file, name: can + file.name, s3path: `${key}/${can}${file.name}` }));
      const { group } = this;
      const content = { rows: this.#rows, items: this.#items, batches: this.#batches, inMembers: this.#inMembers };
      return { can, group, dir: this.#dir, files, ...content };
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
