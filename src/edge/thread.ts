import { Worker } from 'node:worker_threads';

/**
 * Starts a thread.
 * @param path of its code, among the bundles
 * @param hear is given what it says
 * @param lose is told when it ends by itself, whyever
 */
export function startThread<T>(
  path: string,
  workerData: unknown,
  hear: (said: T) => void,
  lose: (error: Error) => void,
): Worker {
  // Little memory for what is new: buffers that are done with are given back sooner.
  const worker = new Worker(path, { workerData, resourceLimits: { maxYoungGenerationSizeMb: 2 } });
  worker.on('message', hear);
  worker.on('error', lose);
  worker.on('exit', (code) => lose(new Error(`a thread ended with ${code}`)));
  return worker;
}

/** Ends it, and nobody is told. */
export async function endThread(worker: Worker): Promise<void> {
  await worker.removeAllListeners().terminate();
}
