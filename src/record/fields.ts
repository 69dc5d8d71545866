// What a measurement tells, by name: the usual fields under short names of one form, any other member by its path.
import { member, readJson, stringOf, type Value } from './json.ts';
import { type MeasurementRow, ROW_DEPTH } from './rows.ts';
import { canonicalTest } from './testnames.ts';
import { ooniTime } from './times.ts';

/** How a field is written where values have types. `any` is what stands there: text, or the JSON of anything else. */
export const KINDS = ['any', 'text', 'int', 'float', 'bool', 'time', 'json'] as const;
export type Kind = (typeof KINDS)[number];

/** A number, list or object as it stands in the document. */
export class Literal {
  readonly json: string;
  readonly isNumber: boolean;
  constructor(json: string, isNumber: boolean) {
    this.json = json;
    this.isNumber = isNumber;
  }
}

/** Milliseconds since the epoch. */
export class Moment {
  readonly time: number;
  constructor(time: number) {
    this.time = time;
  }
  toString(): string {
    return new Date(this.time).toISOString().replace('.000Z', 'Z');
  }
}

/** Null too where there is no such member, or none that fits. */
export type Cell = null | string | boolean | Literal | Moment;

export interface Field {
  /** As it was asked for: the name of its column. */
  name: string;
  kind: Kind;
  /** Names of members, from the top of the document on; digits count the items of a list. Empty for what `cat` knew. */
  path: readonly string[];
  /** Of a usual field: its one form. */
  form?: Form;
}

/** How values of a usual field are read and compared. */
export type Form = 'origin' | 'cc' | 'asn' | 'test' | 'domain' | 'version' | 'time';

const ORIGIN = ['measurement_uid', 'bucket_date', 'report_filename'] as const;

const usual = (kind: Kind, path: string, form?: Form): Omit<Field, 'name'> => ({
  kind,
  path: path.split('.'),
  ...(form && { form }),
});

/** Name → what it stands for. */
const USUAL: Readonly<Record<string, Omit<Field, 'name'>>> = {
  measurement_uid: { kind: 'text', path: [], form: 'origin' },
  bucket_date: { kind: 'text', path: [], form: 'origin' },
  report_filename: { kind: 'text', path: [], form: 'origin' },
  report_id: usual('text', 'report_id'),
  time: usual('time', 'measurement_start_time', 'time'),
  cc: usual('text', 'probe_cc', 'cc'),
  asn: usual('int', 'probe_asn', 'asn'),
  resolver_asn: usual('int', 'resolver_asn', 'asn'),
  test: usual('text', 'test_name', 'test'),
  input: usual('any', 'input'),
  domain: usual('text', 'input', 'domain'),
  software: usual('text', 'software_name'),
  software_version: usual('text', 'software_version', 'version'),
  platform: usual('text', 'annotations.platform'),
  runtime: usual('float', 'test_runtime'),
  anomaly: usual('bool', 'anomaly'),
  confirmed: usual('bool', 'confirmed'),
  failure: usual('any', 'test_keys.failure'),
  blocking: usual('any', 'test_keys.blocking'),
  accessible: usual('bool', 'test_keys.accessible'),
};

export const USUAL_NAMES: readonly string[] = Object.keys(USUAL);

/** The columns of a table for which nobody named any. */
export const DEFAULT_FIELDS =
  'measurement_uid,report_id,time,cc,asn,test,input,domain,software,software_version,failure,blocking,accessible'.split(
    ',',
  );

const DEEPEST = 50;

/** A usual field, or a path. @throws Error */
export function fieldOf(name: string): Field {
  if (Object.hasOwn(USUAL, name)) return { name, ...USUAL[name]! };
  const path = name.split('.');
  if (path.includes('')) throw new Error(`'${name}' is no path: a name is empty`);
  if (path.length > DEEPEST) throw new Error(`a path of more than ${DEEPEST} names`);
  return { name, kind: 'any', path };
}

/** A field of `--fields`, `PATH` or `PATH:KIND`. @throws Error */
export function columnOf(given: string): Field {
  const colon = given.lastIndexOf(':');
  if (colon === -1) return fieldOf(given);
  const kind = KINDS.find((known) => known === given.slice(colon + 1));
  if (!kind) throw new Error(`'${given}': a kind is one of ${KINDS.join(', ')}`);
  const name = given.slice(0, colon);
  return { ...fieldOf(name), kind };
}

/** Reads the fields of documents: once over each, and only members that are asked for become objects. */
export class FieldReader {
  /** What is to be recorded of a document. */
  readonly recorded: { keep: number; names: readonly string[]; items: number };

  constructor(fields: readonly Field[]) {
    const names = [...new Set(fields.flatMap(({ path }) => path))];
    const counts = names.filter(isIndex).map((name) => Number(name) + 1);
    const keep = Math.max(1, ...fields.map(({ path }) => path.length));
    this.recorded = { keep, names, items: Math.max(0, ...counts) };
  }

