// One object from a store into a mirror: begun where the last run ended, compared with what the store says of it as it comes,
// and only then under its name.
import { closeSync, createReadStream, fstatSync, ftruncateSync, futimesSync, openSync, writeSync } from 'node:fs';
import type { Checked, MirrorEntry } from '../record/mirror.ts';
import { Malformed } from '../stream/errors.ts';
import { Comparison, type Verdict } from './comparison.ts';
import type { Digests, Making } from './digests.ts';
import { digestRegularFile, failAt, fsyncSoon, unlinkIfThere } from './files.ts';
import type { Mirror } from './mirror.ts';
import { Changed, type ObjectFacts, type Store, type Taker } from './store.ts';

/** How often an object may change while it is fetched. */
const MOST_CHANGES = 5;
const PIECE = 1024 * 1024;

/** What a row tells of an object. */
export interface Wanted {
  store: string;
  key: string;
  bytes: number | undefined;
  etag: string | undefined;
}

/** `fetched` now, or `there` already. */
export type Outcome = { outcome: 'fetched' | 'there'; entry: MirrorEntry };

export interface FetchKernel {
  tally(name: string, by?: number): void;
}

export class Fetcher {
  #kernel: FetchKernel;
  #mirror: Mirror;
  #digests: Digests;
  #storeOf: (name: string) => Promise<Store>;

  constructor(kernel: FetchKernel, mirror: Mirror, digests: Digests, storeOf: (name: string) => Promise<Store>) {
    this.#kernel = kernel;
    this.#mirror = mirror;
    this.#digests = digests;
    this.#storeOf = storeOf;
  }

  /** The copy that the mirror has of this state of an object, by manifest and file alone. @throws Malformed */
  have({ store, key, bytes, etag }: Wanted): MirrorEntry | undefined {
    const entry = this.#mirror.entry(key);
    if (!entry || entry.store !== store) return undefined;
    if (etag === undefined ? bytes !== entry.bytes : etag !== entry.etag) return undefined;
    return this.#mirror.has(entry) ? entry : undefined;
  }

  /** @throws Malformed for a fault of this object; Failure where no other would go better */
  async fetch(wanted: Wanted): Promise<Outcome> {
    const had = this.have(wanted);
    if (had) return { outcome: 'there', entry: had };
    const standing = await this.#lookAt(wanted);
    if (standing?.entry) {
      await this.#mirror.commit(undefined, standing.entry);
      return { outcome: 'there', entry: standing.entry };
    }
    const store = await this.#storeOf(wanted.store);
    let { etag } = wanted;
    for (let changes = 0, spoilt = 0; ; ) {
      let fault: string;
      try {
        const entry = await this.#download(store, wanted, etag, standing?.foreign);
        if (typeof entry !== 'string') return { outcome: 'fetched', entry };
        fault = entry;
        spoilt++;
      } catch (error) {
        if (!(error instanceof Changed)) throw error;
        this.#kernel.tally('changed');
        etag = undefined; // whatever is there now
        fault = 'changes all the time';
        changes++;
      }
      if (spoilt > 1 || changes >= MOST_CHANGES) throw new Malformed(fault);
    }
  }

