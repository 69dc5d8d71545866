// A strict JSON reader (RFC 8259) that tells where things are and changes nothing: the bytes of a
// measurement travel on as the probe wrote them, so values are cut out, never parsed and written again.
import { isUtf8 } from 'node:buffer';
import code from '../wasm/json.wasm';

/** Thrown for text that is not JSON; `offset` in bytes from the start of the buffer. */
export class JsonError extends Error {
  readonly offset: number;
  constructor(message: string, offset: number) {
    super(`${message} at byte ${offset}`);
    this.offset = offset;
  }
}

/** A value's place in the buffer: [start, end). */
export interface Value {
  type: 'object' | 'array' | 'string' | 'number' | 'true' | 'false' | 'null';
  start: number;
  end: number;
  /** Of an object, down to `keep` levels: its members in order, doubles included. */
  members?: Member[];
  /** Of an array, down to `keep` levels. */
  items?: Value[];
}

export interface Member {
  key: string;
  keyStart: number;
  value: Value;
}

export interface Document {
  value: Value;
  /** A raw line feed stands somewhere in the value (between tokens: inside a string it is no JSON). */
  lineFeed: boolean;
  /**
   * An escape stands for a sign that needs none (`\u0031`, `\/`), so that the bytes of strings do not tell what they
   * say. Escapes for `" & ' < = > \` are usual, and do not count.
   */
  hides: boolean;
}

export interface JsonLimits {
  /** Deepest nesting. @default 500 */
  maxDepth?: number;
  /** Levels whose members are recorded: 1 is the top object alone. @default 1 */
  keep?: number;
  /**
   * Record members of these names alone, of doubles the last, and the `first` members of the top object: a
   * document may have millions of members, and memory is for those that somebody asks for. @default all
   */
  names?: readonly string[];
  first?: number;
  /** Record so many items of a list. @default all */
  items?: number;
}

/** Names that are asked for are short; a longer one is none of them, also before its escapes are read. */
const LONGEST_NAME = 6 * 64;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** 1 for bytes that a string may hold as they are: neither quote, backslash nor control character. */
const PLAIN = Uint8Array.from({ length: 256 }, (_, c) => (c >= 0x20 && c !== QUOTE && c !== BACKSLASH ? 1 : 0));
/** 1 for what may follow a backslash; u is 2. */
const ESCAPE = new Uint8Array(256);
for (const c of '"\\/bfnrt') ESCAPE[c.charCodeAt(0)] = 1;
ESCAPE[0x75] = 2;
const HEX = Uint8Array.from({ length: 256 }, (_, c) => (/[0-9a-fA-F]/.test(String.fromCharCode(c)) ? 1 : 0));

const OBJECT_END = 0x7d;
const ARRAY_END = 0x5d;

function fail(message: string, at: number, length: number): never {
  throw new JsonError(at >= length ? `${message}, but the text ends` : message, at);
}

function pastSpace(bytes: Buffer, from: number): number {
  let at = from;
  for (let c = bytes[at]; c === 0x20 || c === 0x0a || c === 0x0d || c === 0x09; c = bytes[at]) at++;
  return at;
}

/** From the opening quote to past the closing one. This is where nearly all of a measurement's bytes go by. */
function pastString(bytes: Buffer, from: number, length: number): number {
  let at = from + 1;
  for (;;) {
    while (at < length && PLAIN[bytes[at]!] === 1) at++;
    if (at >= length) fail('a string is not closed', at, length);
    const c = bytes[at];
    if (c === QUOTE) return at + 1;
    if (c !== BACKSLASH) fail('a control character inside a string', at, length);
    const kind = ESCAPE[bytes[at + 1] ?? 0];
    if (kind === 0 || at + 1 >= length) fail('an unknown escape', at, length);
    if (kind === 1) {
      at += 2;
      continue;
    }
    for (let i = 2; i < 6; i++) {
      if (at + i >= length || HEX[bytes[at + i]!] === 0) fail('an escape without four hex digits', at, length);
    }
    at += 6;
  }
}

function pastDigits(bytes: Buffer, from: number, length: number): number {
  let at = from;
  while (at < length && bytes[at]! >= 0x30 && bytes[at]! <= 0x39) at++;
  if (at === from) fail('a digit is missing', at, length);
  return at;
}

function pastNumber(bytes: Buffer, from: number, length: number): number {
  let at = from;
  if (bytes[at] === 0x2d) at++;
  if (bytes[at] === 0x30) at++;
  else at = pastDigits(bytes, at, length);
  if (bytes[at] === 0x2e) at = pastDigits(bytes, at + 1, length);
  if (bytes[at] === 0x65 || bytes[at] === 0x45) {
    at++;
    if (bytes[at] === 0x2b || bytes[at] === 0x2d) at++;
    at = pastDigits(bytes, at, length);
  }
  return at;
}

