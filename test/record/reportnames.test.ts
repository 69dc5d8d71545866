import fc from 'fast-check';
import t from 'tap';
import { FirstObject } from '../../src/record/jsonhead.ts';
import { HEADER_NAMES, type Header, nameOfHeader } from '../../src/record/reportheader.ts';
import {
  type Layout,
  numberedName,
  parseReportName,
  type ReportParts,
  reportExtension,
  reportName,
  testOfName,
} from '../../src/record/reportnames.ts';

const ID = 'ueXkbVqIymXQbmLRrYpfgWGuRLTvXvoLPNDHJfrUZQKFEEcYcO'; // 50 letters
const SEED = `20150629T142714-http_invalid_request_line-20150629T142714Z_AS201227_${ID}-AS201227-NO-probe-0.1.0.yaml`;
const PIPELINE = `20160706T000046Z-GB-AS9105-http_requests-${ID}ABCDEFGHIJKLMN-0.1.0-probe.yaml`;

const seconds = fc.integer({ min: 0, max: Date.UTC(9999, 11, 31, 23, 59, 59) / 1000 });
const layout = fc.constantFrom<Layout>('seed', 'pipeline');
const parts: fc.Arbitrary<ReportParts> = fc.record({
  time: seconds.map((n) => n * 1000),
  test: fc.oneof(fc.stringMatching(/^[A-Za-z0-9_]{1,30}$/), fc.constantFrom('AS12', 'probe', 'GB', 'report', '_', '1')),
  report_id: fc.oneof(
    fc.stringMatching(/^[A-Za-z0-9_]{1,80}$/),
    fc.constantFrom('AS12', 'probe', 'GB', 'no_report_id', '_'),
  ),
  asn: fc.nat({ max: 4_294_967_295 }).map((n) => `AS${n}`),
  cc: fc.stringMatching(/^[A-Z]{2}$/),
  version: fc.stringMatching(/^[0-9][0-9A-Za-z_+]{0,3}(\.[0-9A-Za-z_+]{1,3}){0,3}$/),
  ext: fc.constantFrom('json', 'yaml'),
  gz: fc.boolean(),
});

const at = (text: string) => Date.parse(text);
const sorted = (value: object | undefined) => value && Object.fromEntries(Object.entries(value).sort());

t.test('a name that was built is read back, in both layouts', (t) => {
  fc.assert(
    fc.property(parts, layout, (parts, layout) => {
      const { gz, ...others } = parts;
      const name = reportName(parts, layout);
      t.match(name, /^[A-Za-z0-9_.+-]+$/);
      const read = parseReportName(name);
      return (
        JSON.stringify(sorted(read)) === JSON.stringify(sorted({ ...others, layout, ...(gz && { packed: 'gz' }) }))
      );
    }),
    { numRuns: 2000 },
  );
  t.end();
});

t.test('a numbered name is a name still, and tells all but its number alike', (t) => {
  fc.assert(
    fc.property(parts, layout, fc.integer({ min: 1, max: 9999 }), (parts, layout, n) => {
      const name = numberedName(reportName(parts, layout), n);
      const read = parseReportName(name)!;
      const { time, test, report_id, asn, cc } = parts;
      t.match(read, { layout, time, test, report_id, asn, cc });
      if (layout === 'pipeline') t.equal(read.copy, n);
      else t.equal(read.version, `${parts.version}.${n}`);
    }),
  );
  t.equal(numberedName(SEED, 1), SEED.replace('.yaml', '.1.yaml'));
  t.equal(numberedName('a.yamloo.gz', 12), 'a.12.yamloo.gz');
  t.throws(() => numberedName(`${'a'.repeat(248)}.json`, 10));
  t.end();
});

