// One shape for what ten years of probes sent. A document of format 0.2.0 or later has it but for a few members,
// and keeps the bytes of all others; an older one is brought into it, rule by rule.
import { recordId } from './identity.ts';
import { dayForPath } from './names.ts';
import {
  isNull,
  isObject,
  isTruthy,
  jsonOf,
  type Node,
  numberOf,
  Obj,
  objectOf,
  readDocument,
  textOf,
} from './nodes.ts';
import { Pieces } from './pieces.ts';
import { fabricateReportId, reportIdSource } from './reportid.ts';
import type { Provenance } from './rows.ts';
import { type RuleName, type RuleOptions, Run } from './rules/run.ts';
import { testRules } from './rules/tests.ts';
import { canonicalTest } from './testnames.ts';
import { ooniTime, ooniTimeOfEpoch } from './times.ts';

/** Members that every record has at its top, null where it knows nothing; older formats have their others in test_keys. */
export const SCHEMA = [
  'id',
  'input',
  'input_hashes',
  'report_id',
  'report_filename',
  'options',
  'probe_cc',
  'probe_asn',
  'probe_ip',
  'probe_city',
  'backend_version',
  'data_format_version',
  'test_name',
  'test_version',
  'test_start_time',
  'measurement_start_time',
  'test_runtime',
  'test_helpers',
  'software_name',
  'software_version',
  'bucket_date',
  'test_keys',
] as const;
const IN_SCHEMA: ReadonlySet<string> = new Set(SCHEMA);

export interface Normalised {
  /** Pieces that together are the document, on one line. */
  document: Buffer[];
  /** Rules that changed something, or saw something odd. */
  rules: RuleName[];
}

type Origin = Pick<Provenance, 'bucket_date' | 'report_filename'>;

/**
 * A document in the shape of data format 0.2.0.
 * @param document one JSON object on one line, checked
 * @param from where it came from, told by its row and not by itself
 * @throws JsonError, or Error for what is no object
 */
export function normalise(document: Buffer, from: Origin, options: RuleOptions = {}): Normalised {
  const record = objectOf(readDocument(document, 1));
  if (!record) throw new Error('not an object');
  // Of a YAML record `cat` writes the id first, which needs the raw bytes; no probe wrote one in those years.
  const run = new Run(options, record.keys()[0] === 'id');
  mergeReport(record, run);
  giveReportId(record, run); // of the name as the probe wrote it
  const name = canonicalTest(textOf(record.get('test_name')), run.compat);
  run.fire('test_name.canonical', record.set('test_name', name));
  tellOrigin(record, from, run);
  giveId(record, document, run);
  if (isNewFormat(record.get('data_format_version'))) keepTestKeys(record, run);
  else raiseFormat(record, name, run);
  for (const key of SCHEMA) if (!record.has(key)) run.fire('schema.filled', record.set(key, null));
  const start = ooniTime(textOf(record.get('test_start_time')) ?? '') ?? FIRST_YEAR;
  run.fire('times.odd', start < FIRST_YEAR || (options.now !== undefined && start > options.now));
  const made = new Pieces();
  record.write(made);
  return { document: made.done(), rules: run.fired };
}

/** No probe measured before. */
const FIRST_YEAR = '2012';

/** 0.2.0 and later. */
function isNewFormat(node: Node | undefined): boolean {
  const [, major, minor] = /^(\d{1,9})(?:\.(\d{1,9}))?(?:\D|$)/.exec(textOf(node) ?? numberOf(node) ?? '') ?? [];
  return Number(major) > 0 || Number(minor) >= 2;
}

/** Members of `report` are the record's own, and win. */
function mergeReport(record: Obj, run: Run): void {
  for (let report = record.get('report'); isObject(report); report = record.get('report')) {
    run.fire('report.merged');
    record.delete('report');
    for (const [key, node] of objectOf(report)!.entries()) record.set(key, node);
  }
}

function giveReportId(record: Obj, run: Run): void {
  const known = record.get('report_id');
  if (!isNull(known) && textOf(known) !== '') return;
  const source = reportIdSource((name) => (record.has(name) ? jsonOf(record.get(name)!).toString() : undefined));
  const id = fabricateReportId(source);
  run.fire('report_id.made', record.set('report_id', id));
}

