// Reads an index as fsck does: whole, in pieces, so that no reader keeps writers from tidying up, and never sure
// that the file is well.
import Database from 'better-sqlite3';
import { compareKeys } from '../record/names.ts';
import { describe, Malformed } from '../stream/errors.ts';
import { columnsOf, createTables, isAdded, isPlace, type MemberPlace, openIndex, UID } from './index-db.ts';
import { LINES } from './linewriter.ts';
import { statementsOf } from './statements.ts';

/** A can as the index knows it. */
export interface IndexedCan {
  id: number;
  /** Of the `.jsonl.gz`. */
  key: string;
  sha256: string | null;
  bytes: number | null;
  postcan_sha256: string | null;
  postcan_bytes: number | null;
  class: string;
  cc: string | null;
  test: string | null;
  grp: string | null;
  generation: string | null;
  made: number | null;
  superseded: number;
}

/** A row of a line. */
export interface IndexedLine {
  linenum: number;
  /** Id of the report; null for a line that is unreadable. */
  report: number | null;
  report_id: string | null;
  input: string | null;
  measurement_uid: string | null;
  /** 16 hex digits; null in cans that others made. */
  hash: string | null;
  unreadable: number;
}

interface SchemaObject {
  type: string;
  name: string;
  sql: string;
}

/** Definitions that differ in added columns alone, wherever these stand. */
function isAltered(one: string, other: string): boolean {
  const parts = (sql: string) =>
    sql
      .replace(/\s+/g, ' ')
      .split(/[(),] ?|$/)
      .map((part) => part.trim())
      .filter((part) => part !== '' && !isAdded(part.split(' ')[0]!));
  return parts(one).join() === parts(other).join();
}

/** The index's own file is damaged. */
export class IndexDamage extends Malformed {}

const PAGE = 500;

export class IndexAudit {
  readonly path: string;
  #db: Database.Database;
  #store: string;
  #sql: (text: string) => Database.Statement;
  #canColumns: string;

  /** @param store cans of this one alone are looked at */
  constructor(path: string, store: string) {
    this.path = path;
    this.#store = store;
    this.#db = openIndex(path);
    this.#sql = statementsOf(this.#db);
    const known = this.#ask(() => columnsOf(this.#db, 'can'));
    const newer = ['bytes', 'postcan_sha256', 'postcan_bytes'].map((name) =>
      known.includes(name) ? name : `NULL AS ${name}`,
    );
    this.#canColumns = `id, s3path AS key, sha256, class, cc, test, grp, generation, made, superseded, ${newer.join()}`;
  }