t.test('no name is built from what may not stand in one', (t) => {
  const good: ReportParts = {
    ...{ time: 0, test: 'ndt', report_id: 'x', asn: 'AS0', cc: 'ZZ', version: '0.1.0', ext: 'json', gz: false },
  };
  t.equal(reportName(good, 'seed'), '19700101T000000-ndt-x-AS0-ZZ-probe-0.1.0.json');
  t.equal(reportName(good, 'pipeline'), '19700101T000000Z-ZZ-AS0-ndt-x-0.1.0-probe.json');
  const bad: Partial<Record<keyof ReportParts, unknown[]>> = {
    time: [-1000, 1, Number.NaN, Number.POSITIVE_INFINITY, 253402300800000],
    test: ['', 'a-b', 'a/b', 'a b', '..', 'é', 'a\n', 'a\0'],
    report_id: ['', 'a-b', '../x', 'x\n', 'é', 'x'.repeat(201)],
    asn: ['', 'AS', 'as1', 'ASX', 'AS12345678901', 'AS1\n'],
    cc: ['', 'gb', 'GBR', 'T1', 'ZZ\n'],
    version: ['', '0.1-0', '../0', 'v1', '0..1', '0.', '0/1'],
    ext: ['yamloo', 'jsonl', ''],
  };
  for (const [part, values] of Object.entries(bad)) {
    for (const value of values)
      t.throws(() => reportName({ ...good, [part]: value } as ReportParts, 'seed'), `${part} ${value}`);
  }
  t.throws(() => reportName({ ...good, test: 'a'.repeat(215) }, 'seed'), 'over 255 bytes');
  t.end();
});

t.test('every form that names ever had', (t) => {
  const yaml = { ext: 'yaml' as const };
  t.same(parseReportName(SEED), {
    ...{ layout: 'seed', time: at('2015-06-29T14:27:14Z'), test: 'http_invalid_request_line' },
    ...{ report_id: `20150629T142714Z_AS201227_${ID}`, asn: 'AS201227', cc: 'NO', version: '0.1.0', ...yaml },
  });
  t.same(parseReportName(PIPELINE), {
    ...{
      layout: 'pipeline',
      time: at('2016-07-06T00:00:46Z'),
      test: 'http_requests',
      report_id: `${ID}ABCDEFGHIJKLMN`,
    },
    ...{ asn: 'AS9105', cc: 'GB', version: '0.1.0', ...yaml },
  });
  t.same(
    parseReportName(`20150629T142714Z-web_connectivity-20150629T142714Z_AS201227_${ID}-AS201227-NO-probe-0.2.0.json`),
    {
      ...{ layout: 'seed', time: at('2015-06-29T14:27:14Z'), test: 'web_connectivity' },
      ...{ report_id: `20150629T142714Z_AS201227_${ID}`, asn: 'AS201227', cc: 'NO', version: '0.2.0', ext: 'json' },
    },
  );
  t.same(parseReportName('20130101T000000Z-ASX-tls-handshake-v1-probe.yaml'), {
    ...{ layout: 'pre-id', time: at('2013-01-01T00:00:00Z'), test: 'tls-handshake', asn: 'ASX', ...yaml },
  });
  const old = { layout: 'old', ext: 'yamloo' };
  const time = at('2015-06-29T14:27:14Z');
  t.same(parseReportName('http_invalid_request_line-2015-06-29T142714Z-AS201227-probe.yamloo'), {
    ...{ ...old, time, test: 'http_invalid_request_line', asn: 'AS201227' },
  });
  t.same(parseReportName('tls-handshake-2015-06-29T142714Z-AS1-probe.yamloo.gz'), {
    ...{ ...old, time, test: 'tls-handshake', asn: 'AS1', packed: 'gz' },
  });
  t.same(parseReportName('HTTP Host-20150629T142714Z-AS1.3.yamloo.lz4'), {
    ...{ ...old, time, test: 'HTTP Host', asn: 'AS1', copy: 3, packed: 'lz4' },
  });
  t.same(parseReportName('dns_tamper-2015-06-29T142714Z-ASX.yamloo'), { ...old, time, test: 'dns_tamper', asn: 'ASX' });
  t.same(parseReportName('report-HTTP_Host-2012-11-05T101112Z.yamloo'), {
    ...{ ...old, time: at('2012-11-05T10:11:12Z'), test: 'HTTP_Host' },
  });
  t.same(parseReportName('report-tls-handshake-2012-11-05.yamloo'), {
    ...{ ...old, time: at('2012-11-05'), test: 'tls-handshake' },
  });
  t.end();
});

