// Can rows as they travel from verb to verb, and the way of one can through its states.
import { Malformed } from '../stream/errors.ts';
import type { Stage } from '../stream/stage.ts';
import { type CanFolder, type CanRow, locate, takeCan } from './outgoing.ts';

/** Reads a can row. @throws Error where it is none */
export function parseCanRow(bytes: Buffer): CanRow {
  let row: CanRow;
  try {
    row = JSON.parse(bytes.toString()) as CanRow;
  } catch (error) {
    throw new Error(`not JSON: ${(error as Error).message}`);
  }
  if (typeof row !== 'object' || row === null || Object.keys(row)[0] !== 'can')
    throw new Error("a row that does not begin with 'can', where a can row was expected");
  locate(row);
  return row;
}

/** Can rows of standard input; others are rejected. */
export async function* canRows(stage: Stage): AsyncGenerator<{ row: CanRow; line: number; bytes: Buffer }> {
  for await (const { number: line, bytes } of stage.rows()) {
    try {
      yield { row: parseCanRow(bytes), line, bytes: Buffer.from(bytes) };
    } catch (error) {
      stage.reject({ as: 'row', file: null, line, reason: (error as Error).message }, bytes);
    }
  }
}

/**
 * Does one step of a can's way under its lock.
 * @returns what the step returns; 'busy' where another process is at the can, 'gone' where it was cleared, and why it is
 * refused where it is damaged: a person must look at it, the cans behind it go on
 */
export async function withCan<T>(
  row: CanRow,
  step: (folder: CanFolder) => Promise<T>,
): Promise<T | 'busy' | 'gone' | { refused: string }> {
  const { outgoing, can } = locate(row);
  try {
    const taken = takeCan(outgoing, can);
    if (typeof taken === 'string') return taken;
    try {
      return await step(taken.folder);
    } finally {
      taken.lock.release();
    }
  } catch (error) {
    if (error instanceof Malformed) return { refused: error.message };
    throw error;
  }
}
