// A stage between `cat` and `postcan`: measurement rows in, the same rows changed out, and the end row passed on.
import {
  type EndRow,
  type MeasurementRow,
  measurementRow,
  openRow,
  parseRow,
  rowOf,
  wrongKind,
} from '../record/rows.ts';
import { errno, Failure, UsageError } from '../stream/errors.ts';
import type { Stage } from '../stream/stage.ts';

export interface RowFilter {
  /**
   * A row's document changed, in pieces that together are one JSON object on one line; undefined where the row is
   * left out. @throws Error for a row that cannot be: it is rejected with that reason
   */
  change(row: MeasurementRow, line: number): Buffer[] | undefined;
  /** What the end row is to tell besides. */
  end?(): object;
}

/**
 * Runs rows of standard input through a filter. An end row is checked, counted anew and passed on; without one
 * none is written, so that nobody takes half a bucket for a whole one.
 */
export async function filterRows(stage: Stage, filter: RowFilter): Promise<void> {
  let came = 0;
  let end: EndRow | undefined;
  for await (const { number: line, bytes } of stage.rows()) {
    let row: MeasurementRow | undefined;
    try {
      if (end) throw new Error('a row after the end row');
      row = openRow(bytes);
      if (row) {
        came++;
        const document = filter.change(row, line);
        if (document) await emit(stage, row, document);
        else stage.tally('left_out');
        continue;
      }
      const other = parseRow(bytes);
      if (other.kind !== 'end') throw new Error(wrongKind(other, 'measurement'));
      end = other;
    } catch (error) {
      if (errno(error) || error instanceof Failure || error instanceof UsageError) throw error;
      stage.reject({ as: 'row', file: null, line, reason: (error as Error).message }, row ? rowOf(bytes, row) : bytes);
    }
  }
  if (!end) return;
  if (end.rows !== came) stage.say(`the end row tells of ${end.rows} rows, ${came} came: a filter stands in between?`);
  const { kind: _, cannery: __, rows: ___, rejected, ...rest } = end as EndRow & { cannery?: string };
  const counts = { rows: stage.counts.out!, rejected: rejected + stage.counts.rejected! };
  await stage.emit(JSON.stringify({ cannery: 'end', ...counts, ...rest, ...filter.end?.() }));
}

function emit(stage: Stage, row: MeasurementRow, document: Buffer[]): Promise<void> {
  const [first, ...others] = document;
  return stage.emit(...measurementRow(row, first!), ...others);
}
