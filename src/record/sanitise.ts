// What may be published of a record: bridges by their hash, the probe's own address not at all.
import { createHmac } from 'node:crypto';
import { type Address, ANY, findAddresses, isLocal, withEmbedded } from './addresses.ts';
import { type Bridge, BridgeDatabase, endpointsIn, fingerprintIn, hashFingerprint, listensAt } from './bridges.ts';
import { member, readJson, stringOf, type Value } from './json.ts';
import { type Edit, eachString, edited, isSpace, mayHide, setMembers, textOf, valueEnd } from './jsontext.ts';
import { ROW_DEPTH } from './rows.ts';
import { type Own, type Rule, Secrets } from './secrets.ts';
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
}

/** How often each rule took something out. */
export type Removed = Partial<Record<Rule | 'bridge' | 'unknown_bridge' | 'tor_log' | 'probe_ip' | 'resolver', number>>;

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
}

export class Sanitiser {
  #database: BridgeDatabase;
  #options: SanitiseOptions;
  #secrets: Secrets;
  /** By name, and whether in `dash` alone. */
  #members = new Map<string, OwnMember>();
  #dashMembers: Map<string, OwnMember>;

  constructor(database: BridgeDatabase, options: SanitiseOptions) {
    this.#database = database;
    this.#options = options;
    this.#secrets = new Secrets(options.search ? database : new BridgeDatabase([]));
    const own = { rule: 'probe_ip', found: 'probe_address' } as const;
    const resolver = { rule: 'resolver', found: 'resolver_address', text: SCRUBBED } as const;
    if (options.probeIp) this.#members.set('probe_ip', { ...own, text: '127.0.0.1' });
    if (options.resolver) for (const name of ['client_resolver', 'resolver_ip']) this.#members.set(name, resolver);
    this.#dashMembers = new Map(this.#members);
    // The server of this test tells the probe its addresses.
    if (options.probeIp)
      for (const name of ['real_address', 'internal_address']) this.#dashMembers.set(name, { ...own, text: SCRUBBED });
  }

  /**
   * A record without what may not be published. A document that nothing is taken out of comes back as it is.
   * @throws Error for what is no JSON object, or cannot be made fit; it never tells what is in it
   */
  sanitise(document: Buffer): Sanitised {
    const { value } = readJson(document, { ...DEPTH, names: ['test_name'] });
    if (value.type !== 'object') throw new Error(`not an object, but ${value.type}`);
    const test = canonicalTest(stringOf(document, member(value, 'test_name')));
    const members = test === 'dash' ? this.#dashMembers : this.#members;
    const removed: Removed = {};
    if (test !== 'bridge_reachability' && test !== 'tcp_connect' && !this.#mayChange(document, members))
      return { document, removed };
    return this.#change(document, test, members, removed);
  }

  /** Quick, and true rather too often. */
  #mayChange(document: Buffer, members: Map<string, OwnMember>): boolean {
    if (mayHide(document)) return true;
    for (const name of members.keys()) if (mayTell(document, name)) return true;
    return this.#options.search && this.#secrets.mayBeIn(document);
  }

