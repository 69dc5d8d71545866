// Some of the measurements, or parts of them: out of files, or out of rows that pass by.
import type { Value } from '../record/json.ts';
import { endRow, type MeasurementRow, measurementRow } from '../record/rows.ts';
import { type Selected, type Selection, Selector } from '../record/selection.ts';
import type { Stage } from '../stream/stage.ts';
import type { MadeRows, OpenedDocument } from './documents.ts';
import { filterRows, type RowsInto } from './rowfilter.ts';

/** Measurement rows to stdout. */
export function rowsOut(stage: Stage): RowsInto {
  return {
    isRows: true,
    add: (row, document) => stage.emit(...measurementRow(row, document)),
    lines: { kind: 'rows', made: (bytes, count) => stage.rowsMade(bytes, count) },
    end: async () => {},
  };
}

/** One run of a selection. */
export class Selecting {
  readonly #stage: Stage;
  readonly #into: RowsInto;
  readonly #selector: Selector;
  /** Of the row that is under way. */
  #selected: Selected | undefined;

  constructor(stage: Stage, selection: Selection, into: RowsInto) {
    this.#stage = stage;
    this.#into = into;
    this.#selector = new Selector(selection, into.wants ?? []);
  }

  /** What is best recorded of the documents of `documents`. */
  get recorded() {
    return this.#selector.recorded;
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
  async documents(documents: AsyncIterable<OpenedDocument | MadeRows>, end: boolean): Promise<void> {
    const stage = this.#stage;
    for await (const one of documents) {
      if ('made' in one) {
        await this.#into.lines!.made(one.made, one.out);
        if (one.leftOut > 0) stage.tally('left_out', one.leftOut);
        continue;
      }
      const { provenance, document, value } = one;
      const row: MeasurementRow = { kind: 'measurement', ...provenance, document };
      const [changed] = this.#change(row, value) ?? [];
      if (changed) await this.#add(row, changed);
      else stage.tally('left_out');
    }
    await this.#into.end();
    if (end) await stage.emit(endRow(stage.counts.out!, stage.counts.rejected!, { part: true }));
  }

  #change(row: MeasurementRow, value?: Value): [Buffer] | undefined {
    this.#selected = this.#selector.select(row, value);
    return this.#selected && [this.#selected.document];
  }

  #add(row: MeasurementRow, document: Buffer): Promise<void> {
    return this.#into.add(row, document, this.#selected?.fields);
  }
}
