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

interface Departure {
  why: string;
  is(one: Difference): boolean;
}

/** Of `--unknown keep`, which is v2's way. */
const OF_V2: Departure[] = [
  {
    why: 'a fingerprint of the database becomes its hash wherever it stands, in the line of an unknown bridge too',
    is: ({ at, v2, ours }) => at === 'input' && PLACE.test(`${v2}`) && HASH.test(`${ours}`.split(' ')[2] ?? ''),
  },
  {
    why: 'a record that was sanitised before stays as it is: v2 takes its hash for a bridge address, and forgets what it knew',
    is: ({ at, v2, ours }) =>
      (at === 'test_keys.bridge_address' && HASH.test(`${v2}`) && ours === null) ||
      (at === 'test_keys.bridge_hashed_fingerprint' && v2 === null && HASH.test(`${ours}`)) ||
      (at === 'test_keys.distributor' && v2 === null && ours === 'tbb'),
  },
];

/** Of what the pair has. */
const OF_PAIR: Departure[] = [
  ...OF_V2,
  {
    why: 'a log that is null becomes empty text, as later v2 had it',
    is: ({ at, v2, ours }) => at === 'test_keys.tor_log' && v2 === null && ours === '',
  },
  {
    why: 'the transport of the database is told, as later v2 had it',
    is: ({ at, v2 }) => at === 'test_keys.transport' && v2 === undefined,
  },
  {
    why: 'names of files and ids of the records are those of another report',
    is: ({ at }) =>
      /^(?:id|report_filename|report_id|test_keys\.report_file|test_start_time|measurement_start_time)$/.test(at),
  },
];

function sanitiser(mapping: string, more: object): Sanitiser {
  const database = { ...JSON.parse(readFileSync(mapping, 'utf8')), ...more };
  return new Sanitiser(new BridgeDatabase(readBridges(Buffer.from(JSON.stringify(database)))), {
    ...{
      unknown: 'keep',
      key: undefined,
      search: true,
      probeIp: true,
      resolver: false,
      scrubs: [],
      annotations: undefined,
    },
  });
}

const MAPPING = join(data, 'sanitise-pair/exampledata/path_to_ip_port_based_mapping.json');
/** What the oracle's makers added to the mapping. */
const ADDED = {
  '213.138.109.144:80': { distributor: null, transport: null, fingerprint: 'AF9F66B7B04F8FF6F32D455F05135250A16543C9' },
};

const lines = (path: string) => readFileSync(path, 'utf8').split('\n').filter(Boolean);
const isOfBridges = (line: string) => /^(?:bridge_reachability|tcp_connect)$/.test(JSON.parse(line).test_name);

/** Compares pairs of records, prints the table, and tells how many records were the same. */
function compare(t: Test, pairs: [string, string][], one: Sanitiser, departures: Departure[]): number {
  const table = new Map<string, number>();
  let same = 0;
  for (const [given, wanted] of pairs) {
    const { document } = one.sanitise(Buffer.from(given));
    const found = differences(JSON.parse(wanted), JSON.parse(document!.toString()));
    if (found.length === 0) same++;
    for (const difference of found) {
      const departure = departures.find(({ is }) => is(difference));
      if (departure) table.set(departure.why, (table.get(departure.why) ?? 0) + 1);
      else t.fail('a difference that no departure explains', { difference });
    }
  }
  t.comment(`${pairs.length} records, ${same} the same; departures:`);
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
  const same = compare(t, pairs, sanitiser(MAPPING, ADDED), OF_V2);
  t.ok(same >= pairs.length * 0.8, `${same} are the same`);
  t.end();
});

t.test('the pair of a raw and a sanitised report', skip, (t) => {
  const of = (kind: string) =>
    lines(
      join(data, 'oracle-v2/v2-without-crashes/sanitise-pair/exampledata', kind, '2012-01-01T120000Z_AS3.yamloo.jsonl'),
    );
  const [raw, wanted] = [of('reports/IT'), of('sanitised')];
  t.equal(raw.length, wanted.length);
  compare(
    t,
    raw.map((line, i) => [line, wanted[i]!]),
    sanitiser(MAPPING, {}),
    OF_PAIR,
  );
  t.end();
});

t.test('nothing of the database is left in any real record, whatever is done with unknown bridges', skip, (t) => {
  const mapping = JSON.parse(readFileSync(MAPPING, 'utf8')) as Record<string, { fingerprint: string }>;
  const secrets = Object.entries(mapping).flatMap(([key, { fingerprint }]) => [
    key.split(':')[0]!,
    fingerprint.toLowerCase(),
  ]);
  const one = sanitiser(MAPPING, {});
  let count = 0;
  for (const file of readdirSync(join(data, 'oracle-v2/v2-without-crashes'), { recursive: true }).map(String)) {
    if (!file.endsWith('.jsonl')) continue;
    for (const line of lines(join(data, 'oracle-v2/v2-without-crashes', file))) {
      const text = one.sanitise(Buffer.from(line)).document!.toString().toLowerCase();
      count++;
      for (const secret of secrets)
        t.notMatch(text, new RegExp(`(?<![0-9.])${secret.replaceAll('.', '\\.')}(?![0-9]|\\.[0-9])`), file);
    }
  }
  t.ok(count > 300, `${count} records`);
  t.end();
});