  #change(given: Buffer, test: string, members: Map<string, OwnMember>, removed: Removed): Sanitised {
    const own: Own = { addresses: new Map(), fingerprints: new Map() };
    let document = this.#ownMembers(given, members, own, removed);
    let unknown: string | undefined;
    if (test === 'bridge_reachability') {
      const done = this.#bridgeReachability(document, own, removed);
      document = done.document;
      unknown = done.unknown;
      if (unknown !== undefined && this.#options.unknown === 'drop') return { document: undefined, removed, unknown };
    }
    if (test === 'tcp_connect') document = this.#tcpConnect(document, removed);
    document = this.#strings(document, own, removed);
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
      const one = members.get(textOf(document, start, end).bytes.toString());
      if (!one) return;
      let at = document.indexOf(0x3a, end) + 1;
      while (isSpace(document[at]!)) at++;
      const to = valueEnd(document, at);
      const told = addressesWithin(document, at, to);
      if (isHarmless(document.toString('utf8', at, to), one) || (one.text === SCRUBBED && told.length === 0)) return;
      for (const address of told.flatMap(withEmbedded)) own.addresses.set(address, { text: SCRUBBED, rule: one.found });
      edits.push({ start: at, end: to, text: JSON.stringify(one.text) });
      count(removed, one.rule);
      done = to;
    });
    return edited(document, edits);
  }

  // --- tests of bridges

  #bridgeReachability(document: Buffer, own: Own, removed: Removed): { document: Buffer; unknown?: string } {
    const record = readRecord(document);
    const { objects, inputs } = record;
    const edits = objects.flatMap((keys) => torLog(document, keys, removed));
    const keys = objects.at(-1);
    const address = keys ? textIn(document, member(keys, 'bridge_address')) : '';
    const input = inputs.join(' ');
    const hashed = keys && stringOf(document, member(keys, 'bridge_hashed_fingerprint'));
    const isDone = OPAQUE.test(input) || (HASH.test(input) && input === hashed);
    if (address === '' && (isDone || input === '')) return { document: edited(document, edits) };

    const keep = this.#options.unknown === 'keep';
    const lines = [address || input];
    if (address !== '' && input !== '' && !isDone && !keep) lines.push(input);
    const { bridge, hash } = this.#identify(lines);
    const unknown = bridge ? undefined : (hash ?? (isDone ? input : this.#opaque(input || address)));
    const secret = !keep || bridge !== undefined;

    const fresh: Record<string, string> = {};
    if (secret) fresh.bridge_address = 'null';
    else if (address === '') fresh.bridge_address = JSON.stringify(input);
    fresh.distributor = JSON.stringify(bridge?.distributor ?? null);
    if (bridge) fresh.transport = JSON.stringify(bridge.transport);
    fresh.bridge_hashed_fingerprint = JSON.stringify(hash ?? (isDone && HASH.test(input) ? input : null));
    const instead = hash ?? (secret && !isDone && inputs.some(tellsPlace) ? unknown : undefined);
    edits.push(...setRecord(document, record, instead, fresh, { tor_log: '""' }));

    if (secret)
      noteLines(own, [address, input], bridge?.hash ?? unknown!, bridge ? 'bridge_address' : 'bridge_unknown');
    count(removed, bridge ? 'bridge' : 'unknown_bridge');
    return { document: edited(document, edits), ...(unknown === undefined ? {} : { unknown }) };
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
      const there = this.#database.atAddress(host.address);
      const bridge = there.find((one) => listensAt(one, host.address, port)) ?? there[0];
      if (bridge) return bridge;
    }
    return undefined;
  }

  /** Only a secret key keeps others from trying all addresses. */
  #opaque(line: string): string {
    const { key } = this.#options;
    return key ? `hmac:${createHmac('sha256', key).update(line).digest('hex').slice(0, 40)}` : REDACTED;
  }

  #tcpConnect(document: Buffer, removed: Removed): Buffer {
    const record = readRecord(document);
    const [input] = record.inputs;
    const bridge = input !== undefined && record.inputs.length === 1 ? this.#ofTarget(input) : undefined;
    if (!bridge) return document;
    count(removed, 'bridge');
    const fresh = { bridge_hashed_fingerprint: JSON.stringify(bridge.hash) };
    return edited(document, setRecord(document, record, bridge.hash, fresh, {}));
  }

  /** The bridge of a key, or of exactly this address and port. */
  #ofTarget(input: string): Bridge | undefined {
    const bridge = this.#database.ofLine(input);
    const [place] = endpointsIn(input);
    if (bridge || /\s/.test(input) || !place || !('address' in place.host)) return bridge;
    const { host, port } = place;
    return this.#database.atAddress(host.address).find((one) => listensAt(one, host.address, port));
  }

  // --- every string

  #strings(given: Buffer, own: Own, removed: Removed): Buffer {
    let document = given;
    for (let round = 0; round < ROUNDS; round++) {
      const edits: Edit[] = [];
      eachString(document, 0, document.length, (start, end) => {
        const { bytes, at } = textOf(document, start, end);
        for (const hit of this.#secrets.allIn(bytes, own)) {
          edits.push({ start: at(hit.start), end: at(hit.end), text: escaped(hit.text) });
          for (const rule of hit.rules) count(removed, rule);
        }
      });
      if (edits.length === 0) return document;
      document = edited(document, edits);
    }
    throw new Error(`after ${ROUNDS} rounds there is still something to take out of it`);
  }
}

