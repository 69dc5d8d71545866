// Names of report files, built and read back. A report's header can say anything, so a name is built from parts
// that these patterns let through, and from nothing else.
import { compactTest, testForPath, timeOf } from './names.ts';
import { canonicalTest, INVALID } from './testnames.ts';

/** The order that the parts of a name stand in. */
export const LAYOUTS = ['seed', 'pipeline'] as const;
export type Layout = (typeof LAYOUTS)[number];

export interface ReportParts {
  /** Milliseconds since the epoch, whole seconds. */
  time: number;
  test: string;
  report_id: string;
  asn: string;
  cc: string;
  version: string;
  ext: 'json' | 'yaml';
  gz: boolean;
}

/** What a name tells; names of the oldest reports lack most of it. */
export interface ReportName {
  /** `pre-id` and `old`: names that were given before reports had ids. */
  layout: Layout | 'pre-id' | 'old';
  time: number;
  /** As the name has it, with hyphens and spaces where those stand in it. */
  test: string;
  report_id?: string;
  asn?: string;
  cc?: string;
  version?: string;
  ext: 'json' | 'yaml' | 'yamloo';
  /** How the file is compressed. */
  packed?: 'gz' | 'lz4';
  /** Number of a report whose name was taken. In the seed's layout it reads as a part of the version. */
  copy?: number;
}

/** Longest file name, bytes. */
export const LONGEST_NAME = 255;
const LONGEST_REPORT_ID = 200;

const TEST = /^[A-Za-z0-9_]+$/;
const REPORT_ID = /^[A-Za-z0-9_]+$/;
const ASN = /^AS[0-9]{1,10}$/;
const CC = /^[A-Z]{2}$/;
// It begins with a digit: otherwise `…-probe-probe.json` could be read in both layouts.
const VERSION = /^[0-9][0-9A-Za-z_+]*(?:\.[0-9A-Za-z_+]+)*$/;

export const isReportTest = (text: string) => TEST.test(text);
export const isReportId = (text: string) => text.length <= LONGEST_REPORT_ID && REPORT_ID.test(text);
export const isAsn = (text: string) => ASN.test(text);
export const isCountry = (text: string) => CC.test(text);
export const isVersion = (text: string) => text.length <= 32 && VERSION.test(text);

/** `20150629T142714` of a time, UTC. */
export function compactTime(time: number): string {
  return new Date(time).toISOString().slice(0, 19).replace(/[-:]/g, '');
}

const FIRST = 0;
const LAST = Date.UTC(9999, 11, 31, 23, 59, 59);

/** A time that a name can hold: 1970 to 9999, whole seconds. */
export function isReportTime(time: number): boolean {
  return Number.isInteger(time / 1000) && time >= FIRST && time <= LAST;
}

/** The name of a report. @throws Error for parts that no name may hold, and for a name over 255 bytes */
export function reportName(parts: ReportParts, layout: Layout): string {
  const { time, test, report_id, asn, cc, version, ext, gz } = parts;
  const good =
    isReportTime(time) &&
    isReportTest(test) &&
    isReportId(report_id) &&
    isAsn(asn) &&
    isCountry(cc) &&
    isVersion(version) &&
    (ext === 'json' || ext === 'yaml');
  if (!good) throw new Error('a part that no name of a report may hold');
  const stamp = compactTime(time);
  const stem =
    layout === 'seed'
      ? [stamp, test, report_id, asn, cc, 'probe', version]
      : [`${stamp}Z`, cc, asn, test, report_id, version, 'probe'];
  return fitting(`${stem.join('-')}.${ext}${gz ? '.gz' : ''}`);
}

/** Extensions that a report may come with. */
const EXTENSION = /\.(json|yaml|yamloo)(?:\.(gz|lz4))?$/;

/** What the end of a name tells of a file; undefined for files that are no reports. */
export function reportExtension(name: string): Pick<ReportName, 'ext' | 'packed'> | undefined {
  const [, ext, packed] = EXTENSION.exec(name) ?? [];
  if (ext === undefined) return undefined;
  const found = { ext: ext as ReportName['ext'] };
  return packed === undefined ? found : { ...found, packed: packed as 'gz' | 'lz4' };
}

/** `a.yaml.gz` → `a.2.yaml.gz`: for a report whose name is taken. @throws Error for a name over 255 bytes */
export function numberedName(name: string, copy: number): string {
  const at = EXTENSION.exec(name)?.index ?? name.length;
  return fitting(`${name.slice(0, at)}.${copy}${name.slice(at)}`);
}

function fitting(name: string): string {
  if (Buffer.byteLength(name) > LONGEST_NAME) throw new Error(`its name would be longer than ${LONGEST_NAME} bytes`);
  return name;
}

// --- reading names back

/** Tests whose names are known: they end the name of a test where a report id holds hyphens. */
const KNOWN_TESTS = [
  ...['bridge_reachability', 'captive_portal', 'chinatrigger', 'dash', 'dns_consistency', 'dns_injection', 'dns_spoof'],
  ...['dnscheck', 'echcheck', 'facebook_messenger', 'http_filtering_bypass', 'http_header_field_manipulation'],
  ...['http_host', 'http_invalid_request_line', 'http_requests', 'http_test', 'http_trix', 'http_url_list'],
  ...['keyword_filtering', 'lantern_circumvention_tool_test', 'meek_fronted_requests_test'],
  ...['multi_protocol_traceroute', 'ndt', 'netalyzr_wrapper', 'openvpn', 'parasitic_traceroute', 'psiphon'],
  ...['psiphon_test', 'riseupvpn', 'signal', 'stunreachability', 'tcp_connect', 'telegram', 'this_test_is_nameless'],
  ...['tls_handshake', 'tor', 'torsf', 'vanilla_tor', 'web_connectivity', 'whatsapp'],
];

