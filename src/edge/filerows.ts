// File rows as they travel from verb to verb. In a shell pipe a killed `ls` looks like the end of its list, and a part
// would be taken for the whole: so `ls --end` says in each row that more follows, and closes the list with an end row.
import { type EndRow, type FileRow, parseRow, wrongKind } from '../record/rows.ts';
import { Failure } from '../stream/errors.ts';
import type { Stage } from '../stream/stage.ts';

export interface FileRowsOptions {
  /** A list that was cut short is a failure, told after its last row; otherwise a part is as good as the whole. */
  whole: boolean;
  /** Added to the message about a row of another kind. */
  hint: (kind: string) => string;
  /** Told of the end row. */
  ended?: (end: EndRow) => void;
}

/** File rows of standard input; others are rejected. @throws Failure */
export async function* fileRows(
  stage: Stage,
  { whole, hint, ended }: FileRowsOptions,
): AsyncGenerator<{ row: FileRow; line: number; bytes: Buffer }> {
  let came = 0;
  let more = false;
  let end: EndRow | undefined;
  for await (const { number: line, bytes } of stage.rows()) {
    let row: FileRow;
    try {
      const any = parseRow(bytes);
      if (end) throw new Error('a row after the end row');
      if (any.kind === 'end' && (more || (came === 0 && any.rows === 0))) {
        end = any;
        continue;
      }
      // Any other end row closes a stream of measurement rows.
      if (any.kind !== 'file') throw new Error(`${wrongKind(any, 'file')}${hint(any.kind)}`);
      row = any;
    } catch (error) {
      stage.reject({ as: 'row', file: null, line, reason: (error as Error).message }, bytes);
      continue;
    }
    came++;
    more = row.more === true;
    yield { row, line, bytes };
  }
  if (end && end.rows !== came)
    stage.say(`the end row of the list tells of ${end.rows} files, ${came} came: a filter stands in between?`);
  if (end) ended?.(end);
  if (whole && more && !end) throw new Failure('the list of files was cut short: its producer may have died');
}
