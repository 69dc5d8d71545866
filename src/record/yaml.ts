// YAML of old probes, through a safe schema: nothing is executed, whatever tag a document carries.
import { isUtf8 } from 'node:buffer';
import yaml from 'js-yaml';
import { timeOf } from './names.ts';

/** A number as JSON text: as the probe wrote it where that is JSON already. */
class NumberText {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
  /** What js-yaml makes of a key: its own tag keeps it from being `[object Object]`. */
  toString(): string {
    return this.text;
  }
  get [Symbol.toStringTag](): string {
    return 'NumberText';
  }
}

class ByteString {
  readonly bytes: Buffer;
  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }
  /** As a key: text, or base64 where the bytes are none. */
  toString(): string {
    return this.bytes.toString(isUtf8(this.bytes) ? 'utf8' : 'base64');
  }
  get [Symbol.toStringTag](): string {
    return 'ByteString';
  }
}

class SortedSet {
  readonly items: string[];
  constructor(items: string[]) {
    this.items = items;
  }
}

// Scalars are those of YAML 1.1 as Python wrote them, not those of js-yaml, which reads 1.2: `017` is 15,
// `1:30` is 90, `1e3` is text, and `yes` is true.
const INT =
  /^[-+]?(?:0b_*[01][01_]*|0o?_*[0-7][0-7_]*|0x_*[0-9a-fA-F][0-9a-fA-F_]*|(?:0|[1-9][0-9_]*)|[1-9][0-9_]*(?::[0-5]?[0-9])+)$/;
