// Lines of one can on their way into an index.
import type Database from 'better-sqlite3';
import { type CanName, digitsOf, timeOf } from '../record/names.ts';
import type { IndexRow } from './outgoing.ts';
import type { ReportIds } from './reportids.ts';

/** line.id = can.id · 2^24 + linenum. */
export const LINES = 2 ** 24;

/** A row without its place: what a line gets in any index. */
export type LineRow = Omit<IndexRow, 'offset' | 'length'>;

/** Lines with one statement: a call for each costs more than the rest. */
const BATCH = 16;

const ONE = '(?, ?, ?, ?, unhex(?), ?, unhex(?), ?)';
const INSERT = `INSERT INTO line VALUES ${ONE}`;
const INSERT_BATCH = `INSERT INTO line VALUES ${Array<string>(BATCH).fill(ONE).join()}`;
const COLUMNS = 8;

export class LineWriter {
  #sql: (text: string) => Database.Statement;
  #first: number;
  #reports: ReportIds;
  #split: ReturnType<typeof uidSplitter>;
  #values: unknown[] = [];

  /** @param can its number in the index */
  constructor(
    sql: (text: string) => Database.Statement,
    { can, name, reports }: { can: number; name: CanName | undefined; reports: ReportIds },
  ) {
    this.#sql = sql;
    this.#first = can * LINES;
    this.#reports = reports;
    this.#split = uidSplitter(name);
  }

  add({ linenum, measurement_uid, report_id, input, hash, unreadable }: LineRow): void {
    const { time, hash: end, text } = this.#split(measurement_uid);
    const report = unreadable ? null : this.#reports.of(report_id);
    const values = this.#values;
    values.push(this.#first + linenum, report, unreadable ? null : input, time, end, text, hash, unreadable ? 1 : 0);
    if (values.length < BATCH * COLUMNS) return;
    this.#sql(INSERT_BATCH).run(values);
    values.length = 0;
  }

  /** Writes what is left. */
  flush(): void {
    for (let at = 0; at < this.#values.length; at += COLUMNS)
      this.#sql(INSERT).run(this.#values.slice(at, at + COLUMNS));
    this.#values.length = 0;
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
