// Tests of DNS: queries and answers out of the texts that Twisted printed, and what was tampered with by resolver.
import { arrayOf, booleanOf, isTruthy, type Node, Obj, objectOf, textOf } from '../nodes.ts';
import type { Run } from './run.ts';

/** Rules of a DNS test, on its `test_keys`. */
export function dnsRules(test: string, keys: Obj, run: Run): void {
  keys.delete('test_resolvers');
  tampering(test, keys, run);
  const given = keys.get('queries');
  const queries = arrayOf(given);
  if (!queries && isTruthy(given)) keys.set('queries_', given!);
  keys.set(
    'queries',
    (queries ?? []).map((query) => normQuery(query, run)),
  );
}

/** Resolver → true, false or an error. Who answered as the control did counts among the failed ones too. */
function tampering(test: string, keys: Obj, run: Run): void {
  const given = objectOf(keys.take('tampering'));
  if (given && given.size > 0) {
    run.fire('dns.tampering');
    const resolvers = given.entries().map(([resolver, value]) => ({ resolver, value: booleanOf(value) }));
    const where = (test: (value: boolean | undefined) => boolean) =>
      resolvers.filter(({ value }) => test(value)).map(({ resolver }) => resolver);
    keys.set('errors', given);
    keys.set(
      'successful',
      where((value) => value === false),
    );
    keys.set(
      'failed',
      where((value) => value !== true),
    );
    keys.set(
      'inconsistent',
      where((value) => value === true),
    );
  } else if (test === 'dns_consistency') {
    run.fire('dns.tampering');
    keys.set('errors', new Obj());
    for (const key of ['successful', 'failed', 'inconsistent']) keys.set(key, []);
  }
}

function normQuery(node: Node, run: Run): Node {
  const query = objectOf(node);
  if (!query) {
    run.fire('dns.odd_query');
    return node;
  }
  run.fire('dns.queries');
  const asked = query.take('query');
  const text = textOf(asked);
  if (text !== undefined || !query.has('hostname')) {
    query.set('hostname', text === undefined ? null : (/\[Query\('(.*)'/s.exec(text)?.[1] ?? ''));
  }
  const given = query.take('resolver');
  const resolver = arrayOf(given);
  if (resolver || !(query.has('resolver_hostname') || query.has('resolver_port'))) {
    query.set('resolver_hostname', resolver?.[0] ?? null);
    query.set('resolver_port', resolver?.[1] ?? null);
  }
  query.delete('addrs');
  const answers = (arrayOf(query.get('answers')) ?? []).flatMap((answer) => normAnswer(answer, run));
  query.set('answers', answers);
  const failure = query.get('failure');
  query.set('failure', !isTruthy(failure) && answers.length === 0 ? 'no_answer' : (failure ?? null));
  return query;
}

/** A label starts and ends with a letter or digit; an underscore ends a name. */
const HOST = '((?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?\\.)*[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)';
const field = (name: string, value: string) => new RegExp(`(?:^|[^A-Za-z])${name}=${value}`);
const host = (name: string) => field(name, HOST);
const digits = (name: string) => field(name, '(\\d+)');
const IPV4 = /(?:^|[^A-Za-z])address=(\d{1,3}(?:\.\d{1,3}){3})/;
const IPV6 = /(?:^|[^A-Za-z])address=([0-9a-fA-F:.]*:[0-9a-fA-F:.]*)/;

const TTL = digits('ttl');
const TYPE = field('type', '([A-Za-z]+)');

/** Members of an answer by type of record, each with where its text stands in what was printed. */
const PAYLOADS: Record<string, Record<string, RegExp>> = {
  A: { ipv4: IPV4 },
  AAAA: { ipv6: IPV6 },
  MX: { hostname: host('name'), preference: digits('preference') },
  PTR: { hostname: host('name') },
  CNAME: { hostname: host('name') },
  SOA: {
    responsible_name: host('rname'),
    hostname: host('mname'),
    serial_number: digits('serial'),
    refresh_interval: digits('refresh'),
    retry_interval: digits('retry'),
    minimum_ttl: digits('minimum'),
    expiration_limit: digits('expire'),
  },
};

/** Pipeline v2 looked for an address in MX, found a name nowhere, and did not know AAAA. */
const V2_PAYLOADS: typeof PAYLOADS = {
  ...PAYLOADS,
  AAAA: {},
  MX: { hostname: IPV4, preference: digits('preference') },
};

/** A pair of texts → an answer; an empty one is none. One that has its shape already keeps it. */
function normAnswer(node: Node, run: Run): Node[] {
  const pair = arrayOf(node);
  if (!pair) return isTruthy(node) ? [node] : [];
  if (pair.length === 0) return [];
  const find = (text: string, pattern: RegExp) => pattern.exec(text)?.[1] ?? '';
  const [header, payload] = [textOf(pair[0]) ?? '', textOf(pair[1]) ?? ''];
  const type = find(header, TYPE);
  const answer = Obj.of({ ttl: find(header, TTL), answer_type: type });
  const payloads = run.compat ? V2_PAYLOADS : PAYLOADS;
  const members = Object.hasOwn(payloads, type) ? payloads[type]! : {};
  for (const [key, pattern] of Object.entries(members)) answer.set(key, find(payload, pattern));
  return [answer];
}
