// The fast inflater against zlib: the same text, or none; and documents are read where it puts them.
import { deepStrictEqual } from 'node:assert';
import zlib from 'node:zlib';
import fc from 'fast-check';
import t from 'tap';
import { HEADER, type Inflated, memberOf, type Segment, Sum, segment } from '../../src/edge/gzip.ts';
import { TextRoom } from '../../src/edge/textroom.ts';
import { readExactly, readJson } from '../../src/record/json.ts';
import { text } from './texts.ts';

const MOST = 400_000;
const room = new TextRoom(2 * MOST, MOST);

const how = fc.record({
  level: fc.integer({ min: 0, max: 9 }),
  strategy: fc.integer({ min: 0, max: 4 }),
  memLevel: fc.integer({ min: 1, max: 9 }),
  windowBits: fc.integer({ min: 9, max: 15 }),
});

/** A member with our header around what was deflated in any way. */
function member(plain: Buffer, deflated: Buffer): Buffer {
  const end = Buffer.alloc(8);
  end.writeUInt32LE(zlib.crc32(plain));
  end.writeUInt32LE(plain.length, 4);
  return Buffer.concat([HEADER, deflated, end]);
}

t.test('what zlib deflates, in every way that it has', (t) => {
  fc.assert(
    fc.property(text, how, (plain, options) => {
      const bytes = member(plain, zlib.deflateRawSync(plain, options));
      const got = room.inflate(bytes);
      if (!got?.equals(plain)) throw new Error(`${JSON.stringify(options)}: ${got?.length} of ${plain.length}`);
      for (const cut of [bytes.length - 1, bytes.length - 9, bytes.length >> 1, 5])
        if (room.inflate(bytes.subarray(0, cut))) throw new Error(`taken, though cut at ${cut}`);
    }),
    { numRuns: 400 },
  );
  t.end();
});

/** Segments on end. */
function joined(segments: Segment[]): Segment {
  const sum = new Sum();
  for (const one of segments) sum.add(one);
  return { deflated: Buffer.concat(segments.map(({ deflated }) => deflated)), ...sum };
}

t.test('members on end, of segments as they are packed', (t) => {
  fc.assert(
    fc.property(fc.array(fc.array(text, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 3 }), (members) => {
      const plain = Buffer.concat(members.flat());
      const bytes = Buffer.concat(members.map((texts) => memberOf(joined(texts.map((one) => segment(one, 6))))));
      const got = room.inflate(bytes);
      if (plain.length > MOST) return got === undefined || got.equals(plain);
      return got?.equals(plain) === true;
    }),
    { numRuns: 100 },
  );
  t.end();
});

t.test('a part of a text, inflated no further than it takes', (t) => {
  let parts = 0;
  fc.assert(
    fc.property(text, how, fc.nat(100_000), fc.boolean(), (plain, options, wanted, isThere) => {
      const bytes = member(plain, zlib.deflateRawSync(plain, options));
      let seen = 0;
      const found = room.find(bytes, (some) => {
        if (some.length < seen || !some.equals(plain.subarray(0, some.length))) throw new Error('another text');
        seen = some.length;
        return isThere && some.length >= wanted ? Buffer.from(some) : undefined;
      });
      if (isThere && wanted <= plain.length) {
        if (found?.length !== seen) throw new Error(`${found?.length} bytes, ${wanted} wanted`);
        // A block that is stored comes whole.
        if (seen > wanted + 24 * 1024 + 65_536) throw new Error(`${seen} bytes, ${wanted} wanted`);
        if (seen < plain.length) parts++;
      } else if (found !== undefined || seen !== plain.length) throw new Error('not all was looked at');
      // What it left behind does not matter.
      if (!room.inflate(bytes)?.equals(plain)) throw new Error('broken by it');
    }),
    { numRuns: 400 },
  );
  t.ok(parts > 20, `${parts} were not inflated to their end`);
  t.end();
});

t.test('broken ones: what zlib refuses is refused, and what it takes is the same text', (t) => {
  let taken = 0;
  let refused = 0;
  fc.assert(
    fc.property(
      text,
      how,
      fc.array(fc.tuple(fc.nat(), fc.nat(7)), { minLength: 1, maxLength: 3 }),
      (plain, options, flips) => {
        const deflated = zlib.deflateRawSync(plain, options);
        for (const [at, bit] of flips) deflated[at % deflated.length]! ^= 1 << bit;
        let known: Inflated | undefined;
        try {
          known = zlib.inflateRawSync(deflated, { info: true, maxOutputLength: MOST }) as unknown as Inflated;
        } catch {
          // It is none.
        }
        // With the CRC of what zlib makes of it, only the inflater itself can refuse it.
        const whole = known?.engine.bytesWritten === deflated.length;
        const broken = member(known?.buffer ?? plain, deflated);
        const read = room.find(broken, (some) => (some.length > MOST + 1024 ? some : undefined));
        if (read) throw new Error('more text than there is room for');
        const got = room.inflate(broken);
        if (got && !(whole && got.equals(known!.buffer))) throw new Error('taken, and zlib does not');
        if (!got && whole) throw new Error('refused, and zlib takes it');
        if (got) taken++;
        else refused++;
      },
    ),
    { numRuns: 1500 },
  );
  t.comment(`${taken} taken, ${refused} refused`);
  t.ok(taken > 50 && refused > 50);
  t.end();
});

t.test('not ours, with another sum, or too long', (t) => {
  const plain = Buffer.from('a text that is to be inflated\n'.repeat(100));
  const good = memberOf(segment(plain, 6));
  t.ok(room.inflate(good)?.equals(plain));
  t.equal(room.inflate(Buffer.alloc(0))?.length, 0);
  t.equal(room.inflate(zlib.gzipSync(plain)), undefined, 'a header of others');
  for (let at = 0; at < good.length; at++) {
    if (at < HEADER.length || at >= good.length - 8) {
      const other = Buffer.from(good);
      other[at]! ^= 1;
      t.equal(room.inflate(other), undefined, `byte ${at}`);
    }
  }
  t.equal(room.inflate(Buffer.concat([good, Buffer.from('x')])), undefined, 'and more');
  t.equal(room.inflate(memberOf(segment(Buffer.alloc(MOST + 1), 6))), undefined, 'a bomb');
  t.equal(room.inflate(Buffer.alloc(2 * MOST + 1)), undefined, 'too many bytes');
  t.end();
});

t.test('documents are read where they stand, and nothing around them changes', (t) => {
  const document = fc.oneof(
    fc.json({ maxDepth: 4 }),
    fc.json({ maxDepth: 4 }).map((json) => json.slice(0, -1)),
    fc.string(),
  );
  fc.assert(
    fc.property(fc.array(document, { minLength: 1, maxLength: 12 }), (documents) => {
      // The fast reader takes texts from 64 bytes on.
      const lines = documents.map((one) => `${one.replaceAll('\n', ' ')}${' '.repeat(64)}`);
      const plain = Buffer.from(`${lines.join('\n')}\n`);
      const got = room.inflate(memberOf(segment(plain, 1)))!;
      const of = (read: typeof readJson, bytes: Buffer) => {
        try {
          return read(bytes, { keep: 3 });
        } catch (error) {
          return (error as Error).message;
        }
      };
      let at = 0;
      for (const line of lines) {
        const bytes = Buffer.from(line);
        const there = got.subarray(at, at + bytes.length);
        deepStrictEqual(of(readJson, there), of(readExactly as typeof readJson, bytes));
        at += bytes.length + 1;
      }
      if (!got.equals(plain)) throw new Error('the text was changed');
    }),
    { numRuns: 300 },
  );
  t.end();
});
