// Addresses in all the ways in which they are written in texts: found by their form, told apart by their value.
import { DIGIT, eachRun, HEX, kind, LETTER, type Wanted } from './runs.ts';

/** IPv4 as a signed 32-bit number, IPv6 as a text of its eight groups, one character each: a key of one Map. */
export type Address = number | string;

/**
 * Told of what may be an address, at [start, end) of the text.
 * @returns true where it is one that is searched for: others that overlap it are then passed over
 */
export type Seen = (address: Address, start: number, end: number) => boolean;

const LOCAL: ReadonlySet<Address> = new Set([0, 0x7f000001, '\0'.repeat(8), `${'\0'.repeat(7)}\x01`]);

/** 0.0.0.0, 127.0.0.1, :: and ::1 are nobody's. */
export function isLocal(address: Address): boolean {
  if (LOCAL.has(address)) return true;
  const within = typeof address === 'string' ? embeddedIPv4(address) : undefined;
  return within !== undefined && LOCAL.has(within);
}

/** The IPv4 address that an IPv6 address carries: mapped (::ffff:0:0/96), NAT64 (64:ff9b::/96) or 6to4 (2002::/16). */
export function embeddedIPv4(address: string): number | undefined {
  const group = (i: number) => address.charCodeAt(i);
  const low = (group(6) << 16) | group(7);
  if (address.startsWith(MAPPED) || address.startsWith(NAT64)) return low;
  return group(0) === 0x2002 ? (group(1) << 16) | group(2) : undefined;
}

/** An address and what it carries: where one is secret, so is the other. */
export function withEmbedded(address: Address): Address[] {
  const within = typeof address === 'string' ? embeddedIPv4(address) : undefined;
  return within === undefined ? [address] : [address, within];
}

const MAPPED = '\0\0\0\0\0\uffff';
const NAT64 = '\x64\uff9b\0\0\0\0';
/** Length of the shortest text that an address is written with. */
export function shortestText(address: Address): number {
  if (typeof address === 'number') return octets(address).join('.').length;
  const groups = [...address].map((c) => c.charCodeAt(0));
  const whole = groups.map((g) => g.toString(16)).join(':').length;
  let shortest = whole;
  // Any zeros in a row may be left out, not only the most.
  for (let i = 0; i < 8; i++) {
    for (let j = i; j < 8 && groups[j] === 0; j++) {
      const before = groups.slice(0, i).map((g) => g.toString(16));
      const after = groups.slice(j + 1).map((g) => g.toString(16));
      shortest = Math.min(shortest, `${before.join(':')}::${after.join(':')}`.length);
    }
  }
  return shortest;
}

function octets(address: number): number[] {
  return [address >>> 24, (address >> 16) & 255, (address >> 8) & 255, address & 255];
}

/** Length of the shortest text of any of them; infinite where there is none. */
export function shortestOf(addresses: Iterable<Address>): number {
  let shortest = Number.POSITIVE_INFINITY;
  for (const address of addresses) shortest = Math.min(shortest, shortestText(address));
  return shortest;
}

/** Finds addresses in a text, whatever they are. */
export function findAddresses(bytes: Uint8Array, seen: Seen): void {
  eachRun(bytes, addressRuns(SHORTEST), (start, end) => inAddressRun(bytes, start, end, seen));
}

/** `::1` */
const SHORTEST = 3;

/** The runs of bytes in which addresses are found, from the length of the shortest one on. */
export function addressRuns(min: number): Wanted {
  return { of: ADDRESS, min: Math.max(min, 3), needs: { of: SIGN, count: 2 } };
}

/** Finds the addresses of a run, IPv6 first. */
export function inAddressRun(bytes: Uint8Array, start: number, end: number, seen: Seen): void {
  for (let at = start; ; at += LONG_RUN - OVERLAP) {
    const to = Math.min(at + LONG_RUN, end);
    inV6Run(bytes, at, to, seen);
    inV4Run(bytes, at, to, seen);
    if (to === end) return;
  }
}

/** A run of millions of bytes is none that anybody wrote, and must not fill the memory. */
const LONG_RUN = 4096;
/** More than any text of an address, with what is looked at beside it. */
const OVERLAP = 128;

/** Digits and letters of hex, and all that stands between them. */
const ADDRESS = kind('0123456789abcdefABCDEF:.-_%');
const SIGN = kind(':.-_%');

const DOT = 0x2e;
const DASH = 0x2d;
const UNDERSCORE = 0x5f;
const COLON = 0x3a;
const PERCENT = 0x25;
const BACKSLASH = 0x5c;

