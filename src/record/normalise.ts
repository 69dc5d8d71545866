// One shape for what ten years of probes sent. A document of format 0.2.0 or later has it but for a few members,
// and keeps the bytes of all others; an older one is brought into it, rule by rule.
import { createHash } from 'node:crypto';
import {
  bytesOfDict,
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
import { fabricateReportId } from './reportid.ts';
import type { Provenance } from './rows.ts';
import { type RuleOptions, Run } from './rules/run.ts';
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
  /** Names of the rules that fired. */
  rules: string[];
}

/**
 * A document in the shape of data format 0.2.0.
 * @param document one JSON object on one line, checked
 * @param from where it came from, told by its row and not by itself
 * @throws JsonError, or Error for what is no object
 */
export function normalise(
  document: Buffer,
  from: Pick<Provenance, 'bucket_date' | 'report_filename'>,
  options: RuleOptions = {},
): Normalised {
  const record = objectOf(readDocument(document, 1));
  if (!record) throw new Error('not an object');
  const old = !isNewFormat(record.get('data_format_version'));
  // Of a YAML record `cat` writes the id first, which needs the raw bytes; no probe wrote one in those years.
  const run = new Run(options, old && record.keys()[0] === 'id');
  mergeReport(record, run);
  giveReportId(record, run); // of the name as the probe wrote it
  nameTest(record, run);
  tellOrigin(record, from, run);
  giveId(record, document, run);
  if (old) {
    const aside = normTimes(record, run);
    put(record, 'data_format_version', '0.2.0', run);
    takeSubargs(record, run);
    const keys = moveIntoTestKeys(record, run);
    for (const [key, node] of aside) setAside(keys, key, node, run);
    testRules(record, keys, run);
    record.set('test_keys', keys);
  } else if (isNull(record.get('test_keys')) && record.keys().some((key) => !IN_SCHEMA.has(key))) {
    record.set('test_keys', moveIntoTestKeys(record, run));
  }
  for (const key of SCHEMA) {
    if (record.has(key)) continue;
    run.fire('schema');
    record.set(key, null);
  }
  const pieces: Buffer[] = [];
  record.write(pieces);
  return { document: pieces, rules: run.fired };
}

/** 0.2.0 and later. */
function isNewFormat(node: Node | undefined): boolean {
  const [, major, minor] = /^(\d{1,9})\.(\d{1,9})(?:\D|$)/.exec(textOf(node) ?? numberOf(node) ?? '') ?? [];
  return major !== undefined && (Number(major) > 0 || Number(minor) >= 2);
}

/** Sets a member to a text, unless it has it. */
function put(record: Obj, key: string, text: string | null, run: Run): void {
  const known = record.get(key);
  if (text === null ? known !== undefined && isNull(known) : textOf(known) === text) return;
  run.fire(key);
  record.set(key, text);
}

/** Members of `report` are the record's own, and win. */
function mergeReport(record: Obj, run: Run): void {
  const report = record.get('report');
  if (!isObject(report)) return;
  run.fire('report');
  record.delete('report');
  for (const [key, node] of objectOf(report)!.entries()) record.set(key, node);
}

function nameTest(record: Obj, run: Run): void {
  put(record, 'test_name', canonicalTest(textOf(record.get('test_name')), run.compat), run);
}

/** A record that was normalised before keeps its own where the row tells nothing. */
function tellOrigin(record: Obj, from: Pick<Provenance, 'bucket_date' | 'report_filename'>, run: Run): void {
  const own = (key: string, form: RegExp) => {
    const text = textOf(record.get(key));
    return text !== undefined && form.test(text) ? text : null;
  };
  put(record, 'bucket_date', from.bucket_date ?? own('bucket_date', /^\d{4}-\d{2}-\d{2}$/), run);
  const name = from.report_filename ?? own('report_filename', /^\d{4}-\d{2}-\d{2}\/[^/\0]+\.(?:json|yaml)$/);
  put(record, 'report_filename', name, run);
}

function giveReportId(record: Obj, run: Run): void {
  const known = record.get('report_id');
  if (!isNull(known) && textOf(known) !== '') return;
  const fact = (key: string) => {
    const node = record.get(key);
    if (isNull(node)) return null;
    return textOf(node) ?? bytesOfDict(node) ?? jsonOf(node!);
  };
  const start = record.get('start_time');
  const id = fabricateReportId({
    start_time: Number(numberOf(start) ?? textOf(start) ?? 0),
    probe_cc: fact('probe_cc'),
    probe_asn: fact('probe_asn'),
    test_name: fact('test_name'),
    software_version: fact('software_version'),
    probe_city: fact('probe_city'),
  });
  put(record, 'report_id', id, run);
}

/** One and the same at every run: the first 16 bytes of the SHA-1 of the line, as a UUID is written. */
function giveId(record: Obj, document: Buffer, run: Run): void {
  if (isTruthy(record.get('id'))) return;
  put(record, 'id', uuidOf(createHash('sha1').update(document).digest()), run);
}

/** The first 16 bytes of a digest, written as a UUID; its version bits are none of RFC 4122's. */
export function uuidOf(digest: Buffer): string {
  return digest.toString('hex', 0, 16).replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

/**
 * Old records have epochs: `start_time` of the report, and of the measurement a `test_start_time`.
 * @returns members whose text was no time, or whose place another took
 */
function normTimes(record: Obj, run: Run): [string, Node][] {
  run.fire('times');
  const aside: [string, Node][] = [];
  const timeOf = (key: string): string | undefined => {
    const node = record.get(key);
    if (isNull(node)) return undefined;
    const text = textOf(node);
    const number = numberOf(node);
    const time =
      text !== undefined ? ooniTime(text) : number === undefined ? undefined : ooniTimeOfEpoch(Number(number));
    if (time === undefined) aside.push([key, node!]);
    return time;
  };
  const reportStart = timeOf('start_time') ?? '1970-01-01 00:00:00';
  record.delete('start_time');
  const isEpoch = numberOf(record.get('test_start_time')) !== undefined;
  const testStart = timeOf('test_start_time');
  const given = timeOf('measurement_start_time');
  const start = (isEpoch ? undefined : testStart) ?? reportStart;
  const measured = testStart === undefined ? start : isEpoch ? testStart : (given ?? start);
  if (given !== undefined && given !== measured)
    aside.push(['measurement_start_time', record.get('measurement_start_time')!]);
  record.set('test_start_time', start);
  record.set('measurement_start_time', measured);
  return aside;
}

/** Of the options of old probes only what was given to the test itself is of interest. */
function takeSubargs(record: Obj, run: Run): void {
  const options = objectOf(record.get('options'));
  if (!options) return;
  run.fire('options');
  record.set('options', options.get('subargs') ?? []);
}

/** Members that are not of the schema go to where those of the test are. */
function moveIntoTestKeys(record: Obj, run: Run): Obj {
  const given = record.get('test_keys');
  const keys = objectOf(given) ?? new Obj();
  if (!isObject(given) && !isNull(given)) setAside(keys, 'test_keys', given!, run);
  for (const key of record.keys()) {
    if (IN_SCHEMA.has(key)) continue;
    run.fire('test_keys');
    const node = record.take(key)!;
    if (keys.has(key)) setAside(keys, key, node, run);
    else keys.set(key, node);
  }
  return keys;
}

/** What has no place of its own any more is kept under a name with an underscore behind. */
function setAside(keys: Obj, key: string, node: Node, run: Run): void {
  let name = `${key}_`;
  while (keys.has(name)) name += '_';
  run.fire('set_aside');
  keys.set(name, node);
}