  /**
   * A file that lies under the key, and that the manifest does not tell of as it is: a killed run had come so far, or somebody
   * else put it there.
   * @returns its entry where it is what is wanted; where that cannot be told, the digest of what may not be lost
   * @throws Malformed where it is surely something else, which stays
   */
  async #lookAt({ store, key, etag }: Wanted): Promise<{ entry?: MirrorEntry; foreign?: string } | undefined> {
    const stat = this.#mirror.stat(key);
    if (!stat) return undefined;
    const path = this.#mirror.path(key);
    const known = this.#mirror.entry(key);
    if (known && known.store !== store) throw new Malformed(`${path} is there, from ${known.store}`);
    const facts = { bytes: stat.size, etag: etag ?? '', checksums: {}, plain: true };
    const comparison = new Comparison(facts);
    const { bytes, sha256 } = await digestRegularFile(path, async (piece) => comparison.update(piece));
    const compared = { by: comparison.by, agrees: comparison.agrees() };
    const isKnown = known !== undefined && known.bytes === bytes && known.sha256 === sha256;
    const checked = isKnown && known.etag === etag ? known.checked : await agreed(path, facts, compared);
    if (checked !== undefined && (checked !== 'size' || (isKnown && known.etag === etag))) {
      const mtime = this.#mirror.stat(key)!.mtimeMs;
      return { entry: { s3path: key, store, etag: facts.etag, bytes, sha256, checked, mtime } };
    }
    if (isKnown) return undefined; // of an older state of the object: the next one takes its place
    if (checked === undefined) throw new Malformed(otherBytes(path));
    return { foreign: sha256 };
  }

  /**
   * @param foreign digest of a file that is there, and is no copy of ours
   * @returns what is wrong with the bytes that came; of them nothing is kept
   */
  async #download(
    store: Store,
    { store: name, key, bytes }: Wanted,
    etag: string | undefined,
    foreign: string | undefined,
  ): Promise<MirrorEntry | string> {
    const part = new Part(this.#kernel, this.#digests, (state) => this.#mirror.part(name, key, state), etag);
    try {
      part.resume(bytes);
      await store.send(key, part);
      const { facts, path } = part;
      const verdict = await part.verdict();
      const { sha256 } = verdict;
      const checked = await agreed(path, facts, verdict, () => store.firstPart(key, facts.etag));
      if (checked === undefined || (checked === 'size' && part.resumed)) {
        unlinkIfThere(path);
        return `the ${facts.bytes} bytes that came are not what the store tells of them (ETag ${facts.etag})`;
      }
      if (foreign !== undefined && foreign !== sha256) {
        unlinkIfThere(path);
        throw new Malformed(otherBytes(this.#mirror.path(key)));
      }
      const mtime = foreign === undefined ? await part.settle() : this.#mirror.stat(key)!.mtimeMs;
      const entry = { s3path: key, store: name, etag: facts.etag, bytes: facts.bytes, sha256, checked, mtime };
      await this.#mirror.commit(foreign === undefined ? path : undefined, entry);
      if (foreign !== undefined) unlinkIfThere(path);
      return entry;
    } finally {
      part.close();
    }
  }
}

function otherBytes(path: string): string {
  return `${path} is there with other bytes, and keeps them: move it away to have it fetched`;
}

/** By which digest bytes agree with what a store tells; `size` where it tells none, undefined where they do not. */
async function agreed(
  path: string,
  facts: ObjectFacts,
  { by, agrees }: Pick<Verdict, 'by' | 'agrees'>,
  firstPart: () => Promise<number | undefined> = async () => undefined,
): Promise<Checked | undefined> {
  if (agrees) return by;
  if (by !== 'parts') return undefined;
  const size = await firstPart();
  if (size === undefined || size < 1) return 'size';
  const again = new Comparison(facts, size);
  for await (const piece of pieces(path)) again.update(piece);
  return again.agrees() ? 'parts' : undefined;
}

function pieces(path: string, bytes = Number.POSITIVE_INFINITY): AsyncIterable<Buffer> {
  return createReadStream(path, { highWaterMark: PIECE, end: bytes - 1 });
}

type PlaceOf = (etag: string) => { path: string; begun: boolean };

/** The file that an object gathers in. */
class Part implements Taker {
  held = 0;
  etag: string | undefined;
  /** Some of the bytes are of an earlier run, whose end nobody saw. */
  resumed = false;
  path = '';
  #kernel: FetchKernel;
  #placeOf: PlaceOf;
  #facts: ObjectFacts | undefined;
  #fd: number | undefined;
  #digests: Digests;
  /** Of what is held. */
  #digest: Making | undefined;

  constructor(kernel: FetchKernel, digests: Digests, placeOf: PlaceOf, etag: string | undefined) {
    this.#kernel = kernel;
    this.#digests = digests;
    this.#placeOf = placeOf;
    this.etag = etag || undefined;
  }

  get facts(): ObjectFacts {
    return this.#facts!;
  }

  /**
   * Takes up what has come of the same state of the object before.
   * @param bytes of the object: of one that is all there the last byte is asked for again, and with it what the store tells
   */
  resume(bytes = Number.POSITIVE_INFINITY): void {
    if (this.etag === undefined) return;
    const { path, begun } = this.#placeOf(this.etag);
    if (!begun) return;
    this.#open(path);
    const { size } = fstatSync(this.#fd!);
    const usable = size < bytes ? size : size === bytes ? size - 1 : 0;
    if (usable < size) ftruncateSync(this.#fd!, Math.max(usable, 0));
    if (usable <= 0) return;
    this.held = usable;
    this.resumed = true;
    this.#kernel.tally('resumed');
  }

  #open(path: string): void {
    try {
      this.#fd = openSync(path, 'a+', 0o644);
      this.path = path;
    } catch (error) {
      failAt(path, error);
    }
  }

  async begin(facts: ObjectFacts, at: number): Promise<void> {
    const goesOn = at > 0 && at === this.held;
    if (goesOn && this.#digest) {
      // Without an ETag nothing tells that the rest is of the same object.
      if (facts.etag === '' || facts.bytes !== this.facts.bytes) throw new Changed('has changed');
      return; // held to what the first answer told: of a range a server may tell less
    }
    this.#facts = facts;
    this.etag = facts.etag || undefined;
    if (this.#fd === undefined) this.#open(this.#placeOf(facts.etag).path);
    this.#digest?.drop();
    this.#digest = await this.#digests.begin(facts);
    try {
      if (goesOn) for await (const piece of pieces(this.path, this.held)) await this.#digest.update(piece);
      else ftruncateSync(this.#fd!, 0);
    } catch (error) {
      failAt(this.path, error);
    }
    if (goesOn) return;
    this.held = 0;
    this.resumed = false;
  }

  async take(piece: Uint8Array): Promise<void> {
    if (this.held + piece.length > this.facts.bytes)
      throw new Malformed(`more than the ${this.facts.bytes} bytes told`);
    try {
      for (let done = 0; done < piece.length; ) done += writeSync(this.#fd!, piece, done);
    } catch (error) {
      failAt(this.path, error);
    }
    await this.#digest!.update(piece);
    this.held += piece.length;
    this.#kernel.tally('bytes_in', piece.length);
  }

  /** Of all bytes, once. */
  async verdict(): Promise<Verdict> {
    const digest = this.#digest!;
    this.#digest = undefined;
    return await digest.end();
  }

  /** Makes the bytes durable. @returns their file's time, in whole milliseconds, which every file system keeps */
  async settle(): Promise<number> {
    const now = Math.floor(Date.now() / 1000) * 1000;
    try {
      futimesSync(this.#fd!, now / 1000, now / 1000);
      await fsyncSoon(this.#fd!);
    } catch (error) {
      failAt(this.path, error);
    }
    return now;
  }

  close(): void {
    this.#digest?.drop();
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }
}
