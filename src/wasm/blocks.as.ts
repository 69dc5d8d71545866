// Blocks of deflated bytes (RFC 1951), from a text and the matches that were found in it: AssemblyScript, compiled to
// WebAssembly. Matches are noted with `match`, the literals around them with `literal`; a block is written when they are many.
import { LENGTH_BASE, LENGTH_EXTRA, PRE_ORDER } from './rfc1951.as';

/** Two of them never come, and have a word in the fixed code. */
// @ts-ignore: a decorator of AssemblyScript
@inline const LITS: u32 = 288;
// @ts-ignore
@inline const DISTS: u32 = 30;
// @ts-ignore
@inline const PRES: u32 = 19;
// @ts-ignore
@inline const BLOCK_END: u32 = 256;
// @ts-ignore
@inline const FIRST_LENGTH: u32 = 257;
/** A match is never shorter; lengths are kept without it. */
// @ts-ignore
@inline const SHORTEST: u32 = 3;
/** Nor longer. */
// @ts-ignore
@inline export const LONGEST: usize = 258;

// Addresses: below 64 KB. How often each symbol came:
// @ts-ignore
@inline const LIT_FREQS: usize = 16384;
// @ts-ignore
@inline const DIST_FREQS: usize = LIT_FREQS + 4 * 288;
// @ts-ignore
@inline const PRE_FREQS: usize = DIST_FREQS + 4 * 32;
// Lengths of words: those of distances stand behind those of literals, as they are written.
// @ts-ignore
@inline const LIT_LENS: usize = PRE_FREQS + 4 * 32;
// @ts-ignore
@inline const DIST_LENS: usize = LIT_LENS + 288;
// @ts-ignore
@inline const PRE_LENS: usize = DIST_LENS + 32;
/** The lengths that are written, without what is unused at the end of the first. */
// @ts-ignore
@inline const ALL_LENS: usize = PRE_LENS + 32;
// Words, in the lower 24 bits, and how many bits they are, above. Those of lengths have their extra bits with them.
// @ts-ignore
@inline const LIT_WORDS: usize = ALL_LENS + 320;
// @ts-ignore
@inline const DIST_WORDS: usize = LIT_WORDS + 4 * 288;
// @ts-ignore
@inline const PRE_WORDS: usize = DIST_WORDS + 4 * 32;
// @ts-ignore
@inline const LENGTH_WORDS: usize = PRE_WORDS + 4 * 32;
/** Symbols of lengths, by length. */
// @ts-ignore
@inline const LENGTH_SYMBOLS: usize = LENGTH_WORDS + 4 * 256;
/** Those of distances: of the near ones one by one, of the others every 128th. */
// @ts-ignore
@inline const DIST_SYMBOLS: usize = LENGTH_SYMBOLS + 256;
/** Lengths of words with repeats told in short: a symbol, and its extra bits above 8. */
// @ts-ignore
@inline const RUNS: usize = DIST_SYMBOLS + 512;
/** Symbols that came, rarest first: how often, and the symbol in the lowest 9 bits. */
// @ts-ignore
@inline const SORTED: usize = RUNS + 2 * 320;
// Inner nodes of a tree, in the order in which they are made: weight, parent, depth.
// @ts-ignore
@inline const WEIGHTS: usize = SORTED + 4 * 288;
// @ts-ignore
@inline const PARENTS: usize = WEIGHTS + 4 * 288;
// @ts-ignore
@inline const DEPTHS: usize = PARENTS + 2 * 288;
/** How many words have a length. */
// @ts-ignore
@inline const COUNTS: usize = DEPTHS + 288;
/** The next word of a length. */
// @ts-ignore
@inline const NEXT: usize = COUNTS + 64;

/** Of 8 bytes each: how many literals, and above them the match that follows. */
// @ts-ignore
@inline const STEPS: usize = 65536;
// @ts-ignore
@inline const MOST_STEPS: usize = 8192;
/** Text from which a block ends with the next match. */
// @ts-ignore
@inline const BLOCK_TEXT: usize = 100000;
/** A shorter text is told in the fixed words, for those of its own take longer to find than it, and save a few bytes. */
// @ts-ignore
@inline const LEAST_TEXT: u32 = 1024;
/** Behind all that: others may have what is above. */
// @ts-ignore
@inline export const FREE: usize = STEPS + 8 * (MOST_STEPS + 1);

