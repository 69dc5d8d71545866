// Inflates what is deflated (RFC 1951), for who has all of it in memory and holds the text against its CRC: AssemblyScript,
// compiled to WebAssembly. It tells no reasons: what it does not take, zlib reads again. Tables and their entries follow the
// idea of libdeflate: what a word of bits means stands in one number, with all that is to be done about it.
import { LENGTH_BASE, LENGTH_EXTRA, PRE_ORDER } from './rfc1951.as';

// Entries. The lowest byte: bits that are done with after it, extra ones included. The four above it: bits of the word itself.
/** A literal, which stands above the lowest 16 bits. */
// @ts-ignore: a decorator of AssemblyScript
@inline const LITERAL: u32 = 0x80000000;
/** Neither a literal nor a base with extra bits: one of the following. */
// @ts-ignore
@inline const OTHER: u32 = 0x8000;
/** Longer words go on in a table of their own, whose place stands above the lowest 16 bits. */
// @ts-ignore
@inline const SUBTABLE: u32 = 0x4000;
// @ts-ignore
@inline const BLOCK_END: u32 = 0x2000;
/** What no deflated bytes may have. */
// @ts-ignore
@inline const WRONG: u32 = 0x1000;

/** Bits that a first look takes. */
// @ts-ignore
@inline const LIT_BITS: u32 = 11;
// @ts-ignore
@inline const DIST_BITS: u32 = 8;
// @ts-ignore
@inline const PRE_BITS: u32 = 7;

// Kinds of codes.
// @ts-ignore
@inline const PRE: i32 = 0;
// @ts-ignore
@inline const LIT: i32 = 1;
// @ts-ignore
@inline const DIST: i32 = 2;

// Addresses: below 64 KB, where whoever calls puts nothing. A code of 286 words needs 2,342 entries at most, one of 30 needs 402.
// @ts-ignore
@inline const LIT_TABLE: usize = 16384;
// @ts-ignore
@inline const DIST_TABLE: usize = LIT_TABLE + 4 * 2400;
// @ts-ignore
@inline const PRE_TABLE: usize = DIST_TABLE + 4 * 512;
/** Lengths of words, by symbol. */
// @ts-ignore
@inline const LENS: usize = PRE_TABLE + 4 * 128;
/** How many words have a length. */
// @ts-ignore
@inline const COUNTS: usize = LENS + 512;
/** Where those of a length begin among the sorted symbols. */
// @ts-ignore
@inline const STARTS: usize = COUNTS + 64;
// @ts-ignore
@inline const SORTED: usize = STARTS + 64;
/** Of each kind, the entries of its symbols without lengths. */
// @ts-ignore
@inline const MEANINGS: usize = SORTED + 1024;
// @ts-ignore
@inline const MEANING_BYTES: usize = 4 * 288;

const DIST_BASE = memory.data<u16>([
  1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145,
  8193, 12289, 16385, 24577,
]);
const DIST_EXTRA = memory.data<u8>([
  0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13,
]);

function meaning(kind: i32, symbol: u32): u32 {
  if (kind == PRE) return symbol << 16;
  if (kind == DIST) {
    if (symbol > 29) return OTHER | WRONG;
    return ((<u32>load<u16>(DIST_BASE + (symbol << 1))) << 16) | load<u8>(DIST_EXTRA + symbol);
  }
  if (symbol < 256) return LITERAL | (symbol << 16);
  if (symbol == 256) return OTHER | BLOCK_END;
  if (symbol > 285) return OTHER | WRONG;
  return ((<u32>load<u16>(LENGTH_BASE + ((symbol - 257) << 1))) << 16) | load<u8>(LENGTH_EXTRA + symbol - 257);
}

/** Before all else, once. */
export function prepare(): void {
  for (let kind = PRE; kind <= DIST; kind++) {
    for (let symbol: u32 = 0; symbol < 288; symbol++)
      store<u32>(MEANINGS + MEANING_BYTES * <usize>kind + (symbol << 2), meaning(kind, symbol));
  }
}

/** The next word of a length, as its bits come: from the last one up. */
// @ts-ignore
@inline
function nextWord(word: u32, size: u32): u32 {
  const bit: u32 = 1 << (31 - clz(word ^ (size - 1)));
  return (word & (bit - 1)) | bit;
}

/**
 * Fills a table for a code, from the lengths of its words.
 * @param bits of the first look
 * @returns false where words would stand for two things, or bits for none (but that one distance may have a single bit)
 */