  /** @throws IndexDamage */
  #ask<T>(question: () => T): T {
    try {
      return question();
    } catch (error) {
      const { code } = error as { code?: string };
      if (!/^SQLITE_(?:CORRUPT|NOTADB|IOERR|ERROR)/.test(code ?? '')) throw error;
      throw new IndexDamage(`${this.path}: damaged: ${describe(error)}`);
    }
  }

  /** Cans of each store. */
  stores(): { store: string; cans: number }[] {
    return this.#ask(() =>
      this.#sql('SELECT store, count(*) AS cans FROM can GROUP BY store ORDER BY store').all(),
    ) as { store: string; cans: number }[];
  }

  /** Cans by key, behind one. @throws IndexDamage */
  *cans(after: string): Generator<IndexedCan> {
    for (let last = after; ; ) {
      // Not one long read: the write-ahead log of a pipeline at work could not be emptied meanwhile.
      const page = this.#ask(() =>
        this.#sql(
          `SELECT ${this.#canColumns} FROM can WHERE s3path > ? AND store = ? ORDER BY s3path LIMIT ${PAGE}`,
        ).all(last, this.#store),
      ) as IndexedCan[];
      for (const can of page) {
        if (typeof can.key !== 'string' || compareKeys(can.key, last) <= 0)
          throw new IndexDamage(`${this.path}: damaged: its cans are not in order`);
        last = can.key;
        yield can;
      }
      if (page.length < PAGE) return;
    }
  }

  /** A can as it is now. */
  can(key: string): IndexedCan | undefined {
    return this.#ask(() =>
      this.#sql(`SELECT ${this.#canColumns} FROM can WHERE s3path = ? AND store = ?`).get(key, this.#store),
    ) as IndexedCan | undefined;
  }

  /** How many rows a can has, and the number of its last line. */
  extent(can: number): { rows: number; last: number | null } {
    const range = [can * LINES, (can + 1) * LINES];
    return this.#ask(() =>
      this.#sql(`SELECT count(*) AS rows, max(id) & ${LINES - 1} AS last FROM line WHERE id >= ? AND id < ?`).get(
        range,
      ),
    ) as { rows: number; last: number | null };
  }

  /** Rows of a can, from one line on. */
  *lines(can: number, from = 0, to = LINES): Generator<IndexedLine> {
    const end = can * LINES + to;
    for (let next = can * LINES + from; ; ) {
      const page = this.#ask(() =>
        this.#sql(
          `SELECT line.id & ${LINES - 1} AS linenum, report, report_id, input, ${UID} AS measurement_uid,
             CASE WHEN hash IS NOT NULL THEN lower(hex(hash)) END AS hash, unreadable
           FROM line JOIN can ON can.id = line.id >> 24 LEFT JOIN report ON report.id = line.report
           WHERE line.id >= ? AND line.id < ? ORDER BY line.id LIMIT ${PAGE}`,
        ).all(next, end),
      ) as IndexedLine[];
      yield* page;
      if (page.length < PAGE) return;
      next = can * LINES + page.at(-1)!.linenum + 1;
    }
  }

  members(can: number): MemberPlace[] {
    const members = this.#ask(() =>
      this.#sql('SELECT first_line, offset, length FROM member WHERE can = ? ORDER BY first_line').all(can),
    ) as MemberPlace[];
    if (!members.every(isPlace)) throw new IndexDamage(`${this.path}: damaged: a gzip member without a place`);
    return members;
  }

  /** What SQLite itself finds. @param full compares every index with its table too */
  *integrity(full: boolean): Generator<string> {
    const check = full ? 'integrity_check' : 'quick_check';
    const found = this.#ask(() => this.#db.pragma(`${check}(100)`)) as Record<string, string>[];
    for (const row of found) {
      const text = row[check]!;
      if (text !== 'ok') yield `${this.path}: ${text.replaceAll('\n', '; ')}`;
    }
  }

  /** Tables, indexes and views that are not as an index has them; others may have been added. */
  *schema(): Generator<string> {
    const objects = 'SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL';
    const ours = new Database(':memory:');
    createTables(ours);
    const there = this.#ask(() => this.#sql(objects).all()) as SchemaObject[];
    for (const { type, name, sql } of ours.prepare(objects).all() as SchemaObject[]) {
      const found = there.find((one) => one.name === name && one.type === type);
      if (found?.sql === sql || (!found && isAdded(name))) continue;
      if (!found || !isAltered(found.sql, sql)) yield `${this.path}: damaged: its ${type} ${name} is not as it must be`;
    }
    ours.close();
  }

  /** Lines and members of cans that are not there, a can at a time. */
  *orphans(): Generator<string> {
    const tables = {
      line: 'SELECT id >> 24 FROM line WHERE id >= ? ORDER BY id LIMIT 1',
      member: 'SELECT can FROM member WHERE can >= ? ORDER BY can LIMIT 1',
    };
    for (const [table, text] of Object.entries(tables)) {
      const step = table === 'line' ? LINES : 1;
      for (let from = Number.MIN_SAFE_INTEGER; ; ) {
        const can = this.#ask(() => this.#sql(text).pluck().get(from)) as number | undefined;
        if (can === undefined) break;
        if (this.#ask(() => this.#sql('SELECT 1 FROM can WHERE id = ?').get(can)) === undefined)
          yield `${this.path}: rows of table ${table} belong to can ${can}, which is not there`;
        from = (can + 1) * step;
        if (!Number.isSafeInteger(from)) break;
      }
    }
  }

  close(): void {
    this.#db.close();
  }
}
