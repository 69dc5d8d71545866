// Names that tests went by over the years, and the one that each has now.

/** A record without a usable test name. */
export const INVALID = 'invalid';

/** Raw name → canonical name. A name that is not here is lower-cased, and looked for again. */
const V2: Readonly<Record<string, string>> = {
  'HTTP Host': 'http_host',
  http_requests_test: 'http_requests',
  'HTTP Requests Test': 'http_requests',
  bridgereachability: 'bridge_reachability',
  'TCP Connect': 'tcp_connect',
  'DNS tamper': 'dns_consistency',
  dnstamper: 'dns_consistency',
  'HTTP Invalid Request Line': 'http_invalid_request_line',
  'HTTP Header Field Manipulation': 'http_header_field_manipulation',
  'Multi Protocol Traceroute Test': 'multi_protocol_traceroute',
  multi_protocol_traceroute_test: 'multi_protocol_traceroute',
  traceroute: 'multi_protocol_traceroute',
  parasitic_traceroute_test: 'parasitic_traceroute',
  parasitic_tcp_traceroute_test: 'parasitic_traceroute',
  'tls-handshake': 'tls_handshake',
  captivep: 'captive_portal',
  captiveportal: 'captive_portal',
  HTTPFilteringBypass: 'http_filtering_bypass',
  httpfilteringbypass: 'http_filtering_bypass',
  HTTPTrix: 'http_trix',
  httptrix: 'http_trix',
  netalyzrwrapper: 'netalyzr_wrapper',
  test_get_random_capitalization: 'http_header_field_manipulation',
  test_put_random_capitalization: 'http_header_field_manipulation',
  test_post_random_capitalization: 'http_header_field_manipulation',
  test_random_big_request_method: 'http_invalid_request_line',
  test_random_invalid_field_count: 'http_invalid_request_line',
  summary: INVALID,
  test_get: INVALID,
  test_post: INVALID,
  test_put: INVALID,
  test_send_host_header: INVALID,
};

/** And two that pipeline v2 did not know, so that the rules of their tests never fired. */
const OURS: Readonly<Record<string, string>> = {
  ...V2,
  'DNS Spoof': 'dns_spoof',
  'Parasitic Traceroute Test': 'parasitic_traceroute',
};

/**
 * The canonical name of a test (`web_connectivity`), from what a record says.
 * @param compat as pipeline v2 had it, with `dns spoof` for `DNS Spoof`
 */
export function canonicalTest(raw: string | null | undefined, compat = false): string {
  if (raw === null || raw === undefined) return INVALID;
  const table = compat ? V2 : OURS;
  const known = (name: string) => (Object.hasOwn(table, name) ? table[name] : undefined);
  const lower = raw.toLowerCase();
  return known(raw) ?? known(lower) ?? lower;
}

/** Tests that sent measurements in some year, by canonical name. New ones come: who asks for another is not wrong. */
export const KNOWN_TESTS: readonly string[] = [
  ...new Set(Object.values(OURS).filter((name) => name !== INVALID)),
  'browser_web',
  'dash',
  'dns_check',
  'dns_injection',
  'dns_ping',
  'echcheck',
  'example',
  'facebook_messenger',
  'http3',
  'imap',
  'lantern',
  'meek_fronted_requests_test',
  'ndt',
  'openvpn',
  'portfiltering',
  'psiphon',
  'quicping',
  'riseupvpn',
  'run',
  'sni_blocking',
  'signal',
  'simplequicping',
  'smtp',
  'snowflake',
  'stunreachability',
  'tcp_ping',
  'telegram',
  'tls_middlebox',
  'tls_ping',
  'tor',
  'torsf',
  'urlgetter',
  'vanilla_tor',
  'web_connectivity',
  'whatsapp',
];
