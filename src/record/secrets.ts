// Finds in a text what must not be published: addresses and fingerprints of bridges, in whatever way they are
// written. What it costs depends on the length of the text alone, not on how many bridges there are.
import {
  type Address,
  addressRuns,
  escapedDigits,
  escapedLetters,
  inAddressRun,
  isLocal,
  nibble,
  shortestOf,
  withEmbedded,
} from './addresses.ts';
import { BASE64, type Base64Run, decodeRun, encodeLike, isBase64, runLength, wholeRun } from './base64.ts';
import type { Bridge, BridgeDatabase, Endpoint } from './bridges.ts';
import { packetSecrets } from './packets.ts';
import { withoutOverlap } from './ranges.ts';
import {
  BeginningFinder,
  CAPITAL,
  DIGIT,
  eachRun,
  kind,
  RunFinder,
  room,
  twentyBits,
  type Wanted,
  WORD,
} from './runs.ts';

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

export const NOTHING: Own = { addresses: new Map(), fingerprints: new Map() };

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
/**
 * Ten groups of four digits, with spaces between, as Tor prints them. It matches before them: more groups may stand on
 * either side.
 */
const TEN_GROUPS = /(?<![0-9a-fA-F])(?=((?:[0-9a-fA-F]{4} {1,2}){9}[0-9a-fA-F]{4})(?![0-9a-fA-F]))/g;
/** A fingerprint in base64, without padding. */
const SHORTEST_RUN = 27;
/** Seven bytes in base64, without padding: an address. */
const SHORTEST_BASE64 = 10;
/** Longer ones are read from their beginning alone; shorter ones also as if a path or a word stood before. */
const LONG_RUN = 512;
/** Base64 within base64 within base64. */
const DEEPEST = 3;

/** Runs to look for, and what to do with each. */
interface Search {
  wanted: Wanted;
  visit(bytes: Buffer, start: number, end: number, depth: number): void;
}

interface Plan {
  searches: Search[];
  finder: RunFinder;
}

/** Where base64 is told of. */
const WORDS = ['base64'];
/** A shorter text is searched where it is. */
const WORTH_A_COPY = 256;

export class Secrets {
  #addresses = new Map<Address, Host>();
  #hosts = new Map<string, Host>();
  /** Of their names, the longest first. */
  #lengths: number[];
  #fingerprints = new Map<string, string>();
  #beginnings = new BeginningFinder(DIGITS / 2);
  /** The base64 of anything in the database has capitals in it. */
  #capitals = true;
  /** Text of an address. */
  #shortest: number;
  #plans = new Map<string, Plan>();
  /** Of the database alone. */
  #usual: Plan;
  #names: readonly string[];

  // What is searched for in this record, and what was found in this text.
  #own = NOTHING;
  /** Its fingerprints. */
  #ownBytes: Buffer[] = [];
  #plan: Plan;
  #hits: Hit[] = [];
  /** Where the last run of base64 ended. */
  #done = 0;

