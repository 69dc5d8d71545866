// The plan of a listing against a store in memory: what it lists is what the filters admit, all of it, in order and once.
import fc from 'fast-check';
import t from 'tap';
import { selects } from '../../src/edge/listing.ts';
import {
  type Branch,
  branchInto,
  branchOfPath,
  type KeyFilter,
  type KeyRange,
  stepOf,
  wholeLayouts,
} from '../../src/record/keyplan.ts';
import { type CanName, canName, compareKeys, keyFolder, parseKey } from '../../src/record/names.ts';

interface Asked {
  found: string[];
  /** Requests, if a page had no end. */
  calls: number;
  prefixes: string[];
}

const inRange =
  ({ prefix, after, until }: KeyRange) =>
  (key: string) =>
    key.startsWith(prefix) && compareKeys(key, after) > 0 && (until === undefined || compareKeys(key, until) < 0);

/** Follows a plan through a sorted list of keys, as listBucket does through a bucket. */
function follow(keys: string[], filter: KeyFilter, branches: Branch[]): Asked {
  const asked: Asked = { found: [], calls: 0, prefixes: [] };
  const into = (all: Branch[]): void => {
    for (const branch of all) {
      const step = stepOf(filter, branch);
      if ('into' in step) into(step.into);
      else if ('objects' in step) {
        asked.calls++;
        asked.prefixes.push(step.objects.prefix);
        asked.found.push(...keys.filter(inRange(step.objects)));
      } else {
        asked.calls++;
        const depth = branch.parts.length + 1;
        const folders = new Set(keys.filter(inRange(step.folders)).map((key) => key.split('/')[depth]!));
        for (const folder of folders) {
          const next = branchInto(filter, branch, folder);
          if (next) into([next]);
        }
      }
    }
  };
  into(branches);
  return asked;
}

function keyOf(can: CanName, ext: string): string {
  return `${keyFolder(can)}/${canName(can)}${ext}`;
}

// Few values, so that filters hit.
const cc = fc.constantFrom('DE', 'IT', 'IR', 'US', 'ZZ', 'AA');
const test = fc.constantFrom('ndt', 'tor', 'torsf', 'webconnectivity');
const time = fc.oneof(
  fc.integer({ min: Date.UTC(2020, 9, 18) / 3_600_000, max: Date.UTC(2020, 9, 23) / 3_600_000 }),
  fc.integer({ min: Date.UTC(2019, 11, 30) / 3_600_000, max: Date.UTC(2021, 0, 3) / 3_600_000 }),
);
const digits = (hours: number) => new Date(hours * 3_600_000).toISOString().replace(/\D/g, '').slice(0, 10);
const ext = fc.constantFrom('.jsonl.gz', '.tar.gz', '.rows.jsonl.gz');
const canKey = fc
  .tuple(time, cc, test, fc.boolean(), fc.nat(2), ext)
  .map(([hours, cc, test, isHour, n, ext]) =>
    isHour
      ? keyOf({ kind: 'hour', hour: digits(hours), cc, test, host: 'n0', counter: n }, ext)
      : keyOf({ kind: 'day', day: digits(hours).slice(0, 8), cc, test, mark: 'l', id: String(n) }, ext),
  );
const foreign = fc.constantFrom(
  'canned/2016-01-01/x.tar.lz4',
  'raw/notes.txt',
  'raw/20201332/10/IT/ndt/x',
  'jsonl/ndt/it/x',
  'zzz',
);
const moment = fc.option(
  time.map((hours) => hours * 3_600_000),
  { nil: undefined },
);
const day = fc.option(
  time.map((hours) => Math.floor(hours / 24) * 86_400_000),
  { nil: undefined },
);
const filter: fc.Arbitrary<KeyFilter> = fc.record({
  cc: fc.array(cc, { maxLength: 5 }),
  tests: fc.array(test, { maxLength: 3 }),
  from: fc.oneof(moment, day),
  to: fc.oneof(moment, day),
  measuredFrom: fc.oneof({ weight: 3, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: moment }),
});

function admitted(filter: KeyFilter, key: string): boolean {
  const found = parseKey(key);
  if (!found) return false;
  const { can } = found;
  return selects({ ...filter, kinds: [] }, can.kind === 'hour' ? { ...can } : { ...can, day: can.day });
}

