// Which rules a test's records go through.
import { isTruthy, type Obj } from '../nodes.ts';
import { dnsRules } from './dns.ts';
import { httpRules } from './http.ts';
import { captivePortalRules, exchangeRules, tlsRules } from './others.ts';
import { packetRules } from './packets.ts';
import type { Run } from './run.ts';

type Rule = (record: Obj, keys: Obj, run: Run) => void;

const http: Rule = httpRules;
const dns =
  (test: string): Rule =>
  (_, keys, run) =>
    dnsRules(test, keys, run);
const packets: Rule = (_, keys, run) => packetRules(keys, run);
const exchange: Rule = (_, keys, run) => exchangeRules(keys, run);

/** Pipeline v2 kept the suffix of these names, so that its rules passed them by. */
const httpWhereRequests: Rule = (record, keys, run) => {
  const any = keys.has('requests') || (isTruthy(keys.get('request')) && isTruthy(keys.get('response')));
  if (any && !run.compat) httpRules(record, keys, run);
};

const RULES: Readonly<Record<string, readonly Rule[]>> = {
  http_requests: [http],
  meek_fronted_requests: [http],
  domclass_collector: [http],
  http_keyword_filtering: [http],
  http_uk_mobile_networks: [http],
  http_header_field_manipulation: [http],
  http_url_list: [http],
  http_host: [http],
  squid: [http],
  captive_portal: [http, dns('captive_portal'), (_, keys, run) => captivePortalRules(keys, run)],
  psiphon: [http],
  tor_http_requests_test: [http],
  meek_fronted_requests_test: [httpWhereRequests],
  psiphon_test: [httpWhereRequests],
  lantern_circumvention_tool_test: [httpWhereRequests],
  dns_consistency: [dns('dns_consistency')],
  dns_injection: [dns('dns_injection')],
  chinatrigger: [packets],
  keyword_filtering: [packets],
  parasitic_traceroute: [packets],
  multi_protocol_traceroute: [packets],
  dns_spoof: [packets],
  tls_handshake: [(_, keys, run) => tlsRules(keys, run)],
  http_filtering_bypass: [exchange],
  http_invalid_request_line: [exchange],
  http_trix: [exchange],
};

/** Brings `test_keys` of an old record into the shape that its test has today. */
export function testRules(test: string, record: Obj, keys: Obj, run: Run): void {
  for (const rule of Object.hasOwn(RULES, test) ? RULES[test]! : []) rule(record, keys, run);
}
