// Pipeline v2's own output on real reports of the two tests of bridges, and the pair of a raw and a sanitised report
// that came with it. What is done otherwise on purpose is listed, with its reason.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { BridgeDatabase, readBridges } from '../../src/record/bridges.ts';
import { Sanitiser } from '../../src/record/sanitise.ts';
import { sharedData } from '../lib.ts';

const data = sharedData() ?? '';
const skip = existsSync(join(data, 'oracle-v2'))
  ? {}
  : { skip: 'no real data here: CANNERY_REAL_DATA names their folder' };

type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

interface Difference {
  at: string;
  v2: Json | undefined;
  ours: Json | undefined;
}

function differences(v2: Json | undefined, ours: Json | undefined, at = ''): Difference[] {
  const isObject = (value: Json | undefined): value is { [name: string]: Json } =>
    typeof value === 'object' && value !== null;
  if (!isObject(v2) || !isObject(ours)) return v2 === ours ? [] : [{ at, v2, ours }];
  return [...new Set([...Object.keys(v2), ...Object.keys(ours)])].flatMap((name) =>
    differences(v2[name], ours[name], at ? `${at}.${name}` : name),
  );
}

const HASH = /^[0-9a-f]{40}$/;
const PLACE = /^\S+ \d+(?:\.\d+){3}:\d+ [0-9A-F]{40}$/;
const PLACE_ALONE = /^\d+(?:\.\d+){3}:\d+$/;

interface Departure {
  why: string;
  /** @param v2 the record as v2 left it */
  is(one: Difference, v2: { [name: string]: Json }): boolean;
}

/** Of `--unknown keep`, which is v2's way. */
const OF_V2: Departure[] = [
  {
    why: 'a fingerprint of the database becomes its hash wherever it stands, in the line of an unknown bridge too',
    is: ({ at, v2, ours }) => at === 'input' && PLACE.test(`${v2}`) && HASH.test(`${ours}`.split(' ')[2] ?? ''),
  },
  {
    why: 'a record that was sanitised before stays as it is: v2 takes its hash for a bridge address, and forgets what it knew',
    is: ({ at, v2, ours }, { input }) =>
      HASH.test(`${input}`) &&
      ((at === 'test_keys.bridge_address' && HASH.test(`${v2}`) && ours === null) ||
        (at === 'test_keys.bridge_hashed_fingerprint' && v2 === null && HASH.test(`${ours}`)) ||
        (at === 'test_keys.distributor' && v2 === null && ours === 'tbb')),
  },
];

/** Of what is done by default. */
const OF_REDACTING: Departure[] = [
  ...OF_V2,
  {
    why: 'the address of an unknown bridge is not published: v2 leaves it in bridge_address',
    is: ({ at, v2, ours }) => at === 'test_keys.bridge_address' && PLACE_ALONE.test(`${v2}`) && ours === null,
  },
  {
    why: 'nor in input: the hash of its fingerprint stands there',
    is: ({ at, v2, ours }) =>
      (at === 'input' || at === 'test_keys.bridge_hashed_fingerprint') &&
      (v2 === null || PLACE.test(`${v2}`)) &&
      HASH.test(`${ours}`),
  },
  {
    why: 'a bridge that stands with another address in the database is known by its fingerprint',
    is: ({ at, v2, ours }) => at === 'test_keys.transport' && v2 === undefined && ours === null,
  },
];

/** Of what the pair has. */
const OF_PAIR: Departure[] = [
  {
    why: 'a log that is null becomes empty text, as later v2 had it',
    is: ({ at, v2, ours }) => at === 'test_keys.tor_log' && v2 === null && ours === '',
  },
  {
    why: 'the transport of the database is told, as later v2 had it',
    is: ({ at, v2 }) => at === 'test_keys.transport' && v2 === undefined,
  },
];

/** Those of the sanitised report are of its own: it had been written again. */
const NAMES = /^(?:id|report_filename|test_keys\.report_file)$/;

function sanitiser(mapping: string, more: object, unknown: 'keep' | 'redact' = 'keep'): Sanitiser {
  const database = { ...JSON.parse(readFileSync(mapping, 'utf8')), ...more };
  return new Sanitiser(new BridgeDatabase(readBridges(Buffer.from(JSON.stringify(database)))), {
    unknown,
    key: undefined,
    search: true,
    probeIp: true,
    resolver: false,
    scrubs: [],
    annotations: undefined,
  });
}

