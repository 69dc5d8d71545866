// YAML of old probes, through a safe schema: nothing is executed, whatever tag a document carries.
import { isUtf8 } from 'node:buffer';
import yaml from 'js-yaml';
import { ooniTime } from './times.ts';
import { type Mapping, readFast } from './yamlfast.ts';

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
  /^(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$/;
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

/** A timestamp in OONI's form and UTC; undefined for what is none or stands in no calendar, and so is text. */
const timestamp = (given: string) => (/[-+]\d{3,4}$/.test(given) ? undefined : ooniTime(given)); // a zone has a colon

/** No number is longer: reading one takes time that grows with the square of its digits. */
const LONGEST = 4300;

const isNull = (data: string) => data === '' || data === '~' || /^(?:null|Null|NULL)$/.test(data);
const isBool = (data: string) =>
  data.length <= 5 && /^(?:yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF)$/.test(data);
const isTrue = (data: string) => /^(?:yes|true|on)$/i.test(data);
/** Numbers and times begin with one of these: most text is told by its first character. */
const mayBeNumber = (data: string) => data.charCodeAt(0) < 0x3a && data.length <= LONGEST;
const isInt = (data: string) => mayBeNumber(data) && INT.test(data);
const isFloat = (data: string) => mayBeNumber(data) && FLOAT.test(data);
const isTime = (data: string) => mayBeNumber(data) && timestamp(data) !== undefined;

/** JSON text of a scalar without quotes and tag; undefined where it is text. */
function resolvePlain(data: string): string | undefined {
  if (isNull(data)) return 'null';
  if (isBool(data)) return String(isTrue(data));
  if (!mayBeNumber(data)) return undefined;
  if (isInt(data)) return integer(data).text;
  if (isFloat(data)) return float(data)?.text ?? 'null';
  const time = timestamp(data);
  return time === undefined ? undefined : JSON.stringify(time);
}

/** Tags of the document that is read which mean nothing here. */
let unknownTags = 0;

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

const unknown = (data: unknown) => {
  unknownTags++;
  return data;
};

const { types } = yaml as unknown as { types: Record<'null' | 'merge', yaml.Type> };
const SCHEMA = yaml.FAILSAFE_SCHEMA.extend({
  implicit: [
    types.null,
    scalar('bool', isBool, isTrue),
    scalar('int', isInt, integer),
    scalar('float', isFloat, float),
    scalar('timestamp', isTime, timestamp),
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
    ...anyTag('!', unknown),
    ...anyTag('tag:', unknown),
  ],
});

/** Types for every tag that begins so; the first that fits is taken. */
function anyTag(tag: string, construct: (data: unknown, kind: string) => unknown): yaml.Type[] {
  return (['scalar', 'sequence', 'mapping'] as const).map(
    (kind) => new yaml.Type(tag, { kind, multi: true, construct: (data: unknown) => construct(data, kind) }),
  );
}

interface Origin {
  line: number;
  offset: number;
}

const START: Origin = { line: 1, offset: 0 };

export interface YamlLimits {
  /** Deepest nesting, from 1 for the document itself. */
  maxDepth: number;
  /** Most bytes that may come of it, also by its aliases. */
  maxBytes: number;
  /** Where it begins in its file, for reasons: line from 1, byte from 0. */
  origin?: Origin;
}

/** More levels than any probe wrote, and than a stack surely has. */
const DEEPEST = 1000;

/** What a document is. */
export type YamlDocument =
  | ({ kind: 'mapping' } & Mapping)
  /** null, `''`, `{}`, `[]`: it says nothing. */
  | { kind: 'nothing'; what: string }
  | { kind: 'other'; what: string };

/**
 * One document of YAML. What it gives stands until the next one is read.
 * @param unknownTag called for each tag that means nothing here; the value under it stands
 * @throws Error with a reason: not UTF-8, not YAML, too deep or too large
 */
export function readYaml(text: Buffer, limits: YamlLimits, unknownTag?: (times: number) => void): YamlDocument {
  const maxBytes = limitOf(text.length, limits.maxBytes);
  const mapping = readFast(text, { resolve: resolvePlain, binary: binaryText, maxBytes, maxDepth: limits.maxDepth });
  if (mapping) return orNothing(mapping);
  const document = load(text, limits.maxDepth, limits.origin);
  if (unknownTags > 0) unknownTag?.(unknownTags);
  if (!isMapping(document)) return kindOf(document);
  return orNothing(new JsonWriter(maxBytes, limits.maxDepth).mapping(document));
}

const orNothing = (mapping: Mapping): YamlDocument =>
  mapping.members.length > 0 ? { kind: 'mapping', ...mapping } : { kind: 'nothing', what: 'an empty mapping' };

/** What a header says, for who needs no more than that: numbers where they are exact, bytes where they are no text. */
export type HeaderValue = string | number | boolean | null | Buffer | HeaderValue[] | { [name: string]: HeaderValue };

/**
 * The one mapping of a YAML document.
 * @throws Error with a reason: not UTF-8, not YAML, no mapping
 */
export function readYamlHeader(text: Buffer, origin?: Origin): Record<string, HeaderValue> {
  const document = load(text, DEEPEST, origin);
  if (!isMapping(document)) throw new Error(`not a mapping, but ${kindOf(document).what}`);
  repairNorway(document);
  return plain(document, { left: 1000 + 2 * text.length }) as Record<string, HeaderValue>;
}

/** @throws Error with a reason */
function load(text: Buffer, maxDepth: number, origin = START): unknown {
  if (!isUtf8(text)) throw new Error(`not UTF-8 at byte ${origin.offset + firstNotUtf8(text)}`);
  return loadAll(text.toString(), maxDepth, (source, options) => yaml.load(source, options), origin);
}

/** @throws Error with a reason */
function loadAll<T>(
  source: string,
  maxDepth: number,
  read: (source: string, options: yaml.LoadOptions) => T,
  origin = START,
): T {
  unknownTags = 0;
  const levels = Math.min(maxDepth, DEEPEST);
  try {
    // `json`: of doubles the last, as in JSON and in Python's reader. The writer counts levels exactly.
    return read(source, { schema: SCHEMA, json: true, maxDepth: levels + 2 } as yaml.LoadOptions);
  } catch (error) {
    const { reason, mark, message } = error as yaml.YAMLException;
    if (error instanceof RangeError || reason?.startsWith('nesting'))
      throw new Error(`not YAML: nesting deeper than ${levels} levels`);
    throw new Error(
      `not YAML: ${(reason ?? message).slice(0, 200)}${mark ? ` at line ${origin.line + mark.line}` : ''}`,
    );
  }
}

const tooDeep = (levels: number) => new Error(`YAML nested deeper than ${levels} levels`);

/** Written out, text grows by a small factor (`{a}` is `{"a":null}`); only aliases unfold to more. */
const limitOf = (length: number, maxBytes: number) => Math.min(maxBytes, 1_000_000 + 20 * length);

function firstNotUtf8(text: Buffer): number {
  /** Bytes of whole characters in the first `end`: a character that is cut there has at most three. */
  const whole = (end: number) => [0, 1, 2, 3].map((cut) => end - cut).find((at) => isUtf8(text.subarray(0, at)));
  let from = 0;
  let to = text.length;
  while (from < to) {
    const middle = (from + to + 1) >> 1;
    if (whole(middle) === undefined) to = middle - 1;
    else from = middle;
  }
  return whole(from)!;
}

function isMapping(doc: unknown): doc is Record<string, unknown> {
  return (
    typeof doc === 'object' && doc !== null && !Array.isArray(doc) && Object.getPrototypeOf(doc) === Object.prototype
  );
}

function kindOf(document: unknown): Exclude<YamlDocument, { kind: 'mapping' }> {
  if (document === null || document === undefined) return { kind: 'nothing', what: 'null' };
  if (document === '') return { kind: 'nothing', what: 'an empty text' };
  const list = Array.isArray(document) ? document : document instanceof SortedSet ? document.items : undefined;
  if (list) return list.length > 0 ? { kind: 'other', what: 'a list' } : { kind: 'nothing', what: 'an empty list' };
  return isMapping(document) ? { kind: 'other', what: 'a mapping' } : { kind: 'other', what: 'a scalar' };
}

/** @param budget values that may come of it: a few hundred bytes of aliases can unfold into gigabytes */
function plain(value: unknown, budget: { left: number }, depth = 1): HeaderValue {
  if (budget.left-- <= 0) throw new Error('YAML unfolds to too many values');
  if (depth > DEEPEST) throw tooDeep(DEEPEST);
  if (value instanceof NumberText) {
    const number = Number(value.text);
    return Number.isInteger(number) && !Number.isSafeInteger(number) ? value.text : number;
  }
  if (value instanceof ByteString) return isUtf8(value.bytes) ? value.bytes.toString() : value.bytes;
  if (value instanceof SortedSet) return [...value.items].sort();
  if (Array.isArray(value)) return value.map((item) => plain(item, budget, depth + 1));
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value).map(([key, item]) => [key, plain(item, budget, depth + 1)] as const);
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
export function yamlPostToJson(source: string, { maxBytes, maxDepth }: YamlLimits): Buffer {
  const documents: Record<string, unknown>[] = [];
  const take = (doc: unknown) => {
    const full = isMapping(doc) && (documents.length === 0 || Object.keys(doc).length > 0);
    if (full && documents.length < 2) documents.push(doc);
  };
  loadAll(source, maxDepth, (text, options) => yaml.loadAll(text, take, options));
  const [header, entry] = documents;
  if (!header) throw new Error('YAML without a mapping');
  const record = entry ? merge(header, entry) : header;
  repairNorway(record);
  return new JsonWriter(limitOf(source.length, maxBytes), maxDepth).value(record);
}

function merge(header: Record<string, unknown>, entry: Record<string, unknown>): Record<string, unknown> {
  const kept = new Map(Object.entries(header));
  if (kept.has('test_start_time') && Object.hasOwn(entry, 'test_start_time')) kept.delete('test_start_time');
  return Object.fromEntries([...Object.entries(entry), ...kept]);
}

/** JSON text of bytes: text where they are UTF-8, else a base64 dict. */
function binaryText(base64: string): string {
  const bytes = Buffer.from(base64, 'base64');
  return isUtf8(bytes) ? JSON.stringify(bytes.toString()) : `{"format":"base64","data":"${bytes.toString('base64')}"}`;
}

/** JSON without white space. Bytes that are no UTF-8 become base64 dicts, sets sorted arrays. */
class JsonWriter {
  #maxBytes: number;
  #maxDepth: number;
  #out: Buffer[] = [];
  #size = 0;
  #waiting = '';

  constructor(maxBytes: number, maxDepth: number) {
    this.#maxBytes = maxBytes;
    this.#maxDepth = Math.min(maxDepth, DEEPEST);
  }

  /** @throws Error when it is too large or too deep */
  value(value: unknown): Buffer {
    this.#write(value, 1);
    this.#flush();
    return Buffer.concat(this.#out);
  }

  /** The same, with the places of its members. */
  mapping(value: Record<string, unknown>): Mapping {
    const members: Mapping['members'] = [];
    for (const [name, item] of Object.entries(value)) {
      this.#put(`${members.length > 0 ? ',' : '{'}${JSON.stringify(name)}:`);
      this.#flush();
      const start = this.#size;
      this.#write(item, 2);
      this.#flush();
      members.push({ name, start, end: this.#size });
    }
    this.#put('}');
    this.#flush();
    return { json: Buffer.concat(this.#out), members };
  }

  #flush(): void {
    const bytes = Buffer.from(this.#waiting);
    this.#waiting = '';
    this.#size += bytes.length;
    if (this.#size > this.#maxBytes) throw new Error(`YAML unfolds to more than ${this.#maxBytes} bytes`);
    this.#out.push(bytes);
  }

  // A few hundred bytes of aliases can unfold into gigabytes: the size of what is written is the limit.
  #put(text: string): void {
    this.#waiting += text;
    if (this.#waiting.length >= 65536) this.#flush();
  }

  #write(value: unknown, depth: number): void {
    if (value instanceof NumberText) this.#put(value.text);
    else if (value instanceof ByteString) this.#put(binaryText(value.bytes.toString('base64')));
    else if (value instanceof SortedSet) this.#write([...value.items].sort(), depth);
    else if (typeof value !== 'object' || value === null) this.#put(JSON.stringify(value ?? null));
    else if (depth > this.#maxDepth) throw tooDeep(this.#maxDepth);
    else if (Array.isArray(value)) {
      this.#put('[');
      value.forEach((item, i) => {
        if (i > 0) this.#put(',');
        this.#write(item, depth + 1);
      });
      this.#put(']');
    } else {
      this.#put('{');
      Object.entries(value).forEach(([key, item], i) => {
        this.#put(`${i > 0 ? ',' : ''}${JSON.stringify(key)}:`);
        this.#write(item, depth + 1);
      });
      this.#put('}');
    }
  }
}