/** Bits that wait to be written, the first one lowest; fewer than 8 between two writes. */
let held: u64 = 0;
let bits: u64 = 0;
/** Where the next byte goes. */
let to: usize = 0;
/** Text of the block that is gathered, and of the literals since its last match. */
let from: usize = 0;
let literals: usize = 0;
let step: usize = STEPS;

/** Before all else, once. */
export function prepare(): void {
  for (let symbol: usize = 0; symbol < 29; symbol++) {
    const base = <usize>baseOf(<u32>symbol);
    const room: usize = 1 << load<u8>(LENGTH_EXTRA + symbol);
    for (let i: usize = 0; i < room && base + i < 256; i++) store<u8>(LENGTH_SYMBOLS + base + i, <u8>symbol);
  }
  for (let i: u32 = 0; i < 256; i++) {
    store<u8>(DIST_SYMBOLS + i, distanceSymbol(i));
    store<u8>(DIST_SYMBOLS + 256 + i, distanceSymbol(i << 7));
  }
}

/** The least length of a symbol, without the shortest. */
// @ts-ignore
@inline
function baseOf(symbol: u32): u32 {
  return load<u16>(LENGTH_BASE + (symbol << 1)) - SHORTEST;
}

/** @param less a distance less one */
function distanceSymbol(less: u32): u8 {
  if (less < 2) return <u8>less;
  const top = 31 - clz(less);
  return <u8>(2 * top + ((less >> (top - 1)) & 1));
}

/** A new text, and where its deflated bytes go: as many as the text has and 64 more, 5 more for each 32 KB of it. */
export function begin(text: usize, out: usize): void {
  held = 0;
  bits = 0;
  to = out;
  clear(text);
}

function clear(text: usize): void {
  memory.fill(LIT_FREQS, 0, 4 * 320);
  from = text;
  literals = text;
  step = STEPS;
}

// @ts-ignore
@inline
function addOne(at: usize): void {
  store<u32>(at, load<u32>(at) + 1);
}

// @ts-ignore
@inline
export function literal(byte: u8): void {
  addOne(LIT_FREQS + (<usize>byte << 2));
}

/** Text that was there before; the literals before it are told. @returns where it ends */
// @ts-ignore
@inline
export function match(at: usize, length: usize, distance: usize): usize {
  const less = distance - 1;
  const symbol = load<u8>(DIST_SYMBOLS + (less < 256 ? less : 256 + (less >> 7)));
  addOne(DIST_FREQS + (<usize>symbol << 2));
  const rest = length - SHORTEST;
  addOne(LIT_FREQS + 4 * FIRST_LENGTH + (<usize>load<u8>(LENGTH_SYMBOLS + rest) << 2));
  const found = 0x80000000 | (<u32>symbol << 23) | (<u32>less << 8) | <u32>rest;
  store<u64>(step, (<u64>found << 32) | <u64>(at - literals));
  step += 8;
  const past = at + length;
  literals = past;
  if (step == STEPS + 8 * MOST_STEPS || past - from > BLOCK_TEXT) {
    block(past);
    clear(past);
  }
  return past;
}

/** What is left of the text are literals. Its deflated bytes end on a byte, and others may follow. @returns where */
export function finish(at: usize, end: usize): usize {
  while (at < end) literal(load<u8>(at++));
  if (literals < end) {
    store<u64>(step, <u64>(end - literals));
    step += 8;
  }
  if (from < end) block(end);
  storedHead(0);
  return to;
}

/** Between two writes no more than 56 bits. */
// @ts-ignore
@inline
function put(value: u32, count: u32): void {
  held |= <u64>value << bits;
  bits += count;
}

// @ts-ignore
@inline
function putWord(word: u32): void {
  put(word & 0xffffff, word >> 24);
}

// @ts-ignore
@inline
function write(): void {
  store<u64>(to, held);
  to += <usize>(bits >> 3);
  held >>= bits & 56;
  bits &= 7;
}

function storedHead(length: u32): void {
  put(0, 3);
  bits = (bits + 7) & ~7;
  write();
  store<u32>(to, length | ((length ^ 0xffff) << 16));
  to += 4;
}

function storedBlocks(end: usize): void {
  while (from < end) {
    const length = min<usize>(end - from, 65535);
    storedHead(<u32>length);
    memory.copy(to, from, length);
    to += length;
    from += length;
  }
}

/**
 * Lengths of words for symbols, by how often they came. Two have a word at least: not all readers take fewer.
 * @param most bits of a word
 */
