// What may be published of a record: bridges by their hash, the probe's own address not at all.
import { createHmac } from 'node:crypto';
import { type Address, ANY, findAddresses, isLocal, withEmbedded } from './addresses.ts';
import { type Bridge, BridgeDatabase, endpointsIn, fingerprintIn, hashFingerprint, listensAt } from './bridges.ts';
import { member, readJson, stringOf } from './json.ts';
import { type Edit, eachString, edited, isSpace, readString, valueEnd } from './jsontext.ts';
import { arrayOf, isNull, jsonOf, type Node, Obj, objectOf, readDocument, textOf } from './nodes.ts';
import { ROW_DEPTH } from './rows.ts';
import { SCRUBS, type Scrub, tellsFailure } from './scrubs.ts';
import { NOTHING, type Own, type Rule, Secrets } from './secrets.ts';
import { canonicalTest } from './testnames.ts';
import { redactTorLog } from './torlog.ts';

/** Changes with what the rules make of a record. */
export const RULES = 1;

export interface SanitiseOptions {
  /** What is done with a bridge that the database does not have. */
  unknown: 'redact' | 'drop' | 'keep';
  /** For what stands in the place of an unknown bridge without fingerprint; without it, that is `[redacted]`. */
  key: Buffer | undefined;
  /** Look for bridges in every string. */
  search: boolean;
  /** Take out the probe's own address. */
  probeIp: boolean;
  /** And that of its resolver. */
  resolver: boolean;
  /** Take out besides: any address in texts of failures, what looks like an e-mail or MAC address. */
  scrubs: readonly Scrub[];
  /** The annotations that stay; undefined for all. */
  annotations: readonly string[] | undefined;
}

/** How often each rule took something out. */
export type Removed = Partial<
  Record<Rule | Scrub | 'bridge' | 'unknown_bridge' | 'tor_log' | 'probe_ip' | 'resolver' | 'annotation', number>
>;

export interface Sanitised {
  /** Undefined where the record is dropped. */
  document: Buffer | undefined;
  removed: Removed;
  /** What stands for a bridge that the database does not have. */
  unknown?: string;
}

const SCRUBBED = '[scrubbed]';
const REDACTED = '[redacted]';
/** What stands in the place of a bridge line already. */
const OPAQUE = /^(?:hmac:[0-9a-f]{40}|\[redacted\])$/;
const HASH = /^[0-9a-f]{40}$/;
const DEPTH = { maxDepth: ROW_DEPTH };
/** A text may hold more than one spelling at one place; each time, what was found is gone. */
const ROUNDS = 10;

/** A member that holds an address of the probe's, and what it holds where nobody is to know it. */
interface OwnMember {
  rule: 'probe_ip' | 'resolver';
  found: Rule;
  text: string;
  /** JSON of values that tell of nobody. */
  harmless: readonly string[];
}

const HARMLESS = ['null', '""', '"127.0.0.1"', '"[scrubbed]"', '"0.0.0.0"', '"::1"', '"::"'];
const PROBE = { rule: 'probe_ip', found: 'probe_address', harmless: HARMLESS } as const;
const RESOLVER: OwnMember = {
  rule: 'resolver',
  found: 'resolver_address',
  text: SCRUBBED,
  harmless: [...HARMLESS, '"127.0.0.2"'],
};

export class Sanitiser {
  #database: BridgeDatabase;
  #options: SanitiseOptions;
  #secrets: Secrets;
  /** By name. */
  #members = new Map<string, OwnMember>();
  /** In the test `dash`. */
  #dashMembers: Map<string, OwnMember>;

  constructor(database: BridgeDatabase, options: SanitiseOptions) {
    this.#database = database;
    this.#options = options;
    if (options.probeIp) this.#members.set('probe_ip', { ...PROBE, text: '127.0.0.1' });
    if (options.resolver) for (const name of ['client_resolver', 'resolver_ip']) this.#members.set(name, RESOLVER);
    this.#secrets = new Secrets(options.search ? database : new BridgeDatabase([]), [...this.#members.keys()]);
    this.#dashMembers = new Map(this.#members);
    // The server of this test tells the probe its addresses.
    if (options.probeIp)
      for (const name of ['real_address', 'internal_address'])
        this.#dashMembers.set(name, { ...PROBE, text: SCRUBBED });
  }

