// The search of runs.ts once more, over a whole text: AssemblyScript, compiled to WebAssembly. It looks at 64 bytes at
// a time and makes one bit of each, for each kind; runs and words are found by shifting bits.

/** What the caller gives for each kind and word, those with the same two bytes to look for beside one another; runs.ts fills it in. */
// @ts-ignore: a decorator of AssemblyScript
@inline const KIND_BYTES = 128;
// @ts-ignore
@inline const WORD_BYTES = 8;

// In the bytes of a kind: the columns of the kind and of what it needs; then the numbers.
// @ts-ignore
@inline const NEEDS = 16;
// @ts-ignore
@inline const MIN = 32;
// @ts-ignore
@inline const LEVEL = 36;
// @ts-ignore
@inline const NEED_COUNT = 40;
// Of the block before: where the last run ended, and the bits of each level.
// @ts-ignore
@inline const DONE = 44;
// @ts-ignore
@inline const BEFORE = 48;

/** One bit for each byte that is not of a kind: its row, told by its high half, and its column have no bit in common. */
// @ts-ignore
@inline
function others(row: v128, column: v128, columns: v128, zero: v128): i32 {
  return i8x16.bitmask(i8x16.eq(v128.and(row, v128.swizzle(columns, column)), zero));
}

// @ts-ignore
@inline
function bitsAt(p: usize, rows: v128, columns: v128): i32 {
  const v = v128.load(p);
  const row = v128.swizzle(rows, i8x16.shr_u(v, 4));
  return others(row, v128.and(v, i8x16.splat(15)), columns, i8x16.splat(0)) ^ 0xffff;
}

// @ts-ignore
@inline
function four(a: i32, b: i32, c: i32, d: i32): u64 {
  return <u64>a | (<u64>b << 16) | (<u64>c << 32) | (<u64>d << 48);
}

// @ts-ignore
@inline
function equal(a: v128, b: v128, c: v128, d: v128, s: v128): u64 {
  return four(
    i8x16.bitmask(i8x16.eq(a, s)),
    i8x16.bitmask(i8x16.eq(b, s)),
    i8x16.bitmask(i8x16.eq(c, s)),
    i8x16.bitmask(i8x16.eq(d, s)),
  );
}

/** Bits moved up, those of the block before coming in from below. */
// @ts-ignore
@inline
function up(bits: u64, before: u64, by: u64): u64 {
  return (bits << by) | (before >> (64 - by));
}

/** True where at least `count` of [from, to) are of a kind. */
function has(from: usize, to: usize, count: i32, rows: v128, columns: v128): bool {
  let left = count;
  for (let q = from; q < to; q += 16) {
    let bits = bitsAt(q, rows, columns);
    if (to - q < 16) bits &= (1 << <i32>(to - q)) - 1;
    left -= popcnt(bits);
    if (left <= 0) return true;
  }
  return false;
}

/**
 * Looks through [start, end), with 80 bytes behind it that may be written to.
 * @param kinds `count` of them, behind their rows
 * @param words `wordCount` of them
 * @param out takes three words a find: the number of the kind, or `count` and the number of the word, and where it
 * stands, from `start` on.
 * @returns the number of finds; -1 where `out` is full
 */
