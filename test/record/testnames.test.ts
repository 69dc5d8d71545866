import fc from 'fast-check';
import t from 'tap';
import { canonicalTest } from '../../src/record/testnames.ts';

const TABLE: [canonical: string, raw: string[]][] = [
  ['http_host', ['HTTP Host']],
  ['http_requests', ['http_requests_test', 'HTTP Requests Test']],
  ['bridge_reachability', ['bridgereachability']],
  ['tcp_connect', ['TCP Connect']],
  ['dns_consistency', ['DNS tamper', 'dnstamper']],
  [
    'http_invalid_request_line',
    ['HTTP Invalid Request Line', 'test_random_big_request_method', 'test_random_invalid_field_count'],
  ],
  [
    'http_header_field_manipulation',
    [
      'HTTP Header Field Manipulation',
      'test_get_random_capitalization',
      'test_put_random_capitalization',
      'test_post_random_capitalization',
    ],
  ],
  ['multi_protocol_traceroute', ['Multi Protocol Traceroute Test', 'multi_protocol_traceroute_test', 'traceroute']],
  ['parasitic_traceroute', ['parasitic_traceroute_test', 'parasitic_tcp_traceroute_test', 'Parasitic Traceroute Test']],
  ['tls_handshake', ['tls-handshake']],
  ['captive_portal', ['captivep', 'captiveportal']],
  ['http_filtering_bypass', ['HTTPFilteringBypass', 'httpfilteringbypass']],
  ['http_trix', ['HTTPTrix', 'httptrix']],
  ['netalyzr_wrapper', ['netalyzrwrapper']],
  ['dns_spoof', ['DNS Spoof']],
  ['invalid', ['summary', 'test_get', 'test_post', 'test_put', 'test_send_host_header']],
];

const UNCHANGED = [
  ...['http_test', 'http_url_list', 'dns_spoof', 'dns_injection', 'meek_fronted_requests_test'],
  ...['lantern_circumvention_tool_test', 'psiphon_test', 'this_test_is_nameless', 'web_connectivity', 'invalid'],
];

t.test('names of old, and what they are today', (t) => {
  for (const [canonical, raws] of TABLE) {
    for (const raw of raws) t.equal(canonicalTest(raw), canonical, raw);
    t.equal(canonicalTest(canonical), canonical, `${canonical} stays`);
  }
  for (const name of UNCHANGED) t.equal(canonicalTest(name), name, `${name} stays`);
  t.end();
});

t.test('other names are lower-cased', (t) => {
  const cases: [raw: string | null | undefined, name: string][] = [
    ['Base TCP Test', 'base tcp test'],
    ['Web_Connectivity', 'web_connectivity'],
    ['DNS Tamper', 'dns tamper'],
    ['Traceroute', 'multi_protocol_traceroute'], // else a second run would change it again
    ['', ''],
    ['__proto__', '__proto__'],
    ['constructor', 'constructor'],
    [null, 'invalid'],
    [undefined, 'invalid'],
  ];
  for (const [raw, name] of cases) t.equal(canonicalTest(raw), name, `${raw}`);
  t.end();
});

t.test('as pipeline v2 had it', (t) => {
  t.equal(canonicalTest('DNS Spoof', true), 'dns spoof');
  t.equal(canonicalTest('Parasitic Traceroute Test', true), 'parasitic traceroute test');
  t.equal(canonicalTest('HTTP Host', true), 'http_host');
  t.end();
});

t.test('a name of today stays', (t) => {
  const raw = fc.oneof(
    fc
      .constantFrom(...TABLE.flatMap(([canonical, raws]) => [canonical, ...raws]))
      .chain((name) => fc.constantFrom(name, name.toUpperCase(), name.toLowerCase(), `${name} `)),
    fc.string({ unit: 'binary' }),
  );
  fc.assert(
    fc.property(raw, fc.boolean(), (raw, compat) => {
      const once = canonicalTest(raw, compat);
      return canonicalTest(once, compat) === once && once === once.toLowerCase();
    }),
    { numRuns: 1000 },
  );
  t.end();
});
