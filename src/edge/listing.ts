// What lies in a folder, as file rows: a spool, a store, reports.
import { type Dirent, readdirSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { dayForPath, type KeyKind, parseHourFolder, parseKey, parsePostName, timeOf } from '../record/names.ts';
import { compactTime, parseReportName, testOfName } from '../record/reportnames.ts';
import type { Named } from '../record/summary.ts';
import { lstatOf } from './files.ts';
import { LOG_NAME } from './renamelog.ts';
import { looksLikeSpool, type Strangers, spoolFolders, spoolPosts } from './spool.ts';

export const KINDS = ['post', 'jsonl', 'postcan', 'rows', 'report'] as const;
export type Kind = (typeof KINDS)[number];

/** A file row; members that its name does not tell are left out. */
export interface ListedFile {
  file: string;
  bytes: number;
  kind: Kind;
  /** Arrival hour (`YYYYMMDDHH`) of posts and of cans made from them. */
  hour?: string;
  /** Day (`YYYYMMDD`) of row cans. */
  day?: string;
  cc?: string;
  test?: string;
  /** Bucket folder of a report, `YYYY-MM-DD`. */
  bucket?: string;
  /** When the test of a report began, `YYYYMMDDTHHMMSSZ`. */
  time?: string;
  measurement_uid?: string;
  /** Key in the store. */
  s3path?: string;
  /** Of S3. */
  etag?: string;
}

/** Selection; times in milliseconds since the epoch, the end exclusive. */
export interface Selection {
  kinds: Kind[];
  cc: string[];
  /** Compact names. */
  tests: string[];
  from?: number | undefined;
  to?: number | undefined;
  /** As far as a name can tell when something was measured. */
  measuredFrom?: number | undefined;
  measuredTo?: number | undefined;
  /** Only hours that had ended at this moment. */
  endedBy?: number | undefined;
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** True where the selection takes a file of this name; what a name does not tell, a filter on it leaves out. */
export function selects(selection: Selection, name: Named): boolean {
  const { cc, tests, from, to, endedBy } = selection;
  if (cc.length > 0 && !cc.includes(name.cc ?? '')) return false;
  if (tests.length > 0 && !tests.includes(name.test?.toLowerCase() ?? '')) return false;
  // A report counts by the day that it came in, and by its own time only where it lies in no bucket.
  const digits = name.hour ?? name.day ?? (name.bucket ?? name.time)?.replace(/[-TZ]/g, '');
  const time = digits === undefined ? undefined : timeOf(digits);
  if (from !== undefined && !(time !== undefined && time >= from)) return false;
  if (to !== undefined && !(time !== undefined && time < to)) return false;
  if (!mayBeMeasured(selection, name)) return false;
  if (endedBy !== undefined && name.hour !== undefined && timeOf(name.hour)! + HOUR_MS > endedBy) return false;
  return true;
}

/**
 * A report says when its test began. Of all else it is known when it came: nothing is measured after that, however long
 * before.
 */
function mayBeMeasured({ measuredFrom, measuredTo }: Selection, { hour, day, bucket, time }: Named): boolean {
  if (measuredFrom === undefined && measuredTo === undefined) return true;
  if (time !== undefined || bucket !== undefined) {
    const began = time === undefined ? undefined : timeOf(time.replace(/[-TZ]/g, ''));
    return began !== undefined && began >= (measuredFrom ?? began) && began < (measuredTo ?? began + 1);
  }
  const came = hour ?? day;
  if (came === undefined) return false;
  return timeOf(came)! + (hour === undefined ? DAY_MS : HOUR_MS) > (measuredFrom ?? Number.NEGATIVE_INFINITY);
}

export interface Listing {
  selection: Selection;
  strangers: Strangers;
  /** Told of folders that cannot be read. */
  failed(path: string, error: unknown): void;
  /** Told of reports that are left out because their names do not tell what the selection asks for. */
  untold(path: string): void;
}

/** File rows of a path, by name. @throws errno errors of the path itself */
export function* listPath(path: string, listing: Listing): Generator<ListedFile> {
  const stat = statSync(path);
  if (!stat.isDirectory()) {
    const row = describeFile(path, stat.size);
    if (row) yield* selected(row, listing);
    else listing.strangers.other++;
  } else if (parseHourFolder(basename(path.replace(/\/+$/, '')))) {
    const whole = path.replace(/\/+$/, '');
    yield* listHour(dirname(whole), basename(whole), listing);
  } else if (looksLikeSpool(path)) {
    for (const folder of spoolFolders(path, listing.strangers)) {
      if (selects(listing.selection, folder)) yield* listHour(path, folder.name, listing);
    }
  } else yield* listTree(path, listing);
}

/** The row, where it is asked for. */
export function* selected(row: ListedFile, { selection, untold }: Listing): Generator<ListedFile> {
  if (!selection.kinds.includes(row.kind)) return;
  if (selects(selection, row)) yield row;
  else if (row.kind === 'report' && !tells(row, selection)) untold(row.file);
}

/** False where a selection asks for what a row does not have. */
function tells({ cc, test, bucket, time }: ListedFile, selection: Selection): boolean {
  if (selection.cc.length > 0 && cc === undefined) return false;
  if (selection.tests.length > 0 && test === undefined) return false;
  const { from, to, measuredFrom, measuredTo } = selection;
  if ((measuredFrom ?? measuredTo) !== undefined && time === undefined) return false;
  return (from ?? to) === undefined || (bucket ?? time) !== undefined;
}

function* listHour(spool: string, folder: string, listing: Listing): Generator<ListedFile> {
  const { hour, cc, test } = parseHourFolder(folder)!;
  if (!listing.selection.kinds.includes('post') || !selects(listing.selection, { hour, cc, test })) return;
  try {
    for (const { name, bytes, uid } of spoolPosts(spool, folder, listing.strangers)) {
      yield { file: join(spool, folder, name), bytes, kind: 'post', hour, cc, test, measurement_uid: uid.uid };
    }
  } catch (error) {
    listing.failed(join(spool, folder), error);
  }
}

/** A store or a folder of reports, however deep. Links are not followed. */
function* listTree(folder: string, listing: Listing): Generator<ListedFile> {
  let entries: Dirent[];
  try {
    entries = readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch (error) {
    return listing.failed(folder, error);
  }
  for (const entry of entries) {
    const path = join(folder, entry.name);
    if (entry.name.startsWith('.') || entry.name === LOG_NAME) continue;
    if (entry.isDirectory()) yield* listTree(path, listing);
    else if (entry.isFile()) {
      const row = describeFile(path, lstatOf(path)?.size ?? 0);
      if (row) yield* selected(row, listing);
      else listing.strangers.other++;
    } else listing.strangers.other++;
  }
}

const REPORT = /\.(?:json|jsonl|njson|yaml|yamloo)(?:\.gz)?$/;

/** Of the public bucket's oldest layout, `canned/YYYY-MM-DD/`. */
const CANNED = /\.(?:json|yaml|yamloo|tar)(?:\.(?:gz|lz4))?$/;

/** What a path by itself tells of a file; undefined for strangers. */
export function describeFile(path: string, bytes: number): ListedFile | undefined {
  const parts = path.split('/');
  const name = parts.at(-1)!;
  if (name.startsWith('.')) return undefined;
  const uid = parsePostName(name);
  const group = parseHourFolder(parts.at(-2) ?? '');
  if (uid && group) return { file: path, bytes, kind: 'post', ...group, measurement_uid: uid.uid };
  // raw/day/hour/cc/test/name and jsonl/test/cc/day/00/name: six parts, wherever the store begins.
  const key = parts.slice(-6).join('/');
  const found = parseKey(key);
  if (found) return { file: path, bytes, ...placeOf(found.kind, found.can), s3path: key };
  const bucket = parts.at(-2) ?? '';
  const isBucket = bucket.length === 10 && dayForPath(bucket) !== undefined;
  // Among the raw reports of a bucket nobody expects what has been packed.
  if (!(isBucket && parts.at(-3) === 'canned' ? CANNED : REPORT).test(name)) return undefined;
  return { file: path, bytes, kind: 'report', ...(isBucket ? { bucket } : {}), ...told(name) };
}

/** What the name of a report tells. */
function told(name: string): Pick<ListedFile, 'time' | 'cc' | 'test'> {
  const report = parseReportName(name);
  if (!report) return {};
  const test = testOfName(report);
  return {
    time: `${compactTime(report.time)}Z`,
    ...(report.cc === undefined ? {} : { cc: report.cc }),
    ...(test === undefined ? {} : { test }),
  };
}

function placeOf(
  kind: KeyKind,
  can: NonNullable<ReturnType<typeof parseKey>>['can'],
): Pick<ListedFile, 'kind' | 'hour' | 'day' | 'cc' | 'test'> {
  const { cc, test } = can;
  return can.kind === 'hour' ? { kind, hour: can.hour, cc, test } : { kind, day: can.day, cc, test };
}