const FLOAT =
  /^(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|[-+]?\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$/;
const JSON_NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;

function integer(given: string): NumberText {
  if (JSON_NUMBER.test(given)) return new NumberText(given);
  const minus = given.startsWith('-');
  const digits = given.replace(/^[-+]/, '').replaceAll('_', '');
  const value = digits.includes(':')
    ? digits.split(':').reduce((sum, part) => sum * 60n + BigInt(part), 0n)
    : BigInt(/^0[0-7]/.test(digits) ? `0o${digits}` : digits);
  return new NumberText((minus ? -value : value).toString());
}

function float(given: string): NumberText | null {
  if (JSON_NUMBER.test(given)) return new NumberText(given);
  const minus = given.startsWith('-') ? '-' : '';
  const digits = given.replace(/^[-+]/, '').replaceAll('_', '');
  if (/^\.[a-zA-Z]/.test(digits)) return null; // NaN and infinities have no JSON
  if (digits.includes(':')) {
    const value = digits.split(':').reduce((sum, part) => sum * 60 + Number(part), 0);
    return Number.isFinite(value) ? new NumberText(`${minus}${value}`) : null;
  }
  // `.5`, `1.`, `00.5`: the digits stay, JSON's missing ones are put in and the others left out.
  const [, whole, fraction, exponent] = /^0*(\d*)\.(\d*)(.*)$/.exec(digits)!;
  return new NumberText(`${minus}${whole || '0'}.${fraction || '0'}${exponent}`);
}

const DATE = /^(\d{4})-(\d\d)-(\d\d)$/;
const TIMESTAMP =
  /^(\d{4})-(\d\d?)-(\d\d?)(?:[Tt]|[ \t]+)(\d\d?):(\d\d):(\d\d)(?:\.\d*)?(?:[ \t]*(?:Z|([-+])(\d\d?)(?::(\d\d))?))?$/;

/** A timestamp in OONI's form and UTC; undefined for what is none or stands in no calendar, and so is text. */
function timestamp(given: string): string | undefined {
  const [, year, month, day, hour = '0', minute = '0', second = '0', sign, offHour = '0', offMinute = '0'] =
    DATE.exec(given) ?? TIMESTAMP.exec(given) ?? [];
  if (year === undefined) return undefined;
  const two = (digits: string) => digits.padStart(2, '0');
  const local = timeOf([year, month!, day!, hour, minute, second].map(two).join(''));
  if (local === undefined) return undefined;
  const offset = (Number(offHour) * 60 + Number(offMinute)) * 60_000;
  const iso = new Date(local + (sign === '-' ? offset : sign === '+' ? -offset : 0)).toISOString();
  return /^\d{4}-/.test(iso) ? iso.slice(0, 19).replace('T', ' ') : undefined;
}

/** No number is longer: reading one takes time that grows with the square of its digits. */
const LONGEST = 4300;
const isText = (data: unknown): data is string => typeof data === 'string';

const scalar = (name: string, resolve: (data: string) => boolean, construct: (data: string) => unknown) =>
  new yaml.Type(`tag:yaml.org,2002:${name}`, {
    kind: 'scalar',
    resolve: (data: unknown) => isText(data) && resolve(data),
    construct,
  });

const text = (name: string) =>
  new yaml.Type(`tag:yaml.org,2002:${name}`, {
    kind: 'scalar',
    resolve: () => true,
    construct: (data: string | null) => data ?? '',
  });

const { types } = yaml as unknown as { types: Record<'null' | 'merge', yaml.Type> };
const SCHEMA = yaml.FAILSAFE_SCHEMA.extend({
  implicit: [
    types.null,
    scalar(
      'bool',
      (data) => /^(?:yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF)$/.test(data),
      (data) => /^(?:yes|true|on)$/i.test(data),
    ),
    scalar('int', (data) => data.length <= LONGEST && INT.test(data), integer),
    scalar('float', (data) => data.length <= LONGEST && FLOAT.test(data), float),
    scalar('timestamp', (data) => timestamp(data) !== undefined, timestamp),
    types.merge,
  ],
  explicit: [
    new yaml.Type('tag:yaml.org,2002:binary', {
      kind: 'scalar',
      resolve: (data: unknown) => data === null || isText(data),
      construct: (data: string | null) => new ByteString(Buffer.from(data ?? '', 'base64')),
    }),
    new yaml.Type('tag:yaml.org,2002:set', {
      kind: 'mapping',
      construct: (data: object | null) => new SortedSet(Object.keys(data ?? {})),
    }),
    text('python/unicode'),
    text('python/str'),
    scalar(
      'python/long',
      (data) => data.length <= LONGEST && /^-?[0-9]+L?$/.test(data),
      (data) => integer(data.replace(/L$/, '')),
    ),
    new yaml.Type('tag:yaml.org,2002:python/tuple', {
      kind: 'sequence',
      construct: (data: unknown[] | null) => data ?? [],
    }),
    // A Python object is its mapping, or null; of any other tag only the value counts. Nothing is executed.
    ...anyTag('tag:yaml.org,2002:python/object', (data, kind) => (kind === 'mapping' ? data : null)),
    ...anyTag('!', (data) => data),
    ...anyTag('tag:', (data) => data),
  ],
});

/** Types for every tag that begins so; the first that fits is taken. */
function anyTag(tag: string, construct: (data: unknown, kind: string) => unknown): yaml.Type[] {
  return (['scalar', 'sequence', 'mapping'] as const).map(
    (kind) => new yaml.Type(tag, { kind, multi: true, construct: (data: unknown) => construct(data, kind) }),
  );
}

/** What a header says, for who needs no more than that: numbers as they print, bytes where they are no text. */
export type HeaderValue = string | number | boolean | null | Buffer | HeaderValue[] | { [name: string]: HeaderValue };

/**
 * The one mapping of a YAML document.
 * @throws Error with a reason: not UTF-8, not YAML, no mapping
 */
export function readYamlHeader(text: Buffer): Record<string, HeaderValue> {
  const document = readDocument(text);
  if (!isMapping(document)) throw new Error(`not a mapping, but ${kindOf(document)}`);
  repairNorway(document);
  return plain(document, 0, { left: 1000 + 2 * text.length }) as Record<string, HeaderValue>;
}

/** @throws Error with a reason */
function readDocument(text: Buffer): unknown {
  if (!isUtf8(text)) throw new Error('not UTF-8');
  try {
    return yaml.load(text.toString(), { schema: SCHEMA, json: true });
  } catch (error) {
    throw new Error(reasonOf(error as yaml.YAMLException));
  }
}

function reasonOf({ reason, mark, message }: yaml.YAMLException): string {
  return `not YAML: ${(reason ?? message).slice(0, 200)}${mark ? ` at line ${mark.line + 1}` : ''}`;
}

function kindOf(document: unknown): string {
  if (document === null || document === undefined) return 'null';
  return Array.isArray(document) ? 'a list' : 'a scalar';
}

/** @param budget values that may come of it: a few hundred bytes of aliases can unfold into gigabytes */
function plain(value: unknown, depth: number, budget: { left: number }): HeaderValue {
  if (depth >= 500) throw new Error('YAML nested deeper than 500 levels');
  if (budget.left-- <= 0) throw new Error('YAML unfolds to too many values');
  if (value instanceof NumberText) {
    const number = Number(value.text);
    return Number.isInteger(number) && !Number.isSafeInteger(number) ? value.text : number;
  }
  if (value instanceof ByteString) return isUtf8(value.bytes) ? value.bytes.toString() : value.bytes;
  if (value instanceof SortedSet) return [...value.items].sort();
  if (Array.isArray(value)) return value.map((item) => plain(item, depth + 1, budget));
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value).map(([key, item]) => [key, plain(item, depth + 1, budget)] as const);
    return Object.fromEntries(members);
  }
  return (value ?? null) as HeaderValue;
}

