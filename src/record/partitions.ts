// Names of the folders that a table is divided into. What a probe wrote comes into a name only in a form that is ours.
import { type Field, type Fields, fieldOf, Moment } from './fields.ts';
import { INVALID } from './testnames.ts';

/** What rows may be divided by. */
export const PARTITIONS = ['day', 'month', 'cc', 'test'] as const;

export interface Partition {
  by: (typeof PARTITIONS)[number];
  /** As readers of such folders name it. */
  column: string;
  field: Field;
}

/** What readers take for null. */
const NULL = '__HIVE_DEFAULT_PARTITION__';

export function partitionBy(by: Partition['by']): Partition {
  const isTime = by === 'day' || by === 'month';
  return { by, column: by === 'day' ? 'date' : by, field: fieldOf(isTime ? 'time' : by) };
}

/** The folder of a row, as `date=2024-02-01`. */
export function partitionOf({ by, column, field }: Partition, fields: Fields): string {
  const cell = fields.cell(field);
  let value: string | undefined;
  if (cell instanceof Moment) value = cell.toString().slice(0, by === 'day' ? 10 : 7);
  else if (typeof cell === 'string') value = by === 'cc' ? cell : testFolder(cell);
  return `${column}=${value ?? NULL}`;
}

/** As the column has it, where that can be a name of a folder. */
function testFolder(test: string): string {
  const name = test.replace(/[\s-]/g, '_');
  return /^[a-z0-9_]{2,40}$/.test(name) ? name : INVALID;
}
