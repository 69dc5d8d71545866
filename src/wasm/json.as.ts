// The reader of json.ts once more, for documents that are well formed: AssemblyScript, compiled to WebAssembly, looks
// at sixteen bytes of a string at a time. It tells no reasons: what it does not take, json.ts reads again by itself.

// @ts-ignore: a decorator of AssemblyScript
@inline const QUOTE: u8 = 0x22;
// @ts-ignore
@inline const BACKSLASH: u8 = 0x5c;

/** Types of values, as json.ts names them. */
const OBJECT = 1;
const ARRAY = 2;
const STRING = 3;
const NUMBER = 4;
const TRUE = 5;
const FALSE = 6;
const NULL = 7;

// @ts-ignore
@inline
function pastSpace(p: usize): usize {
  let c = load<u8>(p);
  while (c == 0x20 || c == 0x0a || c == 0x0d || c == 0x09) c = load<u8>(++p);
  return p;
}

// @ts-ignore
@inline
function isDigit(c: u8): bool {
  return c >= 0x30 && c <= 0x39;
}

// @ts-ignore
@inline
function isHex(c: u8): bool {
  return isDigit(c) || ((c | 0x20) >= 0x61 && (c | 0x20) <= 0x66);
}

// @ts-ignore
@inline
function isEscape(c: u8): bool {
  return c == 0x22 || c == 0x5c || c == 0x2f || c == 0x62 || c == 0x66 || c == 0x6e || c == 0x72 || c == 0x74;
}

/** An escape stood for a sign that needs none. */
export let hides: bool = false;

/** True for `\u00..` with these digits, unless it stands for what needs it or many write so: `" & ' < = > \` and controls. */
function isNeedless(row: u8, digit: u8): bool {
  const column = digit | 0x20;
  if (row < 0x32 || row > 0x37) return false;
  if (row == 0x32) return column != 0x32 && column != 0x36 && column != 0x37;
  if (row == 0x33) return column < 0x63 || column > 0x65;
  return row != 0x35 || column != 0x63;
}

/** From the opening quote to past the closing one; 0 where the string is none. */
function pastString(p: usize, end: usize): usize {
  const quote = i8x16.splat(0x22);
  const backslash = i8x16.splat(0x5c);
  const space = i8x16.splat(0x20);
  p++;
  while (true) {
    while (true) {
      const sixteen = v128.load(p);
      const special = v128.or(i8x16.eq(sixteen, quote), i8x16.eq(sixteen, backslash));
      const mask = i8x16.bitmask(v128.or(special, i8x16.lt_u(sixteen, space)));
      if (mask != 0) {
        p += ctz(mask);
        break;
      }
      p += 16;
      if (p >= end) return 0;
    }
    if (p >= end) return 0;
    const c = load<u8>(p);
    if (c == QUOTE) return p + 1;
    if (c != BACKSLASH) return 0;
    const e = load<u8>(p, 1);
    if (e == 0x75) {
      if (p + 6 > end) return 0;
      if (!isHex(load<u8>(p, 2)) || !isHex(load<u8>(p, 3)) || !isHex(load<u8>(p, 4)) || !isHex(load<u8>(p, 5))) return 0;
      if (load<u16>(p, 2) == 0x3030 && isNeedless(load<u8>(p, 4), load<u8>(p, 5))) hides = true;
      p += 6;
    } else if (isEscape(e)) {
      if (e == 0x2f) hides = true;
      p += 2;
    } else return 0;
  }
}

/** Past at least one digit; 0 where there is none. */
function pastDigits(p: usize): usize {
  if (!isDigit(load<u8>(p))) return 0;
  while (isDigit(load<u8>(p))) p++;
  return p;
}

function pastNumber(p: usize): usize {
  if (load<u8>(p) == 0x2d) p++;
  if (load<u8>(p) == 0x30) p++;
  else p = pastDigits(p);
  if (p != 0 && load<u8>(p) == 0x2e) p = pastDigits(p + 1);
  if (p != 0 && (load<u8>(p) | 0x20) == 0x65) {
    p++;
    const sign = load<u8>(p);
    if (sign == 0x2b || sign == 0x2d) p++;
    p = pastDigits(p);
  }
  return p;
}

