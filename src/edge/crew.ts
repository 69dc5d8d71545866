// Threads that do what costs time. The first of the work is done on the calling thread: for a small spool no other is started.
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { Worker } from 'node:worker_threads';
import { perform, type TaskName, type Tasks } from './packtasks.ts';

export interface Question {
  id: number;
  name: TaskName;
  task: never;
}

export type Answer = { id: number } & ({ result: unknown } | { error: { message: string; code: string | undefined } });

/** Bytes of work from which threads are worth their start. */
const WORTH = 2 * 1024 * 1024;
/** Tasks that a thread has at once: one at work, others at hand while the calling thread waits for the disk. */
const AT_ONCE = 4;

interface Waiting {
  question: Question;
  resolve: (result: never) => void;
  reject: (error: Error) => void;
}

interface Member {
  worker: Worker;
  tasks: Map<number, Waiting>;
}

export class Crew {
  readonly threads: number;
  #members: Member[] = [];
  #queue: Waiting[] = [];
  #asked = 0;
  #bytes = 0;

  /** @param threads with 1 everything is done on the calling thread */
  constructor(threads: number) {
    this.threads = threads;
    // As for the threads; from the beginning, for what has grown does not shrink.
    setFlagsFromString('--semi-space-growth-factor=1');
  }

  /**
   * Has a task done. What it throws comes as an Error with its message and code alone.
   * @param bytes of work
   * @param first before what waits already
   */
  async run<T extends TaskName>(
    name: T,
    task: Tasks[T]['task'],
    bytes: number,
    first = false,
  ): Promise<Tasks[T]['result']> {
    this.#bytes += bytes;
    if (this.threads === 1 || (this.#members.length === 0 && this.#bytes < WORTH)) return await perform(name, task);
    while (this.#members.length < this.threads) this.#members.push(this.#hire());
    return await new Promise((resolve, reject) => {
      const question = { id: this.#asked++, name, task: task as never };
      this.#queue[first ? 'unshift' : 'push']({ question, resolve, reject });
      this.#hand();
    });
  }

  #hire(): Member {
    // Little memory for what is new: buffers that are done with are given back sooner.
    const resourceLimits = { maxYoungGenerationSizeMb: 2 };
    const worker = new Worker(join(__dirname, 'packworker.cjs'), { resourceLimits });
    const member: Member = { worker, tasks: new Map() };
    worker.on('message', (answer: Answer) => {
      const { resolve, reject } = member.tasks.get(answer.id)!;
      member.tasks.delete(answer.id);
      if ('error' in answer) reject(Object.assign(new Error(answer.error.message), { code: answer.error.code }));
      else resolve(answer.result as never);
      this.#hand();
    });
    worker.on('error', (error) => this.#lose(member, error));
    worker.on('exit', (code) => this.#lose(member, new Error(`a thread ended with ${code}`)));
    return member;
  }

  /** Gives what waits to the threads that have the least to do. */
  #hand(): void {
    while (this.#queue.length > 0) {
      const [idlest] = [...this.#members].sort((a, b) => a.tasks.size - b.tasks.size);
      if (idlest === undefined || idlest.tasks.size >= AT_ONCE) return;
      const waiting = this.#queue.shift()!;
      idlest.tasks.set(waiting.question.id, waiting);
      idlest.worker.postMessage(waiting.question);
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
    await Promise.all(members.map(({ worker }) => worker.removeAllListeners().terminate()));
  }
}
