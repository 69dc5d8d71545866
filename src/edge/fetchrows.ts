// File rows → objects in a mirror → file rows.
import { resolve } from 'node:path';
import { objectOf } from '../record/mirror.ts';
import type { EndRow, FileRow } from '../record/rows.ts';
import { isUrl } from '../record/storeurls.ts';
import { describeAt, Malformed } from '../stream/errors.ts';
import { ahead, gate, orderedMap } from '../stream/ordered.ts';
import type { Stage } from '../stream/stage.ts';
import { Digests } from './digests.ts';
import { Fetcher, type Outcome, type Wanted } from './fetcher.ts';
import { fileRows } from './filerows.ts';
import type { Mirror } from './mirror.ts';
import { accessOf, openSource, prepareForBuckets, type Store } from './store.ts';

export interface FetchOptions {
  jobs: number;
  attempts: number;
  anonymous: boolean;
}

/** A row of what the mirror has; or, at the end of a list that has one, its end row. */
export interface Brought {
  row?: object;
  end?: EndRow;
}

interface Asked {
  row: FileRow;
  line: number;
  bytes: Buffer;
  /** Or why there is nothing to fetch. */
  wanted: Wanted | Error;
}

/** Rows that are read before their turn, so that the bar knows what is to come. */
const AHEAD = 50_000;
/** Files that may wait, for each under way, for one before them: rows come in the order of the list. */
const WINDOW = 8;
/** Without a row for so long, a server is listing, and what will be asked of it can be prepared. */
const SILENCE_MS = 20;

/** Fetches what rows of standard input name. What cannot be had is rejected, and the rest goes on. */
export async function* fetchRows(stage: Stage, mirror: Mirror, options: FetchOptions): AsyncGenerator<Brought> {
  const { jobs } = options;
  stage.done(0);
  const stores = new Map<string, Promise<Store>>();
  const silence = setTimeout(prepareForBuckets, SILENCE_MS);
  const storeOf = (name: string) => {
    clearTimeout(silence);
    if (!stores.has(name)) stores.set(name, openSource(name, accessOf(stage, options)));
    return stores.get(name)!;
  };
  const digests = new Digests();
  const fetcher = new Fetcher(stage, mirror, digests, storeOf);
  const underWay = gate(jobs);
  let end: EndRow | undefined;
  let expected = 0;
  let broken: { error: unknown } | undefined;
  const list = fileRows(stage, { whole: true, hint: () => '', ended: (row) => (end = row) });
  const look = (asked: Asked) => {
    const { wanted } = asked;
    if (wanted instanceof Error || isHad(fetcher, wanted)) return;
    expected += wanted.bytes ?? 0;
    stage.expect(expected);
  };
  const bring = async (asked: Asked): Promise<{ asked: Asked; result: Outcome | Error }> => {
    const { wanted } = asked;
    if (wanted instanceof Error) return { asked, result: wanted };
    try {
      const result = await underWay(() => {
        if (broken) throw broken.error; // what ends the run need not be found out by each
        return fetcher.fetch(wanted);
      });
      return { asked, result };
    } catch (error) {
      if (error instanceof Malformed) return { asked, result: error };
      broken ??= { error };
      throw error;
    }
  };
  try {
    const results = orderedMap(ahead(asking(stage, list), AHEAD, look), bring, { concurrency: jobs * WINDOW });
    for await (const { asked, result } of results) {
      stage.done(1);
      const { row, bytes } = asked;
      if (result instanceof Error) {
        stage.reject({ as: 'row', file: row.file, line: null, reason: describeAt(row.file, result) }, bytes);
        continue;
      }
      const { outcome, entry } = result;
      stage.tally(outcome);
      const { etag, bytes: size, sha256, s3path } = entry;
      const from = row.file;
      yield {
        row: { ...JSON.parse(bytes.toString()), file: mirror.path(s3path), bytes: size, s3path, etag, sha256, from },
      };
    }
    if (end) yield { end };
  } finally {
    clearTimeout(silence);
    await digests.close();
    for (const store of stores.values()) (await store).close();
  }
}

/** What each row asks for; one that asks for the same as an earlier one is passed over. */
async function* asking(stage: Stage, list: ReturnType<typeof fileRows>): AsyncGenerator<Asked[]> {
  const seen = new Map<string, string>();
  for await (const { row, line, bytes } of list) {
    const asked = { row, line, bytes: Buffer.from(bytes) };
    try {
      const { store: given, key } = objectOf(row);
      const store = isUrl(given) ? given : resolve(given);
      // What cannot stand in a header is no ETag that a server gave.
      const etag = /^[\x21-\x7e]{1,256}$/.test(row.etag ?? '') ? row.etag : undefined;
      const before = seen.get(key);
      if (before !== undefined && before !== store) throw new Error(`has the same key as what comes from ${before}`);
      seen.set(key, store);
      if (before === undefined) yield [{ ...asked, wanted: { store, key, bytes: row.bytes, etag } }];
      else stage.tally('doubles');
    } catch (error) {
      yield [{ ...asked, wanted: error as Error }];
    }
  }
}

/** What is wrong with a place is said when its turn comes. */
function isHad(fetcher: Fetcher, wanted: Wanted): boolean {
  try {
    return fetcher.have(wanted) !== undefined;
  } catch {
    return true;
  }
}
