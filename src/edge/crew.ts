// Threads that do what costs time. The first of the work is done on the calling thread: for a small spool no other is started.
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import type { Worker } from 'node:worker_threads';
import { endThread, startThread } from './thread.ts';

/** Names of tasks → what each is given and what comes of it: plain data, that can go from thread to thread. */
export type TaskTable<T> = { [N in keyof T]: { task: unknown; result: unknown } };

/** What a crew can do. */
export interface Trade<T extends TaskTable<T>> {
  /** A thread's code, among the bundles. */
  script: string;
  /** What each thread is told at its start. */
  told?: unknown;
  /** The same on the thread that calls. */
  perform: Perform<T>;
  /** The calling thread works too, where the others have enough to do: for tasks that are short. */
  joins?: boolean;
  /** Buffers of a result that go over without a copy: each all of its memory. */
  lends?(result: T[keyof T]['result']): Uint8Array[];
  /** A task as it is sent, where that is not as it is given, and what of it goes over without a copy. */
  sent?<N extends keyof T>(task: T[N]['task']): { task: T[N]['task']; lent: ArrayBuffer[] };
}

export type Perform<T extends TaskTable<T>> = <N extends keyof T>(
  name: N,
  task: T[N]['task'],
) => Promise<T[N]['result']>;

export interface Question {
  id: number;
  name: never;
  task: never;
}

export type Answer = { id: number } & ({ result: unknown } | { error: { message: string; code: string | undefined } });

/** One for each CPU, within what several verbs in a pipeline can have. */
export const usualThreads = () => Math.min(4, availableParallelism());

/** Bytes of work from which threads are worth their start. */
const WORTH = 2 * 1024 * 1024;
/** Tasks that a thread has at once: one at work, others at hand while the calling thread waits for the disk. */
const AT_ONCE = 4;
/** Bytes of work behind which no other task waits: who wants results in their order would wait for all of it. */
const HEAVY = 8 * 1024 * 1024;

/** The same where the calling thread works too, and gives out tasks between its own. */
const AT_ONCE_BESIDE = 3;

/** Not to be waited for by who can do a task meanwhile. */
const isBusy = ({ isUp, tasks }: Member) => !isUp || tasks.size >= AT_ONCE_BESIDE;

interface Waiting {
  question: Question;
  /** Of work. */
  bytes: number;
  resolve: (result: never) => void;
  reject: (error: Error) => void;
}

interface Member {
  worker: Worker;
  isUp: boolean;
  tasks: Map<number, Waiting>;
}

const workOf = ({ tasks }: Member) => [...tasks.values()].reduce((sum, { bytes }) => sum + bytes, 0);

export class Crew<T extends TaskTable<T>> {
  readonly threads: number;
  readonly #trade: Trade<T>;
  #members: Member[] = [];
  #queue: Waiting[] = [];
  #asked = 0;
  #bytes = 0;

  /** @param threads with 1 everything is done on the calling thread */
  constructor(trade: Trade<T>, threads: number) {
    this.#trade = trade;
    this.threads = threads;
    // As for the threads; from the beginning, for what has grown does not shrink.
    setFlagsFromString('--semi-space-growth-factor=1');
  }

  /**
   * Has a task done. What it throws comes as an Error with its message and code alone.
   * @param bytes of work
   * @param first before what waits already
   */
  async run<N extends keyof T>(name: N, task: T[N]['task'], bytes: number, first = false): Promise<T[N]['result']> {
    this.#bytes += bytes;
    if (this.#bytes >= WORTH) this.#start();
    if (this.#members.length > 0 && this.#trade.joins) await turn(); // answers that came are heard
    if (this.#members.length === 0 || (this.#trade.joins && this.#members.every(isBusy)))
      return await this.#trade.perform(name, task);
    return await new Promise((resolve, reject) => {
      const question = { id: this.#asked++, name: name as never, task: task as never };
      this.#queue[first ? 'unshift' : 'push']({ question, bytes, resolve, reject });
      this.#hand();
    });
  }

  /** So many bytes of work will come: for many, threads are started before the first. */
  expect(bytes: number): void {
    if (bytes >= WORTH) this.#start();
  }

  #start(): void {
    const others = this.threads - (this.#trade.joins || this.threads === 1 ? 1 : 0);
    while (this.#members.length < others) this.#members.push(this.#hire());
  }

  #hire(): Member {
    const { script, told } = this.#trade;
    const hear = (answer: Answer) => {
      const { resolve, reject } = member.tasks.get(answer.id)!;
      member.tasks.delete(answer.id);
      if ('error' in answer) reject(Object.assign(new Error(answer.error.message), { code: answer.error.code }));
      else resolve(answer.result as never);
      this.#hand();
    };
    const worker = startThread(join(__dirname, script), told, hear, (error) => this.#lose(member, error));
    const member: Member = { worker, isUp: false, tasks: new Map() };
    worker.on('online', () => {
      member.isUp = true;
    });
    return member;
  }

  /** Gives what waits to the threads that have the least to do. */
  #hand(): void {
    while (this.#queue.length > 0) {
      const free = this.#members.filter((one) => one.tasks.size < AT_ONCE && workOf(one) < HEAVY);
      const [idlest] = free.sort((a, b) => a.tasks.size - b.tasks.size);
      if (idlest === undefined) return;
      const waiting = this.#queue.shift()!;
      idlest.tasks.set(waiting.question.id, waiting);
      const { task, lent } = this.#trade.sent?.(waiting.question.task) ?? { task: waiting.question.task, lent: [] };
      idlest.worker.postMessage({ ...waiting.question, task }, lent);
    }
  }

  #lose(member: Member, error: Error): void {
    this.#members = this.#members.filter((one) => one !== member);
    for (const { reject } of member.tasks.values()) reject(error);
    member.tasks.clear();
    if (this.#members.length > 0) return;
    for (const { reject } of this.#queue.splice(0)) reject(error);
  }

  /** Ends the threads. */
  async end(): Promise<void> {
    const members = this.#members;
    this.#members = [];
    await Promise.all(members.map(({ worker }) => endThread(worker)));
  }
}
