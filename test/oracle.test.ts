// Pipeline v2's own output on real reports against ours, where the real documents are at hand: equal but for the
// departures in the table, which the test prints with how often each was seen.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import t from 'tap';
import { DocumentReader } from '../src/edge/documents.ts';
import { normalise } from '../src/record/normalise.ts';
import { splitLines } from '../src/stream/lines.ts';
import { sharedData } from './lib.ts';

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
type Doc = Record<string, Json>;

interface Difference {
  path: string;
  v2: Json | undefined;
  ours: Json | undefined;
}

/** What differs on purpose. `fits` sees one difference, and the record as v2 had it. */
const DEPARTURES: { what: string; fits(difference: Difference, v2: Doc): boolean }[] = [
  {
    what: 'rules of HTTP apply to meek_fronted_requests_test and psiphon_test too',
    fits: ({ path }, { test_name: test }) =>
      /^(?:meek_fronted_requests|psiphon)_test$/.test(String(test)) && /^\/(?:test_keys\/|input$)/.test(path),
  },
  {
    what: '`DNS Spoof` is dns_spoof, and its packets have their shape',
    fits: ({ path }, { test_name: test }) =>
      test === 'dns spoof' && /^\/test_(?:name|keys\/(?:sent|answered)_packets)/.test(path),
  },
  {
    what: 'a header `[name, "text"]` is the text, not its first character',
    fits: ({ path, v2, ours }) =>
      path.includes('/headers/') && typeof v2 === 'string' && typeof ours === 'string' && ours[0] === v2,
  },
  {
    what: 'bytes that are no text are a base64 dict, not garbled text',
    fits: ({ ours }) => typeof ours === 'object' && (ours as Doc | null)?.format === 'base64',
  },
];

/** Sets have no order, and floats were rounded. */
const UNORDERED = /\/(?:successful|failed|inconsistent|headers_diff)$/;

function* differences(v2: Json | undefined, ours: Json | undefined, path = ''): Generator<Difference> {
  const isObject = (value: Json | undefined): value is Doc =>
    typeof value === 'object' && value !== null && !Array.isArray(value);
  if (isObject(v2) && isObject(ours)) {
    for (const key of new Set([...Object.keys(v2), ...Object.keys(ours)]))
      yield* differences(v2[key], ours[key], `${path}/${key}`);
  } else if (Array.isArray(v2) && Array.isArray(ours) && v2.length === ours.length) {
    const sorted = (list: Json[]) => (UNORDERED.test(path) ? list.map(String).sort() : list);
    const [left, right] = [sorted(v2), sorted(ours)];
    for (let i = 0; i < left.length; i++) yield* differences(left[i], right[i], `${path}/${i}`);
  } else if (typeof v2 === 'number' && typeof ours === 'number') {
    if (Math.abs(v2 - ours) > 1e-9 * Math.max(1, Math.abs(v2))) yield { path, v2, ours };
  } else if (v2 !== ours) yield { path, v2, ours };
}

/** The records of a report, through the readers and the rules. */
async function recordsOf(path: string): Promise<{ records: Doc[]; rejected: string[] }> {
  const rejected: string[] = [];
  const limits = { maxLine: 2 ** 28, onLong: () => ({ write() {}, end() {} }) };
  const reader = new DocumentReader(
    {
      lines: (source) => splitLines(source, limits),
      rejectInPieces: () => ({ write() {}, end() {} }),
      count: (source) => source,
      took() {},
      reject: ({ line, reason }) => rejected.push(`${line}: ${reason}`),
      say() {},
      tally() {},
      refuseRejects() {},
    },
    { maxLine: 2 ** 28, maxDepth: 500, maxInflated: 2 ** 30 },
  );
  const records: Doc[] = [];
  const from = {
    bucket_date: '2016-08-01',
    report_filename: `2016-08-01/${basename(path).replace(/\.\w+$/, '')}.json`,
  };
  for await (const { document } of reader.file(path, 'auto')) {
    const first = Buffer.concat(normalise(document, from).document);
    const again = Buffer.concat(normalise(first, from).document);
    if (!first.equals(again)) throw new Error(`${path}: normalising again changes a record`);
    records.push(JSON.parse(first.toString()));
  }
  return { records, rejected };
}

const data = sharedData();
const skip = data && existsSync(join(data, 'oracle-v2')) ? false : 'the real reports are not at hand';

for (const oracle of ['v2', 'v2-without-crashes']) {
  t.test(`${oracle}: every record as pipeline v2 made it`, { skip }, async (t) => {
    const folder = join(data!, 'oracle-v2', oracle);
    const seen = DEPARTURES.map(() => 0);
    const counts = { equal: 0, departing: 0, 'v2 died': 0 };
    const wrong: string[] = [];
    for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const name = join(entry.parentPath, entry.name).slice(folder.length + 1);
      const lines = readFileSync(join(folder, name), 'utf8').split('\n').slice(0, -1);
      const { records, rejected } = await recordsOf(join(data!, name.replace(/\.jsonl$/, '')));
      for (const [i, line] of lines.entries()) {
        const v2 = JSON.parse(line) as Doc;
        if (v2.__v2_crash__) {
          counts['v2 died']++;
          const ended = (v2.__v2_crash__ as Doc).record === 'REPORT';
          if (!records[i] && !ended)
            wrong.push(`${name}: record ${i}, on which v2 died, has not come through: ${rejected}`);
          if (ended && records.length === 0 && rejected.length === 0) wrong.push(`${name}: nothing came of the report`);
          continue;
        }
        if (!records[i]) {
          wrong.push(`${name}: record ${i} is missing: ${rejected}`);
          continue;
        }
        const { id: _, ...ours } = records[i];
        const { id: __, ...theirs } = v2;
        const found = [...differences(theirs, ours)];
        for (const difference of found) {
          const n = DEPARTURES.findIndex(({ fits }) => fits(difference, v2));
          if (n === -1) wrong.push(`${name}: record ${i}: ${JSON.stringify(difference).slice(0, 300)}`);
          else seen[n]!++;
        }
        counts[found.length === 0 ? 'equal' : 'departing']++;
      }
    }
    t.same(wrong, []);
    t.ok(counts.equal + counts['v2 died'] > 100, `${oracle}: ${JSON.stringify(counts)}`);
    t.comment(`${oracle}: ${JSON.stringify(counts)}; departures:`);
    for (const [n, { what }] of DEPARTURES.entries()) t.comment(`${String(seen[n]).padStart(5)}  ${what}`);
  });
}

t.test('every real document comes through, or is rejected with a reason', { skip }, async (t) => {
  const folder = join(data!, 'measurements');
  const none: string[] = [];
  let through = 0;
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (!entry.isFile() || path.includes('/broken/') || !/\.(?:json|jsonl|njson|yaml|yamloo)$/.test(path)) continue;
    const { records, rejected } = await recordsOf(path);
    through += records.length;
    for (const reason of rejected) t.comment(`${path.slice(folder.length + 1)}:${reason}`);
    if (records.length === 0 && rejected.length === 0) none.push(path);
  }
  t.comment(`${through} records`);
  t.ok(through > 250);
  t.same(none, [], 'no file ends in nothing, unsaid');
});

t.test('a record that was normalised by others stays as it is', { skip }, async (t) => {
  const path = join(data!, 'measurements/json/backend-fastpath-tests/yaml16_0.json');
  const given = JSON.parse(readFileSync(path, 'utf8'));
  const document = Buffer.from(JSON.stringify(given));
  const made = normalise(document, { bucket_date: null, report_filename: null });
  t.same(JSON.parse(Buffer.concat(made.document).toString()), given);
});
