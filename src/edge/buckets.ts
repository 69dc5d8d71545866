// Raw buckets on disk. A report comes into one under its name whole, durable and read back; then it gets its line in
// the manifest; and only then it goes from where it came.
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  linkSync,
  openSync,
  readdirSync,
  readFileSync,
  type Stats,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import {
  isBucketName,
  isPartName,
  MANIFEST,
  type Manifest,
  type ManifestEntry,
  manifestLine,
  nameFault,
  parseManifest,
  partName,
} from '../record/buckets.ts';
import { describeAt, errno, Failure, Malformed } from '../stream/errors.ts';
import {
  copyVerified,
  digestRegularFile,
  exists,
  type FileDigest,
  failAt,
  fsyncFolder,
  isSameFile,
  lstatOf,
  makeFolder,
  unlinkIfThere,
} from './files.ts';
import { type Lock, tryLock } from './lock.ts';

const LOCK_FILE = '.bucket-lock';

/** A report to be put into a bucket. */
export interface Source {
  path: string;
  /** For the manifest. */
  from: string;
  /** The report stays where it is, and the bucket gets a copy. */
  keep: boolean;
  /** Of a durable copy that nobody else writes: it gets the name in the bucket itself. */
  own?: FileDigest;
}

/** Why a report did not come into the bucket; it is where it was. */
export interface Refusal {
  /** Only `collision` and `refused` are faults. */
  outcome: 'vanished' | 'skipped' | 'collision' | 'refused';
  reason: string;
}

/** A report that lies in the bucket, durable and listed. */
export interface Placed {
  source: Source;
  outcome: 'placed' | 'duplicate';
  entry: ManifestEntry;
  /** Why the source is still there. */
  left?: string;
}

export class Bucket {
  readonly path: string;
  readonly name: string;
  #lock: Lock;
  #folder: Stats;
  #manifest: Manifest;
  /** Lines to be written, and reports whose source may go then. */
  #lines: ManifestEntry[] = [];
  #placed: (Placed & { digest: FileDigest })[] = [];

  /**
   * Opens `DIR/YYYY-MM-DD` for new reports, and takes its lock. What a killed run left is thrown away or finished.
   * @throws Failure where it may not be written, or where another process is at it for longer than `waitMs`
   */
  constructor(to: string, name: string, waitMs: number) {
    this.path = join(to, name);
    this.name = name;
    try {
      makeFolder(this.path);
      if (!isFrozen(this.path)) accessSync(this.path, constants.W_OK);
    } catch (error) {
      if (errno(error) === 'EEXIST') throw new Failure(`${this.path}: not a folder`);
      failAt(this.path, error);
    }
    if (isFrozen(this.path)) throw new Failure(`${this.path}: frozen: it takes no more reports`);
    this.#lock = tryLock(join(this.path, LOCK_FILE), waitMs) ?? busy(this.path);
    try {
      this.#folder = statSync(this.path);
      for (const file of readdirSync(this.path)) if (isPartName(file)) unlinkIfThere(join(this.path, file));
      this.#manifest = mendManifest(join(this.path, MANIFEST));
    } catch (error) {
      this.#lock.release();
      failAt(this.path, error);
    }
  }

  /** Reports that wait for `commit`. */
  get waiting(): number {
    return this.#placed.length;
  }

  /** Bytes of a report that lies here; undefined where none of this name does. */
  sizeOf(name: string): number | undefined {
    return lstatOf(join(this.path, name))?.size;
  }

  /**
   * Puts a report under its name, whole and durable. Nothing else is done to it before `commit`.
   * @throws Failure where the bucket cannot be written
   */
  async take(source: Source): Promise<Refusal | undefined> {
    const { path } = source;
    const name = basename(path);
    try {
      const fault = nameFault(name) ?? this.#placeFault(source);
      if (fault !== undefined) return { outcome: 'refused', reason: fault };
      const stat = lstatOf(path);
      if (!stat) return { outcome: 'vanished', reason: 'no such file' };
      if (!stat.isFile()) return { outcome: 'skipped', reason: kindOf(stat) };
      const there = lstatOf(join(this.path, name));
      return there ? await this.#compare(source, name, stat, there) : await this.#place(source, name, stat);
    } catch (error) {
      if (error instanceof Failure) throw error;
      if (errno(error) === 'ENOENT') return { outcome: 'vanished', reason: 'no such file' };
      return { outcome: 'refused', reason: describeAt(path, error).replace('it was read', 'it was copied') };
    }
  }

