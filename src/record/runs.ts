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

interface Finder {
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
}
let finder: Finder | undefined;
/** Whose kinds and words are in its memory. */
let loaded: RunFinder | undefined;

/** Its memory, in bytes: the kinds behind their rows, the words, then what was found, then the text. */
const TABLES = 2048;
const KINDS = TABLES + 16;
const KIND_BYTES = 128;
const WORDS = KINDS + 8 * KIND_BYTES;
const WORD_BYTES = 8;
const FOUND = 65536;
const TEXT = 17 * 65536;
const BEHIND = 80;
/** A larger text is searched where it is. */
const LONGEST_COPY = 512 * 1024 * 1024;

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
      // One of its bytes is looked for first; signs and digits are rarer than letters.
      const rare = Math.max(0, word.search(/[^a-z"]/));
      const at = WORDS - TABLES + i * WORD_BYTES;
      bytes.set([word.charCodeAt(rare), rare], at);
      view.setUint32(at + 4, Buffer.from(word).readUInt32LE(), true);
    }
  }

  /**
   * Finds of one text: the number of what was wanted, or behind these that of a word, and where it stands; three
   * numbers each. They are good until the next text.
   * @returns undefined where there are too many, or the text is too long
   */
  find(text: Uint8Array): Uint32Array | undefined {
    if (text.length > LONGEST_COPY) return undefined;
    finder ??= new WebAssembly.Instance(new WebAssembly.Module(code)).exports as unknown as Finder;
    const { memory } = finder;
    const lacking = TEXT + text.length + BEHIND - memory.buffer.byteLength;
    if (lacking > 0) memory.grow(Math.ceil(lacking / 65536));
    const bytes = new Uint8Array(memory.buffer);
    if (loaded !== this) bytes.set(this.#tables, TABLES);
    loaded = this;
    bytes.set(text, TEXT);
    const count = finder.find(TEXT, TEXT + text.length, KINDS, this.#wanted, WORDS, this.#words, FOUND, TEXT);
    return count < 0 ? undefined : new Uint32Array(memory.buffer, FOUND, count * 3);
  }
}
