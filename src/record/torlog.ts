// What tor writes in its log of the bridge that it was given.
import { decodeRun, encodeLike, isBase64 } from './base64.ts';

const IPV4 = '[0-9]{1,3}(?:\\.[0-9]{1,3}){3}';
const IPV6 = '\\[[0-9a-f:.]{2,45}\\]|[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7}';
const PLACE = `(?:${IPV4}|${IPV6}|\\[scrubbed\\])(?::[0-9]{1,5})?`;
const TELLING = new RegExp(
  `Learned fingerprint \\$?[0-9a-z~=]+\\s+for bridge ${PLACE}` +
    `|new bridge descriptor [^\\n]{0,400}?\\s+at ${PLACE}(?:\\s+and ${PLACE})?`,
  'gi',
);

export const REDACTED = '[REDACTED]';

export interface Found {
  start: number;
  end: number;
  text: Buffer;
  /** What stood there. */
  told: string[];
}

/** Phrases of a log that name a bridge, also where the log is base64. */
export function redactTorLog(bytes: Buffer): Found[] {
  const found = phrases(bytes);
  if (found.length > 0) return found;
  const run = isBase64(bytes);
  if (!run) return [];
  const room = Buffer.allocUnsafe(bytes.length);
  const log = room.subarray(0, decodeRun(bytes, run, 0, room));
  const [first, ...others] = phrases(log);
  if (!first) return [];
  const text = Buffer.from(encodeLike(bytes, run, 0, log, [first, ...others]));
  return [{ start: 0, end: bytes.length, text, told: [first, ...others].flatMap(({ told }) => told) }];
}

function phrases(log: Buffer): Found[] {
  return [...log.toString('latin1').matchAll(TELLING)].map(({ 0: phrase, index }) => ({
    start: index,
    end: index + phrase.length,
    text: Buffer.from(REDACTED),
    told: [phrase],
  }));
}
