import zlib from 'node:zlib';
import fc from 'fast-check';
import t from 'tap';
import { crc32Combine } from '../../src/record/crc32.ts';

t.test('sums of parts make the sum of the whole', async (t) => {
  const part = fc.uint8Array({ maxLength: 300 });
  fc.assert(
    fc.property(part, part, part, (a, b, c) => {
      const first = crc32Combine(zlib.crc32(a), zlib.crc32(b), b.length);
      const whole = crc32Combine(first, zlib.crc32(c), c.length);
      return whole === zlib.crc32(Buffer.concat([a, b, c]));
    }),
  );
  for (const length of [2 ** 16, 2 ** 20 + 1, 40_000_003]) {
    const text = Buffer.alloc(length, 'abc');
    const [a, b] = [text.subarray(0, 1000), text.subarray(1000)];
    t.equal(crc32Combine(zlib.crc32(a), zlib.crc32(b), b.length), zlib.crc32(text), `${length} bytes`);
  }
});

t.test('a text longer than a file may be', async (t) => {
  // 2^40 zeros, by doubling.
  let [sum, length] = [zlib.crc32(Buffer.alloc(1)), 1];
  let apart = [sum, length] as const;
  for (let n = 0; n < 40; n++) [sum, length] = [crc32Combine(sum, sum, length), 2 * length];
  for (let n = 0; n < 20; n++) apart = [crc32Combine(apart[0], apart[0], apart[1]), 2 * apart[1]];
  const [block, size] = apart;
  let by = block;
  let done = size;
  for (; done < 2 ** 30; done += size) by = crc32Combine(by, block, size);
  for (; done < 2 ** 40; done *= 2) by = crc32Combine(by, by, done);
  t.equal(sum, by);
});