/** As `scan`, of a text that goes on: what stands behind it is there afterwards as before. */
export function scanWithin(
  start: usize,
  end: usize,
  maxDepth: i32,
  keep: i32,
  out: usize,
  outEnd: usize,
  stack: usize,
): i32 {
  const sixteen = v128.load(end);
  const one = load<u8>(end, 16);
  const tokens = scan(start, end, maxDepth, keep, out, outEnd, stack);
  v128.store(end, sixteen);
  store<u8>(end, one, 16);
  return tokens;
}

/**
 * Reads the JSON value in [start, end), UTF-8, with 17 bytes behind it that may be written to.
 * A value down to `keep` levels becomes a token of four words: its depth · 16 + type, and where its name, the
 * value and what follows it stand, from `start` on.
 * @param stack a byte for each level, and then a word for each
 * @returns the number of tokens; -1 where it is no JSON, nested too deep, or `out` is full
 */
export function scan(start: usize, end: usize, maxDepth: i32, keep: i32, out: usize, outEnd: usize, stack: usize): i32 {
  // Zeros end numbers, words and white space, and a control character ends a string.
  store<u64>(end, 0);
  store<u64>(end, 0, 8);
  store<u8>(end, 0, 16);
  hides = false;
  const opened = (stack + <usize>maxDepth + 8) & ~3;
  const first = out;
  let depth = 0;
  let p = pastSpace(start);
  while (true) {
    const keyStart = p;
    if (depth > 0 && load<u8>(stack + depth) == 0x7d) {
      if (load<u8>(p) != QUOTE) return -1;
      p = pastString(p, end);
      if (p == 0) return -1;
      p = pastSpace(p);
      if (load<u8>(p) != 0x3a) return -1;
      p = pastSpace(p + 1);
    }
    const from = p;
    const c = load<u8>(p);
    let type = STRING;
    if (c == QUOTE) p = pastString(p, end);
    else if (c == 0x7b || c == 0x5b) {
      if (depth >= maxDepth) return -1;
      type = c == 0x7b ? OBJECT : ARRAY;
      p = pastSpace(p + 1);
    } else if (c == 0x74) {
      type = TRUE;
      p = load<u32>(p) == 0x65757274 ? p + 4 : 0;
    } else if (c == 0x66) {
      type = FALSE;
      p = load<u32>(p, 1) == 0x65736c61 ? p + 5 : 0;
    } else if (c == 0x6e) {
      type = NULL;
      p = load<u32>(p) == 0x6c6c756e ? p + 4 : 0;
    } else if (c == 0x2d || isDigit(c)) {
      type = NUMBER;
      p = pastNumber(p);
    } else return -1;
    if (p == 0) return -1;

    const token = out;
    if (depth <= keep) {
      if (out + 16 > outEnd) return -1;
      store<u32>(out, (depth << 4) | type);
      store<u32>(out, <u32>(keyStart - start), 4);
      store<u32>(out, <u32>(from - start), 8);
      store<u32>(out, <u32>(p - start), 12);
      out += 16;
    }
    if (type <= ARRAY) {
      if (depth <= keep) store<u32>(opened + (depth << 2), <u32>token);
      depth++;
      const close: u8 = type == OBJECT ? 0x7d : 0x5d;
      store<u8>(stack + depth, close);
      if (load<u8>(p) != close) continue; // its first member comes
    }
    while (true) {
      p = pastSpace(p);
      if (depth == 0) return p == end ? <i32>((out - first) >> 4) : -1;
      const d = load<u8>(p);
      if (d == 0x2c) {
        p = pastSpace(p + 1);
        break;
      }
      if (d != load<u8>(stack + depth)) return -1;
      p++;
      depth--;
      if (depth <= keep) store<u32>(load<u32>(opened + (depth << 2)), <u32>(p - start), 12);
    }
  }
}