function pastWord(bytes: Buffer, from: number, length: number, word: string): number {
  for (let i = 0; i < word.length; i++) {
    if (bytes[from + i] !== word.charCodeAt(i)) fail('a value is missing', from, length);
  }
  return from + word.length;
}

function typeOf(c: number | undefined): Value['type'] | undefined {
  if (c === QUOTE) return 'string';
  if (c === 0x7b) return 'object';
  if (c === 0x5b) return 'array';
  if (c === 0x74) return 'true';
  if (c === 0x66) return 'false';
  if (c === 0x6e) return 'null';
  return c === 0x2d || (c !== undefined && c >= 0x30 && c <= 0x39) ? 'number' : undefined;
}

/**
 * Reads one JSON value that fills the buffer but for white space.
 * Numbers of any size and `\ud800` alone are kept: they are JSON, whatever a language makes of them.
 * @throws JsonError
 */
export function readJson(bytes: Buffer, limits: JsonLimits = {}): Document {
  if (!isUtf8(bytes)) throw new JsonError('not UTF-8', firstInvalid(bytes));
  return readFast(bytes, limits) ?? readExactly(bytes, limits);
}

/** The reader that tells where a text is wrong, and why; `readJson` reads what is right with another. */
export function readExactly(bytes: Buffer, limits: JsonLimits): Document {
  const { maxDepth = 500, keep = 1 } = limits;
  const length = bytes.length;
  const start = pastSpace(bytes, 0);
  let at = start;

  // Containers are walked with a stack of our own: the depth of a forged document is not our stack's. Of each open
  // one it has the byte that ends it, and the value where its members are recorded.
  const ends: number[] = [];
  const open: (Value | undefined)[] = [];
  for (;;) {
    const depth = ends.length;
    const within = depth <= keep ? open[depth - 1] : undefined;
    let key = '';
    const keyStart = at;
    if (ends[depth - 1] === OBJECT_END) {
      if (bytes[at] !== QUOTE) fail('a member name is missing', at, length);
      at = pastString(bytes, at, length);
      if (within?.members && mayBeRecorded(limits, within.members, at - keyStart)) key = keyOf(bytes, keyStart, at);
      at = pastSpace(bytes, at);
      if (bytes[at] !== 0x3a) fail("a ':' is missing", at, length);
      at = pastSpace(bytes, at + 1);
    }

    const from = at;
    const c = bytes[at];
    let value: Value | undefined;
    let opened = false;
    if (c === 0x7b || c === 0x5b) {
      if (depth >= maxDepth) fail(`nested deeper than ${maxDepth} levels`, at, length);
      opened = true;
      at = pastSpace(bytes, at + 1);
    } else if (c === QUOTE) at = pastString(bytes, at, length);
    else if (c === 0x74) at = pastWord(bytes, at, length, 'true');
    else if (c === 0x66) at = pastWord(bytes, at, length, 'false');
    else if (c === 0x6e) at = pastWord(bytes, at, length, 'null');
    else if (c === 0x2d || (c !== undefined && c >= 0x30 && c <= 0x39)) at = pastNumber(bytes, at, length);
    else fail('a value is missing', at, length);

    // Only what is recorded, or leads to what is, becomes an object of ours.
    if (within || depth === 0) {
      value = { type: typeOf(c)!, start: from, end: opened ? -1 : at };
      if (opened && depth < keep) {
        if (c === 0x7b) value.members = [];
        else value.items = [];
      }
      if (within?.members) record(limits, within.members, { key, keyStart, value }, depth === 1);
      else if (within?.items && isRecorded(limits, within.items)) within.items.push(value);
    }
    if (opened) {
      const end = c === 0x7b ? OBJECT_END : ARRAY_END;
      ends.push(end);
      open.push(value);
      if (bytes[at] !== end) continue; // its first member comes
    }

    // A value is complete, or an empty container stands before its end: close all that ends here.
    for (;;) {
      if (ends.length === 0) {
        const past = pastSpace(bytes, at);
        if (past < length) fail('text after the end of the value', past, length);
        return { value: value!, lineFeed: hasLineFeed(bytes, value!), hides: hasNeedlessEscape(bytes) };
      }
      at = pastSpace(bytes, at);
      if (bytes[at] === 0x2c) {
        at = pastSpace(bytes, at + 1);
        break;
      }
      const end = ends.pop()!;
      if (bytes[at] !== end)
        fail(end === OBJECT_END ? "a ',' or '}' is missing" : "a ',' or ']' is missing", at, length);
      at++;
      value = open.pop();
      if (value) value.end = at;
    }
  }
}

