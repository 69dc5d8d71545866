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
/** Shortest text of an IPv6 address that carries one of IPv4: `2002:100:1::`. */
const SHORTEST_EMBEDDED = 12;

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

/** Least length of the texts to look at, for each family; infinite where none is searched for. */
export interface Shortest {
  v4: number;
  v6: number;
}

export function shortestOf(addresses: Iterable<Address>): Shortest {
  const shortest = { v4: Number.POSITIVE_INFINITY, v6: Number.POSITIVE_INFINITY };
  for (const address of addresses) {
    const length = shortestText(address);
    if (typeof address === 'number') shortest.v4 = Math.min(shortest.v4, length);
    shortest.v6 = Math.min(shortest.v6, typeof address === 'number' ? SHORTEST_EMBEDDED : length);
  }
  return shortest;
}

/** Of any address. */
export const ANY: Shortest = { v4: 7, v6: 3 };

/** Finds addresses in a text: left to right in each family, IPv6 first. */
export function findAddresses(bytes: Uint8Array, shortest: Shortest, seen: Seen): void {
  for (const { wanted, inRun } of addressRuns(shortest))
    eachRun(bytes, wanted, (start, end) => inRun(bytes, start, end, seen));
}

export interface AddressRuns {
  wanted: Wanted;
  /** Finds what there is in a run. */
  inRun(bytes: Uint8Array, start: number, end: number, seen: Seen): void;
}

/** The runs of bytes that addresses are found in. */
export function addressRuns({ v4, v6 }: Shortest): AddressRuns[] {
  const runs: AddressRuns[] = [];
  if (Number.isFinite(v6)) runs.push({ wanted: { of: V6, min: v6, needs: { of: V6_SIGN, count: 2 } }, inRun: inV6Run });
  if (Number.isFinite(v4)) runs.push({ wanted: { of: V4, min: v4, needs: { of: V4_SIGN, count: 3 } }, inRun: inV4Run });
  return runs;
}

const V4 = kind('0123456789.-_');
const V4_SIGN = kind('.-_');
const V6 = kind('0123456789abcdefABCDEF:.-%');
const V6_SIGN = kind(':.-%');

const DOT = 0x2e;
const DASH = 0x2d;
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

// --- IPv4

/** Groups of digits of one run, with what stands between them. */
interface Groups {
  start: number[];
  end: number[];
  /** -1 for what is no octet. */
  value: number[];
  /** The one byte before it; 0 where there is none, or more than one. */
  separator: number[];
}

function inV4Run(bytes: Uint8Array, start: number, end: number, seen: Seen): void {
  const groups = digitGroups(bytes, start, end);
  const count = groups.start.length;
  const escaped = escapedDigits(bytes, start);
  for (let first = 0; first + 3 < count; ) {
    // As many groups as stand with the same separator.
    const by = groups.separator[first + 1]!;
    let last = first;
    while (last + 1 < count && by !== 0 && groups.separator[last + 1] === by) last++;
    // Dots make one number of it: 1.2.3.4.5 is none. Dashes are between words too.
    const length = last - first + 1;
    if (length === 4 || (length > 4 && by !== DOT)) {
      for (let i = first; i + 3 <= last; i++) if (quad(bytes, groups, i, start, escaped, seen)) i += 3;
    }
    first = Math.max(last, first + 1);
  }
}

