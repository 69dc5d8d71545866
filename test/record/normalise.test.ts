// Every rule by examples: what a probe sent, and what comes of it. Documents are as `cat` writes them: of YAML the id
// comes first, bytes that are no text are base64 dicts, and sets are sorted lists.
import t from 'tap';
import { readJson } from '../../src/record/json.ts';
import { normalise, SCHEMA } from '../../src/record/normalise.ts';
import { RULES, type RuleName, type RuleOptions } from '../../src/record/rules/run.ts';

type Origin = Parameters<typeof normalise>[1];
const NOWHERE: Origin = { bucket_date: null, report_filename: null };
const BUCKET: Origin = { bucket_date: '2016-08-01', report_filename: '2016-08-01/report.json' };

/** Rules that any example fired. */
const fired = new Set<RuleName>();

// biome-ignore lint/suspicious/noExplicitAny: documents have any shape
type Json = any;

interface Done {
  text: string;
  doc: Json;
  keys: Json;
  rules: RuleName[];
}

function run(document: object | string, options: RuleOptions = {}, from = NOWHERE): Done {
  const bytes = Buffer.from(typeof document === 'string' ? document : JSON.stringify(document));
  const { document: pieces, rules } = normalise(bytes, from, options);
  for (const rule of rules) fired.add(rule);
  const text = Buffer.concat(pieces).toString();
  const doc = JSON.parse(text);
  return { text, doc, keys: doc.test_keys, rules };
}

/** An old record of a test. */
const old = (test_name: string, members: object, options: RuleOptions = {}) =>
  run({ test_name, start_time: 1383307200, ...members }, options);

/** The same, as YAML reports come. */
const fromYaml = (test_name: string, members: object, options: RuleOptions = {}) =>
  run({ id: 'from-yaml', test_name, start_time: 1383307200, ...members }, options);

const base64 = (bytes: string | Buffer) => ({
  format: 'base64',
  data: Buffer.from(bytes as string).toString('base64'),
});

/** A record of today that has every member. */
const MODERN = {
  ...Object.fromEntries(SCHEMA.map((key) => [key, null])),
  ...{ id: 'x', report_id: '20240201T105840Z_ndt_IT_64496_n1_abc', data_format_version: '0.2.0', test_name: 'ndt' },
  ...{ test_start_time: '2024-02-01 10:58:40', test_keys: {} },
};

// --- what every record has

t.test('a record without anything', (t) => {
  const { doc, rules } = run('{"a":1}', {}, BUCKET);
  t.strictSame(doc, {
    ...Object.fromEntries(SCHEMA.map((key) => [key, null])),
    id: '9f89c740-ceb4-6d74-18c9-24a78ac57941', // of the SHA-1 of {"a":1}
    report_id: '19700101T000000Z_KWnRnnxAmNrJfoqrTxAKhVDgGkiuSYfGDSecYaayqhcqlfOXCX',
    test_name: 'invalid',
    ...BUCKET,
    test_start_time: '1970-01-01 00:00:00',
    measurement_start_time: '1970-01-01 00:00:00',
    data_format_version: '0.2.0',
    test_keys: { a: 1 },
  });
  t.strictSame(rules, [
    ...['report_id.made', 'test_name.canonical', 'origin', 'id.made', 'times.utc', 'format.raised', 'test_keys.moved'],
    ...['schema.filled', 'times.odd'],
  ]);
  t.end();
});

t.test('no record goes without a member of the schema', (t) => {
  for (const document of [{}, { data_format_version: '0.2.0' }, { data_format_version: '0.2.0', test_keys: [] }])
    t.strictSame(
      SCHEMA.filter((key) => !Object.hasOwn(run(document).doc, key)),
      [],
      JSON.stringify(document),
    );
  t.equal(SCHEMA.length, 22);
  t.end();
});

t.test('a document of today keeps its bytes', (t) => {
  const keys =
    '{ "n" : 1.0, "big":1152921504606846976, "far":1e400,\t"s":"\\u003c\\ud800\\u0000", "requests":[ null ] }';
  const text = `{ "test_keys" : ${keys} , "data_format_version":"0.5.0","annotations":{"a":1.50} ,"test_name":"web_connectivity" }`;
  const { text: out, rules } = run(text, {}, BUCKET);
  t.ok(out.startsWith(text.slice(0, -2)), 'all that was there stands there');
  t.match(out, /"web_connectivity","report_id":"19700101T[^"]*","bucket_date":"2016-08-01","report_filename":/);
  t.ok(out.endsWith(' }'), 'with the white space before its end');
  t.strictSame(rules, ['report_id.made', 'origin', 'id.made', 'schema.filled']);

  const whole = JSON.stringify(MODERN);
  t.equal(run(whole).text, whole, 'no rule, no change');
  t.strictSame(run(whole).rules, []);
  t.end();
});

t.test('which formats are new', (t) => {
  const isNew = (version: Json) => run({ data_format_version: version, extra: 1 }).keys?.extra === undefined;
  const news = ['0.2.0', '0.3.0', '0.3.4', '0.4.0', '0.5.0', '0.10.0', '1.0.0', '0.2', 0.2, 1, '12'];
  for (const version of news) {
    // Without test_keys its members move there; with them nothing does.
    const document = { data_format_version: version, test_keys: { a: 1 }, extra: 1 };
    t.strictSame(run(document).keys, { a: 1 }, `${version} is new`);
    t.equal(run(document).doc.data_format_version, version);
  }
  for (const version of ['0.1.0', '0.1', '0.0.20', 0.1, 0, '', 'v0.2.0', 'x', null, true, [], {}]) {
    t.notOk(isNew(version), `${JSON.stringify(version)} is old`);
    t.equal(run({ data_format_version: version }).doc.data_format_version, '0.2.0');
  }
  t.end();
});

t.test('a new record without test_keys has them at its top', (t) => {
  const document = { data_format_version: '0.2.0', test_keys: null, annotations: { a: 1 }, n: 1 };
  t.strictSame(run(document).keys, { annotations: { a: 1 }, n: 1 });
  t.strictSame(run({ data_format_version: '0.2.0', n: 1 }).keys, { n: 1 });
  t.equal(run({ data_format_version: '0.2.0', test_keys: null }).keys, null, 'where there is nothing, nothing moves');
  for (const keys of [{}, [], 'text', 0, false])
    t.strictSame(run({ data_format_version: '0.2.0', test_keys: keys, n: 1 }).keys, keys, JSON.stringify(keys));
  t.end();
});