t.test('hyphens in a test, and in a report id of others', (t) => {
  const read = (middle: string) => {
    const { test, report_id } = parseReportName(`20150629T142714-${middle}-AS1-IT-probe-0.1.0.yaml`) ?? {};
    return [test, report_id];
  };
  t.same(read('tls-handshake-abc'), ['tls-handshake', 'abc']);
  t.same(read('http_host-abc-def-ghi'), ['http_host', 'abc-def-ghi'], 'a known test comes first');
  t.same(read('http_requests-a-b'), ['http_requests', 'a-b']);
  t.same(read('psiphon_test-a-b'), ['psiphon_test', 'a-b'], 'the longest known one');
  t.same(read('http_host2-a-b'), ['http_host2-a', 'b']);
  t.same(read('a'), [undefined, undefined]);
  t.same(read('-a'), [undefined, undefined]);
  t.same(read('../x-a'), [undefined, undefined]);
  t.equal(parseReportName(`20160706T000046Z-GB-AS9105-tls-handshake-${ID}-0.1.0-probe.yaml`), undefined, 'eight parts');
  t.end();
});

t.test('names that are none', (t) => {
  const names = [
    ...['', '.', '..', 'a.json', '.json', 'probe.yaml', SEED.replace('.yaml', ''), SEED.replace('.yaml', '.jsonl')],
    ...[
      SEED.replace('0629', '0631'),
      SEED.replace('T14', 'T24'),
      SEED.replace('2015', '1969'),
      `x${SEED}`,
      `${SEED}\n`,
    ],
    ...[SEED.replace('-NO-', '-no-'), SEED.replace('AS201227-NO', 'ASX-NO'), SEED.replace('probe', 'backend')],
    ...[SEED.replace('0.1.0', '..'), SEED.replace('.yaml', '.yamloo'), SEED.replace('_request', '\n_request')],
    ...[PIPELINE.replace('Z-GB', '-GB'), PIPELINE.replace('-GB', ''), PIPELINE.replace('probe', 'probe.0')],
    ...[
      PIPELINE.replace(ID, 'a/b'),
      '20130101T000000Z-AS1-ndt-v2-probe.yaml',
      '20130101T000000Z-AS1-ndt-v1-probe.json',
    ],
    ...[
      'ndt-2015-06-29T142714Z-AS1-probe.yaml',
      'ndt-2015-02-29T142714Z-AS1.yamloo',
      'ndt-AS1.yamloo',
      'report-.yamloo',
    ],
    ...['2012-01-01T120000Z_AS3.yamloo', `20150629T142714-ndt-${'x'.repeat(300)}-AS1-IT-probe-0.1.0.yaml`],
  ];
  for (const name of names) t.equal(parseReportName(name), undefined, JSON.stringify(name.slice(0, 80)));
  fc.assert(
    fc.property(
      fc.oneof(fc.string({ unit: 'binary' }), fc.string({ unit: fc.constantFrom(...'-A0Z.TS_probejsonyaml') })),
      (text) => {
        for (const name of [text, `${text}.yamloo`, `20150629T142714-${text}-AS1-IT-probe-0.1.0.json`]) {
          const read = parseReportName(name);
          if (read?.layout === 'seed') t.match(read.report_id, /^[A-Za-z0-9_][A-Za-z0-9_-]*$/);
          if (read) t.match(read.test, /^[A-Za-z0-9_ -]+$/);
        }
      },
    ),
    { numRuns: 2000 },
  );
  t.same(reportExtension('a.yamloo.lz4'), { ext: 'yamloo', packed: 'lz4' });
  for (const name of ['a.json.bz2', 'a.JSON', 'json', 'a.json.gz.gz', 'a.json~', 'a.yml'])
    t.equal(reportExtension(name), undefined, name);
  t.end();
});