/**
 * How many hex digits at the start of a run belong to an escape before it: `%20192…`, `\x20192…`, `\u00e9192…`,
 * `\f192…`. A text may hold such escapes itself, whatever it was written in.
 */
export function escapedDigits(bytes: Uint8Array, start: number): number {
  if (bytes[start - 1] === BACKSLASH) return 1;
  for (let k = 0; k < 4; k++) {
    const c = bytes[start - 1 - k] ?? 0;
    const marked = bytes[start - 2 - k] === BACKSLASH || bytes[start - 2 - k] === PERCENT;
    if (c === 0x75 && marked) return 4 - k; // u
    if (k < 2 && (c === PERCENT || (c === 0x78 && marked))) return 2 - k; // x
    if (HEX[c] === 0) return 0;
  }
  return 0;
}

/** The same where letters are of the kind too: those of the escape itself are among the run then. */
export function escapedLetters(bytes: Uint8Array, start: number): number {
  const before = bytes[start - 1];
  if (before !== BACKSLASH && before !== PERCENT) return 0;
  if (bytes[start] === 0x75) return 5;
  if (before === PERCENT) return 2;
  return bytes[start] === 0x78 ? 3 : 1;
}

// A run has no more groups than bytes; nothing that is told of one looks for another, so there is one place for them.
const starts = new Int32Array(LONG_RUN + 1);
const ends = new Int32Array(LONG_RUN + 1);
/** -1 for what is no group. */
const values = new Int32Array(LONG_RUN + 1);
/** The one separator before a group; 0 where there is none, or another besides. */
const separators = new Uint8Array(LONG_RUN + 1);

// --- IPv4

function inV4Run(bytes: Uint8Array, start: number, end: number, seen: Seen): void {
  const count = digitGroups(bytes, start, end);
  for (let first = 0; first + 3 < count; ) {
    // As many groups as stand with the same separator.
    const by = separators[first + 1]!;
    let last = first;
    while (last + 1 < count && by !== 0 && separators[last + 1] === by) last++;
    // Dots make one number of it: 1.2.3.4.5 is none. Dashes are between words too.
    const length = last - first + 1;
    if (length === 4 || (length > 4 && by !== DOT)) {
      for (let i = first; i + 3 <= last; i++) if (quad(bytes, i, seen)) i += 3;
    }
    first = Math.max(last, first + 1);
  }
}

function quad(bytes: Uint8Array, i: number, seen: Seen): boolean {
  const stop = ends[i + 3]!;
  // In the name of a host the octets may stand the other way round: 4.3.2.1.in-addr.arpa
  const turned = bytes[stop] === DOT && LETTER[bytes[stop + 1] ?? 0] === 1;
  if (octets4(values[i]!, starts[i]!, i, turned, seen)) return true;
  const escaped = escapedDigits(bytes, starts[i]!);
  if (escaped === 0) return false;
  // An escape may be escaped itself: %2520
  for (let at = starts[i]! + escaped; at <= starts[i]! + escaped + 2; at += 2)
    if (at < ends[i]! && octets4(octet(bytes, at, ends[i]!), at, i, turned, seen)) return true;
  return false;
}

/** The first octet, and the groups behind group `i`. */
function octets4(a: number, at: number, i: number, turned: boolean, seen: Seen): boolean {
  const b = values[i + 1]!;
  const c = values[i + 2]!;
  const d = values[i + 3]!;
  if ((a | b | c | d) < 0) return false;
  const stop = ends[i + 3]!;
  return (
    seen((a << 24) | (b << 16) | (c << 8) | d, at, stop) ||
    (turned && seen((d << 24) | (c << 16) | (b << 8) | a, at, stop))
  );
}

/** Groups of digits; what stands between two is a dot, also as %2E (in URLs), a dash or a low line. @returns how many */
function digitGroups(bytes: Uint8Array, from: number, to: number): number {
  let count = 0;
  let between = 0;
  let before = 0;
  for (let at = from; at < to; ) {
    if (DIGIT[bytes[at]!] === 0) {
      const encoded = bytes[at] === PERCENT && isDotEscape(bytes, at);
      before = encoded ? DOT : bytes[at]!;
      between++;
      at = Math.min(at + (encoded ? 3 : 1), to);
      continue;
    }
    starts[count] = at;
    while (at < to && DIGIT[bytes[at]!] === 1) at++;
    ends[count] = at;
    values[count] = octet(bytes, starts[count]!, at);
    separators[count++] = between === 1 && (before === DOT || before === DASH || before === UNDERSCORE) ? before : 0;
    between = 0;
  }
  return count;
}

