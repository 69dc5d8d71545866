// `outgoing/`: every can is a folder, and its state is the folder it lies in. One rename(2) commits both
// files, the rows and the manifest together.
import { existsSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { hourFolder, parseCanName } from '../record/names.ts';
import { describe, errno, Failure, Malformed } from '../stream/errors.ts';
import {
  exists,
  fsyncFolder,
  makeFolder,
  parseJson,
  readInRoom,
  readJsonFile,
  replaceFile,
  writeFileDurably,
} from './files.ts';
import { type Lock, tryLock } from './lock.ts';
import { isBrief, isLedger, isManifest, isPurpose } from './ownfiles.ts';
import { giveRoom } from './rooms.ts';

/** Where a can may lie, from its making to its end. */
export const STATES = ['building', 'ready', 'sent', 'indexed', 'held'] as const;
export type State = (typeof STATES)[number];

/** What may be done with a can's measurements: posts as accepted are published, unsanitised rows are not. */
export type CanClass = 'as-received' | 'unsanitised' | 'sanitised';

export interface CanFile {
  name: string;
  bytes: number;
  sha256: string;
  /** Key in the store, without the store's own prefix. */
  s3path: string;
}

export interface PackedPost {
  /** `<folder>/<uid>.post` in the spool; in a row can the member's name. */
  file: string;
  bytes: number;
  sha256: string;
}

/** Row cans of one day, country and test, made in one run. */
export interface Generation {
  id: string;
  cans: string[];
  /** When it was made, milliseconds: a later one of the same bucket takes its place, never an earlier one. */
  made: number;
  /**
   * `YYYY-MM-DD` where every row came from this bucket: then the generation is all there is of the group in the
   * bucket, and takes the place of older ones. Null where rows were gathered otherwise: it takes no place.
   */
  bucket: string | null;
  /** Where the run read the bucket whole: once all its groups are indexed, groups that it did not make go too. */
  whole?: WholeBucket;
}

/** What one run made of one bucket. */
export interface WholeBucket {
  /** Days, countries and tests. */
  groups: number;
  measurements: number;
  /** Left out by a rule on the way. */
  left_out: number;
}

/** can.json. */
export interface Manifest {
  version: 1;
  can: string;
  class: CanClass;
  measurements: number;
  /** Posts whose line is `{}`. */
  unreadable: number;
  /** The postcan and the lines, in this order. */
  files: CanFile[];
  /** Absolute path of the spool that the posts came from; absent in row cans. */
  spool?: string;
  posts: PackedPost[];
  /** Row cans: all cans made from one day, country and test in one run. */
  generation?: Generation;
  /** From the end row: what `sanitise` did. */
  sanitised?: unknown;
}

/** All but its posts, which are nearly the whole of it. */
export type BriefManifest = Omit<Manifest, 'posts'>;

/** A receipt on stdout; it grows as the can moves on. */
export interface CanRow {
  can: string;
  dir: string;
  class: CanClass;
  measurements: number;
  files: CanFile[];
  uploaded?: string;
  indexed?: string;
  /** Keys that this can's generation takes the place of; nobody deletes them by itself. */
  superseded?: string[];
  cleared?: boolean;
}

/** Names have no room for more. */
const HIGHEST_COUNTER = 999_999_999;

/** A line of rows.jsonl: what `index` inserts. */
export interface IndexRow {
  measurement_uid: string | null;
  report_id: string;
  input: string;
  linenum: number;
  /** The gzip member that holds the line. */
  offset: number;
  length: number;
  /** First 16 hex digits of the SHA-256 of the line. */
  hash: string;
  unreadable?: true;
}

/** outgoing.json: what this folder is for, so that a trial never sends production's cans away. */
export interface Purpose {
  version: 1;
  host?: string;
  class?: CanClass;
  store?: string;
  /** Of S3: the server, as buckets of one name may be on many. */
  endpoint?: string;
  index?: string;
}

export class Outgoing {
  readonly path: string;

  constructor(path: string) {
    this.path = resolve(path);
  }

  /** Makes the folders. */
  prepare(): void {
    for (const state of STATES) makeFolder(this.folder(state));
    makeFolder(join(this.path, 'names'));
  }

  folder(state: State): string {
    return join(this.path, state);
  }

  /** Where a can lies now; undefined when it was cleared. `building` is nobody's business but the packer's. */
  find(can: string): { state: State; dir: string } | undefined {
    // A can only moves on, so looking in the order of its way cannot miss it between two looks.
    for (const state of ['ready', 'sent', 'indexed', 'held'] as const) {
      const dir = join(this.folder(state), can);
      if (exists(dir)) return { state, dir };
    }
    return undefined;
  }

  /** Names of the cans in a state, by name. */
  cans(state: State): string[] {
    if (!existsSync(this.folder(state))) return [];
    return readdirSync(this.folder(state))
      .filter((name) => parseCanName(name) !== undefined)
      .sort();
  }

  /** A can and its manifest; undefined when it was cleared. Another process may move it at any time. */
  open(can: string): { folder: CanFolder; manifest: Manifest } | undefined {
    for (;;) {
      const found = this.find(can);
      if (!found) return undefined;
      const folder = new CanFolder(this, can, found.state);
      try {
        return { folder, manifest: folder.manifest() };
      } catch (error) {
        if (this.find(can)?.state === found.state) throw error; // it has not moved: it is damaged
      }
    }
  }

  /** One rename to the next state, durable when it returns. Both folders are on one file system. */
  move(can: string, from: State, to: State): string {
    const target = join(this.folder(to), can);
    if (exists(target)) throw new Failure(`${target}: exists already, ${from}/${can} was not moved there`);
    renameSync(join(this.folder(from), can), target);
    fsyncFolder(this.folder(to));
    fsyncFolder(this.folder(from));
    return target;
  }

  /**
   * Throws away what an interrupted run was building, and gives its disk space back. Under the packer's lock only.
   * @param own leaves what was cleared: the stages of this run may be at it
   */
  cleanBuilding(own = false): void {
    for (const name of readdirSync(this.folder('building'))) {
      if (own && name.endsWith('.gone')) continue;
      rmSync(join(this.folder('building'), name), { recursive: true, force: true });
    }
  }

  /**
   * Holds this folder to one purpose: what is set once must be the same ever after.
   * @throws Failure that says what it is kept for
   */
  dedicate(wanted: Omit<Purpose, 'version'>): void {
    if (Object.keys(this.#compare(this.purpose(), wanted)).length === 0) return; // what is set stays as it is
    makeFolder(this.path);
    const lock = tryLock(join(this.path, '.outgoing-lock'), 10_000);
    if (!lock) throw new Failure(`${this.path}: another process holds outgoing.json`);
    try {
      const known: Partial<Purpose> = { version: 1, ...this.purpose() };
      const added = this.#compare(known, wanted);
      if (Object.keys(added).length > 0)
        replaceFile(this.#purposeFile(), `${JSON.stringify({ ...known, ...added }, null, 2)}\n`);
    } finally {
      lock.release();
    }
  }

  /** Notes that a can has come into the store. */
  noteUpload(): void {
    writeFileSync(this.#uploadNote(), '');
  }

  newestUpload(): Date | undefined {
    return statSync(this.#uploadNote(), { throwIfNoEntry: false })?.mtime;
  }

  #uploadNote(): string {
    return join(this.path, '.newest-upload');
  }

  /** What outgoing.json says. @throws Failure where it is damaged */
  purpose(): Partial<Purpose> {
    const path = this.#purposeFile();
    if (!existsSync(path)) return {};
    const known = readJsonFile(path);
    if (!isPurpose(known)) throw new Failure(`${path}: damaged: not what this folder is for`);
    if (known.version !== 1) throw new Failure(`${path}: version ${known.version} is not known here`);
    return known;
  }

  #purposeFile(): string {
    return join(this.path, 'outgoing.json');
  }

  /** @throws Failure where the folder is kept for something else */
  check(wanted: Omit<Purpose, 'version'>): void {
    this.#compare(this.purpose(), wanted);
  }

  /** @returns what `wanted` adds */
  #compare(known: Partial<Purpose>, wanted: Omit<Purpose, 'version'>): Partial<Purpose> {
    const added: Partial<Purpose> = {};
    for (const key of ['host', 'class', 'store', 'endpoint', 'index'] as const) {
      const value = wanted[key];
      if (value === undefined || known[key] === value) continue;
      if (known[key] !== undefined) {
        const kept = `${this.path} is kept for ${key} '${known[key]}', not '${value}'`;
        throw new Failure(`${kept} (outgoing.json): use another folder`);
      }
      Object.assign(added, { [key]: value });
    }
    return added;
  }

  /** The packer's lock: one packer per `outgoing`. */
  lockPacker(waitMs: number): Lock | undefined {
    return tryLock(join(this.path, '.packer-lock'), waitMs);
  }

  // --- the ledger of names

  /** Counter for a group's next can: above every one used here, also by cans that are long cleared. */
  nextCounter(group: { hour: string; cc: string; test: string }, host: string): number {
    const prefix = `${hourFolder(group)}.${host}.`;
    let highest = -1;
    const see = (name: string) => {
      if (name.startsWith(prefix) && parseCanName(name)) highest = Math.max(highest, Number(name.slice(prefix.length)));
    };
    for (const name of this.#ledger(group.hour)) see(name);
    for (const state of STATES) for (const name of this.cans(state)) see(name);
    if (highest === HIGHEST_COUNTER) throw new Failure(`${prefix}${highest}: no higher counter is left for a can`);
    return highest + 1;
  }

  #ledger(hour: string): string[] {
    const path = join(this.path, 'names', `${hour}.json`);
    if (!existsSync(path)) return [];
    const names = readJsonFile(path);
    // A counter that comes back would be a key with other bytes.
    if (!isLedger(names, hour)) throw new Failure(`${path}: damaged: not the names of cans of this hour`);
    return names;
  }

  /** Writes a name down as used: durable before the can is ready. */
  useName(hour: string, can: string): void {
    // The highest counter of each group is enough; whole-file replacement leaves no torn line.
    const stem = (name: string) => name.slice(0, name.lastIndexOf('.'));
    const counter = (name: string) => Number(name.slice(name.lastIndexOf('.') + 1));
    const known = this.#ledger(hour);
    // Of cans that are finished side by side, a later one may be first.
    if (known.some((name) => stem(name) === stem(can) && counter(name) > counter(can))) return;
    const others = known.filter((name) => stem(name) !== stem(can));
    replaceFile(join(this.path, 'names', `${hour}.json`), `${JSON.stringify([...others, can].sort(), null, 1)}\n`);
  }
}

/** Files of a can, by its folder. */
export class CanFolder {
  readonly outgoing: Outgoing;
  readonly can: string;
  dir: string;
  state: State;

  constructor(outgoing: Outgoing, can: string, state: State) {
    this.outgoing = outgoing;
    this.can = can;
    this.state = state;
    this.dir = join(outgoing.folder(state), can);
  }

  /** @throws Malformed where it is missing or damaged: a person must look at this can, the others go on */
  manifest(): Manifest {
    const manifest = this.#read(readJsonFile);
    if (!isManifest(manifest, this.can)) throw this.#damaged();
    return manifest;
  }

  /** As `manifest`, for who has nothing to do with its posts: they are not looked at. */
  brief(): BriefManifest {
    const manifest = this.#read((path) => {
      const bytes = readInRoom(path);
      const value = withoutPosts(bytes) ?? parseJson(path, bytes.toString());
      giveRoom(bytes);
      return value;
    });
    if (!isBrief(manifest, this.can)) throw this.#damaged();
    return manifest;
  }

  #read(read: (path: string) => unknown): unknown {
    try {
      return read(join(this.dir, 'can.json'));
    } catch (error) {
      if (errno(error) && !['ENOENT', 'ENOTDIR', 'EISDIR'].includes(errno(error)!)) throw error;
      throw new Malformed(`damaged: ${describe(error)}`);
    }
  }

  #damaged(): Malformed {
    return new Malformed(`damaged: ${this.dir}/can.json: not the manifest of this can`);
  }

  move(to: State): void {
    this.dir = this.outgoing.move(this.can, this.state, to);
    this.state = to;
  }

  /** Takes the can out of its state for good; what is left lies in `building/`, where it is thrown away. */
  retire(): string {
    const gone = join(this.outgoing.folder('building'), `${this.can}.${process.pid}.gone`);
    renameSync(this.dir, gone);
    fsyncFolder(this.outgoing.folder('building'));
    fsyncFolder(this.outgoing.folder(this.state));
    return gone;
  }

  /** Path of a file of the manifest. */
  file(name: string): string {
    return join(this.dir, basename(name));
  }
}

