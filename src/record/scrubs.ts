// What is taken out of strings only where somebody asks for it.
import { findAddresses, isLocal } from './addresses.ts';
import { type Range, withoutOverlap } from './ranges.ts';

export type Scrub = 'endpoint' | 'mail' | 'mac';

const MAIL = /[\w.%+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}/g;
const MAC = /(?<![0-9a-f][:-]?)[0-9a-f]{2}([:-])(?:[0-9a-f]{2}\1){4}[0-9a-f]{2}(?![:-]?[0-9a-f])/gi;
const PORT = /^\]?(?::[0-9]{1,5}(?![0-9]))?/;

/** Where a text has them; texts are in one byte a character. */
export const SCRUBS: Record<Scrub, (text: string) => Range[]> = {
  endpoint(text) {
    const found: Range[] = [];
    findAddresses(Buffer.from(text, 'latin1'), (address, start, end) => {
      if (isLocal(address)) return false;
      const bracketed = text[start - 1] === '[' && text[end] === ']';
      const [port] = bracketed || text[end] === ':' ? PORT.exec(text.slice(end))! : [''];
      found.push({ start: bracketed ? start - 1 : start, end: end + port.length });
      return true;
    });
    return withoutOverlap(found);
  },
  mail: (text) => matches(text, MAIL),
  mac: (text) => matches(text, MAC),
};

/** Members whose strings tell of a failure. */
export function tellsFailure(name: string): boolean {
  return /(?:failure|error)s?$/i.test(name);
}

function matches(text: string, pattern: RegExp): Range[] {
  return [...text.matchAll(pattern)].map(({ 0: found, index }) => ({ start: index, end: index + found.length }));
}
