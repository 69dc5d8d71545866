// The thread that makes digests of what comes through a ring.
import { parentPort, workerData } from 'node:worker_threads';
import { Digest } from './comparison.ts';
import type { Heard } from './digests.ts';
import { RingOut } from './ring.ts';

const tell = (heard: Heard) => parentPort!.postMessage(heard);
const ring = new RingOut(workerData);
const streams = new Map<number, Digest>();
for (;;) {
  const { stream, word, bytes } = ring.next();
  const digest = streams.get(stream);
  if (word === 'begin') streams.set(stream, new Digest(JSON.parse(bytes.toString())));
  else if (word === 'piece') digest!.update(bytes);
  else streams.delete(stream);
  if (word === 'end') tell({ stream, verdict: digest!.end() });
  if (ring.taken()) tell({ hasRoom: true });
}