function wordLengths(freqs: usize, count: u32, most: u32, lens: usize): void {
  memory.fill(lens, 0, count);
  let n: u32 = 0;
  for (let symbol: u32 = 0; symbol < count; symbol++) {
    const often = load<u32>(freqs + (symbol << 2));
    if (often != 0) store<u32>(SORTED + (n++ << 2), (often << 9) | symbol);
  }
  if (n < 2) {
    const only = n == 0 ? 0 : load<u32>(SORTED) & 511;
    store<u8>(lens + only, 1);
    store<u8>(lens + (only == 0 ? 1 : 0), 1);
    return;
  }
  sort(n);
  // Huffman's way, with two queues: symbols, and the nodes that were made.
  let symbols: u32 = 0;
  let nodes: u32 = 0;
  for (let made: u32 = 0; made < n - 1; made++) {
    let weight: u32 = 0;
    for (let child = 0; child < 2; child++) {
      const symbol = symbols < n ? load<u32>(SORTED + (symbols << 2)) >> 9 : u32.MAX_VALUE;
      const node = nodes < made ? load<u32>(WEIGHTS + (nodes << 2)) : u32.MAX_VALUE;
      if (symbol <= node) {
        weight += symbol;
        symbols++;
      } else {
        weight += node;
        store<u16>(PARENTS + (nodes << 1), <u16>made);
        nodes++;
      }
    }
    store<u32>(WEIGHTS + (made << 2), weight);
  }
  // From the root down: a node takes a word's place and gives two that are a bit longer; one that is too deep takes that of
  // another, less deep.
  memory.fill(COUNTS, 0, 64);
  store<u32>(COUNTS + 4, 2);
  store<u8>(DEPTHS + n - 2, 0);
  for (let node = <i32>n - 3; node >= 0; node--) {
    const depth = <u32>load<u8>(DEPTHS + load<u16>(PARENTS + (node << 1))) + 1;
    store<u8>(DEPTHS + node, <u8>depth);
    let length = min(depth, most - 1);
    while (load<u32>(COUNTS + (length << 2)) == 0) length--;
    const at = COUNTS + (length << 2);
    store<u32>(at, load<u32>(at) - 1);
    store<u32>(at, load<u32>(at, 4) + 2, 4);
  }
  let rarest: u32 = 0;
  for (let length = most; length > 0; length--) {
    for (let left = load<u32>(COUNTS + (length << 2)); left > 0; left--, rarest++)
      store<u8>(lens + (load<u32>(SORTED + (rarest << 2)) & 511), <u8>length);
  }
}

/** Shell's way: there are 286 at most. */
function sort(n: u32): void {
  for (let gap: u32 = n > 64 ? 57 : 10; ; gap = gap == 57 ? 23 : gap == 23 ? 10 : gap == 10 ? 4 : 1) {
    for (let i = gap; i < n; i++) {
      const one = load<u32>(SORTED + (i << 2));
      let at = i;
      for (; at >= gap; at -= gap) {
        const before = load<u32>(SORTED + ((at - gap) << 2));
        if (before <= one) break;
        store<u32>(SORTED + (at << 2), before);
      }
      store<u32>(SORTED + (at << 2), one);
    }
    if (gap == 1) return;
  }
}

/** Words of their lengths, with their bits as they are written: from the last one up. */
function words(lens: usize, count: u32, table: usize): void {
  memory.fill(COUNTS, 0, 64);
  for (let symbol: u32 = 0; symbol < count; symbol++) addOne(COUNTS + (<usize>load<u8>(lens + symbol) << 2));
  store<u32>(COUNTS, 0);
  let first: u32 = 0;
  for (let length: u32 = 1; length < 16; length++) {
    first = (first + load<u32>(COUNTS + ((length - 1) << 2))) << 1;
    store<u32>(NEXT + (length << 2), first);
  }
  for (let symbol: u32 = 0; symbol < count; symbol++) {
    const length = <u32>load<u8>(lens + symbol);
    const next = NEXT + (length << 2);
    let word = load<u32>(next);
    store<u32>(next, word + 1);
    word = ((word & 0x5555) << 1) | ((word >> 1) & 0x5555);
    word = ((word & 0x3333) << 2) | ((word >> 2) & 0x3333);
    word = ((word & 0x0f0f) << 4) | ((word >> 4) & 0x0f0f);
    word = ((word & 0x00ff) << 8) | ((word >> 8) & 0x00ff);
    store<u32>(table + (symbol << 2), length == 0 ? 0 : (word >> (16 - length)) | (length << 24));
  }
}

