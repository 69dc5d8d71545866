import fc from 'fast-check';
import t from 'tap';
import { linesInPlace, streamReader } from '../../src/stream/inplace.ts';
import { type Line, type LineLimits, type LongLine, linesAtOnce, readAll, splitLines } from '../../src/stream/lines.ts';
import { ahead, forEachOf, orderedMap } from '../../src/stream/ordered.ts';

// --- lines

type Seen = { number: number; text: string; ended: boolean; long?: true };

type Splitter = (source: AsyncIterable<Uint8Array>, limits: LineLimits) => AsyncGenerator<Line>;

/** Bytes of lines are read no sooner than when they are about to be written over. */
async function* inPlace(source: AsyncIterable<Uint8Array>, limits: LineLimits): AsyncGenerator<Line> {
  let held: Line[] = [];
  const settle = async () => {
    for (const line of held) line.bytes = Buffer.from(line.bytes);
    held = [];
  };
  for await (const line of linesInPlace(streamReader(source), { ...limits, release: settle, room: 4 })) {
    held.push(line);
    yield line;
  }
  await settle();
}

/** What a splitter makes of chunks; lines over the limit as they come out of their pieces. */
async function split(source: AsyncIterable<Uint8Array>, maxLine: number, splitter: Splitter): Promise<Seen[]> {
  const seen: Seen[] = [];
  let open = 0;
  const onLong = (number: number): LongLine => {
    open++;
    const one: Seen = { number, text: '', ended: false, long: true };
    seen.push(one);
    return {
      write: (piece) => {
        one.text += piece.toString('latin1');
      },
      end: () => {
        one.ended = true;
        open--;
      },
    };
  };
  const lines: [Seen, Line][] = [];
  for await (const line of splitter(source, { maxLine, onLong })) {
    if (open > 0) throw new Error('a line came while a long one was open');
    const { number, ended } = line;
    lines.push([{ number, text: '', ended }, line]);
    seen.push(lines.at(-1)![0]);
    if (splitter === splitLines) line.bytes = Buffer.from(line.bytes);
  }
  for (const [one, { bytes }] of lines) one.text = bytes.toString('latin1');
  if (open !== 0) throw new Error('a long line was not ended');
  return seen;
}

/** The same, as anyone would write it who has all the bytes. */
function naively(text: string, maxLine: number): Seen[] {
  const lines = text.split('\n');
  const last = lines.pop()!;
  const seen = lines.map((line, i): Seen => ({ number: i + 1, text: line, ended: true }));
  if (last !== '') seen.push({ number: lines.length + 1, text: last, ended: false });
  return seen.map((one) => (one.text.length > maxLine ? { ...one, ended: true, long: true } : one));
}

/** Chunks as a source gives them that uses one buffer for all. */
async function* inOneBuffer(chunks: string[]): AsyncGenerator<Uint8Array> {
  const buffer = Buffer.alloc(Math.max(1, ...chunks.map((chunk) => chunk.length)));
  for (const chunk of chunks) {
    buffer.fill(0x58);
    yield buffer.subarray(0, buffer.write(chunk, 'latin1'));
  }
}

t.test('linesAtOnce: the lines of splitLines, those of a chunk together', async (t) => {
  const long: number[] = [];
  const onLong = (number: number) => {
    long.push(number);
    return { write() {}, end() {} };
  };
  const together: Seen[][] = [];
  const chunks = ['a\nb', 'b\n\ntoo long for this', '\nc\nd\n', 'e'];
  for await (const lines of linesAtOnce(inOneBuffer(chunks), { maxLine: 10, onLong }))
    together.push(lines.map(({ number, bytes, ended }) => ({ number, text: bytes.toString(), ended })));
  const [first, second, , , fifth, sixth, last] = naively(chunks.join(''), 100);
  t.same(together, [[first], [second, { number: 3, text: '', ended: true }], [fifth, sixth], [], [last]]);
  t.same(long, [4]);
});

