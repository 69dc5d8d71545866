// Raw buckets: folders `YYYY-MM-DD` of reports, named by the day on which they were copied over, each with a manifest.
import { createHash } from 'node:crypto';
import { dayForPath } from './names.ts';

/** In every bucket, one line a report; the name is hidden, so that no reader takes it for one. */
export const MANIFEST = '.manifest.jsonl';

/** Where a manifest lies in a backup: it grows, and nothing there is written over. */
export function manifestCopyName(sha256: string): string {
  return `.manifest.${sha256.slice(0, 16)}.jsonl`;
}

/** A line of the manifest. */
export interface ManifestEntry {
  name: string;
  /** Bytes. */
  size: number;
  sha256: string;
  /** Where it came from: an absolute path, or `HOST:DIR/NAME`. */
  from: string;
  /** When it was put here, `2024-02-01T12:00:00.000Z`. */
  at: string;
}

/** True for a day of the calendar, `2016-08-01`. */
export function isBucketName(name: string): boolean {
  return name.length === 10 && dayForPath(name) !== undefined;
}

/** Why a report of this name cannot lie in a bucket; undefined where it can. */
export function nameFault(name: string): string | undefined {
  if (name === '' || name.includes('/')) return 'no file name';
  if (name.startsWith('.')) return 'a hidden file';
  // What node could not decode; and with lone surrogates no two programs agree on the bytes.
  if (/[\ufffd\ud800-\udfff]/u.test(name)) return 'a name that is not UTF-8';
  // They would break lists of one line a name, and listings of S3.
  if (/[\u0000-\u001f\u007f]/.test(name)) return 'a name with control characters';
  if (Buffer.byteLength(name) > 255) return 'a name of more than 255 bytes';
  return undefined;
}

/** Name of a copy in the making, beside its place. */
export function partName(name: string): string {
  const plain = `.${name}.part`;
  return Buffer.byteLength(plain) <= 255 ? plain : `.${createHash('sha256').update(name).digest('hex')}.part`;
}

export function isPartName(name: string): boolean {
  return name.startsWith('.') && name.endsWith('.part');
}

export function manifestLine({ name, size, sha256, from, at }: ManifestEntry): string {
  return `${JSON.stringify({ name, size, sha256, from, at })}\n`;
}

/** What a manifest says; where a name comes twice, the later line counts. */
export interface Manifest {
  entries: Map<string, ManifestEntry>;
  /** Lines that are none of ours, from 1. */
  damaged: number[];
  /** Bytes up to the last line that is JSON; what follows was cut short, or came of a power cut. */
  whole: number;
  /** The last line is an entry, and only its line feed is missing. */
  unended: boolean;
}

/** Reads a manifest. Last lines that were cut short, or never came to the disk, are no fault: their reports are still to be listed. */
export function parseManifest(bytes: Buffer): Manifest {
  const manifest: Manifest = { entries: new Map(), damaged: [], whole: 0, unended: false };
  let rubbish: number[] = [];
  for (let line = 1, start = 0; start < bytes.length; line++) {
    const feed = bytes.indexOf(0x0a, start);
    const end = feed === -1 ? bytes.length : feed;
    const value = jsonOf(bytes.toString('utf8', start, end));
    const entry = entryOf(value);
    if (entry) manifest.entries.set(entry.name, entry);
    if (feed === -1) {
      manifest.unended = entry !== undefined;
      if (manifest.unended) manifest.damaged.push(...rubbish);
      break;
    }
    start = end + 1;
    if (!entry) rubbish.push(line);
    if (value === undefined) continue;
    manifest.damaged.push(...rubbish);
    rubbish = [];
    manifest.whole = start;
  }
  return manifest;
}

function jsonOf(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

function entryOf(value: unknown): ManifestEntry | undefined {
  const { name, size, sha256, from, at } = (value ?? {}) as Partial<ManifestEntry>;
  const well =
    typeof name === 'string' &&
    nameFault(name) === undefined &&
    Number.isSafeInteger(size) &&
    size! >= 0 &&
    typeof sha256 === 'string' &&
    /^[0-9a-f]{64}$/.test(sha256) &&
    typeof from === 'string' &&
    typeof at === 'string';
  return well ? { name, size: size!, sha256, from, at } : undefined;
}

/** SHA-256 of a line `NAME SIZE` for each report, in the order of the names' bytes: tells whether a bucket has changed. */
export function bucketFingerprint(reports: Iterable<{ name: string; size: number }>): string {
  const lines = [...reports].map(({ name, size }) => Buffer.from(`${name} ${size}\n`)).sort(Buffer.compare);
  const hash = createHash('sha256');
  for (const line of lines) hash.update(line);
  return hash.digest('hex');
}
