// Makes cans: two files with the same measurements in the same order. The lines are a series of gzip members, so that
// one can be read by itself; the posts are one member, which every reader of gzip takes whole. What a program of the user's
// makes are members always.
import { rmSync } from 'node:fs';
import { type FileHandle, mkdir, open } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { JSONL_EXT, POSTCAN_EXT } from '../record/names.ts';
import { named } from './files.ts';
import { HEADER, memberEnd, memberOf, Sum, segment } from './gzip.ts';
import type { IndexRow } from './outgoing.ts';
import { type Batch, END_ROOM, type PackedItem, type Pressing } from './press.ts';
import { release } from './release.ts';
import { TAR_END } from './tar.ts';

/** Text of the rows of one can: a can of very many small measurements ends before its rows are too much for memory. */
const MAX_ROWS = 32 * 1024 * 1024;

/** Where a batch stands in both files, one behind the other, for who reads them back. */
export type BatchPlace = Pick<Batch<unknown>, 'jsonl' | 'lines' | 'tar' | 'text' | 'shared'> & { items: number };

/** A can that lies complete in `building/`, not yet read back. */
export interface BuiltCan<O> {
  /** Undefined where its content will name it. */
  can: string | undefined;
  /** What its batches came under. */
  group: string;
  dir: string;
  /** The postcan and the lines, by their names in `dir`. */
  files: WrittenFile[];
  rows: IndexRow[];
  items: PackedItem<O>[];
  batches: BatchPlace[];
  /** Its postcan is members, one for each batch. */
  inMembers: boolean;
}

export interface WrittenFile {
  name: string;
  bytes: number;
}

/** Batches of one group, which goes into cans of its own. */
export interface Pressed<O> extends Pressing<O> {
  group: string;
  /** Nothing more of the group comes: its can is not kept waiting for the next one. */
  last: boolean;
}

export interface PackOptions {
  /** Compressed size at which the next can begins; a batch is never split, and a larger one has a can for itself. */
  maxBytes: number;
  /** Makes the name of the next can; without it only its content can tell (row cans). */
  begin?: (group: string) => string;
  /** The batches' stretches of the tar are whole gzip members. */
  inMembers: boolean;
}

