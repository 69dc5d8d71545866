// What every rule gets besides the record.
import type { Node, Obj } from '../nodes.ts';

/** Every rule by its name, as `--explain` and the manual tell it. */
export const RULES = {
  'report.merged': "the members of report are the record's own, and win",
  'report_id.made': 'a record without report_id got one, always the same',
  'test_name.canonical': 'test_name is the name that the test has today',
  origin: 'bucket_date and report_filename are those of the row',
  'id.made': 'a record without id got one, always the same',
  'times.utc': 'start_time and the other times of an old record are test_start_time and measurement_start_time, in UTC',
  'times.odd': 'test_start_time lies before 2012 or in the future; it is kept',
  'format.raised': 'data_format_version of an old record is 0.2.0',
  'options.subargs': 'of options only what was given to the test itself is kept',
  'test_keys.moved': 'members that do not belong at the top stand in test_keys',
  'schema.filled': 'members that every record has were missing, and are null',
  set_aside: 'what had no place is kept under its name with an underscore behind',
  'text.nul': 'NUL went out of a body, a header value or another text, or, with --keep-nul, the text became base64',
  'http.input': 'the URL in options is the input',
  'http.pair': 'the single request and response of the record are one of its requests',
  'http.requests': 'requests, headers and tor have one shape; first the experiment, then its control',
  'http.odd_request': 'one of the requests has neither request nor response, and is kept as it is',
  'http.odd_tor': 'tor has a form of its own, or tells of an exit where none is expected',
  'http.headers_diff': 'headers_diff is a sorted list',
  'dns.tampering': 'tampering is told as errors, successful, failed and inconsistent',
  'dns.queries': 'queries and their answers are read from the text that was printed, and test_resolvers is gone',
  'dns.odd_query': 'one of the queries is no object, and is kept as it is',
  packets: 'sent_packets and answered_packets are lists of packets, in base64',
  'tls.certificate': 'the serial number is hexadecimal, the session key base64, the names are text',
  'captive_portal.addresses': 'the addresses of google_dns_cp are a sorted list',
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