function count(removed: Removed, rule: keyof Removed): void {
  removed[rule] = (removed[rule] ?? 0) + 1;
}

/** In a JSON string. */
function escaped(text: Buffer): string {
  return JSON.stringify(text.toString()).slice(1, -1);
}

/** True where a member of this name holds, or may hold, anything but what is harmless. */
function mayTell(document: Buffer, name: string): boolean {
  const quoted = `"${name}"`;
  for (let at = document.indexOf(quoted); at !== -1; at = document.indexOf(quoted, at + 1)) {
    let value = at + quoted.length;
    while (document[value] === 0x3a || isSpace(document[value] ?? 0)) value++;
    const text = document.toString('latin1', value, value + 13);
    if (!HARMLESS.some((harmless) => text.startsWith(harmless))) return true;
  }
  return false;
}

const HARMLESS = ['null', '""', '"127.0.0.1"', '"127.0.0.2"', '"[scrubbed]"', '"0.0.0.0"', '"::1"', '"::"'];

function isHarmless(value: string, { rule }: OwnMember): boolean {
  return HARMLESS.includes(value) && (rule === 'resolver' || value !== '"127.0.0.2"');
}

/** Addresses in the strings of a value, but those that are nobody's. */
function addressesWithin(document: Buffer, start: number, end: number): Address[] {
  const found: Address[] = [];
  eachString(document, start, end, (from, to) => {
    found.push(...addressesOf(textOf(document, from, to).bytes));
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

/** What the rules of bridges' tests look at. */
interface TestRecord {
  top: Value;
  /** Every `test_keys`, objects and null. */
  testKeys: Value[];
  objects: Value[];
  /** Texts of `input`, trimmed: of a list, all of them. */
  inputs: string[];
}

/** @throws Error where test_keys is neither object nor null */
function readRecord(document: Buffer): TestRecord {
  const top = readJson(document, { ...DEPTH, keep: 2 }).value;
  const testKeys = top.members!.filter(({ key }) => key === 'test_keys').map(({ value }) => value);
  const other = testKeys.find(({ type }) => type !== 'object' && type !== 'null');
  if (other) throw new Error(`test_keys is no object, but ${other.type}`);
  const input = member(top, 'input');
  const inputs = (input?.items ?? (input ? [input] : [])).map((value) => textIn(document, value)).filter(Boolean);
  return { top, testKeys, objects: testKeys.filter(({ type }) => type === 'object'), inputs };
}

function textIn(document: Buffer, value: Value | undefined): string {
  return (stringOf(document, value) ?? '').trim();
}

/**
 * Gives a record another input, and its test keys other members, wherever they stand.
 * @param first members that test keys begin with where there were none
 */
function setRecord(
  document: Buffer,
  { top, testKeys, objects }: TestRecord,
  input: string | undefined,
  members: Record<string, string>,
  first: Record<string, string>,
): Edit[] {
  const whole = Object.entries({ ...first, ...members }).map(([name, value]) => `${JSON.stringify(name)}:${value}`);
  const fresh = `{${whole.join(',')}}`;
  const above: Record<string, string> = {};
  if (input !== undefined) above.input = JSON.stringify(input);
  if (testKeys.length === 0) above.test_keys = fresh;
  return [
    ...setMembers(document, top, above),
    ...objects.flatMap((keys) => setMembers(document, keys, members)),
    ...testKeys.filter(({ type }) => type === 'null').map(({ start, end }) => ({ start, end, text: fresh })),
  ];
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

/** Edits of `tor_log`: what it tells of the bridge is taken out, and where there is none, it is empty. */
function torLog(document: Buffer, keys: Value, removed: Removed): Edit[] {
  const logs = keys.members!.filter(({ key }) => key === 'tor_log').map(({ value }) => value);
  if (logs.length === 0) return setMembers(document, keys, { tor_log: '""' });
  const edits: Edit[] = [];
  for (const { type, start, end } of logs) {
    if (type === 'null') edits.push({ start, end, text: '""' });
    eachString(document, start, end, (from, to) => {
      const { bytes, at } = textOf(document, from, to);
      for (const found of redactTorLog(bytes)) {
        edits.push({ start: at(found.start), end: at(found.end), text: escaped(found.text) });
        count(removed, 'tor_log');
      }
    });
  }
  return edits;
}
