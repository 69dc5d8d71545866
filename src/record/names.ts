// Names and keys: parsed strictly, built from validated parts only. A probe can forge anything that
// it sends, so nothing goes into a path that these patterns do not let through.

/** Country: two capital letters; ZZ is unknown. */
const CC = '[A-Z]{2}';
/** Compact test name: what the collector accepts in a report id. */
const TEST = '[a-zA-Z0-9]{2,30}';
const HOST = '[A-Za-z0-9][A-Za-z0-9-]{0,31}';

const HOUR_FOLDER = new RegExp(`^(\\d{10})_(${CC})_(${TEST})$`);
const UID = new RegExp(`^(\\d{14})\\.(\\d{6})_(${CC})_(${TEST})_([0-9a-f]{16})$`);
const TRIVIAL_ID = /^01\d{8}[0-9a-f]{30}$/;
const CAN = new RegExp(`^(\\d{10})_(${CC})_(${TEST})\\.(${HOST})\\.(0|[1-9]\\d{0,8})$`);
const ROW_CAN = new RegExp(`^(\\d{8})_(${CC})_(${TEST})\\.x\\.([0-9a-f]{16})$`);
const LEGACY_CAN = new RegExp(`^(\\d{8})_(${CC})_(${TEST})\\.l\\.(0|[1-9]\\d{0,8})$`);

/** A group of posts: one arrival hour (`YYYYMMDDHH`, UTC), country and compact test name. */
export interface HourGroup {
  hour: string;
  cc: string;
  test: string;
}

/** Milliseconds since the epoch of `YYYYMMDD[HH[MMSS]]` UTC; undefined where the calendar has no such time. */
export function timeOf(digits: string): number | undefined {
  const { length } = digits;
  if (length !== 8 && length !== 10 && length !== 14) return undefined;
  const year = digitsOf(digits, 0, 4);
  const month = digitsOf(digits, 4, 6);
  const day = digitsOf(digits, 6, 8);
  const hour = length > 8 ? digitsOf(digits, 8, 10) : 0;
  const minute = length > 10 ? digitsOf(digits, 10, 12) : 0;
  const second = length > 10 ? digitsOf(digits, 12, 14) : 0;
  const isTime = hour <= 23 && minute <= 59 && second <= 59; // false for NaN
  if (!isTime || !(month >= 1 && month <= 12) || !(day >= 1) || !(year >= 100)) return undefined;
  const days = month === 2 ? (isLeap(year) ? 29 : 28) : DAYS[month - 1]!;
  return day <= days ? Date.UTC(year, month - 1, day, hour, minute, second) : undefined;
}

const DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

const isLeap = (year: number) => year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);

/** The number that a part of a text is; NaN where it is not of digits alone. Far quicker than a pattern and parts of the text. */
export function digitsOf(text: string, from: number, to: number): number {
  let value = 0;
  for (let at = from; at < to; at++) {
    const digit = text.charCodeAt(at) - 0x30;
    if (!(digit >= 0 && digit <= 9)) return Number.NaN;
    value = value * 10 + digit;
  }
  return value;
}

/** `2021081715_US_webconnectivity` → its parts; undefined for any other name. */
export function parseHourFolder(name: string): HourGroup | undefined {
  const [, hour, cc, test] = HOUR_FOLDER.exec(name) ?? [];
  if (hour === undefined || timeOf(hour) === undefined) return undefined;
  return { hour, cc: cc!, test: test! };
}

export function hourFolder({ hour, cc, test }: HourGroup): string {
  return `${hour}_${cc}_${test}`;
}

export interface Uid extends HourGroup {
  uid: string;
  /** Arrival, milliseconds since the epoch (the microseconds are cut off). */
  time: number;
  /** First 16 hex digits of the SHA-512 of the post's bytes. */
  hash: string;
}

/** A measurement_uid, `20210208220710.181572_MA_ndt_7888edc7748936bf`; undefined for any other text. */
export function parseUid(uid: string): Uid | undefined {
  const [, seconds, micros, cc, test, hash] = UID.exec(uid) ?? [];
  if (seconds === undefined) return undefined;
  const time = timeOf(seconds);
  if (time === undefined) return undefined;
  return {
    uid,
    time: time + Math.floor(Number(micros) / 1000),
    hour: seconds.slice(0, 10),
    cc: cc!,
    test: test!,
    hash: hash!,
  };
}

/** A uid of the collector, or the trivial id of a legacy record. */
export function isMeasurementUid(text: string): boolean {
  return parseUid(text) !== undefined || TRIVIAL_ID.test(text);
}

const POST = '.post';
const POST_NAME = new RegExp(`^\\d{14}\\.\\d{6}_${CC}_${TEST}_[0-9a-f]{16}\\.post$`);

/** `<uid>.post` → the uid; undefined for any other file name. */
export function parsePostName(name: string): Uid | undefined {
  return name.endsWith(POST) ? parseUid(name.slice(0, -POST.length)) : undefined;
}