t.test('the test of a name, compact', (t) => {
  const cases = {
    ...{ http_invalid_request_line: 'httpinvalidrequestline', 'tls-handshake': 'tlshandshake', HTTP_Host: 'httphost' },
    ...{ 'HTTP Host': 'httphost', DNS_tamper: 'dnsconsistency', dnstamper: 'dnsconsistency', summary: undefined },
    ...{ traceroute: 'multiprotocoltraceroute', a: undefined, '_-_': undefined, web_connectivity: 'webconnectivity' },
  };
  for (const [name, test] of Object.entries(cases)) t.equal(testOfName({ test: name }), test, name);
  t.end();
});

// --- headers

const HEADER: Header = {
  ...{ test_start_time: '2015-06-29 14:27:14', test_name: 'web_connectivity', report_id: 'abc', probe_asn: 'AS3269' },
  ...{ probe_cc: 'IT', data_format_version: '0.2.0' },
};

/** The name that a header gives, and what was put in; or the outcome and why. */
function named(change: Header): string {
  const naming = nameOfHeader({ ...HEADER, ...change }, 'json', false);
  if (naming.outcome !== 'named') return `${naming.outcome}: ${naming.reason}`;
  const substituted = Object.entries(naming.substituted).map(([part, text]) => ` ${part}=${text}`);
  return `${reportName(naming.parts, 'seed')}${substituted.join('')}`;
}

const usual = (change: Partial<Record<'time' | 'test' | 'id' | 'asn' | 'cc' | 'version', string>>) => {
  const {
    time = '20150629T142714',
    test = 'web_connectivity',
    id = 'abc',
    asn = 'AS3269',
    cc = 'IT',
    version = '0.2.0',
  } = change;
  return `${time}-${test}-${id}-${asn}-${cc}-probe-${version}.json`;
};

t.test('a header gives a name', (t) => {
  t.equal(named({}), usual({}));
  t.same(
    named({ report_id: null, probe_asn: undefined, probe_cc: undefined, data_format_version: undefined }),
    [
      usual({ id: 'no_report_id', asn: 'AS0', cc: 'ZZ', version: '0.1.0' }),
      'report_id=no_report_id asn=AS0 cc=ZZ version=0.1.0',
    ].join(' '),
  );
  t.end();
});

t.test('time', (t) => {
  const times: [Header, string][] = [
    [{ test_start_time: '2015-06-29 14:27:14.999' }, usual({})],
    [{ test_start_time: '2015-06-29T14:27:14Z' }, usual({})],
    [{ test_start_time: '2015-06-29T14:27:14.5Z', start_time: 5 }, usual({})],
    [{ test_start_time: null, start_time: 1435588034.9 }, usual({})],
    [{ test_start_time: undefined, start_time: 0 }, usual({ time: '19700101T000000' })],
    [{ test_start_time: 1435588034, start_time: 1435588034 }, `${usual({})} time=2015-06-29 14:27:14`],
    [{ test_start_time: '2015-02-29 14:27:14', start_time: 1435588034 }, `${usual({})} time=2015-06-29 14:27:14`],
    [{ test_start_time: undefined, start_time: 1435588034000 }, `${usual({})} time=2015-06-29 14:27:14`],
  ];
  for (const [header, wanted] of times) t.equal(named(header), wanted);
  for (const start_time of [
    undefined,
    null,
    -1,
    -0.5,
    Number.NaN,
    'x',
    '1435588034',
    1e300,
    true,
    [],
    1435588034000000,
  ])
    t.match(
      named({ test_start_time: undefined, start_time }),
      /^failed: no time: test_start_time is missing, start_time /,
    );
  for (const test_start_time of [
    1435588034,
    '2015-06-31 00:00:00',
    '2015-06-29',
    '',
    '2015-06-29 14:27:14+02:00',
    '0000-00-00 00:00:00',
  ])
    t.match(named({ test_start_time }), /^failed: no time: /, `${test_start_time}`);
  t.end();
});

