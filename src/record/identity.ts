import { createHash, hash } from 'node:crypto';

/** First 16 hex digits of SHA-512 of a post's bytes: the last part of its uid. */
export function uidHash(post: Buffer): string {
  return hash('sha512', post).slice(0, 16);
}

/**
 * Trivial id of a legacy record: `01`, the day of measurement_start_time (`YYYYMMDD`, or eight zeros),
 * and 30 hex digits of the SHAKE-128 of the raw record bytes.
 */
export function trivialId(raw: Buffer, day: string | undefined): string {
  const digest = createHash('shake128', { outputLength: 15 }).update(raw).digest('hex');
  return `01${day ?? '00000000'}${digest}`;
}

/** The `id` of a record that has none, from its raw bytes: the first half of their SHA-1 in the form of a UUID. */
export function recordId(raw: Buffer): string {
  const hex = hash('sha1', raw);
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join('-');
}

/** A report id of the spool generation has six parts; its records got a uid from the collector. */
export function isModernReportId(reportId: string): boolean {
  return reportId.split('_').length === 6;
}

/** Short hash of a line without its line feed: 16 hex digits of SHA-256, kept beside each line in the index. */
export function lineHash(line: Buffer): string {
  return hash('sha256', line).slice(0, 16);
}

export function sha256(bytes: Uint8Array): string {
  return hash('sha256', bytes);
}