  /**
   * @param value the document, where that was recorded already
   * @throws JsonError where the document is none
   */
  read(row: MeasurementRow, value?: Value): Fields {
    return new Fields(row, value ?? readJson(row.document, { maxDepth: ROW_DEPTH, ...this.recorded }).value);
  }
}

/** Of an item of a list: of the first thousand. */
function isIndex(name: string): boolean {
  return /^(?:0|[1-9]\d{0,2})$/.test(name);
}

/** The fields of one document. */
export class Fields {
  readonly row: MeasurementRow;
  readonly #top: Value;
  constructor(row: MeasurementRow, top: Value) {
    this.row = row;
    this.#top = top;
  }

  /** A field in the form that it has in tables and comparisons. */
  cell(field: Field): Cell {
    const { form } = field;
    if (form === 'origin') return this.row[field.name as (typeof ORIGIN)[number]];
    const value = this.#value(field);
    if (!value || value.type === 'null') return null;
    const { document } = this.row;
    if (form === undefined || form === 'version') return cellOf(document, value, field.kind);
    return formed(form, stringOf(document, value));
  }

  /** JSON of a field: the document's own bytes, but for fields that have a form. */
  json(field: Field): string {
    const { form, kind } = field;
    if ((form === undefined || form === 'version') && (kind === 'any' || kind === 'json')) {
      const value = this.#value(field);
      return value ? this.row.document.toString('utf8', value.start, value.end) : 'null';
    }
    const cell = this.cell(field);
    if (cell instanceof Literal) return cell.json;
    return JSON.stringify(cell instanceof Moment ? cell.toString() : cell);
  }

  #value({ path }: Field): Value | undefined {
    let value: Value | undefined = this.#top;
    for (const name of path) {
      if (value?.items) value = isIndex(name) ? value.items[Number(name)] : undefined;
      else value = value && member(value, name);
    }
    return value;
  }
}

function formed(form: Form, text: string | undefined): Cell {
  if (text === undefined) return null;
  switch (form) {
    case 'cc':
      return /^[A-Za-z]{2}$/.test(text) ? text.toUpperCase() : null;
    case 'asn':
      return asnOf(text);
    case 'test':
      return canonicalTest(text);
    case 'domain':
      return domainOf(text);
    default:
      return momentOf(text);
  }
}

/** `AS30722` or `30722`. */
export function asnOf(text: string): Literal | null {
  const [, digits] = /^(?:AS)?0*(\d{1,10})$/i.exec(text) ?? [];
  return digits !== undefined && Number(digits) < 2 ** 32 ? new Literal(digits, true) : null;
}

function momentOf(text: string): Moment | null {
  const known = ooniTime(text);
  return known === undefined ? null : new Moment(Date.parse(`${known.replace(' ', 'T')}Z`));
}

/** The host of a URL, `host:port` or a host, in lower case; null for what names none, or an address in brackets without them. */
export function domainOf(input: string): string | null {
  const [, authority = input] = /^[a-z][a-z0-9+.-]*:\/\/([^/?#\\]*)/i.exec(input) ?? [];
  const host = authority.slice(authority.lastIndexOf('@') + 1);
  const [, address] = /^\[([0-9a-f:.]+(?:%[^\]]*)?)\](?::\d*)?$/i.exec(host) ?? [];
  if (address !== undefined) return address.toLowerCase();
  const [, name] = /^([^\s:/?#[\]@,;|"'<>]{1,253}?)\.?(?::\d*)?$/.exec(host) ?? [];
  return name?.toLowerCase() ?? null;
}

/** A value as one of a kind; null where it is none. */
function cellOf(document: Buffer, value: Value, kind: Kind): Cell {
  const { type, start, end } = value;
  const json = () => document.toString('utf8', start, end);
  if (kind === 'json') return new Literal(json(), type === 'number');
  if (type === 'string') return fit(stringOf(document, value)!, kind);
  if (type === 'true' || type === 'false') {
    if (kind === 'any' || kind === 'bool') return type === 'true';
    return kind === 'text' ? type : null;
  }
  if (kind === 'text') return json();
  if (kind === 'any') return new Literal(json(), type === 'number');
  return type === 'number' ? fit(json(), kind) : null;
}

/** A text, or that of a number, as one of a kind. */
function fit(text: string, kind: Kind): Cell {
  switch (kind) {
    case 'int':
      return /^-?(?:0|[1-9]\d{0,17})$/.test(text) ? new Literal(text, true) : null;
    case 'float':
      return /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/.test(text) ? new Literal(text, true) : null;
    case 'bool':
      return text === 'true' || text === 'false' ? text === 'true' : null;
    case 'time':
      return momentOf(text);
    default:
      return text;
  }
}

/** What a cell says, for texts. */
export function textOfCell(cell: Exclude<Cell, null>): string {
  return cell instanceof Literal ? cell.json : String(cell);
}
