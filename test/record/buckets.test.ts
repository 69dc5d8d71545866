import { createHash } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import {
  bucketFingerprint,
  isBucketName,
  isPartName,
  type ManifestEntry,
  manifestCopyName,
  manifestLine,
  nameFault,
  parseManifest,
  partName,
} from '../../src/record/buckets.ts';

const entry = (name: string, more: Partial<ManifestEntry> = {}): ManifestEntry => ({
  ...{ name, size: 8, sha256: 'ab'.repeat(32), from: '/reports/x', at: '2024-02-01T00:00:00.000Z' },
  ...more,
});

t.test('bucket names are days of the calendar', (t) => {
  for (const name of ['2016-08-01', '2024-02-29', '9999-12-31']) t.ok(isBucketName(name), name);
  for (const name of [
    ...['', '2016-8-1', '20160801', '2023-02-29', '2016-00-01', '2016-13-01', '2016-08-00', '2016-08-32'],
    ...['2016-08-01 ', ' 2016-08-01', '2016-08-01T', '2016-08-01/', '2016-08-01x', '٢٠١٦-٠٨-٠١', '..'],
  ])
    t.notOk(isBucketName(name), JSON.stringify(name));
  t.end();
});

t.test('names that a report can have in a bucket', (t) => {
  const good = ['a', 'a b', '\'"$`!', '-rf', '#', 'a..b', '€'.repeat(85), 'x'.repeat(255), 'π.json', '\u0080', '😀'];
  for (const name of good) t.equal(nameFault(name), undefined, JSON.stringify(name));
  const bad: [string, RegExp][] = [
    ['', /no file name/],
    ['a/b', /no file name/],
    ['.', /hidden/],
    ['..', /hidden/],
    ['.manifest.jsonl', /hidden/],
    ['a\nb', /control/],
    ['a\u0000', /control/],
    ['\u007f', /control/],
    ['\ufffd.json', /UTF-8/],
    ['\ud800.json', /UTF-8/],
    ['x'.repeat(256), /255/],
    [`${'€'.repeat(85)}x`, /255/],
  ];
  for (const [name, fault] of bad) t.match(nameFault(name), fault, JSON.stringify(name).slice(0, 40));
  t.end();
});

t.test('a copy in the making has a hidden name of its own, as long as a name may be', (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 255 }), (name) => {
      fc.pre(nameFault(name) === undefined);
      const part = partName(name);
      return isPartName(part) && Buffer.byteLength(part) <= 255 && nameFault(part) !== undefined && !part.includes('/');
    }),
  );
  t.not(partName('x'.repeat(255)), partName(`${'x'.repeat(254)}y`));
  t.equal(partName('a.json'), '.a.json.part');
  t.notOk(isPartName('a.part'), 'a report may be called so');
  t.end();
});

const names = fc
  .string({ unit: 'grapheme', minLength: 1, maxLength: 40 })
  .filter((name) => nameFault(name) === undefined);
const entries = fc.array(
  fc.record({
    name: names,
    size: fc.nat(),
    sha256: fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes).toString('hex')),
    from: fc.string(),
    at: fc.string(),
  }),
);

t.test('a manifest that is written is read', (t) => {
  fc.assert(
    fc.property(entries, (list) => {
      const bytes = Buffer.from(list.map(manifestLine).join(''));
      const found = parseManifest(bytes);
      t.same(found.damaged, []);
      t.same([found.whole, found.unended], [bytes.length, false]);
      t.same(found.entries, new Map(list.map((one) => [one.name, one])), 'the last of a name counts');
    }),
  );
  t.end();
});

t.test('a manifest that is cut anywhere keeps its whole lines', (t) => {
  const list = ['a', 'é b', 'c"\\'].map((name) => entry(name));
  const lines = list.map((one) => Buffer.from(manifestLine(one)));
  const whole = Buffer.concat(lines);
  const ends = lines.map((_, i) => Buffer.concat(lines.slice(0, i + 1)).length);
  for (let cut = 0; cut <= whole.length; cut++) {
    const { entries, damaged, whole: kept, unended } = parseManifest(whole.subarray(0, cut));
    const lines = ends.filter((end) => end <= cut).length;
    const open = ends.includes(cut + 1);
    if (entries.size !== lines + (open ? 1 : 0) || damaged.length > 0) t.fail(`cut at ${cut}`);
    if (kept !== (ends[lines - 1] ?? 0) || unended !== open) t.fail(`cut at ${cut}: ${kept}`);
  }
  // A file system that lost the data of a file that had grown already gives zeros.
  for (const rubbish of ['\0\n\0', '{"na\nme', '\n\n'])
    t.match(parseManifest(Buffer.concat([whole, Buffer.from(rubbish)])), { damaged: [], whole: whole.length }, rubbish);
  const zeros = parseManifest(Buffer.concat([whole, Buffer.alloc(100)]));
  t.same([zeros.entries.size, zeros.whole, zeros.unended, zeros.damaged], [3, whole.length, false, []]);
  t.end();
});

t.test('whatever stands in a manifest, nothing but an entry comes of it', (t) => {
  const line = fc.oneof(fc.string(), fc.json(), fc.constant('{"name":"a","size":1}'), fc.constant('[]'));
  fc.assert(
    fc.property(fc.array(line), (lines) => {
      const text = lines.map((one) => `${one.replaceAll('\n', '')}\n`).join('');
      const last = parseManifest(Buffer.from(text));
      const { entries, damaged } = parseManifest(Buffer.from(text + manifestLine(entry('last'))));
      return last.entries.size === 0 && entries.size === 1 && damaged.length === lines.length;
    }),
  );
  for (const wrong of [
    ...[{ name: '../a' }, { name: '.a' }, { name: 'a\nb' }, { name: 7 }, { size: -1 }, { size: 0.5 }, { size: '8' }],
    ...[{ size: 2 ** 60 }, { sha256: 'AB'.repeat(32) }, { sha256: 'ab' }, { from: null }, { at: undefined }],
  ]) {
    const text = `${JSON.stringify({ ...entry('a'), ...wrong })}\n${manifestLine(entry('b'))}`;
    const { entries, damaged } = parseManifest(Buffer.from(text));
    t.same([[...entries.keys()], damaged], [['b'], [1]], JSON.stringify(wrong));
  }
  t.end();
});

t.test('the fingerprint goes by names and sizes, in the order of bytes', (t) => {
  const sum = (text: string) => createHash('sha256').update(text).digest('hex');
  t.equal(bucketFingerprint([]), sum(''));
  const list = [
    { name: 'b', size: 1 },
    { name: 'a b', size: 2 },
    { name: 'a', size: 30 },
    { name: 'Z', size: 4 },
    { name: '\uff5e', size: 5 },
    { name: '😀', size: 6 }, // by UTF-16 it would come before the line above
  ];
  const sorted = 'Z 4\na 30\na b 2\nb 1\n\uff5e 5\n😀 6\n';
  t.equal(bucketFingerprint(list), sum(sorted));
  fc.assert(
    fc.property(
      fc.shuffledSubarray(list, { minLength: list.length }),
      (other) => bucketFingerprint(other) === sum(sorted),
    ),
  );
  t.not(bucketFingerprint(list.slice(1)), sum(sorted));
  t.end();
});

t.test('a copy of a manifest is named by its bytes', (t) => {
  t.equal(manifestCopyName('0123456789abcdef'.repeat(4)), '.manifest.0123456789abcdef.jsonl');
  t.end();
});
