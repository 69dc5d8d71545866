import fc from 'fast-check';
import t from 'tap';
import { isModernReportId, lineHash, sha256, trivialId, uidHash } from '../../src/record/identity.ts';
import {
  type CanName,
  canName,
  ccForPath,
  compactTest,
  dayForPath,
  hourFolder,
  isHostId,
  isMeasurementUid,
  JSONL_EXT,
  keyFolder,
  looksLikePost,
  POSTCAN_EXT,
  parseCanName,
  parseHourFolder,
  parseKey,
  parsePostName,
  parseUid,
  ROWS_EXT,
  testForPath,
  timeOf,
  uidOfMember,
} from '../../src/record/names.ts';

const moment = fc.date({ min: new Date('1970-01-01'), max: new Date('2199-12-31'), noInvalidDate: true });
const digits = (date: Date, count: number) =>
  date
    .toISOString()
    .replace(/[^0-9]/g, '')
    .slice(0, count);
const cc = fc.stringMatching(/^[A-Z]{2}$/);
const test = fc.stringMatching(/^[a-zA-Z0-9]{2,30}$/);
const host = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9-]{0,31}$/);
const hash = fc.stringMatching(/^[0-9a-f]{16}$/);
const uid = fc
  .tuple(moment, fc.stringMatching(/^[0-9]{6}$/), cc, test, hash)
  .map(([time, micros, cc, test, hash]) => `${digits(time, 14)}.${micros}_${cc}_${test}_${hash}`);
const can: fc.Arbitrary<CanName> = fc.oneof(
  fc.record({
    kind: fc.constant('hour' as const),
    hour: moment.map((time) => digits(time, 10)),
    cc,
    test,
    host,
    counter: fc.nat({ max: 999_999_999 }),
  }),
  fc.record({
    kind: fc.constant('day' as const),
    day: moment.map((time) => digits(time, 8)),
    cc,
    test,
    mark: fc.constant('x' as const),
    id: hash,
  }),
  fc.record({
    kind: fc.constant('day' as const),
    day: moment.map((time) => digits(time, 8)),
    cc,
    test,
    mark: fc.constant('l' as const),
    id: fc.nat({ max: 999_999_999 }).map(String),
  }),
);

