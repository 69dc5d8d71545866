// The YAML that Python's emitter writes, and so every ooniprobe, straight from bytes to JSON: several times as fast as a
// reader of all YAML. It takes only what surely means the same to that reader and gives up on the rest, which is a
// matter of speed, never of result (a test compares the two). What reads is WebAssembly (yaml.as.ts); here is what it asks for.
import { isUtf8 } from 'node:buffer';
import code from '../wasm/yaml.wasm';

/** A mapping as JSON text, and where in it the values of its members stand. No name comes twice. */
export interface Mapping {
  json: Buffer;
  members: Member[];
}

export interface Member {
  name: string;
  start: number;
  end: number;
}

export interface FastOptions {
  /** JSON text of a plain scalar; undefined for text. */
  resolve(text: string): string | undefined;
  /** JSON text of what `!!binary` holds. */
  binary(base64: string): string;
  /** Most bytes that may come of it. */
  maxBytes: number;
  /** Deepest nesting, from 1 for the document. */
  maxDepth: number;
}

/**
 * A document that is a mapping; undefined where only a reader of all YAML can tell. It stands until the next document
 * is read.
 */
export function readFast(text: Buffer, options: FastOptions): Mapping | undefined {
  if (text.length > LONGEST || text.includes(CR) || text.includes(0) || !isUtf8(text)) return undefined;
  if (!reader || reader.size > Math.max(KEPT, 8 * text.length)) reader = new Reader();
  try {
    return reader.document(text, options);
  } catch (error) {
    if (error === GIVE_UP || (error as Error).message === 'unreachable') return undefined;
    throw error;
  }
}

let module: WebAssembly.Module | undefined;
let reader: Reader | undefined;

/** Thrown at whatever is not of the form; from WebAssembly it comes as a trap. */
const GIVE_UP = new Error('not of the form');

/** Longer documents are none that a probe wrote. */
const LONGEST = 64 * 1024 * 1024;
/** As many times as long as a document is its JSON at most, aliases apart: `AQEB` may come to `\u0001\u0001\u0001`. */
const TIMES = 5;
/** Larger memory is let go. */
const KEPT = 8 * 1024 * 1024;
const DEEPEST = 60;
/** Names of members that are remembered from one document to the next. */
const MOST_NAMES = 10_000;

const CR = 0x0d;
const LF = 0x0a;
const PAGE = 65536;
/** What is written at once beyond where it ends, and more. */
const SLACK = 1024;

const bytesOf = (text: string) => [...Buffer.from(text, 'latin1')];
const CONTROLS = Array.from({ length: 32 }, (_, c) => c);
const HIGH = Array.from({ length: 129 }, (_, c) => c + 127);
const LETTERS = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ';

/** What bytes are, a bit each (KINDS in yaml.as.ts). */
const KINDS: number[][] = [
  // What a plain scalar does not begin with; with some of it it could, but not in this form.
  [...CONTROLS, ...HIGH, ...bytesOf(' ?:,[]{}#&*!|>\'"%@`')],
  // First bytes of plain scalars that may be something other than text.
  bytesOf('0123456789+-.~nNyYtTfFoO'),
  // Within a plain scalar: what needs a look, and what makes us give up.
  [LF, ...bytesOf(':#"\\,[]{}'), ...HIGH.slice(1)],
  [...CONTROLS.filter((c) => c !== LF), 0x7f],
  bytesOf(`0123456789${LETTERS}_-`),
  bytesOf(`0123456789${LETTERS}+/=`),
  // After a digit other than 0, what neither a number nor a time has.
  bytesOf(LETTERS.replace(/[etz]/gi, '')),
  // Escapes that JSON has too.
  bytesOf('"\\nrtbf'),
];

/** Escapes of YAML that are one character. */
const ESCAPES = [
  ['0', '\0'],
  ['a', '\x07'],
  ['v', '\v'],
  ['e', '\x1b'],
  [' ', ' '],
  ['/', '/'],
  ['N', '\x85'],
  ['_', '\xa0'],
  ['L', '\u2028'],
  ['P', '\u2029'],
] as const;

/** Where its tables stand, and behind them the document. */
const TABLES = 4096;
const TEXT = 8 * PAGE;

interface Code {
  memory: WebAssembly.Memory;
  forget(): void;
  read(start: number, end: number, out: number, maxDepth: number): number;
}

class Reader {
  #code: Code;
  #bytes!: Buffer;
  #options!: FastOptions;
  /** Where JSON is written. */
  #out = 0;
  #names: string[] = [];
  /** Their numbers. */
  #numbers = new Map<string, number>();
  #anchors: Map<string, [number, number]> | undefined;
  #members: Member[] = [];
  #items: string[] = [];