function quad(bytes: Uint8Array, groups: Groups, i: number, run: number, escaped: number, seen: Seen): boolean {
  const { start, end, value } = groups;
  const [b, c, d] = [value[i + 1]!, value[i + 2]!, value[i + 3]!];
  if (b < 0 || c < 0 || d < 0) return false;
  const stop = end[i + 3]!;
  const take = (a: number, at: number) =>
    a >= 0 && (seen((a << 24) | (b << 16) | (c << 8) | d, at, stop) || (turned && seen(reverse(a, b, c, d), at, stop)));
  // In the name of a host the octets may stand the other way round: 4.3.2.1.in-addr.arpa
  const turned =
    groups.separator[i + 1] !== 0x5f &&
    bytes[stop] === DOT &&
    stop + 1 < bytes.length &&
    LETTER[bytes[stop + 1]!] === 1;
  if (take(value[i]!, start[i]!)) return true;
  if (escaped === 0 || start[i] !== run) return false;
  // An escape may be escaped itself: %2520
  return [escaped, escaped + 2].some(
    (skip) => run + skip < end[i]! && take(octet(bytes, run + skip, end[i]!), run + skip),
  );
}

function reverse(a: number, b: number, c: number, d: number): number {
  return (d << 24) | (c << 16) | (b << 8) | a;
}

function digitGroups(bytes: Uint8Array, from: number, to: number): Groups {
  const groups: Groups = { start: [], end: [], value: [], separator: [] };
  let separators = 0;
  for (let at = from; at < to; ) {
    if (DIGIT[bytes[at]!] === 0) {
      separators++;
      at++;
      continue;
    }
    const start = at;
    while (at < to && DIGIT[bytes[at]!] === 1) at++;
    groups.start.push(start);
    groups.end.push(at);
    groups.value.push(octet(bytes, start, at));
    groups.separator.push(separators === 1 ? bytes[start - 1]! : 0);
    separators = 0;
  }
  return groups;
}

/** An octet may have zeros in front, and is decimal then too. */
function octet(bytes: Uint8Array, start: number, end: number): number {
  if (end - start > 3) return -1;
  let value = 0;
  for (let i = start; i < end; i++) value = value * 10 + bytes[i]! - 0x30;
  return value > 255 ? -1 : value;
}

// --- IPv6

function inV6Run(bytes: Uint8Array, start: number, end: number, seen: Seen): void {
  if (end - start >= NIBBLES) nibbles(bytes, start, end, seen);
  if (!mayBeV6(bytes, start, end)) return;
  const escaped = escapedDigits(bytes, start);
  inColons(bytes, start, end, seen);
  if (escaped > 0 && start + escaped < end) inColons(bytes, start + escaped, end, seen);
}

/** Two separators in a row, or six of them (the seventh may be a dot): most runs have neither. */
function mayBeV6(bytes: Uint8Array, start: number, end: number): boolean {
  let separators = 0;
  for (let i = start; i < end; i++) {
    const c = bytes[i]!;
    if (c === PERCENT && isColonEscape(bytes, i)) return true;
    if (c !== COLON && c !== DASH) continue;
    if (i > start && bytes[i - 1] === c) return true;
    separators++;
  }
  return separators >= 6;
}

function isColonEscape(bytes: Uint8Array, at: number): boolean {
  return bytes[at + 1] === 0x33 && (bytes[at + 2]! | 0x20) === 0x61; // %3A
}

/** Hex digits, and what stands before them: colons, dashes (in names of hosts) or %3A (in URLs). */
interface HexGroup {
  start: number;
  end: number;
  /** -1 for more than four digits. */
  value: number;
  /** The separator before it; 0 where there is none. */
  by: number;
  double: boolean;
  /** Where its double separator begins. */
  before: number;
  /** Nothing but this separator stands between it and the group before. */
  follows: boolean;
}

/**
 * An address may have words or a port on either side that look like groups of it (`2001:db8::1:443`), so every
 * sequence of groups is tried, the longest first.
 */
function inColons(bytes: Uint8Array, from: number, to: number, seen: Seen): void {
  const groups = hexGroups(bytes, from, to);
  for (let i = 0; i < groups.length; ) {
    const leading = groups[i]!.double ? sequence(bytes, groups, i, true, seen) : 0;
    const taken = leading > 0 ? leading : sequence(bytes, groups, i, false, seen);
    i += Math.max(taken, 1);
  }
}