/** Strings that a forger would try. */
const nasty = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc
    .array(
      fc.constantFrom(
        '..',
        '/',
        '\0',
        '\n',
        '\\',
        '.',
        '_',
        '-',
        'IT',
        'it',
        'ndt',
        '2024',
        '02',
        '30',
        ' ',
        'ß',
        'ﬁ',
        'K',
        '~',
        '%2f',
        'İ',
      ),
      { maxLength: 8 },
    )
    .map((parts) => parts.join('')),
);
/** Plain ASCII, for the name of a test. */
const show = (text: string | null | undefined) =>
  `${JSON.stringify(text)}`.replace(/[^ -~]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
const isSafe = (part: string) => /^[A-Za-z0-9]+$/.test(part);

t.test('what is built parses back', (t) => {
  fc.assert(
    fc.property(moment, cc, test, (time, cc, test) => {
      const group = { hour: digits(time, 10), cc, test };
      const back = parseHourFolder(hourFolder(group));
      return JSON.stringify(back) === JSON.stringify(group);
    }),
  );
  fc.assert(
    fc.property(uid, (text) => {
      const parsed = parseUid(text)!;
      const [time, cc, test, hash] = text.split('_');
      const iso = new Date(parsed.time).toISOString().replace(/[^0-9]/g, '');
      return (
        parsed.uid === text &&
        `${iso.slice(0, 14)}.${iso.slice(14)}` === time!.slice(0, -3) &&
        parsed.hour === time!.slice(0, 10) &&
        parsed.cc === cc &&
        parsed.test === test &&
        parsed.hash === hash &&
        isMeasurementUid(text) &&
        parsePostName(`${text}.post`)?.uid === text
      );
    }),
  );
  fc.assert(
    fc.property(can, (can) => {
      const name = canName(can);
      const back = parseCanName(name)!;
      return fc.stringify({ ...can }) === fc.stringify({ ...sorted(can, back) }) && canName(back) === name;
    }),
  );
  fc.assert(
    fc.property(can, fc.constantFrom(JSONL_EXT, POSTCAN_EXT, ROWS_EXT), (can, ext) => {
      const key = `${keyFolder(can)}/${canName(can)}${ext}`;
      const kind = ext === JSONL_EXT ? 'jsonl' : ext === POSTCAN_EXT ? 'postcan' : 'rows';
      const back = parseKey(key)!;
      return back.kind === kind && canName(back.can) === canName(can) && keyFolder(back.can) === keyFolder(can);
    }),
  );
  t.end();
});

/** Members of `b` in the order of `a`. */
function sorted(a: object, b: object): object {
  return Object.fromEntries(Object.keys(a).map((key) => [key, (b as Record<string, unknown>)[key]]));
}

t.test('times: only those of the calendar', (t) => {
  t.equal(timeOf('20240229'), Date.UTC(2024, 1, 29));
  t.equal(timeOf('2024022923'), Date.UTC(2024, 1, 29, 23));
  t.equal(timeOf('20240229235959'), Date.UTC(2024, 1, 29, 23, 59, 59));
  const impossible = [
    '20240230',
    '20230229',
    '21000229',
    '20240431',
    '20241301',
    '20240001',
    '20240100',
    '20240132',
    '2024010124',
    '20240101240000',
    '20240101006000',
    '20240101000060',
    '202401010000',
    '2024010',
    '',
    '2024-01-01',
    ' 20240101',
    '20240101\n',
    '２０２４０１０１',
    '+2024010',
    '2024010a',
  ];
  for (const text of impossible) t.equal(timeOf(text), undefined, show(text));
  fc.assert(fc.property(moment, (time) => timeOf(digits(time, 14)) === Math.floor(time.getTime() / 1000) * 1000));
  fc.assert(
    fc.property(fc.stringMatching(/^2[0-9]{3}[0-3][0-9][0-4][0-9][0-2][0-9]([0-6][0-9]){2}$/), (text) => {
      const time = timeOf(text);
      return time === undefined || digits(new Date(time), 14) === text;
    }),
  );
  t.end();
});

t.test('names that are none of ours', (t) => {
  const folders = [
    '2024020110_IT_ndt/',
    '../2024020110_IT_ndt',
    '2024020110_IT_n/dt',
    '2024020110_IT_..',
    '2024020110_IT_nd\0t',
    '2024020110_IT_ndt\n',
    '\n2024020110_IT_ndt',
    '2024020110_it_ndt',
    '2024020110_It_ndt',
    '2024020110_ITA_ndt',
    '2024020110_IT_web_connectivity',
    '2024023010_IT_ndt',
    '2024020124_IT_ndt',
    '20240201_IT_ndt',
    '202402011000_IT_ndt',
    '2024020110-IT-ndt',
    '2024020110_IT_n',
    `2024020110_IT_${'n'.repeat(31)}`,
    '2024020110_IT_',
    '2024020110_IT_ndt.tmp',
    '2024020110_ІТ_ndt', // Cyrillic
    '',
  ];
  for (const name of folders) t.equal(parseHourFolder(name), undefined, show(name));

  const good = '20210208220710.181572_MA_ndt_7888edc7748936bf';
  t.match(parseUid(good), { hour: '2021020822', cc: 'MA', test: 'ndt', hash: '7888edc7748936bf' });
  t.equal(parseUid(good)!.time, Date.UTC(2021, 1, 8, 22, 7, 10, 181));
  const uids = [
    good.toUpperCase(),
    good.replace('MA', 'ma'),
    good.replace('0208', '0230'),
    good.replace('22', '24'),
    good.replace('.181572', ''),
    good.replace('181572', '18157'),
    good.replace('ndt', 'n/dt'),
    good.replace('ndt', '../ndt'),
    `${good}\n`,
    `${good}\0`,
    `../${good}`,
    `${good}0`,
    good.slice(0, -1),
    good.replace('7888', '788g'),
    '',
  ];
  for (const name of uids) {
    t.equal(parseUid(name), undefined, show(name));
    t.equal(parsePostName(`${name}.post`), undefined);
    t.notOk(isMeasurementUid(name));
  }
  t.equal(parsePostName(`${good}.post.tmp`), undefined);
  t.equal(parsePostName(good), undefined);
  t.ok(looksLikePost('anything.post') && looksLikePost('.post'));
  t.notOk(looksLikePost(`${good}.post.tmp`));

  const cans = [
    '2021081715_US_webconnectivity.n0.00',
    '2021081715_US_webconnectivity.n0.01',
    '2021081715_US_webconnectivity.n0.-1',
    '2021081715_US_webconnectivity.n0.1e3',
    '2021081715_US_webconnectivity.n0.1234567890',
    '2021081715_US_webconnectivity.n/0.0',
    '2021081715_US_webconnectivity...0',
    '2021081715_US_webconnectivity.-n.0',
    '2021081715_US_webconnectivity.n0',
    '2021081715_US_webconnectivity.n0.0.',
    '2021081715_US_webconnectivity.n0.0\n',
    '2021081724_US_webconnectivity.n0.0',
    '20210817_US_webconnectivity.n0.0',
    '20210817_US_webconnectivity.x.0',
    '20210817_US_webconnectivity.x.0123456789ABCDEF',
    '20210817_US_webconnectivity.l.01',
    '20210230_US_webconnectivity.l.0',
    '20210817_us_webconnectivity.l.0',
    '2021081715_US_webconnectivity.l.0123456789abcdef',
    '',
  ];
  for (const name of cans) t.equal(parseCanName(name), undefined, show(name));

  const keys = [
    '2021081715_US_webconnectivity.n0.0.jsonl.gz',
    '/raw/20210817/15/US/webconnectivity/2021081715_US_webconnectivity.n0.0.jsonl.gz',
    'raw/20210817/16/US/webconnectivity/2021081715_US_webconnectivity.n0.0.jsonl.gz',
    'raw/20210817/15/IT/webconnectivity/2021081715_US_webconnectivity.n0.0.jsonl.gz',
    'raw/20210817/15/US/ndt/2021081715_US_webconnectivity.n0.0.jsonl.gz',
    'x/raw/20210817/15/US/webconnectivity/2021081715_US_webconnectivity.n0.0.jsonl.gz',
    'raw/20210817/15/US/webconnectivity/../webconnectivity/2021081715_US_webconnectivity.n0.0.jsonl.gz',
    'raw/20210817/15/US/webconnectivity/2021081715_US_webconnectivity.n0.0.jsonl',
    'raw/20210817/15/US/webconnectivity/2021081715_US_webconnectivity.n0.0.tar',
    'raw/20210817/15/US/webconnectivity/2021081715_US_webconnectivity.n0.0.rows.rows.jsonl.gz',
    'jsonl/webconnectivity/IT/20200921/00/2020092100_IT_webconnectivity.n0.0.jsonl.gz',
    '',
    '/',
  ];
  for (const key of keys) t.equal(parseKey(key), undefined, key);

  t.ok(isHostId('n0') && isHostId('a'.repeat(32)) && isHostId('collector-7'));
  for (const id of ['', '-n', 'n.0', 'n_0', 'n/0', '../n', 'n0\n', 'a'.repeat(33), 'é'])
    t.notOk(isHostId(id), show(id));
  t.end();
});

t.test('keys of the public bucket', (t) => {
  const examples: [key: string, kind: string][] = [
    ['jsonl/webconnectivity/IT/20200921/00/20200921_IT_webconnectivity.l.0.jsonl.gz', 'jsonl'],
    ['jsonl/webconnectivity/IT/20200921/00/20200921_IT_webconnectivity.x.0123456789abcdef.jsonl.gz', 'jsonl'],
    ['raw/20210817/15/US/webconnectivity/2021081715_US_webconnectivity.n0.0.jsonl.gz', 'jsonl'],
    ['raw/20210817/11/GB/webconnectivity/2021081711_GB_webconnectivity.n0.0.tar.gz', 'postcan'],
    ['raw/20210817/15/US/webconnectivity/2021081715_US_webconnectivity.n0.12.rows.jsonl.gz', 'rows'],
  ];
  for (const [key, kind] of examples) {
    const parsed = parseKey(key)!;
    t.equal(parsed.kind, kind, key);
    const ext = { jsonl: JSONL_EXT, postcan: POSTCAN_EXT, rows: ROWS_EXT }[parsed.kind];
    t.equal(`${keyFolder(parsed.can)}/${canName(parsed.can)}${ext}`, key);
  }
  t.end();
});

t.test('uid of a postcan member', (t) => {
  const uid = '20210208220710.181572_MA_ndt_7888edc7748936bf';
  const trivial = '012019010111cf473cc4d6583f3018a2165434da';
  const cases: [path: string, uid: string | null][] = [
    [`2021020822_MA_ndt/${uid}.post`, uid],
    [`var/lib/ooniapi/measurements/incoming/2021020822_MA_ndt/${uid}.post`, uid],
    [`${uid}.post`, uid],
    [`20210208_MA_ndt/${trivial}.post`, trivial],
    [`20210208_MA_ndt/${trivial}~2.post`, trivial],
    [`20210208_MA_ndt/${uid}~10.post`, uid],
    ['20210208_MA_ndt/line00000012.post', null],
    [`20210208_MA_ndt/${uid}~.post`, null],
    [`20210208_MA_ndt/${uid}~2~3.post`, null],
    [`20210208_MA_ndt/${uid}.json`, null],
    [`20210208_MA_ndt/${uid}`, null],
    [`20210208_MA_ndt/${uid}.post/`, null],
    ['.post', null],
    ['', null],
  ];
  for (const [path, expected] of cases) t.equal(uidOfMember(path), expected, path);
  t.end();
});

t.test('parts of a path from what a document says', (t) => {
  t.equal(compactTest('web_connectivity'), 'webconnectivity');
  t.equal(compactTest('http_header_field_manipulation'), 'httpheaderfieldmanipulation');
  t.equal(compactTest('ndt'), 'ndt');

  t.equal(testForPath('Web_Connectivity'), 'webconnectivity');
  t.equal(testForPath('tls-handshake'), 'tlshandshake');
  t.equal(testForPath('DNS Spoof'), 'dnsspoof');
  for (const bad of [undefined, '', 'x', '../../etc', 'a/b', 'a\0b', 'n'.repeat(31), 'tést'])
    t.equal(testForPath(bad), 'invalid', show(bad));

  t.equal(ccForPath('IT'), 'IT');
  t.equal(ccForPath('it'), 'IT');
  for (const bad of [undefined, '', 'I', 'ITA', '1T', '..', 'I\n', 'ß', 'ﬁ', 'Iı', ' IT'])
    t.equal(ccForPath(bad), 'ZZ', show(bad));

  t.equal(dayForPath('2024-02-29'), '20240229');
  t.equal(dayForPath('2024-02-29 12:00:00'), '20240229');
  t.equal(dayForPath('2024-02-29T12:00:00Z'), '20240229');
  for (const bad of [
    null,
    undefined,
    '',
    '2024-02-30',
    '2023-02-29',
    '2024-2-1',
    '2024-02-291',
    '24-02-01',
    '2024-02-01\n',
    '../02-01',
    '2024-13-01',
  ])
    t.equal(dayForPath(bad), undefined, show(bad));

  fc.assert(
    fc.property(nasty, (text) => {
      const day = dayForPath(text);
      return (
        /^[a-z0-9]{2,30}$/.test(testForPath(text)) &&
        /^[A-Z]{2}$/.test(ccForPath(text)) &&
        (day === undefined || (/^[0-9]{8}$/.test(day) && timeOf(day) !== undefined))
      );
    }),
    { numRuns: 2000 },
  );
  // Whatever parses is made of safe parts.
  fc.assert(
    fc.property(
      fc.oneof(
        nasty,
        fc.tuple(uid, nasty).map(([a, b]) => a + b),
        fc.tuple(can, nasty, fc.nat({ max: 40 })).map(([c, n, at]) => {
          const name = canName(c);
          return name.slice(0, at) + n + name.slice(at);
        }),
      ),
      (text) => {
        const found = [parseHourFolder(text), parseUid(text), parseCanName(text)].filter((x) => x !== undefined);
        return found.every((parts) => isSafe(parts.cc) && isSafe(parts.test) && !/[/\\\0\n]|\.\./.test(text));
      },
    ),
    { numRuns: 3000 },
  );
  t.end();
});

t.test('identity: the known vectors', (t) => {
  const empty = Buffer.from('{"format":"json","content":{}}');
  const signal = Buffer.from(
    '{"format":"json","content":{"test_name":"signal","probe_cc":"JO","probe_asn":"AS8376","report_id":"20210614T004519Z_signal_JO_8376_n1_abcdefghijklmnop","input":null}}',
  );
  t.equal(empty.length, 30);
  t.equal(uidHash(empty), '596df6d1596ae275');
  t.equal(signal.length, 166);
  t.equal(uidHash(signal), '434115f8c060846e');
  t.equal(trivialId(Buffer.from('{"a":1}'), '20190101'), '012019010111cf473cc4d6583f3018a2165434da');
  t.equal(trivialId(Buffer.from('{"a":1}'), undefined), '010000000011cf473cc4d6583f3018a2165434da');
  t.ok(isMeasurementUid('012019010111cf473cc4d6583f3018a2165434da'));
  t.ok(isModernReportId('20210614T004519Z_signal_JO_8376_n1_abcdefghijklmnop'));
  t.notOk(isModernReportId(`20150629T142714Z_AS201227_${'x'.repeat(50)}`));
  t.notOk(isModernReportId(''));
  // of the empty text, as everyone knows it
  t.equal(sha256(Buffer.alloc(0)), 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
  t.equal(lineHash(Buffer.alloc(0)), 'e3b0c44298fc1c14');
  t.end();
});
