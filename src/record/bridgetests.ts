// The two tests whose input is a bridge: what stands for it is its hash, and nothing in the record tells more.
import { createHmac } from 'node:crypto';
import { isLocal, withEmbedded } from './addresses.ts';
import { type Bridge, type BridgeDatabase, endpointsIn, fingerprintIn, hashFingerprint, listensAt } from './bridges.ts';
import { readJson } from './json.ts';
import { type Edit, eachString, edited, inString, readString } from './jsontext.ts';
import { arrayOf, isNull, jsonOf, type Node, Obj, objectOf, readDocument, textOf } from './nodes.ts';
import { addressesOf } from './ownmembers.ts';
import { count, type Removed } from './removed.ts';
import { ROW_DEPTH } from './rows.ts';
import type { Own, Rule } from './secrets.ts';
import { REDACTED as LOG_REDACTED, redactTorLog } from './torlog.ts';

const REDACTED = '[redacted]';
/** What stands in the place of a bridge line already. */
const OPAQUE = /^(?:hmac:[0-9a-f]{40}|\[redacted\])$/;
const HASH = /^[0-9a-f]{40}$/;

/** What is done with a bridge that the database does not have. */
export type UnknownPolicy = 'redact' | 'drop' | 'keep';

export class BridgeTests {
  #database: BridgeDatabase;
  #unknown: UnknownPolicy;
  #key: Buffer | undefined;

  /** @param key for what stands in the place of an unknown bridge without fingerprint; without it, `[redacted]` does */
  constructor(database: BridgeDatabase, unknown: UnknownPolicy, key: Buffer | undefined) {
    this.#database = database;
    this.#unknown = unknown;
    this.#key = key;
  }

  /** @returns what stands for the bridge where the database does not have it */
  bridgeReachability(given: Buffer, own: Own, removed: Removed): { document: Buffer; unknown?: string } {
    const { document, told } = withoutTorLog(given, removed);
    const done = this.#ofRecord(document, own, removed);
    if (this.#unknown !== 'keep') for (const phrase of told) this.#noteTold(own, phrase);
    return done;
  }

  #ofRecord(document: Buffer, own: Own, removed: Removed): { document: Buffer; unknown?: string } {
    const { record, keys, inputs } = bridgeRecord(document);
    const input = inputs.join(' ');
    const address = trimmed(keys.get('bridge_address'));
    const hashed = keys.get('bridge_hashed_fingerprint');
    const isDone = OPAQUE.test(input) || (HASH.test(input) && input === textOf(hashed));
    if (address === '' && (isDone || input === '')) return { document };

    const keep = this.#unknown === 'keep';
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

  /** What a log told of a bridge; those of the database are searched for by themselves. */
  #noteTold(own: Own, phrase: string): void {
    const places = addressesOf(Buffer.from(phrase)).filter((one) => this.#database.atAddress(one).length === 0);
    for (const address of places.flatMap(withEmbedded))
      if (!own.addresses.has(address)) own.addresses.set(address, { text: LOG_REDACTED, rule: 'unknown_address' });
    const fingerprint = fingerprintIn(phrase);
    if (fingerprint) own.fingerprints.set(fingerprint, hashFingerprint(fingerprint));
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
    return this.#key ? `hmac:${createHmac('sha256', this.#key).update(line).digest('hex').slice(0, 40)}` : REDACTED;
  }

  tcpConnect(document: Buffer, removed: Removed): Buffer {
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

/** The record with logs of tor that do not tell of its bridge, and what they told. */
function withoutTorLog(document: Buffer, removed: Removed): { document: Buffer; told: string[] } {
  const { members } = readJson(document, { maxDepth: ROW_DEPTH, keep: 2 }).value;
  const keys = members!.flatMap(({ key, value }) => (key === 'test_keys' ? (value.members ?? []) : []));
  const edits: Edit[] = [];
  const told: string[] = [];
  for (const { key, value } of keys) {
    if (key !== 'tor_log') continue;
    if (value.type === 'null') edits.push({ start: value.start, end: value.end, text: '""' });
    eachString(document, value.start, value.end, (start, end) => {
      const { bytes, at } = readString(document, start, end);
      for (const found of redactTorLog(bytes)) {
        edits.push({ start: at(found.start), end: at(found.end), text: inString(found.text) });
        told.push(...found.told);
        count(removed, 'tor_log');
      }
    });
  }
  return { document: edited(document, edits), told };
}
