// A stage between `cat` and `postcan`: measurement rows in, the same rows changed out, and the end row passed on.
import type { Field, Fields } from '../record/fields.ts';
import { JsonError } from '../record/json.ts';
import {
  type EndRow,
  endRow,
  type MeasurementRow,
  measurementRow,
  openRow,
  parseRow,
  rowOf,
  wrongKind,
} from '../record/rows.ts';
import { errno, Failure, UsageError } from '../stream/errors.ts';
import type { Stage } from '../stream/stage.ts';
import type { LineKind } from './linetasks.ts';

export interface RowFilter {
  /**
   * A row's document changed, in pieces that together are one JSON object on one line; undefined where the row is
   * left out. @throws Error for a row that cannot be: it is rejected with that reason
   */
  change(row: MeasurementRow, line: number): Buffer[] | undefined;
  /** What the end row is to tell besides. */
  end?(): object;
  /** No message may quote what a row holds. */
  discreet?: boolean;
  /** Where only some of the rows go on: where those go. The end row then tells of a part. */
  into?: RowsInto;
}

/** Takes lines as they are to be written. */
export interface LinesInto {
  kind: LineKind;
  made(bytes: Buffer, count: number): Promise<void>;
}

/** Takes rows that were selected. */
export interface RowsInto {
  /** What it would like to be read of each document already. */
  wants?: readonly Field[];
  /**
   * @param document good until the promise is kept
   * @param fields of the document, where they were read already
   */
  add(row: MeasurementRow, document: Buffer, fields?: Fields): Promise<void>;
  /** Where rows are lines of text, so that any thread can make them. */
  lines?: LinesInto | undefined;
  /** After the last row, and before the end row. */
  end(): Promise<void>;
  /** Whether what comes out are measurement rows, which an end row may close. */
  isRows: boolean;
}

/**
 * Runs rows of standard input through a filter. An end row is checked, counted anew and passed on; without one
 * none is written, so that nobody takes half a bucket for a whole one.
 */
export async function filterRows(stage: Stage, filter: RowFilter): Promise<void> {
  let came = 0;
  let end: EndRow | undefined;
  const leftOut: Record<string, number> = {};
  for await (const { number: line, bytes } of stage.rowsInPlace()) {
    let opened: MeasurementRow | undefined;
    let row: MeasurementRow | undefined;
    let document: Buffer[] | undefined;
    try {
      if (end) throw new Error('a row after the end row');
      opened = openRow(bytes);
      const read = opened ?? parseRow(bytes);
      if (read.kind === 'end') end = read;
      else if (read.kind !== 'measurement') {
        const quotes = read.kind === 'other' && read.first !== undefined && read.first !== 'can';
        throw new Error(quotes && filter.discreet ? 'no measurement row' : wrongKind(read, 'measurement'));
      } else {
        row = read;
        came++;
        document = filter.change(row, line);
      }
    } catch (error) {
      if (errno(error) || error instanceof Failure || error instanceof UsageError) throw error;
      const what = error instanceof JsonError ? `${opened ? 'its document is ' : ''}not JSON: ` : '';
      const reject = { as: 'row', file: null, line, reason: `${what}${(error as Error).message}` } as const;
      stage.reject(reject, opened ? rowOf(bytes, opened) : bytes);
      continue;
    }
    if (row && document) await emit(stage, row, document, filter.into);
    else if (row) {
      stage.tally('left_out');
      if (!filter.into && row.bucket_date !== null) leftOut[row.bucket_date] = (leftOut[row.bucket_date] ?? 0) + 1;
    }
  }
  await filter.into?.end();
  if (!end || filter.into?.isRows === false) return;
  if (end.rows !== came) stage.say(`the end row tells of ${end.rows} rows, ${came} came: a filter stands in between?`);
  const { kind: _, cannery: __, rows, rejected, whole, left_out, ...rest } = end as EndRow & { cannery?: string };
  const more: Partial<EndRow> = { ...rest, ...filter.end?.() };
  // Where rows went missing on the way, nobody can say any more that a bucket is whole.
  if (whole && rows === came && !filter.into) more.whole = whole;
  if (filter.into) more.part = true;
  for (const [bucket, count] of Object.entries(left_out ?? {})) leftOut[bucket] = (leftOut[bucket] ?? 0) + count;
  if (Object.keys(leftOut).length > 0) more.left_out = leftOut;
  await stage.emit(endRow(stage.counts.out!, rejected + stage.counts.rejected!, more));
}

function emit(stage: Stage, row: MeasurementRow, document: Buffer[], into?: RowsInto): Promise<void> {
  const [first, ...others] = document;
  if (into) return into.add(row, first!);
  return stage.emit(...measurementRow(row, first!), ...others);
}
