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
  const start = (item: T, own: number) => {
    const result = task(item);
    result.catch(() => undefined); // thrown when its turn comes
    running.push({ result, weight: own });
    weight += own;
  };
  let broken: { error: unknown } | undefined;
  const items = orUntilBroken(source, (error) => (broken = { error }));
  let pulled: Promise<IteratorResult<T>> | undefined;
  let held: { item: T; own: number } | undefined;
  let ended = false;
  try {
    while (!ended || held || running.length > 0) {
      if (held && running.length < concurrency && (running.length === 0 || weight + held.own <= maxWeight)) {
        start(held.item, held.own);
        held = undefined;
      }
      if (!held && !ended) pulled ??= items.next();
      const [first] = running;
      // What comes first: an item, or the result whose turn it is.
      const next = await Promise.race([pulled, first?.result.then(() => undefined)].filter((one) => one !== undefined));
      if (next === undefined) {
        weight -= running.shift()!.weight;
        yield await first!.result;
      } else {
        pulled = undefined;
        if (next.done) ended = true;
        else held = { item: next.value, own: weigh(next.value) };
      }
    }
    if (broken) throw broken.error;
  } finally {
    await Promise.allSettled([pulled, ...running.map(({ result }) => result)]);
    await items.return(undefined);
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
  for await (const item of orUntilBroken(source, (error) => (failed ??= { error }))) {
    const one: Promise<void> = task(item)
      .catch((error) => {
        failed ??= { error };
      })
      .finally(() => running.delete(one));
    running.add(one);
    if (running.size >= concurrency) await Promise.race(running);
    if (failed) break;
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
 * Reads a source before its items are asked for, up to `most` of them.
 * @param seen told of each as it is read
 */
export async function* ahead<T>(source: AsyncIterable<T>, most: number, seen: (item: T) => void): AsyncGenerator<T> {
  const read: T[] = [];
  let ended = false;
  let broken: { error: unknown } | undefined;
  let wake = () => {};
  const change = () => new Promise<void>((done) => (wake = done));
  const pump = async () => {
    for await (const item of orUntilBroken(source, (error) => (broken = { error }))) {
      if (ended) return;
      seen(item);
      read.push(item);
      wake();
      while (read.length >= most && !ended) await change();
    }
    ended = true;
    wake();
  };
  const pumping = pump();
  try {
    for (;;) {
      while (read.length > 0) {
        const item = read.shift()!;
        wake();
        yield item;
      }
      if (ended) break;
      await change();
    }
    await pumping;
    if (broken) throw broken.error;
  } finally {
    ended = true;
    wake();
  }
}

/** The items of a source; where it fails, they end, and the error is told. */
async function* orUntilBroken<T>(
  source: AsyncIterable<T> | Iterable<T>,
  failed: (error: unknown) => void,
): AsyncGenerator<T> {
  try {
    yield* source;
  } catch (error) {
    failed(error);
  }
}
