// What lies in an outgoing folder is ours; but a disk may damage it and somebody may forge it, and posts are removed on its
// word. So each file is held to its form before anything is done with it.
import { isAbsolute } from 'node:path';
import { isCount, isText } from '../record/kinds.ts';
import {
  dayForPath,
  hourFolder,
  isPostName,
  JSONL_EXT,
  keyFolder,
  POSTCAN_EXT,
  parseCanName,
} from '../record/names.ts';
import type {
  BriefManifest,
  CanFile,
  Generation,
  IndexRow,
  Manifest,
  PackedPost,
  Purpose,
  WholeBucket,
} from './outgoing.ts';

type Unknown<T> = { [K in keyof T]?: unknown };

const CLASSES: readonly unknown[] = ['as-received', 'unsanitised', 'sanitised'] satisfies Manifest['class'][];

const isHex = (value: unknown, digits: number) => isText(value) && value.length === digits && !/[^0-9a-f]/.test(value);
const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null;
const orNone = (value: unknown, is: (value: unknown) => boolean) => value === undefined || is(value);

/** @param can the folder that it lies in */
export function isManifest(value: unknown, can: string): value is Manifest {
  if (!isBrief(value, can)) return false;
  const named = parseCanName(can)!;
  const folder = named.kind === 'hour' ? `${hourFolder(named)}/` : undefined;
  const { posts } = value as Unknown<Manifest>;
  return (
    Array.isArray(posts) &&
    (folder === undefined || posts.length === value.measurements) &&
    posts.every((post) => isPackedPost(post, folder))
  );
}

/** As `isManifest`, whatever its posts are. */
export function isBrief(value: unknown, can: string): value is BriefManifest {
  const named = parseCanName(can);
  if (!named || !isObject(value)) return false;
  const {
    version,
    can: own,
    class: zone,
    measurements,
    unreadable,
    files,
    spool,
    generation,
  } = value as Unknown<Manifest>;
  return (
    version === 1 &&
    own === can &&
    CLASSES.includes(zone) &&
    isCount(measurements) &&
    isCount(unreadable) &&
    Array.isArray(files) &&
    files.length === 2 &&
    [POSTCAN_EXT, JSONL_EXT].every((ext, n) => isCanFile(files[n], `${can}${ext}`, keyFolder(named))) &&
    orNone(spool, (path) => isText(path) && isAbsolute(path)) &&
    orNone(generation, isGeneration)
  );
}

function isCanFile(value: unknown, name: string, folder: string): boolean {
  if (!isObject(value)) return false;
  const file = value as Unknown<CanFile>;
  const isNamed = file.name === name && file.s3path === `${folder}/${name}`;
  return isNamed && isCount(file.bytes) && isHex(file.sha256, 64);
}

/** @param folder the hour folder that all posts of the can came from, with its slash; a row can's never were in a spool */
function isPackedPost(value: unknown, folder: string | undefined): boolean {
  if (!isObject(value)) return false;
  const { file, bytes, sha256 } = value as Unknown<PackedPost>;
  if (!isText(file) || !isCount(bytes) || !isHex(sha256, 64)) return false;
  if (folder === undefined) return true;
  return file.startsWith(folder) && isPostName(file.slice(folder.length));
}

function isGeneration(value: unknown): boolean {
  if (!isObject(value)) return false;
  const { id, cans, made, bucket, whole } = value as Unknown<Generation>;
  return (
    isText(id) &&
    Array.isArray(cans) &&
    cans.every((can) => isText(can) && parseCanName(can)?.kind === 'day') &&
    isCount(made) &&
    (bucket === null || (isText(bucket) && dayForPath(bucket) !== undefined)) &&
    orNone(whole, isWhole)
  );
}

function isWhole(value: unknown): boolean {
  if (!isObject(value)) return false;
  const { groups, measurements, left_out } = value as Unknown<WholeBucket>;
  return isCount(groups) && isCount(measurements) && isCount(left_out);
}

/** @param linenum the line that it must tell of */
export function isIndexRow(value: unknown, linenum: number): value is IndexRow {
  if (!isObject(value)) return false;
  const row = value as Unknown<IndexRow>;
  return (
    row.linenum === linenum &&
    (row.measurement_uid === null || isText(row.measurement_uid)) &&
    isText(row.report_id) &&
    isText(row.input) &&
    isCount(row.offset) &&
    isCount(row.length) &&
    isHex(row.hash, 16) &&
    orNone(row.unreadable, (is) => is === true)
  );
}

export function isPurpose(value: unknown): value is Purpose {
  if (!isObject(value)) return false;
  const { version, class: zone, host, store, endpoint, index } = value as Unknown<Purpose>;
  const texts = [host, store, endpoint, index];
  return isCount(version) && orNone(zone, (is) => CLASSES.includes(is)) && texts.every((text) => orNone(text, isText));
}

/** Names of cans of one hour. */
export function isLedger(value: unknown, hour: string): value is string[] {
  const isName = (name: unknown) => {
    const can = isText(name) ? parseCanName(name) : undefined;
    return can?.kind === 'hour' && can.hour === hour;
  };
  return Array.isArray(value) && value.every(isName);
}
