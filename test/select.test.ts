// `select` as a whole: tables read back by another program, in many files at once, broken off; and that a selection of a
// bucket never takes the place of the bucket.
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } from 'hyparquet';
import t, { type Test } from 'tap';
import { CANNERY, cannery, folder, rows, shell, tree } from './lib.ts';

const COUNTRIES = Array.from({ length: 26 * 13 }, (_, n) =>
  String.fromCharCode(65 + (n % 26), 65 + Math.floor(n / 26)),
);

/** Lines of measurements, in turn of every country, over two days. */
function measurements(count: number): string {
  const lines: string[] = [];
  for (let n = 0; n < count; n++) {
    const time = new Date(Date.UTC(2024, 1, 1) + (n % 48) * 3_600_000).toISOString().slice(0, 19).replace('T', ' ');
    const keys = { blocking: n % 3 === 0 ? 'dns' : false, accessible: n % 3 !== 0, half: n / 2, list: [n] };
    const cc = COUNTRIES[n % COUNTRIES.length];
    const facts = { probe_cc: cc, probe_asn: `AS${n}`, test_name: 'web_connectivity', measurement_start_time: time };
    lines.push(JSON.stringify({ n, ...facts, input: `http://h${n}.example/é`, test_keys: keys }));
  }
  return `${lines.join('\n')}\n`;
}

async function readBack(path: string): Promise<Record<string, unknown>[]> {
  return parquetReadObjects({ file: await asyncBufferFromFile(path) });
}

function select(t: Test, cwd: string, args: string[], code = 0): string {
  const done = cannery(['select', ...args], { cwd });
  t.equal(done.code, code, done.err);
  return done.out;
}

t.test('Parquet holds what went in, each column by its type', async (t) => {
  const cwd = folder(t);
  writeFileSync(join(cwd, 'm.jsonl'), measurements(3000));
  const fields = 'n:int,cc,asn,time,input,blocking,accessible,test_keys.half:float,test_keys.list:json,nothing';
  select(t, cwd, ['m.jsonl', '--to', 'parquet', '--fields', fields, '--out', 't.parquet']);
  const back = await readBack(join(cwd, 't.parquet'));
  t.equal(back.length, 3000);
  for (const n of [0, 1, 2999])
    t.same(back[n], {
      ...{ n: BigInt(n), cc: COUNTRIES[n % COUNTRIES.length], asn: BigInt(n), input: `http://h${n}.example/é` },
      time: new Date(Date.UTC(2024, 1, 1) + (n % 48) * 3_600_000),
      ...{ blocking: n % 3 === 0 ? 'dns' : 'false', accessible: n % 3 !== 0 },
      ...{ 'test_keys.half': n / 2, 'test_keys.list': [n], nothing: null },
    });
  const piped = shell('cannery select m.jsonl --to parquet --fields n:int | cat > piped.parquet', { cwd });
  t.equal(piped.code, 0);
  t.equal((await readBack(join(cwd, 'piped.parquet'))).length, 3000, 'also through a pipe');
});

t.test('a large table is written in row groups, and memory stays', async (t) => {
  const cwd = folder(t);
  const long = 'x'.repeat(2000);
  const line = (n: number) => `{"n":${n},"input":"${long}${n}"}\n`;
  writeFileSync(join(cwd, 'm.jsonl'), Array.from({ length: 40_000 }, (_, n) => line(n)).join(''));
  const peak = 'process.on("exit", () => console.error(process.resourceUsage().maxRSS))';
  writeFileSync(join(cwd, 'peak.cjs'), peak);
  const args = ['select', 'm.jsonl', '--to', 'parquet', '--fields', 'n:int,input', '--out', 't.parquet'];
  const { code, err } = cannery(args, { cwd, env: { NODE_OPTIONS: `--require=${join(cwd, 'peak.cjs')}` } });
  t.equal(code, 0);
  t.ok(Number(err) < 200_000, `${err.trim()} KB for 80 MB`);
  const file = await asyncBufferFromFile(join(cwd, 't.parquet'));
  const { row_groups, num_rows } = await parquetMetadataAsync(file);
  t.equal(num_rows, 40_000n);
  t.ok(row_groups.length > 3, `${row_groups.length} row groups`);
  const [last] = await parquetReadObjects({ file, rowStart: 39_999, rowEnd: 40_000 });
  t.same(last, { n: 39_999n, input: `${long}39999` });
});

