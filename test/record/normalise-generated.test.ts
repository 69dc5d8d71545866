// What must hold for every document, modern or old, however odd.
import fc from 'fast-check';
import t from 'tap';
import { readJson, type Value } from '../../src/record/json.ts';
import { jsonOf, objectOf, readDocument } from '../../src/record/nodes.ts';
import { normalise, SCHEMA } from '../../src/record/normalise.ts';
import type { RuleOptions } from '../../src/record/rules/run.ts';
import { canneryBytes } from '../lib.ts';

// --- documents as text, for much of what matters is lost in a value of JavaScript

const space = fc.constantFrom('', '', '', ' ', '\t', '  ');
const leaf = fc.constantFrom(
  ...[
    'null',
    'true',
    'false',
    '0',
    '-0',
    '1.0',
    '1383307200',
    '1383307200.56',
    '1e400',
    '-1e400',
    '1152921504606846976',
  ],
  ...['"text"', '""', '"\\ud800"', '"\\u0000"', '"a\\u0000\\ud800"', '"\\u003c\\/"', '"é\\n"', '"2013-11-01 12:00:00"'],
  ...['"2013-02-30 00:00:00"', '"2013-11-01T12:00:00.5Z"', '"1383307200"', '[]', '{}', '{ }', '[null]', '[[]]', '[{}]'],
  '{"format":"base64","data":"AP8AQQ=="}',
);
const deep = fc.nat(30).map((n) => `${'[{"a":'.repeat(n)}1.50${'}]'.repeat(n)}`);
const oddName = fc.constantFrom(
  'a',
  'b',
  'a_',
  '\\u0061',
  '__proto__',
  'constructor',
  'toString',
  '',
  '\\ud800',
  'long '.repeat(20),
);

const list = (item: fc.Arbitrary<string>, maxLength = 3) =>
  fc.tuple(space, fc.array(fc.tuple(item, space), { maxLength })).map(([s, items]) => {
    return `[${s}${items.map(([text, behind]) => text + behind).join(',')}]`;
  });
const object = (member: fc.Arbitrary<[name: string, value: string]>, maxLength = 4) =>
  fc.tuple(space, fc.array(fc.tuple(member, space, space, space), { maxLength })).map(([s, members]) => {
    return `{${s}${members.map(([[name, value], a, b, c]) => `${a}"${name}"${b}:${value}${c}`).join(',')}}`;
  });

const { any } = fc.letrec<{ any: string }>((tie) => ({
  any: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    leaf,
    deep,
    list(tie('any')),
    object(fc.tuple(oddName, tie('any'))),
  ),
}));

/** Of the right shape mostly. */
const mostly = (usual: fc.Arbitrary<string>) =>
  fc.oneof({ weight: 4, arbitrary: usual }, { weight: 1, arbitrary: any });
const text = (...texts: string[]) => fc.constantFrom(...texts.map((one) => JSON.stringify(one)));
const member = (name: string, value: fc.Arbitrary<string>) =>
  mostly(value).map((text): [string, string] => [name, text]);
const record = (members: Record<string, fc.Arbitrary<string>>, maxLength = 6) =>
  object(
    fc.oneof(...Object.entries(members).map(([name, value]) => member(name, value)), fc.tuple(oddName, any)),
    maxLength,
  );

const value = mostly(text('x', '3', 'a\0b'));
const headers = fc.oneof(
  list(mostly(fc.tuple(text('Server', 'Content-Length', 'A\0'), mostly(list(value))).map(([n, v]) => `[${n}, ${v}]`))),
  object(fc.tuple(fc.constantFrom('Server', 'content-length', '\\u0041'), mostly(list(value)))),
);
const tor = record({ is_tor: fc.constantFrom('true', 'false'), exit_ip: text('192.0.2.1'), exit_name: text('x') }, 3);
const url = text('http://a/', 'shttp://a/', 'shttps://a/', 'http://a/?shttp://b/');
const request = record({ url, headers, tor: fc.oneof(tor, fc.constantFrom('true', 'false', '0')), body: value });
const response = record({ code: fc.constant('200'), headers, body: value });
const pair = record({ request, response, response_length: leaf }, 3);
const answer = fc.constantFrom(
  ...['["<RR type=A ttl=300s>", "<A address=192.0.2.1>"]', '["<RR type=MX>", "<MX name=a.b preference=10>"]', '["x"]'],
);
const query = record({
  ...{ query: text("[Query('a.b', 1, 1)]", 'a.b'), resolver: fc.constant('["8.8.8.8", 53]'), addrs: leaf },
  ...{ answers: list(mostly(answer)), failure: text('timeout'), hostname: text('x'), resolver_port: leaf },
});
const packet = record({ raw_packet: value, summary: text('IP') }, 2);

const TESTS = [
  ...['HTTP Host', 'http_requests', 'http_header_field_manipulation', 'psiphon', 'psiphon_test', 'DNS tamper'],
  ...['dns_injection', 'captivep', 'DNS Spoof', 'chinatrigger', 'tls-handshake', 'http_invalid_request_line'],
  ...['http_trix', 'lantern', 'web_connectivity', 'Traceroute', 'SUMMARY'],
];

