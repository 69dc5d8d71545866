// Gzip of several members is inflated side by side, and nobody can tell.
import { createHash } from 'node:crypto';
import zlib from 'node:zlib';
import fc from 'fast-check';
import t from 'tap';
import { HEADER, memberOf, segment } from '../../src/edge/gzip.ts';
import { inflate } from '../../src/edge/inflate.ts';
import { Malformed } from '../../src/stream/errors.ts';

const NO_LIMIT = Number.POSITIVE_INFINITY;

/** Bytes that deflate does not make smaller. */
function noise(length: number, seed: number): Buffer {
  const pieces: Buffer[] = [];
  for (let n = 0; n * 64 < length; n++) pieces.push(createHash('sha512').update(`${seed}.${n}`).digest());
  return Buffer.concat(pieces).subarray(0, length);
}

async function* inPieces(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function outcome(source: AsyncIterable<Uint8Array>, max = NO_LIMIT) {
  const texts: Buffer[] = [];
  let error: unknown;
  try {
    for await (const text of inflate(source, max)) texts.push(text);
  } catch (thrown) {
    error = thrown;
  }
  return { text: Buffer.concat(texts), error };
}

/** A text and its member, made by us or by others, or with our header among its bytes. */
const member = fc
  .record({
    length: fc.oneof(fc.nat(2000), fc.integer({ min: 100_000, max: 500_000 })),
    seed: fc.nat(),
    kind: fc.constantFrom('ours', 'ours', 'ours', 'foreign', 'forged'),
  })
  .map(({ length, seed, kind }) => {
    const text = noise(length, seed);
    if (kind === 'forged') for (let at = 0; at + 10 < length; at += 70_000) HEADER.copy(text, at);
    // What is stored, and not deflated, shows the text as it is.
    const level = kind === 'forged' ? 0 : 1;
    return { text, bytes: kind === 'foreign' ? zlib.gzipSync(text) : memberOf(segment(text, level)) };
  });

const members = fc.array(member, { minLength: 1, maxLength: 6 });
const pieceSize = fc.constantFrom(1000, 65_536, 1_000_000);

t.test('whatever the members and the pieces, the text is theirs', async (t) => {
  await fc.assert(
    fc.asyncProperty(members, pieceSize, async (some, size) => {
      const { text, error } = await outcome(inPieces(Buffer.concat(some.map(({ bytes }) => bytes)), size));
      t.equal(error, undefined);
      t.ok(text.equals(Buffer.concat(some.map((one) => one.text))));
    }),
    { numRuns: 40 },
  );
});

t.test('of what is cut or changed, whole members come before the error', async (t) => {
  await fc.assert(
    fc.asyncProperty(members, pieceSize, fc.double({ min: 0, max: 1, noNaN: true }), async (some, size, where) => {
      const whole = Buffer.concat(some.map(({ bytes }) => bytes));
      const at = Math.min(whole.length - 1, Math.floor(where * whole.length));
      const ends = some.map((_, n) => some.slice(0, n + 1).reduce((sum, { bytes }) => sum + bytes.length, 0));
      const before = some.filter((_, n) => ends[n]! <= at).map((one) => one.text);
      const all = Buffer.concat(some.map((one) => one.text));
      const { text, error } = await outcome(inPieces(whole.subarray(0, at), size));
      t.ok(all.subarray(0, text.length).equals(text), 'nothing else than the text');
      t.ok(text.length >= before.reduce((sum, { length }) => sum + length, 0), 'all that is whole');
      if (at > 0 && !ends.includes(at)) t.ok(error instanceof Malformed, `${error}`);
    }),
    { numRuns: 40 },
  );
  const two = [1, 2].map((seed) => memberOf(segment(noise(300_000, seed), 1)));
  two[1]![200_000]! ^= 1;
  const { text, error } = await outcome(inPieces(Buffer.concat(two), 65_536));
  t.match(error, { message: /^broken gzip: / });
  t.ok(text.subarray(0, 300_000).equals(noise(300_000, 1)));
});

t.test('something else behind the last member is told', async (t) => {
  const one = memberOf(segment(noise(300_000, 1), 1));
  const { text, error } = await outcome(inPieces(Buffer.concat([one, one, Buffer.from('more')]), 65_536));
  t.ok(text.length >= 300_000);
  t.match(error, { message: /^broken gzip: / });
});

t.test('a bomb among members ends where the limit is', async (t) => {
  const bomb = memberOf(segment(Buffer.alloc(30_000_000), 6));
  const bytes = Buffer.concat([memberOf(segment(noise(300_000, 1), 1)), bomb, bomb]);
  const { text, error } = await outcome(inPieces(bytes, 65_536), 20_000_000);
  t.match(error, { message: 'inflates to more than 20000000 bytes (--max-inflated)' });
  t.ok(text.length > 300_000 && text.length <= 20_000_000);
  t.equal((await outcome(inPieces(bytes, 65_536))).text.length, 60_300_000);
});

t.test('a source that fails has given what came before', async (t) => {
  const bytes = Buffer.concat([1, 2, 3].map((seed) => memberOf(segment(noise(250_000, seed), 1))));
  async function* failing() {
    yield* inPieces(bytes.subarray(0, 600_000), 65_536);
    throw Object.assign(new Error('EIO: i/o error, read'), { code: 'EIO' });
  }
  const { text, error } = await outcome(failing());
  t.match(error, { code: 'EIO' });
  t.ok(text.length >= 500_000);
});

t.test('a reader that leaves lets the source go', async (t) => {
  let left = false;
  async function* source() {
    try {
      for (;;) yield memberOf(segment(noise(250_000, 1), 1));
    } finally {
      left = true;
    }
  }
  for await (const _ of inflate(source(), NO_LIMIT)) break;
  t.ok(left);
});
