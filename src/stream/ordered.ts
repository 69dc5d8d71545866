import { setImmediate as turn } from 'node:timers/promises';
import { Bell } from './bell.ts';

export interface Flow<T> {
  /** Tasks under way at once. */
  concurrency: number;
  /** Weight of an item (bytes, say); together at most `maxWeight`, a heavier one alone. */
  weigh?: (item: T) => number;
  maxWeight?: number;
}

/**
 * Maps with several tasks under way and gives the results in the order of the items, each as soon as it is there. At
 * most `concurrency` results are held, and one item. The first error, of a task or of the source, ends it, once the
 * results before have been given.
 */
export async function* orderedMap<T, R>(
  source: AsyncIterable<T> | Iterable<T>,
  task: (item: T) => Promise<R>,
  { concurrency, weigh = () => 0, maxWeight = Number.POSITIVE_INFINITY }: Flow<T>,
): AsyncGenerator<R> {
  const running: { result: Promise<R>; weight: number }[] = [];
  let weight = 0;
  const hasRoom = (own: number) => running.length < concurrency && (running.length === 0 || weight + own <= maxWeight);
  const room = new Bell();
  const begun = new Bell();
  let stopped = false;
  let ended = false;
  let broken: { error: unknown } | undefined;
  const pump = async () => {
    try {
      for await (const item of source) {
        const own = weigh(item);
        while (!stopped && !hasRoom(own)) await room.rung();
        if (stopped) return;
        const result = task(item);
        result.catch(() => undefined); // thrown when its turn comes
        running.push({ result, weight: own });
        weight += own;
        begun.ring();
      }
    } catch (error) {
      broken = { error };
    }
    ended = true;
    begun.ring();
  };
  const pumping = pump();
  try {
    for (;;) {
      const [first] = running;
      if (first) {
        yield await first.result;
        running.shift();
        weight -= first.weight;
        room.ring();
      } else if (ended) break;
      else await begun.rung();
    }
    if (broken) throw broken.error;
  } finally {
    stopped = true;
    room.ring();
    await Promise.allSettled([pumping, ...running.map(({ result }) => result)]);
  }
}

/** Runs a task an item, several at once, in any order. The first error stops the taking of items and is thrown at the end. */
export async function forEachOf<T>(
  source: AsyncIterable<T>,
  concurrency: number,
  task: (item: T) => Promise<void>,
): Promise<void> {
  const running = new Set<Promise<void>>();
  let failed: { error: unknown } | undefined;
  try {
    for await (const item of source) {
      const one: Promise<void> = task(item)
        .catch((error) => {
          failed ??= { error };
        })
        .finally(() => running.delete(one));
      running.add(one);
      if (running.size >= concurrency) await Promise.race(running);
      if (failed) break;
    }
  } catch (error) {
    failed ??= { error };
  }
  await Promise.all(running);
  if (failed) throw failed.error;
}

/** Lets so many tasks through at once; the others wait their turn. */
export function gate(width: number): <T>(task: () => Promise<T>) => Promise<T> {
  let free = width;
  const waiting: (() => void)[] = [];
  return async (task) => {
    if (free > 0) free--;
    else await new Promise<void>((turn) => waiting.push(turn));
    try {
      return await task();
    } finally {
      const next = waiting.shift();
      if (next) next();
      else free++;
    }
  };
}

/**
 * Reads a source of batches before their items are asked for, until `most` of these wait.
 * @param seen told of each item when its batch is read
 */
export async function* ahead<T>(source: AsyncIterable<T[]>, most: number, seen: (item: T) => void): AsyncGenerator<T> {
  let read: T[] = [];
  /** Read and not given yet. */
  let waiting = 0;
  const given = new Bell();
  const come = new Bell();
  let stopped = false;
  let ended = false;
  let broken: { error: unknown } | undefined;
  const pump = async () => {
    try {
      for await (const batch of source) {
        if (stopped) return;
        for (const item of batch) {
          seen(item);
          read.push(item);
        }
        waiting += batch.length;
        come.ring();
        while (waiting >= most && !stopped) await given.rung();
      }
    } catch (error) {
      broken = { error };
    }
    ended = true;
    come.ring();
  };
  pump();
  try {
    while (!ended || read.length > 0) {
      if (read.length === 0) await come.rung();
      await quiet(() => read.length); // what is there already is seen before the first item goes
      const items = read;
      read = [];
      for (const item of items) {
        waiting--;
        given.ring();
        yield item;
      }
    }
    if (broken) throw broken.error;
  } finally {
    stopped = true;
    given.ring();
  }
}

/** Turns of the event loop that are waited for more: some milliseconds. */
const MOST_TURNS = 20;

/** Resolves when a number has not grown for two turns (a pipe is looked at in every other), or soon. */
async function quiet(count: () => number): Promise<void> {
  let seen = count();
  for (let turns = 0, still = 0; still < 2 && turns < MOST_TURNS; turns++) {
    await turn();
    still = count() === seen ? still + 1 : 0;
    seen = count();
  }
}
