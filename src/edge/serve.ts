// The other end of a crew: a thread takes tasks from its port, one after the other, and sends back what comes of them.
import { parentPort } from 'node:worker_threads';
import type { Answer, Question, TaskTable, Trade } from './crew.ts';

/** Does what comes, until the thread is ended. */
export function serve<T extends TaskTable<T>>({ perform, lends }: Pick<Trade<T>, 'perform' | 'lends'>): void {
  parentPort!.on('message', async ({ id, name, task }: Question) => {
    let answer: Answer;
    let lent: Uint8Array[] = [];
    try {
      const result = await perform(name, task);
      answer = { id, result };
      lent = lends?.(result) ?? [];
    } catch (error) {
      const { message, code } = error as NodeJS.ErrnoException;
      answer = { id, error: { message, code } };
    }
    parentPort!.postMessage(
      answer,
      lent.map(({ buffer }) => buffer as ArrayBuffer),
    );
  });
}
