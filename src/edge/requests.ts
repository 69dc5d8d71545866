// What `get` is asked for, and the lines that answer it.
import { parseUid } from '../record/names.ts';
import { Malformed } from '../stream/errors.ts';
import type { Found, IndexDb } from './index-db.ts';
import { readLine } from './lookup.ts';
import type { Store } from './store.ts';

/** By uid, or by report and input (`""` is no input; undefined is every input). */
export type Request = { uid: string } | { reportId: string; input?: string };

/** A row of standard input → a request: a measurement row, `{"report_id":…,"input":…}`, or a bare uid. @throws Error */
export function parseRequest(bytes: Buffer): Request {
  const text = bytes.toString().trim();
  if (isUidText(text)) return { uid: text };
  let row: Record<string, unknown>;
  try {
    row = JSON.parse(text) as Record<string, unknown>;
  } catch {
    throw new Error('neither a uid nor a JSON row');
  }
  if (typeof row !== 'object' || row === null) throw new Error('neither a uid nor a JSON row');
  const { measurement_uid: uid, report_id: reportId, input } = row;
  if (typeof uid === 'string') {
    if (!isUidText(uid)) throw new Error('measurement_uid is no uid');
    return { uid };
  }
  if (typeof reportId !== 'string') throw new Error('neither measurement_uid nor report_id');
  if (input === undefined) return { reportId };
  if (input !== null && typeof input !== 'string') throw new Error('input is neither text nor null');
  return { reportId, input: input ?? '' };
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

export type Answer = { found: Found; line: Buffer } | { reason: string };

export class Lookup {
  #index: IndexDb;
  #storeOf: (name: string) => Promise<Store>;
  #maxLine: number;

  /** @param storeOf opens the store that the index names */
  constructor(index: IndexDb, storeOf: (name: string) => Promise<Store>, maxLine: number) {
    this.#index = index;
    this.#storeOf = storeOf;
    this.#maxLine = maxLine;
  }

  /** All measurements that a request means, in the order of the index; the same line in two cans comes once. */
  async answer(request: Request): Promise<Answer[]> {
    const matches =
      'uid' in request ? this.#index.byUid(request.uid) : this.#index.byReport(request.reportId, request.input);
    if (matches.length === 0) return [{ reason: this.#unknown(request) }];
    const answers: Answer[] = [];
    const seen = new Set<string>();
    for (const found of matches) {
      const identity =
        found.hash && found.measurement_uid !== null && `${found.measurement_uid} ${found.hash.toString('hex')}`;
      if (identity && seen.has(identity)) continue;
      if (identity) seen.add(identity);
      try {
        const store = await this.#storeOf(found.store);
        answers.push({ found, line: await readLine(this.#index, store, found, this.#maxLine) });
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (error instanceof Malformed) answers.push({ reason: error.message });
        else if (code === 'ENOENT') answers.push({ reason: `${found.s3path}: not in the store` });
        else throw error;
      }
    }
    return answers;
  }

  #unknown(request: Request): string {
    return 'uid' in request && !parseUid(request.uid) && !request.uid.startsWith('01')
      ? 'no uid, and not in the index'
      : 'not in the index';
  }
}
