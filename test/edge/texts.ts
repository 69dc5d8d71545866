// Texts that deflating and inflating are tried with.
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { chance } from '../faults/place.ts';

/** Bytes as deflate may meet them: none alike, all alike, few kinds, repeats near and far, rare ones among common ones. */
export const text = fc
  .record({
    kind: fc.constantFrom('noise', 'one', 'few', 'near', 'far', 'skewed', 'json'),
    length: fc.oneof(fc.nat(300), fc.nat(100_000)),
    period: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 33_000 })),
    seed: fc.nat(),
  })
  .map(({ kind, length, period, seed }) => {
    const next = chance(seed);
    const random = (n: number) => Math.floor(next() * n);
    if (kind === 'noise') return randomBytes(length);
    const bytes = Buffer.alloc(length, 97 + random(26));
    if (kind === 'one') return bytes;
    if (kind === 'json') {
      const row = () =>
        `{"url":"http://h${random(99)}.example/","n":${random(1e6)},"body":"\\u003cp\\u003e\\n${'x'.repeat(random(60))}"}\n`;
      return Buffer.from(Array.from({ length: Math.ceil(length / 90) }, row).join('')).subarray(0, 400_000);
    }
    const from = kind === 'near' ? 1 + random(40) : period;
    for (let i = 0; i < length; i++) {
      if (kind === 'few') bytes[i] = 97 + random(3) * random(2);
      else if (kind === 'skewed') bytes[i] = Math.floor((random(1000) / 1000) ** 6 * 256);
      else bytes[i] = i >= from && random(50) > 0 ? bytes[i - from]! : random(256);
    }
    return bytes;
  });
