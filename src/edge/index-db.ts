// The index: where each measurement's line lies. A row is kept small: the can's key and the report id
// stand in tables of their own, a line's id holds its can and its number, and of a uid only what its can
// does not tell is kept: the time, in microseconds since the epoch, and the hash.
import { existsSync, readFileSync, realpathSync, statSync } from 'node:fs';
import Database from 'better-sqlite3';
import { isCount, isText, isTextOrNull } from '../record/kinds.ts';
import { JSONL_EXT, keyFolder, POSTCAN_EXT, parseCanName, parseKey, parseUid } from '../record/names.ts';
import { describe, Failure, Malformed } from '../stream/errors.ts';
import { LINES, LineWriter, uidSplitter } from './linewriter.ts';
import type { BriefManifest, CanFile, Generation, IndexRow } from './outgoing.ts';
import { ReportIds } from './reportids.ts';
import { statementsOf } from './statements.ts';

/** 'cnry' in the file's header, so that no other database is taken for ours. */
const APPLICATION_ID = 0x636e7279;
export const SCHEMA_VERSION = 1;

/** A line's uid as text. */
export const UID = `coalesce(line.uid_text, strftime('%Y%m%d%H%M%S', line.uid_time / 1000000, 'unixepoch')
    || printf('.%06d_%s_%s_', line.uid_time % 1000000, can.cc, can.test) || lower(hex(line.uid_hash)))`;

const SCHEMA = `
CREATE TABLE can (
  id INTEGER PRIMARY KEY,
  store TEXT NOT NULL,
  s3path TEXT NOT NULL,
  sha256 TEXT,
  bytes INTEGER,
  postcan_sha256 TEXT,
  postcan_bytes INTEGER,
  class TEXT NOT NULL,
  cc TEXT,
  test TEXT,
  grp TEXT,
  generation TEXT,
  made INTEGER,
  superseded INTEGER NOT NULL DEFAULT 0,
  UNIQUE (s3path, store)
);
CREATE TABLE member (
  can INTEGER NOT NULL,
  first_line INTEGER NOT NULL,
  offset INTEGER NOT NULL,
  length INTEGER NOT NULL,
  PRIMARY KEY (can, first_line)
) WITHOUT ROWID;
CREATE TABLE report (id INTEGER PRIMARY KEY, report_id TEXT NOT NULL UNIQUE);
CREATE TABLE line (
  id INTEGER PRIMARY KEY,
  report INTEGER,
  input TEXT,
  uid_time INTEGER,
  uid_hash BLOB,
  uid_text TEXT,
  hash BLOB,
  unreadable INTEGER NOT NULL
);
CREATE INDEX line_report ON line (report);
CREATE INDEX line_uid ON line (uid_time) WHERE uid_time IS NOT NULL;
CREATE INDEX line_uid_text ON line (uid_text) WHERE uid_text IS NOT NULL;
CREATE VIEW jsonl AS
  SELECT report.report_id, line.input, can.s3path, line.id & ${LINES - 1} AS linenum, ${UID} AS measurement_uid
  FROM line JOIN can ON can.id = line.id >> 24 JOIN report ON report.id = line.report
  WHERE NOT line.unreadable;
`;

/** A line that a look-up found, as the file has it: `isFound` tells whether it can be one. */
export interface Found {
  can: number;
  store: string;
  s3path: string;
  linenum: number;
  measurement_uid: string | null;
  report_id: string | null;
  input: string | null;
  /** The line's `lineHash`; null where others made the can. */
  hash: string | null;
  unreadable: number;
  /** Of the gzip member that holds the line; null for cans that others made. */
  first_line: number | null;
  offset: number | null;
  length: number | null;
}

export interface Merged {
  cans: number;
  lines: number;
  /** Rows of a foreign table without a key or a line number. */
  unusable: number;
}

export interface MemberPlace {
  first_line: number;
  offset: number;
  length: number;
}

/** True where a row has the form of one: the file may be damaged, or forged. */
export function isFound(row: Found): boolean {
  const { store, s3path, measurement_uid, report_id, input, hash } = row;
  return (
    isText(store) &&
    isText(s3path) &&
    isTextOrNull(measurement_uid) &&
    isTextOrNull(report_id) &&
    isTextOrNull(input) &&
    (hash === null || (isText(hash) && hash.length === 16))
  );
}

