// Fills the bucket of one day: with reports that rows of standard input name, or with those of a folder on another host.
import { createHash } from 'node:crypto';
import { rmSync, type Stats } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { nameFault } from '../record/buckets.ts';
import { Failure } from '../stream/errors.ts';
import type { Stage } from '../stream/stage.ts';
import { Bucket, bucketBefore, digestOwn, type Placed, type Refusal, type Source } from './buckets.ts';
import { fileRows } from './filerows.ts';
import { exists, type FileDigest, failAt, lstatOf, makeFolder, unlinkIfThere } from './files.ts';
import { describeFile } from './listing.ts';
import { tryLock } from './lock.ts';
import type { Remote, RemoteFile } from './remote.ts';

/** Reports that become durable together. */
const BATCH = 64;
/** What is brought from another host before it goes into the bucket. */
const CHUNK = { files: 500, bytes: 4e9 };

export interface Filling {
  /** The folder of the buckets. */
  to: string;
  /** `YYYY-MM-DD`. */
  day: string;
  /** The day was asked for, and is not only the one on which this runs. */
  chosen: boolean;
  copy: boolean;
  /** Files that changed later than this many milliseconds ago are left for the next run. */
  settleMs: number;
  waitMs: number;
}

interface Item {
  source: Source;
  /** As messages name it. */
  shown: string;
  /** The row that named it, for the rejects. */
  row: Buffer | null;
}

class Filler {
  #stage: Stage;
  #how: Filling;
  #bucket: Bucket | undefined;
  /** The bucket before, where a run may have ended before it could remove its sources. */
  #before: Bucket | undefined;
  #nameBefore: string | undefined;
  #items = new Map<Source, Item>();
  #emitted = new Set<string>();

  constructor(stage: Stage, how: Filling) {
    this.#stage = stage;
    this.#how = how;
    this.#nameBefore = how.chosen ? undefined : bucketBefore(how.to, how.day);
  }

  async take(item: Item): Promise<void> {
    const refusal = await this.#put(item);
    if (refusal) this.#tell(item, refusal);
    else this.#items.set(item.source, item);
  }

  async #put({ source }: Item): Promise<Refusal | undefined> {
    const { to, day, waitMs } = this.#how;
    // Run after midnight, what a killed run has put into the bucket of yesterday must not come into a second one.
    if (this.#nameBefore !== undefined) {
      const twin = lookAt(join(to, this.#nameBefore, basename(source.path)));
      if (twin?.isFile() && twin.size === lookAt(source.path)?.size) {
        this.#before ??= new Bucket(to, this.#nameBefore, waitMs);
        const refusal = await this.#before.take(source);
        if (refusal?.outcome !== 'collision') return refusal;
      }
    }
    this.#bucket ??= new Bucket(to, day, waitMs);
    return await this.#bucket.take(source);
  }

  #tell({ shown, row }: Item, { outcome, reason }: Refusal): void {
    if (outcome !== 'refused') this.#stage.tally(outcome);
    if (outcome === 'skipped') this.#stage.say(`${shown}: ${reason}, skipped`);
    if (outcome === 'collision' || outcome === 'refused')
      this.#stage.reject({ as: 'file', file: shown, line: null, reason: `stays where it is: ${reason}` }, row);
  }

