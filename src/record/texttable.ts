// Tables that are lines of text: a row for each measurement.
import { csvRow } from './csv.ts';
import type { Field, Fields } from './fields.ts';

export interface TextTableOptions {
  kind: 'csv' | 'jsonl';
  fields: readonly Field[];
  /** In csv, an apostrophe before what would be a formula. */
  guard: boolean;
}

/** What stands before the first row. */
export function tableHeading({ kind, fields }: TextTableOptions): string {
  if (kind !== 'csv') return '';
  const names = fields.map(({ name }) => name);
  return `${csvRow(names, false)}\r\n`;
}

export function tableRow({ kind, fields: wanted, guard }: TextTableOptions, fields: Fields): string {
  if (kind === 'csv') {
    const cells = wanted.map((field) => fields.cell(field));
    return `${csvRow(cells, guard)}\r\n`;
  }
  let row = '';
  for (const field of wanted) row += `${row === '' ? '{' : ','}${JSON.stringify(field.name)}:${fields.json(field)}`;
  return `${row}}\n`;
}
