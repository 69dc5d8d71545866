// Objects of stores as streams of bytes. The next ones are asked for before their turn, so that the network and what is made of
// the bytes overlap; nothing touches the disk.
import { createHash } from 'node:crypto';
import { md5Of } from '../record/objectsums.ts';
import { isUrl, objectAt } from '../record/storeurls.ts';
import { Bell } from '../stream/bell.ts';
import { describe, Malformed } from '../stream/errors.ts';
import { Changed, type ObjectFacts, openSource, type Store, type StoreOptions, type Taker } from './store.ts';

/** Bytes of one object that may wait to be read. */
const WINDOW = 4 * 1024 * 1024;
/** Objects that are asked for before their turn. */
const AHEAD = 3;

export class Objects {
  #access: StoreOptions;
  #stores = new Map<string, Promise<Store>>();
  #begun = new Map<string, ObjectStream>();

  constructor(access: StoreOptions) {
    this.#access = access;
  }

  /** Names as they come, of files and of objects; the objects are begun ahead. */
  async *begun(names: AsyncIterable<string> | Iterable<string>): AsyncGenerator<string> {
    const source = (async function* () {
      yield* names;
    })();
    const next: Promise<IteratorResult<string>>[] = [];
    const ask = () => {
      const asked = source.next().then((one) => {
        if (!one.done && isUrl(one.value)) this.#begin(one.value);
        return one;
      });
      asked.catch(() => undefined); // told in its turn
      next.push(asked);
    };
    for (ask(); next.length > 0; ) {
      const { done, value } = await next.shift()!;
      if (done) return;
      // A file is there at once: what is wrong with a later row is said after what is wrong with this one.
      if (isUrl(value)) while (next.length < AHEAD) ask();
      yield value;
      if (next.length === 0) ask();
    }
  }

  #begin(url: string): ObjectStream {
    const stream = this.#begun.get(url) ?? new ObjectStream((taker) => this.#send(url, taker));
    this.#begun.set(url, stream);
    return stream;
  }

  async #send(url: string, taker: Taker): Promise<void> {
    const place = objectAt(url);
    if ('fault' in place) throw new Malformed(place.fault);
    const store = await this.#storeOf(place.store);
    await store.send(place.key, taker);
  }

  #storeOf(name: string): Promise<Store> {
    if (!this.#stores.has(name)) this.#stores.set(name, openSource(name, this.#access));
    return this.#stores.get(name)!;
  }

  /**
   * Bytes of one object, by its address.
   * @throws Malformed where it cannot be had or changes meanwhile, after what came before; Failure where no other could be had
   */
  async *bytes(url: string): AsyncGenerator<Uint8Array> {
    const stream = this.#begin(url);
    this.#begun.delete(url);
    yield* stream.read();
  }

  async close(): Promise<void> {
    for (const stream of this.#begun.values()) stream.stop();
    for (const store of this.#stores.values()) (await store).close();
  }
}

/** One object on its way: what comes waits to be read, and past a bound the store waits. */
class ObjectStream implements Taker {
  held = 0;
  etag: string | undefined;
  #facts: ObjectFacts | undefined;
  /** Bytes of an answer that begins anew, which were given already. */
  #again = 0;
  #md5 = createHash('md5');
  #pieces: Uint8Array[] = [];
  #waiting = 0;
  #ended: { error?: unknown } | undefined;
  #stopped = false;
  /** Bytes have come or gone, or that has an end. The giver and the reader never wait at once. */
  #change = new Bell();

  /** @param send gives the object to a taker */
  constructor(send: (taker: Taker) => Promise<void>) {
    send(this)
      .then(
        () => (this.#ended = {}),
        (error) => (this.#ended = { error }),
      )
      .finally(() => this.#change.ring());
  }

  async begin(facts: ObjectFacts, at: number): Promise<void> {
    this.#refuseIfStopped();
    // Without an ETag nothing tells that the rest is of the same object.
    if (this.held > 0 && (facts.etag === '' || facts.bytes !== this.#facts!.bytes)) throw new Changed('has changed');
    this.#facts = facts;
    this.etag = facts.etag || undefined;
    this.#again = this.held - at;
  }

  async take(piece: Uint8Array): Promise<void> {
    const known = Math.min(this.#again, piece.length);
    this.#again -= known;
    if (known === piece.length) return;
    const fresh = piece.subarray(known);
    this.held += fresh.length;
    if (this.held > this.#facts!.bytes) throw new Malformed(`more than the ${this.#facts!.bytes} bytes told`);
    this.#md5.update(fresh);
    this.#pieces.push(fresh);
    this.#waiting += fresh.length;
    this.#change.ring();
    while (this.#waiting > WINDOW && !this.#stopped) await this.#change.rung();
    this.#refuseIfStopped();
  }

  #refuseIfStopped(): void {
    if (this.#stopped) throw new Malformed('nobody reads on'); // ends the request, and is told to nobody
  }

  async *read(): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        for (let piece = this.#pieces.shift(); piece; piece = this.#pieces.shift()) {
          this.#waiting -= piece.length;
          this.#change.ring();
          yield piece;
        }
        if (this.#ended) break;
        await this.#change.rung();
      }
      this.#tell(this.#ended);
    } finally {
      this.stop();
    }
  }

  #tell(ended: { error?: unknown }): void {
    if (ended.error instanceof Changed) throw new Malformed(`changed while it was read: ${describe(ended.error)}`);
    if ('error' in ended) throw ended.error;
    const { etag, plain } = this.#facts!;
    const told = plain ? md5Of(etag) : undefined;
    if (told && told.parts === undefined && told.md5 !== this.#md5.digest('hex'))
      throw new Malformed(`the ${this.held} bytes that came are not what the store tells of them (ETag ${etag})`);
  }

  /** Reads no further. */
  stop(): void {
    this.#stopped = true;
    this.#change.ring();
  }
}