/** The member that holds a line; undefined where none is known. @throws Malformed where none can be there */
export function memberOf({ first_line, offset, length }: Found): MemberPlace | undefined {
  if (first_line === null) return undefined;
  const place = { first_line, offset: offset!, length: length! };
  if (!isPlace(place)) throw new Malformed('damaged: a gzip member without a place');
  return place;
}

/** True where this can be a part of a file. */
export function isPlace({ first_line, offset, length }: MemberPlace): boolean {
  return isCount(first_line) && isCount(offset) && isCount(length) && first_line < LINES;
}

const LINENUM = `(line.id & ${LINES - 1})`;

/** All of it in one statement: in a process that has just begun, another costs more than what it looks for. */
const FOUND = `
  SELECT can.id AS can, store, s3path, ${LINENUM} AS linenum, ${UID} AS measurement_uid, report_id, input,
    CASE WHEN hash IS NOT NULL THEN lower(hex(hash)) END AS hash, unreadable, first_line, offset, length
  FROM line JOIN can ON can.id = line.id >> 24 LEFT JOIN report ON report.id = line.report
    LEFT JOIN member ON member.can = can.id AND first_line =
      (SELECT max(first_line) FROM member WHERE member.can = can.id AND first_line <= ${LINENUM})`;

export interface CanToInsert {
  manifest: BriefManifest;
  /** Exactly as many as measurements, some at a time. */
  rows: () => Iterable<IndexRow[]>;
}

/** A generation would take the place of more measurements than it has. */
export class FewerMeasurements extends Malformed {}

export class IndexDb {
  readonly path: string;
  #db: Database.Database;
  #sql: (text: string) => Database.Statement;
  #reports: ReportIds;

  /** @throws Failure for a file that is not an index of ours, or of another version */
  constructor(path: string, mode: 'read' | 'write') {
    this.path = path;
    this.#db = mode === 'read' ? openIndex(path) : opening(path, () => openToWrite(path));
    this.#sql = statementsOf(this.#db);
    this.#reports = new ReportIds((text) => this.#sql(text));
  }

  // --- writing

  /**
   * Inserts cans in one transaction: a can of posts alone, or all cans of a generation. A can that is there
   * with the same bytes is left as it is; rows of older generations of the same bucket go.
   * @param replace a generation may have fewer measurements than what it takes the place of
   * @throws Failure where a key is known with other bytes, FewerMeasurements where measurements would vanish
   */
  insertCans(store: string, cans: CanToInsert[], replace = false): Inserted {
    const { generation, class: zone } = cans[0]!.manifest;
    try {
      return this.#db
        .transaction(() => {
          const newer = this.#newerThan(store, cans[0]!.manifest);
          if (newer !== undefined) {
            for (const { manifest } of cans) this.#insertOutdated(store, manifest);
            return { superseded: [], outdated: newer };
          }
          for (const can of cans) this.#insertCan(store, can);
          if (!generation?.bucket) return { superseded: [] };
          const group = { store, zone, group: groupOf(cans[0]!.manifest)! };
          if (!replace) this.#refuseLoss(group, generation);
          return { superseded: [...this.#supersede(group, generation), ...this.#supersedeRest(group, generation)] };
        })
        .immediate();
    } catch (error) {
      this.#reports.forget(); // ids of a transaction that did not happen
      throw this.named(error);
    }
  }

  /** A fault of the database with its file, which SQLite does not tell; any other as it is. */
  named(error: unknown): unknown {
    const { code, message } = error as { code?: string; message: string };
    return code?.startsWith('SQLITE_') ? new Failure(`${this.path}: ${message}`) : error;
  }

  /** Key of a can of a later generation of the same bucket; undefined where there is none. */
  #newerThan(store: string, manifest: BriefManifest): string | undefined {
    const { generation } = manifest;
    if (!generation?.bucket) return undefined;
    const newer = this.#sql(
      'SELECT s3path FROM can WHERE store = ? AND grp = ? AND class = ? AND made > ? AND generation <> ? AND NOT superseded LIMIT 1',
    );
    const found = newer.get(store, groupOf(manifest), manifest.class, generation.made, generation.id);
    return (found as { s3path: string } | undefined)?.s3path;
  }

