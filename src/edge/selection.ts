// Some of the measurements, or parts of them: out of files, or out of rows that pass by.
import { dropBodies } from '../record/bodies.ts';
import { FieldReader, type Fields } from '../record/fields.ts';
import type { Value } from '../record/json.ts';
import { endRow, type MeasurementRow, measurementRow } from '../record/rows.ts';
import type { Where } from '../record/where.ts';
import type { Stage } from '../stream/stage.ts';
import type { OpenedDocument } from './documents.ts';
import { filterRows, type RowsInto } from './rowfilter.ts';

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

/** One run of a selection. */
export class Selecting {
  readonly #stage: Stage;
  readonly #selection: Selection;
  readonly #into: RowsInto;
  readonly #reader: FieldReader;
  /** Of the row that is under way, unless it was changed. */
  #fields: Fields | undefined;

  constructor(stage: Stage, selection: Selection, into: RowsInto) {
    this.#stage = stage;
    this.#selection = selection;
    this.#into = into;
    this.#reader = new FieldReader([...selection.where.flatMap(({ fields }) => fields), ...(into.wants ?? [])]);
  }

  /** What is best recorded of the documents of `documents`. */
  get recorded() {
    return this.#reader.recorded;
  }

  /** Measurement rows of standard input. */
  rows(): Promise<void> {
    const { isRows } = this.#into;
    return filterRows(this.#stage, {
      change: (row) => this.#change(row),
      into: { isRows, add: (row, document) => this.#add(row, document), end: () => this.#into.end() },
    });
  }

  /** @param end whether an end row closes the rows that come out */
  async documents(documents: AsyncIterable<OpenedDocument>, end: boolean): Promise<void> {
    const stage = this.#stage;
    for await (const { provenance, document, value } of documents) {
      const row: MeasurementRow = { kind: 'measurement', ...provenance, document };
      const [changed] = this.#change(row, value) ?? [];
      if (changed) await this.#add(row, changed);
      else stage.tally('left_out');
    }
    await this.#into.end();
    if (end) await stage.emit(endRow(stage.counts.out!, stage.counts.rejected!, { part: true }));
  }

  #change(row: MeasurementRow, value?: Value): [Buffer] | undefined {
    const { where, bodies } = this.#selection;
    const fields = this.#reader.read(row, value);
    if (!where.every(({ holds }) => holds(fields))) return undefined;
    this.#fields = bodies === 'keep' ? fields : undefined;
    return [bodies === 'keep' ? row.document : dropBodies(row.document, bodies === 'hash')];
  }

  #add(row: MeasurementRow, document: Buffer): Promise<void> {
    return this.#into.add(row, document, this.#fields);
  }
}