function isRecorded({ items = Number.POSITIVE_INFINITY }: JsonLimits, list: Value[]): boolean {
  return list.length < items;
}

/** A name is decoded only where it may be recorded. */
function mayBeRecorded({ names, first = 0 }: JsonLimits, members: Member[], length: number): boolean {
  return !names || length <= LONGEST_NAME || members.length < first;
}

function isWanted({ names, first = 0 }: JsonLimits, members: Member[], key: string, top: boolean): boolean {
  return !names || (top && members.length < first) || names.includes(key);
}

function record(limits: JsonLimits, members: Member[], one: Member, top: boolean): void {
  const { names, first = 0 } = limits;
  const bound = top ? first : 0;
  if (!names || members.length < bound) members.push(one);
  else if (isWanted(limits, members, one.key, top)) {
    const before = members.findIndex(({ key }, i) => i >= bound && key === one.key);
    if (before === -1) members.push(one);
    else members[before] = one;
  }
}

/** Names that came lately, in ASCII: measurements have the same few again and again. */
const lately: (string | undefined)[] = new Array(1024).fill(undefined);
const LONGEST_KEPT = 40;

/** A name's text, from its opening quote to past the closing one. */
function keyOf(bytes: Buffer, from: number, to: number): string {
  const start = from + 1;
  const length = to - 1 - start;
  const slot = (31 * bytes[start]! + 17 * bytes[to - 2]! + 7 * bytes[start + (length >> 1)]! + length) & 1023;
  const known = lately[slot];
  if (known !== undefined && known.length === length && stands(known, bytes, start)) return known;
  const text = bytes.toString('utf8', start, to - 1);
  if (text.includes('\\')) return JSON.parse(`"${text}"`);
  if (text.length === length && length <= LONGEST_KEPT) lately[slot] = text;
  return text;
}

function stands(text: string, bytes: Buffer, at: number): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) !== bytes[at + i]) return false;
  return true;
}

/** Inside a string no raw line feed can stand, so one within a value stands between tokens. */
function hasLineFeed(bytes: Buffer, { start, end }: Value): boolean {
  const feed = bytes.indexOf(0x0a, start);
  return feed !== -1 && feed < end;
}

const NEEDLESS = /^(?:\/|u00(?:2[013-589a-f]|3[0-9abf]|[467][0-9a-f]|5[0-9abd-f]))/i;

/** Of a text that is JSON. */
function hasNeedlessEscape(bytes: Buffer): boolean {
  for (let at = bytes.indexOf(BACKSLASH); at !== -1; at = bytes.indexOf(BACKSLASH, at + 2)) {
    if (NEEDLESS.test(bytes.toString('latin1', at + 1, at + 6))) return true;
  }
  return false;
}

// --- the fast reader: WebAssembly, which sees a copy of the document

type Scan = (
  start: number,
  end: number,
  maxDepth: number,
  keep: number,
  out: number,
  outEnd: number,
  stack: number,
) => number;

/** Its memory, in bytes: the open containers, the tokens, then text. */
export interface Scanner {
  memory: WebAssembly.Memory;
  hides: { value: number };
  scan: Scan;
  /** Of a text that goes on. */
  scanWithin: Scan;
}
let scanner: Scanner | undefined;
/** Documents in its memory are read where they stand. */
let holder: Scanner | undefined;

/** Documents in this memory, which must not grow, are read where they stand from now on. */
export function readWithin(own: Scanner): void {
  holder = own;
}

const TYPES: Value['type'][] = ['object', 'array', 'string', 'number', 'true', 'false', 'null'];

const STACK = 65536;
const DEEPEST = 100_002;
const TOKENS = 10 * 65536;
/** Where text begins. */
export const TEXT = TOKENS + 64 * 65536;
/** A larger document is read where it is. */
const LONGEST_COPY = 64 * 1024 * 1024;
/** A copy costs more than it saves. */
const SHORTEST_COPY = 64;

/** @returns undefined for what it does not take: `readExactly` says why */
function readFast(bytes: Buffer, limits: JsonLimits): Document | undefined {
  const { keep = 1 } = limits;
  const maxDepth = Math.min(limits.maxDepth ?? 500, DEEPEST);
  if (bytes.length < SHORTEST_COPY || bytes.length > LONGEST_COPY) return undefined;
  const levels = Math.min(keep, maxDepth);
  if (bytes.buffer === holder?.memory.buffer) {
    const start = bytes.byteOffset;
    const count = holder.scanWithin(start, start + bytes.length, maxDepth, levels, TOKENS, TEXT, STACK);
    return count < 0 ? undefined : fromScan(bytes, holder, count, limits);
  }
  if (!scanner) {
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(code));
    scanner = exports as unknown as Scanner;
  }
  const { memory } = scanner;
  const lacking = TEXT + bytes.length + 64 - memory.buffer.byteLength;
  if (lacking > 0) memory.grow(Math.ceil(lacking / 65536));
  new Uint8Array(memory.buffer, TEXT).set(bytes);
  const count = scanner.scan(TEXT, TEXT + bytes.length, maxDepth, levels, TOKENS, TEXT, STACK);
  return count < 0 ? undefined : fromScan(bytes, scanner, count, limits);
}

