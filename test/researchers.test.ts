// What researchers type, on a bucket like the public one: each line gives exactly the measurements that it asks for, also when it
// was broken off and typed again, and a manifest lets another person make the same. On our own small S3, and on a real
// server where one runs.
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import { BIN, folder, rows, shellAsync } from './lib.ts';
import { asNobody, publicBucket, publicServer } from './publicbucket.ts';
import { Bucket, type Env, exits, messages, runningServer } from './servers/s3.ts';

interface Place {
  url: string;
  env: Env;
  put(key: string, bytes: Buffer): Promise<void>;
}

async function ours(t: Test): Promise<Place> {
  const fake = await publicServer(t, 'ooni', publicBucket());
  return { url: 's3://ooni', env: asNobody(fake), put: async (key, bytes) => void fake.hold('ooni', key, bytes) };
}

async function real(t: Test): Promise<Place> {
  const bucket = await Bucket.make(t, runningServer()!);
  const all = [...publicBucket()].filter(([key]) => key.includes('/IT/') && key.endsWith('.jsonl.gz'));
  for (const [key, bytes] of all) await bucket.put(key, bytes);
  return { url: bucket.url, env: bucket.env(), put: (key, bytes) => bucket.put(key, bytes) };
}

/** Lines of the bucket's objects that are meant, each once, sorted. */
function wanted(cc: string, test: string, days: string[]): string[] {
  const meant = [...publicBucket()].filter(([key]) => {
    const [, day] = /\/(\d{8})\//.exec(key) ?? [];
    return key.endsWith('.jsonl.gz') && key.includes(`/${cc}/`) && key.includes(`/${test}/`) && days.includes(day!);
  });
  const lines = meant.flatMap(([, bytes]) => gunzipSync(bytes).toString().trimEnd().split('\n'));
  return [...new Set(lines)].sort();
}

const LINE = '--cc IT --test web_connectivity --from 2024-02-01 --to 2024-03-01';
const SELECT = 'cannery select --files --where "input != null" --fields time,input --to csv';

for (const [name, make, skip] of [
  ['our own S3', ours, false],
  ['a real server', real, !runningServer() && 'no S3 server is running (make servers starts one)'],
] as const) {
  t.test(name, skip ? { skip } : {}, async (t) => {
    const { url, env, put } = await make(t);
    const cwd = folder(t);
    const run = (line: string) => shellAsync(line, { cwd, env });
    const read = (file: string) => readFileSync(join(cwd, file), 'utf8');

    const got = await run(`cannery ls ${url} ${LINE} | cannery fetch --to mirror | cannery cat --raw`);
    exits(t, got, 0);
    t.same(got.out.trimEnd().split('\n').sort(), wanted('IT', 'webconnectivity', ['20240201']), 'a month');
    const both = await run(
      `cannery ls ${url} --cc IT --test ndt --from 2020-10-20 --to 2020-10-22 | cannery cat --raw`,
    );
    t.same(
      both.out.trimEnd().split('\n').sort(),
      wanted('IT', 'ndt', ['20201020', '20201021']),
      'two days in both layouts, each measurement once',
    );

    const made = await run(`cannery ls ${url} ${LINE} | ${SELECT} --out t.csv --manifest t.manifest`);
    exits(t, made, 0);
    t.equal(messages(made), '');
    t.equal(read('t.csv').split('\r\n').length, 1 + 6 + 1, 'a heading and six rows');
    const fetched = `cannery ls ${url} ${LINE} | cannery fetch --to mirror --quiet 2>/dev/null`;
    exits(t, await run(`${fetched} | ${SELECT} --out u.csv --manifest u.manifest`), 0);
    t.equal(read('u.csv'), read('t.csv'));
    t.equal(read('u.manifest'), read('t.manifest'), 'by way of copies too');

    const [head, ...inputs] = rows<{ s3path: string; file: string; query?: object }>(read('t.manifest'));
    t.match(head, { cannery: 'manifest', inputs: 3, counts: { selected: 6, left_out: 3, rejected: 0 } });
    t.same(head!.query, { where: ['input != null'], fields: ['time', 'input'], to: 'csv' });
    t.same(
      inputs.map(({ file }) => file),
      inputs.map(({ s3path }) => `${url}/${s3path}`),
    );
    for (const place of [url, 'mirror', 'mirror/', join(cwd, 'mirror')]) {
      const checked = await run(`cannery select --check t.manifest ${place} | cmp - t.csv`);
      exits(t, checked, 0);
      t.match(checked.err, 'cannery select: t.manifest: the same: 3 inputs, 6 measurements\n', place);
    }

    const late = inputs[0]!.s3path.replace('.n1.0.', '.n1.1.');
    await put(late, gzipSync('{"test_name":"web_connectivity","input":"http://late.example"}\n'));
    exits(t, await run(`cannery select --check t.manifest ${url} | cmp - t.csv`), 0);
    const more = await run(`${fetched} | ${SELECT} --out late.csv`);
    exits(t, more, 0);
    t.equal(read('late.csv').split('\r\n').length, 1 + 7 + 1, 'what came late is in the next one');

    await put(late, Buffer.from('no gzip, and no JSON'));
    const corrupt = await run(`cannery ls ${url} ${LINE} | ${SELECT}`);
    t.equal(corrupt.code, 3);
    t.equal(corrupt.out, read('t.csv'), 'a corrupt object costs itself');

    await put(inputs[1]!.s3path, gzipSync('{"test_name":"web_connectivity","input":"http://other.example"}\n'));
    const changed = await run(`cannery select --check t.manifest ${url} --out other.csv`);
    t.equal(changed.code, 3);
    t.match(changed.err, `${url}/${inputs[1]!.s3path}: other bytes than the manifest tells of`);
    t.match(changed.err, '1 of its 3 inputs are others here');
    t.notOk(existsSync(join(cwd, 'other.csv')));
  });
}

