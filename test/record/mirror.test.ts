import { createHash } from 'node:crypto';
import { isAbsolute, join, relative } from 'node:path';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import t from 'tap';
import {
  keyFault,
  type MirrorEntry,
  mirrorLine,
  objectOf,
  parseMirror,
  partName,
  partStem,
} from '../../src/record/mirror.ts';
import { crc32c, md5Of, PartsMd5, partSizes } from '../../src/record/objectsums.ts';

const MiB = 1024 * 1024;
const md5 = (bytes: Uint8Array) => createHash('md5').update(bytes).digest();

t.test('a key that has no fault stays in its folder', (t) => {
  const piece = fc.oneof(fc.constantFrom('..', '.', '', 'a', 'raw', '.hidden', '~', 'C:'), fc.string({ maxLength: 4 }));
  fc.assert(
    fc.property(fc.array(piece, { minLength: 1, maxLength: 6 }), (parts) => {
      const key = parts.join('/');
      if (keyFault(key) !== undefined) return;
      const way = relative('/mirror', join('/mirror', key));
      t.notOk(way.startsWith('..') || isAbsolute(way) || way === '', key);
      t.equal(way, key);
      t.notOk(
        key.split('/').some((part) => part.startsWith('.')),
        'and away from what is ours there',
      );
    }),
    { numRuns: 2000 },
  );
  t.equal(keyFault('raw/20210817/15/US/webconnectivity/2021081715_US_webconnectivity.n0.0.jsonl.gz'), undefined);
  t.equal(keyFault('2016-08-01/20160706T000046Z-GB-AS9105-http_requests-abc-0.1.0-probe.yaml.gz'), undefined);
  for (const key of [
    '',
    '/etc/passwd',
    'a//b',
    'a/../b',
    'a/',
    '.cannery-fetch/lock',
    'a\nb',
    'a b',
    'é',
    'a\0',
    'a\\b',
    `${'x'.repeat(256)}`,
    'a/'.repeat(600),
  ])
    t.type(keyFault(key), 'string', JSON.stringify(key.slice(0, 20)));
  t.end();
});

t.test('which object a row means', (t) => {
  const key = 'raw/20210817/15/US/tor/2021081715_US_tor.n0.0.jsonl.gz';
  t.same(objectOf({ file: `s3://bucket/deep/${key}`, s3path: key }), { store: 's3://bucket/deep', key });
  t.same(objectOf({ file: `https://host/bucket/${key}`, s3path: key }), { store: 'https://host/bucket', key });
  t.same(objectOf({ file: `/srv/store/${key}`, s3path: key }), { store: '/srv/store', key });
  t.same(objectOf({ file: `/${key}`, s3path: key }), { store: '/', key });
  t.same(objectOf({ file: key, s3path: key }), { store: '.', key });
  t.same(objectOf({ file: 's3://bucket/a/b.json' }), { store: 's3://bucket', key: 'a/b.json' });
  for (const row of [
    { file: 's3://bucket/a/b', s3path: 'b/c' },
    { file: 's3://bucket/a/../b', s3path: '../b' },
    { file: '/etc/passwd' },
    { file: 's3://bucket' },
    { file: 's3://bucket/x', s3path: '/x' },
    { file: 's3://bucketx', s3path: 'x' },
  ])
    t.throws(() => objectOf(row), JSON.stringify(row));
  t.end();
});

t.test('a manifest is read up to where it was cut, and the later line counts', (t) => {
  const entry = fc.record({
    s3path: fc.constantFrom('raw/a', 'raw/b', 'c'),
    store: fc.constantFrom('s3://one', 's3://two'),
    etag: fc.string(),
    bytes: fc.nat(),
    sha256: fc.stringMatching(/^[0-9a-f]{64}$/),
    checked: fc.constantFrom('md5' as const, 'size' as const),
    mtime: fc.nat(),
  });
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 8 }), fc.nat(), (entries, n) => {
      const bytes = Buffer.from(entries.map(mirrorLine).join(''));
      const cut = bytes.subarray(0, n % (bytes.length + 1));
      const { entries: found, whole, damaged } = parseMirror(cut);
      t.equal(damaged, 0);
      const lines = cut.toString().split('\n').length - 1;
      t.equal(whole, Buffer.byteLength(entries.slice(0, lines).map(mirrorLine).join('')));
      const wanted = new Map<string, MirrorEntry>();
      for (const one of entries.slice(0, lines)) wanted.set(one.s3path, one);
      t.same(found, wanted);
    }),
  );
  const forged = '{"s3path":"../x","store":"s","etag":"","bytes":1,"sha256":"","mtime":1}\nno JSON\nnull\n';
  t.match(parseMirror(Buffer.from(forged)), { entries: new Map(), damaged: 3 });
  t.end();
});

t.test('what has come of two states of an object has two names, that of one stem', (t) => {
  t.equal(partStem('s3://a', 'b'), partName('s3://a', 'b', 'x').slice(0, 33));
  t.not(partName('s3://a', 'b', 'x'), partName('s3://a', 'b', 'y'));
  t.not(partStem('s3://a', 'b'), partStem('s3://a', 'c'));
  t.end();
});

t.test('ETags', (t) => {
  const hex = '0123456789abcdef0123456789abcdef';
  t.same(md5Of(hex), { md5: hex });
  t.same(md5Of(`${hex}-3`), { md5: hex, parts: 3 });
  for (const etag of ['', 'x', `${hex}-`, `${hex}-0`, hex.toUpperCase(), '123-456-789'])
    t.equal(md5Of(etag), undefined);
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 40 }),
      fc.integer({ min: 1, max: 12 }),
      fc.integer({ min: 1, max: 9 }),
      (bytes, size, step) => {
        const parts: Uint8Array[] = [];
        for (let at = 0; at < bytes.length || parts.length === 0; at += size) parts.push(bytes.subarray(at, at + size));
        const sum = new PartsMd5(size);
        for (let at = 0; at < bytes.length; at += step) sum.update(bytes.subarray(at, at + step));
        t.equal(sum.end(), `${md5(Buffer.concat(parts.map(md5))).toString('hex')}-${parts.length}`);
      },
    ),
  );
  t.equal(partSizes(20_000_000, 3)[0], 8 * MiB, 'the public bucket');
  t.equal(partSizes(100 * MiB, 2)[0], 50 * MiB);
  t.ok(partSizes(17 * MiB, 2).includes(9 * MiB));
  fc.assert(
    fc.property(fc.nat(2e10), fc.integer({ min: 1, max: 10_000 }), (bytes, parts) => {
      for (const size of partSizes(bytes, parts)) t.equal(Math.max(1, Math.ceil(bytes / size)), parts);
    }),
  );
  t.end();
});

t.test('CRC-32C', (t) => {
  t.equal(crc32c(Buffer.from('123456789')), 0xe3069283);
  fc.assert(
    fc.property(fc.uint8Array(), fc.uint8Array(), (a, b) => {
      t.equal(crc32c(b, crc32c(a)), crc32c(Buffer.concat([a, b])), 'piece by piece');
      t.equal(crc32(b, crc32(a)), crc32(Buffer.concat([a, b])));
    }),
  );
  t.end();
});