function build(kind: i32, lens: usize, count: u32, bits: u32, table: usize): bool {
  memory.fill(COUNTS, 0, 64);
  for (let i: u32 = 0; i < count; i++) {
    const at = COUNTS + (<usize>load<u8>(lens + i) << 2);
    store<u32>(at, load<u32>(at) + 1);
  }
  store<u32>(COUNTS, 0);
  let room: i32 = 1;
  let total: u32 = 0;
  for (let length: u32 = 1; length <= 15; length++) {
    const n = load<u32>(COUNTS + (length << 2));
    room = (room << 1) - <i32>n;
    if (room < 0) return false;
    store<u32>(STARTS + (length << 2), total);
    total += n;
  }
  for (let i: u32 = 0; i < count; i++) {
    const length = <usize>load<u8>(lens + i);
    if (length == 0) continue;
    const at = STARTS + (length << 2);
    const n = load<u32>(at);
    store<u32>(at, n + 1);
    store<u16>(SORTED + (n << 1), <u16>i);
  }
  const meanings = MEANINGS + MEANING_BYTES * <usize>kind;
  const size: u32 = 1 << bits;
  if (room > 0) {
    if (kind != DIST || total > 1 || (total == 1 && load<u32>(COUNTS, 4) != 1)) return false;
    const one = total == 0 ? OTHER | WRONG : load<u32>(meanings + (<usize>load<u16>(SORTED) << 2)) + 0x101;
    for (let i: u32 = 0; i < size; i++) store<u32>(table + (i << 2), (i & 1) == 0 ? one : OTHER | WRONG);
    return true;
  }
  let sorted = SORTED;
  let word: u32 = 0;
  let length: u32 = 1;
  let n = load<u32>(COUNTS, 4);
  while (n == 0) n = load<u32>(COUNTS + (++length << 2));
  // What is filled so far, and is doubled with each bit more.
  let end: u32 = 1 << length;
  while (length <= bits) {
    do {
      store<u32>(table + (word << 2), load<u32>(meanings + (<usize>load<u16>(sorted) << 2)) + length * 0x101);
      sorted += 2;
      if (word == end - 1) {
        for (; length < bits; length++) {
          memory.copy(table + (end << 2), table, end << 2);
          end <<= 1;
        }
        return true;
      }
      word = nextWord(word, end);
    } while (--n);
    do {
      if (++length <= bits) {
        memory.copy(table + (end << 2), table, end << 2);
        end <<= 1;
      }
      n = load<u32>(COUNTS + (length << 2));
    } while (n == 0);
  }
  end = size;
  let front: u32 = 0xffffffff;
  let sub: u32 = 0;
  while (true) {
    if ((word & (size - 1)) != front) {
      front = word & (size - 1);
      sub = end;
      let more = length - bits;
      let used = n;
      while (used < (<u32>1 << more)) {
        more++;
        used = (used << 1) + load<u32>(COUNTS + ((bits + more) << 2));
      }
      end = sub + (1 << more);
      store<u32>(table + (front << 2), OTHER | SUBTABLE | (sub << 16) | (more << 8) | bits);
    }
    const own = length - bits;
    const entry = load<u32>(meanings + (<usize>load<u16>(sorted) << 2)) + own * 0x101;
    sorted += 2;
    for (let i = sub + (word >> bits); i < end; i += 1 << own) store<u32>(table + (i << 2), entry);
    if (word == (<u32>1 << length) - 1) return true;
    word = nextWord(word, 1 << length);
    n--;
    while (n == 0) n = load<u32>(COUNTS + (++length << 2));
  }
}

/** Bits that were read and are not done with, the next one lowest. */
let held: u64 = 0;
/** How many; above the lowest six bits stands nothing that counts. */
let bits: u32 = 0;
/** Where the next byte of input stands. */
export let read: usize = 0;