/** Tries the sequences that begin with a group, or with the double separator before it. @returns groups taken */
function sequence(bytes: Uint8Array, groups: HexGroup[], first: number, leading: boolean, seen: Seen): number {
  const start = leading ? groups[first]!.before : groups[first]!.start;
  let by = leading ? groups[first]!.by : 0;
  let gap = leading ? 0 : -1;
  const values: number[] = [];
  const found: { end: number; address: string; taken: number }[] = [];
  const keep = (end: number, taken: number, groups: number[] = values) => {
    const address = joined(groups, gap);
    if (address !== undefined) found.push({ end, address, taken });
  };
  for (let i = first; i < groups.length; i++) {
    const group = groups[i]!;
    if (i > first) {
      if (!group.follows || (by !== 0 && group.by !== by)) break;
      by = group.by;
      if (group.double) {
        if (gap !== -1) break;
        gap = values.length;
        keep(group.start, i - first); // it may end here, with the separators
      }
    }
    if (group.value < 0 || values.length === 8) break;
    const quad = bytes[group.end] === DOT ? dotted(bytes, group.start) : undefined;
    const before = quad ? [...values] : [];
    values.push(group.value);
    keep(group.end, i - first + 1);
    if (quad) keep(quad.end, i - first + 1, [...before, quad.value >>> 16, quad.value & 0xffff]);
  }
  for (const { end, address, taken } of found.reverse()) {
    const within = embeddedIPv4(address);
    if (seen(address, start, end) || (within !== undefined && seen(within, start, end))) return taken;
  }
  return 0;
}

/** Eight groups, or fewer with a gap that stands for zeros. */
function joined(values: number[], gap: number): string | undefined {
  if (gap === -1 ? values.length !== 8 : values.length > 7) return undefined;
  const zeros = gap === -1 ? [] : new Array<number>(8 - values.length).fill(0);
  const at = gap === -1 ? 8 : gap;
  return String.fromCharCode(...values.slice(0, at), ...zeros, ...values.slice(at));
}

function hexGroups(bytes: Uint8Array, from: number, to: number): HexGroup[] {
  const groups: HexGroup[] = [];
  // The separators since the last group: of which kind the last ones are, where they stand, and whether others do too.
  let by = 0;
  let places: number[] = [];
  let mixed = true;
  const other = () => {
    mixed = true;
    by = 0;
    places = [];
  };
  const group = (start: number, end: number, value: number) => {
    const double = places.length > 1;
    const before = double ? places.at(-2)! : start;
    groups.push({ start, end, value, by, double, before, follows: !mixed && places.length < 3 });
    other();
    mixed = false;
  };
  for (let at = from; at < to; ) {
    const c = bytes[at]!;
    if (HEX[c] === 1) {
      const start = at;
      while (at < to && HEX[bytes[at]!] === 1) at++;
      group(start, at, at - start <= 4 ? hexValue(bytes, start, at) : -1);
      continue;
    }
    const encoded = c === PERCENT;
    const separator = encoded ? (isColonEscape(bytes, at) ? COLON : 0) : c === DOT ? 0 : c;
    if (separator === 0 || (by !== 0 && separator !== by)) other();
    if (separator !== 0) {
      by = separator;
      places.push(at);
    }
    at = Math.min(at + (encoded ? 3 : 1), to);
  }
  // What ends with a double separator has no group there.
  if (places.length > 1) group(to, to, -1);
  return groups;
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
      continue;
    }
    count++;
    if (count < 32) continue;
    const start = at - 62;
    const groups: number[] = [];
    for (let g = 0; g < 8; g++) {
      let value = 0;
      for (let i = 0; i < 4; i++) value = (value << 4) | nibble(bytes[at - 8 * g - 2 * i]!);
      groups.push(value);
    }
    const address = String.fromCharCode(...groups);
    if (seen(address, start, at + 1)) count = 0;
  }
}
