// Cans of a store → rows of an index, by reading them: of a mirror no receipts tell. What the index has already is not read again.

import { objectOf } from '../record/mirror.ts';
import { POSTCAN_EXT, parseKey, ROWS_EXT } from '../record/names.ts';
import { isUrl } from '../record/storeurls.ts';
import { describeAt, Malformed } from '../stream/errors.ts';
import type { Stage } from '../stream/stage.ts';
import { listBucket } from './bucketlisting.ts';
import { besideKey, type CanRead, CanReader, faultOfFile } from './canread.ts';
import { fileRows } from './filerows.ts';
import { Findings, reasonAt } from './findings.ts';
import type { IndexDb, KnownCan } from './index-db.ts';
import { type Listing, listPath } from './listing.ts';
import { Objects } from './objects.ts';
import { noStrangers } from './spool.ts';
import { StagedCan } from './stagedcan.ts';
import { openSource, type Store, type StoreOptions, storeNameToRead } from './store.ts';
import type { Stored } from './storedcans.ts';

/** A post that nests deeper has no line of ours; of others it is read as deep as theirs. */
const MAX_DEPTH = 500;

interface Named {
  file: string;
  s3path?: string;
  bytes?: number;
}

/** A can that is to be read. */
interface Wanted {
  store: Store;
  stored: Stored;
}

/** @param specs stores, or `-` for file rows of standard input */
export async function addCans(stage: Stage, index: IndexDb, specs: string[], access: StoreOptions): Promise<void> {
  const adder = new CanAdder(stage, index, access);
  try {
    for (const spec of specs) await adder.add(spec === '-' ? rowsIn(stage) : filesIn(stage, spec, access));
  } finally {
    await adder.close();
  }
}

async function* rowsIn(stage: Stage): AsyncGenerator<Named> {
  for await (const { row } of fileRows(stage, { whole: true, hint: () => '' })) yield row;
}

/** Lines of the cans of a store. */
async function* filesIn(stage: Stage, spec: string, access: StoreOptions): AsyncGenerator<Named> {
  const failed = (path: string, error: unknown) =>
    stage.reject({ as: 'file', file: path, line: null, reason: describeAt(path, error) }, null);
  const listing: Listing = {
    selection: { kinds: ['jsonl'], cc: [], tests: [] },
    strangers: noStrangers(),
    failed,
    untold: () => undefined,
  };
  const calls = (count: number) => stage.tally('list_calls', count);
  try {
    yield* isUrl(spec) ? listBucket(spec, { ...listing, calls }, access) : listPath(spec, listing);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).syscall === undefined) throw error; // not of this path
    failed(spec, error);
  }
}

class CanAdder {
  #stage: Stage;
  #index: IndexDb;
  #access: StoreOptions;
  #objects: Objects;
  #stores = new Map<string, Store>();

  constructor(stage: Stage, index: IndexDb, access: StoreOptions) {
    this.#stage = stage;
    this.#index = index;
    this.#access = access;
    this.#objects = new Objects(access);
    for (const count of ['added', 'known', 'lines']) stage.tally(count, 0);
  }

  async add(files: AsyncIterable<Named>): Promise<void> {
    const wanted = new Map<string, Wanted>();
    try {
      for await (const name of this.#objects.begun(this.#wanted(files, wanted))) {
        const one = wanted.get(name)!;
        wanted.delete(name);
        await this.#trying(name, () => this.#read(name, one));
      }
    } catch (error) {
      throw this.#index.named(error);
    }
  }

