// A strict JSON reader (RFC 8259) that tells where things are and changes nothing: the bytes of a
// measurement travel on as the probe wrote them, so values are cut out, never parsed and written again.
import { isUtf8 } from 'node:buffer';

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

/**
 * Reads one JSON value that fills the buffer but for white space.
 * Numbers of any size and `\ud800` alone are kept: they are JSON, whatever a language makes of them.
 * @throws JsonError
 */
export function readJson(bytes: Buffer, limits: JsonLimits = {}): Document {
  if (!isUtf8(bytes)) throw new JsonError('not UTF-8', firstInvalid(bytes));
  const maxDepth = limits.maxDepth ?? 500;
  const keep = limits.keep ?? 1;
  const { names, first = 0 } = limits;
  const length = bytes.length;
  let at = 0;
  let lineFeed = false;

  const fail = (message: string): never => {
    throw new JsonError(at >= length ? `${message}, but the text ends` : message, at);
  };

  const space = () => {
    for (; at < length; at++) {
      const c = bytes[at];
      if (c === 0x0a) lineFeed = true;
      else if (c !== 0x20 && c !== 0x0d && c !== 0x09) return;
    }
  };

  /** From the opening quote to past the closing one. @returns whether an escape was seen */
  const string = (): boolean => {
    let escaped = false;
    at++;
    for (;;) {
      while (PLAIN[bytes[at]!] === 1) at++;
      if (at >= length) return fail('a string is not closed');
      const c = bytes[at];
      if (c === QUOTE) {
        at++;
        return escaped;
      }
      if (c !== BACKSLASH) return fail('a control character inside a string');
      escaped = true;
      const kind = ESCAPE[bytes[at + 1] ?? 0];
      if (kind === 0 || at + 1 >= length) return fail('an unknown escape');
      if (kind === 2) {
        for (let i = 2; i < 6; i++) {
          if (at + i >= length || HEX[bytes[at + i]!] === 0) return fail('an escape without four hex digits');
        }
        at += 6;
      } else {
        at += 2;
      }
    }
  };

  const digits = () => {
    const start = at;
    while (at < length && bytes[at]! >= 0x30 && bytes[at]! <= 0x39) at++;
    if (at === start) fail('a digit is missing');
  };

  const number = () => {
    if (bytes[at] === 0x2d) at++;
    if (bytes[at] === 0x30) at++;
    else digits();
    if (bytes[at] === 0x2e) {
      at++;
      digits();
    }
    if (bytes[at] === 0x65 || bytes[at] === 0x45) {
      at++;
      if (bytes[at] === 0x2b || bytes[at] === 0x2d) at++;
      digits();
    }
  };

  const word = (text: 'true' | 'false' | 'null') => {
    for (let i = 0; i < text.length; i++) if (bytes[at + i] !== text.charCodeAt(i)) fail('a value is missing');
    at += text.length;
    return text;
  };

  /** A value that is no container. */
  const scalar = (): Value => {
    const start = at;
    const c = bytes[at];
    let type: Value['type'];
    if (c === QUOTE) {
      string();
      type = 'string';
    } else if (c === 0x74) type = word('true');
    else if (c === 0x66) type = word('false');
    else if (c === 0x6e) type = word('null');
    else if (c === 0x2d || (c !== undefined && c >= 0x30 && c <= 0x39)) {
      number();
      type = 'number';
    } else return fail('a value is missing');
    return { type, start, end: at };
  };

  const record = (members: Member[], one: Member, top: boolean) => {
    const bound = top ? first : 0;
    if (!names || members.length < bound) members.push(one);
    else if (names.includes(one.key)) {
      const before = members.findIndex(({ key }, i) => i >= bound && key === one.key);
      if (before === -1) members.push(one);
      else members[before] = one;
    }
  };

  // Containers are walked with a stack of our own: the depth of a forged document is not our stack's.
  const open: Value[] = [];
  space();
  for (;;) {
    const within = open.at(-1);
    let key = '';
    const keyStart = at;
    if (within?.type === 'object') {
      if (bytes[at] !== QUOTE) fail('a member name is missing');
      const escaped = string();
      // A name is decoded only where it may be recorded.
      if (within.members && (!names || at - keyStart <= LONGEST_NAME || within.members.length < first)) {
        key = escaped ? JSON.parse(bytes.toString('utf8', keyStart, at)) : bytes.toString('utf8', keyStart + 1, at - 1);
      }
      space();
      if (bytes[at] !== 0x3a) fail("a ':' is missing");
      at++;
      space();
    }

    let value: Value;
    const c = bytes[at];
    if (c === 0x7b || c === 0x5b) {
      if (open.length >= maxDepth) fail(`nested deeper than ${maxDepth} levels`);
      value = { type: c === 0x7b ? 'object' : 'array', start: at, end: -1 };
      if (open.length < keep) {
        if (c === 0x7b) value.members = [];
        else value.items = [];
      }
      at++;
      space();
    } else {
      value = scalar();
    }
    if (within?.members) record(within.members, { key, keyStart, value }, open.length === 1);
    else if (within?.items) within.items.push(value);
    if (value.end === -1) {
      open.push(value);
      if (bytes[at] !== (value.type === 'object' ? 0x7d : 0x5d)) continue; // its first member comes
    }

    // A value is complete, or an empty container stands before its end: close all that ends here.
    for (;;) {
      const top = open.at(-1);
      if (!top) {
        const seen = lineFeed;
        space();
        if (at < length) fail('text after the end of the value');
        return { value, lineFeed: seen };
      }
      space();
      if (bytes[at] === 0x2c) {
        at++;
        space();
        break;
      }
      if (bytes[at] !== (top.type === 'object' ? 0x7d : 0x5d)) {
        fail(top.type === 'object' ? "a ',' or '}' is missing" : "a ',' or ']' is missing");
      }
      at++;
      top.end = at;
      value = top;
      open.pop();
    }
  }
}

/** The member that a reader of JSON gets: of several with one name, the last. */
export function member(value: Value, key: string): Value | undefined {
  return value.members?.findLast((m) => m.key === key)?.value;
}

/** Text of a string value; undefined for anything else. */
export function stringOf(bytes: Buffer, value: Value | undefined): string | undefined {
  if (value?.type !== 'string') return undefined;
  return JSON.parse(bytes.toString('utf8', value.start, value.end)) as string;
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
