// Rows of chosen fields, as a table: to stdout, to a file, or to files in folders named by what is in them.
import { type Field, FieldReader, type Fields } from '../record/fields.ts';
import { type Partition, partitionOf } from '../record/partitions.ts';
import type { MeasurementRow } from '../record/rows.ts';
import { type TextTableOptions, tableHeading, tableRow } from '../record/texttable.ts';
import { UsageError } from '../stream/errors.ts';
import type { Stage } from '../stream/stage.ts';
import { FileWriter, type NewPlace } from './newfile.ts';
import type { LinesInto, RowsInto } from './rowfilter.ts';

export const TABLES = ['csv', 'jsonl', 'parquet'] as const;
export type TableKind = (typeof TABLES)[number];

export type TableOptions = Omit<TextTableOptions, 'kind'> & { kind: TableKind };

/** Whether its rows are lines of text. */
export function isTextTable(table: TableOptions): table is TextTableOptions {
  return table.kind !== 'parquet';
}

export type Put = (bytes: Uint8Array) => void | Promise<void>;

/** One table under way. Rows wait in it until `flush`. */
export interface Table {
  /** About as many bytes wait. */
  held: number;
  add(fields: Fields): void;
  flush(): Promise<void>;
  end(): Promise<void>;
}

/** Bytes that wait in all tables, and files that are open. */
const MOST_HELD = 6 * 1024 * 1024;
const MOST_OPEN = 256;

class TextTable implements Table {
  held = 0;
  readonly #lines: string[] = [];
  readonly #options: TextTableOptions;
  readonly #put: Put;

  constructor(options: TextTableOptions, put: Put) {
    this.#options = options;
    this.#put = put;
    this.#push(tableHeading(options));
  }

  #push(line: string): void {
    this.#lines.push(line);
    this.held += line.length;
  }

  add(fields: Fields): void {
    this.#push(tableRow(this.#options, fields));
  }

  async flush(): Promise<void> {
    const bytes = Buffer.from(this.#lines.splice(0).join(''));
    this.held = 0;
    if (bytes.length > 0) await this.#put(bytes);
  }

  end(): Promise<void> {
    return this.flush();
  }
}

async function makeTable(options: TableOptions, put: Put): Promise<Table> {
  if (isTextTable(options)) return new TextTable(options, put);
  const { ParquetTable } = await import('./parquet.ts');
  return new ParquetTable(options.fields, put);
}

/** One table, of all rows. */
export class OneTable implements RowsInto {
  readonly isRows = false;
  readonly #stage: Stage;
  readonly #options: TableOptions;
  readonly #reader: FieldReader;
  readonly #place: NewPlace | undefined;
  #file: FileWriter | undefined;
  #table: Table | undefined;

  /** @param place of a file; undefined for stdout */
  constructor(stage: Stage, options: TableOptions, place: NewPlace | undefined) {
    this.#stage = stage;
    this.#options = options;
    this.#reader = new FieldReader(options.fields);
    this.#place = place;
  }

  get wants(): readonly Field[] {
    return this.#options.fields;
  }

  async add(row: MeasurementRow, document: Buffer, fields = this.#reader.read({ ...row, document })): Promise<void> {
    const table = (this.#table ??= await this.#begin());
    table.add(fields);
    this.#stage.counts.out!++;
    // Rows of stdout go to the next program as they come; a table that has no rows needs them together.
    const isRows = !this.#place && this.#options.kind !== 'parquet';
    if (isRows || table.held >= MOST_HELD) await table.flush();
  }

  get lines(): LinesInto | undefined {
    const table = this.#options;
    return isTextTable(table) ? { kind: table, made: this.#made.bind(this) } : undefined;
  }

  async #made(bytes: Buffer, count: number): Promise<void> {
    const table = (this.#table ??= await this.#begin());
    await table.flush();
    await this.#put(bytes);
    this.#stage.counts.out! += count;
  }

  #begin(): Promise<Table> {
    if (this.#place) this.#file = new FileWriter(this.#place.temporary);
    return makeTable(this.#options, (bytes) => this.#put(bytes));
  }

  #put(bytes: Uint8Array): void | Promise<void> {
    if (this.#file) return this.#file.write(bytes);
    return this.#stage.bytes(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
  }

  async end(): Promise<void> {
    const table = (this.#table ??= await this.#begin()); // without a row it has its heading still
    await table.end();
    this.#file?.close();
    this.#place?.commit();
  }
}

interface Part {
  table: Table;
  file: FileWriter;
}

/** A folder of tables, each of the rows that have the same values in some fields: `date=2024-02-01/cc=IT/part-0.parquet`. */
export class PartitionedTable implements RowsInto {
  readonly isRows = false;
  readonly wants: readonly Field[];
  readonly #stage: Stage;
  readonly #options: TableOptions;
  readonly #partitions: readonly Partition[];
  readonly #reader: FieldReader;
  readonly #place: NewPlace;
  /** Those that are open, by their folders; the last one that got a row stands last. */
  readonly #open = new Map<string, Part>();
  /** Folders → parts that they have. */
  readonly #parts = new Map<string, number>();
  #held = 0;

  constructor(stage: Stage, options: TableOptions, partitions: readonly Partition[], place: NewPlace) {
    this.#stage = stage;
    // Who reads such folders takes what their names say for columns.
    const fields = options.fields.filter(({ name }) => !partitions.some(({ column }) => column === name));
    if (fields.length === 0) throw new UsageError('--partition takes all columns: give one more to --fields');
    this.#options = { ...options, fields };
    this.#partitions = partitions;
    this.wants = [...fields, ...partitions.map(({ field }) => field)];
    this.#reader = new FieldReader(this.wants);
    this.#place = place;
  }

  async add(row: MeasurementRow, document: Buffer, fields = this.#reader.read({ ...row, document })): Promise<void> {
    const folders = this.#partitions.map((partition) => partitionOf(partition, fields));
    const key = folders.join('/');
    const part = this.#open.get(key) ?? (await this.#begin(key, folders));
    this.#open.delete(key);
    this.#open.set(key, part);
    this.#held -= part.table.held;
    part.table.add(fields);
    this.#held += part.table.held;
    this.#stage.counts.out!++;
    if (this.#held >= MOST_HELD) await this.#relieve();
  }

  async #begin(key: string, folders: string[]): Promise<Part> {
    if (this.#open.size >= MOST_OPEN) {
      const [oldest, part] = this.#open.entries().next().value!;
      this.#open.delete(oldest);
      await this.#close(part);
    }
    const count = this.#parts.get(key) ?? 0;
    this.#parts.set(key, count + 1);
    const file = new FileWriter(this.#place.within(folders, `part-${count}.${this.#options.kind}`));
    const table = await makeTable(this.#options, (bytes) => file.write(bytes));
    this.#held += table.held;
    return { table, file };
  }

  /** The tables that hold most give it away, until half is left. */
  async #relieve(): Promise<void> {
    for (const { table } of [...this.#open.values()].sort((a, b) => b.table.held - a.table.held)) {
      if (this.#held < MOST_HELD / 2) return;
      this.#held -= table.held;
      await table.flush();
    }
  }

  async #close({ table, file }: Part): Promise<void> {
    this.#held -= table.held;
    await table.end();
    file.close();
  }

  async end(): Promise<void> {
    for (const part of this.#open.values()) await this.#close(part);
    this.#place.commit();
  }
}
