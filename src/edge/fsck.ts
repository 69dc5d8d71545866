// Store, index and local cans in one pass over their keys: what one of them has and another has not, and what does
// not agree where they all have it. With it goes the making of a new index from what is read.
import { type CanName, canName, compareKeys, JSONL_EXT, POSTCAN_EXT, parseKey, ROWS_EXT } from '../record/names.ts';
import { Failure } from '../stream/errors.ts';
import { orderedMap } from '../stream/ordered.ts';
import type { Stage } from '../stream/stage.ts';
import { besideKey, type CanRead, CanReader, faultOfFile, type Indexed } from './canread.ts';
import { CanSampler } from './cansample.ts';
import { exists } from './files.ts';
import { type FindingKind, Findings, tell } from './findings.ts';
import { IndexAudit, IndexDamage, type IndexedCan } from './index-audit.ts';
import { untilInterrupted, type Whole } from './interrupt.ts';
import { checkLocal, type LocalCan, leftovers, localCans } from './localcans.ts';
import { type CanClass, type CanFile, Outgoing } from './outgoing.ts';
import { type NewCan, NewIndex } from './rebuild.ts';
import { contentId } from './rowcans.ts';
import type { Store } from './store.ts';
import { joined, type Stored, storedCans, within } from './storedcans.ts';

export interface FsckSettings {
  store: Store;
  /** What index and outgoing folder call the store. */
  storeName: string;
  /** The server that the outgoing folder must be kept for; undefined for any. */
  endpoint: string | undefined;
  index: string | undefined;
  outgoing: string | undefined;
  /** A new index to make; everything is read then, as with `deep`. */
  rebuild: string | undefined;
  /** In it, the class of row cans of which nothing else tells. */
  rowClass: RowClass | undefined;
  deep: boolean;
  /** Superseded cans that the store still has are listed. */
  superseded: boolean;
  /** Lines of each can that are read without `deep`. */
  sample: number;
  seed: string;
  maxDepth: number;
  /** Cans under way at once. */
  jobs: number;
  /** Only keys behind this one; '' for all, and then also what is of no key. */
  after: string;
  until: string | undefined;
}

export const ROW_CLASSES = ['sanitised', 'unsanitised'] as const satisfies readonly CanClass[];
export type RowClass = (typeof ROW_CLASSES)[number];

interface Entry {
  key: string;
  stored?: Stored | undefined;
  indexed?: IndexedCan | undefined;
  local?: LocalCan | undefined;
  /** Of a folder that cannot be listed. */
  failure?: string;
}

interface Checked {
  key: string;
  found: Findings;
  superseded: Superseded | undefined;
}

/** A row of standard output: a can that may be removed from the store. */
export interface Superseded {
  /** Key of its lines, without the prefix of the store. */
  superseded: string;
  /** Of its files that are there. */
  bytes: number;
  keys: string[];
}

/** Rows that a later generation takes away while they are read. */
const OF_ROWS: FindingKind[] = ['line', 'unindexed', 'dangling', 'row', 'offset'];

export class Fsck {
  #stage: Stage;
  #settings: FsckSettings;
  #audit: IndexAudit | undefined;
  #outgoing: Outgoing | undefined;
  #index: NewIndex | undefined;
  #reader: CanReader;
  #sampler: CanSampler;
  /** Key of the last can that was told. */
  #done: string | undefined;
  /** Row cans of which nothing tells whether they may be published. */
  #unclassed = 0;

  constructor(stage: Stage, settings: FsckSettings) {
    this.#stage = stage;
    this.#settings = settings;
    const { store, storeName, endpoint, index, outgoing, maxDepth, seed, sample } = settings;
    const { maxLine } = stage;
    this.#reader = new CanReader(stage, store, { maxLine, maxDepth });
    this.#sampler = new CanSampler(stage, store, { lines: sample, seed, maxLine });
    if (index !== undefined) this.#audit = new IndexAudit(index, storeName);
    if (outgoing === undefined) return;
    if (!exists(outgoing)) throw new Failure(`${outgoing}: no such folder`);
    this.#outgoing = new Outgoing(outgoing);
    this.#outgoing.check({ store: storeName, ...(endpoint !== undefined && { endpoint }) });
  }