// @ts-ignore
@inline
function addRun(n: u32, symbol: u32, extra: u32): void {
  store<u16>(RUNS + (n << 1), <u16>(symbol | (extra << 8)));
  addOne(PRE_FREQS + (symbol << 2));
}

/** Tells lengths of words in short. @returns in how many parts */
function lengthRuns(total: u32): u32 {
  memory.fill(PRE_FREQS, 0, 4 * PRES);
  let n: u32 = 0;
  for (let i: u32 = 0; i < total; ) {
    const length = <u32>load<u8>(ALL_LENS + i);
    let run: u32 = 1;
    while (i + run < total && load<u8>(ALL_LENS + i + run) == length) run++;
    i += run;
    if (length == 0) {
      for (; run >= 11; run -= min<u32>(run, 138)) addRun(n++, 18, min<u32>(run, 138) - 11);
      if (run >= 3) {
        addRun(n++, 17, run - 3);
        run = 0;
      }
    } else {
      addRun(n++, length, 0);
      run--;
      for (; run >= 3; run -= min<u32>(run, 6)) addRun(n++, 16, min<u32>(run, 6) - 3);
    }
    for (; run > 0; run--) addRun(n++, length, 0);
  }
  return n;
}

// @ts-ignore
@inline
function often(freqs: usize, symbol: u32): u32 {
  return load<u32>(freqs + (symbol << 2));
}

/** Bits that the words of a code take. */
function bitsOf(freqs: usize, lens: usize, count: u32): u32 {
  let sum: u32 = 0;
  for (let symbol: u32 = 0; symbol < count; symbol++) sum += often(freqs, symbol) * load<u8>(lens + symbol);
  return sum;
}

/** Bits beside the words. */
function extraBits(): u32 {
  let sum: u32 = 0;
  for (let symbol: u32 = 8; symbol < 28; symbol++)
    sum += often(LIT_FREQS, FIRST_LENGTH + symbol) * load<u8>(LENGTH_EXTRA + symbol);
  for (let symbol: u32 = 4; symbol < DISTS; symbol++) sum += often(DIST_FREQS, symbol) * ((symbol >> 1) - 1);
  return sum;
}

function fixedLengths(): void {
  memory.fill(LIT_LENS, 8, 144);
  memory.fill(LIT_LENS + 144, 9, 112);
  memory.fill(LIT_LENS + 256, 7, 24);
  memory.fill(LIT_LENS + 280, 8, 8);
  memory.fill(DIST_LENS, 5, 32);
}

/** Without zeros at the end, but no fewer than must be told. */
// @ts-ignore
@inline
function used(lens: usize, count: u32, least: u32): u32 {
  let n = count;
  while (n > least && load<u8>(lens + n - 1) == 0) n--;
  return n;
}

/** Writes what was gathered in the way that takes the fewest bits. */
function block(end: usize): void {
  store<u32>(LIT_FREQS + 4 * BLOCK_END, 1);
  const extra = extraBits();
  fixedLengths();
  const fixed: u32 = 3 + extra + bitsOf(LIT_FREQS, LIT_LENS, LITS) + bitsOf(DIST_FREQS, DIST_LENS, DISTS);
  const length = <u32>(end - from);
  const stored: u32 = 8 * length + 40 * (length / 65535 + 1);
  if (length < LEAST_TEXT) {
    if (stored < fixed) storedBlocks(end);
    else fixedBlock();
    return;
  }
  wordLengths(LIT_FREQS, LITS, 15, LIT_LENS);
  wordLengths(DIST_FREQS, DISTS, 15, DIST_LENS);
  const lits = used(LIT_LENS, LITS, FIRST_LENGTH);
  const dists = used(DIST_LENS, DISTS, 1);
  memory.copy(ALL_LENS, LIT_LENS, lits);
  memory.copy(ALL_LENS + lits, DIST_LENS, dists);
  const runs = lengthRuns(lits + dists);
  wordLengths(PRE_FREQS, PRES, 7, PRE_LENS);
  let pres = PRES;
  while (load<u8>(PRE_LENS + load<u8>(PRE_ORDER + pres - 1)) == 0) pres--;
  const ofRuns = 2 * often(PRE_FREQS, 16) + 3 * often(PRE_FREQS, 17) + 7 * often(PRE_FREQS, 18);
  const head = 17 + 3 * pres + bitsOf(PRE_FREQS, PRE_LENS, PRES) + ofRuns;
  const own: u32 = head + extra + bitsOf(LIT_FREQS, LIT_LENS, LITS) + bitsOf(DIST_FREQS, DIST_LENS, DISTS);
  if (stored < min<u32>(fixed, own)) {
    storedBlocks(end);
    return;
  }
  if (fixed <= own) {
    fixedBlock();
    return;
  }
  put(4, 3);
  put(lits - FIRST_LENGTH, 5);
  put(dists - 1, 5);
  put(pres - 4, 4);
  write();
  for (let i: u32 = 0; i < pres; i++) {
    put(load<u8>(PRE_LENS + load<u8>(PRE_ORDER + i)), 3);
    write();
  }
  words(PRE_LENS, PRES, PRE_WORDS);
  for (let i: u32 = 0; i < runs; i++) {
    const run = <u32>load<u16>(RUNS + (i << 1));
    const symbol = run & 255;
    putWord(load<u32>(PRE_WORDS + (symbol << 2)));
    if (symbol >= 16) put(run >> 8, symbol == 16 ? 2 : symbol == 17 ? 3 : 7);
    write();
  }
  writeWords();
}

