// Finds in a text what must not be published: addresses and fingerprints of bridges, in whatever way they are
// written. What it costs depends on the length of the text alone, not on how many bridges there are.
import {
  type Address,
  escapedBytes,
  findAddresses,
  isLocal,
  nibble,
  type Shortest,
  shortestOf,
  withEmbedded,
} from './addresses.ts';
import { BASE64, type Base64Run, decodeRun, encodeLike, isBase64, runLength, wholeRun } from './base64.ts';
import type { Bridge, BridgeDatabase } from './bridges.ts';
import { packetSecrets } from './packets.ts';
import { DIGIT, eachRun, HEX, kind, WORD } from './runs.ts';

/** Why something was taken out of a text. */
export type Rule =
  | 'bridge_line'
  | 'bridge_address'
  | 'bridge_host'
  | 'bridge_fingerprint'
  | 'unknown_address'
  | 'probe_address'
  | 'resolver_address'
  | 'packet';

/** Secrets at [start, end) of a text, and what is to stand there. */
export interface Hit {
  start: number;
  end: number;
  /** One a secret: base64 is one hit with all that is in it. */
  rules: Rule[];
  text: Buffer;
}

/** What is secret in one record besides the database. */
export interface Own {
  addresses: Map<Address, { text: string; rule: Rule }>;
  /** Lower-case hex → the hash that stands for it. */
  fingerprints: Map<string, string>;
}

const NOTHING: Own = { addresses: new Map(), fingerprints: new Map() };

/** A key as it stands in a text, around a host of it. */
interface WholeKey {
  bytes: Buffer;
  /** The host's place in it. */
  at: number;
  bridge: Bridge;
}

interface Host {
  bridges: Bridge[];
  /** Longest first. */
  keys: WholeKey[];
  ports: Map<number, Bridge>;
}

const HOST = kind('abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-');
const HEX_OR_SPACE = kind('0123456789abcdefABCDEF ');

/** Digits of a fingerprint. */
const DIGITS = 40;
/** Ten groups of four digits, with spaces between, as Tor prints it. */
const GROUPED = 49;
/** Matches before them: more groups may stand on either side. */
const TEN_GROUPS = /(?<![0-9a-fA-F])(?=((?:[0-9a-fA-F]{4} {1,2}){9}[0-9a-fA-F]{4})(?![0-9a-fA-F]))/g;
/** A fingerprint in base64, without padding. */
const SHORTEST_RUN = 27;
/** Seven bytes in base64, without padding: an address. */
const SHORTEST_BASE64 = 10;
/** Longer ones are read from their beginning alone; shorter ones also as if a path or a word stood before. */
const LONG_RUN = 512;
/** Base64 within base64 within base64. */
const DEEPEST = 3;

export class Secrets {
  #addresses = new Map<Address, Host>();
  #names = new Map<string, Host>();
  #fingerprints = new Map<string, string>();
  #shortest: Shortest;
  #shortestName = Number.POSITIVE_INFINITY;
  /** One bit for each beginning of a fingerprint, of 20 bits. */
  #beginnings = new Uint8Array(1 << 17);
  /** The base64 of anything that is searched for has capitals in it. */
  #capitals = true;

  // What is searched for in this record, and what was found in this text.
  #own = NOTHING;
  #shortestHere: Shortest;
  #hits: Hit[] = [];
  #rooms: Buffer[] = [];

