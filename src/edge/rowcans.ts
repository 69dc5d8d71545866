// Measurement rows into cans of their day, country and test. Nothing is made before the end of the
// stream was seen, so the rows wait on disk: a bucket interleaves thousands of groups.

import { createHash } from 'node:crypto';
import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { documentFacts, FACT_NAMES, KEY_NAMES, lookupKeys } from '../record/facts.ts';
import { readJson } from '../record/json.ts';
import { canName, ccForPath, dayForPath, isMeasurementUid, parseUid, testForPath, timeOf } from '../record/names.ts';
import { type MeasurementRow, parseRow, ROW_DEPTH } from '../record/rows.ts';
import { Failure } from '../stream/errors.ts';
import { splitLines } from '../stream/lines.ts';
import { orderedMap } from '../stream/ordered.ts';
import { commitCan, leftCans, type Reporter, sealCan } from './commit.ts';
import { named, replaceFile } from './files.ts';
import {
  type CanRow,
  canRow,
  type Generation,
  type Manifest,
  type Outgoing,
  takeCan,
  type WholeBucket,
} from './outgoing.ts';
import { type Pressed, packCans } from './pack.ts';
import type { HeldItem, HeldItems, PackCrew } from './packtasks.ts';
import { type PressOptions, pressOptions } from './press.ts';
import { fileBytes } from './source.ts';

/** Rows in memory before they go to their files. */
const SPILL_AT = 32 * 1024 * 1024;
/** Posts that one task compresses. */
const CHUNK = 1024 * 1024;

export interface RowPackOptions extends PressOptions {
  class: 'unsanitised' | 'sanitised';
  /** What the end row told of `sanitise`; undefined where it did not run. */
  sanitised: unknown;
  /** Buckets (`YYYY-MM-DD`) that were read whole, and measurements of a bucket that a rule left out. */
  whole: readonly string[];
  leftOut: Readonly<Record<string, number>>;
  /** Measurements were selected, so that no group is known to be all of its bucket. */
  part: boolean;
}

interface Group {
  day: string;
  cc: string;
  test: string;
}

/** Group of a row: the bucket's day, else the day it was measured, else that of its arrival. @throws Error where it has none */
export function groupOfRow(row: MeasurementRow): Group {
  const facts = documentFacts(row.document, readJson(row.document, { maxDepth: ROW_DEPTH, names: FACT_NAMES }).value);
  const arrival = row.measurement_uid === null ? undefined : parseUid(row.measurement_uid)?.hour.slice(0, 8);
  const day = dayForPath(row.bucket_date) ?? dayForPath(facts.measurement_start_time) ?? arrival;
  if (day === undefined) throw new Error('neither bucket_date, measurement_start_time nor measurement_uid tells a day');
  return { day, cc: ccForPath(facts.probe_cc), test: testForPath(facts.test) };
}

export class RowPacker {
  #outgoing: Outgoing;
  #report: Reporter;
  #crew: PackCrew;
  #spill: string;
  #waiting = new Map<string, Buffer[]>();
  #held = 0;
  #groups = new Map<string, Group>();
  /** Cans that an earlier run left. */
  #left = new Map<string, CanRow>();
  /** Groups with rows that came from no bucket. */
  #loose = new Set<string>();
  /** Bucket → measurements. */
  #counts = new Map<string, number>();
  #made = Date.now();

  constructor(outgoing: Outgoing, report: Reporter, crew: PackCrew) {
    this.#outgoing = outgoing;
    this.#crew = crew;
    this.#report = report;
    this.#spill = join(outgoing.folder('building'), 'spill');
  }

