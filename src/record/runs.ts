// Where bytes of one kind stand together: what a secret is written with, in texts that mostly are something else.

/** 1 for every byte of a kind. */
export type Kind = Uint8Array;

export function kind(characters: string): Kind {
  const table = new Uint8Array(256);
  for (const c of characters) table[c.charCodeAt(0)] = 1;
  return table;
}

const DIGITS = '0123456789';
const HEX_LETTERS = 'abcdefABCDEF';
const LETTERS = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ';

export const DIGIT = kind(DIGITS);
export const HEX = kind(DIGITS + HEX_LETTERS);
export const LETTER = kind(LETTERS);
export const WORD = kind(DIGITS + LETTERS);

/**
 * Gives every run of at least `min` bytes of a kind, from left to right. Only every min-th byte is looked at
 * until one is of the kind, so what it costs does not depend on what is searched for.
 */
export function eachRun(bytes: Uint8Array, of: Kind, min: number, visit: (start: number, end: number) => void): void {
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
    visit(start, end);
    start = end + 1;
    at = end + min;
  }
}