  constructor(database: BridgeDatabase) {
    for (const bridge of database.bridges) {
      this.#addFingerprint(bridge);
      for (const { host, port, start: at } of bridge.endpoints) {
        if ('address' in host && isLocal(host.address)) continue;
        const hosts =
          'address' in host
            ? withEmbedded(host.address).map((address) => hostAt(this.#addresses, address))
            : [hostAt(this.#names, host.name)];
        for (const one of hosts) {
          one.bridges.push(bridge);
          one.keys.push({ bytes: Buffer.from(bridge.key), at, bridge });
          if (port !== undefined && !one.ports.has(port)) one.ports.set(port, bridge);
        }
        if ('name' in host) this.#shortestName = Math.min(this.#shortestName, host.name.length);
      }
    }
    for (const { keys } of [...this.#addresses.values(), ...this.#names.values()])
      keys.sort((a, b) => b.bytes.length - a.bytes.length);
    if (this.#names.size > 0) this.#capitals = false;
    this.#shortest = shortestOf(this.#addresses.keys());
    this.#shortestHere = this.#shortest;
  }

  #addFingerprint({ fingerprint, hash }: Bridge): void {
    this.#fingerprints.set(fingerprint, hash);
    const bytes = Buffer.from(fingerprint, 'hex');
    const beginning = beginningOf(bytes, 0);
    this.#beginnings[beginning >> 3]! |= 1 << (beginning & 7);
    if (!/[A-Z]/.test(bytes.toString('base64'))) this.#capitals = false;
  }

  /** False where no string of a JSON text holds a secret of the database, if none of them hides it with escapes. */
  mayBeIn(json: Buffer): boolean {
    this.#begin(NOTHING);
    this.#search(json, 0);
    this.#shortData(json);
    return this.#hits.length > 0;
  }

  /** Secrets in the text of a whole string, in their order, none over another. */
  allIn(bytes: Buffer, own: Own): Hit[] {
    this.#begin(own);
    this.#search(bytes, 0);
    this.#wholeBase64(bytes, 0);
    return withoutOverlap(this.#hits);
  }

  #begin(own: Own): void {
    this.#hits = [];
    if (own === this.#own) return;
    this.#own = own;
    const { v4, v6 } = shortestOf(own.addresses.keys());
    this.#shortestHere = { v4: Math.min(v4, this.#shortest.v4), v6: Math.min(v6, this.#shortest.v6) };
  }

  get #hasFingerprints(): boolean {
    return this.#fingerprints.size + this.#own.fingerprints.size > 0;
  }

  #search(bytes: Buffer, depth: number): void {
    findAddresses(bytes, this.#shortestHere, (address, start, end) => this.#address(bytes, address, start, end));
    if (this.#names.size > 0) eachRun(bytes, HOST, this.#shortestName, (start, end) => this.#hosts(bytes, start, end));
    if (this.#hasFingerprints) {
      eachRun(bytes, HEX, DIGITS, (start, end) => this.#digits(bytes, start, end));
      eachRun(bytes, HEX_OR_SPACE, GROUPED, (start, end) => this.#groups(bytes, start, end));
    }
    let done = 0;
    eachRun(bytes, BASE64, SHORTEST_RUN, (start, end) => {
      if (start >= done) done = this.#run(bytes, start, end, depth);
    });
    this.#dataUris(bytes, depth);
  }

  #hit(start: number, end: number, rule: Rule | Rule[], text: string | Buffer): void {
    const rules = typeof rule === 'string' ? [rule] : rule;
    this.#hits.push({ start, end, rules, text: typeof text === 'string' ? Buffer.from(text) : text });
  }

  // --- addresses and hosts

  #address(bytes: Buffer, address: Address, start: number, end: number): boolean {
    const own = this.#own.addresses.get(address);
    const host = this.#addresses.get(address);
    if (!own && !host) return false;
    const bracketed = typeof address === 'string' && bytes[start - 1] === 0x5b && bytes[end] === 0x5d;
    const [first, last] = bracketed ? [start - 1, end + 1] : [start, end];
    if (own) this.#hit(first, last, own.rule, own.text);
    else this.#endpoint(bytes, host!, start, first, last, 'bridge_address');
    return true;
  }

  /** The longest key that stands here, else the bridge at this port, else the first of this host. */
  #endpoint(bytes: Buffer, host: Host, at: number, start: number, end: number, rule: Rule): void {
    for (const key of host.keys) {
      const first = at - key.at;
      const last = first + key.bytes.length;
      if (first < 0 || last > bytes.length) continue;
      if (bytes.compare(key.bytes, 0, key.bytes.length, first, last) !== 0) continue;
      // The key of port 44 does not stand in a text with port 443.
      if (withinWord(bytes, first) || withinWord(bytes, last)) continue;
      this.#hit(first, last, 'bridge_line', key.bridge.hash);
      return;
    }
    const port = portAt(bytes, end);
    const bridge = port && host.ports.get(port.number);
    this.#hit(start, bridge ? port.end : end, rule, (bridge ?? host.bridges[0]!).hash);
  }

  /** Names of hosts, and what ends with one of them. */
  #hosts(bytes: Buffer, start: number, end: number): void {
    const name = bytes.toString('latin1', start, end).toLowerCase().replace(/\.$/, '');
    const starts = [0, escapedBytes(bytes, start)];
    for (let dot = name.indexOf('.'); dot !== -1; dot = name.indexOf('.', dot + 1)) starts.push(dot + 1);
    for (const at of starts) {
      const host = this.#names.get(name.slice(at));
      if (!host) continue;
      this.#endpoint(bytes, host, start + at, start + at, start + name.length, 'bridge_host');
      return;
    }
  }

  // --- fingerprints

  #hashOf(digits: string): string | undefined {
    return this.#own.fingerprints.get(digits) ?? this.#fingerprints.get(digits);
  }

  #mayBegin(beginning: number): boolean {
    return (this.#beginnings[beginning >> 3]! & (1 << (beginning & 7))) !== 0 || this.#own.fingerprints.size > 0;
  }

  /** Forty digits, anywhere among more of them. */
  #digits(bytes: Buffer, start: number, end: number): void {
    let beginning = 0;
    for (let i = start; i < end; i++) {
      beginning = ((beginning << 4) | nibble(bytes[i]!)) & 0xfffff;
      const at = i - 4;
      if (at < start || at + DIGITS > end || !this.#mayBegin(beginning)) continue;
      this.#printed(bytes, at, at + DIGITS);
    }
  }

  /** Groups of digits; an escape before the first one may look like more digits of it. */
  #groups(bytes: Buffer, start: number, end: number): void {
    for (const from of new Set([start, start + escapedBytes(bytes, start)]))
      for (const { 1: text, index } of bytes.toString('latin1', from, end).matchAll(TEN_GROUPS))
        this.#printed(bytes, from + index, from + index + text!.length);
  }

  #printed(bytes: Buffer, start: number, end: number): void {
    const hash = this.#hashOf(bytes.toString('latin1', start, end).replaceAll(' ', '').toLowerCase());
    if (hash !== undefined) this.#hit(bytes[start - 1] === 0x24 ? start - 1 : start, end, 'bridge_fingerprint', hash);
  }

  /** The 20 bytes themselves, as in the `cert=` of a bridge line. */
  #binaryFingerprints(bytes: Buffer): void {
    for (let at = 0; at + DIGITS / 2 <= bytes.length; at++) {
      if (!this.#mayBegin(beginningOf(bytes, at))) continue;
      const hash = this.#hashOf(bytes.toString('hex', at, at + DIGITS / 2));
      if (hash !== undefined) this.#hit(at, at + DIGITS / 2, 'bridge_fingerprint', Buffer.from(hash, 'hex'));
    }
  }

  // --- base64

  /** @returns where it ends */
  #run(bytes: Buffer, start: number, end: number, depth: number): number {
    const run = wholeRun(bytes, start, end);
    if (this.#capitals && this.#own.fingerprints.size === 0 && !hasCapital(bytes, start, end)) return run.end;
    if (this.#decoded(bytes, run, 0, depth) || depth > 0 || runLength(run) > LONG_RUN) return run.end;
    // A path or a word may stand before it, with no other sign between.
    let tried = 1;
    for (let i = start; i + SHORTEST_RUN < end; i++) {
      const skip = i + 1 - start;
      if (WORD[bytes[i]!] === 1 || (tried & (1 << (skip & 3))) !== 0) continue;
      tried |= 1 << (skip & 3);
      if (this.#decoded(bytes, run, skip, depth)) break;
    }
    return run.end;
  }

  /** A text that is base64 as a whole, and too short to be found otherwise. */
  #wholeBase64(bytes: Buffer, depth: number): void {
    if (bytes.length < SHORTEST_BASE64 || bytes.length > SHORTEST_RUN + 2) return;
    const run = isBase64(bytes);
    if (run && run.pieces[1]! < SHORTEST_RUN) this.#decoded(bytes, run, 0, depth);
  }

  /** `data:…;base64,…` of any length. */
  #dataUris(bytes: Buffer, depth: number): void {
    for (let at = bytes.indexOf(DATA_URI); at !== -1; at = bytes.indexOf(DATA_URI, at + 1)) {
      const start = at + DATA_URI.length;
      let end = start;
      while (end < bytes.length && BASE64[bytes[end]!] === 1) end++;
      if (end - start >= SHORTEST_BASE64 && end - start < SHORTEST_RUN)
        this.#decoded(bytes, wholeRun(bytes, start, end), 0, depth);
    }
  }

  /** Within JSON: short data of `{"format":"base64","data":"…"}`, whatever stands between. */
  #shortData(json: Buffer): void {
    if (json.indexOf('"base64"') === -1) return;
    for (let at = json.indexOf(DATA_NAME); at !== -1; at = json.indexOf(DATA_NAME, at + 1)) {
      let start = at + DATA_NAME.length;
      while (BEFORE_VALUE[json[start] ?? 0] === 1) start++;
      if (json[start] !== 0x22) continue;
      const end = json.indexOf(0x22, start + 1);
      if (end !== -1) this.#wholeBase64(json.subarray(start + 1, end), 0);
    }
  }

  /** Searches what a run of base64 stands for, from one of its characters on. @returns whether anything was there */
  #decoded(bytes: Buffer, run: Base64Run, skip: number, depth: number): boolean {
    if (depth >= DEEPEST) return false;
    const room = this.#room(depth, run.end - run.pieces[0]!);
    const content = room.subarray(0, decodeRun(bytes, run, skip, room));
    const outer = this.#hits;
    this.#hits = [];
    this.#search(content, depth + 1);
    this.#wholeBase64(content, depth + 1);
    if (this.#hasFingerprints) this.#binaryFingerprints(content);
    const secret = (address: Address) => this.#own.addresses.has(address) || this.#addresses.has(address);
    for (const { start, end } of packetSecrets(content, secret))
      this.#hit(start, end, 'packet', Buffer.alloc(end - start));
    const inner = withoutOverlap(this.#hits);
    this.#hits = outer;
    if (inner.length === 0) return false;
    const start = run.pieces[0]!;
    const alone = content.length === DIGITS / 2 && inner[0]!.rules[0] === 'bridge_fingerprint';
    const text = alone
      ? bytes.toString('latin1', start, start + skip) + inner[0]!.text.toString('hex')
      : encodeLike(bytes, run, skip, replaced(content, inner));
    this.#hit(
      start,
      run.end,
      inner.flatMap(({ rules }) => rules),
      text,
    );
    return true;
  }

  #room(depth: number, length: number): Buffer {
    const room = this.#rooms[depth];
    if (room && room.length >= length) return room;
    return (this.#rooms[depth] = Buffer.allocUnsafe(length * 2));
  }
}

function hostAt<K>(map: Map<K, Host>, key: K): Host {
  const known = map.get(key);
  if (known) return known;
  const host: Host = { bridges: [], keys: [], ports: new Map() };
  map.set(key, host);
  return host;
}

const DATA_URI = Buffer.from('base64,');
const DATA_NAME = Buffer.from('"data"');
const BEFORE_VALUE = kind(' \t\r\n:');

/** The first 20 bits. */
function beginningOf(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 12) | (bytes[at + 1]! << 4) | (bytes[at + 2]! >> 4);
}