/** Test names as old collectors took them. */
const OLD_TEST = /^[A-Za-z0-9_][A-Za-z0-9_ -]*$/;
/** Report ids of names that others made. */
const OLD_REPORT_ID = /^[A-Za-z0-9_][A-Za-z0-9_-]*$/;

const SEED = /^(\d{8}T\d{6})Z?-(.+)-(AS\d{1,10})-([A-Z]{2})-probe-([^-]+)$/s;
const PIPELINE_TAIL = /^probe(?:\.([1-9]\d{0,8}))?$/;
const PRE_ID = /^(\d{8}T\d{6}Z)-(AS\d{1,10}|ASX)-(.+)-v1-probe$/s;
const STAMP = '(\\d{4}-\\d\\d-\\d\\d(?:T\\d{6}Z?)?|\\d{8}T\\d{6}Z?)';
/** `report-HTTP_Host-2012-11-05…` */
const REPORT_DASH = new RegExp(`^report-(.+)-${STAMP}$`, 's');
/** `HTTP_Host-2012-11-05T120000Z-AS3269`, with a number or with `-probe`. */
const DATED = new RegExp(`^(.+)-${STAMP}-(AS\\d{1,10}|ASX)(?:-probe|\\.([1-9]\\d{0,8}))?$`, 's');

/** What a file name tells of a report, in any of the forms that were ever used; undefined for all others. */
export function parseReportName(name: string): ReportName | undefined {
  const extension = reportExtension(name);
  if (!extension || Buffer.byteLength(name) > LONGEST_NAME) return undefined;
  const stem = name.slice(0, EXTENSION.exec(name)!.index);
  const { ext } = extension;
  const found =
    (ext === 'yamloo' ? undefined : (parseSeed(stem) ?? parsePipeline(stem))) ??
    (ext === 'yaml' ? parsePreId(stem) : undefined) ??
    (ext === 'yamloo' ? parseOld(stem) : undefined);
  return found && { ...found, ...extension };
}

type Stem = Omit<ReportName, 'ext' | 'packed'>;

function parseSeed(stem: string): Stem | undefined {
  const [, stamp, middle, asn, cc, version] = SEED.exec(stem) ?? [];
  const time = timeOfStamp(stamp);
  const both = middle === undefined ? undefined : splitMiddle(middle);
  if (time === undefined || !both || !isVersion(version!)) return undefined;
  return { layout: 'seed', time, ...both, asn: asn!, cc: cc!, version: version! };
}

/** Test and report id: our own ids hold no hyphen; where there are several, a known test comes first. */
function splitMiddle(middle: string): { test: string; report_id: string } | undefined {
  const last = middle.lastIndexOf('-');
  const first = middle.indexOf('-');
  if (last === -1) return undefined;
  const known = KNOWN_TESTS.filter((test) => first !== last && middle.startsWith(`${test}-`));
  const at = known.length > 0 ? Math.max(...known.map((test) => test.length)) : last;
  const [test, report_id] = [middle.slice(0, at), middle.slice(at + 1)];
  return OLD_TEST.test(test) && OLD_REPORT_ID.test(report_id) ? { test, report_id } : undefined;
}

function parsePipeline(stem: string): Stem | undefined {
  const parts = stem.split('-');
  if (parts.length !== 7) return undefined;
  const [stamp, cc, asn, test, report_id, version, tail] = parts as [string, ...string[]];
  const [whole, copy] = PIPELINE_TAIL.exec(tail!) ?? [];
  const time = /Z$/.test(stamp) ? timeOfStamp(stamp) : undefined;
  const good =
    whole !== undefined && isCountry(cc!) && isAsn(asn!) && OLD_TEST.test(test!) && REPORT_ID.test(report_id!);
  if (time === undefined || !good || !isVersion(version!)) return undefined;
  const found = { layout: 'pipeline' as const, time, test: test!, report_id: report_id!, asn: asn!, cc: cc! };
  return { ...found, version: version!, ...(copy === undefined ? {} : { copy: Number(copy) }) };
}

function parsePreId(stem: string): Stem | undefined {
  const [, stamp, asn, test] = PRE_ID.exec(stem) ?? [];
  const time = timeOfStamp(stamp);
  if (time === undefined || !OLD_TEST.test(test!)) return undefined;
  return { layout: 'pre-id', time, test: test!, asn: asn! };
}

function parseOld(stem: string): Stem | undefined {
  const dated = DATED.exec(stem);
  const [, test, stamp, asn, copy] = dated ?? REPORT_DASH.exec(stem) ?? [];
  const time = timeOfStamp(stamp);
  if (time === undefined || !OLD_TEST.test(test!)) return undefined;
  const more = { ...(asn === undefined ? {} : { asn }), ...(copy === undefined ? {} : { copy: Number(copy) }) };
  return { layout: 'old', time, test: test!, ...more };
}

/** `20150629T142714Z`, `2015-06-29T142714Z`, `2015-06-29`; undefined where the calendar has no such time. */
function timeOfStamp(stamp: string | undefined): number | undefined {
  const digits = stamp?.replace(/[-TZ]/g, '') ?? '';
  const time = digits.length === 8 || digits.length === 14 ? timeOf(digits) : undefined;
  return time !== undefined && isReportTime(time) ? time : undefined;
}

/** The compact name of the test that a file name tells, as `webconnectivity`; undefined where it is none. */
export function testOfName({ test }: Pick<ReportName, 'test'>): string | undefined {
  // Old names have `HTTP_Host` and `DNS_tamper` where headers have spaces: the table knows those without any.
  const compact = testForPath(canonicalTest(test));
  const known = compactTest(canonicalTest(compact));
  return known === INVALID ? undefined : known;
}
