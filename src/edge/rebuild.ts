// A new index, made from what lies in a store. It is written beside its name and gets it when it is complete.
import { closeSync, fsyncSync, linkSync, openSync, readdirSync } from 'node:fs';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import Database from 'better-sqlite3';
import { type CanName, parseKey } from '../record/names.ts';
import { describe, errno, Failure } from '../stream/errors.ts';
import type { MadeRow, RowSink } from './canread.ts';
import { exists, fsyncFolder, unlinkIfThere } from './files.ts';
import { createTables, LINES, type MemberPlace, uidSplitter } from './index-db.ts';
import { statementsOf } from './statements.ts';
import { isAlive } from './store-folder.ts';

/** What is known of a can when all of it was read. */
export interface CanFacts {
  sha256: string | null;
  bytes: number | null;
  postcan_sha256: string | null;
  postcan_bytes: number | null;
  class: string;
  grp: string | null;
  generation: string | null;
  made: number | null;
  superseded: number;
  members: MemberPlace[];
}

/** Row cans of one group with the same measurements. */
export interface Doubles {
  key: string;
  grp: string;
  cans: number;
  measurements: number;
}

export class NewIndex {
  readonly path: string;
  #store: string;
  #temporary: string;
  #db: Database.Database;
  #sql: (text: string) => Database.Statement;
  #reports = new Map<string, number>();

  /** @throws Failure where the name is taken, or nothing can be written there */
  constructor(path: string, store: string) {
    this.path = path;
    this.#store = store;
    if (exists(path)) throw new Failure(`${path}: exists already, and is not written over`);
    const stem = `.${basename(path)}.${hostname()}.`;
    this.#temporary = join(dirname(path), `${stem}${process.pid}.building`);
    try {
      sweep(dirname(path), stem);
      this.#db = new Database(this.#temporary);
    } catch (error) {
      throw this.#failure(error);
    }
    this.#sql = statementsOf(this.#db);
    // A run that fails begins anew: nothing of this needs to survive before its end. Of a new file the journal is empty.
    this.#db.pragma('journal_mode = MEMORY');
    this.#db.pragma('synchronous = OFF');
    this.#db.pragma('locking_mode = EXCLUSIVE');
    this.#db.pragma('cache_size = -64000');
    createTables(this.#db);
    this.#db.exec('BEGIN');
  }

  /** A can whose lines come; its number is that of its turn. */
  can(key: string): NewCan {
    const { cc = null, test = null } = parseKey(key)?.can ?? {};
    const insert = this.#sql("INSERT INTO can (store, s3path, class, cc, test) VALUES (?, ?, '', ?, ?)");
    const id = Number(this.#do(() => insert.run(this.#store, key, cc, test)).lastInsertRowid);
    return new NewCan(
      id,
      parseKey(key)?.can,
      (text, ...values) => void this.#do(() => this.#sql(text).run(...values)),
      {
        report: (reportId) => this.#report(reportId),
      },
    );
  }

  #do<T>(task: () => T): T {
    try {
      return task();
    } catch (error) {
      throw this.#failure(error);
    }
  }

  #failure(error: unknown): Failure {
    return new Failure(`${this.path}: ${describe(error)}`);
  }