export function find(
  start: usize,
  end: usize,
  kinds: usize,
  count: i32,
  words: usize,
  wordCount: i32,
  out: usize,
  outEnd: usize,
): i32 {
  for (let i = 0; i < 80; i += 8) store<u64>(end + i, 0);
  const first = out;
  const rows = v128.load(kinds - 16);
  for (let k = 0; k < count; k++) {
    const kind = kinds + k * KIND_BYTES;
    store<u32>(kind, <u32>start, DONE);
    for (let i = 0; i < 32; i += 8) store<u64>(kind + i, 0, BEFORE);
  }
  const half = i8x16.splat(15);
  const zero = i8x16.splat(0);
  for (let p = start; p < end; p += 64) {
    const v0 = v128.load(p);
    const v1 = v128.load(p, 16);
    const v2 = v128.load(p, 32);
    const v3 = v128.load(p, 48);
    const r0 = v128.swizzle(rows, i8x16.shr_u(v0, 4));
    const r1 = v128.swizzle(rows, i8x16.shr_u(v1, 4));
    const r2 = v128.swizzle(rows, i8x16.shr_u(v2, 4));
    const r3 = v128.swizzle(rows, i8x16.shr_u(v3, 4));
    const c0 = v128.and(v0, half);
    const c1 = v128.and(v1, half);
    const c2 = v128.and(v2, half);
    const c3 = v128.and(v3, half);
    for (let k = 0; k < count; k++) {
      const kind = kinds + k * KIND_BYTES;
      const columns = v128.load(kind);
      const bits = ~four(
        others(r0, c0, columns, zero),
        others(r1, c1, columns, zero),
        others(r2, c2, columns, zero),
        others(r3, c3, columns, zero),
      );
      const level = load<u32>(kind, LEVEL);
      // Of runs of 2, 4, 8 and 16: where they end.
      let ends = bits & up(bits, load<u64>(kind, BEFORE), 1);
      store<u64>(kind, bits, BEFORE);
      if (level > 1) {
        const pairs = ends;
        ends &= up(pairs, load<u64>(kind, BEFORE + 8), 2);
        store<u64>(kind, pairs, BEFORE + 8);
      }
      if (level > 2) {
        const fours = ends;
        ends &= up(fours, load<u64>(kind, BEFORE + 16), 4);
        store<u64>(kind, fours, BEFORE + 16);
      }
      if (level > 3) {
        const eights = ends;
        ends &= up(eights, load<u64>(kind, BEFORE + 24), 8);
        store<u64>(kind, eights, BEFORE + 24);
      }
      if (ends == 0) continue;
      const done = <usize>load<u32>(kind, DONE);
      if (done > p) ends = done >= p + 64 ? 0 : ends & (<u64>-1 << <u64>(done - p));
      while (ends != 0) {
        const at = <usize>ctz(ends);
        const from = p + at + 1 - (<usize>1 << level);
        const behind = ~bits & (<u64>-1 << <u64>at);
        let to = p + 64;
        if (behind != 0) to = p + <usize>ctz(behind);
        else {
          let more = bitsAt(to, rows, columns);
          while (more == 0xffff) {
            to += 16;
            more = bitsAt(to, rows, columns);
          }
          to += <usize>ctz(~more);
        }
        store<u32>(kind, <u32>to, DONE);
        ends = to >= p + 64 ? 0 : ends & (<u64>-1 << <u64>(to - p));
        if (to - from < <usize>load<u32>(kind, MIN)) continue;
        const needed = load<i32>(kind, NEED_COUNT);
        if (needed > 0 && !has(from, to, needed, rows, v128.load(kind, NEEDS))) continue;
        if (out + 12 > outEnd) return -1;
        store<u32>(out, k);
        store<u32>(out, <u32>(from - start), 4);
        store<u32>(out, <u32>(to - start), 8);
        out += 12;
      }
    }

    for (let w = 0; w < wordCount; ) {
      const pair = load<u16>(words + w * WORD_BYTES);
      let next = w + 1;
      while (next < wordCount && load<u16>(words + next * WORD_BYTES) == pair) next++;
      const one = i8x16.splat(<u8>pair);
      const second = i8x16.splat(<u8>(pair >> 8));
      const e0 = v128.and(i8x16.eq(v0, one), i8x16.eq(v128.load(p, 1), second));
      const e1 = v128.and(i8x16.eq(v1, one), i8x16.eq(v128.load(p, 17), second));
      const e2 = v128.and(i8x16.eq(v2, one), i8x16.eq(v128.load(p, 33), second));
      const e3 = v128.and(i8x16.eq(v3, one), i8x16.eq(v128.load(p, 49), second));
      if (!v128.any_true(v128.or(v128.or(e0, e1), v128.or(e2, e3)))) {
        w = next;
        continue;
      }
      let bits = four(i8x16.bitmask(e0), i8x16.bitmask(e1), i8x16.bitmask(e2), i8x16.bitmask(e3));
      for (; bits != 0; bits &= bits - 1) {
        for (let i = w; i < next; i++) {
          const word = words + i * WORD_BYTES;
          const at = p + <usize>ctz(bits) - <usize>load<u8>(word, 2);
          if (load<u32>(at) != load<u32>(word, 4) || at < start) continue;
          if (out + 12 > outEnd) return -1;
          store<u32>(out, count + i);
          store<u32>(out, <u32>(at - start), 4);
          store<u32>(out, 0, 8);
          out += 12;
        }
      }
      w = next;
    }
  }
  return <i32>((out - first) / 12);
}

/** Of two bytes, then of twenty bits, then of twenty behind these four: told by BeginningFinder. */
// @ts-ignore
@inline const PAIRS = 8192;
// @ts-ignore
@inline const TWENTY = 131072;

// @ts-ignore
@inline
function hasBit(bits: usize, bit: u32): bool {
  return ((load<u8>(bits + (bit >> 3)) >> <u8>(bit & 7)) & 1) != 0;
}

/** In its lowest bit, whether the two lowest bytes are the beginning of any. */
// @ts-ignore
@inline
function pairBit(bits: usize, bytes: u64): u32 {
  const pair = <u32>bytes & 0xffff;
  return <u32>load<u8>(bits + (pair >> 3)) >> (pair & 7);
}

/** The first twenty bits of what stands there. */
// @ts-ignore
@inline
function twentyBits(p: usize): u32 {
  return (<u32>load<u8>(p) << 12) | (<u32>load<u8>(p, 1) << 4) | (<u32>load<u8>(p, 2) >> 4);
}

/**
 * Looks at every byte of [start, end) where `length` bytes are left, whether one of the beginnings stands there.
 * @param out takes a word a find: where, from `start` on
 * @returns their number; -1 where `out` is full
 */
export function among(start: usize, end: usize, length: usize, bits: usize, out: usize, outEnd: usize): i32 {
  const first = out;
  if (end - start < length) return 0;
  const last = end - length;
  for (let p = start; p <= last; ) {
    // Six at a time: hardly any has its bit.
    const eight = load<u64>(p);
    const one = pairBit(bits, eight) | pairBit(bits, eight >> 8) | pairBit(bits, eight >> 16);
    const other = pairBit(bits, eight >> 24) | pairBit(bits, eight >> 32) | pairBit(bits, eight >> 40);
    const next = p + 6;
    if (((one | other) & 1) == 0) {
      p = next;
      continue;
    }
    for (; p < next && p <= last; p++) {
      if (!hasBit(bits, load<u16>(p))) continue;
      if (!hasBit(bits + PAIRS, twentyBits(p)) || !hasBit(bits + PAIRS + TWENTY, twentyBits(p + 3))) continue;
      if (out + 4 > outEnd) return -1;
      store<u32>(out, <u32>(p - start));
      out += 4;
    }
  }
  return <i32>((out - first) >> 2);
}
