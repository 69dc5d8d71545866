// What every rule gets besides the record.
import type { Node, Obj } from '../nodes.ts';

/** Every rule by the name that `--explain` tells; the manual has this list. */
export const RULES = {
  'report.merged': 'members of report became members of the record, and won over those of the same name',
  'report_id.made': 'a record without report_id got one, the same at every run',
  'test_name.canonical': 'test_name became the name that the test has today',
  origin: 'bucket_date and report_filename became those of the row',
  'id.made': 'a record without id got one, the same at every run',
  'times.utc': 'the times of an old record became test_start_time and measurement_start_time, in UTC',
  'times.odd': 'test_start_time lies before 2012 or in the future; it was kept',
  'format.raised': 'data_format_version of an old record became 0.2.0',
  'options.subargs': 'of options only the arguments of the test itself were kept',
  'test_keys.moved': 'members that do not belong at the top moved into test_keys',
  'schema.filled': 'members that every record has were missing, and became null',
  set_aside: 'what had no place was kept under its name with an underscore behind',
  'text.nul': 'NUL went out of a text; with --keep-nul the text became base64',
  'http.input': 'the URL among the options became the input',
  'http.pair': 'the single request and response became one of requests',
  'http.requests': 'requests got one shape: bodies, headers, tor, order',
  'http.odd_request': 'one of requests has neither request nor response; it was kept as it is',
  'http.odd_tor': 'tor is of no known form, or tells more than there is a place for',
  'http.headers_diff': 'headers_diff became a sorted list',
  'dns.tampering': 'tampering became errors, successful, failed and inconsistent',
  'dns.queries': 'queries got one shape: hostname, resolver, answers; addrs and test_resolvers went',
  'dns.odd_query': 'one of queries is no object; it was kept as it is',
  packets: 'sent_packets and answered_packets became lists of packets, their bytes in base64',
  'tls.certificate': 'the serial number became hexadecimal, the session key base64, the names text',
  'captive_portal.addresses': 'the addresses of google_dns_cp became a sorted list',
} as const;

export type RuleName = keyof typeof RULES;

export interface RuleOptions {
  /** As pipeline v2 did it, where its way is offered. */
  compat?: boolean;
  /** Keep NUL in bodies and header values: such text becomes a base64 dict. */
  keepNul?: boolean;
  /** `YYYY-MM-DD HH:MM:SS`: what starts later, starts in the future. */
  now?: string;
}

/** One record's run through the rules. */
export class Run {
  readonly compat: boolean;
  readonly keepNul: boolean;
  /** The record was YAML: its base64 dicts are bytes that `cat` had to write as JSON. */
  readonly fromYaml: boolean;
  /** Rules that changed something, or saw something odd, in order. */
  readonly fired: RuleName[] = [];

  constructor({ compat = false, keepNul = false }: RuleOptions, fromYaml: boolean) {
    this.compat = compat;
    this.keepNul = keepNul;
    this.fromYaml = fromYaml;
  }

  /** @param did whether it changed anything */
  fire(rule: RuleName, did = true): void {
    if (did && !this.fired.includes(rule)) this.fired.push(rule);
  }

  /** What has no place of its own any more is kept under a name with an underscore behind. */
  setAside(members: Obj, key: string, node: Node): void {
    let name = `${key}_`;
    while (members.has(name)) name += '_';
    members.set(name, node);
    this.fire('set_aside');
  }
}
