// Some of the measurements, or parts of them: out of files, or out of rows that pass by.
import { dropBodies } from '../record/bodies.ts';
import { FieldReader, type Fields } from '../record/fields.ts';
import { type EndRow, endRow, type MeasurementRow, measurementRow } from '../record/rows.ts';
import type { Where } from '../record/where.ts';
import type { Stage } from '../stream/stage.ts';
import type { OpenedDocument } from './documents.ts';
import { filterRows, type RowFilter, type RowsInto } from './rowfilter.ts';

export interface Selection {
  /** All of them must hold. */
  where: readonly Where[];
  /** Bodies go, and with `hash` leave theirs. */
  bodies: 'keep' | 'drop' | 'hash';
}

/** Measurement rows to stdout. */
export function rowsOut(stage: Stage): RowsInto {
  return { isRows: true, add: (row, document) => stage.emit(...measurementRow(row, document)), end: async () => {} };
}

/** Selects from the measurement rows of standard input. */
export function selectRows(stage: Stage, selection: Selection, into: RowsInto): Promise<void> {
  return filterRows(stage, filterOf(selection, into));
}

/** Selects from documents. @param end whether an end row closes the rows that come out */
export async function selectDocuments(
  stage: Stage,
  documents: AsyncIterable<OpenedDocument>,
  selection: Selection,
  into: RowsInto,
  end: boolean,
): Promise<void> {
  const filter = filterOf(selection, into);
  for await (const { provenance, document } of documents) {
    const row: MeasurementRow = { kind: 'measurement', ...provenance, document };
    const [changed] = filter.change(row, 0) ?? [];
    if (changed) await filter.into.add(row, changed);
    else stage.tally('left_out');
  }
  await into.end();
  const part: Partial<EndRow> = { part: true };
  if (end) await stage.emit(endRow(stage.counts.out!, stage.counts.rejected!, part));
}

function filterOf({ where, bodies }: Selection, into: RowsInto): RowFilter & { into: RowsInto } {
  const drops = bodies !== 'keep';
  const reader = new FieldReader([...where.flatMap(({ fields }) => fields), ...(into.wants ?? [])]);
  let read: Fields | undefined;
  return {
    change(row) {
      const fields = reader.read(row);
      if (!where.every(({ holds }) => holds(fields))) return undefined;
      read = drops ? undefined : fields;
      return [drops ? dropBodies(row.document, bodies === 'hash') : row.document];
    },
    into: { isRows: into.isRows, add: (row, document) => into.add(row, document, read), end: () => into.end() },
  };
}
