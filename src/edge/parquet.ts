// Tables in Parquet: rows wait until there are enough for a row group, and a group goes out as it is written.

import { ByteWriter, ParquetWriter } from 'hyparquet-writer';
import { type Cell, type Field, type Fields, type Kind, type Moment, textOfCell } from '../record/fields.ts';
import type { Put, Table } from './tables.ts';

/** A column, or all of them, as the file describes it. */
type SchemaElement = ConstructorParameters<typeof ParquetWriter>[0]['schema'][number];

/** What stands for a cell in a column. */
type Stored = string | number | bigint | boolean | null;

interface Column {
  field: Field;
  store(cell: Exclude<Cell, null>): Stored;
  data: Stored[];
}

/** Types of columns. A kind that is any is text: JSON of what is none. */
const TYPES: Readonly<Record<Kind, Omit<SchemaElement, 'name'>>> = {
  any: { type: 'BYTE_ARRAY', converted_type: 'UTF8', logical_type: { type: 'STRING' } },
  text: { type: 'BYTE_ARRAY', converted_type: 'UTF8', logical_type: { type: 'STRING' } },
  json: { type: 'BYTE_ARRAY', converted_type: 'JSON', logical_type: { type: 'JSON' } },
  int: { type: 'INT64' },
  float: { type: 'DOUBLE' },
  bool: { type: 'BOOLEAN' },
  time: {
    type: 'INT64',
    converted_type: 'TIMESTAMP_MILLIS',
    logical_type: { type: 'TIMESTAMP', isAdjustedToUTC: true, unit: 'MILLIS' },
  },
};

const STORE: Readonly<Record<Kind, Column['store']>> = {
  any: textOfCell,
  text: textOfCell,
  json: textOfCell,
  int: (cell) => BigInt(textOfCell(cell)),
  float: (cell) => Number(textOfCell(cell)),
  bool: (cell) => cell === true,
  time: (cell) => BigInt((cell as Moment).time),
};

/** Bytes that a cell takes besides its text. */
const CELL = 16;

/** Hands on what was written after each row group. */
class Writer extends ByteWriter {
  readonly #put: Put;
  constructor(put: Put) {
    super();
    this.#put = put;
  }

  async flush(): Promise<void> {
    const bytes = this.getBytes();
    this.buffer = new ArrayBuffer(1024);
    this.view = new DataView(this.buffer);
    this.index = 0;
    await this.#put(bytes);
  }

  override finish(): Promise<void> {
    return this.flush();
  }
}

export class ParquetTable implements Table {
  held = 0;
  readonly #columns: Column[];
  readonly #writer: ParquetWriter;
  readonly #schema: SchemaElement[];
  #rows = 0;

  constructor(fields: readonly Field[], put: Put) {
    this.#columns = fields.map((field) => ({ field, store: STORE[field.kind], data: [] }));
    const root = { name: 'root', num_children: fields.length };
    const elements = (typeOf: (kind: Kind) => (typeof TYPES)[Kind]) =>
      fields.map(({ name, kind }): SchemaElement => ({ name, repetition_type: 'OPTIONAL', ...typeOf(kind) }));
    this.#schema = [root, ...elements((kind) => TYPES[kind])];
    // Of a column of JSON the writer would write texts as JSON once more: to it they are texts, until the file is described.
    const schema = [root, ...elements((kind) => TYPES[kind === 'json' ? 'text' : kind])];
    this.#writer = new ParquetWriter({ writer: new Writer(put), schema, createdBy: 'cannery' });
  }

  add(fields: Fields): void {
    for (const { field, store, data } of this.#columns) {
      const cell = fields.cell(field);
      const stored = cell === null ? null : store(cell);
      data.push(stored);
      this.held += CELL + (typeof stored === 'string' ? stored.length : 0);
    }
    this.#rows++;
  }

  async flush(): Promise<void> {
    if (this.#rows === 0) return;
    const columnData = this.#columns.map(({ field, data }) => ({
      ...{ name: field.name, data },
      statistics: field.kind !== 'json',
    }));
    await this.#writer.write({ columnData, rowGroupSize: this.#rows });
    for (const column of this.#columns) column.data = [];
    this.#rows = 0;
    this.held = 0;
  }

  async end(): Promise<void> {
    await this.flush();
    this.#writer.schema = this.#schema;
    await this.#writer.finish();
  }
}