for (const splitter of [splitLines, inPlace]) {
  t.test(`${splitter.name}: lines are those of a naive split, however the bytes come`, async (t) => {
    const byte = fc.constantFrom('\n', '\n', '\r', 'a', 'b', '\0', '\x85', '\xe2\x80\xa8', '\xff', '\x0b');
    const chunk = fc.array(byte, { maxLength: 12 }).map((bytes) => bytes.join(''));
    await fc.assert(
      fc.asyncProperty(fc.array(chunk, { maxLength: 8 }), fc.integer({ min: 1, max: 12 }), async (chunks, maxLine) => {
        const seen = await split(inOneBuffer(chunks), maxLine, splitter);
        return JSON.stringify(seen) === JSON.stringify(naively(chunks.join(''), maxLine));
      }),
      { numRuns: 1500 },
    );
    t.same(await split(inOneBuffer(['a\rb\r\n', '\r', '\n']), 10, splitter), [
      { number: 1, text: 'a\rb\r', ended: true },
      { number: 2, text: '\r', ended: true },
    ]);
    t.same(await split(inOneBuffer([]), 10, splitter), []);
    t.same(await split(inOneBuffer(['\n']), 10, splitter), [{ number: 1, text: '', ended: true }]);
    const plain = (async function* () {
      yield new Uint8Array([0x61, 0x0a]); // no Buffer
    })();
    t.same(await split(plain, 10, splitter), [{ number: 1, text: 'a', ended: true }]);
  });

  t.test(`${splitter.name}: a line over the limit goes on in pieces, none much larger than the limit`, async (t) => {
    const pieces: number[] = [];
    const source = (async function* () {
      for (let i = 0; i < 100; i++) yield Buffer.alloc(1000, 'x');
      yield Buffer.from('\nnext\n');
    })();
    const lines: Line[] = [];
    const onLong = () => ({ write: (piece: Buffer) => void pieces.push(piece.length), end() {} });
    for await (const line of splitter(source, { maxLine: 2500, onLong })) lines.push(line);
    t.equal(
      pieces.reduce((a, b) => a + b),
      100_000,
    );
    t.ok(Math.max(...pieces) <= (splitter === splitLines ? 2500 : 5000));
    t.equal(lines.length, 1);
    t.match(lines[0], { number: 2, ended: true });
    t.equal(lines[0]!.bytes.toString(), 'next');
  });

  t.test(
    `${splitter.name}: when the source fails, its complete lines came before, and a long one is ended`,
    async (t) => {
      const broken = async function* (...chunks: string[]) {
        for (const chunk of chunks) yield Buffer.from(chunk);
        throw new Error('the disk');
      };
      const seen: string[] = [];
      const long: string[] = [];
      const limits = {
        maxLine: 5,
        onLong: () => ({
          write: (piece: Buffer) => void long.push(piece.toString()),
          end: () => void long.push('END'),
        }),
      };
      const run = async (...chunks: string[]) => {
        for await (const line of splitter(broken(...chunks), limits)) seen.push(line.bytes.toString());
      };
      await t.rejects(run('a\nb\nc'), { message: 'the disk' });
      t.same(seen, ['a', 'b'], 'and the half one did not');
      await t.rejects(run('d\n', 'too long ', 'for us'), { message: 'the disk' });
      t.same(seen, ['a', 'b', 'd']);
      t.equal(long.join(''), 'too long for usEND');
    },
  );
}

t.test('the source is let go when the reader stops early', async (t) => {
  let ended = false;
  const source = (async function* () {
    try {
      for (;;) yield Buffer.from('a\nb\n');
    } finally {
      ended = true;
    }
  })();
  for await (const line of splitLines(source, { maxLine: 10, onLong: () => ({ write() {}, end() {} }) })) {
    if (line.number === 3) break;
  }
  t.ok(ended);
});

t.test('readAll: everything, up to a limit', async (t) => {
  t.equal((await readAll(inOneBuffer(['ab', 'c', 'def']), 6)).toString(), 'abcdef', 'copied out of the source');
  await t.rejects(readAll(inOneBuffer(['ab', 'c', 'def']), 5), { message: /limit of 5 bytes \(--max-line\)/ });
  t.equal((await readAll(inOneBuffer([]), 5)).length, 0);
});

// --- several tasks under way

const later = (ms: number) => new Promise((done) => setTimeout(done, ms));

t.test('orderedMap keeps the order and its bounds', async (t) => {
  const item = fc.record({ weight: fc.integer({ min: 0, max: 10 }), turns: fc.integer({ min: 0, max: 4 }) });
  await fc.assert(
    fc.asyncProperty(
      fc.array(item, { maxLength: 20 }),
      fc.integer({ min: 1, max: 5 }),
      fc.integer({ min: 1, max: 12 }),
      async (items, concurrency, maxWeight) => {
        let running = 0;
        let started = 0;
        let given = 0;
        let weight = 0;
        let kept = true;
        const task = async ({ weight: own, turns }: (typeof items)[number]) => {
          const number = started++;
          running++;
          weight += own;
          // A heavy one runs alone; results that wait for their turn count too.
          kept &&= started - given <= concurrency && (weight <= maxWeight || running === 1);
          for (let i = 0; i < turns; i++) await new Promise((done) => setImmediate(done));
          running--;
          weight -= own;
          return number;
        };
        const numbers: number[] = [];
        for await (const n of orderedMap(items, task, { concurrency, maxWeight, weigh: (one) => one.weight })) {
          given++;
          numbers.push(n);
        }
        return kept && JSON.stringify(numbers) === JSON.stringify(items.map((_, i) => i));
      },
    ),
    { numRuns: 200 },
  );
  let most = 0;
  let now = 0;
  const task = async (n: number) => {
    most = Math.max(most, ++now);
    await later(5);
    now--;
    return n;
  };
  const got: number[] = [];
  for await (const n of orderedMap([1, 2, 3, 4, 5, 6], task, { concurrency: 3 })) got.push(n);
  t.same(got, [1, 2, 3, 4, 5, 6]);
  t.equal(most, 3, 'they do run at the same time');
});