t.test('a manifest and what it does not take', async (t) => {
  const cwd = folder(t);
  const run = (line: string) => shellAsync(line, { cwd });
  const one = (n: number) => `{"test_name":"ndt","probe_cc":"IT","n":${n}}\n`;
  writeFileSync(join(cwd, 'a.jsonl'), one(1) + one(2));
  writeFileSync(join(cwd, 'b.jsonl'), one(3));
  const options = '--where "cc = IT" --sample 2 --seed 7 --fields n:int,cc --partition cc --no-guard --to csv --out t';
  exits(t, await run(`cannery select a.jsonl b.jsonl ${options} --manifest m`), 0);
  const text = readFileSync(join(cwd, 'm'), 'utf8');
  const [head, ...others] = text.trimEnd().split('\n') as [string, ...string[]];
  const query = { where: ['cc = IT'], fields: ['n:int', 'cc'], to: 'csv', partition: ['cc'], sample: 2, seed: 7 };
  t.same(JSON.parse(head).query, { ...query, 'no-guard': true });
  exits(t, await run('cannery select --check m . --out u && diff -r t u'), 0);

  const forged: [string, RegExp][] = [
    ['', /no manifest of a selection/],
    ['x\n', /line 1: not JSON/],
    ['{}\n', /no manifest of a selection/],
    [text.slice(0, -1), /cut short/],
    [`${head}\n${others[0]}\n`, /cut short/],
    [text.replace('"version":1', '"version":2'), /version 2/],
    [text.replace('"s3path":"a.jsonl"', '"s3path":"../a.jsonl"'), /line 2: no input/],
    [text.replace('"s3path":"a.jsonl"', '"s3path":"/etc/passwd"'), /line 2: no input/],
    [text.replace('"seed":7', '"out":"x"'), /its query has 'out'/],
    [text.replace('"seed":7', '"seed":"x"'), /--seed: a number/],
    [text.replace('cc = IT', 'cc = UK'), /GB \(United Kingdom\)/],
  ];
  for (const [bytes, reason] of forged) {
    writeFileSync(join(cwd, 'forged'), bytes);
    const { code, err } = await run('cannery select --check forged . --out v');
    t.match({ code, err }, { code: /^[12]$/, err: reason });
  }
  for (const [line, reason] of [
    ['--check m', /one operand/],
    ['--check m . --where "cc = IT"', /leave --where out/],
    ['--manifest n <a.jsonl', /--manifest goes with files/],
    ['- --manifest n <a.jsonl', /not of standard input/],
    ['a.jsonl ../b.jsonl --manifest n', /give its path below this folder/],
    ['a.jsonl a.jsonl --manifest n', /comes twice/],
    ['a.jsonl --manifest m', /there already/],
    ['a.jsonl missing --manifest n', /can be no manifest/],
    ['a.jsonl --files', /not both/],
  ] as const) {
    const { code, err } = await run(`cannery select ${line}`);
    t.match(`${code} ${err}`, reason, line);
    t.match(`${code}`, /^[12]$/);
  }
  t.same(
    readdirSync(cwd).sort(),
    ['a.jsonl', 'b.jsonl', 'forged', 'm', 't', 'u'],
    'nothing is left of what was refused',
  );
});

t.test('broken off at random times and typed again: the same', async (t) => {
  const seed = Number(process.env.CANNERY_SEED ?? Date.now() % 100_000);
  t.comment(`CANNERY_SEED=${seed}`);
  let state = seed;
  const chance = () => (state = (state * 1_103_515_245 + 12_345) % 2 ** 31) / 2 ** 31;
  const { url, env } = await ours(t);
  const cwd = folder(t);
  const line = `cannery ls ${url} --cc IT,IR | cannery fetch --to mirror --quiet | ${SELECT} --out t.csv --manifest m`;
  let runs = 0;
  for (; !existsSync(join(cwd, 'm')) && runs < 20; runs++) {
    // Only the last of the two that is written tells that all is done; what is there is never written over.
    const again = `rm -f t.csv; ${line}`;
    const child = spawn('bash', ['-o', 'pipefail', '-c', again], {
      cwd,
      env: { ...process.env, ...env, PATH: `${BIN}:${process.env.PATH}`, NODE_OPTIONS: '' },
      detached: true,
      stdio: 'ignore',
    });
    const ended = new Promise((done) => child.on('exit', done));
    const strike = setTimeout(
      () => process.kill(-child.pid!, chance() < 0.5 ? 'SIGKILL' : 'SIGINT'),
      runs < 8 ? 300 + chance() * 2500 : 2 ** 30,
    );
    await ended;
    clearTimeout(strike);
  }
  t.comment(`${runs} runs`);
  const whole = await shellAsync(`cannery ls ${url} --cc IT,IR | ${SELECT} --out w.csv --manifest w`, { cwd, env });
  exits(t, whole, 0);
  t.equal(readFileSync(join(cwd, 't.csv'), 'utf8'), readFileSync(join(cwd, 'w.csv'), 'utf8'));
  t.equal(readFileSync(join(cwd, 'm'), 'utf8'), readFileSync(join(cwd, 'w'), 'utf8'));
});
