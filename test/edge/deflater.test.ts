// Our deflate against readers of it: zlib, and our own inflater.
import { randomBytes } from 'node:crypto';
import zlib from 'node:zlib';
import fc from 'fast-check';
import t from 'tap';
import type { Strength } from '../../src/edge/deflater.ts';
import { inflateSegments, memberOf, segment } from '../../src/edge/gzip.ts';
import { TextRoom } from '../../src/edge/textroom.ts';
import { chance } from '../faults/place.ts';
import { text } from './texts.ts';

const STRENGTHS: Strength[] = ['dense', 'fast'];
const strength = fc.constantFrom(...STRENGTHS);
const MB = 1024 * 1024;

const deflated = (plain: Uint8Array, strength: Strength) => Buffer.from(segment(plain, strength).deflated);

/** What zlib makes of it, which must take all, and another segment behind it. */
function back(plain: Uint8Array, bytes: Buffer): boolean {
  const more = zlib.deflateRawSync(Buffer.from('and more'), { finishFlush: zlib.constants.Z_SYNC_FLUSH });
  const both = inflateSegments([bytes, more], plain.length + 8);
  return both.equals(Buffer.concat([plain, Buffer.from('and more')]));
}

/** No text takes more: a block that is stored has 5 bytes more than its text of 32 KB or more, and so has the end of a part. */
const bound = (length: number) => length + 5 * Math.ceil(length / 32_768) + 10 * Math.ceil(length / MB) + 5;

t.test('any text comes back, and is hardly larger than it was', (t) => {
  const room = new TextRoom(MB, MB);
  fc.assert(
    fc.property(text, strength, (plain, strength) => {
      const bytes = deflated(plain, strength);
      if (bytes.length > bound(plain.length)) throw new Error(`${bytes.length} bytes of ${plain.length}`);
      return back(plain, bytes) && room.inflate(memberOf(segment(plain, strength)))?.equals(plain) === true;
    }),
    { numRuns: 1500 },
  );
  t.end();
});

t.test('texts on end, from within one text', (t) => {
  const parts = fc.array(fc.tuple(text, fc.nat(200_000), fc.nat(70_000)), { minLength: 2, maxLength: 6 });
  fc.assert(
    fc.property(parts, strength, (parts, strength) => {
      // Repeats of what is near the end of the window, or just beyond.
      let plain: Buffer = Buffer.alloc(0);
      for (const [one, from, length] of parts)
        plain = Buffer.concat([plain, one, plain.subarray(from, from + length), plain.subarray(-length)]).subarray(
          0,
          MB,
        );
      return back(plain, deflated(plain, strength));
    }),
    { numRuns: 300 },
  );
  t.end();
});

t.test('every length around what is looked at by words, by windows and by parts', (t) => {
  const noise = randomBytes(2 * MB + 70_000);
  const page = Buffer.from(`<a href="http://example.com/">x</a>\n`.repeat(70_000)).subarray(0, noise.length);
  const mixed = Buffer.from(page.map((byte, at) => (at % 97 < 80 ? byte : noise[at]!)));
  const edges = [65_535, 65_536, 32_768, 32_769, 98_304, 100_000, 131_072, MB, 2 * MB];
  const lengths = [
    ...Array.from({ length: 300 }, (_, n) => n),
    ...edges.flatMap((edge) => [-17, -16, -15, -1, 0, 1, 15, 16, 17, 258, 259].map((more) => edge + more)),
  ];
  for (const strength of STRENGTHS)
    for (const whole of [noise, page, mixed]) {
      const wrong = lengths.filter((length) => {
        const plain = whole.subarray(0, length);
        const bytes = deflated(plain, strength);
        return !back(plain, bytes) || bytes.length > bound(length);
      });
      t.same(wrong, [], strength);
    }
  t.end();
});

t.test('the longest match at the longest distance, and one beyond', (t) => {
  for (const strength of STRENGTHS)
    for (const apart of [32_767, 32_768, 32_769, 65_535, 65_536, 65_537]) {
      const word = randomBytes(300);
      const plain = Buffer.concat([word, randomBytes(apart - word.length), word, randomBytes(100)]);
      const bytes = deflated(plain, strength);
      t.ok(back(plain, bytes));
      t.equal(bytes.length < plain.length - 200, apart <= 32_768, `${strength}, ${apart} apart`);
    }
  t.end();
});

t.test('words that want more than 15 bits', (t) => {
  // As often as Fibonacci's numbers tell, a tree is as deep as it has symbols.
  const counts = [1, 1];
  while (counts.length < 22) counts.push(counts.at(-1)! + counts.at(-2)!);
  const bytes = counts.flatMap((count, byte) => Array<number>(count).fill(byte + 65));
  const plain = Buffer.from(bytes);
  const random = chance(1);
  for (let at = plain.length - 1; at > 0; at--) {
    const other = Math.floor(random() * (at + 1));
    [plain[at], plain[other]] = [plain[other]!, plain[at]!];
  }
  const most = segment(plain, 1).deflated.length * 1.05;
  for (const strength of STRENGTHS) {
    const small = deflated(plain, strength);
    t.ok(back(plain, small));
    t.ok(small.length < most, `${small.length}, where zlib takes ${most / 1.05}`);
  }
  t.end();
});

t.test('what came before does not matter', (t) => {
  fc.assert(
    fc.property(text, text, strength, strength, (one, other, how, before) => {
      const first = deflated(one, how);
      deflated(other, before);
      return deflated(one, how).equals(first);
    }),
    { numRuns: 200 },
  );
  t.end();
});

t.test('as much is found as zlib finds, or nearly', (t) => {
  // A page: words by how common they are, in elements, as Go writes them into JSON.
  const random = chance(7);
  const letters = 'etaoinshrdlucmfwyp';
  const vocabulary = Array.from({ length: 3000 }, () =>
    Array.from({ length: 2 + Math.floor(random() * 8) }, () => letters[Math.floor(random() ** 2 * 18)]).join(''),
  );
  let page = '';
  while (page.length < 300_000) {
    const words = Array.from({ length: 12 }, () => vocabulary[Math.floor(random() ** 3 * 3000)]);
    page += `\\u003cdiv class=\\"c${Math.floor(random() * 40)}\\"\\u003e${words.join(' ')}\\u003c/div\\u003e\\n`;
  }
  const plain = Buffer.from(page);
  const zlibs = (level: number) => segment(plain, level).deflated.length;
  const dense = deflated(plain, 'dense').length;
  const fast = deflated(plain, 'fast').length;
  t.comment(`dense ${dense}, fast ${fast}, zlib ${[1, 2, 5, 6].map(zlibs)}`);
  t.ok(dense < zlibs(5) * 1.02, 'dense');
  t.ok(fast < zlibs(1) * 1.05, 'fast');
  t.end();
});
