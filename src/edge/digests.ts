// Digests of many objects at a time, made while their bytes come: by a thread, where there is a CPU for it and enough to do.
import { join } from 'node:path';
import type { Worker } from 'node:worker_threads';
import { describe, Failure } from '../stream/errors.ts';
import { Digest, type Verdict } from './comparison.ts';
import { usualThreads } from './crew.ts';
import { RingIn, ringMemory, type Word } from './ring.ts';
import type { ObjectFacts } from './store.ts';
import { endThread, startThread } from './thread.ts';

/** Bytes of objects from which the thread is worth its start. */
const WORTH = 4 * 1024 * 1024;
const NOTHING = new Uint8Array();

/** What the thread says. */
export type Heard = { stream: number; verdict: Verdict } | { hasRoom: true };

/** The digest of one object in the making. The next word is said when the one before has been heard. */
export interface Making {
  /** The bytes may be changed afterwards. */
  update(bytes: Uint8Array): Promise<void>;
  end(): Promise<Verdict>;
  /** Nobody will ask for it. */
  drop(): void;
}

export class Digests {
  #script: string;
  #thread: DigestThread | undefined;
  #bytes = 0;

  /** @param script the thread's code, among the bundles */
  constructor(script = join(__dirname, 'digestworker.cjs')) {
    this.#script = script;
  }

  /** @throws Failure where the thread cannot be had, or has ended: so do the others */
  async begin(facts: ObjectFacts): Promise<Making> {
    this.#bytes += facts.bytes;
    if (this.#bytes >= WORTH && usualThreads() > 1) this.#thread ??= new DigestThread(this.#script);
    return this.#thread ? await this.#thread.begin(facts) : here(facts);
  }

  async close(): Promise<void> {
    await this.#thread?.close();
  }
}

function here(facts: ObjectFacts): Making {
  const digest = new Digest(facts);
  return {
    update: async (bytes) => digest.update(bytes),
    end: async () => digest.end(),
    drop: () => undefined,
  };
}

interface Waiting<T> {
  done(result: T): void;
  fail(error: Failure): void;
}

class DigestThread {
  #ring: RingIn;
  #worker: Worker;
  #streams = 0;
  /** Who waits for what became of a stream. */
  #asked = new Map<number, Waiting<Verdict>>();
  /** Who waits for room. */
  #held: Waiting<void>[] = [];
  #fault: Failure | undefined;

  constructor(script: string) {
    const workerData = ringMemory();
    this.#ring = new RingIn(workerData);
    this.#worker = startThread<Heard>(
      script,
      workerData,
      (heard) => this.#hear(heard),
      (error) => this.#lose(describe(error)),
    );
  }

  #hear(heard: Heard): void {
    if ('hasRoom' in heard) for (const { done } of this.#held.splice(0)) done();
    else {
      this.#asked.get(heard.stream)!.done(heard.verdict);
      this.#asked.delete(heard.stream);
    }
  }

  #lose(reason: string): void {
    const fault = new Failure(`the thread that makes digests: ${reason}`);
    this.#fault ??= fault;
    for (const { fail } of [...this.#held.splice(0), ...this.#asked.values()]) fail(fault);
    this.#asked.clear();
  }

  async begin(facts: ObjectFacts): Promise<Making> {
    const stream = this.#streams++;
    await this.#put(stream, 'begin', Buffer.from(JSON.stringify(facts)));
    return {
      update: (bytes) => this.#put(stream, 'piece', bytes),
      end: async () => {
        const verdict = this.#wait<Verdict>((waiting) => this.#asked.set(stream, waiting));
        return (await Promise.all([verdict, this.#put(stream, 'end')]))[0];
      },
      drop: () => void this.#put(stream, 'drop').catch(() => undefined),
    };
  }

  async #put(stream: number, word: Word, bytes: Uint8Array = NOTHING): Promise<void> {
    for (let at = 0; ; ) {
      if (this.#fault) throw this.#fault;
      const taken = this.#ring.put(stream, word, bytes.subarray(at));
      if (taken === undefined) await this.#wait<void>((waiting) => this.#held.push(waiting));
      else if (at + taken === bytes.length) return;
      else at += taken;
    }
  }

  #wait<T>(where: (waiting: Waiting<T>) => void): Promise<T> {
    return new Promise((done, fail) => where({ done, fail }));
  }

  async close(): Promise<void> {
    await endThread(this.#worker);
  }
}
