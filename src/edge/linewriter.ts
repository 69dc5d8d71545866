// Lines of one can on their way into an index.
import type Database from 'better-sqlite3';
import { type CanName, digitsOf, timeOf } from '../record/names.ts';
import type { IndexRow } from './outgoing.ts';
import type { ReportIds } from './reportids.ts';

/** line.id = can.id · 2^24 + linenum. */
export const LINES = 2 ** 24;

/** A row without its place: what a line gets in any index. */
export type LineRow = Omit<IndexRow, 'offset' | 'length'>;

/** Rows with one statement: a call for each costs more than the rest. */
const BATCH = 16;

/** Rows on their way into a table. */
class Rows {
  readonly #sql: (text: string) => Database.Statement;
  readonly #columns: number;
  readonly #one: string;
  readonly #many: string;
  #values: unknown[] = [];

  /** @param row its values, as `(?, unhex(?))` */
  constructor(sql: (text: string) => Database.Statement, table: string, row: string) {
    this.#sql = sql;
    this.#columns = row.split('?').length - 1;
    this.#one = `INSERT INTO ${table} VALUES ${row}`;
    this.#many = `INSERT INTO ${table} VALUES ${Array<string>(BATCH).fill(row).join()}`;
  }

  add(...values: unknown[]): void {
    this.#values.push(...values);
    if (this.#values.length < BATCH * this.#columns) return;
    this.#sql(this.#many).run(...this.#values);
    this.#values.length = 0;
  }

  /** Writes what is left. */
  flush(): void {
    for (let at = 0; at < this.#values.length; at += this.#columns)
      this.#sql(this.#one).run(this.#values.slice(at, at + this.#columns));
    this.#values.length = 0;
  }
}

/** Members on their way: can, first line, offset, length. */
export function membersInto(sql: (text: string) => Database.Statement): Rows {
  return new Rows(sql, 'member', '(?, ?, ?, ?)');
}

export class LineWriter {
  readonly #lines: Rows;
  readonly #members: Rows;
  readonly #can: number;
  readonly #reports: ReportIds;
  readonly #split: ReturnType<typeof uidSplitter>;
  /** Of the member that came last. */
  #offset = -1;

  /** @param can its number in the index */
  constructor(
    sql: (text: string) => Database.Statement,
    { can, name, reports }: { can: number; name: CanName | undefined; reports: ReportIds },
  ) {
    this.#lines = new Rows(sql, 'line', '(?, ?, ?, ?, unhex(?), ?, unhex(?), ?)');
    this.#members = membersInto(sql);
    this.#can = can;
    this.#reports = reports;
    this.#split = uidSplitter(name);
  }

  add({ linenum, measurement_uid, report_id, input, hash, unreadable }: LineRow): void {
    const { time, hash: end, text } = this.#split(measurement_uid);
    const report = unreadable ? null : this.#reports.of(report_id);
    const id = this.#can * LINES + linenum;
    this.#lines.add(id, report, unreadable ? null : input, time, end, text, hash, unreadable ? 1 : 0);
  }

  /** A line and, with the first of each, its gzip member. */
  addPlaced(row: IndexRow): void {
    if (row.offset !== this.#offset) this.#members.add(this.#can, row.linenum, row.offset, row.length);
    this.#offset = row.offset;
    this.add(row);
  }

  /** Writes what is left. */
  flush(): void {
    this.#members.flush();
    this.#lines.flush();
  }
}

/** What is kept of the uids of a can: time and hash where the can tells the rest, else the text. */
export function uidSplitter(can: { cc: string; test: string } | undefined): (uid: string | null) => SplitUid {
  const asText = (uid: string | null) => ({ time: null, hash: null, text: uid });
  if (!can) return asText;
  const middle = `_${can.cc}_${can.test}_`;
  const length = 21 + middle.length + 16;
  let known = '';
  let hourStart: number | undefined;
  return (uid) => {
    if (uid?.length !== length || uid[14] !== '.' || !uid.startsWith(middle, 21)) return asText(uid);
    if (known === '' || !uid.startsWith(known)) {
      known = uid.slice(0, 10); // mostly the hour of the can
      hourStart = timeOf(known);
    }
    // SQLite's strftime and microseconds in a double hold from 1970 to 2255.
    if (hourStart === undefined || hourStart < 0 || hourStart > 9e12) return asText(uid);
    const [minute, second] = [digitsOf(uid, 10, 12), digitsOf(uid, 12, 14)];
    const time = hourStart * 1000 + (minute * 60 + second) * 1_000_000 + digitsOf(uid, 15, 21);
    const hash = uid.slice(-16);
    return minute < 60 && second < 60 && !Number.isNaN(time) && HASH.test(hash)
      ? { time, hash, text: null }
      : asText(uid);
  };
}

const HASH = /^[0-9a-f]{16}$/;

interface SplitUid {
  time: number | null;
  /** Hex. */
  hash: string | null;
  text: string | null;
}
