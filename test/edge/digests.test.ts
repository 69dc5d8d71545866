// Digests that a thread makes are those that are made here, whatever comes in which order.
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import t from 'tap';
import { Digest } from '../../src/edge/comparison.ts';
import { usualThreads } from '../../src/edge/crew.ts';
import { Digests } from '../../src/edge/digests.ts';
import { RingIn, RingOut, ringMemory } from '../../src/edge/ring.ts';
import { chance } from '../faults/place.ts';
import { noise } from '../faults/spools.ts';
import { folder } from '../lib.ts';

const SCRIPT = resolve('dist/digestworker.cjs');
/** More than is worth a thread. */
const MANY = 8 * 1024 * 1024;
const random = chance(5);
const source = Buffer.from(noise(random, 400_000), 'latin1');

const factsOf = (bytes: number, etag: string) => ({ bytes, etag, checksums: {}, plain: true });
const md5 = (bytes: Buffer) => createHash('md5').update(bytes).digest('hex');
const ALONE = usualThreads() > 1 ? false : 'one CPU: no thread is started';

t.test('many at a time, in pieces of any size, some of which nobody ends', async (t) => {
  const digests = new Digests(SCRIPT);
  await digests.begin(factsOf(MANY, ''));
  const stream = fc.record({
    pieces: fc.array(fc.oneof(fc.nat(100), fc.nat(200_000), fc.constant(65_536)), { maxLength: 12 }),
    tells: fc.constantFrom('md5', 'other', 'nothing'),
    ends: fc.boolean(),
  });
  const property = fc.asyncProperty(fc.array(stream, { minLength: 1, maxLength: 24 }), async (streams) => {
    const results = streams.map(async ({ pieces, tells, ends }, n) => {
      const parts = pieces.map((length, at) => source.subarray((n * 977 + at * 31) % 1000).subarray(0, length));
      const whole = Buffer.concat(parts);
      const etag = { md5: md5(whole), other: md5(source), nothing: '' }[tells];
      const facts = factsOf(whole.length, etag);
      const making = await digests.begin(facts);
      for (const part of parts) {
        const lent = Buffer.from(part);
        await making.update(lent);
        lent.fill(0); // it is the giver's again
      }
      if (!ends) return making.drop();
      const here = new Digest(facts);
      here.update(whole);
      const [is, should] = [await making.end(), here.end()];
      if (JSON.stringify(is) !== JSON.stringify(should)) throw new Error(`${JSON.stringify({ is, should })}`);
      if (is.agrees !== (tells !== 'other')) throw new Error(`${tells}: ${is.agrees}`);
      return undefined;
    });
    await Promise.all(results);
  });
  await t.resolves(fc.assert(property, { numRuns: 25 }));
  await digests.close();
});

t.test('whoever waits for a thread that ended is told', { skip: ALONE }, async (t) => {
  const script = `${folder(t)}/broken.cjs`;
  writeFileSync(script, `setTimeout(() => { throw new Error('out of order') }, 50)`);
  const digests = new Digests(script);
  const one = await digests.begin(factsOf(MANY, ''));
  const other = await digests.begin(factsOf(MANY, ''));
  const verdict = other.end();
  const filling = (async () => {
    for (let n = 0; n < 1000; n++) await one.update(source);
  })();
  const told = { message: 'the thread that makes digests: out of order' };
  await Promise.all([t.rejects(filling, told), t.rejects(verdict, told)]);
  await t.rejects(digests.begin(factsOf(1, '')), told, 'and whoever comes later');
  one.drop();
  await digests.close();
});

t.test('a thread that waits for more is ended', { skip: ALONE }, async () => {
  const digests = new Digests(SCRIPT);
  const making = await digests.begin(factsOf(MANY, ''));
  await making.update(source);
  await sleep(100);
  await digests.close();
});

t.test('a ring gives out what was put in, and takes no more than it holds', async (t) => {
  const memory = ringMemory();
  const [into, out] = [new RingIn(memory), new RingOut(memory)];
  let put = 0;
  let taken = 0;
  const piece = (n: number) => source.subarray(n % 991, (n % 991) + (n % 7) * 1000);
  for (let round = 0; round < 20; round++) {
    while (into.put(put, 'piece', piece(put)) !== undefined) put++;
    if (put - taken !== 64) t.equal(put - taken, 64);
    const told: number[] = [];
    for (const most = 30 + round; put - taken > 0 && told.length < most; ) {
      const { stream, word, bytes } = out.next();
      if (stream !== taken || word !== 'piece' || !bytes.equals(piece(stream))) t.fail(`${taken}: ${stream} ${word}`);
      taken++;
      told.push(out.taken() ? put - taken : -1);
    }
    const hasTold = told.filter((left) => left >= 0);
    t.same(hasTold, told.length < 32 ? [] : [32], `${told.length} taken: who waits is told once, when half is free`);
  }
  t.equal(into.put(1, 'piece', Buffer.alloc(70_000)), 65_536, 'of a large piece, a part');
  t.equal(into.put(1, 'end', Buffer.alloc(0)), 0);
});