  /** A bucket is never emptied, neither this one nor another. */
  #placeFault({ path, keep }: Source): string | undefined {
    const folder = statSync(dirname(path), { throwIfNoEntry: false });
    if (folder?.ino === this.#folder.ino && folder.dev === this.#folder.dev) return 'lies in this bucket already';
    if (!keep && existsSync(join(dirname(path), MANIFEST))) return 'lies in a bucket already (--copy leaves it there)';
    return undefined;
  }

  async #place(source: Source, name: string, stat: Stats): Promise<Refusal | undefined> {
    const target = join(this.path, name);
    const part = source.own ? source.path : join(this.path, partName(name));
    const digest = source.own ?? (await copyVerified(source.path, part));
    const { bytes: size, sha256 } = digest;
    const listed = this.#manifest.entries.get(name);
    try {
      if (listed && listed.sha256 !== sha256)
        return { outcome: 'collision', reason: `${this.path} lists other bytes under this name, and has lost them` };
      linkSync(part, target); // unlike rename, it never takes the place of a file
    } catch (error) {
      const found = errno(error) === 'EEXIST' && lstatOf(target);
      if (found) return await this.#compare(source, name, stat, found); // of somebody without our lock
      throw new Failure(`${target}: ${describeAt(part, error)}`);
    } finally {
      if (!source.own) unlinkIfThere(part);
    }
    const entry = { name, size, sha256, from: source.from, at: new Date().toISOString() };
    this.#await(source, 'placed', entry, digest);
    return undefined;
  }

  /** The name is there: of an earlier run, or of another report. */
  async #compare(source: Source, name: string, stat: Stats, found: Stats): Promise<Refusal | undefined> {
    const target = join(this.path, name);
    const other = { outcome: 'collision' as const, reason: `${target} has other bytes` };
    if (!found.isFile() || found.size !== stat.size) return other;
    const digest = source.own ?? (await digestRegularFile(source.path));
    const there = await digestOwn(target).catch((error) => failAt(target, error));
    const { bytes: size, sha256 } = there;
    if (sha256 !== digest.sha256) return other;
    const { dev, ino } = there.identity;
    const oneFile = dev === digest.identity.dev && ino === digest.identity.ino;
    if (oneFile && found.nlink < 2) return { outcome: 'refused', reason: 'is the file in the bucket itself' };
    const listed = this.#manifest.entries.get(name);
    if (listed && listed.sha256 !== sha256)
      return { outcome: 'collision', reason: `${target} is not what the manifest of its bucket tells` };
    const entry = listed ?? { name, size, sha256, from: source.from, at: new Date().toISOString() };
    this.#await(source, 'duplicate', entry, digest);
    return undefined;
  }

  #await(source: Source, outcome: Placed['outcome'], entry: ManifestEntry, digest: FileDigest): void {
    this.#placed.push({ source, outcome, entry, digest });
    if (this.#manifest.entries.has(entry.name)) return;
    this.#manifest.entries.set(entry.name, entry);
    this.#lines.push(entry);
  }

  /** Makes what was taken durable, lists it, and removes the sources. @throws Failure where the bucket cannot be written */
  commit(): Placed[] {
    const placed = this.#placed;
    this.#placed = [];
    if (placed.length === 0) return [];
    try {
      fsyncFolder(this.path);
      appendDurably(join(this.path, MANIFEST), this.#lines.map(manifestLine).join(''));
      fsyncFolder(this.path); // the manifest may be new
    } catch (error) {
      failAt(join(this.path, MANIFEST), error);
    }
    this.#lines = [];
    const folders = new Set<string>();
    const done = placed.map(({ digest, ...one }): Placed => {
      if (one.source.keep) return one;
      const left = removeSource(one.source.path, digest);
      if (left === undefined) folders.add(dirname(one.source.path));
      return left === undefined ? one : { ...one, left };
    });
    for (const folder of folders) if (existsSync(folder)) fsyncFolder(folder);
    return done;
  }

  close(): void {
    this.#lock.release();
  }
}

function kindOf(stat: Stats): string {
  if (stat.isSymbolicLink()) return 'a symbolic link';
  return stat.isDirectory() ? 'a folder' : 'no regular file';
}