t.test('what is admitted is listed, once and in order', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof({ weight: 12, arbitrary: canKey }, { weight: 1, arbitrary: foreign }), { maxLength: 120 }),
      filter,
      (some, filter) => {
        const keys = [...new Set(some)].sort(compareKeys);
        const { found } = follow(keys, filter, wholeLayouts());
        t.same(found, [...new Set(found)].sort(compareKeys), 'in order, and none twice');
        const wanted = keys.filter((key) => admitted(filter, key));
        t.same(
          found.filter((key) => admitted(filter, key)),
          wanted,
        );
      },
    ),
    { numRuns: 400 },
  );
  t.end();
});

t.test('a folder within a layout lists what lies in it', (t) => {
  fc.assert(
    fc.property(
      fc.array(canKey, { minLength: 1, maxLength: 60 }),
      filter,
      fc.nat(),
      fc.integer({ min: 1, max: 6 }),
      (some, filter, n, deep) => {
        const keys = [...new Set(some)].sort(compareKeys);
        const path = keys[n % keys.length]!.split('/').slice(0, deep).join('/');
        const { root, branch } = branchOfPath(`mirror/of/${path}`)!;
        t.equal(root, 'mirror/of');
        const { found } = follow(keys, filter, [branch]);
        const inside = keys.filter((key) => key === path || key.startsWith(`${path}/`));
        t.same(
          found.filter((key) => admitted(filter, key)),
          inside.filter((key) => admitted(filter, key)),
        );
        t.same(
          found.filter((key) => !inside.includes(key)),
          [],
          'and nothing beside it',
        );
      },
    ),
    { numRuns: 200 },
  );
  t.equal(branchOfPath('some/where'), undefined);
  t.equal(branchOfPath('raw/2024/x'), undefined);
  t.equal(branchOfPath('raw/raw/20240201')!.root, 'raw');
  t.end();
});

/** A bucket of three days, with every hour of ten countries and four tests. */
function manyKeys(): string[] {
  const keys: string[] = [];
  for (let hours = Date.UTC(2024, 1, 1) / 3_600_000; hours < Date.UTC(2024, 1, 4) / 3_600_000; hours++)
    for (const cc of ['BR', 'DE', 'FR', 'GB', 'IN', 'IR', 'IT', 'RU', 'TR', 'US'])
      for (const test of ['ndt', 'telegram', 'tor', 'webconnectivity'])
        keys.push(keyOf({ kind: 'hour', hour: digits(hours), cc, test, host: 'n0', counter: 0 }, '.jsonl.gz'));
  for (const test of ['ndt', 'webconnectivity'])
    for (const cc of ['IT', 'US'])
      for (const day of ['20200920', '20200921', '20201020'])
        keys.push(keyOf({ kind: 'day', day, cc, test, mark: 'l', id: '0' }, '.jsonl.gz'));
  return keys.sort(compareKeys);
}

t.test('the prefixes are the narrowest', (t) => {
  const keys = manyKeys();
  const plan = (filter: Partial<KeyFilter>) => follow(keys, { cc: [], tests: [], ...filter }, wholeLayouts());
  const from = Date.UTC(2024, 1, 1);
  const to = Date.UTC(2024, 1, 2);
  const one = plan({ cc: ['IT'], tests: ['webconnectivity'], from, to });
  t.same(one.prefixes.slice(0, 3), [
    'jsonl/webconnectivity/IT/20240201',
    'raw/20240201/00/IT/webconnectivity/',
    'raw/20240201/01/IT/webconnectivity/',
  ]);
  t.equal(one.calls, 26, 'which days there are, 24 hours, and the old layout');
  t.equal(one.found.length, 24, 'and nothing but what was asked for');
  t.equal(
    plan({ cc: ['IT'], tests: ['webconnectivity'], from: from + 36e5, to: from + 3 * 36e5 }).calls,
    4,
    'two hours',
  );
  const country = plan({ cc: ['IT'], from, to });
  t.same(country.prefixes.filter((prefix) => prefix.startsWith('raw/')).slice(0, 1), ['raw/20240201/00/IT/']);
  t.equal(
    plan({ cc: ['BR', 'DE', 'FR', 'GB', 'IT'], from, to }).prefixes.at(-1),
    'raw/20240201/',
    'many: a day as a whole',
  );
  t.same(plan({ tests: ['tor'], from, to }).prefixes, ['raw/20240201/']);
  t.same(plan({}).prefixes, ['jsonl/', 'raw/']);
  const old = plan({ cc: ['IT'], tests: ['webconnectivity'], from: Date.UTC(2020, 8, 20), to: Date.UTC(2020, 8, 22) });
  t.same(
    old.prefixes,
    ['jsonl/webconnectivity/IT/2020092'],
    'a day that the new layout has not is not asked for by hour',
  );
  t.equal(old.calls, 2);
  t.end();
});
