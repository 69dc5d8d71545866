// `select` of cans of ours makes parts of them into rows on several threads. Here the same bytes are read under a name by
// which that is not done, and nobody can tell: rows, messages, rejects, counts, exit code.
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import { memberOf, segment } from '../src/edge/gzip.ts';
import { chance } from './faults/place.ts';
import { noise } from './faults/spools.ts';
import { cannery, folder, shell } from './lib.ts';

const random = chance(11);

/** A measurement of so many bytes that do not compress. */
const line = (n: number, bytes = 3000) =>
  JSON.stringify({
    report_id: n % 3 === 0 ? `2014-01-01-${n}` : `20240201T101530Z_ndt_IT_1_n1_${String(n).padStart(16, 'a')}`,
    ...{ input: `http://${n}.example/`, probe_cc: n % 4 === 0 ? 'IR' : 'IT', probe_asn: `AS${n}`, test_name: 'ndt' },
    measurement_start_time: '2024-02-01 10:15:30',
    test_keys: { blocking: n % 2 === 0, requests: [{ response: { body: noise(random, bytes) } }] },
  });

/** Lines in members of about 100 KB, as a can has them. */
function can(lines: readonly string[]): Buffer {
  const members: Buffer[] = [];
  let text = '';
  const close = () => {
    if (text !== '') members.push(memberOf(segment(Buffer.from(text), 1)));
    text = '';
  };
  for (const one of lines) {
    text += `${one}\n`;
    if (text.length > 100_000) close();
  }
  close();
  return Buffer.concat(members);
}

const lines = (count: number, from = 0) => Array.from({ length: count }, (_, n) => line(from + n));

/** More than one thread reads. */
const MANY = 1200;
const good = lines(MANY);

function flipped(bytes: Buffer, at: number): Buffer {
  const other = Buffer.from(bytes);
  other[Math.floor(other.length * at)]! ^= 0x10;
  return other;
}

const CANS: Record<string, () => Buffer> = {
  good: () => can(good),
  small: () => can(good.slice(0, 20)),
  nothing: () => Buffer.alloc(0),
  'bad lines': () => can(good.toSpliced(700, 0, 'no JSON', '[1]', '{"a":', line(1).replace('IT', 'I\tT'))),
  'a bad first line': () => can(['no JSON', ...good]),
  'a first line that looks like a reject': () => can(['{"cannery":"reject","as":"row"}', ...good]),
  'space around lines': () => can(good.toSpliced(500, 0, '', ' \t', ` ${line(2)} `, `${line(3)}\r`)),
  'no line feed at the end': () => Buffer.concat([can(good), memberOf(segment(Buffer.from(line(9)), 1))]),
  'half a line at the end': () => Buffer.concat([can(good), memberOf(segment(Buffer.from(line(9).slice(0, 99)), 1))]),
  'a line over two members': () =>
    Buffer.concat([
      can(good.slice(0, 900)),
      memberOf(segment(Buffer.from(line(9).slice(0, 99)), 1)),
      memberOf(segment(Buffer.from(`${line(9).slice(99)}\n`), 1)),
      can(good.slice(900)),
    ]),
  "members of others' between": () =>
    Buffer.concat([can(good.slice(0, 600)), gzipSync(`${line(5)}\n`), can(good.slice(600))]),
  'a large line': () => can(good.toSpliced(800, 0, line(4, 3_000_000))),
  'text of 20 MB in one member': () => can(good.toSpliced(800, 0, `{"a":"${' '.repeat(20_000_000)}"}`)),
  'cut off': () => can(good).subarray(0, -50_000),
  'a bit of a member': () => flipped(can(good), 0.7),
  'a bit of the first member': () => flipped(can(good), 0.001),
  'not lines': () => memberOf(segment(readFileSync('README.md'), 6)),
};

const OPTIONS = [
  ['--where', 'cc = IT'],
  ['--to', 'csv', '--fields', 'measurement_uid,report_filename,input,cc,asn,blocking,test_keys.requests'],
  ['--to', 'jsonl', '--fields', 'report_id,domain,time', '--where', 'blocking = true and asn > 10'],
  ['--drop-bodies', '--keep-hash', '--where', 'cc != IT', '--end'],
  ['--to', 'jsonl', '--fields', 'asn,test_keys', '--drop-bodies', '--max-line', '50000', '--max-depth', '5'],
  ['--max-inflated', '2000000', '--to', 'csv'],
];