  /** Names of what has to be read, each told in `wanted`. */
  async *#wanted(files: AsyncIterable<Named>, wanted: Map<string, Wanted>): AsyncGenerator<string> {
    for await (const row of files) {
      const one = await this.#trying(row.file, () => this.#look(row));
      if (!one || wanted.has(row.file)) continue;
      wanted.set(row.file, one);
      yield row.file;
    }
  }

  /** What is wrong with one can is told, and the rest goes on. */
  async #trying<T>(file: string, task: () => Promise<T>): Promise<T | undefined> {
    try {
      return await task();
    } catch (error) {
      const reason = faultOfFile(error);
      if (reason === undefined) throw error;
      const bytes = Buffer.from(JSON.stringify({ file }));
      this.#stage.reject({ as: 'file', file, line: null, reason: reason.replace(`${file}: `, '') }, bytes);
      return undefined;
    }
  }

  /** @returns undefined for a can that the index has as it is, and for a file that is read with another */
  async #look(row: Named): Promise<Wanted | undefined> {
    const { store: name, key } = placeOf(row);
    const { can, kind } = parseKey(key) ?? {};
    if (!can) throw new Malformed('none of the files of a can');
    if (kind !== 'jsonl') return undefined;
    const store = await this.#storeOf(name);
    const known = this.#index.known(store.name, key);
    const jsonl = row.bytes ?? (await store.size(key));
    if (jsonl === undefined) throw new Malformed('not in the store');
    const stored: Stored = { key, can, jsonl };
    if (known && isSettled(known, jsonl)) return this.#has();
    // Legacy cans have neither.
    if (!(can.kind === 'day' && can.mark === 'l')) {
      const postcan = await store.size(besideKey(key, POSTCAN_EXT));
      if (postcan !== undefined) stored.postcan = postcan;
      else if (known?.bytes !== jsonl) {
        const rows = await store.size(besideKey(key, ROWS_EXT));
        if (rows !== undefined) stored.rows = rows;
      }
    }
    if (known?.bytes === jsonl && stored.postcan === undefined) return this.#has();
    if (known && known.class !== 'foreign')
      throw new Malformed(`the index has it with ${known.bytes} bytes, not ${jsonl}`);
    return { store, stored };
  }

  #has(): undefined {
    this.#stage.tally('known');
  }

  async #storeOf(spec: string): Promise<Store> {
    const name = storeNameToRead(spec);
    const store = this.#stores.get(name) ?? (await openSource(name, this.#access));
    this.#stores.set(name, store);
    return store;
  }

  async #read(file: string, { store, stored }: Wanted): Promise<void> {
    const { key, jsonl, postcan } = stored;
    this.#stage.took();
    const ofLines = (name: string) => (name === key ? file : `${store.name}/${name}`);
    const open = (name: string) => this.#objects.bytes(ofLines(name));
    const reader = new CanReader(this.#stage, store, {
      maxLine: this.#stage.maxLine,
      maxDepth: MAX_DEPTH,
      alone: true,
      ...(isUrl(store.name) && { open }),
    });
    const staged = this.#index.staged((db) => new StagedCan(db, store.name, key));
    const found = new Findings();
    const read = await reader.read(stored, undefined, found, staged);
    const fault = faultOf(stored, read, found);
    if (fault !== undefined) throw new Malformed(fault);
    staged.commit({
      ...{ sha256: read.jsonl!, bytes: jsonl! },
      ...{ postcan_sha256: read.postcan ?? null, postcan_bytes: postcan ?? null },
      class: read.ours && stored.can?.kind === 'hour' && postcan !== undefined ? 'as-received' : 'foreign',
      // A stream of others is read from its beginning: one member of it may be the whole can.
      members: read.ours ? read.members : [],
    });
    this.#stage.tally('added');
    for (const one of found.list) this.#stage.finding(file, reasonAt(one));
  }

  async close(): Promise<void> {
    await this.#objects.close();
    for (const store of this.#stores.values()) store.close();
  }
}

/** @throws Malformed */
function placeOf(row: Named): { store: string; key: string } {
  try {
    return objectOf(row);
  } catch (error) {
    throw new Malformed((error as Error).message);
  }
}

/** True for a can that is not read again, whatever lies beside it: what others told of it, it does not tell itself. */
function isSettled({ sha256, bytes, postcan_bytes, class: zone, superseded }: KnownCan, now: number): boolean {
  if (superseded || sha256 === null) return true;
  return bytes === null || (bytes === now && (zone !== 'foreign' || postcan_bytes !== null));
}

/** Why nothing of a can is taken: lines that were not read, or that nobody knows the posts of. */
function faultOf({ key, postcan }: Stored, read: CanRead, found: Findings): string | undefined {
  const whole = found.list.find(
    ({ finding, linenum }) => finding === 'broken' || (finding === 'post' && linenum === null),
  );
  if (whole) return `${whole.s3path === key ? '' : `${whole.s3path}: `}${reasonAt(whole)}`;
  if (read.jsonl === undefined) return 'not the size that was told';
  if (postcan !== undefined && read.postcan === undefined) return `${besideKey(key, POSTCAN_EXT)}: not read to its end`;
  return undefined;
}