t.test('the ids of reports that have none', (t) => {
  const cases: [record: object, id: string][] = [
    [{}, '19700101T000000Z_KWnRnnxAmNrJfoqrTxAKhVDgGkiuSYfGDSecYaayqhcqlfOXCX'],
    [
      { probe_cc: 'UK', test_name: 'web_connectivity' },
      '19700101T000000Z_LLWQMcPHNefGtRNzxcgKlXlSjKmRuyyKLycBDGwNiNEbMztVzb',
    ],
    [
      {
        ...{ probe_cc: 'IT', probe_asn: 'AS3269', test_name: 'bridge_reachability', software_version: '1.0.2' },
        start_time: 1407420650.56,
      },
      '20140807T141050Z_bUQJSedkFNsmcPJTzPncLIdfXEdlDIvkPnKvtoWTdpJjIgOHsM',
    ],
    [
      {
        ...{ probe_cc: 'IT', probe_asn: 'AS30722', test_name: 'http_requests', software_version: '0.0.10' },
        start_time: 1383307200,
      },
      '20131101T120000Z_HvgPpMdttKegMFDvnixHqeaGzsAJAJJCcRbakXuHswiAUCBAap',
    ],
    [
      { probe_city: base64(Buffer.from('Reykjav\xedk', 'latin1')) },
      '19700101T000000Z_qEueYycHnShysWDofStGFzVLUiMUHkfxYAplsahqVzVmEKbIJY',
    ],
    [
      { probe_cc: null, probe_asn: null, test_name: null, software_version: null, probe_city: null },
      '19700101T000000Z_KWnRnnxAmNrJfoqrTxAKhVDgGkiuSYfGDSecYaayqhcqlfOXCX',
    ],
  ];
  for (const [record, id] of cases) {
    for (const known of [{}, { report_id: null }, { report_id: '' }])
      t.equal(run({ ...record, ...known }).doc.report_id, id, JSON.stringify(record));
  }
  t.equal(run({ report_id: 'mine' }).doc.report_id, 'mine', 'one that it has stays');
  t.equal(
    run({ test_name: 'HTTP Host' }).doc.report_id === run({ test_name: 'http_host' }).doc.report_id,
    false,
    'it is made of the name as the probe wrote it',
  );
  t.equal(
    run({ probe_asn: 3269 }).doc.report_id,
    run({ probe_asn: '3269' }).doc.report_id,
    'anything else goes by its text',
  );
  t.end();
});