  /** A can that came too late: known, and without lines. */
  #insertOutdated(store: string, manifest: BriefManifest): void {
    const { s3path } = fileOf(manifest, JSONL_EXT);
    if (this.#sql('SELECT 1 FROM can WHERE s3path = ? AND store = ?').get(s3path, store)) return;
    const id = this.#newCan(store, manifest);
    this.#sql('UPDATE can SET superseded = 1 WHERE id = ?').run(id);
  }

  #insertCan(store: string, { manifest, rows }: CanToInsert): void {
    const { s3path, sha256 } = fileOf(manifest, JSONL_EXT);
    const known = this.#sql('SELECT id, sha256, superseded FROM can WHERE s3path = ? AND store = ?').get(
      s3path,
      store,
    ) as { id: number; sha256: string | null; superseded: number } | undefined;
    if (known && known.sha256 !== sha256) throw new Failure(`${this.path}: ${s3path} is indexed with other bytes`);
    if (known && !known.superseded) return;
    if (manifest.measurements > LINES) throw new Failure(`${s3path}: more lines than the index can number (${LINES})`);
    const { generation } = manifest;
    if (known) {
      const again = this.#sql('UPDATE can SET superseded = 0, generation = ?, made = ? WHERE id = ?');
      again.run(generation?.id ?? null, generation?.made ?? null, known.id);
    }
    const can = known?.id ?? this.#newCan(store, manifest);
    const lines = new LineWriter(this.#sql, { can, name: parseCanName(manifest.can), reports: this.#reports });
    for (const some of rows()) for (const row of some) lines.addPlaced(row);
    lines.flush();
  }

  #newCan(store: string, manifest: BriefManifest): number {
    const { s3path, sha256, bytes } = fileOf(manifest, JSONL_EXT);
    const postcan = fileOf(manifest, POSTCAN_EXT);
    const { cc = null, test = null } = parseKey(s3path)?.can ?? {};
    const { id = null, made = null } = manifest.generation ?? {};
    const insert = this.#sql(
      `INSERT INTO can (store, s3path, sha256, bytes, postcan_sha256, postcan_bytes, class, cc, test, grp, generation, made)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    );
    const files = [sha256, bytes, postcan.sha256, postcan.bytes];
    const place = [manifest.class, cc, test, groupOf(manifest)];
    return Number(insert.run(store, s3path, ...files, ...place, id, made).lastInsertRowid);
  }

  /**
   * Where a bucket was read whole, all of it is compared before its first group takes a place; of a part, the group.
   * @throws FewerMeasurements where measurements would vanish
   */
  #refuseLoss({ store, zone, group }: Group, generation: Generation): void {
    const { whole, made } = generation;
    const mine = keysOf(generation);
    const refuse = (what: string, now: number, before: number) => {
      if (now >= before) return;
      throw new FewerMeasurements(
        `${now} measurements of ${what} would take the place of ${before}: was the whole bucket read? (index --replace does it)`,
      );
    };
    if (!whole) {
      const live = this.#live(store, zone, group, group);
      const lines = (own: boolean) =>
        live.reduce((sum, { id, s3path }) => sum + (mine.has(s3path) === own ? this.#linesOf(id) : 0), 0);
      refuse(group, lines(true), lines(false));
      return;
    }
    const bucket = this.#live(store, zone, ...groupsOfBucket(group));
    const begun = bucket.some((can) => can.made === made && !mine.has(can.s3path));
    if (begun) return;
    // The cans of this group are in already; lines of theirs that were there before count as before.
    const before = bucket.reduce((sum, can) => sum + (can.made === made ? 0 : this.#linesOf(can.id)), 0);
    refuse(`bucket ${generation.bucket}`, whole.measurements + whole.left_out, before);
  }

  /** Cans of older generations of the group go. @returns their keys */
  #supersede({ store, zone, group }: Group, generation: Generation): string[] {
    const mine = keysOf(generation);
    const older = this.#live(store, zone, group, group).filter(({ s3path }) => !mine.has(s3path));
    for (const { id } of older) this.#retire(id);
    // A can that is in both generations belongs to the later one.
    const adopt = this.#sql('UPDATE can SET generation = ?, made = ? WHERE s3path = ? AND store = ?');
    for (const s3path of mine) adopt.run(generation.id, generation.made, s3path, store);
    return older.map(({ s3path }) => s3path);
  }

  /** With the last group of a bucket that was read whole, the groups go that its measurements are no longer in. */
  #supersedeRest({ store, zone, group }: Group, { whole, made }: Generation): string[] {
    if (!whole) return [];
    const bucket = this.#live(store, zone, ...groupsOfBucket(group));
    const groups = new Set(bucket.filter((can) => can.made === made).map(({ grp }) => grp));
    if (groups.size < whole.groups) return [];
    const older = bucket.filter((can) => (can.made ?? 0) < made);
    for (const { id } of older) this.#retire(id);
    return older.map(({ s3path }) => s3path);
  }

  /** Cans whose rows count, of the groups from one to another. */
  #live(store: string, zone: string, from: string, to: string): LiveCan[] {
    const live = this.#sql(
      'SELECT id, s3path, grp, made FROM can WHERE grp >= ? AND grp <= ? AND store = ? AND class = ? AND NOT superseded ORDER BY s3path',
    );
    return live.all(from, to, store, zone) as LiveCan[];
  }

  #linesOf(can: number): number {
    return this.#sql('SELECT count(*) FROM line WHERE id >= ? AND id < ?')
      .pluck()
      .get(can * LINES, (can + 1) * LINES) as number;
  }

  /** Takes a can's rows away; that it was there stays known. */
  #retire(can: number): void {
    this.#sql('DELETE FROM line WHERE id >= ? AND id < ?').run(can * LINES, (can + 1) * LINES);
    this.#sql('DELETE FROM member WHERE can = ?').run(can);
    this.#sql('UPDATE can SET superseded = 1 WHERE id = ?').run(can);
  }

  /** True where the rows of a can are here. */
  holds(store: string, s3path: string): boolean {
    return (
      this.#sql('SELECT 1 FROM can WHERE s3path = ? AND store = ? AND NOT superseded').get(s3path, store) !== undefined
    );
  }

  /**
   * Adds the rows of another index: one of ours, or any SQLite file with a table or view `jsonl` of the five
   * columns (cans that others made: without members and hashes), whose keys lie in `store`.
   */
  merge(other: string, store: string | undefined): Merged {
    const db = this.#db;
    if (!existsSync(other)) throw new Failure(`${other}: no such index`);
    if (realpathSync(other) === realpathSync(this.path)) throw new Failure(`${other}: is the index itself`);
    try {
      db.prepare('ATTACH ? AS other').run(other);
      const id = db.pragma('other.application_id', { simple: true });
      if (id !== APPLICATION_ID) return db.transaction(() => this.#mergeForeign(other, store)).immediate();
      const version = db.pragma('other.user_version', { simple: true });
      if (version !== SCHEMA_VERSION)
        throw new Failure(`${other}: schema version ${version}, and this cannery knows ${SCHEMA_VERSION}`);
      return db.transaction(() => this.#mergeOurs()).immediate();
    } catch (error) {
      this.#reports.forget();
      if ((error as { code?: string }).code === 'SQLITE_NOTADB') throw new Failure(`${other}: not a SQLite file`);
      throw error;
    } finally {
      this.#sql = statementsOf(this.#db);
      const attached = db.pragma('database_list') as { name: string }[];
      if (attached.some(({ name }) => name === 'other')) db.exec('DETACH other');
    }
  }

  #mergeOurs(): Merged {
    type Can = {
      id: number;
      store: string;
      s3path: string;
      sha256: string | null;
      superseded: number;
    };
    // By name: one of the two may be older.
    const theirs = this.#db.prepare("SELECT name FROM pragma_table_info('can', 'other')").pluck().all() as string[];
    const shared = columnsOf(this.#db, 'can').filter((name) => name !== 'id' && theirs.includes(name));
    const counts = { cans: 0, lines: 0, unusable: 0 };
    for (const can of this.#sql('SELECT * FROM other.can ORDER BY id').all() as Can[]) {
      const known = this.#sql('SELECT id, sha256, superseded FROM can WHERE s3path = ? AND store = ?').get(
        can.s3path,
        can.store,
      ) as { id: number; sha256: string | null; superseded: number } | undefined;
      // Null is a can that others made and nobody has read.
      if (known?.sha256 && can.sha256 && known.sha256 !== can.sha256)
        throw new Failure(`${can.s3path}: the two indexes know it with different bytes`);
      // What is superseded there is so here, unless it came back here later.
      if (known && can.superseded && !known.superseded) this.#retire(known.id);
      if (known) continue;
      const copy = `INSERT INTO can (${shared.join()}) SELECT ${shared.join()} FROM other.can WHERE id = ?`;
      const id = Number(this.#sql(copy).run(can.id).lastInsertRowid);
      this.#sql('INSERT INTO member SELECT ?, first_line, offset, length FROM other.member WHERE can = ?').run(
        id,
        can.id,
      );
      const range = [can.id * LINES, (can.id + 1) * LINES];
      this.#sql(
        'INSERT OR IGNORE INTO report (report_id) SELECT DISTINCT r.report_id FROM other.line l JOIN other.report r ON r.id = l.report WHERE l.id >= ? AND l.id < ?',
      ).run(...range);
      const { changes } = this.#sql(
        `INSERT INTO line SELECT l.id + ?, mine.id, l.input, l.uid_time, l.uid_hash, l.uid_text, l.hash, l.unreadable
         FROM other.line l LEFT JOIN other.report theirs ON theirs.id = l.report LEFT JOIN main.report mine ON mine.report_id = theirs.report_id
         WHERE l.id >= ? AND l.id < ?`,
      ).run((id - can.id) * LINES, ...range);
      counts.cans++;
      counts.lines += changes;
    }
    // Of a bucket's generations that both sides know, the latest stays.
    const late = this.#sql(
      `SELECT id FROM can WHERE grp IS NOT NULL AND NOT superseded AND made <
       (SELECT max(made) FROM can other WHERE other.store = can.store AND other.grp = can.grp AND other.class = can.class AND NOT other.superseded)`,
    );
    for (const { id } of late.all() as { id: number }[]) this.#retire(id);
    return counts;
  }

  #mergeForeign(other: string, store: string | undefined): Merged {
    const columns = this.#db.prepare("SELECT name FROM pragma_table_info('jsonl', 'other')").pluck().all();
    const wanted = ['report_id', 'input', 's3path', 'linenum', 'measurement_uid'];
    if (!wanted.every((name) => columns.includes(name)))
      throw new Failure(`${other}: neither an index of cannery's nor a table jsonl with ${wanted.join(', ')}`);
    if (store === undefined)
      throw new Failure(`${other}: its table jsonl does not tell where the keys lie: give --store`);
    const usable = `typeof(j.s3path) = 'text' AND j.s3path <> '' AND typeof(j.linenum) = 'integer' AND j.linenum BETWEEN 0 AND ${LINES - 1}`;
    const cans = this.#db
      .prepare(
        `INSERT INTO can (store, s3path, class) SELECT ?, s3path, 'foreign' FROM (SELECT DISTINCT s3path FROM other.jsonl j WHERE ${usable})
         WHERE s3path NOT IN (SELECT s3path FROM main.can WHERE store = ?) ORDER BY s3path`,
      )
      .run(store, store).changes;
    this.#db.exec("INSERT OR IGNORE INTO report (report_id) SELECT DISTINCT coalesce(report_id, '') FROM other.jsonl");
    // One line that is listed twice is one line, and what we know of our own cans is better.
    const lines = this.#db
      .prepare(
        `INSERT OR IGNORE INTO line
         SELECT can.id * ${LINES} + j.linenum, report.id, coalesce(j.input, ''), NULL, NULL, nullif(j.measurement_uid, ''), NULL, 0
         FROM other.jsonl j JOIN main.can ON can.s3path = j.s3path AND can.store = ? AND can.class = 'foreign'
         JOIN main.report ON report.report_id = coalesce(j.report_id, '') WHERE ${usable}`,
      )
      .run(store).changes;
    const unusable = this.#db
      .prepare(`SELECT count(*) FROM other.jsonl j WHERE NOT coalesce(${usable}, 0)`)
      .pluck()
      .get();
    return { cans, lines, unusable: unusable as number };
  }

  /** What is known of a can that a store has. */
  known(store: string, s3path: string): KnownCan | undefined {
    const find = this.#sql(
      'SELECT sha256, bytes, postcan_bytes, class, superseded FROM can WHERE store = ? AND s3path = ?',
    );
    return find.get(store, s3path) as KnownCan | undefined;
  }

  /** For what is read from a store, and no receipt tells of. @param make is handed the database */
  staged<T>(make: (db: Database.Database) => T): T {
    this.#db.pragma('synchronous = NORMAL'); // what goes with the power is read again
    return make(this.#db);
  }

  // --- looking up

  byUid(uid: string): Found[] {
    const parsed = parseUid(uid);
    if (!parsed) return this.#find(`${FOUND} WHERE uid_text = ? ORDER BY line.id`, uid);
    const { cc, test } = parsed;
    const { time, hash } = uidSplitter(parsed)(uid);
    const isIt = 'uid_text = ? OR (uid_time = ? AND uid_hash = unhex(?) AND can.cc = ? AND can.test = ?)';
    return this.#find(`${FOUND} WHERE ${isIt} ORDER BY line.id`, uid, time, hash, cc, test);
  }

  /** All lines of a report, or those of one input (`""` stands for no input). */
  byReport(reportId: string, input?: string): Found[] {
    const text = `${FOUND} WHERE line.report = (SELECT id FROM report WHERE report_id = ?)`;
    if (input === undefined) return this.#find(`${text} ORDER BY line.id`, reportId);
    return this.#find(`${text} AND input = ? ORDER BY line.id`, reportId, input);
  }

  #find(sql: string, ...values: unknown[]): Found[] {
    try {
      return this.#sql(sql).all(...values) as Found[];
    } catch (error) {
      throw this.named(error);
    }
  }

  close(): void {
    this.#db.close();
  }
}

