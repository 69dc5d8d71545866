import type { RejectKind } from '../stream/rejects.ts';

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
  let row: {
    cannery?: unknown;
    as?: RejectKind;
    file?: string | null;
    line?: number | null;
    reason?: string;
    data?: string | { format: string; data: string } | null;
  };
  try {
    row = JSON.parse(bytes.toString());
  } catch {
    throw new Error('no reject row: not JSON');
  }
  if (typeof row !== 'object' || row === null || row.cannery !== 'reject' || !row.as) throw new Error('no reject row');
  const { as, file, line = null, data, reason } = row;
  const kept = typeof data === 'string' ? Buffer.from(data) : data ? Buffer.from(data.data, 'base64') : null;
  return { as, file: typeof file === 'string' ? file : null, line, data: kept, reason: String(reason) };
}
