// The rows that verbs exchange (man cannery-rows): which kind a row is, is told by its first member alone,
// which no probe can write, because ours stand in front of what it sent.
import { member, readJson, stringOf, type Value } from './json.ts';
import { isCount } from './kinds.ts';

/** Members that `cat` writes in front of a document; null where unknown. */
export interface Provenance {
  measurement_uid: string | null;
  /** `YYYY-MM-DD`: the bucket folder the report lay in. */
  bucket_date: string | null;
  /** `<bucket>/<base>.json`. */
  report_filename: string | null;
}

export interface MeasurementRow extends Provenance {
  kind: 'measurement';
  /** The document's own bytes, on one line. */
  document: Buffer;
}

export interface EndRow {
  kind: 'end';
  rows: number;
  rejected: number;
  /** Added by `sanitise`: rules and bridge database. */
  sanitised?: unknown;
  /** Buckets (`YYYY-MM-DD`) of which `cat` read every report. */
  whole?: string[];
  /** Bucket → measurements that a rule left out. */
  left_out?: Record<string, number>;
  /** What came are some of the measurements, or parts of them: what is made of it takes nobody's place. */
  part?: true;
}

export interface FileRow {
  kind: 'file';
  file: string;
  bytes?: number;
  /** Its member `kind`: post, jsonl, report … */
  holds?: string;
  /** Key in the store. */
  s3path?: string;
  /** Of S3. */
  etag?: string;
  /** Of a copy: what it is one of. */
  from?: string;
  /** Another row of the list follows, or its end row. */
  more?: true;
}

export interface OtherRow {
  kind: 'other';
  /** Name of the first member; undefined for an empty object. */
  first: string | undefined;
}

/** Rows hold documents that were checked before, of any depth that --max-depth allows. */
export const ROW_DEPTH = 100_002;

const PREFIX = ['measurement_uid', 'bucket_date', 'report_filename'] as const;

/** The row of a document: pieces that together are one line, without line feed. */
export function measurementRow(provenance: Provenance, document: Buffer): [string, Buffer] {
  const { measurement_uid, bucket_date, report_filename } = provenance;
  const members = JSON.stringify({ measurement_uid, bucket_date, report_filename }).slice(0, -1);
  const rest = document.subarray(1);
  return [members + (isEmptyRest(rest) ? '' : ','), rest];
}

/** Of an empty document only the closing brace is left: no comma before it. */
function isEmptyRest(rest: Buffer): boolean {
  for (const c of rest) if (c !== 0x20 && c !== 0x09 && c !== 0x0d && c !== 0x0a) return c === 0x7d;
  return false;
}

/** The end row of a stream. @param more members that tell of it besides */
export function endRow(rows: number, rejected: number, more: Omit<EndRow, 'kind' | 'rows' | 'rejected'> = {}): string {
  return JSON.stringify({ cannery: 'end', rows, rejected, ...more });
}

/**
 * Reads one row. @throws JsonError for what is not JSON, Error for a row of a known kind that is not well formed
 */
export function parseRow(bytes: Buffer, maxDepth = ROW_DEPTH): MeasurementRow | EndRow | FileRow | OtherRow {
  const { value, lineFeed } = readJson(bytes, {
    maxDepth,
    names: ['bytes', 'kind', 's3path', 'etag', 'from', 'more'],
    first: PREFIX.length,
  });
  if (value.type !== 'object') throw new Error('a row is a JSON object');
  if (lineFeed) throw new Error('a row stands on one line');
  const members = value.members!;
  switch (members[0]?.key) {
    case 'measurement_uid':
      return parseMeasurement(bytes, value);
    case 'cannery':
      return parseEnd(bytes, value);
    case 'file':
      return parseFile(bytes, value);
    default:
      return { kind: 'other', first: members[0]?.key };
  }
}

/** Our three members are read by position: a probe may send members of the same names further on. */
function parseMeasurement(bytes: Buffer, row: Value): MeasurementRow {
  const members = row.members!;
  const given = PREFIX.map((key, i) => {
    const { key: name, value } = members[i] ?? { key: undefined, value: undefined };
    if (name !== key) throw new Error(`a measurement row begins with ${PREFIX.join(', ')}`);
    if (value!.type === 'null') return null;
    const text = stringOf(bytes, value);
    if (text === undefined) throw new Error(`${key} is neither text nor null`);
    return text;
  });
  let rest = members[2]!.value.end;
  while (isSpace(bytes[rest])) rest++;
  if (bytes[rest] === 0x2c) rest++;
  else rest = members[2]!.value.end;
  const document = Buffer.concat([Buffer.from('{'), bytes.subarray(rest, row.end)]);
  const [measurement_uid, bucket_date, report_filename] = given as [string | null, string | null, string | null];
  return { kind: 'measurement', measurement_uid, bucket_date, report_filename, document };
}

