// RFC 4180, for spreadsheets as well as for programs: a probe writes what it likes, and a cell that begins with = is a
// formula to a spreadsheet.
import { type Cell, Literal, textOfCell } from './fields.ts';

/** A sign with which spreadsheets begin a formula, also in its wide form, or one that they pass over before it. */
const FORMULA = /^[=+\-@\t\r\n＝＋－＠]/;
const QUOTED = /[",\r\n]/;

/**
 * A row without its end. Null is nothing, the empty text is `""`.
 * @param guard an apostrophe before a text that would be a formula; numbers keep their sign
 */
export function csvRow(cells: readonly Cell[], guard: boolean): string {
  let row = '';
  for (let i = 0; i < cells.length; i++) row += i === 0 ? csvCell(cells[i]!, guard) : `,${csvCell(cells[i]!, guard)}`;
  return row;
}

function csvCell(cell: Cell, guard: boolean): string {
  if (cell === null) return '';
  let text = textOfCell(cell);
  if (text === '') return '""';
  const isNumber = cell instanceof Literal && cell.isNumber;
  if (guard && !isNumber && FORMULA.test(text)) text = `'${text}`;
  return QUOTED.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
