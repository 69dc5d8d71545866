import { createHash } from 'node:crypto';
import { timeOf } from './names.ts';

/** Where a part is missing or null. Also the order in which they are hashed. */
const PARTS = {
  probe_cc: 'ZZ',
  probe_asn: 'AS0',
  test_name: 'invalid',
  software_version: '0.0.0',
  probe_city: 'None',
} as const;

/**
 * What a report id is made from when a report has none: text, a number or its text, bytes as a Buffer or a base64
 * dict, or anything else JSON has. `start_time` is seconds since the epoch.
 */
export type ReportIdSource = { [name in keyof typeof PARTS | 'start_time']?: unknown };

/**
 * The id of a report that has none: its start in UTC and 50 letters of a hash over where and what it measured,
 * `20131101T120000Z_HvgPpMdttKegMFDvnixHqeaGzsAJAJJCcRbakXuHswiAUCBAap`.
 */
export function fabricateReportId(header: ReportIdSource): string {
  const hash = createHash('sha512');
  for (const [name, missing] of Object.entries(PARTS))
    hash.update(bytesOf(header[name as keyof typeof PARTS] ?? missing));
  const letters = [...hash.digest().subarray(0, 50)].map((byte) => LETTERS[byte % 52]).join('');
  return `${stamp(header.start_time)}_${letters}`;
}

/** The source in a document, whose members are given as JSON text: numbers keep theirs. */
export function reportIdSource(member: (name: string) => string | undefined): ReportIdSource {
  const source: ReportIdSource = {};
  for (const name of [...(Object.keys(PARTS) as (keyof typeof PARTS)[]), 'start_time'] as const) {
    const text = member(name);
    if (text !== undefined) source[name] = /^[-\d]/.test(text) ? text : JSON.parse(text);
  }
  return source;
}

const LETTERS = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ';

/** The bytes as the probe wrote them: those of a base64 dict, else of the text; JSON's text of what is none. */
function bytesOf(value: NonNullable<unknown>): Buffer {
  if (Buffer.isBuffer(value)) return value;
  if (typeof value === 'string') return Buffer.from(value);
  const { format, data } = value as { format?: unknown; data?: unknown };
  if (format === 'base64' && typeof data === 'string') return Buffer.from(data, 'base64');
  return Buffer.from(JSON.stringify(value));
}

/** `YYYYMMDDTHHMMSSZ` of a number of seconds, its text, or a time of OONI's form; of anything else, the epoch. */
function stamp(value: unknown): string {
  const time = epochOf(value) ?? 0;
  const iso = new Date(time * 1000).toISOString();
  return `${iso.slice(0, 19).replace(/[-:]/g, '')}Z`;
}

/**
 * Whole seconds since the epoch, of a number of them, its text, or a time `YYYY-MM-DD HH:MM:SS`; undefined for what is
 * none, or lies outside the years 0 to 9999.
 */
export function epochOf(value: unknown): number | undefined {
  if (typeof value === 'string' && /^\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d/.test(value)) {
    const time = timeOf(value.slice(0, 19).replace(/\D/g, ''));
    return time === undefined ? undefined : time / 1000;
  }
  const isText = typeof value === 'string' && /^[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?$/.test(value);
  const seconds = typeof value === 'number' ? Math.floor(value) : isText ? Math.floor(Number(value)) : Number.NaN;
  return seconds >= -62_167_219_200 && seconds < 253_402_300_800 ? seconds : undefined;
}
