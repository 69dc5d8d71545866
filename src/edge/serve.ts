// The other end of a crew: a thread takes tasks from its port, one after the other, and sends back what comes of them.
import { parentPort } from 'node:worker_threads';
import type { Answer, Perform, Question, TaskTable } from './crew.ts';

/** Does what comes, until the thread is ended. */
export function serve<T extends TaskTable<T>>(perform: Perform<T>): void {
  parentPort!.on('message', async ({ id, name, task }: Question) => {
    let answer: Answer;
    try {
      answer = { id, result: await perform(name, task) };
    } catch (error) {
      const { message, code } = error as NodeJS.ErrnoException;
      answer = { id, error: { message, code } };
    }
    parentPort!.postMessage(answer, lent(answer));
  });
}

/** Buffers of an answer that may go over without a copy. A part of a larger one would take all of it along. */
function lent(answer: Answer): ArrayBuffer[] {
  const found: ArrayBuffer[] = [];
  const look = (holder: object): void => {
    for (const [key, value] of Object.entries(holder)) {
      if (value instanceof Uint8Array) {
        const own = value.byteLength === value.buffer.byteLength ? value : new Uint8Array(value);
        Object.assign(holder, { [key]: own });
        found.push(own.buffer as ArrayBuffer);
      } else if (typeof value === 'object' && value !== null) look(value);
    }
  };
  look(answer);
  return found;
}