t.test('test', (t) => {
  const tests = {
    ...{ 'HTTP Host': 'http_host', 'tls-handshake': 'tls_handshake', dnstamper: 'dns_consistency', MyTest: 'MyTest' },
    ...{ http_test: 'http_test', this_test_is_nameless: 'this_test_is_nameless' },
  };
  for (const [raw, test] of Object.entries(tests)) t.equal(named({ test_name: raw }), usual({ test }), raw);
  t.equal(named({ test_name: 'my-own test/2' }), `${usual({ test: 'my_own_test_2' })} test=my_own_test_2`);
  t.equal(named({ test_name: '../../etc' }).split(':')[0], 'invalid');
  for (const test_name of [
    undefined,
    null,
    '',
    'invalid',
    'summary',
    'test_get',
    5,
    true,
    [],
    {},
    'é',
    'a\tb',
    'a\0',
    Buffer.from('\xff', 'latin1'),
  ])
    t.match(named({ test_name }), /^invalid: no name of a test: test_name is /, String(test_name));
  t.end();
});

t.test('report id', (t) => {
  t.equal(named({ report_id: 'a-b-c' }), `${usual({})} report_id=abc`);
  t.equal(named({ report_id: '20150629T142714Z_AS1_x' }), usual({ id: '20150629T142714Z_AS1_x' }));
  t.equal(named({ report_id: 12345 }), `${usual({ id: '12345' })} report_id=12345`);
  for (const report_id of ['', '---', null]) t.match(named({ report_id }), usual({ id: 'no_report_id' }));
  for (const report_id of ['a/b', '..', '../../x', 'a b', 'é', 'x'.repeat(201), true, [], {}])
    t.match(named({ report_id }), /^failed: report_id is /, String(report_id).slice(0, 20));
  t.equal(named({ report_id: 'x'.repeat(200), test_name: 'ndt' }), usual({ id: 'x'.repeat(200), test: 'ndt' }));
  t.end();
});

t.test('network, country, version', (t) => {
  t.equal(named({ probe_asn: 3269 }), `${usual({})} asn=AS3269`);
  t.equal(named({ probe_asn: '3269' }), `${usual({})} asn=AS3269`);
  for (const probe_asn of ['ASX', 'None', '', 'as3269', 'AS-1', -1, 1.5, null, true, 'AS3269\n', 'AS99999999999'])
    t.equal(named({ probe_asn }), `${usual({ asn: 'AS0' })} asn=AS0`, String(probe_asn));
  t.equal(named({ probe_asn: 'AS0' }), usual({ asn: 'AS0' }));
  t.equal(named({ probe_cc: 'it' }), `${usual({})} cc=IT`);
  t.equal(named({ probe_cc: 'UK' }), usual({ cc: 'UK' }));
  for (const probe_cc of ['', null, 'T1', 'ITA', 'ß', 'I\n', false])
    t.equal(named({ probe_cc }), `${usual({ cc: 'ZZ' })} cc=ZZ`, String(probe_cc));
  t.equal(named({ data_format_version: 0.2 }), `${usual({ version: '0.2' })} version=0.2`);
  t.equal(named({ data_format_version: '0.3.4' }), usual({ version: '0.3.4' }));
  for (const data_format_version of ['', '../..', '0.1-2', 'v1', null, {}])
    t.equal(
      named({ data_format_version }),
      `${usual({ version: '0.1.0' })} version=0.1.0`,
      String(data_format_version),
    );
  t.end();
});

t.test('whatever a header says, its name is safe or there is none', (t) => {
  const value = fc.oneof(fc.string({ unit: 'binary' }), fc.double(), fc.constant(null), fc.boolean(), fc.constant([]));
  const header = fc.record(Object.fromEntries(HEADER_NAMES.map((name) => [name, value])), { requiredKeys: [] });
  fc.assert(
    fc.property(header, layout, (change, layout) => {
      for (const one of [change, { ...HEADER, ...change }]) {
        const naming = nameOfHeader(one as Header, 'yaml', true);
        if (naming.outcome !== 'named') continue;
        let name: string;
        try {
          name = reportName(naming.parts, layout);
        } catch (error) {
          t.match((error as Error).message, 'longer than 255');
          continue;
        }
        t.match(name, /^[A-Za-z0-9_.+-]{1,255}$/);
        t.equal(parseReportName(name)?.layout, layout);
      }
    }),
    { numRuns: 2000 },
  );
  t.equal(
    nameOfHeader({ ...Object.create(HEADER) }, 'json', false).outcome,
    'failed',
    'inherited members do not count',
  );
  t.end();
});