  /**
   * A record without what may not be published. A document that nothing is taken out of comes back as it is.
   * @throws Error for what is no JSON object, or cannot be made fit; it never tells what is in it
   */
  sanitise(document: Buffer): Sanitised {
    const { value } = readJson(document, { ...DEPTH, names: ['test_name'] });
    if (value.type !== 'object') throw new Error(`not an object, but ${value.type}`);
    const test = canonicalTest(stringOf(document, member(value, 'test_name')));
    const removed: Removed = {};
    if (test !== 'bridge_reachability' && test !== 'tcp_connect' && !this.#mayChange(document, test))
      return { document, removed };
    return this.#change(document, test, removed);
  }

  /** Quick, and true rather too often. */
  #mayChange(document: Buffer, test: string): boolean {
    const { scrubs, annotations } = this.#options;
    if (scrubs.length > 0 || annotations) return true;
    if (test === 'dash' && [...this.#dashMembers.keys()].some((name) => document.includes(`"${name}"`))) return true;
    const told = (name: string, at: number) => mayTell(document, this.#members.get(name)!, name, at);
    return this.#secrets.spotsIn(document, NOTHING, told)?.length !== 0;
  }

  #change(given: Buffer, test: string, removed: Removed): Sanitised {
    const own: Own = { addresses: new Map(), fingerprints: new Map() };
    const members = test === 'dash' ? this.#dashMembers : this.#members;
    let document = this.#ownMembers(given, members, own, removed);
    let unknown: string | undefined;
    if (test === 'bridge_reachability') {
      const done = this.#bridgeReachability(document, own, removed);
      document = done.document;
      unknown = done.unknown;
      if (unknown !== undefined && this.#options.unknown === 'drop') return { document: undefined, removed, unknown };
    }
    if (test === 'tcp_connect') document = this.#tcpConnect(document, removed);
    document = this.#strings(this.#annotations(document, removed), own, removed);
    return { document, removed, ...(unknown === undefined ? {} : { unknown }) };
  }

  // --- addresses of the probe

  /** Takes note of the addresses that members tell, and makes them tell none. */
  #ownMembers(document: Buffer, members: Map<string, OwnMember>, own: Own, removed: Removed): Buffer {
    if (members.size === 0) return document;
    const edits: Edit[] = [];
    let done = 0;
    eachString(document, 0, document.length, (start, end, isName) => {
      if (!isName || start < done) return;
      const one = members.get(readString(document, start, end).bytes.toString());
      if (!one) return;
      let at = document.indexOf(0x3a, end) + 1;
      while (isSpace(document[at]!)) at++;
      const to = valueEnd(document, at);
      const told = addressesWithin(document, at, to);
      if (one.harmless.includes(document.toString('utf8', at, to)) || (one.text === SCRUBBED && told.length === 0))
        return;
      for (const address of told.flatMap(withEmbedded)) own.addresses.set(address, { text: SCRUBBED, rule: one.found });
      edits.push({ start: at, end: to, text: JSON.stringify(one.text) });
      count(removed, one.rule);
      done = to;
    });
    return edited(document, edits);
  }

  // --- tests of bridges

  #bridgeReachability(given: Buffer, own: Own, removed: Removed): { document: Buffer; unknown?: string } {
    const document = withoutTorLog(given, removed);
    const { record, keys, inputs } = bridgeRecord(document);
    const input = inputs.join(' ');
    const address = trimmed(keys.get('bridge_address'));
    const hashed = keys.get('bridge_hashed_fingerprint');
    const isDone = OPAQUE.test(input) || (HASH.test(input) && input === textOf(hashed));
    if (address === '' && (isDone || input === '')) return { document };

    const keep = this.#options.unknown === 'keep';
    const lines = [address || input];
    if (address !== '' && input !== '' && !isDone && !keep) lines.push(input);
    const { bridge, hash } = this.#identify(lines);
    const tells = !isDone && inputs.some(tellsPlace);
    if (
      address === '' &&
      hash === undefined &&
      !tells &&
      keys.has('distributor') &&
      hashed !== undefined &&
      isNull(hashed)
    )
      return { document }; // nothing in it told of a bridge, the first time neither
    const unknown = bridge ? undefined : (hash ?? (isDone ? input : this.#opaque(input || address)));
    const secret = !keep || bridge !== undefined;
    count(removed, bridge ? 'bridge' : 'unknown_bridge');
    if (secret) {
      const rule = bridge ? 'bridge_address' : 'unknown_address';
      noteLines(own, isDone ? [address] : [address, input], bridge?.hash ?? unknown!, rule);
    }

    if (!keys.has('tor_log')) keys.set('tor_log', '');
    if (secret) keys.set('bridge_address', null);
    else if (address === '') keys.set('bridge_address', record.get('input')!);
    keys.set('distributor', bridge?.distributor ?? null);
    if (bridge) keys.set('transport', bridge.transport);
    keys.set('bridge_hashed_fingerprint', hash ?? (isDone && HASH.test(input) ? input : null));
    if (hash !== undefined) record.set('input', hash);
    else if (secret && tells) record.set('input', unknown!);
    record.set('test_keys', keys);
    return { document: jsonOf(record), ...(unknown === undefined ? {} : { unknown }) };
  }

  /** The bridge of the lines; or where the database does not have it, the hash of its fingerprint. */
  #identify(lines: string[]): { bridge: Bridge | undefined; hash: string | undefined } {
    const database = this.#database;
    const fingerprint = lines.map(fingerprintIn).find(Boolean);
    const known =
      lines.map((line) => database.ofLine(line)).find(Boolean) ??
      (fingerprint ? database.ofFingerprint(fingerprint) : lines.map((line) => this.#ofPlace(line)).find(Boolean));
    return { bridge: known, hash: known?.hash ?? (fingerprint && hashFingerprint(fingerprint)) };
  }

  /** The bridge at a line's address and port; where none is known there, the first of those at the address. */
  #ofPlace(line: string): Bridge | undefined {
    for (const { host, port } of endpointsIn(line)) {
      if (!('address' in host)) continue;
      for (const address of withEmbedded(host.address)) {
        const there = this.#database.atAddress(address);
        const bridge = there.find((one) => listensAt(one, address, port)) ?? there[0];
        if (bridge) return bridge;
      }
    }
    return undefined;
  }

  /** Only a secret key keeps others from trying all addresses. */
  #opaque(line: string): string {
    const { key } = this.#options;
    return key ? `hmac:${createHmac('sha256', key).update(line).digest('hex').slice(0, 40)}` : REDACTED;
  }

  #tcpConnect(document: Buffer, removed: Removed): Buffer {
    const input = textOf(objectOf(readDocument(document, 1))!.get('input'));
    const bridge = input === undefined ? undefined : this.#ofTarget(input.trim());
    if (!bridge) return document;
    const { record, keys } = bridgeRecord(document);
    keys.set('bridge_hashed_fingerprint', bridge.hash);
    record.set('test_keys', keys);
    record.set('input', bridge.hash);
    count(removed, 'bridge');
    return jsonOf(record);
  }

  /** The bridge of a key, or of exactly this address and port. */
  #ofTarget(input: string): Bridge | undefined {
    const bridge = this.#database.ofLine(input);
    const [place] = endpointsIn(input);
    if (bridge || /\s/.test(input) || !place || !('address' in place.host)) return bridge;
    const { host, port } = place;
    return withEmbedded(host.address)
      .flatMap((address) => this.#database.atAddress(address).filter((one) => listensAt(one, address, port)))
      .at(0);
  }

  #annotations(document: Buffer, removed: Removed): Buffer {
    const { annotations: kept } = this.#options;
    if (!kept) return document;
    const before = removed.annotation;
    const without = (holder: Obj) => {
      const annotations = objectOf(holder.get('annotations'));
      for (const name of annotations?.keys() ?? []) {
        if (kept.includes(name)) continue;
        annotations!.delete(name);
        holder.set('annotations', annotations!);
        count(removed, 'annotation');
      }
    };
    const record = objectOf(readDocument(document, 1))!;
    without(record);
    const keys = objectOf(record.get('test_keys')); // where those of old records are
    if (keys) {
      without(keys);
      record.set('test_keys', keys);
    }
    return removed.annotation === before ? document : jsonOf(record);
  }