const ofTests: Record<string, fc.Arbitrary<string>> = {
  requests: list(pair),
  request,
  response,
  headers_diff: list(text('b', 'a')),
  queries: list(query),
  tampering: object(fc.tuple(fc.constantFrom('8.8.8.8', '9.9.9.9'), fc.constantFrom('true', 'false', '"timeout"'))),
  sent_packets: list(list(packet)),
  answered_packets: list(list(packet)),
  vendor_dns_tests: record({ google_dns_cp: list(text('b', 'a')) }, 1),
  cert_serial_no: fc.constantFrom('255', '18446744073709551616'),
  cert_subject: list(list(value)),
  session_key: value,
  sent: list(value),
  received: value,
  test_resolvers: leaf,
  requests_: leaf,
};

const time = fc.constantFrom('1383307200', '1383307200.56', '"2013-11-01 12:00:00"', '0', '-1', '1e400', '"soon"');
const common: Record<string, fc.Arbitrary<string>> = {
  test_name: text(...TESTS),
  start_time: time,
  test_start_time: time,
  measurement_start_time: time,
  options: fc.constantFrom('{"subargs":["-u","http://a/"]}', '["-u"]', '["--url", "http://a/"]'),
  report_id: text('', 'r'),
  id: text('', 'i'),
  bucket_date: text('2012-12-12', 'x'),
  report_filename: text('2012-12-12/a.json', '../a.json'),
  probe_cc: text('IT'),
  probe_city: fc.constant('{"format":"base64","data":"/w=="}'),
  input: text('http://a/'),
  annotations: any,
  measurement_uid: text('forged'),
};
const report = record({ ...common, ...ofTests });
const versions = (...given: string[]) => fc.constantFrom(...given);
const document = (version: fc.Arbitrary<string>, keys: fc.Arbitrary<string>) =>
  object(
    fc.oneof(
      { weight: 2, arbitrary: member('test_name', common.test_name!) },
      ...Object.entries({ ...common, report, data_format_version: version, test_keys: keys }).map(([name, value]) => ({
        weight: 1,
        arbitrary: member(name, value),
      })),
      ...Object.entries(ofTests).map(([name, value]) => ({ weight: 1, arbitrary: member(name, value) })),
      { weight: 2, arbitrary: fc.tuple(oddName, any) },
    ),
    14,
  );

const old = document(versions('"0.1.0"', 'null', '0.1'), record(ofTests));
const any_ = document(versions('"0.2.0"', '"0.1.0"', '"0.5.0"', '0.2', '1', 'null'), record(ofTests));
/** A modern one: version and test_keys stand in front, and no later ones take their place. */
const modern = fc
  .tuple(
    any_,
    versions('"0.2.0"', '"0.5.0"', '"1.0.0"'),
    fc.constantFrom('{ }', '{"a":1.0}', '[]', '[ 1e400 ]', 'null'),
  )
  .map(([text, version, keys]) => {
    const rest = text.slice(1).replace(/"(?:data_format_version|report|test_keys)"/g, '"other"');
    return `{ "data_format_version" : ${version},\t"test_keys":${keys}${/^\s*\}$/.test(rest) ? '' : ' ,'}${rest}`;
  });

const from = fc.constantFrom(
  { bucket_date: null, report_filename: null },
  { bucket_date: '2016-08-01', report_filename: '2016-08-01/report.json' },
);
const options = fc.record<RuleOptions>(
  { compat: fc.boolean(), keepNul: fc.boolean(), now: fc.constant('2024-01-01 00:00:00') },
  { requiredKeys: [] },
);

const run = (text: string | Buffer, origin: Parameters<typeof normalise>[1], given: RuleOptions) => {
  const { document, rules } = normalise(Buffer.from(text as string), origin, given);
  return { out: Buffer.concat(document), rules };
};

// --- what must hold

t.test(
  'a record comes out of every object: with each member of the schema, on one line, and the same the second time',
  (t) => {
    const seen = { old: 0, changed: 0 };
    fc.assert(
      fc.property(fc.oneof(any_, old, modern, object(fc.tuple(oddName, any))), from, options, (text, from, options) => {
        const { out, rules } = run(text, from, options);
        readJson(out, { maxDepth: 1e6 });
        if (out.includes(0x0a)) return false;
        const doc = JSON.parse(out.toString());
        if (SCHEMA.some((key) => !Object.hasOwn(doc, key))) return false;
        if (rules.includes('format.raised')) {
          seen.old++;
          const known = new Set<string>(SCHEMA);
          if (Object.keys(doc).some((key) => !known.has(key))) return false;
          if (doc.data_format_version !== '0.2.0' || typeof doc.test_keys !== 'object' || doc.test_keys === null)
            return false;
          const time = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/;
          if (!time.test(doc.test_start_time) || !time.test(doc.measurement_start_time)) return false;
        }
        if (rules.length > 0) seen.changed++;
        const again = run(out, from, options);
        const same = run(text, from, options);
        return again.out.equals(out) && same.out.equals(out) && again.rules.every((rule) => rule === 'times.odd');
      }),
      { numRuns: 3000 },
    );
    t.ok(seen.old > 500 && seen.changed > 1000, JSON.stringify(seen));
    t.end();
  },
);