function isDotEscape(bytes: Uint8Array, at: number): boolean {
  return bytes[at + 1] === 0x32 && (bytes[at + 2]! | 0x20) === 0x65; // %2E
}

/** An octet may have zeros in front, and is decimal then too. */
function octet(bytes: Uint8Array, start: number, end: number): number {
  if (end - start > 3) return -1;
  let value = 0;
  for (let i = start; i < end; i++) value = value * 10 + bytes[i]! - 0x30;
  return value > 255 ? -1 : value;
}

// --- IPv6

/** Where the double separator before a group begins; -1 where there is none. */
const doubles = new Int32Array(LONG_RUN + 1);
/** 1 where nothing but its separator stands between a group and the one before. */
const follows = new Uint8Array(LONG_RUN + 1);

function inV6Run(bytes: Uint8Array, start: number, end: number, seen: Seen): void {
  if (end - start >= NIBBLES) nibbles(bytes, start, end, seen);
  if (!mayBeV6(bytes, start, end)) return;
  const escaped = escapedDigits(bytes, start);
  inColons(bytes, start, end, seen);
  if (escaped > 0 && start + escaped < end) inColons(bytes, start + escaped, end, seen);
}

/** Two separators in a row, or six of them (the seventh may be a dot): most runs have neither. */
function mayBeV6(bytes: Uint8Array, start: number, end: number): boolean {
  let count = 0;
  for (let i = start; i < end; i++) {
    const c = bytes[i]!;
    if (c === PERCENT && isColonEscape(bytes, i)) return true;
    if (c !== COLON && c !== DASH) continue;
    if (i > start && bytes[i - 1] === c) return true;
    count++;
  }
  return count >= 6;
}

function isColonEscape(bytes: Uint8Array, at: number): boolean {
  return bytes[at + 1] === 0x33 && (bytes[at + 2]! | 0x20) === 0x61; // %3A
}

/**
 * An address may have words or a port on either side that look like groups of it (`2001:db8::1:443`), so every
 * sequence of groups is tried, the longest first.
 */
function inColons(bytes: Uint8Array, from: number, to: number, seen: Seen): void {
  const count = hexGroups(bytes, from, to);
  for (let i = 0; i < count; ) {
    const leading = doubles[i]! >= 0 ? sequence(bytes, i, count, true, seen) : 0;
    const taken = leading > 0 ? leading : sequence(bytes, i, count, false, seen);
    i += Math.max(taken, 1);
  }
}

/** Addresses that begin at one place: where each ends, how many groups it takes, and its own eight groups. */
const found: { end: number; taken: number; groups: Uint16Array }[] = Array.from({ length: 20 }, () => ({
  end: 0,
  taken: 0,
  groups: new Uint16Array(8),
}));
const sequenceOf = new Uint16Array(10);

/** Tries the sequences that begin with a group, or with the double separator before it. @returns groups taken */
function sequence(bytes: Uint8Array, first: number, count: number, leading: boolean, seen: Seen): number {
  const start = leading ? doubles[first]! : starts[first]!;
  let by = leading ? separators[first]! : 0;
  let gap = leading ? 0 : -1;
  let length = 0;
  let candidates = 0;
  for (let i = first; i < count; i++) {
    if (i > first) {
      if (follows[i] === 0 || (by !== 0 && separators[i] !== by)) break;
      by = separators[i]!;
      if (doubles[i]! >= 0) {
        if (gap !== -1) break;
        gap = length;
        candidates = keep(candidates, length, gap, starts[i]!, i - first); // it may end here, with the separators
      }
    }
    if (values[i]! < 0 || length === 8) break;
    const quad = bytes[ends[i]!] === DOT ? dotted(bytes, starts[i]!) : undefined;
    sequenceOf[length++] = values[i]!;
    candidates = keep(candidates, length, gap, ends[i]!, i - first + 1);
    if (quad) {
      sequenceOf[length - 1] = quad.value >>> 16;
      sequenceOf[length] = quad.value & 0xffff;
      candidates = keep(candidates, length + 1, gap, quad.end, i - first + 1);
      break;
    }
  }
  while (candidates > 0) {
    const { end, taken, groups: g } = found[--candidates]!;
    const address = String.fromCharCode(g[0]!, g[1]!, g[2]!, g[3]!, g[4]!, g[5]!, g[6]!, g[7]!);
    const within = embeddedIPv4(address);
    if (seen(address, start, end) || (within !== undefined && seen(within, start, end))) return taken;
  }
  return 0;
}