/** An index to read from. @throws Failure for a file that is not an index of ours, or of another version */
export function openIndex(path: string): Database.Database {
  if (!existsSync(path)) throw new Failure(`${path}: no such index`);
  return opening(path, () => {
    const db = open(path, 'read');
    checkFormat(db, path);
    db.pragma('cache_size = -32000');
    return db;
  });
}

function openToWrite(path: string): Database.Database {
  const db = open(path, 'write');
  // SQLite is asked, and not the size of the file: one whose making was killed is empty once it is opened.
  const isEmpty = () => {
    const known = db.pragma('application_id', { simple: true }) !== 0;
    return !known && db.prepare('SELECT count(*) FROM sqlite_master').pluck().get() === 0;
  };
  if (isEmpty()) {
    db.transaction(() => {
      if (isEmpty()) createTables(db); // unless another process made it between our look and our lock
    }).immediate();
  }
  checkFormat(db, path);
  // better-sqlite3 is built with NORMAL for WAL, which may lose the last commits when power goes.
  db.pragma('journal_mode = WAL');
  db.pragma('synchronous = FULL');
  if (isOld(db)) db.transaction(() => addWhatIsNew(db)).immediate();
  db.pragma('cache_size = -32000');
  db.pragma('wal_autocheckpoint = 8000'); // 32 MB: fewer copies of pages that change again
  return db;
}

