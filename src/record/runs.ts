// Where bytes of one kind stand together: what secrets are written with, in texts that mostly are something else.
import code from '../wasm/runs.wasm';

/** 1 for every byte of a kind; only bytes of ASCII are of any. */
export type Kind = Uint8Array;

export function kind(characters: string): Kind {
  const table = new Uint8Array(256);
  for (const c of characters) table[c.charCodeAt(0)] = 1;
  return table;
}

const DIGITS = '0123456789';
const HEX_LETTERS = 'abcdefABCDEF';
const CAPITALS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ';
const LETTERS = CAPITALS + CAPITALS.toLowerCase();

export const DIGIT = kind(DIGITS);
export const HEX = kind(DIGITS + HEX_LETTERS);
export const CAPITAL = kind(CAPITALS);
export const LETTER = kind(LETTERS);
export const WORD = kind(DIGITS + LETTERS);

/** Runs that somebody asks for. */
export interface Wanted {
  of: Kind;
  /** Their least length, 3 at least. */
  min: number;
  /** How many of their bytes at least are of another kind. */
  needs?: { of: Kind; count: number } | undefined;
}

/**
 * Gives every run, from left to right. Only every min-th byte is looked at until one is of the kind, so what it
 * costs does not depend on what is searched for.
 */
export function eachRun(
  bytes: Uint8Array,
  { of, min, needs }: Wanted,
  visit: (start: number, end: number) => void,
): void {
  const to = bytes.length;
  let start = 0;
  for (let at = min - 1; at < to; ) {
    if (of[bytes[at]!] === 0) {
      start = at + 1;
      at += min;
      continue;
    }
    let before = at - 1;
    while (before >= start && of[bytes[before]!] === 1) before--;
    if (before >= start) {
      start = before + 1;
      at = before + min;
      continue;
    }
    let end = at + 1;
    while (end < to && of[bytes[end]!] === 1) end++;
    if (!needs || has(bytes, start, end, needs.of, needs.count)) visit(start, end);
    start = end + 1;
    at = end + min;
  }
}

function has(bytes: Uint8Array, start: number, end: number, of: Kind, count: number): boolean {
  let left = count;
  for (let i = start; i < end && left > 0; i++) if (of[bytes[i]!] === 1) left--;
  return left === 0;
}

// --- over a whole text: WebAssembly, which sees a copy of it

interface Exports {
  memory: WebAssembly.Memory;
  find(
    start: number,
    end: number,
    kinds: number,
    count: number,
    words: number,
    wordCount: number,
    out: number,
    outEnd: number,
  ): number;
  among(start: number, end: number, length: number, bits: number, out: number, outEnd: number): number;
}

/** Memory in bytes: the kinds behind their rows, the words, what was found, bits of what is looked for, then the text. */
const TABLES = 2048;
const KINDS = TABLES + 16;
const KIND_BYTES = 128;
const WORDS = KINDS + 8 * KIND_BYTES;
const WORD_BYTES = 8;
const FOUND = 65536;
const BITS = 17 * 65536;
const TEXT = 22 * 65536;
/** Behind a text, for zeros. */
const BEHIND = 80;
/** A larger text is searched where it is. */
const LONGEST_COPY = 512 * 1024 * 1024;

/** A memory with texts in it, and the code that searches them. */
class Engine {
  readonly #exports: Exports;
  #bytes: Uint8Array;
  #loaded: object | undefined;
  #bits: Uint8Array | undefined;

  constructor() {
    this.#exports = new WebAssembly.Instance(new WebAssembly.Module(code)).exports as unknown as Exports;
    this.#bytes = new Uint8Array(this.#exports.memory.buffer);
  }

  /** Makes room for texts of so many bytes in all; what was given of the memory before is good no more. */
  reserve(length: number): Uint8Array {
    const { memory } = this.#exports;
    const lacking = TEXT + length + BEHIND - this.#bytes.length;
    if (lacking > 0) {
      memory.grow(Math.ceil(lacking / 65536));
      this.#bytes = new Uint8Array(memory.buffer);
    }
    return this.#bytes;
  }

  holds(text: Uint8Array): boolean {
    return text.buffer === this.#bytes.buffer;
  }