const MAPPING = join(data, 'sanitise-pair/exampledata/path_to_ip_port_based_mapping.json');
/** What the oracle's makers added to the mapping. */
const ADDED = {
  '213.138.109.144:80': { distributor: null, transport: null, fingerprint: 'AF9F66B7B04F8FF6F32D455F05135250A16543C9' },
};

const lines = (path: string) => readFileSync(path, 'utf8').split('\n').filter(Boolean);
const isOfBridges = (line: string) => /^(?:bridge_reachability|tcp_connect)$/.test(JSON.parse(line).test_name);

/** Compares pairs of records but for some members, prints the table, and tells how many records were the same. */
function compare(
  t: Test,
  what: string,
  pairs: [string, string][],
  one: Sanitiser,
  departures: Departure[],
  but: RegExp = /^$/,
): number {
  const table = new Map<string, number>();
  let same = 0;
  for (const [given, wanted] of pairs) {
    const { document } = one.sanitise(Buffer.from(given));
    const found = differences(JSON.parse(wanted), JSON.parse(document!.toString())).filter(({ at }) => !but.test(at));
    if (found.length === 0) same++;
    for (const difference of found) {
      const departure = departures.find(({ is }) => is(difference, JSON.parse(wanted)));
      if (departure) table.set(departure.why, (table.get(departure.why) ?? 0) + 1);
      else t.fail('a difference that no departure explains', { difference });
    }
  }
  t.comment(`${what}: ${pairs.length} records, ${same} the same; departures:`);
  for (const [why, count] of table) t.comment(`${String(count).padStart(5)}  ${why}`);
  return same;
}

t.test("v2's output on real reports", skip, (t) => {
  const sanitised = join(data, 'oracle-v2/v2-without-crashes-sanitised');
  const pairs = readdirSync(sanitised, { recursive: true })
    .map(String)
    .filter((file) => file.endsWith('.jsonl'))
    .flatMap((file) => {
      const given = lines(join(data, 'oracle-v2/v2-without-crashes', file)).filter(isOfBridges);
      const wanted = lines(join(sanitised, file));
      t.equal(given.length, wanted.length, file);
      return given.map((line, i): [string, string] => [line, wanted[i]!]);
    });
  t.ok(pairs.length >= 80, `${pairs.length} records`);
  const same = compare(t, 'as v2', pairs, sanitiser(MAPPING, ADDED), OF_V2);
  t.ok(same >= pairs.length * 0.8, `${same} are the same`);
  compare(t, 'by default', pairs, sanitiser(MAPPING, ADDED, 'redact'), OF_REDACTING);
  t.end();
});

t.test('the pair of a raw and a sanitised report', skip, (t) => {
  // Of its YAML v2 made these records; its earlier history has the sanitised report in other forms.
  const folder = join(data, 'oracle-v2/v2-without-crashes/sanitise-pair');
  const raw = lines(join(folder, 'exampledata/reports/IT/2012-01-01T120000Z_AS3.yamloo.jsonl'));
  const reports = readdirSync(folder, { recursive: true }).map(String);
  const sanitised = reports.filter(
    (file) => /\/sanitised\/.*\.jsonl$/.test(`/${file}`) && lines(join(folder, file)).length > 0,
  );
  t.ok(sanitised.length >= 2, `${sanitised}`);
  for (const file of sanitised) {
    const wanted = lines(join(folder, file));
    t.equal(raw.length, wanted.length);
    const pairs = raw.map((line, i): [string, string] => [line, wanted[i]!]);
    compare(t, `${file}, as v2`, pairs, sanitiser(MAPPING, {}), OF_PAIR, NAMES);
    compare(t, `${file}, by default`, pairs, sanitiser(MAPPING, {}, 'redact'), [...OF_PAIR, ...OF_REDACTING], NAMES);
  }
  t.end();
});

