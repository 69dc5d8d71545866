// The strings of a JSON text: what each says, and which of its bytes says what, so that a part can be replaced.

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** Places of a string's content, between its quotes, in a text that is JSON. `isName` for a member's name. */
export function eachString(
  json: Buffer,
  from: number,
  to: number,
  visit: (start: number, end: number, isName: boolean) => void,
): void {
  for (let quote = json.indexOf(QUOTE, from); quote !== -1 && quote < to; ) {
    const end = stringEnd(json, quote);
    let after = end + 1;
    while (after < to && isSpace(json[after]!)) after++;
    visit(quote + 1, end, json[after] === 0x3a);
    quote = json.indexOf(QUOTE, end + 1);
  }
}

/** The quote that closes the string that opens at `quote`. */
export function stringEnd(json: Buffer, quote: number): number {
  for (let end = json.indexOf(QUOTE, quote + 1); ; end = json.indexOf(QUOTE, end + 1)) {
    if (end === -1) throw new Error('a string is not closed');
    let before = end;
    while (json[before - 1] === BACKSLASH) before--;
    if ((end - before) % 2 === 0) return end;
  }
}

export function isSpace(c: number): boolean {
  return c === 0x20 || c === 0x09 || c === 0x0a || c === 0x0d;
}

/** What a string says. */
export interface Text {
  /** In UTF-8; a surrogate alone is one byte 0xFF. Good until the next text is read. */
  bytes: Buffer;
  /** Where the character of a byte begins in the JSON. */
  at(byte: number): number;
}

/** Kept from one string to the next, unless it is very long. */
const ROOM = 4 * 1024 * 1024;
let kept = { bytes: Buffer.alloc(0), places: new Uint32Array(0) };

function roomFor(length: number): typeof kept {
  if (kept.bytes.length >= length) return kept;
  const size = length > ROOM ? length : Math.min(length * 2, ROOM);
  const room = { bytes: Buffer.allocUnsafe(size), places: new Uint32Array(size + 1) };
  if (size <= ROOM) kept = room;
  return room;
}

/** Reads the content of a string, at [start, end) of JSON. */
export function readString(json: Buffer, start: number, end: number): Text {
  const first = json.indexOf(BACKSLASH, start);
  if (first === -1 || first >= end) return { bytes: json.subarray(start, end), at: (byte) => start + byte };
  const { bytes, places } = roomFor(end - start);
  let length = 0;
  const put = (at: number, byte: number) => {
    places[length] = at;
    bytes[length++] = byte;
  };
  for (let at = start; at < end; ) {
    const c = json[at]!;
    if (c !== BACKSLASH) {
      put(at++, c);
      continue;
    }
    const letter = json[at + 1]!;
    if (letter !== 0x75) {
      put(at, PLAIN_ESCAPE.get(letter) ?? letter);
      at += 2;
      continue;
    }
    let code = unitAt(json, at);
    if (Number.isNaN(code)) {
      put(at++, c); // no JSON, but a text that may be searched all the same
      continue;
    }
    let taken = 6;
    if (code >= 0xd800 && code < 0xdc00 && json[at + 6] === BACKSLASH && json[at + 7] === 0x75) {
      const low = unitAt(json, at + 6);
      if (low >= 0xdc00 && low < 0xe000) {
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        taken = 12;
      }
    }
    if (code < 0x80) put(at, code);
    else if (code >= 0xd800 && code < 0xe000) put(at, 0xff);
    else for (const byte of Buffer.from(String.fromCodePoint(code))) put(at, byte);
    at += taken;
  }
  places[length] = end;
  return { bytes: bytes.subarray(0, length), at: (byte) => places[byte]! };
}

const PLAIN_ESCAPE = new Map([
  [0x62, 0x08],
  [0x66, 0x0c],
  [0x6e, 0x0a],
  [0x72, 0x0d],
  [0x74, 0x09],
]);

function unitAt(json: Buffer, at: number): number {
  const digits = json.toString('latin1', at + 2, at + 6);
  return /^[0-9a-fA-F]{4}$/.test(digits) ? Number.parseInt(digits, 16) : Number.NaN;
}

/** End of the value that begins at `at`, in valid JSON. */
export function valueEnd(json: Buffer, at: number): number {
  if (json[at] === QUOTE) return stringEnd(json, at) + 1;
  let depth = 0;
  for (let i = at; ; i++) {
    const c = json[i];
    if (c === undefined) return i;
    if (c === QUOTE) i = stringEnd(json, i);
    else if (c === 0x7b || c === 0x5b) depth++;
    else if (c === 0x7d || c === 0x5d) {
      if (--depth <= 0) return depth < 0 ? i : i + 1;
    } else if (depth === 0 && (c === 0x2c || isSpace(c))) return i;
  }
}

/** A text as it stands in a JSON string. */
export function inString(text: Buffer): string {
  return JSON.stringify(text.toString()).slice(1, -1);
}

/** Something else in the place of [start, end). */
export interface Edit {
  start: number;
  end: number;
  text: string;
}

/** The text with its edits, which do not overlap. */
export function edited(json: Buffer, edits: readonly Edit[]): Buffer {
  if (edits.length === 0) return json;
  const pieces: Buffer[] = [];
  let at = 0;
  for (const { start, end, text } of [...edits].sort((a, b) => a.start - b.start)) {
    pieces.push(json.subarray(at, start), Buffer.from(text));
    at = end;
  }
  pieces.push(json.subarray(at));
  return Buffer.concat(pieces);
}