// --- the first object of a stream

/** Reads text in pieces of one size. */
function first(text: string | Buffer, size = 1 << 16, wanted = ['a', 'b']): FirstObject {
  const reader = new FirstObject(wanted);
  const bytes = Buffer.from(text as string);
  for (let from = 0; from < bytes.length; from += size) reader.push(Buffer.from(bytes.subarray(from, from + size)));
  reader.end();
  return reader;
}

t.test('the first object is read as JSON.parse reads it, in pieces of any size', (t) => {
  const document = fc.dictionary(fc.oneof(fc.constantFrom('a', 'b'), fc.string()), fc.jsonValue({ maxDepth: 4 }));
  fc.assert(
    fc.property(
      document,
      fc.integer({ min: 1, max: 40 }),
      fc.constantFrom(0, 2),
      fc.string(),
      (value, size, indent, rest) => {
        const { members } = first(`${JSON.stringify(value, null, indent)}${rest}`, size);
        for (const name of ['a', 'b']) {
          const one = Object.hasOwn(value, name) ? value[name] : undefined;
          const isBig = typeof one === 'number' && Number.isInteger(one) && !Number.isSafeInteger(one);
          const wanted =
            typeof one === 'object' && one !== null
              ? Array.isArray(one)
                ? []
                : {}
              : isBig
                ? JSON.stringify(one)
                : one;
          t.same(members[name], Object.is(one, -0) ? 0 : wanted);
        }
      },
    ),
  );
  t.same(
    { ...first('{"a":1,"x":{"a":2,"b":3},"a":"\\u0041\\n"}').members },
    { a: 'A\n' },
    'the last of doubles, the top alone',
  );
  t.same({ ...first('{"\\u0061":"é","b":"\\ud800"}', 1).members }, { a: 'é', b: '\ud800' });
  t.same(
    { ...first(`{"a":"${'x'.repeat(9000)}","b":null}`).members },
    { a: '…', b: null },
    'what is too long is not kept',
  );
  t.end();
});

t.test('what is no JSON object is told at once, and JSON.parse agrees', (t) => {
  const bad = [
    '[]',
    '1',
    '"a"',
    '{',
    '{"a"',
    '{"a":',
    '{"a":1',
    '{"a":1,',
    '{"a":1,}',
    '{,}',
    '{"a" 1}',
    '{"a":}',
    '{a:1}',
    "{'a':1}",
  ];
  const worse = [
    '{"a":01}',
    '{"a":nul}',
    '{"a":+1}',
    '{"a":1.}',
    '{"a":NaN}',
    '{"a":[1,]}',
    '{"a":[1}',
    '{"a":{]}',
    '{"a":"\\x"}',
  ];
  const worst = [
    '{"a":"\\u00g0"}',
    '{"a":"\n"}',
    '{"a":1\n{"a":2}',
    '{"a":"cut\n{"a":2}',
    '',
    '  ',
    '{"a":tru}',
    '{"a":1 2}',
    '{"a":"x"',
  ];
  for (const text of [...bad, ...worse, ...worst]) {
    for (const size of [1, 3, 1000]) t.throws(() => first(text, size), `${JSON.stringify(text)} by ${size}`);
  }
  t.throws(() => first(Buffer.from('{"a":"\xff"}', 'latin1')), /not UTF-8/);
  t.throws(() => first(`{"a":${'['.repeat(200_000)}`), /nested deeper/);
  t.throws(() => first(`{"a":${'1'.repeat(20_000)}}`), /too many digits/);
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom(...'{}[]:,"\\u0a1e-. \nntrfals') }),
      fc.integer({ min: 1, max: 9 }),
      (text, size) => {
        let good = true;
        let read = true;
        try {
          const value = JSON.parse(`{${text}}`);
          good = typeof value === 'object';
        } catch {
          good = false;
        }
        try {
          const reader = first(`{${text}}`, size);
          read = reader.done;
        } catch {
          read = false;
        }
        return !good || read; // text behind the first object is not looked at
      },
    ),
    { numRuns: 5000 },
  );
  t.end();
});