t.test('nothing of the database is left in any real record, whatever is done with unknown bridges', skip, (t) => {
  const mapping = JSON.parse(readFileSync(MAPPING, 'utf8')) as Record<string, { fingerprint: string }>;
  const secrets = Object.entries(mapping)
    .flatMap(([key, { fingerprint }]) => [key.split(':')[0]!.replaceAll('.', '\\.'), fingerprint])
    .map((secret) => new RegExp(`(?<![0-9.])${secret}(?![0-9]|\\.[0-9])`, 'i'));
  let count = 0;
  let held = 0;
  for (const unknown of ['keep', 'redact'] as const) {
    const one = sanitiser(MAPPING, {}, unknown);
    for (const file of readdirSync(join(data, 'oracle-v2/v2-without-crashes'), { recursive: true }).map(String)) {
      if (!file.endsWith('.jsonl')) continue;
      for (const line of lines(join(data, 'oracle-v2/v2-without-crashes', file))) {
        const { document } = one.sanitise(Buffer.from(line));
        const left = secrets.filter((secret) => secret.test(document!.toString()));
        if (left.length > 0) t.fail(`${file}: ${left}`);
        if (secrets.some((secret) => secret.test(line))) held++;
        if (!one.sanitise(document!).document!.equals(document!)) t.fail(`${file}: another time changes it`);
        count++;
      }
    }
  }
  t.ok(count > 250 && held > 5, `${count} records, ${held} held some`);
  t.end();
});

/** Every string of a value, names too, and what long base64 in it stands for. */
function* strings(value: Json): Generator<string> {
  if (typeof value === 'string') {
    yield value;
    for (const [run] of value.matchAll(/[A-Za-z0-9+/]{28,}={0,2}/g))
      yield Buffer.from(run, 'base64').toString('latin1');
  } else if (typeof value === 'object' && value !== null) {
    for (const [name, member] of Object.entries(value)) {
      yield name;
      yield* strings(member);
    }
  }
}

t.test('real documents, and a database of every third address in them', skip, (t) => {
  const address =
    /(?<![0-9.])(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(?:\.(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])){3}(?![0-9]|\.[0-9])/g;
  const found = (text: string) => new Set([...strings(JSON.parse(text))].flatMap((one) => one.match(address) ?? []));
  const folder = join(data, 'measurements');
  const documents = readdirSync(folder, { recursive: true })
    .map(String)
    .filter((file) => /^json.*\.(?:json|jsonl|njson)$/.test(file))
    .flatMap((file) => {
      const text = readFileSync(join(folder, file), 'utf8');
      return [text, ...text.split('\n')].filter((one) => isDocument(one));
    });
  const all = new Set(documents.flatMap((text) => [...found(text)]));
  for (const nobody of ['0.0.0.0', '127.0.0.1']) all.delete(nobody);
  const secret = new Set([...all].filter((_, i) => i % 3 === 0));
  const fingerprint = (i: number) => i.toString(16).padStart(40, '0');
  const database = Object.fromEntries(
    [...secret].map((one, i) => [`${one}:${1 + i}`, { fingerprint: fingerprint(i) }]),
  );
  const one = new Sanitiser(new BridgeDatabase(readBridges(Buffer.from(JSON.stringify(database)))), {
    ...{ unknown: 'keep', key: undefined, search: true, probeIp: false, resolver: false, scrubs: [] },
    annotations: undefined,
  });
  let held = 0;
  for (const text of documents) {
    const done = one.sanitise(Buffer.from(text)).document!;
    const [before, after] = [found(text), found(done.toString())];
    const left = [...after].filter((place) => secret.has(place));
    if (left.length > 0) t.fail(`${left.length} of the database are left`);
    const lost = [...before].filter((place) => !secret.has(place) && !after.has(place));
    if (lost.length > 0) t.fail('others went', { lost });
    if (!one.sanitise(done).document!.equals(done)) t.fail('another time changes it');
    if (after.size < before.size) held++;
  }
  t.ok(
    secret.size > 100 && held > 50,
    `${secret.size} of ${all.size} addresses, in ${held} of ${documents.length} documents`,
  );
  t.end();
});

function isDocument(text: string): boolean {
  try {
    return text.startsWith('{') && typeof JSON.parse(text) === 'object';
  } catch {
    return false;
  }
}
