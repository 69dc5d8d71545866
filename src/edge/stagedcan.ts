// A can on its way into an index that others read meanwhile: its rows gather in a table of this connection alone, on the disk
// where they are many, and come in with the can in one transaction.
import type Database from 'better-sqlite3';
import { parseKey } from '../record/names.ts';
import type { RowSink } from './canread.ts';
import type { MemberPlace } from './index-db.ts';
import { LINES, type LineRow, membersInto, uidSplitter } from './linewriter.ts';
import { statementsOf } from './statements.ts';

/** Rows that are put into the table at once. */
const BATCH = 1000;

const TABLE = `CREATE TEMP TABLE IF NOT EXISTS staged
  (linenum INTEGER PRIMARY KEY, report_id TEXT, input TEXT, uid_time INTEGER, uid_hash BLOB, uid_text TEXT, hash BLOB, unreadable INTEGER)`;

/** What is known of a can when all of it was read. */
export interface StagedFacts {
  sha256: string;
  bytes: number;
  postcan_sha256: string | null;
  postcan_bytes: number | null;
  class: string;
  members: MemberPlace[];
}

export class StagedCan implements RowSink {
  #db: Database.Database;
  #sql: ReturnType<typeof statementsOf>;
  #place: { store: string; s3path: string };
  #split: ReturnType<typeof uidSplitter>;
  #rows: unknown[][] = [];

  constructor(db: Database.Database, store: string, s3path: string) {
    this.#db = db;
    this.#place = { store, s3path };
    this.#split = uidSplitter(parseKey(s3path)?.can);
    db.exec(TABLE);
    db.exec('DELETE FROM temp.staged'); // of a can that was not whole
    this.#sql = statementsOf(db);
  }

  row({ linenum, measurement_uid, report_id, input, hash, unreadable }: LineRow): void {
    const { time, hash: end, text } = this.#split(measurement_uid);
    const keys = unreadable ? [null, null] : [report_id, input];
    this.#rows.push([linenum, ...keys, time, end, text, hash, unreadable ? 1 : 0]);
    if (this.#rows.length >= BATCH) this.#put();
  }

  drop(from: number): void {
    this.#put();
    this.#sql('DELETE FROM temp.staged WHERE linenum >= ?').run(from);
  }

  #put(): void {
    const insert = this.#sql('INSERT INTO temp.staged VALUES (?, ?, ?, ?, unhex(?), ?, unhex(?), ?)');
    this.#db.transaction(() => {
      for (const row of this.#rows) insert.run(...row);
    })();
    this.#rows = [];
  }

  /** Puts the can in, in the place of what was known of it. @returns how many lines it has */
  commit(facts: StagedFacts): number {
    this.#put();
    return this.#db.transaction(() => this.#insert(facts)).immediate();
  }

  #insert({ members, ...facts }: StagedFacts): number {
    const can = this.#can(facts);
    const range = [can * LINES, (can + 1) * LINES];
    this.#sql('DELETE FROM line WHERE id >= ? AND id < ?').run(...range);
    this.#sql('DELETE FROM member WHERE can = ?').run(can);
    const rows = membersInto(this.#sql);
    for (const { first_line, offset, length } of members) rows.add(can, first_line, offset, length);
    rows.flush();
    this.#sql(
      'INSERT OR IGNORE INTO report (report_id) SELECT DISTINCT report_id FROM temp.staged WHERE report_id IS NOT NULL',
    ).run();
    const { changes } = this.#sql(
      `INSERT INTO line SELECT ? + s.linenum, report.id, s.input, s.uid_time, s.uid_hash, s.uid_text, s.hash, s.unreadable
       FROM temp.staged s LEFT JOIN report ON report.report_id = s.report_id ORDER BY s.linenum`,
    ).run(can * LINES);
    return changes;
  }

  /** Id of the can, with what is known of it now. */
  #can(facts: Omit<StagedFacts, 'members'>): number {
    const { store, s3path } = this.#place;
    const { cc = null, test = null } = parseKey(s3path)?.can ?? {};
    const about = { ...facts, cc, test };
    const names = Object.keys(about) as (keyof typeof about)[];
    const values = names.map((name) => about[name]);
    const known = this.#sql('SELECT id FROM can WHERE store = ? AND s3path = ?').pluck().get(store, s3path);
    if (known !== undefined) {
      const set = names.map((name) => `${name} = ?`).join();
      this.#sql(`UPDATE can SET ${set} WHERE id = ?`).run(...values, known);
      return known as number;
    }
    const marks = names.map(() => '?').join();
    const insert = this.#sql(`INSERT INTO can (store, s3path, ${names.join()}) VALUES (?, ?, ${marks})`);
    return Number(insert.run(store, s3path, ...values).lastInsertRowid);
  }
}