const POSTS = '"posts":[';

/** The value of a can.json but for its posts; undefined where it is not as `commitCan` writes it. */
function withoutPosts(bytes: Buffer): unknown {
  const begin = bytes.indexOf(POSTS);
  const end = bytes.indexOf(']', begin);
  if (begin === -1 || end === -1) return undefined;
  try {
    return JSON.parse(bytes.toString('utf8', 0, begin + POSTS.length) + bytes.toString('utf8', end));
  } catch {
    return undefined;
  }
}

/**
 * Takes a can for its moves: its state is read again under the lock.
 * @returns 'busy' where another process has it, 'gone' where it was cleared meanwhile
 */
export function takeCan(outgoing: Outgoing, can: string): { folder: CanFolder; lock: Lock } | 'busy' | 'gone' {
  for (let tries = 0; tries < 10; tries++) {
    const found = outgoing.find(can);
    if (!found) return 'gone';
    const lock = tryLock(join(found.dir, LOCK_FILE), 0, true);
    if (lock) {
      if (exists(found.dir)) return { folder: new CanFolder(outgoing, can, found.state), lock };
      lock.release(); // it moved on between the look and the lock
    } else if (exists(join(found.dir, LOCK_FILE))) return 'busy';
    else if (exists(found.dir)) makeCanLock(found.dir); // somebody took it away
  }
  return 'busy';
}

