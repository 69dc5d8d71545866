// The YAML that Python's emitter writes, and so every ooniprobe, straight from bytes to JSON: several times as fast as a
// reader of all YAML. It takes only what surely means the same to that reader and gives up on the rest, which is a
// matter of speed, never of result (a test compares the two).
import { isUtf8 } from 'node:buffer';

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
  if (text.length > LONGEST || text.includes(CR) || !isUtf8(text)) return undefined;
  if (knownBy !== options.resolve) known.fill(undefined); // what is a name for one is a value for another
  knownBy = options.resolve;
  try {
    return new Reader(text, options).document();
  } catch (error) {
    if (error === GIVE_UP) return undefined;
    throw error;
  }
}

/** Thrown at whatever is not of the form. */
const GIVE_UP = new Error('not of the form');

/** Longer documents are none that a probe wrote; what is written is at most four times as long. */
const LONGEST = 64 * 1024 * 1024;
const KEPT = 4 * 1024 * 1024;
const DEEPEST = 60;

/** What documents are written into, one after the other. */
let scratch = Buffer.alloc(0);

const TAB = 0x09;
const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const EXCLAMATION = 0x21;
const QUOTE = 0x22;
const HASH = 0x23;
const AMPERSAND = 0x26;
const APOSTROPHE = 0x27;
const STAR = 0x2a;
const COMMA = 0x2c;
const DASH = 0x2d;
const POINT = 0x2e;
const COLON = 0x3a;
const OPEN_LIST = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_LIST = 0x5d;
const OPEN_MAP = 0x7b;
const CLOSE_MAP = 0x7d;

/** What a plain scalar is. */
const UNKNOWN = 0;
const TEXT = 1;
const NUMBER = 2;

const bytesOf = (text: string) => [...Buffer.from(text, 'latin1')];
const table = (of: number[]) => {
  const all = new Uint8Array(256);
  for (const c of of) all[c] = 1;
  return all;
};
const CONTROLS = Array.from({ length: 32 }, (_, c) => c);
const HIGH = Array.from({ length: 129 }, (_, c) => c + 127);

/** Bytes that a plain scalar does not begin with; some could, but not in this form. */
const NO_PLAIN = table([...CONTROLS, ...HIGH, ...bytesOf(' ?:,[]{}#&*!|>\'"%@`')]);
/** First bytes of plain scalars that may be something other than text. */
const MAYBE_VALUE = table(bytesOf('0123456789+-.~nNyYtTfFoO'));
/** Within a plain scalar: 1 for what needs a look, 2 for what makes us give up. */
const IN_PLAIN = table([...bytesOf(':#"\\\n,[]{}'), ...HIGH]);
for (const c of CONTROLS) if (c !== LF) IN_PLAIN[c] = 2;
IN_PLAIN[0x7f] = 2;
/** Within single quotes: what cannot be copied as it is. */
const IN_SINGLE = table([...CONTROLS, QUOTE, BACKSLASH, APOSTROPHE]);
const IN_NAME = table(bytesOf('0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-'));
const BASE64 = table(bytesOf('0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+/='));

/** Escapes of YAML that are one character, and how JSON writes it. */
const ESCAPES: (Buffer | undefined)[] = [];
for (const [given, text] of [
  ['0', '\0'],
  ['a', '\x07'],
  ['b', '\b'],
  ['t', '\t'],
  ['n', '\n'],
  ['v', '\v'],
  ['f', '\f'],
  ['r', '\r'],
  ['e', '\x1b'],
  [' ', ' '],
  ['"', '"'],
  ['/', '/'],
  ['\\', '\\'],
  ['N', '\x85'],
  ['_', '\xa0'],
  ['L', '\u2028'],
  ['P', '\u2029'],
] as const)
  ESCAPES[given.charCodeAt(0)] = Buffer.from(JSON.stringify(text).slice(1, -1));

/** Escapes that JSON has too. */
const SAME_ESCAPE = table(bytesOf('"\\nrtbf'));

/** Names of members come again and again: their text and whether they are of the form, by a hash of their bytes. */
interface KnownName {
  bytes: Uint8Array;
  name: string;
}
const KNOWN = 4096;
const known: (KnownName | undefined)[] = new Array(KNOWN).fill(undefined);
let knownBy: FastOptions['resolve'] | undefined;