t.test('ids', (t) => {
  t.equal(run('{"a":1}').doc.id, '9f89c740-ceb4-6d74-18c9-24a78ac57941');
  t.equal(run('{"id":"mine","a":1}').doc.id, 'mine');
  for (const id of ['""', 'null'])
    t.match(run(`{"a":1,"id":${id}}`).doc.id, /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  t.not(run('{"a": 1}').doc.id, run('{"a":1}').doc.id, 'of the bytes, not of what they say');
  t.end();
});

t.test('where a record came from is told by its row', (t) => {
  const own = { bucket_date: '2012-12-12', report_filename: '2012-12-12/mine.yaml' };
  const origin = (document: object, from: Origin) => {
    const { bucket_date, report_filename } = run(document, {}, from).doc;
    return { bucket_date, report_filename };
  };
  t.strictSame(origin({}, BUCKET), BUCKET);
  t.strictSame(origin(own, BUCKET), BUCKET, 'whatever the document says');
  t.strictSame(origin({ ...MODERN, ...own }, BUCKET), BUCKET);
  t.strictSame(origin({}, NOWHERE), NOWHERE);
  t.strictSame(origin({ ...MODERN, ...own }, NOWHERE), own, 'a record that was normalised before keeps it');
  const forged: [string, Json, Json][] = [
    ['no text', 1, ['2012-12-12/a.json']],
    ['no day', '2012-13-12', '2012-13-12/a.json'],
    ['a longer one', '2012-12-12x', '2012-12-12/a.json.gz'],
    ['a path', '../../etc', '../../etc/passwd.json'],
    ['a path behind', '2012-12-12/..', '2012-12-12/../a.json'],
    ['no name', '', '2012-12-12/.json\0'],
  ];
  for (const [what, bucket_date, report_filename] of forged)
    t.strictSame(origin({ ...MODERN, bucket_date, report_filename }, NOWHERE), NOWHERE, what);
  t.end();
});

t.test('members of report are the record’s own', (t) => {
  const { doc, keys, rules } = run({ report: { input: 'http://a/', n: 1 }, input: 'http://b/', m: 2 });
  t.equal(doc.input, 'http://a/', 'and win');
  t.strictSame(keys, { m: 2, n: 1 });
  t.ok(rules.includes('report.merged'));
  t.strictSame(run({ report: 'text' }).keys, { report: 'text' }, 'one that is no object is a member like others');
  t.strictSame(run({ report: { report: { a: 1 } } }).keys, { a: 1 }, 'one within another, too');
  const modern = run({ report: { data_format_version: '0.2.0', test_keys: { a: 1 } }, annotations: {} });
  t.strictSame([modern.doc.annotations, modern.keys], [{}, { a: 1 }], 'the format it tells is the record’s');
  t.end();
});

t.test('names of tests', (t) => {
  for (const name of [undefined, null, 1, ['http_host'], {}])
    t.equal(run({ test_name: name }).doc.test_name, 'invalid', `${JSON.stringify(name)}`);
  t.equal(run({ ...MODERN, test_name: 'HTTP Host' }).doc.test_name, 'http_host', 'of new records too');
  t.equal(run({ test_name: 'DNS Spoof' }, { compat: true }).doc.test_name, 'dns spoof');
  const { keys } = run({ test_name: 'DNS Spoof' });
  t.strictSame(keys, { sent_packets: [], answered_packets: [] }, 'the rules are those of the name of today');
  t.end();
});

// --- old records

t.test('times', (t) => {
  const epoch = '1970-01-01 00:00:00';
  const [noon, evening, night] = ['2013-11-01 12:00:00', '2013-11-01 18:00:00', '2013-11-01 23:00:00'];
  const [noonEpoch, eveningEpoch] = [1383307200, 1383328800];
  const cases: [what: string, given: object, start: string, measured: string, aside?: object][] = [
    ['none', {}, epoch, epoch],
    ['all null', { start_time: null, test_start_time: null, measurement_start_time: null }, epoch, epoch],
    ['of the report', { start_time: 1383307200.9 }, noon, noon],
    ['an integer', { start_time: noonEpoch }, noon, noon],
    ['a number of the measurement', { start_time: noonEpoch, test_start_time: eveningEpoch }, noon, evening],
    ['that alone', { test_start_time: eveningEpoch }, epoch, evening],
    ['a text', { test_start_time: evening }, evening, evening],
    ['two texts', { test_start_time: noon, measurement_start_time: evening }, noon, evening],
    ['a text wins', { start_time: noonEpoch, test_start_time: evening, measurement_start_time: night }, evening, night],
    [
      'ISO',
      { test_start_time: '2013-11-01T12:00:00.123Z', measurement_start_time: '2013-11-01T19:00:00+01:00' },
      noon,
      evening,
    ],
    ['as YAML has it', { start_time: noon }, noon, noon],
    ['numbers as text', { start_time: '1383307200.0', test_start_time: '1383328800' }, noon, evening],
    [
      'a number has the place of the other',
      { start_time: noonEpoch, test_start_time: eveningEpoch, measurement_start_time: night },
      ...([noon, evening, { measurement_start_time_: night }] as const),
    ],
    [
      'one without the other',
      { start_time: noonEpoch, measurement_start_time: night },
      ...([noon, noon, { measurement_start_time_: night }] as const),
    ],
    [
      'the same twice',
      { start_time: noonEpoch, test_start_time: eveningEpoch, measurement_start_time: eveningEpoch },
      ...([noon, evening] as const),
    ],
    [
      'no times',
      { start_time: 'x', test_start_time: '2013-02-30 00:00:00', measurement_start_time: [1] },
      ...([
        ...[epoch, epoch],
        { start_time_: 'x', test_start_time_: '2013-02-30 00:00:00', measurement_start_time_: [1] },
      ] as [string, string, object]),
    ],
    ['before the epoch', { start_time: -0.5 }, '1969-12-31 23:59:59', '1969-12-31 23:59:59'],
    ['beyond all years', { start_time: 1e15 }, epoch, epoch, { start_time_: 1e15 }],
  ];
  for (const [what, given, start, measured, aside = {}] of cases) {
    const { doc, keys } = run({ report_id: 'r', ...given });
    t.equal(doc.test_start_time, start, what);
    t.equal(doc.measurement_start_time, measured, what);
    t.notOk(Object.hasOwn(doc, 'start_time'));
    t.strictSame(keys, aside, `${what}: what is kept aside`);
  }
  const now = '2024-01-01 00:00:00';
  const isOdd = (test_start_time: Json, more = {}) =>
    run({ ...more, test_start_time }, { now }).rules.includes('times.odd');
  t.ok(isOdd('2011-12-31 23:59:59') && isOdd('2024-01-01 00:00:01') && isOdd(undefined));
  t.notOk(isOdd('2012-01-01 00:00:00') || isOdd('2024-01-01 00:00:00'));
  t.ok(isOdd('2030-01-01 00:00:00', MODERN), 'of new records too');
  t.notOk(isOdd(1e15, MODERN) || isOdd(null, MODERN) || isOdd('soon', MODERN));
  t.end();
});

t.test('of options what was given to the test', (t) => {
  const options = (given: Json) => run({ options: given }).doc.options;
  t.strictSame(options({ subargs: ['-f', 'urls.txt'], logfile: 'x' }), ['-f', 'urls.txt']);
  t.strictSame(options({ logfile: 'x' }), []);
  t.strictSame(options({}), []);
  t.equal(options({ subargs: null }), null);
  t.strictSame(options(['-f']), ['-f']);
  t.equal(options('-f'), '-f');
  t.equal(options(null), null);
  t.end();
});

t.test('members that do not belong at the top', (t) => {
  const { doc, keys } = run({
    annotations: { a: 1 },
    test_keys: { b: 2 },
    measurement_uid: 'forged',
    probe_ip: '127.0.0.1',
  });
  t.strictSame(keys, { b: 2, annotations: { a: 1 }, measurement_uid: 'forged' });
  t.equal(doc.probe_ip, '127.0.0.1');

  const twice = run({ test_keys: { a: 1, a_: 2 }, a: 3, a__: 4 });
  t.strictSame(twice.keys, { a: 1, a_: 2, a__: 3, a___: 4 }, 'none is written over');
  t.ok(twice.rules.includes('set_aside'));
  for (const odd of [[1], 'text', 0, false])
    t.strictSame(run({ test_keys: odd, a: 1 }).keys, { test_keys_: odd, a: 1 });

  const names = '{"__proto__":{"x":1},"constructor":2,"toString":3}';
  t.match(run(names).text, /"test_keys":\{"__proto__":\{"x":1\},"constructor":2,"toString":3\}/);
  t.equal(JSON.stringify(run('{"a":1,"b":2,"a":3}').keys), '{"a":3,"b":2}', 'of doubles the last');
  t.end();
});

t.test('values that no rule touches keep their bytes', (t) => {
  const values = ['1.0', '1152921504606846976', '1e400', '-0', '"\\ud800\\u0041\\/"', '[ 1 , {"a" : 2} ]', '"\\u0000"'];
  for (const value of values) {
    t.match(run(`{"odd": ${value}}`).text.split('"test_keys":')[1], `{"odd":${value}}`, value);
    t.match(run(`{"probe_city" : ${value}}`).text, `"probe_city" : ${value}`, value);
    const within = `{"test_name":"http_host","requests":[{"request":{"url":"u","odd" : ${value}},"response":null}]}`;
    t.match(run(within).text, `"odd" : ${value}`, `${value} in a request`);
  }
  const deep = `${'['.repeat(2000)}${']'.repeat(2000)}`;
  t.match(run(`{"deep":${deep}}`).text, deep, 'as deep as it is');
  t.end();
});

// --- text

t.test('bodies and header values', (t) => {
  const png = base64(Buffer.from('89504E470D0A', 'hex'));
  const cases: [what: string, given: Json, norm: Json, keepNul: Json][] = [
    ['text', 'naïve \ud83d\ude00', 'naïve \ud83d\ude00', 'naïve \ud83d\ude00'],
    ['NUL', 'a\0b\0', 'ab', base64('a\0b\0')],
    ['only NUL', '\0', '', base64('\0')],
    ['NUL and other escapes', '\0\n\\u0000\\\0', '\n\\u0000\\', base64('\0\n\\u0000\\\0')],
    ['what looks like NUL', '\\u0000', '\\u0000', '\\u0000'],
    ['NUL, then an escape at the end', '\0"', '"', base64('\0"')],
    ['null', null, null, null],
    ['a base64 dict', png, png, png],
    ['a base64 dict with NUL', base64('a\0'), base64('a\0'), base64('a\0')],
    ['a number', 5, 5, 5],
    ['half a pair with NUL', '\ud800\0', '\ud800', '\ud800\0'],
  ];
  const body = (given: Json, make = old, options = {}) =>
    make('http_host', { requests: [{ response: { body: given } }] }, options).keys.requests[0].response.body;
  for (const [what, given, norm, keepNul] of cases) {
    t.strictSame(body(given), norm, what);
    t.strictSame(body(given, old, { keepNul: true }), keepNul, `${what}, --keep-nul`);
  }
  const bytes = (hex: string) => base64(Buffer.from(hex, 'hex'));
  t.strictSame(body(bytes('ff0041'), fromYaml), bytes('ff41'), 'bytes of YAML');
  t.strictSame(body(bytes('c300a9'), fromYaml), 'é', 'bytes that are text without NUL');
  t.strictSame(body(bytes('ff0041'), fromYaml, { keepNul: true }), bytes('ff0041'));
  t.strictSame(body(bytes('ff41'), fromYaml), bytes('ff41'));
  const escapes =
    '{"test_name":"http_host","requests":[{"response":{"body":"\\u0041\\\\u0000\\u0000\\/\\\\\\u0000"}}]}';
  t.match(run(escapes).text, '"body":"\\u0041\\\\u0000\\/\\\\"', 'other escapes stay');
  t.end();
});

// --- HTTP

t.test('an HTTP record before and after', (t) => {
  const { doc } = fromYaml('HTTP Requests Test', {
    input: 'http://example.org/',
    body_length_match: false,
    headers_diff: ['Server'],
    requests: [
      {
        request: { method: 'GET', url: 'shttp://example.org/', body: null, headers: [['Accept', ['*/*']]] },
        response: {
          code: 200,
          body: 'ok\0',
          headers: [
            ['content-length', ['3']],
            ['Server', [['nginx']]],
          ],
        },
      },
      {
        request: { method: 'GET', url: 'http://example.org/', body: null, headers: [], tor: { is_tor: false } },
        response: null,
      },
    ],
    start_time: 1383307200.0,
    options: { subargs: ['-f', 'urls.txt'] },
  });
  t.match(doc, {
    input: 'http://example.org/',
    test_name: 'http_requests',
    data_format_version: '0.2.0',
    test_start_time: '2013-11-01 12:00:00',
    measurement_start_time: '2013-11-01 12:00:00',
    options: ['-f', 'urls.txt'],
    test_helpers: null,
    probe_city: null,
    backend_version: null,
  });
  const direct = { is_tor: false, exit_ip: null, exit_name: null };
  t.strictSame(doc.test_keys, {
    body_length_match: false,
    headers_diff: ['Server'],
    requests: [
      {
        request: { method: 'GET', url: 'http://example.org/', body: null, headers: {}, tor: direct },
        response: { body: null, headers: {} },
        response_length: null,
      },
      {
        request: {
          ...{ method: 'GET', url: 'http://example.org/', body: null, headers: { Accept: '*/*' } },
          tor: { ...direct, is_tor: true },
        },
        response: { code: 200, body: 'ok', headers: { 'content-length': '3', Server: 'nginx' } },
        response_length: '3',
      },
    ],
  });
  t.end();
});

const HTTP_TESTS = [
  ...[
    'http_requests',
    'meek_fronted_requests',
    'domclass_collector',
    'http_keyword_filtering',
    'http_uk_mobile_networks',
  ],
  ...['http_header_field_manipulation', 'http_url_list', 'http_host', 'squid', 'captive_portal', 'psiphon'],
  'tor_http_requests_test',
];
const DNS_TESTS = ['dns_consistency', 'dns_injection', 'captive_portal'];
const PACKET_TESTS = [
  ...['chinatrigger', 'keyword_filtering', 'parasitic_traceroute', 'multi_protocol_traceroute', 'dns_spoof'],
];
const SUFFIXED = ['meek_fronted_requests_test', 'psiphon_test', 'lantern_circumvention_tool_test'];

t.test('which tests have which rules', (t) => {
  const others = [
    'bridge_reachability',
    'tcp_connect',
    'lantern',
    'web_connectivity',
    'invalid',
    '__proto__',
    'toString',
  ];
  for (const test of [...HTTP_TESTS, ...DNS_TESTS, ...PACKET_TESTS, ...SUFFIXED, ...others]) {
    const { keys } = old(test, { n: 1 });
    const shape = {
      ...(HTTP_TESTS.includes(test) && { requests: [] }),
      ...(DNS_TESTS.includes(test) && { queries: [] }),
      ...(test === 'dns_consistency' && { errors: {}, successful: [], failed: [], inconsistent: [] }),
      ...(PACKET_TESTS.includes(test) && { sent_packets: [], answered_packets: [] }),
    };
    t.strictSame(keys, { n: 1, ...shape }, test);
  }
  for (const test of SUFFIXED) {
    const requests = [{ request: { url: 'u' }, response: null }];
    t.strictSame(
      Object.keys(old(test, { requests }).keys.requests[0]),
      ['request', 'response', 'response_length'],
      test,
    );
    t.strictSame(old(test, { requests }, { compat: true }).keys, { requests }, `${test}, --compat`);
    t.strictSame(old(test, { requests: null }).keys.requests, []);
    t.equal(old(test, { request: { url: 'u' }, response: { body: 'b' } }).keys.requests.length, 1);
  }
  t.end();
});

t.test('input from options', (t) => {
  const input = (options: Json, given?: Json) => old('http_host', { options, input: given }).doc.input;
  t.equal(input(['-f', 'x', '--url', 'http://a/']), 'http://a/');
  t.equal(input(['-u', 'http://a/']), 'http://a/');
  t.equal(input({ subargs: ['-u', 'http://a/'] }), 'http://a/');
  t.equal(input(['--url', 'http://a/', '-u', 'http://b/']), 'http://b/', 'the one behind -u wins');
  t.equal(input(['-u']), null, 'nothing behind it');
  t.equal(input(['http://a/']), null);
  t.equal(input([1, '-u', 'http://a/', null]), 'http://a/');
  t.equal(input('-u'), null);
  t.equal(input(['-u', 'http://a/'], 'http://b/'), 'http://b/', 'an input of its own stays');
  t.equal(old('tcp_connect', { options: ['-u', 'http://a/'] }).doc.input, null, 'another test');
  t.end();
});

t.test('requests of odd shapes', (t) => {
  const keys = (members: object) => old('http_host', members).keys;
  t.strictSame(keys({ requests: null }), { requests: [] });
  t.strictSame(keys({ requests: [] }), { requests: [] });
  t.strictSame(keys({ requests: { a: 1 } }), { requests_: { a: 1 }, requests: [] });
  t.strictSame(keys({ requests: 'text', requests_: 1 }), { requests: [], requests_: 1, requests__: 'text' });
  t.strictSame(keys({ requests: [null, 1, 'a', []] }).requests, [null, 1, 'a', []]);
  const flat = { url: 'u', headers: [['a', ['b']]], responses: [] };
  const { keys: kept, rules } = old('http_host', { requests: [flat] });
  t.strictSame(kept.requests, [flat], 'url and headers on the pair itself');
  t.ok(rules.includes('http.odd_request'));

  const [request, response] = [{ url: 'u' }, { body: 'b' }];
  const pair = keys({ requests: [{ request: { url: 'first' } }], request, response });
  t.strictSame(
    pair.requests.map((one: Json) => one.request.url),
    ['first', 'u'],
    'the single pair comes last',
  );
  t.notOk('request' in pair || 'response' in pair);
  t.strictSame(keys({ request, response: null }), { request, response: null, requests: [] }, 'half a pair stays');

  const none = { body: null, headers: {} };
  const tor = { is_tor: false, exit_ip: null, exit_name: null };
  t.strictSame(
    keys({ requests: [{ response: { code: 200 } }] }).requests,
    [{ response: { code: 200, ...none }, request: { ...none, url: null, tor }, response_length: null }],
    'a request that is missing',
  );
  t.strictSame(
    keys({ requests: [{ request: { url: 'u' }, response: 'timeout' }] }).requests,
    [{ request: { url: 'u', ...none, tor }, response: none, response_: 'timeout', response_length: null }],
    'a response that is none',
  );
  t.end();
});

t.test('headers', (t) => {
  const cases: [what: string, given: Json, headers: object, aside?: boolean][] = [
    ['missing', undefined, {}],
    ['null', null, {}],
    ['none', [], {}],
    [
      'pairs',
      [
        ['A', ['1', '2']],
        ['B', ['3']],
      ],
      { A: '1', B: '3' },
    ],
    ['a nested list', [['A', [['1', '2'], '3']]], { A: '1' }],
    [
      'a double',
      [
        ['A', ['1']],
        ['B', ['2']],
        ['A', ['3']],
      ],
      { A: '3', B: '2' },
    ],
    ['no value', [['A', []], ['B', [[]]], ['C']], { A: '', B: '', C: '' }],
    ['a text for a value', [['A', 'text']], { A: 'text' }],
    [
      'null for a value',
      [
        ['A', [null]],
        ['B', null],
      ],
      { A: null, B: null },
    ],
    ['NUL', [['A\0', ['1\0']]], { 'A\0': '1' }],
    ['an object of lists', { A: ['1', '2'], B: [['3\0']], C: [] }, { A: '1', B: '3', C: '' }],
    ['an object of texts', { A: '1', B: '2\0' }, { A: '1', B: '2' }],
    ['bytes for a name', [[base64(Buffer.from([0xff])), ['1']]], { '/w==': '1' }],
    [
      'a number for a name',
      [
        [1, ['2']],
        [null, ['3']],
      ],
      { 1: '2', null: '3' },
    ],
    ['no pairs', ['A: 1', [], null, ['B', ['2']]], { B: '2' }, true],
    ['text', 'A: 1', {}, true],
  ];
  for (const [what, given, headers, aside] of cases) {
    const { response } = old('http_host', { requests: [{ response: { headers: given } }] }).keys.requests[0];
    t.strictSame(response.headers, headers, what);
    t.strictSame(response.headers_, aside ? given : undefined, `${what}: kept aside`);
  }
  const kept = '{ "\\u0041" : "1" , "B":"2"}';
  const document = `{"test_name":"http_host","requests":[{"request":null,"response":{"headers":${kept}}}]}`;
  t.match(run(document).text, kept, 'headers that have their shape keep their bytes');
  t.end();
});

t.test('Tor', (t) => {
  const [ip, name] = ['192.0.2.1', 'exit'];
  const told = { is_tor: true, exit_ip: ip, exit_name: name };
  const [yes, no] = [
    { is_tor: true, exit_ip: null, exit_name: null },
    { is_tor: false, exit_ip: null, exit_name: null },
  ];
  const cases: [url: Json, tor: Json, norm: object, newUrl?: string | undefined, aside?: boolean][] = [
    ['shttp://a/', undefined, yes, 'http://a/'],
    ['shttp://a/', { is_tor: false }, yes, 'http://a/'],
    ['shttp://a/', told, yes, 'http://a/', true],
    ['shttps://a/', null, yes],
    ['shttp://a/?shttp://b/', null, yes, 'http://a/?http://b/'],
    ['http://a/', true, yes],
    ['http://a/', false, no],
    ['http://a/', null, no],
    ['http://a/?shttp://b/', undefined, no],
    ['http://a/?shttp://b/', { is_tor: false }, no],
    ['http://a/', { is_tor: true }, yes],
    ['http://a/', told, told],
    ['http://a/?shttp://b/', told, told],
    ['http://a/?shttp://b/', 0, no, 'http://a/?http://b/'],
    ['http://a/', {}, no],
    ['http://a/', 1, no, undefined, true],
    ['http://a/', 'yes', no, undefined, true],
    ['http://a/', [true], no, undefined, true],
    ['http://a/', { is_tor: 1 }, no, undefined, true],
    ['http://a/?shttp://b/', { is_tor: false, exit_ip: null, exit_name: null }, no, 'http://a/?http://b/'],
    ['http://a/', { is_tor: false, exit_ip: ip }, no, undefined, true],
    ['http://a/', { ...told, more: 1 }, told, undefined, true],
    ['http://a/', { ...told, more: null }, told],
    [null, true, yes],
    [5, undefined, no],
  ];
  for (const [url, tor, norm, newUrl, aside] of cases) {
    const { keys, rules } = old('http_host', { requests: [{ request: { url, tor }, response: null }] });
    const { request } = keys.requests[0];
    const what = JSON.stringify({ url, tor });
    t.strictSame(request.tor, norm, what);
    t.equal(request.url, newUrl ?? url, `${what}: url`);
    t.strictSame(request.tor_, aside ? tor : undefined, `${what}: kept aside`);
    const known = tor === null || tor === undefined || typeof (tor.is_tor ?? tor) === 'boolean';
    t.equal(rules.includes('http.odd_tor'), aside === true || !known, `${what}: told`);
  }
  t.end();
});

t.test('first the experiment, then its control', (t) => {
  const pair = (url: string) => ({ request: { url, tor: url.startsWith('t') }, response: null });
  const order = (urls: string[]) =>
    old('http_host', { requests: urls.map(pair) }).keys.requests.map((one: Json) => one.request.url);
  t.strictSame(order(['t1', 'd1']), ['d1', 't1']);
  t.strictSame(order(['d1', 't1']), ['d1', 't1']);
  t.strictSame(order(['t1', 't2', 'd1', 'd2', 't3']), ['d1', 't1', 'd2', 't2', 't3']);
  t.strictSame(order(['d1', 'd2']), ['d1', 'd2']);
  t.strictSame(order(['t1']), ['t1']);
  t.end();
});

t.test('response_length and headers_diff', (t) => {
  const length = (headers: Json, more = {}) =>
    old('http_host', { requests: [{ request: null, response: { headers }, ...more }] }).keys.requests[0]
      .response_length;
  t.equal(length([['CONTENT-length', ['12']]]), '12');
  t.equal(length({ 'content-length': ['12'] }), '12');
  t.equal(length([['Content-Length', [12]]]), 12);
  t.equal(length([]), null);
  t.equal(length([], { response_length: 5 }), null);

  const diff = (headers_diff: Json) => old('http_host', { headers_diff }).keys.headers_diff;
  t.strictSame(diff(['b', 'a', 'B']), ['B', 'a', 'b']);
  t.strictSame(diff({ Server: null, Age: null }), ['Age', 'Server']);
  t.strictSame(diff([]), []);
  t.equal(diff(null), null);
  t.equal(diff('Server'), 'Server');
  t.strictSame(diff([['b'], ['a'], 'c', 1]), [1, ['a'], ['b'], 'c']);
  t.notOk('headers_diff' in old('http_host', {}).keys);
  t.notOk(old('http_host', { headers_diff: ['a', 'b'] }).rules.includes('http.headers_diff'), 'sorted before');
  t.end();
});

// --- DNS

t.test('a DNS record before and after', (t) => {
  const query = "[Query('360.cn', 1, 1)]";
  const { keys } = old('DNS tamper', {
    queries: [
      {
        ...{ query, resolver: ['8.8.8.8', 53], query_type: 'A', addrs: ['106.120.167.66'] },
        answers: [['<RR name=360.cn type=A class=IN ttl=300s auth=False>', '<A address=106.120.167.66 ttl=300>']],
      },
      { query, resolver: ['10.0.0.1', 53], query_type: 'A', answers: [] },
    ],
    tampering: { '10.0.0.1': true, '8.8.4.4': false, '1.1.1.1': 'deferred_timeout_error' },
    test_resolvers: ['8.8.8.8'],
  });
  t.strictSame(keys, {
    queries: [
      {
        ...{ hostname: '360.cn', query_type: 'A', resolver_hostname: '8.8.8.8', resolver_port: 53, failure: null },
        answers: [{ ttl: '300', answer_type: 'A', ipv4: '106.120.167.66' }],
      },
      {
        ...{ hostname: '360.cn', query_type: 'A', resolver_hostname: '10.0.0.1', resolver_port: 53 },
        ...{ failure: 'no_answer', answers: [] },
      },
    ],
    errors: { '10.0.0.1': true, '8.8.4.4': false, '1.1.1.1': 'deferred_timeout_error' },
    successful: ['8.8.4.4'],
    failed: ['8.8.4.4', '1.1.1.1'],
    inconsistent: ['10.0.0.1'],
  });
  t.end();
});

t.test('tampering', (t) => {
  const keys = (test: string, members: object) => old(test, { ...members, queries: [] }).keys;
  const none = { queries: [], errors: {}, successful: [], failed: [], inconsistent: [] };
  for (const tampering of [undefined, null, {}, false, []])
    t.strictSame(keys('dns_consistency', { tampering }), none, JSON.stringify(tampering));
  t.strictSame(keys('dns_injection', { tampering: {} }), { queries: [] });
  t.strictSame(keys('dns_injection', { tampering: { a: true } }), {
    ...{ queries: [], errors: { a: true }, successful: [], failed: [], inconsistent: ['a'] },
  });
  t.strictSame(keys('dns_injection', { tampering: true }), { queries: [], tampering_: true }, 'no object: kept aside');
  t.strictSame(keys('dns_consistency', { tampering: { a: null, b: 1 } }).failed, ['a', 'b']);
  t.strictSame(
    keys('dns_consistency', { errors: { a: 'x' }, failed: ['a'] }),
    { ...none, errors: { a: 'x' }, failed: ['a'] },
    'what a later probe told itself',
  );
  t.strictSame(
    keys('dns_consistency', { tampering: { a: true }, errors: 'x' }),
    { ...none, errors: { a: true }, inconsistent: ['a'], errors_: 'x' },
    'none is written over',
  );
  t.end();
});

t.test('queries', (t) => {
  const queries = (given: Json) => old('dns_injection', { queries: given }).keys;
  t.strictSame(queries(null), { queries: [] });
  t.strictSame(queries({ a: 1 }), { queries: [], queries_: { a: 1 } });
  t.strictSame(queries([null, 'text', 1]), { queries: [null, 'text', 1] }, 'kept as they are');
  t.ok(old('dns_injection', { queries: [null] }).rules.includes('dns.odd_query'));

  const empty = { hostname: null, resolver_hostname: null, resolver_port: null, answers: [], failure: 'no_answer' };
  const cases: [what: string, query: object, norm: object][] = [
    ['nothing', {}, {}],
    ['a name', { query: "[Query('a.example', 1, 1)]" }, { hostname: 'a.example' }],
    ['to the last quote', { query: "[Query('it's', 1, 'x')]" }, { hostname: "it's', 1, 'x" }],
    ['no name', { query: "[Query('', 1, 1)]" }, { hostname: '' }],
    ['another text', { query: 'a.example' }, { hostname: '', query_: 'a.example' }],
    ['no text', { query: 5 }, { hostname: null, query_: 5 }],
    ['null', { query: null }, {}],
    ['bytes', { query: base64(Buffer.from("[Query('\xff', 1, 1)]", 'latin1')) }, { hostname: 'ÿ' }],
    ['hostname of its own', { hostname: 'a.example' }, { hostname: 'a.example' }],
    ['both', { hostname: 'b', query: "[Query('a', 1, 1)]" }, { hostname: 'a' }],
    ['resolver', { resolver: ['8.8.8.8', 53] }, { resolver_hostname: '8.8.8.8', resolver_port: 53 }],
    [
      'more than a resolver',
      { resolver: ['r', 53, 1] },
      { resolver_hostname: 'r', resolver_port: 53, resolver_: ['r', 53, 1] },
    ],
    ['half a resolver', { resolver: ['8.8.8.8'] }, { resolver_hostname: '8.8.8.8' }],
    ['no resolver', { resolver: null }, {}],
    ['a resolver as text', { resolver: '8.8.8.8:53' }, { resolver_: '8.8.8.8:53' }],
    ['a resolver of its own', { resolver_hostname: 'r' }, { resolver_hostname: 'r' }],
    ['addrs', { addrs: ['192.0.2.1'] }, {}],
    ['a failure', { failure: 'timeout' }, { failure: 'timeout' }],
    ['answers null', { answers: null }, {}],
    ['answers as an object', { answers: { a: 1 } }, { answers_: { a: 1 } }],
    ['empty answers', { answers: [[], null, '', {}] }, {}],
    ['answers of today', { answers: [{ ttl: 1 }], failure: null }, { answers: [{ ttl: 1 }], failure: null }],
  ];
  for (const [what, query, norm] of cases) t.strictSame(queries([query]).queries, [{ ...empty, ...norm }], what);
  for (const failure of [false, '', 0]) t.equal(queries([{ failure }]).queries[0].failure, 'no_answer', `${failure}`);
  const answers = [['<RR>', '<A>']];
  for (const failure of [false, '', 0, null]) t.equal(queries([{ failure, answers }]).queries[0].failure, failure);
  t.end();
});

t.test('answers', (t) => {
  const rr = (type: string, ttl = '300s') => `<RR name=a.example type=${type} class=IN ttl=${ttl} auth=False>`;
  const soa =
    '<SOA mname=ns1.example rname=admin.example serial=2014 refresh=7200 retry=3600 minimum=60 expire=1209600 ttl=900>';
  const cases: [what: string, answer: Json, norm: object, compat?: object][] = [
    ['A', [rr('A'), '<A address=192.0.2.1 ttl=300>'], { answer_type: 'A', ipv4: '192.0.2.1' }],
    ['A without', [rr('A'), '<A address=x>'], { answer_type: 'A', ipv4: '' }],
    [
      'AAAA',
      [rr('AAAA'), '<AAAA address=2001:db8::1 ttl=300>'],
      { answer_type: 'AAAA', ipv6: '2001:db8::1' },
      { answer_type: 'AAAA' },
    ],
    [
      'MX',
      [rr('MX'), '<MX preference=10 name=mx.a.example ttl=300>'],
      { answer_type: 'MX', hostname: 'mx.a.example', preference: '10' },
      { answer_type: 'MX', hostname: '', preference: '10' },
    ],
    ['PTR', [rr('PTR'), '<PTR name=b.example ttl=300>'], { answer_type: 'PTR', hostname: 'b.example' }],
    ['CNAME', [rr('CNAME'), '<CNAME name=b-2.example ttl=300>'], { answer_type: 'CNAME', hostname: 'b-2.example' }],
    ['an underscore', [rr('CNAME'), '<CNAME name=b.ex_ample>'], { answer_type: 'CNAME', hostname: 'b.ex' }],
    ['an underscore first', [rr('CNAME'), '<CNAME name=_b.example>'], { answer_type: 'CNAME', hostname: '' }],
    ['a hyphen last', [rr('CNAME'), '<CNAME name=b-.example>'], { answer_type: 'CNAME', hostname: 'b' }],
    [
      'SOA',
      [rr('SOA'), soa],
      {
        ...{ answer_type: 'SOA', responsible_name: 'admin.example', hostname: 'ns1.example', serial_number: '2014' },
        ...{ refresh_interval: '7200', retry_interval: '3600', minimum_ttl: '60', expiration_limit: '1209600' },
      },
    ],
    ['TXT', [rr('TXT'), '<TXT data=[]>'], { answer_type: 'TXT' }],
    ['one text', [rr('A')], { answer_type: 'A', ipv4: '' }],
    ['nothing in it', ['<RR>', ''], { ttl: '', answer_type: '' }],
    ['no texts', [1, null], { ttl: '', answer_type: '' }],
    [
      'bytes',
      [rr('CNAME'), base64(Buffer.from('<CNAME name=b.example\xff>', 'latin1'))],
      { answer_type: 'CNAME', hostname: 'b.example' },
    ],
    ['a name of JavaScript', [rr('constructor'), ''], { answer_type: 'constructor' }],
  ];
  for (const [what, answer, norm, compat = norm] of cases) {
    const answers = (options = {}) =>
      old('dns_injection', { queries: [{ answers: [answer] }] }, options).keys.queries[0].answers;
    t.strictSame(answers(), [{ ttl: '300', ...norm }], what);
    t.strictSame(answers({ compat: true }), [{ ttl: '300', ...compat }], `${what}, --compat`);
  }
  const long = old('dns_injection', { queries: [{ answers: [[rr('CNAME'), `name=${'a-'.repeat(100_000)}`]] }] });
  t.equal(long.keys.queries[0].answers[0].hostname.length, 199_999, 'long names take no time');
  t.end();
});

// --- packets and others

t.test('packets', (t) => {
  const packet = { raw_packet: { format: 'base64', data: 'RQAAFA==' }, summary: 'IP / TCP' };
  const sent = (given: Json) => fromYaml('chinatrigger', { sent_packets: given }).keys;
  t.strictSame(sent([[packet]]), { sent_packets: [packet], answered_packets: [] });
  t.strictSame(sent([[{ raw_packet: 'E\0', summary: 's' }]]).sent_packets, [
    { raw_packet: base64('E\0'), summary: 's' },
  ]);
  t.strictSame(sent([[packet, packet], [], [packet]]).sent_packets, [packet, packet], 'the first of each element');
  t.strictSame(sent([packet]).sent_packets, [packet], 'an element that is no list');
  t.strictSame(sent([[{ summary: 's' }], [{ raw_packet: 'r' }]]).sent_packets, [
    { summary: 's' },
    { raw_packet: base64('r') },
  ]);
  t.strictSame(sent(['text', [1], null, {}]).sent_packets, ['text', [1]], 'no packets');
  t.strictSame(sent('text'), { sent_packets: [], sent_packets_: 'text', answered_packets: [] });
  t.strictSame(sent(null), { sent_packets: [], answered_packets: [] });
  t.strictSame(sent([[{ raw_packet: '\ud800' }]]).sent_packets, [{ raw_packet: '\ud800' }], 'half a pair has no bytes');
  t.end();
});

t.test('tls_handshake', (t) => {
  const keys = (members: object, options = {}) => old('tls-handshake', members, options).keys;
  const serial = (given: string) => run(`{"test_name":"tls_handshake","cert_serial_no":${given}}`).keys.cert_serial_no;
  t.equal(serial('255'), '0xff');
  t.equal(serial('0'), '0x0');
  t.equal(serial('-16'), '-0x10');
  t.equal(serial('340282366920938463463374607431768211455'), `0x${'f'.repeat(32)}`);
  t.equal(serial('"0xffL"'), '0xff');
  t.equal(serial('"0xff"'), '0xff');
  t.equal(serial('1.5'), 1.5);
  t.equal(serial('null'), '0x0');
  t.strictSame(keys({}), { cert_serial_no: '0x0' });
  t.strictSame(keys({ session_key: 'k\0' }).session_key, base64('k\0'));
  t.strictSame(keys({ session_key: base64('k') }).session_key, base64('k'));
  const names = [['C', 'US\0'], ['CN', base64(Buffer.from([0xff]))], 'odd'];
  t.strictSame(keys({ cert_subject: names }).cert_subject, [['C', 'US'], ['CN', base64(Buffer.from([0xff]))], 'odd']);
  t.equal(keys({ cert_issuer: 'text' }).cert_issuer, 'text');
  t.strictSame(keys({ cert_subject: names }, { compat: true }), {
    cert_serial_no: '0x0',
    cert_subject: [],
    cert_issuer: [],
  });
  t.end();
});

t.test('captive_portal: addresses of a vendor', (t) => {
  const google = (given: Json) => {
    const { keys, rules } = old('captivep', { vendor_dns_tests: { google_dns_cp: given, other: ['b', 'a'] } });
    t.strictSame(keys.vendor_dns_tests.other, ['b', 'a']);
    return [keys.vendor_dns_tests.google_dns_cp, rules.includes('captive_portal.addresses')];
  };
  t.strictSame(google(['b', 'a']), [['a', 'b'], true]);
  t.strictSame(google(['a', 'b']), [['a', 'b'], false]);
  t.strictSame(google({ result: true, addresses: ['b', 'a'] }), [{ result: true, addresses: ['a', 'b'] }, true]);
  t.strictSame(google({ addresses: { b: null, a: null } }), [{ addresses: ['a', 'b'] }, true]);
  t.strictSame(google({ result: true }), [{ result: true }, false]);
  t.strictSame(google(null), [null, false]);
  for (const odd of [null, [], 'text', {}])
    t.strictSame(old('captivep', { vendor_dns_tests: odd }).keys.vendor_dns_tests, odd);
  t.end();
});

t.test('what was sent and received', (t) => {
  for (const test of ['http_filtering_bypass', 'http_invalid_request_line', 'http_trix']) {
    const { keys } = old(test, { sent: ['a\0', 'b'], received: 'c\0', n: [1] });
    t.strictSame(keys, { sent: ['a', 'b'], received: 'c', n: [1] }, test);
  }
  t.strictSame(old('http_trix', {}).keys, {});
  const bytes = base64(Buffer.from([0xff, 0]));
  t.strictSame(fromYaml('http_trix', { sent: [bytes] }).keys.sent, [base64(Buffer.from([0xff]))]);
  t.strictSame(old('http_trix', { sent: [['a\0']] }).keys.sent, [['a\0']], 'what is no text stays');
  const kept = run('{"test_name":"http_trix","sent":[ "a" ,"\\u0062"]}').text;
  t.match(kept, '"sent":[ "a" ,"\\u0062"]', 'without NUL its bytes stay');
  t.end();
});

t.test('what is no document', (t) => {
  for (const text of ['[]', '"x"', '1', 'null']) t.throws(() => run(text), /not an object/, text);
  for (const text of ['{', '{"a":NaN}', '']) t.throws(() => run(text), /at byte/, text);
  t.throws(() => normalise(Buffer.from([0x7b, 0xff]), NOWHERE), /not UTF-8/);
  t.end();
});

t.test('every rule was seen', (t) => {
  t.strictSame(
    Object.keys(RULES).filter((name) => !fired.has(name as RuleName)),
    [],
  );
  t.end();
});

t.test('what comes out is what readers of JSON read', (t) => {
  const { text } = run('{"a":[1,{"b":"\\ud800"}],"report":{"c":1e400}}');
  t.doesNotThrow(() => readJson(Buffer.from(text)));
  t.notMatch(text, '\n');
  t.end();
});