/** True where a letter or digit stands on either side. */
function withinWord(bytes: Uint8Array, at: number): boolean {
  return at > 0 && at < bytes.length && WORD[bytes[at - 1]!] === 1 && WORD[bytes[at]!] === 1;
}

/** A port after an address: `:443`, `%3A443`. */
function portAt(bytes: Buffer, end: number): { number: number; end: number } | undefined {
  let at = end;
  if (bytes[at] === 0x3a) at++;
  else if (bytes[at] === 0x25 && bytes[at + 1] === 0x33 && (bytes[at + 2]! | 0x20) === 0x61) at += 3;
  else return undefined;
  const start = at;
  while (at < bytes.length && at - start < 6 && DIGIT[bytes[at]!] === 1) at++;
  return at > start ? { number: Number(bytes.toString('latin1', start, at)), end: at } : undefined;
}

function hasCapital(bytes: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (bytes[i]! >= 0x41 && bytes[i]! <= 0x5a) return true;
  return false;
}

/** The first of those that overlap, and of those that begin together the longest. */
function withoutOverlap(hits: Hit[]): Hit[] {
  let end = -1;
  return hits
    .sort((a, b) => a.start - b.start || b.end - a.end)
    .filter((hit) => {
      if (hit.start < end) return false;
      end = hit.end;
      return true;
    });
}

/** A text with something else in the place of its secrets. */
export function replaced(bytes: Buffer, hits: readonly { start: number; end: number; text: Buffer }[]): Buffer {
  const pieces: Buffer[] = [];
  let at = 0;
  for (const { start, end, text } of hits) {
    pieces.push(bytes.subarray(at, start), text);
    at = end;
  }
  pieces.push(bytes.subarray(at));
  return Buffer.concat(pieces);
}
