// The search of runs.ts once more, over a whole text: AssemblyScript, compiled to WebAssembly. It looks at 64 bytes at
// a time and makes one bit of each, for each kind; runs and words are found by shifting bits.

/** What the caller gives for each kind and word; runs.ts fills it in. */
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

/** One bit for each byte of a kind: its row, told by its high half, and its column have a bit in common. */
// @ts-ignore
@inline
function bitsOf(row: v128, column: v128, columns: v128): i32 {
  return i8x16.bitmask(i8x16.ne(v128.and(row, v128.swizzle(columns, column)), i8x16.splat(0)));
}

// @ts-ignore
@inline
function bitsAt(p: usize, rows: v128, columns: v128): i32 {
  const v = v128.load(p);
  return bitsOf(v128.swizzle(rows, i8x16.shr_u(v, 4)), v128.and(v, i8x16.splat(15)), columns);
}

// @ts-ignore
@inline
function four(a: i32, b: i32, c: i32, d: i32): u64 {
  return <u64>a | (<u64>b << 16) | (<u64>c << 32) | (<u64>d << 48);
}

// @ts-ignore
@inline
function equal(a: v128, b: v128, c: v128, d: v128, byte: i8): u64 {
  const s = i8x16.splat(byte);
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
  for (let p = start; p < end; p += 64) {
    const v0 = v128.load(p);
    const v1 = v128.load(p, 16);
    const v2 = v128.load(p, 32);
    const v3 = v128.load(p, 48);
    const half = i8x16.splat(15);
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
      const bits = four(bitsOf(r0, c0, columns), bitsOf(r1, c1, columns), bitsOf(r2, c2, columns), bitsOf(r3, c3, columns));
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
        const others = ~bits & (<u64>-1 << <u64>at);
        let to = p + 64;
        if (others != 0) to = p + <usize>ctz(others);
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

    for (let w = 0; w < wordCount; w++) {
      const word = words + w * WORD_BYTES;
      const offset = <usize>load<u8>(word, 1);
      const begin = load<u32>(word, 4);
      for (let bits = equal(v0, v1, v2, v3, load<i8>(word)); bits != 0; bits &= bits - 1) {
        const at = p + <usize>ctz(bits) - offset;
        if (load<u32>(at) != begin || at < start) continue;
        if (out + 12 > outEnd) return -1;
        store<u32>(out, count + w);
        store<u32>(out, <u32>(at - start), 4);
        store<u32>(out, 0, 8);
        out += 12;
      }
    }
  }
  return <i32>((out - first) / 12);
}
