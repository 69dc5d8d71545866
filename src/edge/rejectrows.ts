import { isUtf8 } from 'node:buffer';
import { isTextOrNull } from '../record/kinds.ts';
import { REJECT_KINDS, type RejectKind } from '../stream/rejects.ts';

/** What a row of a rejects file keeps. */
export interface Kept {
  as: RejectKind;
  file: string | null;
  line: number | null;
  data: Buffer | null;
  reason: string;
}

/** @throws Error for what is no such row */
export function parseReject(bytes: Buffer): Kept {
  let row: Record<string, unknown> | null;
  try {
    row = isUtf8(bytes) ? JSON.parse(bytes.toString()) : null;
  } catch {
    throw new Error('no reject row: not JSON');
  }
  if (typeof row !== 'object' || row === null || row.cannery !== 'reject') throw new Error('no reject row');
  const { file = null, line = null, reason = '' } = row;
  const as = REJECT_KINDS.find((kind) => kind === row.as);
  const isPlace = isTextOrNull(file) && (line === null || Number.isSafeInteger(line));
  if (!as || !isPlace || typeof reason !== 'string') throw new Error('no reject row');
  return { as, file, line: line as number | null, data: dataOf(row.data), reason };
}

/** @throws Error */
function dataOf(data: unknown): Buffer | null {
  if (typeof data === 'string') return Buffer.from(data);
  const base64 = (data as { data?: unknown } | null | undefined)?.data;
  if (base64 !== undefined && typeof base64 !== 'string')
    throw new Error('no reject row: data is neither text nor base64');
  return base64 === undefined ? null : Buffer.from(base64, 'base64');
}
