// YAML of old probes, through a safe schema: nothing is executed, whatever tag a document carries.
import { isUtf8 } from 'node:buffer';
import yaml from 'js-yaml';

/** A number whose text is JSON already, and stays as the probe wrote it. */
class NumberText {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

class ByteString {
  readonly bytes: Buffer;
  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }
}

class SortedSet {
  readonly items: unknown[];
  constructor(items: unknown[]) {
    this.items = items;
  }
}

const JSON_NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;

/** A scalar type that takes numbers in JSON's own form before js-yaml rounds them. */
const exactNumber = (tag: string, form: RegExp) =>
  new yaml.Type(tag, {
    kind: 'scalar',
    resolve: (data: unknown) => typeof data === 'string' && form.test(data) && JSON_NUMBER.test(data),
    construct: (data: string) => new NumberText(data),
  });

const text = (tag: string) =>
  new yaml.Type(tag, { kind: 'scalar', resolve: () => true, construct: (data: string | null) => data ?? '' });

/** Numbers of YAML 1.1 that JSON writes in another way are left to js-yaml: octal, hex, underscores, `.nan`. */
const { types } = yaml as unknown as { types: Record<string, yaml.Type> };
const SCHEMA = yaml.FAILSAFE_SCHEMA.extend({
  implicit: [
    exactNumber('tag:cannery,2024:int', /^[-0-9]+$/),
    exactNumber('tag:cannery,2024:float', /^[-0-9].*[.eE]/),
    // YAML 1.1 words that js-yaml, a reader of 1.2, takes for text.
    new yaml.Type('tag:cannery,2024:bool', {
      kind: 'scalar',
      resolve: (data: unknown) =>
        typeof data === 'string' && /^(?:yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF)$/.test(data),
      construct: (data: string) => /^(?:yes|on)$/i.test(data),
    }),
    ...['null', 'bool', 'int', 'float', 'timestamp', 'merge'].map((name) => types[name]!),
  ],
  explicit: [
    new yaml.Type('tag:yaml.org,2002:binary', {
      kind: 'scalar',
      resolve: (data: unknown) => data === null || typeof data === 'string',
      construct: (data: string | null) => new ByteString(Buffer.from(data ?? '', 'base64')),
    }),
    new yaml.Type('tag:yaml.org,2002:set', {
      kind: 'mapping',
      construct: (data: object | null) => new SortedSet(Object.keys(data ?? {})),
    }),
    text('tag:yaml.org,2002:python/unicode'),
    text('tag:yaml.org,2002:python/str'),
    new yaml.Type('tag:yaml.org,2002:python/long', {
      kind: 'scalar',
      resolve: (data: unknown) => typeof data === 'string' && /^-?[0-9]+L?$/.test(data),
      construct: (data: string) => new NumberText(BigInt(data.replace(/L$/, '')).toString()),
    }),
    new yaml.Type('tag:yaml.org,2002:python/tuple', {
      kind: 'sequence',
      construct: (data: unknown[] | null) => data ?? [],
    }),
  ],
});

/**
 * Country NO without quotes is false in YAML 1.1: said here for the one field that holds a country.
 */
function repairNorway(record: Record<string, unknown>): void {
  if (record.probe_cc === false) record.probe_cc = 'NO';
}

/**
 * The one measurement in the YAML text of a post: the first mapping; with several documents, the header
 * merged into the first entry, the header winning (a start time of its own stays with the entry).
 * @returns JSON text, one line
 * @throws Error with a reason: not YAML, no mapping, or larger than `maxBytes` after its aliases
 */
export function yamlPostToJson(source: string, maxBytes: number): Buffer {
  const documents: Record<string, unknown>[] = [];
  try {
    yaml.loadAll(source, (doc) => void (isMapping(doc) && documents.length < 2 && documents.push(doc)), {
      schema: SCHEMA,
    });
  } catch (error) {
    const mark = (error as yaml.YAMLException).mark;
    throw new Error(`not YAML: ${(error as yaml.YAMLException).reason}${mark ? ` at line ${mark.line + 1}` : ''}`);
  }
  const [header, entry] = documents;
  if (!header) throw new Error('YAML without a mapping');
  const record = entry ? merge(header, entry) : header;
  repairNorway(record);
  return writeJson(record, maxBytes);
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
  const out: string[] = [];
  let size = 0;
  // A few hundred bytes of aliases can unfold into gigabytes: the size of what is written is the limit.
  const put = (text: string) => {
    size += text.length;
    if (size > maxBytes) throw new Error(`YAML unfolds to more than ${maxBytes} bytes`);
    out.push(text);
  };
  const write = (value: unknown, depth: number): void => {
    if (depth > 500) throw new Error('YAML nested deeper than 500 levels');
    if (value instanceof NumberText) put(value.text);
    else if (value instanceof ByteString) {
      if (isUtf8(value.bytes)) put(JSON.stringify(value.bytes.toString()));
      else put(`{"format":"base64","data":"${value.bytes.toString('base64')}"}`);
    } else if (value instanceof SortedSet) write([...value.items].sort(), depth);
    else if (value instanceof Date) put(JSON.stringify(value.toISOString().slice(0, 19).replace('T', ' ')));
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
    } else put(JSON.stringify(value ?? null)); // NaN and infinities have no JSON: null
  };
  write(root, 0);
  return Buffer.from(out.join(''));
}