  get waiting(): number {
    return (this.#bucket?.waiting ?? 0) + (this.#before?.waiting ?? 0);
  }

  /** Makes durable what was taken, and gives its rows. */
  async commit(): Promise<Placed[]> {
    const all: Placed[] = [];
    for (const bucket of [this.#before, this.#bucket]) {
      for (const placed of bucket?.commit() ?? []) {
        const { shown, row } = this.#items.get(placed.source)!;
        this.#stage.tally(placed.outcome === 'duplicate' ? 'duplicate' : this.#how.copy ? 'copied' : 'moved');
        if (placed.left !== undefined)
          this.#stage.reject({ as: 'file', file: shown, line: null, reason: placed.left }, row);
        all.push(placed);
        await this.#emit(bucket!, placed);
      }
    }
    this.#items.clear();
    await this.#stage.flush();
    return all;
  }

  /** A report comes once, however many sources it had. */
  async #emit(bucket: Bucket, { entry }: Placed): Promise<void> {
    const file = join(bucket.path, entry.name);
    if (this.#emitted.has(file)) return;
    this.#emitted.add(file);
    await this.#stage.receipt({ file, bytes: entry.size, kind: 'report', bucket: bucket.name });
  }

  close(): void {
    this.#before?.close();
    this.#bucket?.close();
  }
}

/** Runs a task that fills a bucket. When it fails, what was taken before is made durable all the same. */
async function filling(stage: Stage, how: Filling, task: (filler: Filler) => Promise<void>): Promise<void> {
  const filler = new Filler(stage, how);
  try {
    await task(filler);
    await filler.commit();
  } catch (error) {
    await filler.commit().catch(() => undefined); // the next run finds it
    throw error;
  } finally {
    filler.close();
  }
}

/** What is wrong with a path is told when it is opened. */
function lookAt(path: string): Stats | undefined {
  try {
    return lstatOf(path);
  } catch {
    return undefined;
  }
}

/** A time in the future is young too, unless nothing is. */
function isYoung(mtimeMs: number, { settleMs }: Filling): boolean {
  return settleMs > 0 && Date.now() - mtimeMs < settleMs;
}

function tellYoung(stage: Stage, { settleMs }: Filling): void {
  const { young = 0 } = stage.counts;
  if (young > 0)
    stage.say(
      `left for the next run: ${young} that changed less than ${settleMs / 1000} s ago (--settle 0 takes them too)`,
    );
}

/** Moves the reports that file rows of standard input name. */
export async function fillFromRows(stage: Stage, how: Filling): Promise<void> {
  await filling(stage, how, async (filler) => {
    // What is not listed stays where it is for the next run, so that a part of a list does no harm.
    for await (const { row, line, bytes } of fileRows(stage, { whole: false, hint: () => '' })) {
      const { file: path, holds = 'report' } = row;
      if (holds !== 'report') {
        stage.reject({ as: 'row', file: null, line, reason: `${path}: a ${holds}, and no report` }, bytes);
        continue;
      }
      const stat = lookAt(path);
      if (stat?.isFile() && isYoung(stat.mtimeMs, how)) {
        stage.tally('young');
        continue;
      }
      const source = { path, from: resolve(path), keep: how.copy };
      await filler.take({ source, shown: path, row: Buffer.from(bytes) });
      if (filler.waiting >= BATCH) await filler.commit();
    }
  });
  tellYoung(stage, how);
}

/** Moves the reports of a folder on another host. */
export async function fillFromRemote(stage: Stage, how: Filling, remote: Remote): Promise<void> {
  const { host, dir } = remote.place;
  const id = createHash('sha256').update(`${host}:${dir}`).digest('hex').slice(0, 16);
  // Not of one day: a copy that was broken off goes on in the next run, whatever its day.
  const staging = join(how.to, `.from-${id}.part`);
  const { files, others } = await remote.list(join(staging, 'nothing'));
  stage.tally('skipped', others);
  const wanted = files.filter((file) => isWanted(stage, remote, how, file));
  tellYoung(stage, how);
  if (wanted.length === 0 && !exists(staging)) return;
  stage.expect(wanted.reduce((sum, { bytes }) => sum + bytes, 0));
  makeFolder(staging);
  const lock = tryLock(join(staging, '.lock'), how.waitMs);
  if (!lock) throw new Failure(`${staging}: another process is at work here (--wait SECONDS waits for it)`);
  try {
    await filling(stage, how, async (filler) => {
      for (const chunk of chunks(wanted)) await bringChunk(stage, how, remote, filler, staging, chunk);
    });
    rmSync(staging, { recursive: true });
  } finally {
    lock.release();
  }
}

function isWanted(stage: Stage, remote: Remote, how: Filling, { name, mtime }: RemoteFile): boolean {
  const fault = nameFault(name);
  const kind = describeFile(name, 0)?.kind;
  if (fault !== undefined) {
    const reason = `stays where it is: ${fault}`;
    stage.reject({ as: 'file', file: remote.path(name), line: null, reason }, null);
  } else if (kind !== 'report') stage.tally('strangers');
  else if (isYoung(mtime, how)) stage.tally('young');
  else return true;
  return false;
}

function* chunks(files: RemoteFile[]): Generator<RemoteFile[]> {
  let chunk: RemoteFile[] = [];
  let bytes = 0;
  for (const file of files) {
    if (chunk.length >= CHUNK.files || (chunk.length > 0 && bytes + file.bytes > CHUNK.bytes)) {
      yield chunk;
      chunk = [];
      bytes = 0;
    }
    chunk.push(file);
    bytes += file.bytes;
  }
  if (chunk.length > 0) yield chunk;
}

/** Brings files, compares them with what lies there now, puts them into the bucket, and only then removes them there. */
async function bringChunk(
  stage: Stage,
  how: Filling,
  remote: Remote,
  filler: Filler,
  staging: string,
  chunk: RemoteFile[],
): Promise<void> {
  const names = chunk.map(({ name }) => name);
  const said = await remote.bring(names, staging);
  const digests = await remote.digests(names);
  for (const [i, { name, bytes }] of chunk.entries()) {
    stage.took();
    stage.tally('bytes_in', bytes);
    const path = join(staging, name);
    const fault = await compare(path, digests[i]!, said);
    if (fault === 'gone') stage.tally('vanished');
    else if (typeof fault === 'string') {
      unlinkIfThere(path);
      const reason = `stays where it is: ${fault}`;
      stage.reject({ as: 'file', file: remote.path(name), line: null, reason }, null);
    } else {
      const source = { path, from: remote.path(name), keep: false, own: fault };
      await filler.take({ source, shown: remote.path(name), row: null });
    }
  }
  const placed = await filler.commit();
  if (how.copy) return;
  const done = placed.map(({ entry: { name, sha256 } }) => ({ name, sha256 }));
  for (const [i, result] of (await remote.remove(done)).entries()) {
    if (result === 'removed' || result === 'gone') continue;
    const reason =
      result === 'changed' ? 'changed after it was copied, and stays' : 'is in the bucket, but cannot be removed there';
    stage.reject({ as: 'file', file: remote.path(done[i]!.name), line: null, reason }, null);
  }
}

/** A copy that has the bytes of the original as it is now; else why there is none. */
async function compare(path: string, original: string, said: string): Promise<FileDigest | string> {
  if (original === 'gone') return 'gone';
  if (original === 'unreadable') return 'it cannot be read there';
  if (!exists(path)) return `it was not brought: ${said}`;
  const digest = await digestOwn(path).catch((error) => failAt(path, error));
  return digest.sha256 === original ? digest : 'changed while it was copied';
}