t.test('more folders than may be open at a time', async (t) => {
  const cwd = folder(t);
  writeFileSync(join(cwd, 'm.jsonl'), measurements(1000));
  for (const kind of ['parquet', 'jsonl']) {
    select(t, cwd, ['m.jsonl', '--to', kind, '--fields', 'n:int,cc', '--partition', 'cc,month', '--out', kind]);
    const files = tree(join(cwd, kind));
    const found: number[] = [];
    for (const path of files) {
      const [, cc] = new RegExp(`^cc=([A-Z]{2})/month=2024-02/part-\\d+\\.${kind}$`).exec(path) ?? [];
      t.ok(cc, path);
      const part = join(cwd, kind, path);
      const inside = kind === 'parquet' ? await readBack(part) : rows(readFileSync(part, 'utf8'));
      const isOf = (row: Record<string, unknown>) => COUNTRIES[Number(row.n) % COUNTRIES.length] === cc;
      t.ok(
        inside.every((row) => Object.keys(row).join() === 'n' && isOf(row)),
        path,
      );
      found.push(...inside.map(({ n }) => Number(n)));
    }
    t.same(
      found.sort((a, b) => a - b),
      Array.from({ length: 1000 }, (_, n) => n),
      'each once',
    );
  }
});

t.test('broken off, nothing has the name, and nothing is left', async (t) => {
  const cwd = folder(t);
  for (const args of [
    ['--out', 'table'],
    ['--out', 'table', '--partition', 'cc'],
  ]) {
    const all = [CANNERY, 'select', '-', '--to', 'jsonl', '--fields', 'n,cc', ...args];
    const child = spawn(process.execPath, all, { cwd, stdio: ['pipe', 'ignore', 'ignore'] });
    child.stdin.write(measurements(1000));
    const deadline = Date.now() + 30_000;
    while (readdirSync(cwd).length === 0 && Date.now() < deadline) await sleep(20);
    t.match(readdirSync(cwd), [/^\.table\.[0-9a-f]{8}\.part$/]);
    child.kill('SIGTERM');
    await new Promise((done) => child.on('close', done));
    t.same(readdirSync(cwd), []);
  }
  writeFileSync(join(cwd, 'm.jsonl'), measurements(10));
  const race = shell(
    '(sleep 0.5; cat m.jsonl) | cannery select - --to csv --out t & sleep 0.2; echo mine > t; wait $!',
    { cwd },
  );
  t.equal(race.code, 1, 'somebody else was faster');
  t.match(race.err, /there already/);
  t.equal(readFileSync(join(cwd, 't'), 'utf8'), 'mine\n');
  t.same(readdirSync(cwd).sort(), ['m.jsonl', 't']);
});

t.test("a selection of a bucket is added to the index, and takes nobody's place", (t) => {
  const cwd = folder(t);
  const front = '{"measurement_uid":null,"bucket_date":"2016-08-01","report_filename":"2016-08-01/r.json",';
  const line = (n: number, more = '') =>
    `${front}"report_id":"r${n}","probe_cc":"IT","test_name":"ndt","test_keys":{"requests":[{"response":{"body":"b${n}${more}"}}]}}`;
  const end = (count: number) => JSON.stringify({ cannery: 'end', rows: count, rejected: 0, whole: ['2016-08-01'] });
  writeFileSync(join(cwd, 'rows'), `${[line(1), line(2), line(3), end(3)].join('\n')}\n`);
  const send = (filter: string) =>
    shell(
      `${filter} < rows | cannery postcan --rows --to outgoing | cannery upload --private store | cannery index x.sqlite`,
      { cwd },
    );
  const count = () => {
    const sql = 'SELECT count(*) AS n, sum(c.superseded) AS gone FROM line l JOIN can c ON c.id = l.id >> 24';
    const script = `const D=require('better-sqlite3');console.log(JSON.stringify(new D('${cwd}/x.sqlite').prepare(process.argv[1]).get()))`;
    return JSON.parse(shell(`node -e "${script}" "${sql}"`).out) as { n: number; gone: number | null };
  };
  const first = send('cat');
  t.equal(first.code, 0, first.err);
  t.same(count(), { n: 3, gone: 0 });
  const part = send('cannery select --drop-bodies');
  t.equal(part.code, 0, part.err);
  t.same(count(), { n: 6, gone: 0 }, 'as many measurements, without their bodies');
  const fewer = send('cannery select --where "report_id = r1"');
  t.equal(fewer.code, 0, fewer.err);
  t.same(count(), { n: 7, gone: 0 });
  t.ok(existsSync(join(cwd, 'store')));
  t.end();
});