/** Notes an address of eight groups, or of fewer with a gap that stands for zeros. @returns how many are noted */
function keep(candidates: number, length: number, gap: number, end: number, taken: number): number {
  if (gap === -1 ? length !== 8 : length > 7) return candidates;
  const one = found[candidates]!;
  one.end = end;
  one.taken = taken;
  one.groups.fill(0);
  const before = gap === -1 ? 8 : gap;
  for (let i = 0; i < length; i++) one.groups[i < before ? i : 8 - length + i] = sequenceOf[i]!;
  return candidates + 1;
}

/** Groups of hex digits; separators are colons, dashes (in names of hosts) or %3A (in URLs). @returns how many */
function hexGroups(bytes: Uint8Array, from: number, to: number): number {
  let count = 0;
  // The separators since the last group: of which kind the last ones are, how many, and whether others stand before.
  let by = 0;
  let row = 0;
  let last = 0;
  let beforeLast = 0;
  let mixed = true;
  const add = (start: number, end: number, value: number) => {
    starts[count] = start;
    ends[count] = end;
    values[count] = value;
    separators[count] = by;
    doubles[count] = row > 1 ? beforeLast : -1;
    follows[count++] = !mixed && row < 3 ? 1 : 0;
    by = row = 0;
    mixed = false;
  };
  for (let at = from; at < to; ) {
    const c = bytes[at]!;
    if (HEX[c] === 1) {
      const start = at;
      while (at < to && HEX[bytes[at]!] === 1) at++;
      add(start, at, at - start <= 4 ? hexValue(bytes, start, at) : -1);
      continue;
    }
    const encoded = c === PERCENT;
    const separator = encoded ? (isColonEscape(bytes, at) ? COLON : 0) : c === COLON || c === DASH ? c : 0;
    if (separator === 0 || (by !== 0 && separator !== by)) {
      mixed = true;
      by = row = 0;
    }
    if (separator !== 0) {
      by = separator;
      row++;
      beforeLast = last;
      last = at;
    }
    at = Math.min(at + (encoded ? 3 : 1), to);
  }
  // What ends with a double separator has no group there.
  if (row > 1) add(to, to, -1);
  return count;
}

function hexValue(bytes: Uint8Array, start: number, end: number): number {
  let value = 0;
  for (let i = start; i < end; i++) value = (value << 4) | nibble(bytes[i]!);
  return value;
}

/** Value of a hex digit. */
export function nibble(c: number): number {
  return c <= 0x39 ? c - 0x30 : (c & 0x0f) + 9;
}

/** The four octets that an IPv6 address may end with. */
function dotted(bytes: Uint8Array, start: number): { value: number; end: number } | undefined {
  let value = 0;
  let at = start;
  for (let i = 0; i < 4; i++) {
    const from = at;
    while (at < bytes.length && DIGIT[bytes[at]!] === 1) at++;
    const one = at === from ? -1 : octet(bytes, from, at);
    if (one < 0) return undefined;
    value = (value << 8) | one;
    if (i < 3 && bytes[at++] !== DOT) return undefined;
  }
  return { value, end: at };
}

/** 32 hex digits with dots between them, the last of the address first: as in ip6.arpa. */
const NIBBLES = 63;

function nibbles(bytes: Uint8Array, from: number, to: number, seen: Seen): void {
  let count = 0;
  for (let at = from; at < to; at += 2) {
    const alone = HEX[bytes[at]!] === 1 && (at + 1 === to || bytes[at + 1] === DOT);
    if (!alone) {
      count = 0;
      // The next dot may stand at the other parity.
      while (at < to && bytes[at] !== DOT) at++;
      at--;
    } else if (++count >= 32) {
      const group = (i: number) => fourNibbles(bytes, at - 8 * i);
      const address = String.fromCharCode(
        group(0),
        group(1),
        group(2),
        group(3),
        group(4),
        group(5),
        group(6),
        group(7),
      );
      if (seen(address, at - 62, at + 1)) count = 0;
    }
  }
}

/** Every second byte, from one to the left. */
function fourNibbles(bytes: Uint8Array, at: number): number {
  return (
    (nibble(bytes[at]!) << 12) | (nibble(bytes[at - 2]!) << 8) | (nibble(bytes[at - 4]!) << 4) | nibble(bytes[at - 6]!)
  );
}