/** True for what `parsePostName` takes, in a third of its time. */
export function isPostName(name: string): boolean {
  return POST_NAME.test(name) && timeOf(name.slice(0, 14)) !== undefined;
}

/** A name that claims to be a post, valid or not (`.post.tmp` does not). */
export function looksLikePost(name: string): boolean {
  return name.endsWith(POST);
}

/**
 * The uid that the name of a postcan's member tells: row cans hold `<uid>.post`, `<uid>~2.post` for a uid
 * that comes twice, and `line00000012.post` for a row without one (null).
 */
export function uidOfMember(path: string): string | null {
  const base = path.slice(path.lastIndexOf('/') + 1);
  if (!base.endsWith(POST)) return null;
  const uid = base.slice(0, -POST.length).replace(/~\d+$/, '');
  return isMeasurementUid(uid) ? uid : null;
}

// --- cans

export interface HourCan extends HourGroup {
  kind: 'hour';
  host: string;
  counter: number;
}

/** A can of reprocessed rows (`x`) or a published one of the legacy data (`l`). */
export interface DayCan {
  kind: 'day';
  day: string;
  cc: string;
  test: string;
  mark: 'x' | 'l';
  id: string;
}

export type CanName = HourCan | DayCan;

/** A can's name without extension; undefined for any other text. */
export function parseCanName(name: string): CanName | undefined {
  const hour = CAN.exec(name);
  if (hour && timeOf(hour[1]!) !== undefined) {
    return { kind: 'hour', hour: hour[1]!, cc: hour[2]!, test: hour[3]!, host: hour[4]!, counter: Number(hour[5]) };
  }
  const row = ROW_CAN.exec(name) ?? LEGACY_CAN.exec(name);
  if (row && timeOf(row[1]!) !== undefined) {
    const mark = name.includes('.x.') ? 'x' : 'l';
    return { kind: 'day', day: row[1]!, cc: row[2]!, test: row[3]!, mark, id: row[4]! };
  }
  return undefined;
}

export function canName(can: CanName): string {
  if (can.kind === 'hour') return `${hourFolder(can)}.${can.host}.${can.counter}`;
  return `${can.day}_${can.cc}_${can.test}.${can.mark}.${can.id}`;
}

export const JSONL_EXT = '.jsonl.gz';
export const POSTCAN_EXT = '.tar.gz';
export const ROWS_EXT = '.rows.jsonl.gz';

/** The folder of a can's files in a store (layouts of the public bucket), e.g. `raw/20210817/15/US/webconnectivity`. */
export function keyFolder(can: CanName): string {
  if (can.kind === 'hour') return `raw/${can.hour.slice(0, 8)}/${can.hour.slice(8)}/${can.cc}/${can.test}`;
  return `jsonl/${can.test}/${can.cc}/${can.day}/00`;
}

export type KeyKind = 'jsonl' | 'postcan' | 'rows';

export interface StoreKey {
  can: CanName;
  kind: KeyKind;
}

/** A key of a store → what it holds; undefined for keys that are none of a can's. */
export function parseKey(key: string): StoreKey | undefined {
  const slash = key.lastIndexOf('/');
  const base = key.slice(slash + 1);
  const kinds: [string, KeyKind][] = [
    [ROWS_EXT, 'rows'],
    [JSONL_EXT, 'jsonl'],
    [POSTCAN_EXT, 'postcan'],
  ];
  for (const [ext, kind] of kinds) {
    if (!base.endsWith(ext)) continue;
    const can = parseCanName(base.slice(0, -ext.length));
    return can && key.slice(0, Math.max(slash, 0)) === keyFolder(can) ? { can, kind } : undefined;
  }
  return undefined;
}

/** The order of keys in a store and in the index: by their bytes. */
export function compareKeys(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

export function isHostId(text: string): boolean {
  return new RegExp(`^${HOST}$`).test(text);
}

/** `web_connectivity`, `webconnectivity` → `webconnectivity`. */
export function compactTest(name: string): string {
  return name.replaceAll('_', '');
}

/** Country for a path, from a document: anything but two letters is ZZ. */
export function ccForPath(value: string | undefined): string {
  // Tested first: some single letters (ß) become two capitals.
  return value !== undefined && /^[A-Za-z]{2}$/.test(value) ? value.toUpperCase() : 'ZZ';
}

/** Compact test name for a path, from a document; `invalid` where it has none that can be one. */
export function testForPath(value: string | undefined): string {
  const compact = (value ?? '').toLowerCase().replace(/[_\-\s]/g, '');
  return /^[a-z0-9]{2,30}$/.test(compact) ? compact : 'invalid';
}

/** Day of a row as `YYYYMMDD`, from a bucket date or a time of OONI's form; undefined where it is no day. */
export function dayForPath(value: string | null | undefined): string | undefined {
  const [, y, m, d] = /^(\d{4})-(\d{2})-(\d{2})(?:$|[ T])/.exec(value ?? '') ?? [];
  const day = `${y}${m}${d}`;
  return y !== undefined && timeOf(day) !== undefined ? day : undefined;
}