/** Members of an object's text, each with what stands between it and the one before. */
function pieces(text: string) {
  const { value } = readJson(Buffer.from(text), { maxDepth: 1e6 });
  const bytes = Buffer.from(text);
  let end = value.start + 1;
  const members = value.members!.map(({ key, value: { start, end: past } }: { key: string; value: Value }) => {
    const piece = { key, before: bytes.toString('utf8', end, start), value: bytes.toString('utf8', start, past) };
    end = past;
    return piece;
  });
  return { members, tail: bytes.toString('utf8', end) };
}

t.test('of a document of today only the members that are added or changed differ', (t) => {
  const MAY_CHANGE = new Set(['id', 'report_id', 'test_name', 'bucket_date', 'report_filename', 'test_keys']);
  let compared = 0;
  fc.assert(
    fc.property(modern, from, options, (text, from, options) => {
      const given = pieces(text);
      const { out } = run(text, from, options);
      const got = pieces(out.toString());
      if (got.tail !== given.tail) return false;
      const untouched = (list: typeof given.members) => list.filter(({ key }) => !MAY_CHANGE.has(key));
      const topNames = new Set(got.members.map(({ key }) => key));
      if (given.members.some(({ key }) => !topNames.has(key))) return true; // its members went into test_keys
      compared++;
      const added = SCHEMA.filter((key) => !given.members.some((member) => member.key === key));
      const kept = got.members.filter(({ key }) => !added.includes(key as (typeof SCHEMA)[number]));
      const names = new Set(given.members.map(({ key }) => key));
      // A double of a member that changed has gone; all others stand where they stood, and so does what is between.
      if (kept.length === given.members.length) {
        for (const [i, { key, before, value }] of kept.entries()) {
          const was = given.members[i]!;
          if (key !== was.key || before !== was.before || (value !== was.value && !MAY_CHANGE.has(key))) return false;
        }
      } else if (names.size === given.members.length) return false;
      const of = (list: typeof given.members) => untouched(list).map(({ key, value }) => `${key}:${value}`);
      return of(kept).join('\n') === of(given.members).join('\n') && got.members.length === kept.length + added.length;
    }),
    { numRuns: 2000 },
  );
  t.ok(compared > 1000, `${compared} compared`);
  t.end();
});

t.test('of an old document every value that no rule touches keeps its bytes', (t) => {
  const inSchema = new Set<string>(SCHEMA);
  const touched = new Set(['start_time', 'test_keys', ...Object.keys(ofTests)]);
  fc.assert(
    fc.property(object(fc.tuple(oddName, any), 8), fc.constantFrom(...TESTS), (text, test) => {
      const whole = `{"test_name":"${test}"${/^\{\s*\}$/.test(text) ? '' : ','}${text.slice(1)}`;
      const given = objectOf(readDocument(Buffer.from(whole)))!;
      const out = run(whole, { bucket_date: null, report_filename: null }, {}).out;
      const keys = objectOf(objectOf(readDocument(out))!.get('test_keys'))!;
      return given.entries().every(([key, node]) => {
        if (inSchema.has(key) || touched.has(key)) return true;
        return keys.has(key) && jsonOf(keys.get(key)!).equals(jsonOf(node));
      });
    }),
    { numRuns: 1000 },
  );
  t.end();
});

t.test('NUL goes out of a body, and nothing else', (t) => {
  const piece = fc.constantFrom('\\u0000', '\\\\', '\\n', '\\"', '\\u0041', '\\ud800', '\\/', 'u0000', 'é', ' ');
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      const { out } = run(
        `{"test_name":"http_host","requests":[{"response":{"body":"${pieces.join('')}"}}]}`,
        { bucket_date: null, report_filename: null },
        {},
      );
      return out.includes(`{"body":"${pieces.filter((one) => one !== '\\u0000').join('')}","headers":{}}`);
    }),
    { numRuns: 1000 },
  );
  t.end();
});

t.test('the same bytes in every time zone', (t) => {
  const texts = fc.sample(fc.oneof(old, modern), { numRuns: 150, seed: 3 });
  const prefix = '{"measurement_uid":null,"bucket_date":"2016-08-01","report_filename":"2016-08-01/a.json"';
  const rows = texts.map((text) => `${prefix}${/^\{\s*\}$/.test(text) ? '' : ','}${text.slice(1)}\n`).join('');
  const outs = ['UTC', 'Europe/Rome', 'America/St_Johns', 'Pacific/Apia', 'Asia/Kathmandu'].map((TZ) => {
    const { code, out, err } = canneryBytes(['normalise'], { stdin: rows, env: { TZ } });
    t.equal(code, 0, err);
    return out.toString();
  });
  t.equal(outs[0]!.split('\n').length, 151);
  t.same(new Set(outs).size, 1);
  t.end();
});
