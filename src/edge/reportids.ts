// Numbers of reports in an index, which keeps each report's long name once.
import type Database from 'better-sqlite3';

const MOST_KNOWN = 100_000;

export class ReportIds {
  #sql: (text: string) => Database.Statement;
  #known = new Map<string, number>();
  /** Rows of one report mostly come together. */
  #last = { name: '', id: -1 };

  constructor(sql: (text: string) => Database.Statement) {
    this.#sql = sql;
  }

  /** The number of a report, which it gets when it is new. */
  of(name: string): number {
    if (name === this.#last.name && this.#last.id !== -1) return this.#last.id;
    let id = this.#known.get(name);
    if (id === undefined) {
      id = this.#find(name) ?? this.#add(name);
      if (this.#known.size >= MOST_KNOWN) this.#known.clear();
      this.#known.set(name, id);
    }
    this.#last = { name, id };
    return id;
  }

  /** Numbers given in a transaction that did not happen. */
  forget(): void {
    this.#known.clear();
    this.#last = { name: '', id: -1 };
  }

  #find(name: string): number | undefined {
    return this.#sql('SELECT id FROM report WHERE report_id = ?').pluck().get(name) as number | undefined;
  }

  #add(name: string): number {
    return Number(this.#sql('INSERT INTO report (report_id) VALUES (?)').run(name).lastInsertRowid);
  }
}
