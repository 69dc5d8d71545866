// Which measurements go on, and what of them.
import { dropBodies } from './bodies.ts';
import { type Field, FieldReader, type Fields } from './fields.ts';
import type { JsonLimits, Value } from './json.ts';
import type { MeasurementRow } from './rows.ts';
import type { Where } from './where.ts';

export interface Selection {
  /** All of them must hold. */
  where: readonly Where[];
  bodies: Bodies;
}

/** Bodies stay, go, or leave their hashes. */
export type Bodies = 'keep' | 'drop' | 'hash';

export interface Selected {
  document: Buffer;
  /** Of the document, where it is still the one that they were read of. */
  fields: Fields | undefined;
}

export class Selector {
  readonly #selection: Selection;
  readonly #reader: FieldReader;

  /** @param wanted fields that somebody will ask for besides */
  constructor(selection: Selection, wanted: readonly Field[]) {
    this.#selection = selection;
    this.#reader = new FieldReader([...selection.where.flatMap(({ fields }) => fields), ...wanted]);
  }

  /** What is best recorded of a document. */
  get recorded(): Required<Pick<JsonLimits, 'keep' | 'names' | 'items'>> {
    return this.#reader.recorded;
  }

  /**
   * @param value the document, where that was recorded already
   * @returns undefined for what is left out
   */
  select(row: MeasurementRow, value?: Value): Selected | undefined {
    const { where, bodies } = this.#selection;
    const fields = this.#reader.read(row, value);
    if (!where.every(({ holds }) => holds(fields))) return undefined;
    if (bodies === 'keep') return { document: row.document, fields };
    return { document: dropBodies(row.document, bodies === 'hash'), fields: undefined };
  }

  /** Of a row whose document was changed. */
  fieldsOf(row: MeasurementRow, document: Buffer): Fields {
    return this.#reader.read({ ...row, document });
  }
}
