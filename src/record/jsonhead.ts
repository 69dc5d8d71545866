// The first object of a stream of JSON, read as it comes: a record may be larger than memory should hold, and only
// a few of its members are wanted.
import { JsonError } from './json.ts';
import type { HeaderValue } from './yaml.ts';

/** What may come between two tokens. */
type Next = 'value' | 'first item' | 'name' | 'first name' | 'colon' | 'comma';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OBJECT = 0x7b;
const ARRAY = 0x5b;

const SCALAR = /^(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)$/;
const LONGEST_SCALAR = 8192;
/** Of a value that is kept, and of a member's name, in bytes as they stand. */
const LONGEST_KEPT = 8192;
const DEEPEST = 100_000;

/** In the place of a text that is too long to be kept. */
const TOO_LONG = '…';

/**
 * Push bytes until it is `done`; then `members` has what was wanted, of doubles the last. Of a list or an object no
 * more is kept than that it was one.
 */
export class FirstObject {
  readonly members: Record<string, HeaderValue> = Object.create(null);
  done = false;
  #wanted: ReadonlySet<string>;
  #next: Next = 'value';
  #open: number[] = [];
  #offset = 0;
  /** The member of the top object that a value belongs to. */
  #name = '';
  /** Within a string: the bytes of one that may be wanted, as they stand; null for others. */
  #string: Buffer[] | null | undefined;
  #kept = 0;
  /** After a backslash -1, then how many hex digits must come. */
  #escape = 0;
  /** Within a number or a word. */
  #scalar: string | undefined;

  constructor(wanted: readonly string[]) {
    this.#wanted = new Set(wanted);
  }

  /** @throws JsonError where this is no JSON, or its first value no object */
  push(chunk: Uint8Array): void {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
    let at = 0;
    while (at < bytes.length && !this.done) {
      if (this.#string !== undefined) at = this.#inString(bytes, at);
      else if (this.#scalar !== undefined) at = this.#inScalar(bytes, at);
      else at = this.#between(bytes, at);
    }
    this.#offset += bytes.length;
  }

  /** The input has ended. @throws JsonError where the object has not */
  end(): void {
    if (!this.done) this.#fail('the text ends within the first object', 0);
  }

  #fail(message: string, at: number): never {
    throw new JsonError(message, this.#offset + at);
  }

  #between(bytes: Buffer, at: number): number {
    const c = bytes[at]!;
    if (c === 0x20 || c === 0x0a || c === 0x0d || c === 0x09) return at + 1;
    const next = this.#next;
    if (next === 'colon') {
      if (c !== 0x3a) this.#fail("a ':' is missing", at);
      this.#next = 'value';
    } else if (next === 'comma' || (next === 'first name' && c === 0x7d) || (next === 'first item' && c === 0x5d)) {
      if (c === 0x2c && next === 'comma') this.#next = this.#open.at(-1) === OBJECT ? 'name' : 'value';
      else if (c === this.#open.at(-1)! + 2)
        this.#close(); // `}` and `]` stand two behind `{` and `[`
      else this.#fail("a ',' or the end of an object or list is missing", at);
    } else if (next === 'name' || next === 'first name') {
      if (c !== QUOTE) this.#fail('a member name is missing', at);
      this.#begin(this.#open.length === 1);
    } else if (this.#open.length === 0 && c !== OBJECT) this.#fail('not an object', at);
    else if (c === OBJECT || c === ARRAY) {
      if (this.#open.length >= DEEPEST) this.#fail(`nested deeper than ${DEEPEST} levels`, at);
      if (this.#isWanted()) this.members[this.#name] = c === OBJECT ? {} : [];
      this.#open.push(c);
      this.#next = c === OBJECT ? 'first name' : 'first item';
    } else if (c === QUOTE) this.#begin(this.#isWanted());
    else {
      this.#scalar = '';
      return at;
    }
    return at + 1;
  }

  #isWanted(): boolean {
    return this.#open.length === 1 && this.#wanted.has(this.#name);
  }

  #close(): void {
    this.#open.pop();
    this.#next = 'comma';
    if (this.#open.length === 0) this.done = true;
  }

  #begin(keep: boolean): void {
    this.#string = keep ? [] : null;
    this.#kept = 0;
  }

  #inString(bytes: Buffer, from: number): number {
    let at = from;
    for (; at < bytes.length; at++) {
      const c = bytes[at]!;
      if (this.#escape > 0) {
        if (!isHex(c)) this.#fail('an escape without four hex digits', at);
        this.#escape--;
      } else if (this.#escape === -1) {
        if (!'"\\/bfnrtu'.includes(String.fromCharCode(c))) this.#fail('an unknown escape', at);
        this.#escape = c === 0x75 ? 4 : 0;
      } else if (c === BACKSLASH) this.#escape = -1;
      else if (c === QUOTE) break;
      else if (c < 0x20) this.#fail('a control character inside a string', at);
    }
    this.#keep(bytes.subarray(from, at));
    if (at === bytes.length) return at;
    this.#endString(at);
    return at + 1;
  }

  #keep(piece: Buffer): void {
    this.#kept += piece.length;
    if (this.#kept > LONGEST_KEPT) this.#string = null;
    this.#string?.push(Buffer.from(piece)); // a copy: the source may use its chunk again
  }

  #endString(at: number): void {
    const pieces = this.#string;
    this.#string = undefined;
    const isName = this.#next === 'name' || this.#next === 'first name';
    if (isName) {
      this.#next = 'colon';
      if (this.#open.length === 1) this.#name = pieces ? this.#text(pieces, at) : '';
      return;
    }
    this.#next = 'comma';
    if (this.#isWanted()) this.members[this.#name] = pieces ? this.#text(pieces, at) : TOO_LONG;
  }

  #text(pieces: Buffer[], at: number): string {
    try {
      return JSON.parse(`"${new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(pieces))}"`);
    } catch {
      return this.#fail('not UTF-8', at);
    }
  }

  #inScalar(bytes: Buffer, from: number): number {
    let at = from;
    while (at < bytes.length && isScalar(bytes[at]!)) at++;
    this.#scalar += bytes.toString('latin1', from, at);
    if (this.#scalar!.length > LONGEST_SCALAR) this.#fail('a number of too many digits', at);
    if (at === bytes.length) return at;
    const text = this.#scalar!;
    this.#scalar = undefined;
    if (!SCALAR.test(text)) this.#fail('a value is missing', at);
    this.#next = 'comma';
    if (this.#isWanted()) this.members[this.#name] = scalarOf(text);
    return at;
  }
}

function scalarOf(text: string): HeaderValue {
  const value = JSON.parse(text) as HeaderValue;
  return typeof value === 'number' && Number.isInteger(value) && !Number.isSafeInteger(value) ? text : value;
}

function isHex(c: number): boolean {
  return (c >= 0x30 && c <= 0x39) || (c >= 0x41 && c <= 0x46) || (c >= 0x61 && c <= 0x66);
}

/** A byte of a number or of `true`, `false` and `null`. */
function isScalar(c: number): boolean {
  return (c >= 0x30 && c <= 0x39) || (c >= 0x61 && c <= 0x7a) || c === 0x45 || c === 0x2b || c === 0x2d || c === 0x2e;
}