function fixedBlock(): void {
  fixedLengths();
  put(2, 3);
  write();
  writeWords();
}

/** What was gathered, in words of the lengths that were found. */
function writeWords(): void {
  words(LIT_LENS, LITS, LIT_WORDS);
  words(DIST_LENS, DISTS, DIST_WORDS);
  for (let rest: u32 = 0; rest < 256; rest++) {
    const symbol = <u32>load<u8>(LENGTH_SYMBOLS + rest);
    const word = load<u32>(LIT_WORDS + ((FIRST_LENGTH + symbol) << 2));
    const more = (rest - baseOf(symbol)) << (word >> 24);
    store<u32>(LENGTH_WORDS + (rest << 2), (word | more) + (<u32>load<u8>(LENGTH_EXTRA + symbol) << 24));
  }
  writeSteps();
  putWord(load<u32>(LIT_WORDS + 4 * BLOCK_END));
  write();
}

// @ts-ignore
@inline
function literalWord(at: usize): u32 {
  return load<u32>(LIT_WORDS + (<usize>load<u8>(at) << 2));
}

/** Writes literals and matches. */
function writeSteps(): void {
  // Globals would be stored after each word.
  let h = held;
  let b = bits;
  let p = to;
  let at = from;
  for (let next = STEPS; next < step; next += 8) {
    const told = load<u64>(next);
    let run = <u32>told;
    while (run >= 3) {
      // Three words and what is held are 52 bits at most.
      let word = literalWord(at);
      h |= <u64>(word & 0xffff) << b;
      b += word >> 24;
      word = literalWord(at + 1);
      h |= <u64>(word & 0xffff) << b;
      b += word >> 24;
      word = literalWord(at + 2);
      h |= <u64>(word & 0xffff) << b;
      b += word >> 24;
      store<u64>(p, h);
      p += <usize>(b >> 3);
      h >>= b & 56;
      b &= 7;
      at += 3;
      run -= 3;
    }
    if (run > 0) {
      let word = literalWord(at);
      h |= <u64>(word & 0xffff) << b;
      b += word >> 24;
      if (run > 1) {
        word = literalWord(at + 1);
        h |= <u64>(word & 0xffff) << b;
        b += word >> 24;
      }
      store<u64>(p, h);
      p += <usize>(b >> 3);
      h >>= b & 56;
      b &= 7;
      at += run;
    }
    const found = <u32>(told >> 32);
    if (found == 0) break; // the last, behind which no match comes
    // A length, a distance and what is held are 55 bits at most.
    const rest = found & 255;
    let word = load<u32>(LENGTH_WORDS + (rest << 2));
    h |= <u64>(word & 0xffffff) << b;
    b += word >> 24;
    const symbol = (found >> 23) & 31;
    word = load<u32>(DIST_WORDS + (symbol << 2));
    h |= <u64>(word & 0xffff) << b;
    b += word >> 24;
    const extra = symbol < 2 ? 0 : (symbol >> 1) - 1;
    h |= <u64>((found >> 8) & ((1 << extra) - 1)) << b;
    b += extra;
    store<u64>(p, h);
    p += <usize>(b >> 3);
    h >>= b & 56;
    b &= 7;
    at += rest + SHORTEST;
  }
  held = h;
  bits = b;
  to = p;
}