/**
 * Country NO without quotes is false in YAML 1.1: said here for the one field that holds a country.
 */
function repairNorway(record: Record<string, unknown>): void {
  if (record.probe_cc === false) record.probe_cc = 'NO';
}

/**
 * The one measurement in the YAML text of a post: the first mapping; with several documents, the header
 * merged into the first entry that holds anything, the header winning (a start time of its own stays with the entry).
 * @returns JSON text, one line
 * @throws Error with a reason: not YAML, no mapping, or larger than `maxBytes` after its aliases
 */
export function yamlPostToJson(source: string, maxBytes: number): Buffer {
  const documents: Record<string, unknown>[] = [];
  try {
    const take = (doc: unknown) => {
      const full = isMapping(doc) && (documents.length === 0 || Object.keys(doc).length > 0);
      if (full && documents.length < 2) documents.push(doc);
    };
    yaml.loadAll(source, take, {
      schema: SCHEMA,
      json: true, // of doubles the last, as in JSON and in Python's reader
    });
  } catch (error) {
    throw new Error(reasonOf(error as yaml.YAMLException));
  }
  const [header, entry] = documents;
  if (!header) throw new Error('YAML without a mapping');
  const record = entry ? merge(header, entry) : header;
  repairNorway(record);
  // Written out, text grows by a small factor (`{a}` is `{"a":null}`); only aliases unfold to more.
  return writeJson(record, Math.min(maxBytes, 1_000_000 + 20 * source.length));
}

function merge(header: Record<string, unknown>, entry: Record<string, unknown>): Record<string, unknown> {
  const kept = new Map(Object.entries(header));
  if (kept.has('test_start_time') && Object.hasOwn(entry, 'test_start_time')) kept.delete('test_start_time');
  return Object.fromEntries([...Object.entries(entry), ...kept]);
}

function isMapping(doc: unknown): doc is Record<string, unknown> {
  return (
    typeof doc === 'object' && doc !== null && !Array.isArray(doc) && Object.getPrototypeOf(doc) === Object.prototype
  );
}

/** JSON without white space. Bytes that are no UTF-8 become base64 dicts, sets sorted arrays. */
function writeJson(root: unknown, maxBytes: number): Buffer {
  const out: Buffer[] = [];
  let size = 0;
  let waiting = '';
  const flush = () => {
    const bytes = Buffer.from(waiting);
    waiting = '';
    size += bytes.length;
    if (size > maxBytes) throw new Error(`YAML unfolds to more than ${maxBytes} bytes`);
    out.push(bytes);
  };
  // A few hundred bytes of aliases can unfold into gigabytes: the size of what is written is the limit.
  const put = (text: string) => {
    waiting += text;
    if (waiting.length >= 65536) flush();
  };
  const write = (value: unknown, depth: number): void => {
    if (depth >= 500) throw new Error('YAML nested deeper than 500 levels');
    if (value instanceof NumberText) put(value.text);
    else if (value instanceof ByteString) {
      if (isUtf8(value.bytes)) put(JSON.stringify(value.bytes.toString()));
      else put(`{"format":"base64","data":"${value.bytes.toString('base64')}"}`);
    } else if (value instanceof SortedSet) write([...value.items].sort(), depth);
    else if (Array.isArray(value)) {
      put('[');
      value.forEach((item, i) => {
        if (i > 0) put(',');
        write(item, depth + 1);
      });
      put(']');
    } else if (typeof value === 'object' && value !== null) {
      put('{');
      Object.entries(value).forEach(([key, item], i) => {
        put(`${i > 0 ? ',' : ''}${JSON.stringify(key)}:`);
        write(item, depth + 1);
      });
      put('}');
    } else put(JSON.stringify(value ?? null));
  };
  write(root, 0);
  flush();
  return Buffer.concat(out, size);
}