  // --- every string

  #strings(given: Buffer, own: Own, removed: Removed): Buffer {
    const everywhere = this.#options.scrubs.length > 0;
    let document = given;
    for (let round = 0; round < ROUNDS; round++) {
      const spots = everywhere ? undefined : this.#secrets.spotsIn(document, own);
      const edits: Edit[] = [];
      let spot = 0;
      let failure = false;
      eachString(document, 0, spots?.length === 0 ? 0 : document.length, (start, end, isName) => {
        if (spots) {
          while (spot < spots.length && spots[spot]! < start - 1) spot++;
          if (!(spots[spot]! < end)) return;
        }
        const { bytes, at } = readString(document, start, end);
        if (everywhere && isName) failure = tellsFailure(bytes.toString());
        const hits = this.#secrets.allIn(bytes, own);
        for (const hit of hits.length > 0 ? hits : this.#scrubbed(bytes, failure && !isName)) {
          edits.push({ start: at(hit.start), end: at(hit.end), text: escaped(hit.text) });
          for (const rule of hit.rules) count(removed, rule);
        }
      });
      if (edits.length === 0) return document;
      document = edited(document, edits);
    }
    throw new Error(`after ${ROUNDS} rounds there is still something to take out of it`);
  }

  /** What is to be taken out besides secrets. */
  #scrubbed(bytes: Buffer, failure: boolean): { start: number; end: number; text: Buffer; rules: Scrub[] }[] {
    const { scrubs } = this.#options;
    if (scrubs.length === 0) return [];
    const text = bytes.toString('latin1');
    for (const scrub of scrubs) {
      const ranges = scrub !== 'endpoint' || failure ? SCRUBS[scrub](text) : [];
      if (ranges.length > 0) return ranges.map((range) => ({ ...range, text: Buffer.from(SCRUBBED), rules: [scrub] }));
    }
    return [];
  }

  // --- texts that are no document

  /** What would be taken out of a line, whatever it is. */
  find(line: Buffer): Removed {
    try {
      return this.sanitise(line).removed;
    } catch {
      return this.#findInText(line);
    }
  }

  /** As it stands, and as if it were a part of a JSON string. */
  #findInText(line: Buffer): Removed {
    const found: Removed = {};
    const read = line.includes(0x5c) ? readString(line, 0, line.length).bytes : line;
    for (const bytes of new Set([line, read])) {
      const here: Removed = {};
      for (const { rules } of this.#secrets.allIn(bytes, NOTHING)) for (const rule of rules) count(here, rule);
      for (const [rule, times] of Object.entries(here) as [Rule, number][])
        found[rule] = Math.max(found[rule] ?? 0, times);
    }
    return found;
  }
}