  find(tables: Uint8Array, wanted: number, words: number, start: number, end: number): Uint32Array | undefined {
    if (this.#loaded !== tables) this.#bytes.set(tables, TABLES);
    this.#loaded = tables;
    return this.#finds(this.#exports.find(start, end, KINDS, wanted, WORDS, words, FOUND, BITS), 3);
  }

  among(bits: Uint8Array, length: number, start: number, end: number): Uint32Array | undefined {
    if (this.#bits !== bits) this.#bytes.set(bits, BITS);
    this.#bits = bits;
    return this.#finds(this.#exports.among(start, end, length, BITS, FOUND, BITS), 1);
  }

  #finds(count: number, words: number): Uint32Array | undefined {
    if (count === 0) return NONE;
    return count < 0 ? undefined : new Uint32Array(this.#bytes.buffer, FOUND, count * words).slice();
  }
}

const NONE = new Uint32Array(0);

/** For texts that are copied, and for those that are made there. */
let copies: Engine | undefined;
let workroom: Engine | undefined;

/**
 * Room for a text that is made to be searched, which then needs no copy.
 * @param within the one that this one comes out of, which is longer and stays as it is; without it, what was in the
 * room before is good no more
 */
export function room(length: number, within?: Buffer): Buffer {
  workroom ??= new Engine();
  // Enough for what comes out of it in its turn.
  if (!within || !workroom.holds(within)) {
    const bytes = workroom.reserve(4 * (length + BEHIND));
    return Buffer.from(bytes.buffer, TEXT, length);
  }
  const { buffer } = within;
  return Buffer.from(buffer, within.byteOffset + within.length + BEHIND, length);
}

/** Looks for runs of several kinds, and for words, in one go. */
export class RunFinder {
  readonly #wanted: number;
  readonly #words: number;
  readonly #tables = new Uint8Array(WORDS + 8 * WORD_BYTES - TABLES);

  /**
   * @param wanted eight at most
   * @param words eight at most, in ASCII: told where they may begin, by their first four bytes
   */
  constructor(wanted: readonly Wanted[], words: readonly string[]) {
    this.#wanted = wanted.length;
    this.#words = words.length;
    const bytes = this.#tables;
    const view = new DataView(bytes.buffer);
    // A byte is of a kind where the row of its high half and the column of its low half have a bit in common.
    for (let row = 0; row < 8; row++) bytes[row] = 1 << row;
    const columns = (at: number, of: Kind) => {
      for (let c = 0; c < 128; c++) if (of[c] === 1) bytes[at + (c & 15)]! |= 1 << (c >> 4);
    };
    for (const [i, { of, min, needs }] of wanted.entries()) {
      const at = KINDS - TABLES + i * KIND_BYTES;
      columns(at, of);
      if (needs) columns(at + 16, needs.of);
      view.setUint32(at + 32, min, true);
      view.setUint32(at + 36, Math.min(4, Math.floor(Math.log2(min))), true);
      view.setUint32(at + 40, needs?.count ?? 0, true);
    }
    for (const [i, word] of words.entries()) {
      // Two of its bytes are looked for first; signs and digits are rarer than letters.
      const rare = Math.max(0, word.search(/[^a-z"]./));
      const at = WORDS - TABLES + i * WORD_BYTES;
      bytes.set([word.charCodeAt(rare), word.charCodeAt(rare + 1), rare], at);
      view.setUint32(at + 4, Buffer.from(word).readUInt32LE(), true);
    }
  }

  /**
   * Finds of one text: the number of what was wanted, or behind these that of a word, and where it stands; three
   * numbers each.
   * @returns undefined where there are too many, or the text is too long
   */
  find(text: Uint8Array): Uint32Array | undefined {
    const { length } = text;
    if (workroom?.holds(text))
      return workroom.find(this.#tables, this.#wanted, this.#words, text.byteOffset, text.byteOffset + length);
    if (length > LONGEST_COPY) return undefined;
    copies ??= new Engine();
    copies.reserve(length).set(text, TEXT);
    return copies.find(this.#tables, this.#wanted, this.#words, TEXT, TEXT + length);
  }
}

/** Two bytes, and twenty bits after one another: most of what is no beginning is told by the first table alone. */
const PAIRS = 65536 / 8;
const TWENTY = (1 << 20) / 8;

/** Looks for beginnings of byte strings, six bytes each, among all that a text holds. */
export class BeginningFinder {
  readonly #bits = new Uint8Array(PAIRS + 2 * TWENTY);
  readonly #length: number;

  /** @param length of the whole strings in bytes: where fewer are left, none begins */
  constructor(length: number) {
    this.#length = length;
  }

  add(beginning: Uint8Array): void {
    const add = (table: number, bit: number) => {
      this.#bits[table + (bit >> 3)]! |= 1 << (bit & 7);
    };
    add(0, beginning[0]! | (beginning[1]! << 8));
    add(PAIRS, twentyBits(beginning, 0));
    add(PAIRS + TWENTY, twentyBits(beginning, 3));
  }

  /** Whether a string may begin with these 20 bits. */
  has(bits: number): boolean {
    return (this.#bits[PAIRS + (bits >> 3)]! & (1 << (bits & 7))) !== 0;
  }

  /** Where one may begin, in a text that stands in a `room`. @returns undefined where there are too many */
  find(text: Uint8Array): Uint32Array | undefined {
    return workroom?.among(this.#bits, this.#length, text.byteOffset, text.byteOffset + text.length);
  }
}

/** The first twenty bits of what stands there. */
export function twentyBits(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 12) | (bytes[at + 1]! << 4) | (bytes[at + 2]! >> 4);
}
