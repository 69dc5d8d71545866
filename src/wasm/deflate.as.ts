// Deflates a text (RFC 1951) in one of two ways: AssemblyScript, compiled to WebAssembly. `dense` finds nearly what zlib
// finds at level 5, in two thirds of its time: what began with the same four bytes stands together in a row, and of a row all are
// compared at once (an idea of zstd's). `fast` remembers two places for each four bytes. What comes of a text depends on it alone.
import { begin, FREE, finish, LONGEST, literal, match } from './blocks.as';

export { prepare } from './blocks.as';

/** Where whoever calls puts the text. Before it are rows of 64 bytes: 16 tags, 16 places in the text, and which is the newest. */
// @ts-ignore: a decorator of AssemblyScript
@inline const ROWS: usize = (FREE + 63) & ~63;
// @ts-ignore
@inline const PLACES: usize = 16;
// @ts-ignore
@inline const NEWEST: usize = 48;
// @ts-ignore
@inline const MOST_ROW_BITS: u32 = 12;
/** The same memory is pairs of places for `fast`. */
// @ts-ignore
@inline const MOST_PAIR_BITS: u32 = 15;
export const TEXT: usize = ROWS + (64 << MOST_ROW_BITS);

/** The last bytes of a text are literals, or in a match that began before them, so that words can be loaded without a look. */
// @ts-ignore
@inline const TAIL: usize = 16;
// @ts-ignore
@inline const WINDOW: usize = 32768;
/** A match this long is taken, and one this long is not held against that of the next byte. */
// @ts-ignore
@inline const LONG: usize = 128;
// @ts-ignore
@inline const LAZY: usize = 16;
/** Four bytes that stood farther off take more bits than four literals. */
// @ts-ignore
@inline const FAR: usize = 16384;
/** Of the text within a match so many places are remembered, and then every fourth. */
// @ts-ignore
@inline const REMEMBERED: usize = 16;

/** Bits for a table that a text of this length fills: a small one is cleared sooner. */
function bitsFor(length: usize, each: u32, least: u32, most: u32): u32 {
  const wanted = 32 - clz(<u32>length | 1) - each;
  return min(max(<i32>wanted, <i32>least), <i32>most);
}

// @ts-ignore
@inline
function mixed(at: usize): u32 {
  return load<u32>(at) * 0x9e3779b1;
}

/** How many bytes are the same in both places, of which four are. */
// @ts-ignore
@inline
function same(a: usize, b: usize, most: usize): usize {
  let n: usize = 4;
  while (n + 8 <= most) {
    const differing = load<u64>(a + n) ^ load<u64>(b + n);
    if (differing != 0) return n + <usize>(ctz(differing) >> 3);
    n += 8;
  }
  while (n < most && load<u8>(a + n) == load<u8>(b + n)) n++;
  return n;
}

// @ts-ignore
@inline
function rowOf(mix: u32, rowBits: u32): usize {
  return ROWS + (<usize>(mix >> (32 - rowBits)) << 6);
}

// @ts-ignore
@inline
function tagOf(mix: u32, rowBits: u32): u8 {
  return <u8>(mix >> (24 - rowBits));
}

/** Puts a place (its lowest 16 bits) where the oldest of the row was. */
// @ts-ignore
@inline
function remember(row: usize, tag: u8, place: usize): void {
  const newest = <usize>((load<u8>(row, NEWEST) - 1) & 15);
  store<u8>(row, <u8>newest, NEWEST);
  store<u8>(row + newest, tag);
  store<u16>(row + (newest << 1), <u16>place, PLACES);
}

/** How far off the match is that was found. */
let distance: usize = 0;