/** In a bucket's folder, so that rows have all that `cat` knows. */
const FOLDER = '2014-01-01';

function compare(t: Test, name: string, bytes: Buffer, some: string[][]): void {
  const cwd = folder(t);
  mkdirSync(join(cwd, FOLDER));
  for (const file of ['m.jsonl.gz', 'm.njson.gz']) writeFileSync(join(cwd, FOLDER, file), bytes);
  for (const options of some) {
    const [threads, usual] = ['m.jsonl.gz', 'm.njson.gz'].map((file) => {
      const args = ['select', `${FOLDER}/${file}`, ...options, '--stats', '--rejects', `${file}.rejects`];
      const { code, out, err } = cannery(args, { cwd });
      // How far a file was read that is not read to its end, is chance.
      const told = err.replaceAll(file, 'FILE').replace(/"(?:bytes_in|seconds)":[\d.]+,?/g, '');
      const rejects = readFileSync(join(cwd, `${file}.rejects`), 'utf8').replaceAll(file, 'FILE');
      return { code, out, told, rejects };
    });
    const what = `${name}, ${options.join(' ')}`;
    t.same([threads!.code, threads!.told], [usual!.code, usual!.told], what);
    t.ok(threads!.out === usual!.out && threads!.rejects === usual!.rejects, `${what}: rows and rejects`);
  }
}

for (const [n, [name, bytes]] of Object.entries(CANS).entries()) {
  t.test(name, (t) => {
    const everyOther = OPTIONS.filter((_, at) => (at + n) % 2 === 0);
    compare(t, name, bytes(), everyOther);
    t.end();
  });
}

t.test('what holds the place of a post is counted, and many files come in their order', (t) => {
  const cwd = folder(t);
  const path = 'raw/20240201/10/IT/ndt';
  mkdirSync(join(cwd, path), { recursive: true });
  const files = [1, 2, 3].map((n) => `${path}/2024020110_IT_ndt.n1.${n}.jsonl.gz`);
  files.forEach((file, n) => {
    writeFileSync(join(cwd, file), can(['{}', ...lines(300 + n * 400, n * 1000), '{}']));
  });
  const size = files.reduce((sum, file) => sum + statSync(join(cwd, file)).size, 0);
  const args = [...files, '--to', 'jsonl', '--fields', 'asn', '--stats'];
  const { code, out, err } = cannery(['select', ...args], { cwd });
  t.equal(code, 0);
  const wanted = [...Array(300).keys(), ...[...Array(700).keys()].map((n) => 1000 + n)];
  wanted.push(...[...Array(1100).keys()].map((n) => 2000 + n));
  t.equal(out, wanted.map((n) => `{"asn":${n}}\n`).join(''));
  t.match(JSON.parse(err), { in: 2106, out: 2100, placeholders: 6, rejected: 0, bytes_in: size });
  t.end();
});

t.test('with --manifest and --out too, and a reader that goes', (t) => {
  const cwd = folder(t);
  writeFileSync(join(cwd, 'm.jsonl.gz'), can(good));
  const made = cannery(['select', 'm.jsonl.gz', '--to', 'csv', '--out', 't.csv', '--manifest', 'man'], { cwd });
  t.equal(made.code, 0, made.err);
  const piped = cannery(['select', 'm.jsonl.gz', '--to', 'csv', '--manifest', 'man2'], { cwd });
  t.equal(piped.out, readFileSync(join(cwd, 't.csv'), 'utf8'));
  t.equal(cannery(['select', '--check', 'man', '.', '--out', 't2.csv'], { cwd }).code, 0);
  t.equal(cannery(['select', '--check', 'man2', '.'], { cwd }).code, 0);
  const gone = shell('cannery select m.jsonl.gz --where "asn >= 0" | head -n 1 | wc -l', { cwd });
  t.same([gone.code, gone.out, gone.err], [0, '1\n', '']);
  t.end();
});
