// A new index, made from what lies in a store. It is written beside its name and gets it when it is complete.
import { closeSync, fsyncSync, linkSync, openSync, readdirSync } from 'node:fs';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import Database from 'better-sqlite3';
import { parseKey } from '../record/names.ts';
import { describe, errno, Failure } from '../stream/errors.ts';
import type { RowSink } from './canread.ts';
import { exists, fsyncFolder, unlinkIfThere } from './files.ts';
import { createTables, type MemberPlace } from './index-db.ts';
import { LINES, type LineRow, LineWriter, membersInto } from './linewriter.ts';
import { ReportIds } from './reportids.ts';
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
  #reports: ReportIds;

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
    this.#reports = new ReportIds(this.#sql);
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
    const name = parseKey(key)?.can;
    const insert = this.#sql("INSERT INTO can (store, s3path, class, cc, test) VALUES (?, ?, '', ?, ?)");
    return this.#do(() => {
      const { lastInsertRowid } = insert.run(this.#store, key, name?.cc ?? null, name?.test ?? null);
      const id = Number(lastInsertRowid);
      const lines = new LineWriter(this.#sql, { can: id, name, reports: this.#reports });
      return new NewCan(id, lines, (task) => this.#do(() => task(this.#sql)));
    });
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

/** One can on its way into a new index. */
export class NewCan implements RowSink {
  #id: number;
  #lines: LineWriter;
  #do: (task: (sql: (text: string) => Database.Statement) => void) => void;

  constructor(id: number, lines: LineWriter, run: (task: (sql: (text: string) => Database.Statement) => void) => void) {
    this.#id = id;
    this.#lines = lines;
    this.#do = run;
  }

  row(row: LineRow): void {
    this.#do(() => this.#lines.add(row));
  }

  drop(from: number): void {
    this.#do((sql) => {
      this.#lines.flush();
      sql('DELETE FROM line WHERE id >= ? AND id < ?').run(this.#id * LINES + from, (this.#id + 1) * LINES);
    });
  }

  end({ members, ...facts }: CanFacts): void {
    const names = Object.keys(facts) as (keyof typeof facts)[];
    const set = names.map((name) => `${name} = ?`).join();
    if (facts.superseded) this.drop(0);
    this.#do((sql) => {
      this.#lines.flush();
      sql(`UPDATE can SET ${set} WHERE id = ?`).run(...names.map((name) => facts[name]), this.#id);
      const rows = membersInto(sql);
      for (const { first_line, offset, length } of facts.superseded ? [] : members)
        rows.add(this.#id, first_line, offset, length);
      rows.flush();
    });
  }
}

/** Gives back what runs left that were killed. */
function sweep(folder: string, stem: string): void {
  for (const name of readdirSync(folder)) {
    const [, pid] = name.startsWith(stem) ? (/^(\d+)\.building$/.exec(name.slice(stem.length)) ?? []) : [];
    if (pid !== undefined && !isAlive(Number(pid))) unlinkIfThere(join(folder, name));
  }
}