/** Puts the two codes of a block into their tables, from the lengths that stand before it. */
function codes(end: usize): bool {
  let p = read;
  const lits = (<u32>held & 31) + 257;
  const dists = (<u32>(held >> 5) & 31) + 1;
  const pres = (<u32>(held >> 10) & 15) + 4;
  if (lits > 286 || dists > 30) return false;
  held >>= 14;
  bits -= 14;
  memory.fill(LENS, 0, 19);
  for (let i: u32 = 0; i < pres; i++) {
    held |= load<u64>(p) << bits;
    p += 7 - ((bits >> 3) & 7);
    bits |= 56;
    store<u8>(LENS + load<u8>(PRE_ORDER + i), <u8>(held & 7));
    held >>= 3;
    bits -= 3;
  }
  if (!build(PRE, LENS, 19, PRE_BITS, PRE_TABLE)) return false;
  const count = lits + dists;
  let last: u8 = 0;
  for (let i: u32 = 0; i < count; ) {
    if (p > end + 8) return false;
    held |= load<u64>(p) << bits;
    p += 7 - ((bits >> 3) & 7);
    bits |= 56;
    const entry = load<u32>(PRE_TABLE + ((<u32>held & ((1 << PRE_BITS) - 1)) << 2));
    held >>= entry & 63;
    bits -= entry & 63;
    const symbol = entry >> 16;
    let times: u32 = 1;
    if (symbol < 16) last = <u8>symbol;
    else {
      if (symbol == 16 && i == 0) return false;
      if (symbol != 16) last = 0;
      const more: u32 = symbol == 16 ? 2 : symbol == 17 ? 3 : 7;
      times = (symbol == 18 ? 11 : 3) + (<u32>held & ((1 << more) - 1));
      held >>= more;
      bits -= more;
    }
    if (i + times > count) return false;
    memory.fill(LENS + i, last, times);
    i += times;
  }
  read = p;
  return (
    load<u8>(LENS + 256) != 0 &&
    build(DIST, LENS + lits, dists, DIST_BITS, DIST_TABLE) &&
    build(LIT, LENS, lits, LIT_BITS, LIT_TABLE)
  );
}

function fixedCodes(): bool {
  memory.fill(LENS, 8, 144);
  memory.fill(LENS + 144, 9, 112);
  memory.fill(LENS + 256, 7, 24);
  memory.fill(LENS + 280, 8, 8);
  if (!build(LIT, LENS, 288, LIT_BITS, LIT_TABLE)) return false;
  memory.fill(LENS, 5, 32);
  return build(DIST, LENS, 32, DIST_BITS, DIST_TABLE);
}

/** Text that was there already, which may reach into itself. Up to 47 bytes too many are written. */
// @ts-ignore
@inline
function copy(to: usize, distance: u32, length: u32): void {
  const end = to + length;
  let from = to - distance;
  if (distance >= 16) {
    v128.store(to, v128.load(from));
    v128.store(to, v128.load(from, 16), 16);
    for (let at: usize = 32; at < <usize>length; at += 16) v128.store(to + at, v128.load(from + at));
  } else if (distance == 1) {
    const same = v128.splat<u8>(load<u8>(from));
    for (; to < end; to += 16) v128.store(to, same);
  } else if (distance >= 8) {
    for (; to < end; to += 8, from += 8) store<u64>(to, load<u64>(from));
  } else {
    for (; to < end; to += distance, from += distance) store<u64>(to, load<u64>(from));
  }
}

/** The block that is read is the last one; and its codes are known. */
let last: bool = false;
let within: bool = false;
/** Text from which no more is asked for at once. */
let stop: usize = 0;

/** A stream of deflated bytes begins at `p`. */
export function begin(p: usize): void {
  last = false;
  within = false;
  held = 0;
  bits = 0;
  read = p;
}

/** True where `more` has not come to the end of the stream. */
export function goesOn(): bool {
  return !last || within;
}

/**
 * Inflates on, to the end of the stream or a little more than up to `until`.
 * @param end behind the deflated bytes, where 32 bytes more may be read
 * @param start of all of the text, which may go up to `outEnd`; behind that 512 bytes may be written to
 * @param out where text goes on
 * @returns where the text ends; 0 for what is not deflated, is cut short or too long
 */
export function more(end: usize, start: usize, out: usize, outEnd: usize, until: usize): usize {
  stop = min(until, outEnd);
  while (goesOn()) {
    if (out > stop) return out > outEnd ? 0 : out;
    if (!within) {
      if (read > end + 8) return 0;
      held |= load<u64>(read) << bits;
      read += 7 - ((bits >> 3) & 7);
      bits |= 56;
      last = (held & 1) != 0;
      const type = <u32>(held >> 1) & 3;
      held >>= 3;
      bits -= 3;
      if (type == 0) {
        // The rest of a byte is passed over, and whole bytes that are held are read again.
        read -= (bits & 63) >> 3;
        held = 0;
        bits = 0;
        if (read + 4 > end) return 0;
        const length = <usize>load<u16>(read);
        if ((length ^ 0xffff) != <usize>load<u16>(read, 2)) return 0;
        read += 4;
        if (read + length > end || out + length > outEnd) return 0;
        memory.copy(out, read, length);
        out += length;
        read += length;
        continue;
      }
      if (type == 3 || !(type == 1 ? fixedCodes() : codes(end))) return 0;
      within = true;
    }
    out = block(end, start, out, outEnd);
    if (out == 0 || within) return out;
  }
  read -= (bits & 63) >> 3;
  return read > end || out > outEnd ? 0 : out;
}