  constructor() {
    const js = {
      plainName: (start: number, end: number) => this.#plainName(this.#bytes.toString('latin1', start, end)),
      quotedName: (start: number, end: number) => this.#quotedName(start, end),
      plain: (start: number, end: number, to: number) => this.#plain(this.#bytes.toString('utf8', start, end), to),
      binary: (start: number, end: number, isJson: number) => this.#binary(start, end, isJson !== 0),
      anchor: (start: number, end: number, from: number, to: number) => this.#anchor(start, end, from, to),
      alias: (start: number, end: number, to: number, left: number) => this.#alias(start, end, to, left),
      member: (name: number, start: number, end: number) => {
        this.#members.push({ name: this.#names[name]!, start: start - this.#out, end: end - this.#out });
      },
      item: (name: number) => {
        this.#items.push(this.#names[name]!);
      },
      closeSet: (to: number) => this.#closeSet(to),
    };
    module ??= new WebAssembly.Module(code);
    this.#code = new WebAssembly.Instance(module, { js }).exports as unknown as Code;
    this.#grow(TEXT);
    const tables = this.#bytes.subarray(TABLES);
    for (const [bit, kind] of KINDS.entries()) for (const c of kind) tables[c]! |= 1 << bit;
    for (const [given, text] of ESCAPES) {
      const at = 256 + 8 * given.charCodeAt(0);
      tables[at + 7] = tables.write(JSON.stringify(text).slice(1, -1), at);
    }
    const hex = tables.subarray(256 + 8 * 256).fill(0xff, 0, 256);
    for (let i = 0; i < 16; i++)
      hex[i.toString(16).charCodeAt(0)] = hex[i.toString(16).toUpperCase().charCodeAt(0)] = i;
  }

  /** Of its memory. */
  get size(): number {
    return this.#bytes.length;
  }

  document(text: Buffer, options: FastOptions): Mapping | undefined {
    // What is a name for one is a value for another.
    if (this.#options?.resolve !== options.resolve || this.#names.length > MOST_NAMES) this.#forget();
    this.#options = options;
    this.#anchors = undefined;
    this.#members = [];
    this.#items = [];
    const end = TEXT + text.length;
    this.#out = end + SLACK;
    this.#grow(this.#out + TIMES * text.length + SLACK);
    this.#bytes.set(text, TEXT);
    this.#bytes.fill(0, end, end + 64);
    const last = this.#code.read(TEXT, end, this.#out, Math.min(options.maxDepth, DEEPEST));
    if (last - this.#out > options.maxBytes) return undefined;
    return { json: this.#bytes.subarray(this.#out, last), members: this.#members };
  }

  #forget(): void {
    this.#code.forget();
    this.#names = [];
    this.#numbers.clear();
  }

  #grow(size: number): void {
    const { memory } = this.#code;
    const lacking = size - memory.buffer.byteLength;
    if (lacking > 0) memory.grow(Math.ceil(lacking / PAGE));
    if (lacking > 0 || !this.#bytes) this.#bytes = Buffer.from(memory.buffer);
  }

  /** @returns where it ends */
  #write(text: string, at: number): number {
    return at + this.#bytes.write(text, at);
  }

  // --- names

  #numberOf(name: string): number {
    if (isIndex(name)) throw GIVE_UP;
    let number = this.#numbers.get(name);
    if (number === undefined) {
      number = this.#names.push(name) - 1;
      this.#numbers.set(name, number);
    }
    return number;
  }

  /** Spaces before the colon, what JSON escapes, and names that are values: all of it could be, none of it is. */
  #plainName(name: string): number {
    if (/["\\]| $/.test(name) || name === '<<' || this.#options.resolve(name) !== undefined) throw GIVE_UP;
    return this.#numberOf(name);
  }

  #quotedName(start: number, end: number): number {
    return this.#numberOf(JSON.parse(this.#bytes.toString('utf8', start, end)));
  }

  // --- values

  #plain(text: string, to: number): number {
    if (/[\x7f-\x84\x86-\x9f\ufeff\ufffe\uffff]/.test(text)) throw GIVE_UP;
    return this.#write(this.#options.resolve(text) ?? JSON.stringify(text), to);
  }

  #binary(start: number, end: number, isJson: boolean): number {
    const given = this.#bytes.toString('utf8', start, end);
    const json = this.#options.binary(isJson ? JSON.parse(given) : given);
    return this.#write(json, start);
  }

  #closeSet(to: number): number {
    const end = this.#write(JSON.stringify(this.#items.sort()), to);
    this.#items = [];
    return end;
  }

  #anchor(start: number, end: number, from: number, to: number): void {
    this.#anchors ??= new Map();
    const name = this.#bytes.toString('latin1', start, end);
    if (from === to) this.#anchors.delete(name);
    else this.#anchors.set(name, [from, to]);
  }

  #alias(start: number, end: number, to: number, left: number): number {
    const span = this.#anchors?.get(this.#bytes.toString('latin1', start, end));
    if (!span) throw GIVE_UP;
    const [from, last] = span;
    const next = to + last - from;
    const size = next - this.#out;
    const need = size + TIMES * left + SLACK;
    if (size > this.#options.maxBytes || need > 8 * LONGEST) throw GIVE_UP;
    if (this.#out + need > this.#bytes.length) this.#grow(this.#out + 2 * need);
    this.#bytes.copyWithin(to, from, last);
    return next;
  }
}

/** A name that an object of JavaScript would put in front. */
function isIndex(name: string): boolean {
  const first = name.charCodeAt(0);
  return first >= 0x30 && first <= 0x39 && /^(?:0|[1-9]\d{0,9})$/.test(name);
}