/** The tables of a new index. */
export function createTables(db: Database.Database): void {
  db.exec(SCHEMA);
  addWhatIsNew(db);
  db.pragma(`application_id = ${APPLICATION_ID}`);
  db.pragma(`user_version = ${SCHEMA_VERSION}`);
}

/** Columns that older indexes lack, and their index on groups. */
const ADDED = ['bytes INTEGER', 'postcan_sha256 TEXT', 'postcan_bytes INTEGER'];
const GROUP_INDEX = 'CREATE INDEX IF NOT EXISTS can_grp ON can (grp) WHERE grp IS NOT NULL';

/** True for what an older index may lack. */
export function isAdded(name: string): boolean {
  return name === 'can_grp' || ADDED.some((column) => column.startsWith(`${name} `));
}

function isOld(db: Database.Database): boolean {
  const group = db.prepare("SELECT 1 FROM sqlite_master WHERE name = 'can_grp'").get();
  return group === undefined || lacking(db).length > 0;
}

function lacking(db: Database.Database): string[] {
  const known = columnsOf(db, 'can');
  return ADDED.filter((column) => !known.includes(column.split(' ')[0]!));
}

function addWhatIsNew(db: Database.Database): void {
  db.exec(GROUP_INDEX);
  for (const column of lacking(db)) db.exec(`ALTER TABLE can ADD COLUMN ${column}`);
}