  async run(): Promise<void> {
    const { rebuild, storeName } = this.#settings;
    try {
      this.#checkStore();
      if (rebuild !== undefined) this.#index = new NewIndex(rebuild, storeName);
      await untilInterrupted(
        () => this.#stop(),
        (whole) => this.#all(whole),
      );
    } catch (error) {
      this.#stop();
      throw error;
    } finally {
      this.#audit?.close();
    }
  }

  /** Leaves nothing half done, and tells how to go on. */
  #stop(): void {
    this.#index?.abandon();
    if (this.#done === undefined) return;
    this.#stage.say(this.#index ? 'stopped: no index was made' : `stopped: --after '${this.#done}' goes on`);
  }

  /** An index of other stores would make every can a surplus one. @throws Failure */
  #checkStore(): void {
    const { storeName } = this.#settings;
    const stores = this.#audit?.stores() ?? [];
    const others = stores.filter(({ store }) => store !== storeName);
    if (others.length === 0) return;
    const names = others.map(({ store }) => store).join(', ');
    if (others.length === stores.length)
      throw new Failure(
        `${this.#audit!.path}: knows no can of ${storeName}, but of ${names}: --indexed-as tells what it calls this store`,
      );
    const cans = others.reduce((sum, one) => sum + one.cans, 0);
    this.#stage.say(`${this.#audit!.path}: ${cans} cans of other stores are not looked at (${names})`);
  }

  async #all(whole: Whole): Promise<void> {
    const locals = new Findings();
    const cans = this.#outgoing ? localCans(this.#outgoing, locals) : [];
    try {
      if (this.#settings.after === '') await this.#tellWhole(locals);
      const check = (entry: Entry) => this.#check(entry);
      for await (const { key, found, superseded } of orderedMap(this.#entries(cans), check, {
        concurrency: this.#settings.jobs,
      })) {
        await whole(async () => {
          await tell(this.#stage, found.list);
          if (superseded) await this.#stage.receipt(superseded);
          this.#done = key;
        });
      }
    } catch (error) {
      if (!(error instanceof IndexDamage)) throw error;
      if (this.#index) throw new Failure(`${error.message}: leave --index out to rebuild it`);
      const found = new Findings();
      found.add('index', null, `${error.message}; nothing behind '${this.#done ?? ''}' was compared`);
      await tell(this.#stage, found.list);
    }
    if (this.#index) await this.#finish(this.#index);
  }

  /** What is of no can: told once, by the run that begins at the beginning. */
  async #tellWhole(locals: Findings): Promise<void> {
    const found = new Findings();
    if (this.#audit) {
      for (const reason of this.#audit.integrity(this.#settings.deep)) found.add('index', null, reason);
      for (const reason of this.#audit.schema()) found.add('index', null, reason);
      for (const reason of this.#audit.orphans()) found.add('index', null, reason);
    }
    if (this.#outgoing) leftovers(this.#outgoing, found);
    await tell(this.#stage, [...found.list, ...locals.list]);
  }

  async *#entries(locals: LocalCan[]): AsyncGenerator<Entry> {
    const { store, after, until } = this.#settings;
    const failures: Entry[] = [];
    const failed = (folder: string, error: unknown) => {
      const failure = faultOfFile(error);
      if (failure === undefined) throw error;
      const isBefore = after !== '' && compareKeys(folder, after) <= 0;
      if (!isBefore && (until === undefined || compareKeys(folder, until) <= 0))
        failures.push({ key: folder, failure });
    };
    const sources = {
      stored: within(storedCans(store.walk(after, failed)), after, until),
      indexed: within(this.#audit?.cans(after) ?? [], after, until),
      local: within(locals, after, until),
    };
    for await (const entry of joined(sources)) {
      // The walk is ahead of what is looked at.
      while (failures.length > 0 && compareKeys(failures[0]!.key, entry.key) < 0) yield failures.shift()!;
      yield entry;
    }
    yield* failures;
  }

  async #check(entry: Entry): Promise<Checked> {
    const { key, failure } = entry;
    const found = new Findings();
    let superseded: Superseded | undefined;
    if (failure !== undefined) found.add('folder', key, failure);
    else {
      const audit = this.#audit;
      // A can that was indexed after its place in the index was passed is no surplus.
      const can = entry.indexed ?? audit?.can(key);
      await this.#checkCan(entry, audit && can && { audit, can }, found);
      if (this.#settings.superseded && can?.superseded) superseded = leftOf(entry.stored);
    }
    return { key, found, superseded };
  }

  async #checkCan({ key, stored, local }: Entry, indexed: Indexed | undefined, found: Findings): Promise<void> {
    const files: Stored = { ...(stored ?? { key, can: parseKey(key)?.can }) };
    if (Number.isNaN(files.jsonl)) delete files.jsonl;
    const isCan = files.can !== undefined && (files.jsonl !== undefined || files.postcan !== undefined);
    if (!indexed && !local && !isCan) return this.#stage.tally('strangers');
    this.#stage.took();
    if (indexed?.can.superseded) this.#stage.tally('superseded');
    // Before the first wait: ids follow the order of keys.
    const made = files.jsonl === undefined ? undefined : this.#index?.can(key);

    if (indexed) await this.#asking(indexed, found, () => checkEntry(indexed, found));
    await this.#checkPresence(files, indexed, local, found);
    this.#checkSizes(files, indexed, local, found);
    if (local && this.#outgoing) await checkLocal(this.#outgoing, local, this.#settings.deep, found);
    const { deep, rebuild } = this.#settings;
    if (deep || rebuild !== undefined) await this.#read(files, indexed, local, found, made);
    else if (indexed && !indexed.can.superseded && files.jsonl !== undefined && !found.has('size'))
      await this.#asking(indexed, found, () => this.#sampler.read(indexed, files.jsonl!, found));
    if (indexed && !indexed.can.superseded && found.has(...OF_ROWS) && indexed.audit.can(key)?.superseded)
      found.forget(...OF_ROWS);
  }

  /** Does what asks the index about one can. */
  async #asking({ can }: Indexed, found: Findings, task: () => Promise<void> | void): Promise<void> {
    try {
      await task();
    } catch (error) {
      if (!(error instanceof IndexDamage)) throw error;
      found.add('index', can.key, error.message);
    }
  }

  /** Which of the two files are there, and who knows of them. */
  async #checkPresence(files: Stored, indexed: Indexed | undefined, local: LocalCan | undefined, found: Findings) {
    const { key, can } = files;
    const postcanKey = besideKey(key, POSTCAN_EXT);
    const live = indexed && !indexed.can.superseded;
    const isSent = local?.state === 'sent' || local?.state === 'indexed';
    const wantsLines = live || isSent;
    const wantsPosts = isSent || (live ? indexed.can.class !== 'foreign' : can?.kind === 'hour' && !indexed);
    // What came after its place in the listing was passed is there now.
    let known = true;
    if (wantsLines && files.jsonl === undefined) known = await this.#askAgain(files, 'jsonl', key, found);
    if (wantsPosts && files.postcan === undefined && can)
      known = (await this.#askAgain(files, 'postcan', postcanKey, found)) && known;
    const hasLines = files.jsonl !== undefined;
    const hasPosts = files.postcan !== undefined;
    const who = live ? 'the index' : 'the outgoing folder';
    if (local?.state === 'ready' && !live) {
      // Under way: one file of the two may be there.
    } else if (!known) {
      // What cannot be asked for may be there, and that is told.
    } else if (wantsLines && !hasLines && !hasPosts)
      found.add('missing', key, `${who} tells of it, the store does not have it`);
    else if (hasPosts && !hasLines && (live || !indexed))
      found.add('half', key, 'its postcan is there, its lines are not');
    else if (hasLines && wantsPosts && !hasPosts)
      found.add('half', postcanKey, 'its lines are there, the posts are not');

    if (!this.#audit || indexed || !(hasLines || hasPosts)) return;
    if (local?.state === 'indexed') found.add('outgoing', key, 'indexed: the index does not know it');
    else if (!this.#isUnderWay(can, local))
      found.add('surplus', hasLines ? key : postcanKey, 'the index does not know it');
  }

  /** It may have been packed after the outgoing folder was looked at. */
  #isUnderWay(can: CanName | undefined, local: LocalCan | undefined): boolean {
    const state = local?.state ?? (can && this.#outgoing?.find(canName(can))?.state);
    return state === 'ready' || state === 'sent' || (state === 'indexed' && !local);
  }

  /** @returns false where there is no answer */
  async #askAgain(files: Stored, half: 'jsonl' | 'postcan', key: string, found: Findings): Promise<boolean> {
    try {
      const size = await this.#settings.store.size(key);
      if (size !== undefined) files[half] = size;
      return true;
    } catch (error) {
      const fault = faultOfFile(error);
      if (fault === undefined) throw error;
      found.add('broken', key, fault);
      return false;
    }
  }

  #checkSizes(files: Stored, indexed: Indexed | undefined, local: LocalCan | undefined, found: Findings): void {
    for (const half of ['postcan', 'jsonl'] as const) {
      const size = files[half];
      if (size === undefined) continue;
      const told = this.#told(half, indexed, local).find(({ bytes }) => bytes !== null && bytes !== size);
      if (told) found.add('size', keyOf(files, half), `${size} bytes, ${told.who} tells of ${told.bytes}`);
    }
  }

  /** What a file must be, as each one tells it that knows of it. */
  #told(half: 'jsonl' | 'postcan', indexed: Indexed | undefined, local: LocalCan | undefined): Told[] {
    const told: Told[] = [];
    if (indexed) {
      const { sha256, bytes, postcan_sha256, postcan_bytes } = indexed.can;
      if (half === 'jsonl') told.push({ who: 'the index', sha256, bytes });
      else told.push({ who: 'the index', sha256: postcan_sha256, bytes: postcan_bytes });
    }
    const file: CanFile | undefined = local?.[half];
    if (file && local?.state !== 'held') told.push({ who: 'its manifest', sha256: file.sha256, bytes: file.bytes });
    return told;
  }

  async #read(
    files: Stored,
    indexed: Indexed | undefined,
    local: LocalCan | undefined,
    found: Findings,
    made: NewCan | undefined,
  ): Promise<void> {
    const read = await this.#reader.read(files, indexed, found, made);
    for (const half of ['postcan', 'jsonl'] as const) {
      const key = keyOf(files, half);
      const sha256 = read[half];
      if (sha256 === undefined || found.has('size')) continue;
      const told = this.#told(half, indexed, local).find((one) => one.sha256 !== null && one.sha256 !== sha256);
      if (told) found.add('checksum', key, `not the bytes that ${told.who} tells of`);
    }
    const { can } = files;
    const isOurs = this.#isOurs(can, indexed, read);
    if (
      isOurs &&
      can?.kind === 'day' &&
      can.mark === 'x' &&
      isNamedAfter(can.id, read) === false &&
      !found.has('checksum', 'size')
    )
      found.add('checksum', files.key, 'its name is not that of its content');
    if (made) this.#make(made, files, indexed, local, read, isOurs);
  }

  /** Whether the can was made by cannery, as far as can be told. */
  #isOurs(can: CanName | undefined, indexed: Indexed | undefined, read: CanRead): boolean {
    if (indexed) return indexed.can.class !== 'foreign';
    if (!can || (can.kind === 'day' && can.mark === 'l')) return false;
    return read.ours || (can.kind === 'day' && isNamedAfter(can.id, read) === true);
  }

  /** A can in the new index. What the store does not tell is taken from where it is told, and else left out. */
  #make(
    made: NewCan,
    { can, jsonl, postcan }: Stored,
    indexed: Indexed | undefined,
    local: LocalCan | undefined,
    read: CanRead,
    isOurs: boolean,
  ): void {
    const isRowCan = can?.kind === 'day';
    let zone: string = 'foreign';
    if (indexed) zone = indexed.can.class;
    else if (isOurs && isRowCan) zone = this.#classOf(local);
    else if (isOurs) zone = 'as-received';
    const {
      grp,
      generation,
      made: when,
      superseded,
    } = indexed?.can ?? {
      grp: isOurs && isRowCan ? `${can.day}_${can.cc}_${can.test}` : null,
      generation: null,
      made: null,
      superseded: 0,
    };
    made.end({
      ...{ sha256: read.jsonl ?? null, bytes: jsonl ?? null },
      ...{ postcan_sha256: read.postcan ?? null, postcan_bytes: postcan ?? null },
      ...{ class: zone, grp, generation, made: when, superseded },
      // A stream of others is read from its beginning: one member of it may be the whole can.
      members: read.ours ? read.members : [],
    });
  }

  #classOf(local: LocalCan | undefined): string {
    const { rowClass } = this.#settings;
    const told = local?.class ?? this.#outgoing?.purpose().class;
    if (told !== undefined && told !== 'as-received') return told;
    if (rowClass !== undefined) return rowClass;
    this.#unclassed++;
    return 'unsanitised';
  }

  async #finish(index: NewIndex): Promise<void> {
    const found = new Findings();
    if (this.#unclassed > 0)
      found.add(
        'class',
        null,
        `nothing tells whether ${this.#unclassed} row cans are sanitised: indexed as unsanitised (--row-class tells it)`,
      );
    for (const { key, grp, cans, measurements } of index.doubles())
      found.add(
        'generation',
        key,
        `${cans} cans of ${grp} have ${measurements === 1 ? 'a measurement' : `${measurements} measurements`} in common, and nothing tells which came later: all are indexed`,
      );
    index.finish();
    await tell(this.#stage, found.list);
  }
}

/** What the store has of a superseded can; undefined for nothing. */
function leftOf(stored: Stored | undefined): Superseded | undefined {
  if (!stored) return undefined;
  const there = (['jsonl', 'postcan', 'rows'] as const).filter((half) => (stored[half] ?? Number.NaN) >= 0);
  if (there.length === 0) return undefined;
  const bytes = there.reduce((sum, half) => sum + stored[half]!, 0);
  return { superseded: stored.key, bytes, keys: there.map((half) => keyOf(stored, half)).sort(compareKeys) };
}

/** What the index tells of a can against its name. */
function checkEntry({ audit, can: known }: Indexed, found: Findings): void {
  const { key, class: zone, cc, test, grp, made, generation, superseded } = known;
  const name = parseKey(key)?.can;
  const classes = name?.kind === 'hour' ? ['as-received'] : ['unsanitised', 'sanitised'];
  if (zone !== 'foreign' && !(name && classes.includes(zone))) found.add('index', key, `a can of class '${zone}'`);
  // Cans that came in by a table of others have neither.
  const isPlaced = cc === null && test === null ? zone === 'foreign' : cc === name?.cc && test === name?.test;
  if (!isPlaced) found.add('index', key, 'its country or test is not that of its name');
  const group = name?.kind === 'day' ? `${name.day}_${name.cc}_${name.test}` : null;
  const isGrouped = grp === null || grp === group;
  const isGeneration = group !== null || (made === null && generation === null && !superseded);
  if (!isGrouped || !isGeneration) found.add('index', key, 'its group or generation is not one that its name can have');
  const rows = superseded ? audit.extent(known.id).rows : 0;
  if (rows > 0) found.add('index', key, `superseded, but it has ${rows} rows`);
}

interface Told {
  who: string;
  sha256: string | null;
  bytes: number | null;
}

const EXTENSIONS = { jsonl: JSONL_EXT, postcan: POSTCAN_EXT, rows: ROWS_EXT };

function keyOf({ key }: Stored, half: keyof typeof EXTENSIONS): string {
  return besideKey(key, EXTENSIONS[half]);
}

/** Whether a row can's name is that of its two files; undefined where they were not both read. */
function isNamedAfter(id: string, { jsonl, postcan }: CanRead): boolean | undefined {
  if (jsonl === undefined || postcan === undefined) return undefined;
  return contentId([postcan, jsonl]) === id;
}
