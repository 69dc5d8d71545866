// From a report's header to the parts of its name. A header may be forged: a value that may not stand in a name is
// replaced by one that says that it is unknown, or the report gets no name.
import { timeOf } from './names.ts';
import {
  isAsn,
  isCountry,
  isReportId,
  isReportTest,
  isReportTime,
  isVersion,
  type ReportParts,
} from './reportnames.ts';
import { canonicalTest, INVALID } from './testnames.ts';
import type { HeaderValue } from './yaml.ts';

/** Members of a header that a name is made from. */
export const HEADER_NAMES = [
  ...['test_start_time', 'start_time', 'test_name', 'report_id', 'probe_asn', 'probe_cc', 'data_format_version'],
] as const;

export type Header = Readonly<Record<string, HeaderValue | undefined>>;

/** The part of a name → what stands there, though the header says otherwise or nothing. */
export type Substituted = Record<string, string>;

export type Naming =
  | { outcome: 'named'; parts: ReportParts; substituted: Substituted }
  | { outcome: 'failed' | 'invalid'; reason: string };

const NO_REPORT_ID = 'no_report_id';
const NO_ASN = 'AS0';
const NO_CC = 'ZZ';
const FIRST_VERSION = '0.1.0';

/** Parts of the name of a report with this header, or why it cannot have one. */
export function nameOfHeader(header: Header, ext: ReportParts['ext'], gz: boolean): Naming {
  const substituted: Substituted = {};
  // A header is an object of any origin: only its own members count.
  const member = (name: (typeof HEADER_NAMES)[number]) => (Object.hasOwn(header, name) ? header[name] : undefined);
  const put = (part: string, given: HeaderValue | undefined, taken: string) => {
    if (given !== taken) substituted[part] = taken;
    return taken;
  };

  const time = timeOfHeader(member('test_start_time'), member('start_time'));
  if (!time) {
    const given = `test_start_time is ${shown(member('test_start_time'))}, start_time ${shown(member('start_time'))}`;
    return { outcome: 'failed', reason: `no time: ${given}` };
  }
  if (time.repaired) substituted.time = new Date(time.time).toISOString().slice(0, 19).replace('T', ' ');

  const raw = member('test_name');
  const known = canonicalTestOf(raw);
  const test = known?.replace(/[-/ ]/g, '_');
  if (test === undefined || !isReportTest(test) || test.toLowerCase() === INVALID)
    return { outcome: 'invalid', reason: `no name of a test: test_name is ${shown(raw)}` };
  put('test', known, test);

  const id = member('report_id');
  const report_id = reportIdOf(id);
  if (report_id === undefined) return { outcome: 'failed', reason: `report_id is ${shown(id)}` };
  put('report_id', id, report_id);

  const asn = put('asn', member('probe_asn'), asnOf(member('probe_asn')));
  const cc = put('cc', member('probe_cc'), ccOf(member('probe_cc')));
  const version = put('version', member('data_format_version'), versionOf(member('data_format_version')));
  const parts = { time: time.time, test, report_id, asn, cc, version, ext, gz };
  return { outcome: 'named', parts, substituted };
}

/** A value from a header in a message. */
function shown(value: HeaderValue | undefined): string {
  if (value === undefined) return 'missing';
  if (Buffer.isBuffer(value)) return 'not UTF-8';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object' && value !== null) return 'an object';
  if (typeof value !== 'string') return String(value);
  return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value);
}

const OONI_TIME = /^(\d{4})-(\d\d)-(\d\d)[ T](\d\d):(\d\d):(\d\d)(?:\.\d+)?Z?$/;
/** No report is of the year 5138 or later: such a number counts milliseconds. */
const MILLISECONDS = 100_000_000_000;

function timeOfHeader(
  test_start_time: HeaderValue | undefined,
  start_time: HeaderValue | undefined,
): { time: number; repaired: boolean } | undefined {
  const text = typeof test_start_time === 'string' ? OONI_TIME.exec(test_start_time) : null;
  const first = text ? timeOf(text.slice(1).join('')) : undefined;
  if (first !== undefined && isReportTime(first)) return { time: first, repaired: false };
  if (typeof start_time !== 'number') return undefined;
  const seconds = Math.floor(start_time < MILLISECONDS ? start_time : start_time / 1000);
  if (!isReportTime(seconds * 1000)) return undefined;
  const given = test_start_time !== undefined && test_start_time !== null;
  return { time: seconds * 1000, repaired: given || start_time >= MILLISECONDS };
}

/** The canonical name; one that the table does not have stays as it is, also its capitals. */
function canonicalTestOf(raw: HeaderValue | undefined): string | undefined {
  if (typeof raw !== 'string') return undefined;
  const known = canonicalTest(raw);
  return known === raw.toLowerCase() ? raw : known;
}

function reportIdOf(raw: HeaderValue | undefined): string | undefined {
  if (raw === undefined || raw === null) return NO_REPORT_ID;
  if (typeof raw !== 'string' && typeof raw !== 'number') return undefined;
  const id = String(raw).replaceAll('-', '');
  if (id === '') return NO_REPORT_ID;
  return isReportId(id) ? id : undefined;
}

function asnOf(raw: HeaderValue | undefined): string {
  const text = typeof raw === 'number' ? String(raw) : raw;
  if (typeof text !== 'string') return NO_ASN;
  const asn = /^[0-9]+$/.test(text) ? `AS${text}` : text;
  return isAsn(asn) ? asn : NO_ASN;
}

function ccOf(raw: HeaderValue | undefined): string {
  // Tested first: some single letters (ß) become two capitals.
  const cc = typeof raw === 'string' && /^[A-Za-z]{2}$/.test(raw) ? raw.toUpperCase() : NO_CC;
  return isCountry(cc) ? cc : NO_CC;
}

function versionOf(raw: HeaderValue | undefined): string {
  const text = typeof raw === 'number' ? String(raw) : raw;
  return typeof text === 'string' && isVersion(text) ? text : FIRST_VERSION;
}
