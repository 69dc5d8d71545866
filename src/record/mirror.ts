// A mirror: a folder with copies of objects, each under its key. What it has is told by its manifest.
import { createHash } from 'node:crypto';
import { isUrl, objectAt, storePlace } from './storeurls.ts';

const LONGEST_KEY = 1024;
const LONGEST_PART = 255;

/** Why an object of this key cannot be a file below a folder; undefined where it can. */
export function keyFault(key: string): string | undefined {
  if (key.length > LONGEST_KEY) return `a key of more than ${LONGEST_KEY} letters`;
  for (const part of key.split('/')) {
    if (part === '') return 'a key with an empty part';
    // Hidden names are ours, and `..` leads out.
    if (part.startsWith('.')) return 'a key with a part that begins with a dot';
    if (!/^[A-Za-z0-9._~=+@,-]+$/.test(part)) return 'a key with letters that no name of a can or report has';
    if (part.length > LONGEST_PART) return `a key with a part of more than ${LONGEST_PART} letters`;
  }
  return undefined;
}

/** Which object a file row means. @throws Error where that is none, or no place for it */
export function objectOf({ file, s3path }: { file: string; s3path?: string }): { store: string; key: string } {
  let key = s3path;
  if (key === undefined) {
    if (!isUrl(file)) throw new Error('lies in no store: a file of a can has its key in s3path');
    const place = objectAt(file);
    if ('fault' in place) throw new Error(place.fault);
    key = place.key;
  }
  const fault = keyFault(key);
  if (fault !== undefined) throw new Error(fault);
  if (file === key) return { store: '.', key };
  if (!file.endsWith(`/${key}`)) throw new Error(`its s3path, ${key}, is not how it ends`);
  const store = file.slice(0, -key.length - 1) || '/';
  const place = isUrl(store) ? storePlace(store) : undefined;
  if (place && 'fault' in place) throw new Error(place.fault);
  return { store, key };
}

/** By what a copy was compared with its object; `size` alone where the store tells no more. */
export type Checked = 'md5' | 'parts' | 'sha256' | 'sha1' | 'crc32' | 'crc32c' | 'size';

/** An object of which the mirror has a whole copy. */
export interface MirrorEntry {
  /** Its path in the mirror. */
  s3path: string;
  store: string;
  etag: string;
  bytes: number;
  sha256: string;
  checked: Checked;
  /** Of the copy, milliseconds since the epoch: a copy that has it still need not be read again. */
  mtime: number;
}

export function mirrorLine({ s3path, store, etag, bytes, sha256, checked, mtime }: MirrorEntry): string {
  return `${JSON.stringify({ s3path, store, etag, bytes, sha256, checked, mtime })}\n`;
}

/**
 * Reads a manifest; where a key comes twice, the later line counts.
 * @returns the bytes up to its last whole line too: what follows was cut short, and its object is fetched again
 */
export function parseMirror(bytes: Buffer): { entries: Map<string, MirrorEntry>; whole: number; damaged: number } {
  const entries = new Map<string, MirrorEntry>();
  let whole = 0;
  let damaged = 0;
  for (let feed = bytes.indexOf(0x0a); feed !== -1; feed = bytes.indexOf(0x0a, whole)) {
    const entry = parseEntry(bytes.toString('utf8', whole, feed));
    if (entry) entries.set(entry.s3path, entry);
    else damaged++;
    whole = feed + 1;
  }
  return { entries, whole, damaged };
}

function parseEntry(line: string): MirrorEntry | undefined {
  let row: Partial<MirrorEntry> | null;
  try {
    row = JSON.parse(line) as typeof row;
  } catch {
    return undefined;
  }
  const { s3path, store, etag, bytes, sha256, mtime } = row ?? {};
  const well =
    typeof s3path === 'string' &&
    keyFault(s3path) === undefined &&
    typeof store === 'string' &&
    typeof etag === 'string' &&
    Number.isSafeInteger(bytes) &&
    typeof sha256 === 'string' &&
    typeof mtime === 'number';
  return well ? (row as MirrorEntry) : undefined;
}

/** Names of what has come of an object: the first half is the object's, the second that of its state. */
export function partName(store: string, key: string, etag: string): string {
  return `${partStem(store, key)}${digest(etag, 16)}.part`;
}

export function partStem(store: string, key: string): string {
  return `${digest(`${store}/${key}`, 32)}.`;
}

function digest(text: string, length: number): string {
  return createHash('sha256').update(text).digest('hex').slice(0, length);
}