  /** Throws away what an interrupted run was building, and looks for the cans that it left. */
  async recover(): Promise<void> {
    this.#outgoing.cleanBuilding();
    await mkdir(this.#spill);
    const damaged = (can: string, reason: string) => this.#report.finding(can, reason);
    for (const { folder, manifest } of leftCans(this.#outgoing, this.#report, damaged)) {
      if (folder.state !== 'held') this.#left.set(folder.can, canRow(folder, manifest));
    }
  }

  /**
   * Gives the cans that an earlier run left. What is given, another process may be at; so a can that is packed again
   * waits until it is, or one of the two would find it locked.
   */
  *left(meant = (_group: string, _can: string) => true): Generator<CanRow> {
    for (const [can, row] of this.#left) {
      if (!meant(can.slice(0, can.indexOf('.')), can)) continue;
      this.#left.delete(can);
      yield row;
    }
  }

  /** Takes one row. @param bytes its line, as it came */
  add(row: MeasurementRow, bytes: Buffer): void {
    const group = groupOfRow(row);
    const key = `${group.day}_${group.cc}_${group.test}`;
    this.#groups.set(key, group);
    if (dayForPath(row.bucket_date) === undefined) this.#loose.add(key);
    else this.#counts.set(group.day, (this.#counts.get(group.day) ?? 0) + 1);
    const rows = this.#waiting.get(key);
    const copy = Buffer.concat([bytes, Buffer.from('\n')]);
    if (rows) rows.push(copy);
    else this.#waiting.set(key, [copy]);
    this.#held += copy.length;
    if (this.#held >= SPILL_AT) this.#flush();
  }

  /** One file is open at a time, however many groups there are. */
  #flush(): void {
    for (const [key, rows] of this.#waiting) {
      const path = join(this.#spill, key);
      const fd = openSync(path, 'a');
      try {
        for (const bytes of rows) for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done);
      } catch (error) {
        throw named(path, error);
      } finally {
        closeSync(fd);
      }
    }
    this.#waiting.clear();
    this.#held = 0;
  }

  /** Packs group by group; call it when the stream has come to its proper end. */
  async *pack(options: RowPackOptions): AsyncGenerator<CanRow> {
    this.#flush();
    yield* this.left((group) => !this.#groups.has(group));
    for (const [key, group] of [...this.#groups].sort(([a], [b]) => (a < b ? -1 : 1))) {
      yield* this.#packGroup(key, group, options);
      rmSync(join(this.#spill, key));
    }
  }

  /** Gives the disk space back. */
  abandon(): void {
    this.#outgoing.cleanBuilding(true);
  }

  async *#packGroup(key: string, group: Group, options: RowPackOptions): AsyncGenerator<CanRow> {
    const nameOf = (sha256: string[]) => canName({ kind: 'day', ...group, mark: 'x', id: contentId(sha256) });
    const manifests: Manifest[] = [];
    const pressed = orderedMap(this.#chunks(key, group), (held) => this.#press(key, held, options), {
      concurrency: 2 * this.#crew.threads,
    });
    const { maxBytes, program } = options;
    const building = this.#outgoing.folder('building');
    for await (const built of packCans(building, pressed, { maxBytes, inMembers: program !== undefined })) {
      const { can, files } = await sealCan(built, this.#crew, nameOf);
      const manifest: Manifest = {
        version: 1,
        can,
        class: options.class,
        measurements: built.items.length,
        unreadable: 0,
        files,
        posts: [],
      };
      if (options.sanitised !== undefined) manifest.sanitised = options.sanitised;
      manifests.push(manifest);
    }
    // Only now it is known which cans make the generation.
    const cans = manifests.map(({ can }) => can);
    const id = createHash('sha256').update(cans.join('\n')).digest('hex').slice(0, 16);
    const bucket = options.part ? null : this.#bucketOf(key, group);
    const generation: Generation = { id, cans, made: this.#made, bucket };
    if (generation.bucket !== null && options.whole.includes(generation.bucket))
      generation.whole = this.#wholeBucket(group.day, options.leftOut[generation.bucket] ?? 0);
    yield* this.left((of, can) => of === key && !cans.includes(can));
    for (const manifest of manifests) {
      const row = this.#commit({ ...manifest, generation });
      this.#left.delete(row.can);
      yield row;
    }
  }

  #bucketOf(key: string, { day }: Group): string | null {
    return this.#loose.has(key) ? null : `${day.slice(0, 4)}-${day.slice(4, 6)}-${day.slice(6)}`;
  }

  #wholeBucket(day: string, leftOut: number): WholeBucket {
    const groups = [...this.#groups].filter(([key, group]) => group.day === day && !this.#loose.has(key));
    return { groups: groups.length, measurements: this.#counts.get(day) ?? 0, left_out: leftOut };
  }

  /** The same rows may have been packed before: a can that waits still is kept, and one that is indexed goes. */
  #commit(manifest: Manifest): CanRow {
    const taken = takeCan(this.#outgoing, manifest.can);
    if (taken === 'busy') throw new Failure(`${manifest.can}: another process is at it`);
    if (taken === 'gone') return commitCan(this.#outgoing, manifest);
    const { folder, lock } = taken;
    try {
      if (folder.state === 'indexed') {
        rmSync(folder.retire(), { recursive: true, force: true });
        return commitCan(this.#outgoing, manifest);
      }
      const known = folder.manifest();
      if (known.generation?.id !== manifest.generation?.id || known.class !== manifest.class) {
        throw new Failure(
          `${folder.dir}: waits there with another generation of this group: upload and index it first`,
        );
      }
      // It is of today again: an older run's rows must not take its place.
      replaceFile(folder.file('can.json'), `${JSON.stringify({ ...known, generation: manifest.generation })}\n`);
      rmSync(join(this.#outgoing.folder('building'), manifest.can), { recursive: true, force: true });
      return canRow(folder, known);
    } finally {
      lock.release();
    }
  }

  async #press(group: string, held: HeldItems, options: PressOptions): Promise<Pressed<null>> {
    const pressing = await this.#crew.run('items', { ...held, ...pressOptions(options) }, held.posts.length);
    return { group, ...pressing, last: false };
  }

  /** Measurements that are compressed together. */
  async *#chunks(key: string, group: Group): AsyncGenerator<HeldItems> {
    const noLimit = { maxLine: Number.POSITIVE_INFINITY, onLong: () => ({ write() {}, end() {} }) };
    const { head, tail } = POST_FRAME;
    const midnight = timeOf(group.day)!;
    const seen = new Map<string, number>();
    let number = 0;
    let items: HeldItem[] = [];
    let posts: Buffer[] = [];
    let held = 0;
    const whole = () => {
      const chunk = { items, posts: Buffer.concat(posts) };
      items = [];
      posts = [];
      held = 0;
      return chunk;
    };
    for await (const { bytes } of splitLines(fileBytes(join(this.#spill, key)), noLimit)) {
      const row = parseRow(bytes) as MeasurementRow;
      const { document: line } = row;
      const uid = row.measurement_uid !== null && isMeasurementUid(row.measurement_uid) ? row.measurement_uid : null;
      const name = uid === null ? `line${String(number).padStart(8, '0')}` : numbered(uid, seen);
      number++;
      const within = { start: head.length, end: head.length + line.length };
      items.push({
        member: `${key}/${name}.post`,
        mtime: (uid && parseUid(uid)?.time) || midnight,
        bytes: within.end + tail.length,
        within,
        uid,
        ...lookupKeys(line, readJson(line, { maxDepth: ROW_DEPTH, names: KEY_NAMES }).value),
      });
      posts.push(head, line, tail);
      held += within.end + tail.length;
      if (held >= CHUNK) yield whole();
    }
    if (items.length > 0) yield whole();
  }
}

const POST_FRAME = { head: Buffer.from('{"format":"json","content":'), tail: Buffer.from('}') };

/** A second row of one uid has a member of its own: unpacked, neither overwrites the other. */
function numbered(uid: string, seen: Map<string, number>): string {
  const n = (seen.get(uid) ?? 0) + 1;
  seen.set(uid, n);
  return n === 1 ? uid : `${uid}~${n}`;
}

/** 16 hex digits of the content of both files, the postcan first: other bytes never have the same name. */
export function contentId(sha256: string[]): string {
  return createHash('sha256').update(sha256.join('\n')).digest('hex').slice(0, 16);
}