  /** Id of a report; rows of one report mostly come together. */
  #report(reportId: string): number {
    const known = this.#reports.get(reportId);
    if (known !== undefined) return known;
    const found = this.#sql('SELECT id FROM report WHERE report_id = ?').pluck().get(reportId) as number | undefined;
    const add = this.#sql('INSERT INTO report (report_id) VALUES (?)');
    const id = found ?? Number(this.#do(() => add.run(reportId)).lastInsertRowid);
    if (this.#reports.size >= 100_000) this.#reports.clear();
    this.#reports.set(reportId, id);
    return id;
  }

  /** Groups whose cans have measurements in common, though nothing tells of generations. */
  *doubles(): Generator<Doubles> {
    const groups = this.#db
      .prepare(
        `SELECT grp, min(s3path) AS key, count(*) AS cans, min(id) AS first, max(id) AS last FROM can
         WHERE grp IS NOT NULL AND NOT superseded AND made IS NULL GROUP BY grp, class HAVING count(*) > 1 ORDER BY key`,
      )
      .all() as { grp: string; key: string; cans: number; first: number; last: number }[];
    const shared = this.#db.prepare(
      `SELECT count(*) FROM (
         SELECT 1 FROM line WHERE id >= ? AND id < ? AND coalesce(uid_text, uid_time) IS NOT NULL
         GROUP BY uid_text, uid_time, uid_hash HAVING count(DISTINCT id >> 24) > 1)`,
    );
    for (const { grp, key, cans, first, last } of groups) {
      // Cans of a group follow each other in the order of keys.
      const measurements = shared.pluck().get(first * LINES, (last + 1) * LINES) as number;
      if (measurements > 0) yield { key, grp, cans, measurements };
    }
  }

  /** Gives the index its name. */
  finish(): void {
    try {
      this.#db.exec('COMMIT');
      this.#db.close();
      const fd = openSync(this.#temporary, 'r');
      try {
        fsyncSync(fd);
      } finally {
        closeSync(fd);
      }
      linkSync(this.#temporary, this.path); // unlike rename, it never takes the place of a file
    } catch (error) {
      if (errno(error) === 'EEXIST') throw new Failure(`${this.path}: exists already, and is not written over`);
      throw this.#failure(error);
    } finally {
      this.abandon();
    }
    fsyncFolder(dirname(this.path));
  }

  /** Leaves nothing behind. */
  abandon(): void {
    this.#db.close();
    unlinkIfThere(this.#temporary);
  }
}

/** The lines of one can on their way into a new index. */
export class NewCan implements RowSink {
  #id: number;
  #run: (text: string, ...values: unknown[]) => void;
  #split: ReturnType<typeof uidSplitter>;
  #reports: { report: (reportId: string) => number };

  constructor(
    id: number,
    name: CanName | undefined,
    run: (text: string, ...values: unknown[]) => void,
    reports: { report: (reportId: string) => number },
  ) {
    this.#id = id;
    this.#run = run;
    this.#reports = reports;
    this.#split = uidSplitter(name);
  }

  row({ linenum, measurement_uid, report_id, input, hash, unreadable }: MadeRow): void {
    const { time, hash: end, text } = this.#split(measurement_uid);
    const keys = unreadable ? [null, null] : [this.#reports.report(report_id), input];
    const uid = [time, end, text];
    const values = [this.#id * LINES + linenum, ...keys, ...uid, Buffer.from(hash, 'hex'), unreadable ? 1 : 0];
    this.#run('INSERT INTO line VALUES (?, ?, ?, ?, ?, ?, ?, ?)', ...values);
  }

  drop(from: number): void {
    this.#run('DELETE FROM line WHERE id >= ? AND id < ?', this.#id * LINES + from, (this.#id + 1) * LINES);
  }

  end({ members, ...facts }: CanFacts): void {
    const names = Object.keys(facts) as (keyof typeof facts)[];
    const set = names.map((name) => `${name} = ?`).join();
    this.#run(`UPDATE can SET ${set} WHERE id = ?`, ...names.map((name) => facts[name]), this.#id);
    if (facts.superseded) this.drop(0);
    for (const { first_line, offset, length } of facts.superseded ? [] : members)
      this.#run('INSERT INTO member VALUES (?, ?, ?, ?)', this.#id, first_line, offset, length);
  }
}

/** Gives back what runs left that were killed. */
function sweep(folder: string, stem: string): void {
  for (const name of readdirSync(folder)) {
    const [, pid] = name.startsWith(stem) ? (/^(\d+)\.building$/.exec(name.slice(stem.length)) ?? []) : [];
    if (pid !== undefined && !isAlive(Number(pid))) unlinkIfThere(join(folder, name));
  }
}