/** All of a stream, as `begin` and `more`. @returns where the text ends, and `read` where the deflated bytes do; 0 as `more` */
export function inflate(p: usize, end: usize, start: usize, outEnd: usize): usize {
  begin(p);
  return more(end, start, start, outEnd, outEnd);
}

/** The entry of the bits that come. */
// @ts-ignore
@inline
function firstLook(h: u64): u32 {
  return load<u32>(LIT_TABLE + ((<u32>h & ((1 << LIT_BITS) - 1)) << 2));
}

/** What stands between two headers of blocks, or some of it: then it is `within` still. @returns where its text ends; 0 for what is wrong */
function block(end: usize, start: usize, out: usize, outEnd: usize): usize {
  const enough = stop;
  let p = read;
  let h = held;
  let b = bits;
  // At least 56 bits: three literals of a first look and a length, or a distance, need no more.
  h |= load<u64>(p) << b;
  p += 7 - ((b >> 3) & 7);
  b |= 56;
  let entry = firstLook(h);
  while (true) {
    if (p > end + 8) return 0;
    if (out > enough) {
      held = h;
      bits = b;
      read = p;
      return out > outEnd ? 0 : out;
    }
    let before = h;
    h >>= entry;
    b -= entry;
    if (entry & LITERAL) {
      store<u8>(out, entry >> 16);
      before = h;
      entry = firstLook(h);
      h >>= entry;
      b -= entry;
      if (entry & LITERAL) {
        store<u8>(out, entry >> 16, 1);
        before = h;
        entry = firstLook(h);
        h >>= entry;
        b -= entry;
        if (entry & LITERAL) {
          store<u8>(out, entry >> 16, 2);
          out += 3;
          h |= load<u64>(p) << b;
          p += 7 - ((b >> 3) & 7);
          b |= 56;
          entry = firstLook(h);
          continue;
        }
        out += 2;
      } else out += 1;
    }
    if (entry & OTHER) {
      if (entry & SUBTABLE) {
        before = h;
        entry = load<u32>(LIT_TABLE + (((entry >> 16) + (<u32>h & ((1 << ((entry >> 8) & 15)) - 1))) << 2));
        h >>= entry;
        b -= entry;
        if (entry & LITERAL) {
          store<u8>(out, entry >> 16);
          out++;
          h |= load<u64>(p) << b;
          p += 7 - ((b >> 3) & 7);
          b |= 56;
          entry = firstLook(h);
          continue;
        }
      }
      if (entry & OTHER) {
        held = h;
        bits = b;
        read = p;
        within = false;
        return entry & BLOCK_END ? out : 0;
      }
    }
    const length = (entry >> 16) + (<u32>(before & ((<u64>1 << (entry & 63)) - 1)) >> ((entry >> 8) & 15));
    h |= load<u64>(p) << b;
    p += 7 - ((b >> 3) & 7);
    b |= 56;
    entry = load<u32>(DIST_TABLE + ((<u32>h & ((1 << DIST_BITS) - 1)) << 2));
    if (entry & SUBTABLE) {
      h >>= DIST_BITS;
      b -= DIST_BITS;
      entry = load<u32>(DIST_TABLE + (((entry >> 16) + (<u32>h & ((1 << ((entry >> 8) & 15)) - 1))) << 2));
    }
    if (entry & OTHER) return 0;
    before = h;
    h >>= entry;
    b -= entry;
    const distance = (entry >> 16) + (<u32>(before & ((<u64>1 << (entry & 63)) - 1)) >> ((entry >> 8) & 15));
    if (<usize>distance > out - start) return 0;
    // The next word is looked up while the text is copied.
    h |= load<u64>(p) << b;
    p += 7 - ((b >> 3) & 7);
    b |= 56;
    entry = firstLook(h);
    copy(out, distance, length);
    out += length;
  }
}