class Reader {
  #in: Buffer;
  #at = 0;
  /** Of the line that is read. */
  #lineStart = 0;
  /** Column of what stands at `#at` after a block node was read; -1 at the end. */
  #column = 0;
  /** Lines that the last scalar or search for content went on for. */
  #breaks = 0;
  /** Of the last line of a plain scalar: its end, and whether JSON may need escapes for it. */
  #plainEnd = 0;
  #plainEscape = false;
  #out: Buffer;
  #end = 0;
  #options: FastOptions;
  #maxDepth: number;
  /** Names of the mappings that are open, one after the other. */
  #names: string[] = [];
  #anchors: Map<string, [number, number]> | undefined;

  constructor(text: Buffer, options: FastOptions) {
    this.#in = text;
    this.#options = options;
    this.#maxDepth = Math.min(options.maxDepth, DEEPEST);
    // Nothing written as JSON is four times as long; aliases look after themselves.
    const need = 4 * text.length + 1024;
    if (scratch.length < need || scratch.length > Math.max(need, KEPT))
      scratch = Buffer.allocUnsafeSlow(Math.max(need, KEPT));
    this.#out = scratch;
  }

  document(): Mapping {
    const members: Member[] = [];
    while (this.#in[this.#at] === SPACE) this.#at++;
    if (this.#in[this.#at] === LF) {
      this.#at++;
      if (this.#nextLine() !== 0) throw GIVE_UP;
    } else if (this.#in[this.#at] !== OPEN_MAP) throw GIVE_UP;
    if (this.#in[this.#at] === OPEN_MAP) {
      this.#flowMapping(1, 1, members);
      this.#endLine();
    } else this.#mapping(0, 1, members);
    if (this.#column !== -1 || this.#end > this.#options.maxBytes) throw GIVE_UP;
    return { json: this.#out.subarray(0, this.#end), members };
  }

  // --- lines

  /** From the beginning of a line to the next content. @returns its column, -1 at the end */
  #nextLine(quoted = false): number {
    const bytes = this.#in;
    let at = this.#at;
    let breaks = 1;
    for (;;) {
      const start = at;
      while (bytes[at] === SPACE) at++;
      const c = bytes[at];
      if (c === LF) {
        at++;
        breaks++;
        continue;
      }
      if (c === TAB || (c === HASH && !quoted)) throw GIVE_UP;
      this.#at = at;
      this.#breaks = breaks;
      this.#lineStart = start;
      this.#column = c === undefined ? -1 : at - start;
      return this.#column;
    }
  }

  /** After a value: nothing may follow it on its line. */
  #endLine(): void {
    const bytes = this.#in;
    while (bytes[this.#at] === SPACE) this.#at++;
    const c = bytes[this.#at];
    if (c === LF) this.#at++;
    else if (c !== undefined) throw GIVE_UP;
    this.#nextLine();
  }

  // --- block collections

  #mapping(indent: number, depth: number, members?: Member[]): void {
    if (depth > this.#maxDepth) throw GIVE_UP;
    const base = this.#names.length;
    let distinct: Set<string> | undefined;
    this.#out[this.#end++] = OPEN_MAP;
    for (;;) {
      const name = this.#key(true);
      distinct = this.#addName(name, base, distinct);
      const start = this.#end;
      this.#mappingValue(indent, depth);
      members?.push({ name, start, end: this.#end });
      if (this.#column < indent) break;
      if (this.#column > indent) throw GIVE_UP;
      this.#out[this.#end++] = COMMA;
    }
    this.#out[this.#end++] = CLOSE_MAP;
    this.#names.length = base;
  }

  /** What follows the colon of a block mapping. */
  #mappingValue(indent: number, depth: number): void {
    const bytes = this.#in;
    while (bytes[this.#at] === SPACE) this.#at++;
    const c = bytes[this.#at];
    if (c === LF) {
      this.#at++;
      this.#below(indent, depth, true);
    } else if (c === undefined) throw GIVE_UP;
    else this.#inline(indent, depth, true, false);
  }

  #sequence(indent: number, depth: number, indentless: boolean): void {
    if (depth > this.#maxDepth) throw GIVE_UP;
    const bytes = this.#in;
    this.#out[this.#end++] = OPEN_LIST;
    for (;;) {
      this.#at++; // the dash
      while (bytes[this.#at] === SPACE) this.#at++;
      const c = bytes[this.#at];
      if (c === undefined) throw GIVE_UP;
      if (c === LF) {
        this.#at++;
        this.#below(indent, depth, false);
      } else if (this.#isDash()) this.#sequence(this.#at - this.#lineStart, depth + 1, false);
      else if (this.#isKey(c)) this.#mapping(this.#at - this.#lineStart, depth + 1);
      else this.#inline(indent, depth, false, false);
      if (this.#column < indent) break;
      if (this.#column > indent) throw GIVE_UP;
      if (!this.#isDash()) {
        if (indentless) break;
        throw GIVE_UP;
      }
      this.#out[this.#end++] = COMMA;
    }
    this.#out[this.#end++] = CLOSE_LIST;
  }

  /** A dash that begins an entry. */
  #isDash(): boolean {
    if (this.#in[this.#at] !== DASH) return false;
    const next = this.#in[this.#at + 1];
    return next === SPACE || next === LF || next === undefined;
  }

  /** The collection that stands on the lines below. @param inMapping a sequence there needs no indentation */
  #below(indent: number, depth: number, inMapping: boolean): void {
    const column = this.#nextLine();
    const dash = this.#isDash();
    if (column > indent) {
      if (dash) this.#sequence(column, depth + 1, false);
      else this.#mapping(column, depth + 1);
    } else if (column === indent && dash && inMapping) this.#sequence(column, depth + 1, true);
    else throw GIVE_UP; // nothing there: Python writes null
  }

  /** True where a sequence's entry is a mapping that begins on its line. */
  #isKey(first: number): boolean {
    const bytes = this.#in;
    let at = this.#at;
    if (first === QUOTE || first === APOSTROPHE) {
      for (at++; ; at++) {
        const c = bytes[at];
        if (c === undefined || c === LF) return false;
        if (c === BACKSLASH && first === QUOTE) at++;
        else if (c === first) {
          if (c === APOSTROPHE && bytes[at + 1] === APOSTROPHE) at++;
          else break;
        }
      }
      return bytes[at + 1] === COLON;
    }
    if (NO_PLAIN[first]) return false;
    for (let c: number | undefined = first; c !== undefined && c !== LF; c = bytes[++at])
      if (c === COLON && (bytes[at + 1] === SPACE || bytes[at + 1] === LF)) return true;
    return false;
  }

  // --- names of members

  /** Reads a name and its colon, writes both. */
  #key(block: boolean): string {
    const bytes = this.#in;
    const start = this.#at;
    const first = bytes[start];
    let name: string;
    if (first === QUOTE || first === APOSTROPHE) {
      const written = this.#end;
      const line = this.#lineStart;
      if (first === QUOTE) this.#double();
      else this.#single();
      if (this.#lineStart !== line || bytes[this.#at] !== COLON) throw GIVE_UP;
      name = JSON.parse(this.#out.toString('utf8', written, this.#end));
      if (isIndex(name)) throw GIVE_UP;
    } else {
      if (first === undefined || NO_PLAIN[first] || first === DASH) throw GIVE_UP;
      let hash = 0;
      let at = start;
      let c: number;
      for (;;) {
        c = bytes[at]!; // past the end it is undefined, and no number
        if (c === COLON) {
          const next = bytes[at + 1];
          if (next === SPACE || next === LF) break;
        } else if (IN_PLAIN[c] !== 0 && (IN_PLAIN[c] !== 1 || !block || c === LF || c === HASH || c > 0x7e))
          throw GIVE_UP;
        hash = (Math.imul(hash, 31) + c) | 0;
        at++;
      }
      name = this.#nameOf(start, at, hash & (KNOWN - 1));
      const out = this.#out;
      let end = this.#end;
      out[end++] = QUOTE;
      for (let i = start; i < at; i++) out[end++] = bytes[i]!;
      out[end++] = QUOTE;
      this.#end = end;
      this.#at = at;
    }
    this.#at++;
    const next = bytes[this.#at];
    if (next !== SPACE && next !== LF) throw GIVE_UP;
    this.#out[this.#end++] = COLON;
    return name;
  }

  #nameOf(start: number, end: number, slot: number): string {
    const bytes = this.#in;
    const found = known[slot];
    if (found && found.bytes.length === end - start) {
      let i = 0;
      while (i < found.bytes.length && found.bytes[i] === bytes[start + i]) i++;
      if (i === found.bytes.length) return found.name;
    }
    const name = bytes.toString('latin1', start, end);
    // Spaces before the colon, what JSON escapes, and names that are values: all of it could be, none of it is.
    if (/["\\]| $/.test(name) || name === '<<' || isIndex(name) || this.#options.resolve(name) !== undefined)
      throw GIVE_UP;
    if (name.length <= 64) known[slot] = { bytes: Uint8Array.from(bytes.subarray(start, end)), name };
    return name;
  }

  /** A name that comes twice is for the other reader. */
  #addName(name: string, base: number, distinct: Set<string> | undefined): Set<string> | undefined {
    const names = this.#names;
    if (distinct) {
      if (distinct.has(name)) throw GIVE_UP;
      distinct.add(name);
      return distinct;
    }
    for (let i = base; i < names.length; i++) if (names[i] === name) throw GIVE_UP;
    names.push(name);
    return names.length - base > 32 ? new Set(names.slice(base)) : undefined;
  }

  // --- values on the line of their name or dash

  /** @param inMapping below a property, a sequence needs no indentation  @param named an anchor was read */
  #inline(indent: number, depth: number, inMapping: boolean, named: boolean): void {
    switch (this.#in[this.#at]) {
      case QUOTE:
        this.#double();
        break;
      case APOSTROPHE:
        this.#single();
        break;
      case OPEN_LIST:
        this.#flowSequence(indent + 1, depth + 1);
        break;
      case OPEN_MAP:
        this.#flowMapping(indent + 1, depth + 1);
        break;
      case STAR:
        if (named) throw GIVE_UP;
        this.#alias();
        break;
      case AMPERSAND:
        if (named) throw GIVE_UP;
        this.#anchored(indent, depth, inMapping);
        return;
      case EXCLAMATION:
        this.#tagged(indent, depth, inMapping);
        return;
      default:
        this.#plain(indent + 1);
        return;
    }
    this.#endLine();
  }

  #anchored(indent: number, depth: number, inMapping: boolean): void {
    const name = this.#anchorName();
    const start = this.#end;
    if (this.#lineBreak()) this.#below(indent, depth, inMapping);
    else this.#inline(indent, depth, inMapping, true);
    this.#anchors!.set(name, [start, this.#end]);
  }

  /** After an anchor or a tag: true at the end of the line, which is passed over; else spaces are. */
  #lineBreak(): boolean {
    const bytes = this.#in;
    if (bytes[this.#at] !== SPACE && bytes[this.#at] !== LF) throw GIVE_UP;
    while (bytes[this.#at] === SPACE) this.#at++;
    if (bytes[this.#at] !== LF) return false;
    this.#at++;
    return true;
  }

  #tagged(indent: number, depth: number, inMapping: boolean): void {
    const tag = this.#tag();
    const below = this.#lineBreak();
    const c = this.#in[this.#at];
    if (below) {
      if (tag !== '!!python/tuple') throw GIVE_UP;
      const column = this.#nextLine();
      if (!this.#isDash()) throw GIVE_UP;
      if (column > indent) this.#sequence(column, depth + 1, false);
      else if (column === indent && inMapping) this.#sequence(column, depth + 1, true);
      else throw GIVE_UP;
    } else if (tag === '!!binary' && c === 0x7c) this.#literalBinary(indent);
    else {
      this.#taggedNode(tag, c, indent + 1, depth);
      this.#endLine();
    }
  }

  /** What the known tags mean on what stands on one line or in flow. */
  #taggedNode(tag: string, c: number | undefined, minIndent: number, depth: number): void {
    const start = this.#end;
    if (tag === '!!python/tuple') {
      if (c !== OPEN_LIST) throw GIVE_UP;
      this.#flowSequence(minIndent, depth + 1);
    } else if (tag === '!!set') {
      if (c !== OPEN_MAP) throw GIVE_UP;
      const members: Member[] = [];
      this.#flowMapping(minIndent, depth + 1, members);
      this.#end = start;
      this.#text(JSON.stringify(members.map(({ name }) => name).sort()));
    } else {
      if (c === QUOTE) this.#double();
      else if (c === APOSTROPHE) this.#single();
      else throw GIVE_UP;
      if (tag === '!!binary') {
        const base64 = JSON.parse(this.#out.toString('utf8', start, this.#end)) as string;
        this.#end = start;
        this.#text(this.#options.binary(base64));
      } else if (tag !== '!!python/unicode' && tag !== '!!python/str') throw GIVE_UP;
    }
  }

  #tag(): string {
    const bytes = this.#in;
    const start = this.#at;
    let at = start;
    while (bytes[at] !== SPACE && bytes[at] !== LF) if (at++ - start > 20) throw GIVE_UP;
    this.#at = at;
    return bytes.toString('latin1', start, at);
  }

  #literalBinary(indent: number): void {
    const bytes = this.#in;
    this.#at++;
    if (!this.#lineBreak()) throw GIVE_UP;
    const column = this.#nextLine();
    if (this.#breaks > 1) throw GIVE_UP;
    const lines: string[] = [];
    if (column > indent)
      do {
        const start = this.#at;
        let at = start;
        while (BASE64[bytes[at]!]) at++;
        if (bytes[at] !== LF) throw GIVE_UP;
        lines.push(bytes.toString('latin1', start, at));
        this.#at = at + 1;
        this.#nextLine();
        if (this.#breaks > 1 && this.#column > indent) throw GIVE_UP;
      } while (this.#column === column);
    if (this.#column > indent) throw GIVE_UP;
    this.#text(this.#options.binary(lines.join('\n')));
  }

  // --- anchors and aliases

  #anchorName(): string {
    const bytes = this.#in;
    const start = this.#at + 1;
    let at = start;
    while (IN_NAME[bytes[at]!]) at++;
    if (at === start) throw GIVE_UP;
    this.#at = at;
    const name = bytes.toString('latin1', start, at);
    this.#anchors ??= new Map();
    this.#anchors.delete(name); // within itself it means itself
    return name;
  }

  #alias(): void {
    const bytes = this.#in;
    const start = this.#at + 1;
    let at = start;
    while (IN_NAME[bytes[at]!]) at++;
    const span = this.#anchors?.get(bytes.toString('latin1', start, at));
    if (!span) throw GIVE_UP;
    this.#at = at;
    const [from, to] = span;
    const end = this.#end + to - from;
    const need = end + 4 * (bytes.length - at) + 1024;
    if (end > this.#options.maxBytes || need > 8 * LONGEST) throw GIVE_UP;
    if (need > this.#out.length) {
      scratch = Buffer.allocUnsafeSlow(2 * need);
      this.#out.copy(scratch, 0, 0, this.#end);
      this.#out = scratch;
    }
    this.#out.copyWithin(this.#end, from, to);
    this.#end = end;
  }

  // --- flow collections

  /** To the next token. @param minIndent of the lines that follow */
  #skip(minIndent: number): number {
    const bytes = this.#in;
    while (bytes[this.#at] === SPACE) this.#at++;
    if (bytes[this.#at] === LF) {
      this.#at++;
      if (this.#nextLine() < minIndent) throw GIVE_UP;
    }
    const c = bytes[this.#at];
    if (c === undefined) throw GIVE_UP;
    return c;
  }

  #flowSequence(minIndent: number, depth: number): void {
    if (depth > this.#maxDepth) throw GIVE_UP;
    this.#at++;
    this.#out[this.#end++] = OPEN_LIST;
    if (this.#skip(minIndent) === CLOSE_LIST) this.#at++;
    else
      for (;;) {
        this.#flowNode(minIndent, depth);
        const c = this.#skip(minIndent);
        this.#at++;
        if (c === CLOSE_LIST) break;
        if (c !== COMMA) throw GIVE_UP;
        this.#out[this.#end++] = COMMA;
        this.#skip(minIndent);
      }
    this.#out[this.#end++] = CLOSE_LIST;
  }

  #flowMapping(minIndent: number, depth: number, members?: Member[]): void {
    if (depth > this.#maxDepth) throw GIVE_UP;
    const base = this.#names.length;
    let distinct: Set<string> | undefined;
    this.#at++;
    this.#out[this.#end++] = OPEN_MAP;
    if (this.#skip(minIndent) === CLOSE_MAP) this.#at++;
    else
      for (;;) {
        const name = this.#key(false);
        distinct = this.#addName(name, base, distinct);
        const start = this.#end;
        this.#skip(minIndent);
        this.#flowNode(minIndent, depth);
        members?.push({ name, start, end: this.#end });
        const c = this.#skip(minIndent);
        this.#at++;
        if (c === CLOSE_MAP) break;
        if (c !== COMMA) throw GIVE_UP;
        this.#out[this.#end++] = COMMA;
        this.#skip(minIndent);
      }
    this.#out[this.#end++] = CLOSE_MAP;
    this.#names.length = base;
  }

  #flowNode(minIndent: number, depth: number): void {
    switch (this.#in[this.#at]) {
      case QUOTE:
        this.#double();
        break;
      case APOSTROPHE:
        this.#single();
        break;
      case OPEN_LIST:
        this.#flowSequence(minIndent, depth + 1);
        break;
      case OPEN_MAP:
        this.#flowMapping(minIndent, depth + 1);
        break;
      case STAR:
        this.#alias();
        break;
      case AMPERSAND: {
        const name = this.#anchorName();
        const start = this.#end;
        if (this.#in[this.#at] !== SPACE) throw GIVE_UP;
        const next = this.#skip(minIndent);
        if (next === AMPERSAND || next === STAR) throw GIVE_UP;
        this.#flowNode(minIndent, depth);
        this.#anchors!.set(name, [start, this.#end]);
        break;
      }
      case EXCLAMATION: {
        const tag = this.#tag();
        this.#taggedNode(tag, this.#skip(minIndent), minIndent, depth);
        break;
      }
      default:
        this.#flowPlain(minIndent);
    }
  }

  // --- scalars

  #plain(minIndent: number): void {
    const bytes = this.#in;
    const start = this.#at;
    const first = bytes[start]!;
    if (NO_PLAIN[first] || this.#isDash()) throw GIVE_UP;
    this.#plainLine(false);
    const end = this.#plainEnd;
    if (bytes[this.#at] === LF) this.#at++;
    if (this.#nextLine() < minIndent) {
      this.#writePlain(start);
      return;
    }
    let text = bytes.toString('utf8', start, end);
    while (this.#column >= minIndent) {
      text += this.#breaks === 1 ? ' ' : '\n'.repeat(this.#breaks - 1);
      const line = this.#at;
      this.#plainLine(false);
      text += bytes.toString('utf8', line, this.#plainEnd);
      if (bytes[this.#at] === LF) this.#at++;
      this.#nextLine();
    }
    this.#resolved(text);
  }

  #flowPlain(minIndent: number): void {
    const bytes = this.#in;
    const start = this.#at;
    const first = bytes[start]!;
    if (NO_PLAIN[first]) throw GIVE_UP;
    if (first === DASH && (bytes[start + 1] === LF || NO_PLAIN[bytes[start + 1]!])) throw GIVE_UP;
    this.#plainLine(true);
    if (bytes[this.#at] !== LF) {
      this.#writePlain(start);
      return;
    }
    let text = bytes.toString('utf8', start, this.#plainEnd);
    while (bytes[this.#at] === LF) {
      this.#at++;
      if (this.#nextLine() < minIndent) throw GIVE_UP;
      const c = bytes[this.#at]!;
      if (c === COMMA || c === CLOSE_LIST || c === CLOSE_MAP) break;
      text += this.#breaks === 1 ? ' ' : '\n'.repeat(this.#breaks - 1);
      const line = this.#at;
      this.#plainLine(true);
      text += bytes.toString('utf8', line, this.#plainEnd);
    }
    this.#resolved(text);
  }

  /** One line of a plain scalar, up to what ends it. */
  #plainLine(flow: boolean): void {
    const bytes = this.#in;
    let at = this.#at;
    let escapes = false;
    const length = bytes.length;
    for (; at < length; at++) {
      const c = bytes[at]!;
      if (IN_PLAIN[c] === 0) continue;
      if (c === LF) break;
      if (c === COLON) {
        const next = bytes[at + 1];
        if (next === undefined || next === SPACE || next === LF || next === TAB) throw GIVE_UP;
        // In flow it ends before another indicator too.
        if (
          flow &&
          (next === COMMA || next === OPEN_LIST || next === CLOSE_LIST || next === OPEN_MAP || next === CLOSE_MAP)
        )
          throw GIVE_UP;
      } else if (c === HASH) {
        if (at === this.#at || bytes[at - 1] === SPACE) throw GIVE_UP;
      } else if (c === QUOTE || c === BACKSLASH || c >= 0x80) escapes = true;
      else if (IN_PLAIN[c] === 2) throw GIVE_UP;
      else if (flow) {
        if (c === COMMA || c === CLOSE_LIST || c === CLOSE_MAP) break;
        throw GIVE_UP;
      }
    }
    let end = at;
    while (end > this.#at && bytes[end - 1] === SPACE) end--;
    if (end === this.#at) throw GIVE_UP;
    this.#at = at;
    this.#plainEnd = end;
    this.#plainEscape = escapes;
  }

  /** Writes a plain scalar of one line, which ends where the last line of one did. */
  #writePlain(start: number): void {
    const bytes = this.#in;
    const out = this.#out;
    const end = this.#plainEnd;
    const first = bytes[start]!;
    const maybe = MAYBE_VALUE[first] && (first < 0x41 || first === 0x7e || end - start <= 5);
    const kind = this.#plainEscape ? UNKNOWN : maybe ? this.#digits(start, end) : TEXT;
    if (kind === UNKNOWN) {
      this.#resolved(bytes.toString('utf8', start, end));
      return;
    }
    let at = this.#end;
    if (kind === TEXT) out[at++] = QUOTE;
    for (let i = start; i < end; i++) out[at++] = bytes[i]!;
    if (kind === TEXT) out[at++] = QUOTE;
    this.#end = at;
  }

  /** Most numbers are the same in JSON, and what has two points is an address. */
  #digits(start: number, end: number): typeof NUMBER | typeof TEXT | typeof UNKNOWN {
    const bytes = this.#in;
    let point = 0;
    for (let i = start; i < end; i++) {
      const c = bytes[i]!;
      if (c === POINT) {
        if (point > 0) return TEXT;
        point = i;
      } else if (c < 0x30 || c > 0x39) return UNKNOWN;
    }
    const whole = (point || end) - start;
    if (end - start > 30 || whole === 0 || point === end - 1 || (bytes[start] === 0x30 && whole > 1)) return UNKNOWN;
    return NUMBER;
  }

  #resolved(text: string): void {
    if (/[\x7f-\x84\x86-\x9f\ufeff\ufffe\uffff]/.test(text)) throw GIVE_UP;
    this.#text(this.#options.resolve(text) ?? JSON.stringify(text));
  }

  #single(): void {
    const bytes = this.#in;
    const out = this.#out;
    const length = bytes.length;
    let at = this.#at + 1;
    let end = this.#end;
    out[end++] = QUOTE;
    let literal = end; // what a fold may take spaces from
    for (;;) {
      let c = bytes[at]!;
      while (IN_SINGLE[c] === 0) {
        out[end] = c;
        end = (end + 1) | 0;
        at = (at + 1) | 0;
        c = at < length ? bytes[at]! : 0;
      }
      if (c === APOSTROPHE) {
        if (bytes[at + 1] !== APOSTROPHE) break;
        out[end++] = c;
        at += 2;
        literal = end;
      } else if (c === QUOTE || c === BACKSLASH) {
        out[end++] = BACKSLASH;
        out[end++] = c;
        at++;
      } else if (c === LF) {
        while (end > literal && out[end - 1] === SPACE) end--;
        this.#at = at + 1;
        end = this.#fold(end);
        at = this.#at;
        literal = end;
      } else throw GIVE_UP;
    }
    out[end++] = QUOTE;
    this.#end = end;
    this.#at = at + 1;
  }

  #double(): void {
    const bytes = this.#in;
    const out = this.#out;
    const length = bytes.length;
    let at = this.#at + 1;
    let end = this.#end;
    out[end++] = QUOTE;
    let literal = end; // what a fold may take spaces from
    for (;;) {
      let c = bytes[at]!;
      while (c >= SPACE && c !== QUOTE && c !== BACKSLASH) {
        out[end] = c;
        end = (end + 1) | 0;
        at = (at + 1) | 0;
        c = at < length ? bytes[at]! : 0;
      }
      if (c === BACKSLASH) {
        const e = bytes[at + 1]!;
        if (SAME_ESCAPE[e] === 1) {
          out[end] = BACKSLASH;
          out[end + 1] = e;
          end += 2;
          at += 2;
        } else if (e === LF) {
          const line = at + 2;
          at = line;
          while (bytes[at] === SPACE) at++;
          const next = bytes[at];
          if (at === line || next === undefined || next === LF || next === TAB) throw GIVE_UP;
          this.#lineStart = line;
        } else if (e === 0x78 || e === 0x75 || e === 0x55) {
          this.#at = at;
          end = this.#codePoint(end);
          at = this.#at;
        } else {
          const written = ESCAPES[e];
          if (written === undefined) throw GIVE_UP;
          for (let i = 0; i < written.length; i++) out[end++] = written[i]!;
          at += 2;
        }
        literal = end;
      } else if (c === QUOTE) break;
      else if (c === LF) {
        while (end > literal && out[end - 1] === SPACE) end--;
        this.#at = at + 1;
        end = this.#fold(end);
        at = this.#at;
        literal = end;
      } else throw GIVE_UP;
    }
    out[end++] = QUOTE;
    this.#end = end;
    this.#at = at + 1;
  }

  /** A line break within quotes: one is a space, of more one is left out. */
  #fold(at: number): number {
    let end = at;
    if (this.#nextLine(true) < 1) throw GIVE_UP;
    if (this.#breaks === 1) this.#out[end++] = SPACE;
    else
      for (let i = 1; i < this.#breaks; i++) {
        this.#out[end++] = BACKSLASH;
        this.#out[end++] = 0x6e;
      }
    return end;
  }

  /** `\xe9`, `\u20ac`, `\U0001f600`, and the pair of surrogates that Python 2 writes. */
  #codePoint(at: number): number {
    let code = this.#hex();
    if (code >= 0xd800 && code < 0xe000) {
      if (code >= 0xdc00 || this.#in[this.#at] !== BACKSLASH || this.#in[this.#at + 1] !== 0x75) throw GIVE_UP;
      const low = this.#hex();
      if (low < 0xdc00 || low >= 0xe000) throw GIVE_UP;
      code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    if (code > 0x10ffff) throw GIVE_UP;
    const out = this.#out;
    let end = at;
    if (code < 0x80) {
      if (code < 0x20 || code === QUOTE || code === BACKSLASH)
        return end + out.write(JSON.stringify(String.fromCharCode(code)).slice(1, -1), end, 'latin1');
      out[end++] = code;
    } else if (code < 0x800) {
      out[end++] = 0xc0 | (code >> 6);
      out[end++] = 0x80 | (code & 0x3f);
    } else if (code < 0x10000) {
      out[end++] = 0xe0 | (code >> 12);
      out[end++] = 0x80 | ((code >> 6) & 0x3f);
      out[end++] = 0x80 | (code & 0x3f);
    } else {
      out[end++] = 0xf0 | (code >> 18);
      out[end++] = 0x80 | ((code >> 12) & 0x3f);
      out[end++] = 0x80 | ((code >> 6) & 0x3f);
      out[end++] = 0x80 | (code & 0x3f);
    }
    return end;
  }

  /** The number of an escape that begins here, which is passed over. */
  #hex(): number {
    const bytes = this.#in;
    const kind = bytes[this.#at + 1];
    const last = this.#at + 2 + (kind === 0x78 ? 2 : kind === 0x75 ? 4 : 8);
    let code = 0;
    for (let at = this.#at + 2; at < last; at++) {
      const c = bytes[at];
      const digit = c === undefined ? -1 : HEX[c]!;
      if (digit < 0) throw GIVE_UP;
      code = code * 16 + digit;
    }
    this.#at = last;
    return code;
  }

  #text(text: string): void {
    this.#end += this.#out.write(text, this.#end);
  }
}

const HEX = new Int8Array(256).fill(-1);
for (let i = 0; i < 16; i++) {
  HEX[i.toString(16).charCodeAt(0)] = i;
  HEX[i.toString(16).toUpperCase().charCodeAt(0)] = i;
}

/** A name that an object of JavaScript would put in front. */
function isIndex(name: string): boolean {
  const first = name.charCodeAt(0);
  return first >= 0x30 && first <= 0x39 && /^(?:0|[1-9]\d{0,9})$/.test(name);
}