/**
 * A measurement row taken apart without reading its document, and without a copy: the comma after the third
 * member becomes the document's opening brace, in place. `rowOf` puts it back.
 * @returns undefined for any other row, which `parseRow` tells of; a document is still to be validated
 */
export function openRow(bytes: Buffer): MeasurementRow | undefined {
  if (!bytes.subarray(0, OPENING.length).equals(OPENING)) return undefined;
  // Three members, each text or null: the third comma or brace outside of a string ends them.
  let commas = 0;
  let at = OPENING.length;
  for (; at < bytes.length; at++) {
    const c = bytes[at];
    if (c === 0x22) {
      for (at++; at < bytes.length && bytes[at] !== 0x22; at++) if (bytes[at] === 0x5c) at++;
    } else if (c === 0x7d || (c === 0x2c && ++commas === PREFIX.length)) break;
    else if (c === 0x7b || c === 0x5b) return undefined;
  }
  if (at >= bytes.length) return undefined;
  let prefix: Record<string, unknown>;
  try {
    prefix = JSON.parse(`${bytes.toString('utf8', 0, at)}}`);
  } catch {
    return undefined;
  }
  const names = Object.keys(prefix);
  if (names.length !== PREFIX.length || !PREFIX.every((name, i) => names[i] === name)) return undefined;
  if (!PREFIX.every((name) => prefix[name] === null || typeof prefix[name] === 'string')) return undefined;
  const provenance = prefix as unknown as Provenance;
  const empty = bytes[at] === 0x7d;
  if (!empty) bytes[at] = 0x7b;
  else while (isSpace(bytes[at - 1])) at--;
  const document = empty ? Buffer.concat([Buffer.from('{'), bytes.subarray(at)]) : bytes.subarray(at);
  return { kind: 'measurement', ...provenance, document };
}

function isSpace(c: number | undefined): boolean {
  return c === 0x20 || c === 0x09 || c === 0x0d;
}

const OPENING = Buffer.from('{"measurement_uid"');

/** The line of an opened row again, as it came. */
export function rowOf(line: Buffer, row: MeasurementRow): Buffer {
  const at = line.length - row.document.length;
  if (line[at] === 0x7b && at > 0) line[at] = 0x2c;
  return line;
}

function parseEnd(bytes: Buffer, row: Value): EndRow | OtherRow {
  if (stringOf(bytes, row.members![0]!.value) !== 'end') return { kind: 'other', first: 'cannery' };
  const end = JSON.parse(bytes.toString('utf8', row.start, row.end)) as EndRow;
  if (!isCount(end.rows) || !isCount(end.rejected)) throw new Error('an end row has counts of rows and rejected');
  const { whole = [], left_out = {}, part } = end;
  if (!Array.isArray(whole) || !whole.every((bucket) => typeof bucket === 'string'))
    throw new Error('whole is a list of buckets');
  if (typeof left_out !== 'object' || left_out === null || !Object.values(left_out).every(isCount))
    throw new Error('left_out tells a count for each bucket');
  if (part !== undefined && part !== true) throw new Error('part is true or not there');
  return { ...end, kind: 'end' };
}

function parseFile(bytes: Buffer, row: Value): FileRow {
  const file = stringOf(bytes, row.members![0]!.value);
  if (file === undefined) throw new Error('file is no text');
  if (file === '' || file.includes('\0')) throw new Error('file is no path');
  const size = member(row, 'bytes');
  const row_: FileRow = { kind: 'file', file };
  const count = size?.type === 'number' ? Number(bytes.toString('utf8', size.start, size.end)) : Number.NaN;
  if (Number.isSafeInteger(count) && count >= 0) row_.bytes = count;
  const holds = stringOf(bytes, member(row, 'kind'));
  if (holds !== undefined) row_.holds = holds;
  for (const name of ['s3path', 'etag', 'from'] as const) {
    const text = stringOf(bytes, member(row, name));
    if (text !== undefined) row_[name] = text;
  }
  if (member(row, 'more')?.type === 'true') row_.more = true;
  return row_;
}

/** A message for a row of another kind than the verb takes. */
export function wrongKind(
  row: { kind: string; first?: string | undefined },
  wanted: 'file' | 'measurement' | 'can',
): string {
  const names: Record<string, string> = { file: 'a file row', measurement: 'a measurement row', end: 'an end row' };
  const unknown =
    row.first === undefined ? 'an empty row' : `a row that begins with ${JSON.stringify(row.first.slice(0, 40))}`;
  const got = names[row.kind] ?? (row.first === 'can' ? 'a can row' : unknown);
  return `${got}, where ${names[wanted] ?? 'a can row'} was expected`;
}
