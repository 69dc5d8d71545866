// The database of bridges: what must not be published, and the hash that stands for each.
import { createHash } from 'node:crypto';
import { type Address, findAddresses, isLocal, withEmbedded } from './addresses.ts';
import { JsonError, readJson, type Value } from './json.ts';

export interface Bridge {
  /** What probes were given: a bridge line or `ip:port`, trimmed. */
  key: string;
  /** 40 hex digits, lower case. */
  fingerprint: string;
  /** Stands for the bridge in public. */
  hash: string;
  distributor: string | null;
  transport: string | null;
  endpoints: Endpoint[];
}

/** Where a bridge listens. */
export interface Endpoint {
  /** An address, or the name of a host in lower case. */
  host: { address: Address } | { name: string };
  port: number | undefined;
  /** Where the host's text stands in the bytes of the key. */
  start: number;
  end: number;
}

/** The hash of a bridge: SHA-1 of the 20 bytes of its fingerprint, in lower-case hex. */
export function hashFingerprint(fingerprint: string): string {
  return createHash('sha1').update(Buffer.from(fingerprint, 'hex')).digest('hex');
}

/** White space of any length is one space, and the word `Bridge` of a torrc is no part of a line. */
export function plainLine(line: string): string {
  return line
    .trim()
    .replace(/^bridge\s+/i, '')
    .replace(/\s+/g, ' ');
}

/** The fingerprint in a bridge line, lower case: 40 hex digits, also `$FINGERPRINT~nickname`. */
export function fingerprintIn(line: string): string | undefined {
  for (const word of line.split(/\s+/)) {
    const [, digits] = /^\$?([0-9a-fA-F]{40})(?:[~=].*)?$/.exec(word) ?? [];
    if (digits) return digits.toLowerCase();
  }
  return undefined;
}

const HOST_AND_PORT = /^([0-9a-zA-Z.-]+)(?::([0-9]{1,5}))?$/;
const BRACKETED = /^\[([0-9a-fA-F:.]+(?:%[0-9a-zA-Z]+)?)\](?::([0-9]{1,5}))?$/;
const IPV6_ALONE = /^([0-9a-fA-F:.]+)$/;

/** Addresses, and names of hosts with a port, in a bridge line. */
export function endpointsIn(line: string): Endpoint[] {
  const found: Endpoint[] = [];
  for (const { 0: word, index } of line.matchAll(/[^\s,]+/g)) {
    const [, name, port] = HOST_AND_PORT.exec(word) ?? BRACKETED.exec(word) ?? IPV6_ALONE.exec(word) ?? [];
    if (name === undefined) continue;
    const start = Buffer.byteLength(line.slice(0, index)) + (word.startsWith('[') ? 1 : 0);
    const at = { port: port === undefined ? undefined : Number(port), start, end: start + name.length };
    const address = addressOf(name);
    if (address !== undefined) found.push({ host: { address }, ...at });
    else if (port !== undefined && /\.[0-9a-zA-Z-]*[a-zA-Z]$/.test(name))
      found.push({ host: { name: name.toLowerCase() }, ...at });
  }
  return found;
}

/** The address that a text is, and nothing besides but a zone. */
export function addressOf(text: string): Address | undefined {
  const bytes = Buffer.from(text);
  let found: Address | undefined;
  findAddresses(bytes, (address, start, end) => {
    const whole = start === 0 && (end === bytes.length || bytes[end] === 0x25); // %eth0
    if (whole) found ??= address;
    return whole;
  });
  return found;
}

/** True for a bridge that listens at this port. */
export function listensAt(bridge: Bridge, address: Address, port: number | undefined): boolean {
  return bridge.endpoints.some(
    (one) => 'address' in one.host && one.port === port && withEmbedded(one.host.address).includes(address),
  );
}

export class BridgeDatabase {
  /** By key. */
  readonly bridges: Bridge[];
  #byLine = new Map<string, Bridge>();
  #byFingerprint = new Map<string, Bridge>();
  #byHost = new Map<Address, Bridge[]>();

  constructor(bridges: Bridge[]) {
    this.bridges = [...bridges].sort((a, b) => (a.key < b.key ? -1 : 1));
    for (const bridge of this.bridges) {
      this.#byLine.set(bridge.key, bridge);
      if (!this.#byFingerprint.has(bridge.fingerprint)) this.#byFingerprint.set(bridge.fingerprint, bridge);
      for (const { host } of bridge.endpoints) {
        if (!('address' in host) || isLocal(host.address)) continue;
        for (const address of withEmbedded(host.address)) {
          const there = this.#byHost.get(address);
          if (!there) this.#byHost.set(address, [bridge]);
          else if (there.at(-1) !== bridge) there.push(bridge);
        }
      }
    }
    // A key as it stands comes before one that is only like it.
    for (const bridge of this.bridges) {
      const plain = plainLine(bridge.key);
      if (!this.#byLine.has(plain)) this.#byLine.set(plain, bridge);
    }
  }

  /** The bridge of a line as a probe was given it. */
  ofLine(line: string): Bridge | undefined {
    return this.#byLine.get(line.trim()) ?? this.#byLine.get(plainLine(line));
  }

  ofFingerprint(fingerprint: string): Bridge | undefined {
    return this.#byFingerprint.get(fingerprint);
  }

  /** Bridges at an address, by key. */
  atAddress(address: Address): Bridge[] {
    return this.#byHost.get(address) ?? [];
  }
}

/**
 * Reads `{"KEY":{"distributor":…,"transport":…,"fingerprint":…},…}`.
 * @throws Error that names the number of a key, from 1, and never what it is
 */
export function readBridges(bytes: Buffer): Bridge[] {
  let top: Value;
  try {
    top = readJson(bytes, { keep: 2, maxDepth: 100 }).value;
  } catch (error) {
    if (error instanceof JsonError) throw new Error(`not JSON, at byte ${error.offset}`);
    throw error;
  }
  if (top.type !== 'object') throw new Error(`not an object, but ${top.type}`);
  const found = new Map<string, Bridge & { number: number }>();
  for (const [i, { key: given, value }] of top.members!.entries()) {
    const number = i + 1;
    const bridge = readBridge(bytes, given, value, number);
    const before = found.get(bridge.key);
    if (before && before.fingerprint !== bridge.fingerprint)
      throw new Error(`key ${number}: the same as key ${before.number}, with another fingerprint`);
    if (!before) found.set(bridge.key, { ...bridge, number });
  }
  return [...found.values()].map(({ number: _, ...bridge }) => bridge);
}

function readBridge(bytes: Buffer, given: string, value: Value, number: number): Bridge {
  const key = given.trim();
  if (key === '') throw new Error(`key ${number}: empty`);
  if (value.type !== 'object') throw new Error(`key ${number}: its value is no object, but ${value.type}`);
  const {
    fingerprint,
    distributor = null,
    transport = null,
  } = JSON.parse(bytes.toString('utf8', value.start, value.end));
  if (typeof fingerprint !== 'string' || !/^[0-9a-fA-F]{40}$/.test(fingerprint))
    throw new Error(`key ${number}: its fingerprint is not 40 hex digits`);
  for (const [name, text] of Object.entries({ distributor, transport }))
    if (text !== null && typeof text !== 'string')
      throw new Error(`key ${number}: its ${name} is neither text nor null`);
  const hash = hashFingerprint(fingerprint);
  return { key, fingerprint: fingerprint.toLowerCase(), hash, distributor, transport, endpoints: endpointsIn(key) };
}