function count(removed: Removed, rule: keyof Removed): void {
  removed[rule] = (removed[rule] ?? 0) + 1;
}

/** In a JSON string. */
function escaped(text: Buffer): string {
  return JSON.stringify(text.toString()).slice(1, -1);
}

/** True where a name that may begin at `at` is that of a member, and its value is not a harmless one. */
function mayTell(document: Buffer, { harmless }: OwnMember, name: string, at: number): boolean {
  let value = at + name.length + 2;
  if (document.toString('latin1', at, value) !== `"${name}"`) return false;
  while (document[value] === 0x3a || isSpace(document[value] ?? 0)) value++;
  const text = document.toString('latin1', value, value + 13);
  return !harmless.some((one) => text.startsWith(one));
}

/** Addresses in the strings of a value, but those that are nobody's. */
function addressesWithin(document: Buffer, start: number, end: number): Address[] {
  const found: Address[] = [];
  eachString(document, start, end, (from, to) => {
    found.push(...addressesOf(readString(document, from, to).bytes));
  });
  return found;
}

function addressesOf(bytes: Uint8Array): Address[] {
  const found: Address[] = [];
  findAddresses(bytes, ANY, (address) => {
    if (!isLocal(address)) found.push(address);
    return true;
  });
  return found;
}

/** A record of a test of bridges. @throws Error where its test_keys are neither an object nor null */
function bridgeRecord(document: Buffer): { record: Obj; keys: Obj; inputs: string[] } {
  const record = objectOf(readDocument(document, 1))!;
  const testKeys = record.get('test_keys');
  const keys = objectOf(testKeys) ?? (isNull(testKeys) ? new Obj() : undefined);
  if (!keys) throw new Error('test_keys is no object');
  const input = record.get('input');
  const inputs = (arrayOf(input) ?? [input]).map(trimmed).filter((line) => line !== '');
  return { record, keys, inputs };
}

function trimmed(node: Node | undefined): string {
  return textOf(node)?.trim() ?? '';
}

/** True for a line with an address, or with a host and its port. */
function tellsPlace(line: string): boolean {
  return endpointsIn(line).some(({ port }) => port !== undefined) || addressesOf(Buffer.from(line)).length > 0;
}

/** What is in the lines of a bridge is not to stand elsewhere in its record either. */
function noteLines(own: Own, lines: string[], instead: string, rule: Rule): void {
  for (const line of lines) {
    for (const { host } of endpointsIn(line)) {
      if (!('address' in host) || isLocal(host.address)) continue;
      for (const address of withEmbedded(host.address))
        if (!own.addresses.has(address)) own.addresses.set(address, { text: instead, rule });
    }
    const fingerprint = fingerprintIn(line);
    if (fingerprint) own.fingerprints.set(fingerprint, hashFingerprint(fingerprint));
  }
}

/** The record with logs of tor that do not tell of its bridge. */
function withoutTorLog(document: Buffer, removed: Removed): Buffer {
  const { members } = readJson(document, { ...DEPTH, keep: 2 }).value;
  const keys = members!.flatMap(({ key, value }) => (key === 'test_keys' ? (value.members ?? []) : []));
  const edits: Edit[] = [];
  for (const { key, value } of keys) {
    if (key !== 'tor_log') continue;
    if (value.type === 'null') edits.push({ start: value.start, end: value.end, text: '""' });
    eachString(document, value.start, value.end, (start, end) => {
      const { bytes, at } = readString(document, start, end);
      for (const found of redactTorLog(bytes)) {
        edits.push({ start: at(found.start), end: at(found.end), text: escaped(found.text) });
        count(removed, 'tor_log');
      }
    });
  }
  return edited(document, edits);
}
