// Tests of DNS: queries and answers out of the texts that Twisted printed, and what was tampered with by resolver.
import { arrayOf, booleanOf, isNull, isTruthy, type Node, Obj, objectOf } from '../nodes.ts';
import type { Run } from './run.ts';
import { printedText } from './text.ts';

/** Rules of a DNS test, on its `test_keys`. */
export function dnsRules(test: string, keys: Obj, run: Run): void {
  const had = keys.delete('test_resolvers');
  tampering(test, keys, run);
  const given = keys.get('queries');
  const queries = arrayOf(given);
  if (!queries && !isNull(given)) run.setAside(keys, 'queries', given!);
  const norm = (queries ?? []).map((query) => normQuery(query, run));
  run.fire('dns.queries', keys.set('queries', norm) || had);
}

/** Resolver → true, false or an error. Who answered as the control did counts among the failed ones too. */
function tampering(test: string, keys: Obj, run: Run): void {
  const taken = keys.take('tampering');
  const given = objectOf(taken);
  if (!given && isTruthy(taken)) run.setAside(keys, 'tampering', taken!);
  const isTold = given !== undefined && given.size > 0;
  run.fire('dns.tampering', taken !== undefined);
  if (!isTold && test !== 'dns_consistency') return;

  const resolvers = given?.entries().map(([resolver, value]) => ({ resolver, value: booleanOf(value) })) ?? [];
  const where = (test: (value: boolean | undefined) => boolean) =>
    resolvers.filter(({ value }) => test(value)).map(({ resolver }) => resolver);
  const told: Record<string, Node> = {
    errors: given ?? new Obj(),
    successful: where((value) => value === false),
    failed: where((value) => value !== true),
    inconsistent: where((value) => value === true),
  };
  for (const [key, node] of Object.entries(told)) {
    const known = keys.get(key);
    // A later probe told them by itself.
    if (!isTold && !isNull(known)) continue;
    if (!isNull(known)) run.setAside(keys, key, known!);
    run.fire('dns.tampering', keys.set(key, node));
  }
}

function normQuery(node: Node, run: Run): Node {
  const query = objectOf(node);
  if (!query) {
    run.fire('dns.odd_query');
    return node;
  }
  const asked = query.take('query');
  const text = printedText(asked);
  const [, host] = /\[Query\('(.*)'/s.exec(text ?? '') ?? [];
  if (text !== undefined || !query.has('hostname')) query.set('hostname', text === undefined ? null : (host ?? ''));
  if (host === undefined && isTruthy(asked)) run.setAside(query, 'query', asked!);

  const given = query.take('resolver');
  const resolver = arrayOf(given);
  if (resolver ? resolver.length > 2 : isTruthy(given)) run.setAside(query, 'resolver', given!);
  for (const [i, key] of ['resolver_hostname', 'resolver_port'].entries())
    if (resolver || !query.has(key)) query.set(key, resolver?.[i] ?? null);

  query.delete('addrs');
  const listed = query.get('answers');
  if (!arrayOf(listed) && isTruthy(listed)) run.setAside(query, 'answers', listed!);
  const answers = (arrayOf(listed) ?? []).flatMap((answer) => normAnswer(answer, run));
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
  const [header, payload] = [printedText(pair[0]) ?? '', printedText(pair[1]) ?? ''];
  const type = find(header, TYPE);
  const answer = Obj.of({ ttl: find(header, TTL), answer_type: type });
  const payloads = run.compat ? V2_PAYLOADS : PAYLOADS;
  const members = Object.hasOwn(payloads, type) ? payloads[type]! : {};
  for (const [key, pattern] of Object.entries(members)) answer.set(key, find(payload, pattern));
  return [answer];
}
