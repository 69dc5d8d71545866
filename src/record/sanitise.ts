// What may be published of a record: bridges by their hash, the probe's own address not at all.
import { BridgeDatabase } from './bridges.ts';
import { BridgeTests, type UnknownPolicy } from './bridgetests.ts';
import { member, readJson, stringOf } from './json.ts';
import { type Edit, eachString, edited, inString, readString } from './jsontext.ts';
import { jsonOf, type Obj, objectOf, readDocument } from './nodes.ts';
import { mayTell, type OwnMembers, ownMembers, SCRUBBED, takeOwnAddresses } from './ownmembers.ts';
import { count, type Removed } from './removed.ts';
import { ROW_DEPTH } from './rows.ts';
import { SCRUBS, type Scrub, tellsFailure } from './scrubs.ts';
import { NOTHING, type Own, type Rule, Secrets } from './secrets.ts';
import { canonicalTest } from './testnames.ts';

/** Changes with what the rules make of a record. */
export const RULES = 1;

export interface SanitiseOptions {
  /** What is done with a bridge that the database does not have. */
  unknown: UnknownPolicy;
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

export interface Sanitised {
  /** Undefined where the record is dropped. */
  document: Buffer | undefined;
  removed: Removed;
  /** What stands for a bridge that the database does not have. */
  unknown?: string;
}

/** A text may hold more than one spelling at one place; each time, what was found is gone. */
const ROUNDS = 10;
const STILL = `after ${ROUNDS} rounds there is still something to take out of it`;

/** Tests whose input is a bridge. */
const OF_BRIDGES: ReadonlySet<string> = new Set(['bridge_reachability', 'tcp_connect']);

export class Sanitiser {
  #options: SanitiseOptions;
  #bridgeTests: BridgeTests;
  #members: OwnMembers;
  #secrets: Secrets;

  constructor(database: BridgeDatabase, options: SanitiseOptions) {
    this.#options = options;
    this.#bridgeTests = new BridgeTests(database, options.unknown, options.key);
    this.#members = ownMembers(options.probeIp, options.resolver);
    this.#secrets = new Secrets(options.search ? database : new BridgeDatabase([]), [...this.#members.usual.keys()]);
  }

  /**
   * A record without what may not be published. A document that nothing is taken out of comes back as it is.
   * @throws Error for what is no JSON object, or cannot be made fit; it never tells what is in it
   */
  sanitise(document: Buffer): Sanitised {
    const { value, hides } = readJson(document, { maxDepth: ROW_DEPTH, names: ['test_name'] });
    if (value.type !== 'object') throw new Error(`not an object, but ${value.type}`);
    const test = canonicalTest(stringOf(document, member(value, 'test_name')));
    const removed: Removed = {};
    if (!OF_BRIDGES.has(test) && !hides && !this.#mayChange(document, test)) return { document, removed };
    return this.#change(document, test, hides, removed);
  }

  /** Quick, and true rather too often. */
  #mayChange(document: Buffer, test: string): boolean {
    const { scrubs, annotations } = this.#options;
    if (scrubs.length > 0 || annotations) return true;
    const { usual, dash } = this.#members;
    if (test === 'dash' && [...dash.keys()].some((name) => document.includes(`"${name}"`))) return true;
    const told = (name: string, at: number) => mayTell(document, usual.get(name)!, name, at);
    return this.#secrets.spotsIn(document, NOTHING, told)?.length !== 0;
  }

  #change(given: Buffer, test: string, hides: boolean, removed: Removed): Sanitised {
    const own: Own = { addresses: new Map(), fingerprints: new Map() };
    let document = takeOwnAddresses(given, test === 'dash' ? this.#members.dash : this.#members.usual, own, removed);
    let unknown: string | undefined;
    // What stands in the place of a secret may make another line of that of a bridge, which was counted by then.
    for (let round = 0; round < ROUNDS; round++) {
      const counts = round === 0 ? removed : {};
      if (test === 'bridge_reachability') {
        const done = this.#bridgeTests.bridgeReachability(document, own, counts);
        document = done.document;
        unknown ??= done.unknown;
        if (done.unknown !== undefined && this.#options.unknown === 'drop')
          return { document: undefined, removed, unknown: done.unknown };
      }
      if (test === 'tcp_connect') document = this.#bridgeTests.tcpConnect(document, counts);
      const before = document;
      document = this.#strings(this.#annotations(document, removed), hides, own, removed);
      if (document === before || !OF_BRIDGES.has(test))
        return { document, removed, ...(unknown === undefined ? {} : { unknown }) };
    }
    throw new Error(STILL);
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

  /** @param hides the bytes of strings do not tell what they say */
  #strings(given: Buffer, hides: boolean, own: Own, removed: Removed): Buffer {
    const scrubs = this.#options.scrubs.length > 0;
    let document = given;
    for (let round = 0; round < ROUNDS; round++) {
      const spots = scrubs || hides ? undefined : this.#secrets.spotsIn(document, own);
      const edits: Edit[] = [];
      let spot = 0;
      let failure = false;
      eachString(document, 0, spots?.length === 0 ? 0 : document.length, (start, end, isName) => {
        if (spots) {
          while (spot < spots.length && spots[spot]! < start - 1) spot++;
          if (!(spots[spot]! < end)) return;
        }
        const { bytes, at } = readString(document, start, end);
        if (scrubs && isName) failure = tellsFailure(bytes.toString());
        const hits = this.#secrets.allIn(bytes, own);
        for (const hit of hits.length > 0 ? hits : this.#scrubbed(bytes, failure && !isName)) {
          edits.push({ start: at(hit.start), end: at(hit.end), text: inString(hit.text) });
          for (const rule of hit.rules) count(removed, rule);
        }
      });
      if (edits.length === 0) return document;
      document = edited(document, edits);
    }
    throw new Error(STILL);
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