/** Names of a table's columns: an index that was only read since may be older. */
export function columnsOf(db: Database.Database, table: string): string[] {
  return db.prepare('SELECT name FROM pragma_table_info(?)').pluck().all(table) as string[];
}

function checkFormat(db: Database.Database, path: string): void {
  if (db.pragma('application_id', { simple: true }) !== APPLICATION_ID)
    throw new Failure(`${path}: a database, but not an index of cannery's`);
  const version = db.pragma('user_version', { simple: true });
  if (version !== SCHEMA_VERSION)
    throw new Failure(`${path}: schema version ${version}, and this cannery knows ${SCHEMA_VERSION}`);
}

function opening<T>(path: string, open: () => T): T {
  try {
    return open();
  } catch (error) {
    if (error instanceof Failure) throw error;
    const { code } = error as { code?: string };
    if (code === 'SQLITE_NOTADB') throw new Failure(`${path}: not a SQLite file`);
    throw new Failure(`${path}: ${describe(error)}`);
  }
}

/**
 * A reader of a file in WAL mode writes a file beside it. Where it may not (a mirror on read-only media) and no writer is at
 * work, the index is read into memory, said to be in the older mode, and asked there.
 */
function open(path: string, mode: 'read' | 'write'): Database.Database {
  const db = new Database(path, { readonly: mode === 'read', timeout: 60_000 });
  if (mode === 'write') return db;
  try {
    db.prepare('SELECT 1 FROM sqlite_master').get();
    return db;
  } catch (error) {
    const code = String((error as { code?: string }).code);
    const readOnly = /^SQLITE_(?:CANTOPEN|READONLY)/.test(code);
    if (!readOnly || existsSync(`${path}-wal`) || statSync(path).size > LARGEST_COPY) throw error;
    db.close();
    const bytes = readFileSync(path);
    bytes[18] = 1; // write and read version: 2 is WAL
    bytes[19] = 1;
    return new Database(bytes, { readonly: true });
  }
}