/** Packs batches, in order, into one can after the other; those of a group come together. */
export async function* packCans<O>(
  building: string,
  pressed: AsyncIterable<Pressed<O>>,
  { maxBytes, begin, inMembers }: PackOptions,
): AsyncGenerator<BuiltCan<O>> {
  let writer: CanWriter<O> | undefined;
  const finish = (whole: CanWriter<O>) => {
    writer = undefined;
    return whole.finish();
  };
  try {
    for await (const { group, last, ...pressing } of pressed) {
      for (let rest: Pressing<O> = pressing; rest.batches.length > 0; ) {
        if (writer && (writer.group !== group || !writer.fits(rest.batches[0]!, maxBytes))) yield await finish(writer);
        writer ??= await CanWriter.create<O>(building, group, begin?.(group), inMembers);
        rest = await writer.append(rest, maxBytes);
      }
      release(pressing.tar, pressing.jsonl);
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

/** What ends a postcan. @param sum of its text so far, to which that of the end is added */
export function endOfTar(sum: Sum, inMembers: boolean): Buffer {
  const end = segment(TAR_END, 9);
  sum.add(end);
  return inMembers ? memberOf(end) : Buffer.concat([end.deflated, memberEnd(sum)]);
}

/** A file being written. */
class NewFile {
  bytes = 0;
  #path: string;
  #handle: FileHandle;

  private constructor(path: string, handle: FileHandle) {
    this.#path = path;
    this.#handle = handle;
  }

  static async create(path: string): Promise<NewFile> {
    return new NewFile(path, await open(path, 'wx', 0o644));
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.bytes += bytes.length;
    try {
      for (let done = 0; done < bytes.length; ) done += (await this.#handle.write(bytes, done)).bytesWritten;
    } catch (error) {
      throw named(this.#path, error);
    }
  }

  /** fsync and close; after a failed fsync the file is never tried again. */
  async finish(): Promise<WrittenFile> {
    try {
      await this.#handle.sync();
      await this.#handle.close();
    } catch (error) {
      throw named(this.#path, error);
    }
    return { name: basename(this.#path), bytes: this.bytes };
  }

  async close(): Promise<void> {
    await this.#handle.close().catch(() => undefined);
  }
}

class CanWriter<O> {
  readonly group: string;
  #name: string | undefined;
  #dir: string;
  #tar: NewFile;
  #jsonl: NewFile;
  /** Bytes that both have with the batches that are in their turn. */
  #bytes: { tar: number; jsonl: number };
  #sum = new Sum();
  #rows: IndexRow[] = [];
  #rowText = 0;
  #items: PackedItem<O>[] = [];
  #batches: BatchPlace[] = [];
  #inMembers: boolean;

  private constructor(group: string, name: string | undefined, dir: string, files: NewFile[], inMembers: boolean) {
    this.group = group;
    this.#name = name;
    this.#dir = dir;
    [this.#tar, this.#jsonl] = files as [NewFile, NewFile];
    this.#inMembers = inMembers;
    this.#bytes = { tar: inMembers ? 0 : HEADER.length, jsonl: 0 };
  }

  static async create<O>(
    building: string,
    group: string,
    name: string | undefined,
    inMembers: boolean,
  ): Promise<CanWriter<O>> {
    const dir = join(building, name ?? `unnamed-${unnamed++}`);
    await mkdir(dir);
    const file = (ext: string) => NewFile.create(join(dir, `${name ?? 'unnamed'}${ext}`));
    const files = [await file(POSTCAN_EXT), await file(JSONL_EXT)];
    return new CanWriter<O>(group, name, dir, files, inMembers);
  }

  /** True while the can stays within the limit with this batch. */
  fits({ items, tar, jsonl }: Batch<O>, maxBytes: number): boolean {
    if (this.#rowText + rowText(items) > MAX_ROWS) return false;
    return Math.max(this.#bytes.tar + tar + END_ROOM, this.#bytes.jsonl + jsonl) <= maxBytes;
  }

  /** Takes the first batch, and those behind it that fit. @returns the others */
  async append({ batches, tar, jsonl }: Pressing<O>, maxBytes: number): Promise<Pressing<O>> {
    const before = { ...this.#bytes };
    let n = 0;
    do this.#note(batches[n++]!);
    while (n < batches.length && this.fits(batches[n]!, maxBytes));
    const taken = { tar: this.#bytes.tar - before.tar, jsonl: this.#bytes.jsonl - before.jsonl };
    if (this.#tar.bytes === 0 && !this.#inMembers) await this.#tar.write(HEADER);
    await this.#tar.write(tar.subarray(0, taken.tar));
    await this.#jsonl.write(jsonl.subarray(0, taken.jsonl));
    return { batches: batches.slice(n), tar: tar.subarray(taken.tar), jsonl: jsonl.subarray(taken.jsonl) };
  }

  #note({ items, tar, jsonl, lines, text, crc, shared }: Batch<O>): void {
    const { jsonl: offset } = this.#bytes;
    this.#rowText += rowText(items);
    for (const item of items) {
      const { uid: measurement_uid, report_id, input, hash, unreadable } = item;
      const linenum = this.#rows.length;
      const row: IndexRow = { measurement_uid, report_id, input, linenum, offset, length: jsonl, hash };
      if (unreadable) row.unreadable = true;
      this.#rows.push(row);
      this.#items.push(item);
    }
    this.#batches.push({ items: items.length, jsonl, lines, tar, text, shared });
    this.#sum.add({ crc, length: text });
    this.#bytes.tar += tar;
    this.#bytes.jsonl += jsonl;
  }

  /** Closes both files. */
  async finish(): Promise<BuiltCan<O>> {
    try {
      await this.#tar.write(endOfTar(this.#sum, this.#inMembers));
      const files = await Promise.all([this.#tar.finish(), this.#jsonl.finish()]);
      const content = { rows: this.#rows, items: this.#items, batches: this.#batches, inMembers: this.#inMembers };
      return { can: this.#name, group: this.group, dir: this.#dir, files, ...content };
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