/** The longest match that is longer than `least`, or else `least`; its place is remembered. */
// @ts-ignore
@inline
function search(at: usize, start: usize, end: usize, least: usize, rowBits: u32): usize {
  const mix = mixed(at);
  const row = rowOf(mix, rowBits);
  const tag = tagOf(mix, rowBits);
  const newest = <u32>load<u8>(row, NEWEST);
  let alike = <u32>i8x16.bitmask(i8x16.eq(v128.load(row), i8x16.splat(tag)));
  alike = ((alike | (alike << 16)) >> newest) & 0xffff;
  const most = min(LONGEST, end - at);
  const four = load<u32>(at);
  let best = least;
  while (alike != 0) {
    const slot = <usize>((ctz(alike) + newest) & 15);
    alike &= alike - 1;
    const away = (at - start - <usize>load<u16>(row + (slot << 1), PLACES)) & 0xffff;
    if (away - 1 >= WINDOW) break; // as are those before it, or the row has none
    const other = at - away;
    // What differs where a longer one ends is not longer.
    if (load<u32>(other + best - 3) != load<u32>(at + best - 3) || load<u32>(other) != four) continue;
    const length = same(at, other, most);
    if (length <= best) continue;
    best = length;
    distance = away;
    if (length >= LONG || length == most) break;
  }
  remember(row, tag, at - start);
  return best;
}

/** True where the next byte's match is worth a literal: each byte that it is longer is worth two bits of distance. */
// @ts-ignore
@inline
function better(length: usize, away: usize, than: usize, thanAway: usize): bool {
  if (length <= than) return false;
  return 4 * <i32>(length - than) + clz(<i32>away) - clz(<i32>thanAway) > 2;
}

/** Whoever calls leaves room behind the text, and for what comes of it (`begin`). @returns where the deflated bytes end */
export function dense(start: usize, end: usize, out: usize): usize {
  begin(start, out);
  const rowBits = bitsFor(end - start, 4, 3, MOST_ROW_BITS);
  memory.fill(ROWS, 0, 64 << rowBits);
  const tail = end - min(end - start, TAIL);
  let at = start;
  while (at < tail) {
    let length = search(at, start, end, 3, rowBits);
    let away = distance;
    if (length < 4 || (length == 4 && away > FAR)) {
      literal(load<u8>(at++));
      continue;
    }
    let known = at + 1;
    while (length < LAZY && known < tail) {
      const next = search(at + 1, start, end, length, rowBits);
      known++;
      if (!better(next, distance, length, away)) break;
      literal(load<u8>(at++));
      length = next;
      away = distance;
    }
    at = match(at, length, away);
    const stop = min(at, tail);
    const every = known + REMEMBERED;
    for (; known < stop; known += known < every ? 1 : 4) {
      const mix = mixed(known);
      remember(rowOf(mix, rowBits), tagOf(mix, rowBits), known - start);
    }
  }
  return finish(at, end);
}

/** Puts a place before the one that was newest. */
// @ts-ignore
@inline
function rememberPair(pair: usize, places: u32, place: usize): void {
  store<u32>(pair, (places << 16) | (<u32>place & 0xffff));
}

/** As `dense`. */
export function fast(start: usize, end: usize, out: usize): usize {
  begin(start, out);
  const pairBits = bitsFor(end - start, 0, 8, MOST_PAIR_BITS);
  memory.fill(ROWS, 0, 4 << pairBits);
  const tail = end - min(end - start, TAIL);
  const shift = 32 - pairBits;
  let at = start;
  while (at < tail) {
    const pair = ROWS + (<usize>(mixed(at) >> shift) << 2);
    const places = load<u32>(pair);
    const place = at - start;
    rememberPair(pair, places, place);
    const four = load<u32>(at);
    const most = min(LONGEST, end - at);
    let length: usize = 0;
    let away = (place - <usize>places) & 0xffff;
    if (away - 1 < WINDOW) {
      if (load<u32>(at - away) == four) length = same(at, at - away, most);
      const older = (place - <usize>(places >> 16)) & 0xffff;
      if (older - 1 < WINDOW && load<u32>(at - older) == four) {
        const other = same(at, at - older, most);
        if (other > length) {
          length = other;
          away = older;
        }
      }
    }
    if (length == 0) {
      literal(<u8>four);
      at++;
      continue;
    }
    const past = match(at, length, away);
    for (at++; at < min(past, tail); at += 16) {
      const within = ROWS + (<usize>(mixed(at) >> shift) << 2);
      rememberPair(within, load<u32>(within), at - start);
    }
    at = past;
  }
  return finish(at, end);
}
