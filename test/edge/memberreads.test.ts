// Members of a can that lie near each other come with one request, and each is given as it is.
import fc from 'fast-check';
import t from 'tap';
import { memberOf, segment } from '../../src/edge/gzip.ts';
import { MemberReads } from '../../src/edge/memberreads.ts';
import type { Store } from '../../src/edge/store.ts';
import { Malformed } from '../../src/stream/errors.ts';
import { chance } from '../faults/place.ts';
import { noise } from '../faults/spools.ts';

const MAX_LINE = 10_000_000;
const CAN = { can: 1, s3path: 'raw/a.jsonl.gz' };

/** A can of members with so much text each, and a store that has it, and tells what was read. */
function canOf(sizes: number[]) {
  const texts = sizes.map((size, n) => Buffer.from(`${n}${noise(chance(n), size)}\n`));
  const members = texts.map((text) => memberOf(segment(text, 1)));
  let offset = 0;
  const places = members.map(({ length }, first_line) => {
    const place = { first_line, offset, length };
    offset += length;
    return place;
  });
  const bytes = Buffer.concat(members);
  const reads: [offset: number, length: number][] = [];
  const store = {
    async read(_: string, from: number, length: number) {
      reads.push([from, length]);
      if (from + length > bytes.length) throw new Malformed(`ends at byte ${bytes.length}`);
      return bytes.subarray(from, from + length);
    },
  } as unknown as Store;
  return { texts, places, bytes, reads, store };
}

const sizes = fc.array(fc.oneof(fc.nat(3000), fc.nat(200_000)), { minLength: 1, maxLength: 20 });

t.test('whatever is asked for, in whatever order, it is the text of that member', async (t) => {
  await fc.assert(
    fc.asyncProperty(sizes, fc.array(fc.tuple(fc.nat(), fc.boolean())), async (some, asked) => {
      const { texts, places, reads, store } = canOf(some);
      const members = new MemberReads(MAX_LINE);
      const wanted = asked.map(([n, expected]) => ({ n: n % some.length, expected }));
      for (const { n, expected } of wanted) if (expected) members.want(CAN.can, places[n]!);
      const given = await Promise.all(wanted.map(({ n }) => members.read(store, CAN, places[n]!, Buffer.from)));
      for (const [i, { n }] of wanted.entries()) if (!given[i]!.equals(texts[n]!)) throw new Error(`member ${n}`);
      if (reads.length > wanted.length) throw new Error(`${reads.length} requests for ${wanted.length} lines`);
    }),
    { numRuns: 60 },
  );
  t.pass();
});

t.test('what is known to be right is taken before the rest is inflated, and of what is not all is', async (t) => {
  const { texts, places, store } = canOf([90_000, 200, 90_000, 60_000, 90_000]);
  const members = new MemberReads(MAX_LINE);
  for (let round = 0; round < 3; round++)
    for (const [n, place] of places.entries()) {
      members.want(CAN.can, place);
      const whole = texts[n]!;
      const first = (text: Buffer) => (text.length > 100 ? Buffer.from(text.subarray(0, 100)) : undefined);
      const part = await members.read(store, CAN, place, Buffer.from, first);
      t.ok(part.equals(whole) || part.equals(whole.subarray(0, 100)));
      if (round > 0) t.equal(part.length, 100);
      const all = await members.read(store, CAN, place, Buffer.from, () => undefined);
      t.ok(all.equals(whole), 'nothing is right of a part');
    }
});

t.test('a thousand lines of a can take few requests', async (t) => {
  const { places, bytes, reads, store } = canOf(Array.from({ length: 1000 }, () => 5000));
  const members = new MemberReads(MAX_LINE);
  for (const place of places) members.want(CAN.can, place);
  for (const place of places.toReversed()) await members.read(store, CAN, place, Buffer.from);
  t.ok(reads.length <= Math.ceil(bytes.length / 1024 / 1024) + 1, `${reads.length} requests for ${bytes.length} bytes`);
});

t.test('lines that are far from each other are read by themselves', async (t) => {
  const { places, reads, store } = canOf(Array.from({ length: 30 }, () => 50_000));
  const members = new MemberReads(MAX_LINE);
  const [first, last] = [places[0]!, places[29]!];
  for (const place of [first, last]) members.want(CAN.can, place);
  for (const place of [first, last]) await members.read(store, CAN, place, Buffer.from);
  t.same(reads, [
    [first.offset, first.length],
    [last.offset, last.length],
  ]);
});

t.test('a can that is cut short still gives what it has', async (t) => {
  const { texts, places, bytes, store } = canOf([3000, 3000, 3000]);
  const cut = {
    async read(key: string, from: number, length: number) {
      if (from + length > bytes.length - 10) throw new Malformed('ends before');
      return store.read(key, from, length);
    },
  } as unknown as Store;
  const members = new MemberReads(MAX_LINE);
  for (const place of places) members.want(CAN.can, place);
  const given = await Promise.allSettled(places.map((place) => members.read(cut, CAN, place, Buffer.from)));
  t.same(
    given.map((one) => (one.status === 'fulfilled' ? `${one.value}` : `${(one.reason as Error).message}`)),
    [`${texts[0]}`, `${texts[1]}`, 'ends before'],
  );
});

t.test('a member that is none is told, by its place', async (t) => {
  const { texts, places, bytes, store } = canOf([3000, 3000]);
  bytes[places[1]!.offset]! ^= 1;
  const members = new MemberReads(MAX_LINE);
  const told = { message: `raw/a.jsonl.gz: no gzip member at byte ${places[1]!.offset} (Z_DATA_ERROR)` };
  await t.rejects(members.read(store, CAN, places[1]!, Buffer.from), told);
  // After a few another part inflates.
  for (let n = 0; n < 6; n++) t.ok((await members.read(store, CAN, places[0]!, Buffer.from)).equals(texts[0]!));
  await t.rejects(members.read(store, CAN, places[1]!, Buffer.from), told);
  t.ok((await members.read(store, CAN, places[0]!, Buffer.from)).equals(texts[0]!));
});