  /** @param names of members that `mayBeIn` is to tell of */
  constructor(database: BridgeDatabase, names: readonly string[]) {
    for (const bridge of database.bridges) {
      this.#addFingerprint(bridge);
      for (const endpoint of bridge.endpoints) this.#addEndpoint(bridge, endpoint);
    }
    for (const { keys } of [...this.#addresses.values(), ...this.#hosts.values()])
      keys.sort((a, b) => b.bytes.length - a.bytes.length);
    this.#lengths = [...new Set([...this.#hosts.keys()].map((name) => name.length))].sort((a, b) => b - a);
    if (this.#hosts.size > 0) this.#capitals = false;
    this.#shortest = shortestOf(this.#addresses.keys());
    this.#names = names;
    this.#usual = this.#planFor(this.#shortest, this.#fingerprints.size > 0, this.#capitals);
    this.#plan = this.#usual;
  }

  #addEndpoint(bridge: Bridge, { host, port, start: at }: Endpoint): void {
    if ('address' in host && isLocal(host.address)) return;
    const hosts =
      'address' in host
        ? withEmbedded(host.address).map((address) => hostAt(this.#addresses, address))
        : [hostAt(this.#hosts, host.name)];
    for (const one of hosts) {
      one.bridges.push(bridge);
      one.keys.push({ bytes: Buffer.from(bridge.key), at, bridge });
      if (port !== undefined && !one.ports.has(port)) one.ports.set(port, bridge);
    }
  }

  #addFingerprint({ fingerprint, hash }: Bridge): void {
    this.#fingerprints.set(fingerprint, hash);
    const bytes = Buffer.from(fingerprint, 'hex');
    this.#beginnings.add(bytes);
    if (!/[A-Z]/.test(bytes.toString('base64'))) this.#capitals = false;
  }

  #planFor(shortest: number, fingerprints: boolean, capitals: boolean): Plan {
    const key = `${shortest} ${fingerprints} ${capitals}`;
    const known = this.#plans.get(key) ?? this.#planned(shortest, fingerprints, capitals);
    this.#plans.set(key, known);
    return known;
  }

  #planned(shortest: number, fingerprints: boolean, capitals: boolean): Plan {
    const searches: Search[] = [];
    if (Number.isFinite(shortest)) {
      searches.push({
        wanted: addressRuns(shortest),
        visit: (bytes, start, end) =>
          inAddressRun(bytes, start, end, (address, from, to) => this.#address(bytes, address, from, to)),
      });
    }
    if (this.#hosts.size > 0) {
      searches.push({
        wanted: { of: HOST, min: Math.max(3, ...this.#lengths.slice(-1)) },
        visit: (bytes, start, end) => this.#inHostRun(bytes, start, end),
      });
    }
    if (fingerprints) {
      searches.push({
        wanted: { of: HEX_OR_SPACE, min: DIGITS },
        visit: (bytes, start, end) => this.#inDigits(bytes, start, end),
      });
    }
    // An address in base64, where it does not stand alone, is longer than a fingerprint.
    const needs = capitals ? { of: CAPITAL, count: 1 } : undefined;
    searches.push({ wanted: { of: BASE64, min: SHORTEST_RUN, needs }, visit: (...run) => this.#inBase64(...run) });
    const words = [...WORDS, ...this.#names.map((name) => `"${name}"`)];
    return {
      searches,
      finder: new RunFinder(
        searches.map(({ wanted }) => wanted),
        words,
      ),
    };
  }

  /**
   * Where in a JSON text, as it stands, its strings may hold secrets: rather too many places than too few.
   * @param told is asked about a place where the name of a member may begin; true where that is a secret too
   * @returns undefined where that cannot be told: they may be anywhere
   */
  spotsIn(json: Buffer, own: Own, told: (name: string, at: number) => boolean = () => false): number[] | undefined {
    this.#begin(own);
    const { searches, finder } = this.#plan;
    const finds = finder.find(json);
    if (!finds) return undefined;
    const spots: number[] = [];
    this.#done = 0;
    for (let i = 0; i < finds.length; i += 3) {
      const [which, at, end] = [finds[i]!, finds[i + 1]!, finds[i + 2]!];
      if (which < searches.length) searches[which]!.visit(json, at, end, 0);
      else if (which === searches.length) {
        this.#dataUri(json, at, 0);
        if (json[at - 1] === QUOTE && json[at + 6] === QUOTE) spots.push(...this.#shortData(json, at - 1));
      } else if (told(this.#names[which - searches.length - WORDS.length]!, at)) spots.push(at);
    }
    for (const { start } of this.#hits) spots.push(start);
    return spots.sort((a, b) => a - b);
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
    this.#ownBytes = [];
    this.#plan = this.#usual;
    if (own.addresses.size + own.fingerprints.size === 0) return;
    const shortest = Math.min(this.#shortest, shortestOf(own.addresses.keys()));
    const capitals = this.#capitals && own.fingerprints.size === 0;
    this.#plan = this.#planFor(shortest, this.#hasFingerprints, capitals);
    this.#ownBytes = [...own.fingerprints.keys()].map((digits) => Buffer.from(digits, 'hex'));
  }

  get #hasFingerprints(): boolean {
    return this.#fingerprints.size + this.#own.fingerprints.size > 0;
  }

  #search(bytes: Buffer, depth: number): void {
    const { searches, finder } = this.#plan;
    const finds = depth === 0 && bytes.length < WORTH_A_COPY ? undefined : finder.find(bytes);
    if (!finds) {
      for (const { wanted, visit } of searches) {
        this.#done = 0;
        eachRun(bytes, wanted, (start, end) => visit(bytes, start, end, depth));
      }
      for (let at = bytes.indexOf('base64,'); at !== -1; at = bytes.indexOf('base64,', at + 1))
        this.#dataUri(bytes, at, depth);
      return;
    }
    this.#done = 0;
    for (let i = 0; i < finds.length; i += 3) {
      if (finds[i]! < searches.length) searches[finds[i]!]!.visit(bytes, finds[i + 1]!, finds[i + 2]!, depth);
      else if (finds[i] === searches.length) this.#dataUri(bytes, finds[i + 1]!, depth);
    }
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
    // Brackets are a part of how IPv6 is written.
    const bracketed = bytes[start - 1] === 0x5b && bytes[end] === 0x5d && bytes.subarray(start, end).includes(0x3a);
    const [first, last] = bracketed ? [start - 1, end + 1] : [start, end];
    // Of a bridge the database knows the ports too.
    if (host && (!own || own.rule === 'bridge_address'))
      this.#endpoint(bytes, host, start, first, last, 'bridge_address');
    else this.#hit(first, last, own!.rule, own!.text);
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

  /** The name of a host, or one below it. */
  #inHostRun(bytes: Buffer, start: number, end: number): void {
    const last = bytes[end - 1] === 0x2e ? end - 1 : end;
    const first = start + escapedLetters(bytes, start);
    for (const length of this.#lengths) {
      const at = last - length;
      const begins = at === start || at === first || (at > start && bytes[at - 1] === 0x2e);
      const host = begins ? this.#hosts.get(bytes.toString('latin1', at, last).toLowerCase()) : undefined;
      if (!host) continue;
      this.#endpoint(bytes, host, at, at, last, 'bridge_host');
      return;
    }
  }

  // --- fingerprints

  #hashOf(digits: string): string | undefined {
    return this.#own.fingerprints.get(digits) ?? this.#fingerprints.get(digits);
  }

  #mayBegin(beginning: number): boolean {
    return this.#beginnings.has(beginning) || this.#ownBytes.some((bytes) => twentyBits(bytes, 0) === beginning);
  }

  /** Forty digits, anywhere among more of them, or groups of four. */
  #inDigits(bytes: Buffer, start: number, end: number): void {
    let beginning = 0;
    let from = start;
    let spaces = 0;
    for (let i = start; i < end; i++) {
      const c = bytes[i]!;
      if (c === 0x20) {
        from = i + 1;
        spaces++;
        continue;
      }
      beginning = ((beginning << 4) | nibble(c)) & 0xfffff;
      const at = i - 4;
      if (at < from || at + DIGITS > end || !this.#mayBegin(beginning)) continue;
      if (!bytes.subarray(at, at + DIGITS).includes(0x20)) this.#printed(bytes, at, at + DIGITS);
    }
    if (spaces >= 9) this.#inGroups(bytes, start, end);
  }

  /** Groups of digits; an escape before the first one may look like more digits of it. */
  #inGroups(bytes: Buffer, start: number, end: number): void {
    for (const from of new Set([start, start + escapedDigits(bytes, start)]))
      for (const { 1: text, index } of bytes.toString('latin1', from, end).matchAll(TEN_GROUPS))
        this.#printed(bytes, from + index, from + index + text!.length);
  }

  #printed(bytes: Buffer, start: number, end: number): void {
    // Groups have their fifth digit behind a space or two.
    let fifth = start + 4;
    while (bytes[fifth] === 0x20) fifth++;
    let beginning = nibble(bytes[fifth]!);
    for (let i = 0; i < 4; i++) beginning |= nibble(bytes[start + i]!) << (16 - 4 * i);
    if (!this.#mayBegin(beginning)) return;
    const hash = this.#hashOf(bytes.toString('latin1', start, end).replaceAll(' ', '').toLowerCase());
    if (hash !== undefined) this.#hit(bytes[start - 1] === 0x24 ? start - 1 : start, end, 'bridge_fingerprint', hash);
  }

  /** The 20 bytes themselves, as in the `cert=` of a bridge line. */
  #binaryFingerprints(bytes: Buffer): void {
    const places = this.#beginnings.find(bytes);
    const count = places?.length ?? bytes.length - DIGITS / 2 + 1;
    const seen = (at: number) => {
      const hash = this.#hashOf(bytes.toString('hex', at, at + DIGITS / 2));
      if (hash !== undefined) this.#hit(at, at + DIGITS / 2, 'bridge_fingerprint', Buffer.from(hash, 'hex'));
    };
    for (let i = 0; i < count; i++) seen(places?.[i] ?? i);
    for (const own of this.#ownBytes)
      for (let at = bytes.indexOf(own); at !== -1; at = bytes.indexOf(own, at + 1)) seen(at);
  }

  // --- base64

  #inBase64(bytes: Buffer, start: number, end: number, depth: number): void {
    if (start < this.#done) return; // a line of it
    const run = wholeRun(bytes, start, end);
    const first = escapedLetters(bytes, start);
    const found = this.#decoded(bytes, run, first, depth) || (first > 0 && this.#decoded(bytes, run, 0, depth));
    if (!found && depth === 0 && runLength(run) <= LONG_RUN) {
      // A path or a word may stand before it, with no other sign between.
      let tried = (1 << (first & 3)) | 1;
      for (let i = start; i + SHORTEST_RUN < end; i++) {
        const skip = i + 1 - start;
        if (WORD[bytes[i]!] === 1 || (tried & (1 << (skip & 3))) !== 0) continue;
        tried |= 1 << (skip & 3);
        if (this.#decoded(bytes, run, skip, depth)) break;
      }
    }
    this.#done = run.end;
  }

  /** A text that is base64 as a whole, and too short to be found otherwise. */
  #wholeBase64(bytes: Buffer, depth: number): void {
    if (bytes.length < SHORTEST_BASE64 || bytes.length > SHORTEST_RUN + 2) return;
    const run = isBase64(bytes);
    if (run && run.pieces[1]! < SHORTEST_RUN) this.#decoded(bytes, run, 0, depth);
  }

  /** `data:…;base64,…`, too short to be found otherwise. @param at where `base64` may stand */
  #dataUri(bytes: Buffer, at: number, depth: number): void {
    const start = at + 7;
    if (bytes.toString('latin1', at, start) !== 'base64,') return;
    let end = start;
    while (end < bytes.length && BASE64[bytes[end]!] === 1) end++;
    if (end - start >= SHORTEST_BASE64 && end - start < SHORTEST_RUN)
      this.#decoded(bytes, wholeRun(bytes, start, end), 0, depth);
  }

  /**
   * Short data of `{"format":"base64","data":"…"}`, which is found by its format alone.
   * @param at where `"base64"` stands
   * @returns where there is a secret in it
   */
  #shortData(json: Buffer, at: number): number[] {
    const places = [dataBehind(json, at), dataAhead(json, at + 8)].filter((place) => place !== undefined);
    // Neither before nor behind its format: it may stand anywhere.
    for (let name = places.length > 0 ? -1 : json.indexOf(DATA); name !== -1; name = json.indexOf(DATA, name + 1)) {
      const place = stringAfter(json, name, /^"data"\s*:\s*"/);
      if (place) places.push(place);
    }
    const outer = this.#hits;
    const found = places.filter(([start, end]) => {
      this.#hits = [];
      this.#wholeBase64(json.subarray(start, end), 0);
      return this.#hits.length > 0;
    });
    this.#hits = outer;
    return found.map(([start]) => start);
  }

  /** Searches what a run of base64 stands for, from one of its characters on. @returns whether anything was there */
  #decoded(bytes: Buffer, run: Base64Run, skip: number, depth: number): boolean {
    if (depth >= DEEPEST) return false;
    const space = room(run.end - run.pieces[0]!, depth > 0 ? bytes : undefined);
    const content = space.subarray(0, decodeRun(bytes, run, skip, space));
    const outer = this.#hits;
    this.#hits = [];
    this.#search(content, depth + 1);
    this.#wholeBase64(content, depth + 1);
    if (this.#hasFingerprints) this.#binaryFingerprints(content);
    const secret = (address: Address) => this.#own.addresses.has(address) || this.#addresses.has(address);
    for (const { start, end } of packetSecrets(content, secret))
      this.#hit(start, end, 'packet', Buffer.alloc(end - start));
    const [first, ...others] = withoutOverlap(this.#hits);
    this.#hits = outer;
    if (!first) return false;
    const start = run.pieces[0]!;
    const alone = content.length === DIGITS / 2 && first.rules[0] === 'bridge_fingerprint';
    const text = alone
      ? bytes.toString('latin1', start, start + skip) + first.text.toString('hex')
      : encodeLike(bytes, run, skip, content, [first, ...others]);
    this.#hit(
      start,
      run.end,
      [first, ...others].flatMap(({ rules }) => rules),
      text,
    );
    return true;
  }
}

function hostAt<K>(map: Map<K, Host>, key: K): Host {
  const known = map.get(key);
  if (known) return known;
  const host: Host = { bridges: [], keys: [], ports: new Map() };
  map.set(key, host);
  return host;
}

const QUOTE = 0x22;
const DATA = '"data"';
/** More than what stands between a name and its value, or two members. */
const AROUND = 64;

/** The string that begins where a pattern ends. */
function stringAfter(json: Buffer, at: number, pattern: RegExp): [number, number] | undefined {
  const [found] = pattern.exec(json.toString('latin1', at, at + AROUND)) ?? [];
  const start = at + (found?.length ?? 0);
  return found === undefined ? undefined : [start, json.indexOf(QUOTE, start)];
}

/** The string that is the next member, `data`. */
function dataAhead(json: Buffer, at: number): [number, number] | undefined {
  return stringAfter(json, at, /^\s*,\s*"data"\s*:\s*"/);
}

/** The string that is the member before, `data`, where a value `format` begins. */
function dataBehind(json: Buffer, at: number): [number, number] | undefined {
  const [between] = /"\s*,\s*"format"\s*:\s*$/.exec(json.toString('latin1', Math.max(0, at - AROUND), at)) ?? [];
  if (between === undefined) return undefined;
  const end = at - between.length;
  const quote = json.lastIndexOf(QUOTE, end - 1);
  return /"data"\s*:\s*$/.test(json.toString('latin1', Math.max(0, quote - AROUND), quote))
    ? [quote + 1, end]
    : undefined;
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