/** The newest of our buckets before a day; undefined where there is none that takes reports. */
export function bucketBefore(to: string, day: string): string | undefined {
  if (!existsSync(to)) return undefined;
  const names = readdirSync(to).filter((name) => isBucketName(name) && name < day);
  const last = names.sort().findLast((name) => existsSync(join(to, name, LOCK_FILE)));
  return last !== undefined && !isFrozen(join(to, last)) ? last : undefined;
}

/** A file that only we write: durable, and digested. */
export async function digestOwn(path: string): Promise<FileDigest> {
  const digest = await digestRegularFile(path);
  const fd = openSync(path, constants.O_RDONLY);
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  return digest;
}

/** @returns why it is still there */
function removeSource(path: string, { identity }: FileDigest): string | undefined {
  if (!exists(path)) return undefined;
  if (!isSameFile(path, identity)) return 'changed after it was copied, and stays; the bucket has it as it was';
  try {
    unlinkSync(path);
  } catch (error) {
    if (errno(error) === 'ENOENT') return undefined;
    return `is in the bucket, but cannot be removed here: ${describeAt(path, error)}`;
  }
  return undefined;
}

/** Adds text to a file as one step: what could be written only in part is taken back. */
function appendDurably(path: string, text: string): void {
  if (text === '') return;
  const bytes = Buffer.from(text);
  const fd = openSync(path, 'a', 0o644);
  try {
    const { size } = fstatSync(fd);
    try {
      for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done);
      fsyncSync(fd);
    } catch (error) {
      ftruncateSync(fd, size);
      throw error;
    }
  } finally {
    closeSync(fd);
  }
}

/** Reads a manifest, durable from now on, and ends it after its last whole line. */
function mendManifest(path: string): Manifest {
  if (!existsSync(path)) return parseManifest(Buffer.alloc(0));
  const manifest = parseManifest(readFileSync(path));
  const fd = openSync(path, 'r+');
  try {
    const { size } = fstatSync(fd);
    if (manifest.unended) writeSync(fd, '\n', size);
    else if (manifest.whole < size) ftruncateSync(fd, manifest.whole);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  return manifest;
}

export function isFrozen(path: string): boolean {
  return (statSync(path).mode & 0o222) === 0;
}

function busy(path: string): never {
  throw new Failure(`${path}: another process is at work here (--wait SECONDS waits for it)`);
}

// --- buckets that are only read

/** What lies in a bucket and what its manifest says, at one moment. */
export interface BucketView {
  /** As it was given. */
  path: string;
  name: string;
  /** Names of reports in the order of their bytes; hidden files are none. */
  names: string[];
  manifest: Manifest;
  /** The manifest's own bytes, up to its last whole line; undefined where there is none. */
  manifestBytes: Buffer | undefined;
  /** The manifest ends within a line. */
  torn: boolean;
  /** Names that no report in a bucket can have, with what is wrong. */
  strangers: { name: string; reason: string }[];
}

/** Looks at a bucket while nobody fills it. @throws Failure, Malformed where it is no bucket */
export function viewBucket(path: string, waitMs: number): BucketView {
  const name = basename(resolve(path));
  if (!isBucketName(name)) throw new Malformed('no bucket: its name is no day, as 2016-08-01');
  const lock = lockToRead(path, waitMs);
  try {
    const view: BucketView = {
      ...{ path, name, names: [], strangers: [], torn: false },
      manifest: parseManifest(Buffer.alloc(0)),
      manifestBytes: undefined,
    };
    const file = join(path, MANIFEST);
    if (existsSync(file)) {
      const bytes = readFileSync(file);
      view.manifest = parseManifest(bytes);
      view.manifestBytes = bytes.subarray(0, view.manifest.whole);
      view.torn = view.manifest.whole < bytes.length && !view.manifest.unended;
    }
    for (const entry of readdirSync(path, { withFileTypes: true })) {
      if (entry.name.startsWith('.')) continue;
      const reason = entry.isFile() ? nameFault(entry.name) : 'no regular file';
      if (reason === undefined) view.names.push(entry.name);
      else view.strangers.push({ name: entry.name, reason });
    }
    view.names.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    return view;
  } finally {
    lock?.release();
  }
}

/** Where nobody may write, or nobody of ours ever did, there is nobody to keep out. */
function lockToRead(path: string, waitMs: number): Lock | undefined {
  const file = join(path, LOCK_FILE);
  if (!existsSync(file) || isFrozen(path) || !isWritable(file)) return undefined;
  return tryLock(file, waitMs, true) ?? busy(path);
}

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