/** A record that was normalised before keeps its own where the row tells nothing. */
function tellOrigin(record: Obj, from: Origin, run: Run): void {
  const isDay = (text: string) => /^\d{4}-\d{2}-\d{2}$/.test(text) && dayForPath(text) !== undefined;
  const forms = {
    bucket_date: isDay,
    report_filename: (text: string) => isDay(text.slice(0, 10)) && /^\/[^/\0]+\.(?:json|yaml)$/.test(text.slice(10)),
  };
  for (const [key, isOfForm] of Object.entries(forms) as [keyof Origin, (text: string) => boolean][]) {
    const own = textOf(record.get(key));
    const told = from[key] ?? (own !== undefined && isOfForm(own) ? own : null);
    if (told !== null || record.has(key)) run.fire('origin', record.set(key, told));
  }
}

/** One and the same at every run: the first 16 bytes of the SHA-1 of the line, as a UUID is written. */
function giveId(record: Obj, document: Buffer, run: Run): void {
  if (isTruthy(record.get('id'))) return;
  run.fire('id.made', record.set('id', recordId(document)));
}

/** A record of a new format has its test_keys, or its members of the test at the top. */
function keepTestKeys(record: Obj, run: Run): void {
  if (isNull(record.get('test_keys')) && record.keys().some((key) => !IN_SCHEMA.has(key)))
    record.set('test_keys', moveIntoTestKeys(record, run));
}

/** Brings an old record into the shape of format 0.2.0. */
function raiseFormat(record: Obj, test: string, run: Run): void {
  const aside = normTimes(record, run);
  run.fire('format.raised', record.set('data_format_version', '0.2.0'));
  takeSubargs(record, run);
  const keys = moveIntoTestKeys(record, run);
  for (const [key, node] of aside) run.setAside(keys, key, node);
  testRules(test, record, keys, run);
  record.set('test_keys', keys);
}

/**
 * Old records have epochs: `start_time` of the report, and of the measurement a `test_start_time`.
 * @returns members that are no time, or whose place another took
 */
function normTimes(record: Obj, run: Run): [string, Node][] {
  const aside: [string, Node][] = [];
  const take = (key: string): { time?: string; isEpoch?: boolean } => {
    const node = record.get(key);
    const taken = timeOf(node);
    if (!taken && !isNull(node)) aside.push([key, node!]);
    return taken ?? {};
  };
  const [report, test, given] = [take('start_time'), take('test_start_time'), take('measurement_start_time')];
  const start = (test.isEpoch ? report.time : (test.time ?? report.time)) ?? EPOCH;
  const measured = test.isEpoch ? test.time! : ((test.time && given.time) ?? start);
  if (given.time !== undefined && given.time !== measured)
    aside.push(['measurement_start_time', record.get('measurement_start_time')!]);
  const changes = [
    record.delete('start_time'),
    record.set('test_start_time', start),
    record.set('measurement_start_time', measured),
  ];
  run.fire('times.utc', changes.includes(true));
  return aside;
}

const EPOCH = '1970-01-01 00:00:00';

/** A time in OONI's form, of a text or of seconds since the epoch. */
function timeOf(node: Node | undefined): { time: string; isEpoch: boolean } | undefined {
  const text = textOf(node) ?? '';
  const seconds = numberOf(node) ?? /^\d{9,12}(?:\.\d*)?$/.exec(text)?.[0];
  const time = seconds === undefined ? ooniTime(text) : ooniTimeOfEpoch(Number(seconds));
  return time === undefined ? undefined : { time, isEpoch: seconds !== undefined };
}

/** Of the options of old probes only what was given to the test itself is of interest. */
function takeSubargs(record: Obj, run: Run): void {
  const options = objectOf(record.get('options'));
  if (options) run.fire('options.subargs', record.set('options', options.get('subargs') ?? []));
}

/** Members that are not of the schema go to where those of the test are. */
function moveIntoTestKeys(record: Obj, run: Run): Obj {
  const given = record.get('test_keys');
  const keys = objectOf(given) ?? new Obj();
  if (!isObject(given) && !isNull(given)) run.setAside(keys, 'test_keys', given!);
  for (const key of record.keys()) {
    if (IN_SCHEMA.has(key)) continue;
    run.fire('test_keys.moved');
    const node = record.take(key)!;
    if (keys.has(key)) run.setAside(keys, key, node);
    else keys.set(key, node);
  }
  return keys;
}