function fromScan(bytes: Buffer, { memory, hides }: Scanner, count: number, limits: JsonLimits): Document {
  const value = fromTokens(bytes, new Uint32Array(memory.buffer, TOKENS, count * 4), limits);
  return { value, lineFeed: hasLineFeed(bytes, value), hides: hides.value !== 0 };
}

/** Tokens come in the order of the text, a container before its members. */
function fromTokens(bytes: Buffer, tokens: Uint32Array, limits: JsonLimits): Value {
  const { keep = 1 } = limits;
  /** Of each level the one that is open; undefined where nobody asks for it. */
  const open: (Value | undefined)[] = [];
  for (let i = 0; i < tokens.length; i += 4) {
    const depth = tokens[i]! >>> 4;
    const within = open[depth - 1];
    const start = tokens[i + 2]!;
    open[depth] = undefined;
    let key = '';
    if (within?.members) {
      let to = start;
      while (bytes[to - 1] !== QUOTE) to--;
      const keyStart = tokens[i + 1]!;
      if (mayBeRecorded(limits, within.members, to - keyStart)) key = keyOf(bytes, keyStart, to);
      if (!isWanted(limits, within.members, key, depth === 1)) continue;
    } else if (depth > 0 && !(within?.items && isRecorded(limits, within.items))) continue;
    const type = TYPES[(tokens[i]! & 15) - 1]!;
    const value: Value = { type, start, end: tokens[i + 3]! };
    if (depth < keep) {
      if (type === 'object') value.members = [];
      else if (type === 'array') value.items = [];
    }
    open[depth] = value;
    if (within?.members) record(limits, within.members, { key, keyStart: tokens[i + 1]!, value }, depth === 1);
    else within?.items?.push(value);
  }
  return open[0]!;
}

/** The member that a reader of JSON gets: of several with one name, the last. */
export function member(value: Value, key: string): Value | undefined {
  return value.members?.findLast((m) => m.key === key)?.value;
}

/** Text of a string value; undefined for anything else. */
export function stringOf(bytes: Buffer, value: Value | undefined): string | undefined {
  if (value?.type !== 'string') return undefined;
  const text = bytes.toString('utf8', value.start + 1, value.end - 1);
  return text.includes('\\') ? (JSON.parse(`"${text}"`) as string) : text;
}

/**
 * The bytes of a value on one line: white space that holds a line feed becomes one space.
 * Inside strings no raw line feed can stand, so only the space between tokens is touched.
 */
export function onOneLine(bytes: Buffer, value: Value, lineFeed: boolean): Buffer {
  const slice = bytes.subarray(value.start, value.end);
  if (!lineFeed || !slice.includes(0x0a)) return slice;
  const out = Buffer.allocUnsafe(slice.length);
  let to = 0;
  for (let i = 0; i < slice.length; ) {
    const c = slice[i]!;
    if (c !== 0x20 && c !== 0x09 && c !== 0x0d && c !== 0x0a) {
      out[to++] = c;
      i++;
      continue;
    }
    // A space inside a string is such a run too, but one without a line feed, and so stays.
    const start = i;
    let feed = false;
    for (; i < slice.length; i++) {
      const d = slice[i]!;
      if (d === 0x0a) feed = true;
      else if (d !== 0x20 && d !== 0x09 && d !== 0x0d) break;
    }
    if (feed) out[to++] = 0x20;
    else to += slice.copy(out, to, start, i);
  }
  return out.subarray(0, to);
}

/** Where the first bytes stand that are no character of UTF-8. */
function firstInvalid(bytes: Buffer): number {
  const continues = (at: number) => (bytes[at]! & 0xc0) === 0x80;
  let at = 0;
  // Whole blocks that are good are stepped over; a block ends where a character begins.
  for (let to = 0; to < bytes.length; at = to) {
    to = Math.min(at + 65536, bytes.length);
    for (let back = 0; back < 3 && to < bytes.length && continues(to); back++) to--;
    if (!isUtf8(bytes.subarray(at, to))) break;
  }
  while (at < bytes.length) {
    const c = bytes[at]!;
    const length = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    if (length > 1 && !isUtf8(bytes.subarray(at, at + length))) return at;
    at += length;
  }
  return at;
}