const LARGEST_COPY = 2_000_000_000;

/** Sizes are null where nobody has read the file. */
export interface KnownCan {
  sha256: string | null;
  bytes: number | null;
  postcan_bytes: number | null;
  class: string;
  superseded: number;
}

export interface Inserted {
  /** Keys of the cans whose rows went. */
  superseded: string[];
  /** A key of the later generation that the index has already: nothing was inserted. */
  outdated?: string;
}

function fileOf(manifest: BriefManifest, ext: string): CanFile {
  const file = manifest.files.find(({ name }) => name === `${manifest.can}${ext}`);
  if (!file) throw new Failure(`${manifest.can}: no ${ext.slice(1)} file in its manifest`);
  return file;
}

interface Group {
  store: string;
  zone: string;
  /** `YYYYMMDD_CC_test` */
  group: string;
}

interface LiveCan {
  id: number;
  s3path: string;
  grp: string;
  made: number | null;
}

/** Every group of a bucket lies between these two. */
function groupsOfBucket(group: string): [string, string] {
  const day = group.slice(0, 8);
  return [`${day}_`, `${day}_~`];
}

function keysOf({ cans }: Generation): Set<string> {
  return new Set(cans.map((can) => `${keyFolder(parseCanName(can)!)}/${can}${JSONL_EXT}`));
}

/** Day, country and test of a row can: what a new generation takes the place of. */
function groupOf(manifest: BriefManifest): string | null {
  return manifest.generation?.bucket ? manifest.can.slice(0, manifest.can.indexOf('.')) : null;
}