t.test('orderedMap: the first error ends it, after the results before', async (t) => {
  const got: number[] = [];
  let settled = 0;
  const task = async (n: number) => {
    await later(n === 3 ? 1 : 20); // it fails first, and is told third
    settled++;
    if (n === 3) throw new Error('three');
    if (n === 4) throw new Error('four');
    return n;
  };
  const run = async () => {
    for await (const n of orderedMap([1, 2, 3, 4, 5], task, { concurrency: 4 })) got.push(n);
  };
  await t.rejects(run(), { message: 'three' });
  t.same(got, [1, 2]);
  t.equal(settled, 5, 'what was under way had come to its end');

  const broken = async function* () {
    yield 1;
    yield 2;
    throw new Error('the source');
  };
  got.length = 0;
  const other = async () => {
    for await (const n of orderedMap(broken(), async (n) => n * 10, { concurrency: 4 })) got.push(n);
  };
  await t.rejects(other(), { message: 'the source' });
  t.same(got, [10, 20], 'what had been taken from a source that fails is given');
});

t.test('orderedMap stops its source and its tasks with its reader', async (t) => {
  let ended = false;
  let under = 0;
  const source = (async function* () {
    try {
      for (let n = 0; ; n++) yield n;
    } finally {
      ended = true;
    }
  })();
  const task = async (n: number) => {
    under++;
    await later(2);
    under--;
    return n;
  };
  for await (const n of orderedMap(source, task, { concurrency: 3 })) if (n === 5) break;
  t.ok(ended);
  t.equal(under, 0);
});

t.test('orderedMap: what weighs or begins a task may fail as well', async (t) => {
  const failing = () => {
    throw new Error('no');
  };
  const drain = async (flow: AsyncGenerator<unknown>) => {
    for await (const _ of flow) t.fail();
  };
  await t.rejects(drain(orderedMap([1], failing, { concurrency: 2 })), { message: 'no' });
  await t.rejects(drain(orderedMap([1], async (n) => n, { concurrency: 2, weigh: failing })), { message: 'no' });
});

t.test('ahead: what is there is seen before the first item is given, and no more than is wanted', async (t) => {
  let read = 0;
  let ended = false;
  const source = async function* () {
    try {
      for (;;) {
        yield [read++, read++];
        await later(0);
      }
    } finally {
      ended = true;
    }
  };
  const seen: number[] = [];
  let given = 0;
  for await (const n of ahead(source(), 7, (one) => seen.push(one))) {
    t.equal(n, given++);
    t.ok(seen.includes(n));
    await later(n % 3);
    t.ok(seen.length - given < 7 + 2, `${seen.length} were seen when ${given} had been given`);
    if (n === 40) break;
  }
  await later(20);
  t.ok(ended);
  t.same(
    seen,
    Array.from({ length: seen.length }, (_, n) => n),
  );

  const batches = async function* () {
    for (let n = 0; n < 100; n++) yield [n];
  };
  let most = 0;
  for await (const n of ahead(batches(), 1000, () => most++)) if (n === 0) t.equal(most, 100);
});

t.test('ahead: what came before its source failed is given', async (t) => {
  const source = async function* () {
    yield [1, 2];
    yield [];
    yield [3];
    throw new Error('the source');
  };
  const given: number[] = [];
  const run = async (seen: (n: number) => void) => {
    for await (const n of ahead(source(), 10, seen)) given.push(n);
  };
  await t.rejects(
    run(() => undefined),
    { message: 'the source' },
  );
  t.same(given, [1, 2, 3]);
  const strange = (n: number) => {
    if (n === 2) throw new Error('two');
  };
  await t.rejects(run(strange), { message: 'two' });
});

t.test('forEachOf: several at once, and the first error at the end', async (t) => {
  let most = 0;
  let now = 0;
  const done: number[] = [];
  const numbers = async function* (count: number) {
    for (let n = 1; n <= count; n++) yield n;
  };
  await forEachOf(numbers(20), 4, async (n) => {
    most = Math.max(most, ++now);
    await later(n % 3);
    now--;
    done.push(n);
  });
  t.equal(most, 4);
  t.same(
    done.sort((a, b) => a - b),
    Array.from({ length: 20 }, (_, i) => i + 1),
  );

  let started = 0;
  let finished = 0;
  const failing = forEachOf(numbers(1000), 3, async (n) => {
    started++;
    await later(n === 2 ? 1 : 10);
    finished++;
    if (n >= 2) throw new Error(`task ${n}`);
  });
  await t.rejects(failing, { message: 'task 2' });
  t.ok(started < 10, 'no more are begun');
  t.equal(finished, started, 'those under way come to their end');

  finished = 0;
  const broken = async function* () {
    yield 1;
    throw new Error('the source');
  };
  const cut = forEachOf(broken(), 3, async () => {
    await later(10);
    finished++;
  });
  await t.rejects(cut, { message: 'the source' });
  t.equal(finished, 1, 'also when the source fails');
});
