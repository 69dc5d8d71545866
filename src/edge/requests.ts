// What `get` is asked for, and the lines that answer it.

import { KEY_NAMES, keyText } from '../record/facts.ts';
import { member, readJson, stringOf, type Value } from '../record/json.ts';
import { parseUid } from '../record/names.ts';
import { ROW_DEPTH } from '../record/rows.ts';
import { Failure, Malformed } from '../stream/errors.ts';
import { type Found, type IndexDb, isFound, memberOf } from './index-db.ts';
import { LineReads, type Match } from './lookup.ts';
import type { Store } from './store.ts';

/** By uid, or by report and input (`""` is no input; undefined is every input). */
export type Request = { uid: string } | { reportId: string; input?: string };

/** A row of standard input → a request: a measurement row, `{"report_id":…,"input":…}`, or a bare uid. @throws Error */
export function parseRequest(bytes: Buffer): Request {
  const text = bytes.toString().trim();
  if (isUidText(text)) return { uid: text };
  let row: Value;
  try {
    row = readJson(bytes, { maxDepth: ROW_DEPTH, names: KEY_NAMES, first: 1 }).value;
  } catch {
    throw new Error('neither a uid nor a JSON row');
  }
  const first = row.members?.[0];
  // By position: a measurement may have a member of this name of its own, further on.
  if (first?.key === 'measurement_uid' && first.value.type !== 'null') {
    const uid = stringOf(bytes, first.value);
    if (uid === undefined || !isUidText(uid)) throw new Error('measurement_uid is no uid');
    return { uid };
  }
  const reportId = stringOf(bytes, member(row, 'report_id'));
  if (reportId === undefined) throw new Error('neither measurement_uid in front nor report_id');
  const input = member(row, 'input');
  if (!input) return { reportId };
  if (input.type !== 'null' && input.type !== 'string') throw new Error('input is neither text nor null');
  return { reportId, input: stringOf(bytes, input) ?? '' };
}

/** A request's keys as the index has them. */
function keysOf({ reportId, input }: { reportId: string; input?: string }): [string, string?] {
  return input === undefined ? [keyText(reportId)] : [keyText(reportId), keyText(input)];
}

/** Letters, digits, dots and underscores, as the API has it. */
export function isUidText(text: string): boolean {
  return /^[A-Za-z0-9._]{10,100}$/.test(text);
}

export function describeRequest(request: Request): string {
  if ('uid' in request) return request.uid;
  return request.input === undefined
    ? request.reportId
    : `${request.reportId} with input ${JSON.stringify(request.input)}`;
}

/** A measurement that was asked for. */
export interface Hit {
  found: Found;
  line: Buffer;
}

export type Answer = Hit | { reason: string };

interface Known extends Match {
  /** The same for copies of a line in several cans. */
  identity: string;
  /** Why it cannot be read, where that is known. */
  fault?: Malformed;
}

export class Lookup {
  #index: IndexDb;
  #storeOf: (name: string) => Promise<Store>;
  #reads: LineReads;
  /** What the index has of requests that are not answered yet. */
  #known = new WeakMap<Request, Known[]>();

  /** @param storeOf opens the store that the index names */
  constructor(index: IndexDb, storeOf: (name: string) => Promise<Store>, maxLine: number) {
    this.#index = index;
    this.#storeOf = storeOf;
    this.#reads = new LineReads(maxLine);
  }

  /**
   * All measurements that a request means, in the order of the index, as they are read: a line is good until the next
   * is asked for. The same line in two cans comes once, and one readable copy is enough.
   */
  async *answers(request: Request): AsyncGenerator<Answer> {
    const matches = this.#matches(request);
    if (matches.length === 0) yield { reason: this.#unknown(request) };
    const given = new Set<string>();
    const failed = new Map<string, Answer>();
    for (const match of matches) {
      const { identity } = match;
      if (given.has(identity)) {
        this.#reads.forget(match);
        continue;
      }
      const answer = await this.#read(match);
      if ('reason' in answer) {
        if (!failed.has(identity)) failed.set(identity, answer);
        continue;
      }
      yield answer;
      given.add(identity);
      failed.delete(identity);
    }
    yield* failed.values();
  }

  async #read(match: Known): Promise<Answer> {
    const { found, fault } = match;
    try {
      if (fault) throw fault;
      return { found, line: await this.#reads.line(await this.#storeOf(found.store), match) };
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      return { reason: error.message };
    }
  }

  #matches(request: Request): Known[] {
    const known = this.#known.get(request);
    if (known) return known;
    const found = 'uid' in request ? this.#index.byUid(request.uid) : this.#index.byReport(...keysOf(request));
    const matches = found.map((one, n) => this.#match(one, n));
    this.#known.set(request, matches);
    return matches;
  }

  #match(found: Found, n: number): Known {
    const damaged = (what: string) => new Malformed(`${this.#index.path}: ${what}`);
    if (!isFound(found))
      return { found, place: undefined, identity: `${n}`, fault: damaged('damaged: a row that is none of a line') };
    const { measurement_uid, hash, s3path, linenum, unreadable } = found;
    const identity = `${measurement_uid} ${hash ?? `${s3path} ${linenum}`}`;
    try {
      return { found, place: unreadable ? undefined : memberOf(found), identity };
    } catch (fault) {
      if (!(fault instanceof Malformed)) throw fault;
      return { found, place: undefined, identity, fault: damaged(fault.message) };
    }
  }

  /** A request that will come: its lines are read together with others that lie near them. */
  expect(request: Request): void {
    try {
      for (const match of this.#matches(request)) if (!match.fault) this.#reads.want(match);
    } catch (error) {
      if (!(error instanceof Failure) && !(error instanceof Malformed)) throw error; // told when its turn comes
    }
  }

  /** Has brought what the answers to a request begin with, several at a time. Whatever is wrong is told with the answers. */
  async prefetch(request: Request): Promise<void> {
    try {
      const [first] = this.#matches(request);
      if (first && !first.fault) await this.#reads.prefetch(await this.#storeOf(first.found.store), first);
    } catch (error) {
      if (!(error instanceof Failure) && !(error instanceof Malformed)) throw error;
    }
  }

  #unknown(request: Request): string {
    return 'uid' in request && !parseUid(request.uid) && !request.uid.startsWith('01')
      ? 'no uid, and not in the index'
      : 'not in the index';
  }
}