const LOCK_FILE = 'lock';

/** An empty file that lies in the can from its making, for takeCan. */
export function makeCanLock(dir: string): void {
  try {
    writeFileDurably(join(dir, LOCK_FILE), '');
  } catch (error) {
    if (errno(error) !== 'EEXIST') throw error;
  }
}

/** The outgoing folder and can that a can row names. @throws Error where the row is none of ours */
export function locate(row: CanRow): { outgoing: Outgoing; can: string } {
  if (typeof row.can !== 'string' || !parseCanName(row.can)) throw new Error('no can has this name');
  if (typeof row.dir !== 'string' || basename(row.dir) !== row.can)
    throw new Error('dir is not the folder of this can');
  const state = basename(dirname(row.dir));
  if (!(STATES as readonly string[]).includes(state)) throw new Error('dir does not lie in a state folder');
  const outgoing = new Outgoing(dirname(dirname(row.dir)));
  if (!exists(join(outgoing.path, 'outgoing.json')))
    throw new Error(`${outgoing.path}: no outgoing folder of ours (outgoing.json)`);
  return { outgoing, can: row.can };
}

/** The receipt of a can as it lies now. */
export function canRow(folder: CanFolder, manifest: BriefManifest): CanRow {
  const files = manifest.files.map(({ name, bytes, sha256, s3path }) => ({ name, bytes, sha256, s3path }));
  return { can: manifest.can, dir: folder.dir, class: manifest.class, measurements: manifest.measurements, files };
}
