// What a store tells of bytes, and whether bytes agree with it, however they come.
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import t from 'tap';
import { Comparison } from '../../src/edge/comparison.ts';
import { crc32c } from '../../src/record/objectsums.ts';

const MiB = 1024 * 1024;
const digest = (name: string, bytes: Uint8Array, form: 'hex' | 'base64') => createHash(name).update(bytes).digest(form);

function word(n: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(n);
  return bytes.toString('base64');
}

/** What a store may tell, of bytes that it has. */
const TELLS: Record<string, (bytes: Uint8Array) => { etag?: string; checksums?: Record<string, string> }> = {
  md5: (bytes) => ({ etag: digest('md5', bytes, 'hex') }),
  parts: (bytes) => ({ etag: `${createHash('md5').update(createHash('md5').update(bytes).digest()).digest('hex')}-1` }),
  sha256: (bytes) => ({ checksums: { sha256: digest('sha256', bytes, 'base64') } }),
  sha1: (bytes) => ({ checksums: { sha1: digest('sha1', bytes, 'base64') } }),
  crc32c: (bytes) => ({ checksums: { crc32c: word(crc32c(bytes)) } }),
  crc32: (bytes) => ({ checksums: { crc32: word(crc32(bytes)) } }),
};

const factsOf = (bytes: Uint8Array, told: { etag?: string; checksums?: Record<string, string> }, plain = true) => ({
  bytes: bytes.length,
  etag: 'opaque',
  checksums: {},
  plain,
  ...told,
});

function compare(facts: ConstructorParameters<typeof Comparison>[0], bytes: Uint8Array, step = 7, partSize?: number) {
  const comparison = new Comparison(facts, partSize);
  for (let at = 0; at < bytes.length; at += step) comparison.update(bytes.subarray(at, at + step));
  return { by: comparison.by, agrees: comparison.agrees() };
}

t.test('the same bytes agree, in any pieces, and others do not', (t) => {
  const bit = fc.tuple(fc.nat(), fc.nat(7));
  fc.assert(
    fc.property(
      fc.constantFrom(...Object.keys(TELLS)),
      fc.uint8Array({ minLength: 1, maxLength: 200 }),
      fc.integer({ min: 1, max: 64 }),
      bit,
      (by, bytes, step, [at, n]) => {
        const facts = factsOf(bytes, TELLS[by]!(bytes));
        t.same(compare(facts, bytes, step), { by, agrees: true });
        const other = bytes.slice();
        other[at % bytes.length]! ^= 1 << n;
        t.same(compare(facts, other, step), { by, agrees: false });
        t.same(compare(facts, bytes.subarray(1), step), { by, agrees: false });
      },
    ),
  );
  for (const [by, tells] of Object.entries(TELLS))
    t.same(
      compare(factsOf(new Uint8Array(), tells(new Uint8Array())), new Uint8Array()),
      { by, agrees: true },
      'no bytes',
    );
  t.end();
});

t.test('what is told of the whole comes first, and what is no digest of the bytes is passed over', (t) => {
  const bytes = Buffer.from('bytes');
  const { etag } = TELLS.md5!(bytes);
  const { checksums } = TELLS.crc32!(bytes);
  t.equal(compare(factsOf(bytes, { etag: etag!, checksums: checksums! }), bytes).by, 'crc32');
  t.equal(compare(factsOf(bytes, { etag: etag!, checksums: { crc32: 'AAAAAA==-2' } }), bytes).by, 'md5', 'of parts');
  t.same(compare(factsOf(bytes, { etag: etag! }, false), bytes), { by: 'size', agrees: true }, 'encrypted');
  t.same(compare(factsOf(bytes, {}), bytes), { by: 'size', agrees: true });
  t.end();
});

t.test('an ETag of parts, of the usual sizes and of one that is known', (t) => {
  const bytes = Buffer.alloc(3 * MiB, 'abc');
  const etagOf = (size: number) => {
    const sums: Buffer[] = [];
    for (let at = 0; at < bytes.length; at += size)
      sums.push(
        createHash('md5')
          .update(bytes.subarray(at, at + size))
          .digest(),
      );
    return `${digest('md5', Buffer.concat(sums), 'hex')}-${sums.length}`;
  };
  t.same(compare(factsOf(bytes, { etag: etagOf(2 * MiB) }), bytes, 65_536), { by: 'parts', agrees: true });
  const odd = factsOf(bytes, { etag: etagOf(1_234_567) });
  t.same(compare(odd, bytes, 65_536), { by: 'parts', agrees: false });
  t.same(compare(odd, bytes, 65_536, 1_234_567), { by: 'parts', agrees: true });
  t.end();
});
