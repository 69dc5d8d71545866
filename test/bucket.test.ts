// What a case folder cannot hold of `bucket`: runs that are killed at any system call, disks that fail or are full,
// permissions, reports that change meanwhile, two runs at a time. The rest is in fixtures/bucket/, other hosts are in
// test/servers/sshd.test.ts.
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { type ManifestEntry, manifestLine, parseManifest } from '../src/record/buckets.ts';
import {
  AS_NOBODY,
  CANNERY,
  cannery,
  folder,
  folderElsewhere,
  MOUNT,
  NO_MOUNT,
  NO_STRACE,
  ONE_DISK,
  type Ran,
  ROOT_DOES_ALL,
  rows,
  shell,
  tree,
  underStrace,
} from './lib.ts';

const DAY = '2024-02-01';
const FILL = ['bucket', '--to', 'raw', '--date', DAY];
const LIST_AND_FILL = `cannery ls reports --kind report | cannery ${FILL.join(' ')}`;

/** Reports in `reports/`, unchanged for years. */
function put(cwd: string, reports: Record<string, string | Uint8Array>): void {
  for (const [name, bytes] of Object.entries(reports)) {
    const path = join(cwd, 'reports', name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, bytes);
    utimesSync(path, 1.5e9, 1.5e9);
  }
}

function withReports(t: Test, reports: Record<string, string | Uint8Array>): string {
  const cwd = folder(t);
  put(cwd, reports);
  return cwd;
}

function fileRows(...names: string[]): string {
  return names.map((name) => `${JSON.stringify({ file: `reports/${name}` })}\n`).join('');
}

/** The reports in a bucket, and that its manifest agrees. */
function inBucket(t: Test, cwd: string, bucket = `raw/${DAY}`): Record<string, string> {
  const { code, err } = cannery(['bucket', 'verify', bucket], { cwd });
  t.same([code, err], [0, ''], 'verified');
  const path = resolve(cwd, bucket);
  const names = readdirSync(path).filter((name) => !name.startsWith('.'));
  return Object.fromEntries(names.sort().map((name) => [name, readFileSync(join(path, name), 'utf8')]));
}

/** Names in a manifest of which every line is whole and true, sorted. */
function listed(bucket: string): string {
  const { entries, damaged, whole } = parseManifest(readFileSync(join(bucket, '.manifest.jsonl')));
  const lines = [...entries.values()].map((entry) => manifestLine(entry)).join('');
  const isTrue = ({ name, sha256 }: ManifestEntry) =>
    createHash('sha256')
      .update(readFileSync(join(bucket, name)))
      .digest('hex') === sha256;
  const well = damaged.length === 0 && Buffer.byteLength(lines) === whole && [...entries.values()].every(isTrue);
  return well ? [...entries.keys()].sort().join() : 'damaged';
}

// --- killed and failing runs

/** Runs `bucket` for all of `reports/` with a fault in what it does at some paths. */
function faulty(cwd: string, inject: string, paths: string[] = []): Ran {
  return underStrace(FILL, inject, paths, { cwd, stdin: fileRows(...readdirSync(join(cwd, 'reports')).sort()) });
}

t.test('killed at any system call, the next run completes it', { skip: NO_STRACE }, (t) => {
  const reports = { 'a.json': '{"n":1}\n', 'b.json': 'x'.repeat(1_500_000) };
  const target = `raw/${DAY}`;
  const files = Object.keys(reports).flatMap((name) => [
    `${target}/${name}`,
    `${target}/.${name}.part`,
    `reports/${name}`,
  ]);
  const paths = [...files, `${target}/.manifest.jsonl`, target, 'reports', 'raw'];
  let killed = 0;
  for (const call of ['mkdir', 'openat', 'write,pwrite64', 'fsync', 'link', 'unlink']) {
    for (let when = 1; ; when++) {
      const cwd = withReports(t, reports);
      const first = faulty(cwd, `${call}:signal=KILL:when=${when}`, paths);
      const left = new Set(readdirSync(join(cwd, 'reports')));
      for (const [name, bytes] of Object.entries(reports)) {
        const there = join(cwd, target, name);
        const safe = left.has(name) || (existsSync(there) && readFileSync(there, 'utf8') === bytes);
        if (!safe) t.fail(`${call} ${when}: ${name} is lost`);
        if (existsSync(there) && readFileSync(there, 'utf8') !== bytes) t.fail(`${call} ${when}: half of ${name}`);
      }
      const again = cannery(FILL, { cwd, stdin: fileRows(...left) });
      if (again.code !== 0) t.fail(`${call} ${when}: ${again.err}`);
      const hidden = readdirSync(join(cwd, target)).filter((name) => name.startsWith('.'));
      const well =
        readdirSync(join(cwd, 'reports')).length === 0 &&
        hidden.sort().join() === '.bucket-lock,.manifest.jsonl' &&
        listed(join(cwd, target)) === Object.keys(reports).join() &&
        Object.entries(reports).every(([name, bytes]) => readFileSync(join(cwd, target, name), 'utf8') === bytes);
      if (!well) t.fail(`${call} ${when}: ${tree(cwd)}`);
      if (first.code === 0) break;
      killed++;
      if (first.code !== null && first.code < 128) t.fail(`${call} ${when}: exit ${first.code}: ${first.err}`);
    }
  }
  t.ok(killed > 15, `${killed} runs were killed`);
  t.end();
});

t.test('a disk that fails: the run ends and names the file, and no report goes', { skip: NO_STRACE }, (t) => {
  const reports = { 'a.json': '{"n":1}\n', 'b.json': '{"n":2}\n' };
  const target = `raw/${DAY}`;
  const faults: [string, string, string, RegExp][] = [
    ['write,pwrite64', 'ENOSPC', `${target}/.a.json.part`, /\.a\.json\.part: no space left on device/],
    ['fsync', 'EIO', `${target}/.a.json.part`, /\.a\.json\.part: input\/output error/],
    ['write', 'ENOSPC', `${target}/.manifest.jsonl`, /\.manifest\.jsonl: no space left on device/],
    ['fsync', 'EIO', `${target}/.manifest.jsonl`, /\.manifest\.jsonl: input\/output error/],
    ['fsync', 'EIO', target, /input\/output error/],
    ['link', 'EIO', `${target}/a.json`, /a\.json: input\/output error/],
    ['read,pread64', 'EIO', `${target}/.a.json.part`, /\.a\.json\.part: input\/output error/],
  ];
  for (const [call, error, path, says] of faults) {
    const cwd = withReports(t, reports);
    mkdirSync(join(cwd, target), { recursive: true });
    const { code, out, err } = faulty(cwd, `${call}:error=${error}`, [path]);
    t.equal(code, 1, `${call} ${error} ${path}: ${err}`);
    t.match(err, says);
    t.match(err, /^[^\n]+\n$/, 'one line');
    t.equal(out, '', 'no row');
    t.same(readdirSync(join(cwd, 'reports')).sort(), ['a.json', 'b.json'], 'the reports stay');
    t.notOk(existsSync(join(cwd, target, '.a.json.part')), 'no part is left');
    t.equal(shell(LIST_AND_FILL, { cwd }).code, 0);
    t.same(inBucket(t, cwd), reports, 'the next run goes on');
  }

  const cwd = withReports(t, reports);
  const { code, out, err } = faulty(cwd, 'read,pread64:error=EIO', ['reports/a.json']);
  t.equal(code, 3, 'a report that cannot be read is one of many');
  t.equal(err, 'cannery bucket: reports/a.json: stays where it is: input/output error\n');
  t.same(rows(out), [{ file: `${target}/b.json`, bytes: 8, kind: 'report', bucket: DAY }]);
  t.same(readdirSync(join(cwd, 'reports')), ['a.json']);
  t.end();
});

// --- disks

t.test('a full disk in the middle of a copy', { skip: NO_MOUNT }, (t) => {
  const cwd = withReports(t, { 'a.json': '{"n":1}\n', 'b.json': 'x'.repeat(200_000), 'c.json': '{"n":3}\n' });
  mkdirSync(join(cwd, 'raw'));
  const script = `mount -t tmpfs -o size=64k none raw && ${LIST_AND_FILL}; code=$?; find raw -type f | sort; exit $code`;
  const { code, out, err } = shell(`${MOUNT} bash -o pipefail -c '${script}'`, { cwd });
  t.equal(code, 1);
  t.equal(err, `cannery bucket: raw/${DAY}/.b.json.part: no space left on device\n`);
  t.same(out.split('\n').slice(1, -1), [`raw/${DAY}/.bucket-lock`, `raw/${DAY}/.manifest.jsonl`, `raw/${DAY}/a.json`]);
  t.match(rows(out.split('\n')[0]!), [{ file: `raw/${DAY}/a.json` }], 'what came before is safe, and told');
  t.same(readdirSync(join(cwd, 'reports')).sort(), ['b.json', 'c.json']);
  t.end();
});

t.test('a disk that may be read only', { skip: NO_MOUNT }, (t) => {
  const cwd = withReports(t, { 'a.json': '{"n":1}\n' });
  t.equal(shell(`${LIST_AND_FILL} --copy`, { cwd }).code, 0);
  const readOnly = (line: string) =>
    shell(`${MOUNT} bash -o pipefail -c 'mount --bind raw raw && mount -o remount,ro,bind raw && { ${line}; }'`, {
      cwd,
    });
  const filling = readOnly(LIST_AND_FILL);
  t.same([filling.code, filling.err], [1, `cannery bucket: raw/${DAY}: read-only file system\n`]);
  t.same(readdirSync(join(cwd, 'reports')), ['a.json']);
  const verified = readOnly(`cannery bucket verify raw && cannery backup raw/${DAY} store`);
  t.same([verified.code, verified.err], [0, ''], 'verify and backup read it');
  t.end();
});

t.test('to another disk', { skip: ONE_DISK }, (t) => {
  const reports = { 'a.json': '{"n":1}\n', 'b.json': 'x'.repeat(2_500_000) };
  const cwd = withReports(t, reports);
  const far = folderElsewhere(t);
  const { code, err } = shell(LIST_AND_FILL.replace('--to raw', `--to ${far}`), { cwd });
  t.same([code, err], [0, '']);
  t.same(inBucket(t, cwd, join(far, DAY)), reports);
  t.equal(statSync(join(far, DAY, 'a.json')).mtimeMs, 1.5e12, 'its time is kept');
  t.same(readdirSync(join(cwd, 'reports')), []);
  t.end();
});

// --- permissions

t.test('permissions', { skip: ROOT_DOES_ALL }, (t) => {
  const run = (cwd: string, line: string) => shell(`${AS_NOBODY} bash -o pipefail -c '${line}'`, { cwd });
  const lock = (t: Test, path: string, mode: number) => {
    chmodSync(path, mode);
    t.teardown(() => existsSync(path) && chmodSync(path, 0o700));
  };
  const reports = { 'a/a.json': '{"n":1}\n', 'b/b.json': '{"n":2}\n' };

  t.test('a report that may not be removed: it is in the bucket, and stays', (t) => {
    const cwd = withReports(t, reports);
    lock(t, join(cwd, 'reports/a'), 0o500);
    for (const time of ['first', 'second']) {
      const { code, out, err } = run(cwd, LIST_AND_FILL);
      t.equal(code, 3, time);
      t.equal(
        err,
        'cannery bucket: reports/a/a.json: is in the bucket, but cannot be removed here: permission denied\n',
      );
      t.match(rows(out)[0], { file: `raw/${DAY}/a.json` });
    }
    t.same(tree(join(cwd, 'reports')), ['a/a.json']);
    t.same(inBucket(t, cwd), { 'a.json': '{"n":1}\n', 'b.json': '{"n":2}\n' });
    t.end();
  });

  t.test('a report that may not be read, and a folder that may not be entered', (t) => {
    const cwd = withReports(t, reports);
    lock(t, join(cwd, 'reports/a/a.json'), 0);
    const first = run(cwd, LIST_AND_FILL);
    t.same([first.code, first.err], [3, 'cannery bucket: reports/a/a.json: stays where it is: permission denied\n']);
    lock(t, join(cwd, 'reports/a'), 0);
    const second = cannery(['ls', 'reports', '--kind', 'report'], { cwd }).out;
    writeFileSync(join(cwd, 'rows'), second);
    const { code, err } = run(cwd, `cannery ${FILL.join(' ')} <rows`);
    t.same([code, err], [3, 'cannery bucket: reports/a/a.json: stays where it is: permission denied\n']);
    t.same(inBucket(t, cwd), { 'b.json': '{"n":2}\n' });
    t.end();
  });

  t.test('a bucket that may not be written', (t) => {
    const cwd = withReports(t, reports);
    mkdirSync(join(cwd, 'raw', DAY), { recursive: true });
    lock(t, join(cwd, 'raw', DAY), 0o510);
    t.same(run(cwd, LIST_AND_FILL).err, `cannery bucket: raw/${DAY}: frozen: it takes no more reports\n`);
    lock(t, join(cwd, 'raw', DAY), 0o520); // for a group that nobody here is of
    const { code, err } = run(cwd, LIST_AND_FILL);
    t.same([code, err], [1, `cannery bucket: raw/${DAY}: permission denied\n`]);
    lock(t, join(cwd, 'raw'), 0o500);
    const new_ = run(cwd, LIST_AND_FILL.replace(DAY, '2024-02-02'));
    t.same([new_.code, new_.err], [1, 'cannery bucket: raw/2024-02-02: permission denied\n']);
    t.same(tree(join(cwd, 'reports')), ['a/a.json', 'b/b.json']);
    t.end();
  });

  t.test('a bucket that may only be read is verified, and tells what cannot be', (t) => {
    const cwd = withReports(t, reports);
    shell(LIST_AND_FILL, { cwd });
    for (const name of ['.bucket-lock', '.manifest.jsonl', 'a.json', 'b.json'])
      chmodSync(join(cwd, 'raw', DAY, name), 0o400);
    lock(t, join(cwd, 'raw', DAY), 0o500);
    const verified = run(cwd, `cannery bucket verify raw/${DAY}`);
    t.same([verified.code, verified.err], [0, '']);
    chmodSync(join(cwd, 'raw', DAY, 'b.json'), 0);
    const { code, out, err } = run(cwd, `cannery bucket verify raw/${DAY}`);
    t.same([code, err], [3, `cannery bucket: raw/${DAY}/b.json: permission denied\n`]);
    t.match(rows(out)[0], { finding: 'changed', file: `raw/${DAY}/b.json` });
    const backup = run(cwd, `cannery backup raw/${DAY} store`);
    t.equal(backup.code, 3);
    t.match(backup.err, 'b.json: not copied: permission denied');
    t.end();
  });
  t.end();
});

// --- while it runs

/** Starts `bucket` with its standard input open. */
function start(t: Test, cwd: string, ...more: string[]): { child: ChildProcess; end: Promise<Ran> } {
  const child = spawn(process.execPath, [CANNERY, ...FILL, ...more], {
    cwd,
    env: { ...process.env, NODE_OPTIONS: undefined },
  });
  t.teardown(() => child.kill('SIGKILL'));
  let [out, err] = ['', ''];
  child.stdout.on('data', (text) => (out += text));
  child.stderr.on('data', (text) => (err += text));
  const end = new Promise<Ran>((done) => child.on('close', (code) => done({ code, out, err })));
  return { child, end };
}

async function until(what: () => unknown): Promise<void> {
  for (let i = 0; i < 2000 && !what(); i++) await sleep(10);
  if (!what()) throw new Error(`waited in vain for ${what}`);
}

t.test('a report that grows while it is copied stays, and nothing of it is in the bucket', async (t) => {
  const cwd = withReports(t, { 'a.json': 'x'.repeat(60_000_000), 'b.json': '{"n":2}\n' });
  const path = join(cwd, 'reports/a.json');
  const { child, end } = start(t, cwd, '--settle', '0');
  child.stdin!.end(fileRows('a.json', 'b.json'));
  const part = join(cwd, 'raw', DAY, '.a.json.part');
  await until(() => existsSync(part) && statSync(part).size > 0);
  appendFileSync(path, 'more\n');
  const { code, out, err } = await end;
  t.equal(code, 3);
  t.equal(err, 'cannery bucket: reports/a.json: stays where it is: changed while it was copied\n');
  t.match(rows(out), [{ file: `raw/${DAY}/b.json` }], 'the others go on');
  t.same(inBucket(t, cwd), { 'b.json': '{"n":2}\n' });
  utimesSync(path, 1.5e9, 1.5e9);
  t.equal(shell(LIST_AND_FILL, { cwd }).code, 0);
  t.equal(inBucket(t, cwd)['a.json']!.length, 60_000_005, 'the next run takes it');
});

t.test('a report that changes, is replaced or goes, after it was copied and before it is removed', async (t) => {
  const cwd = withReports(t, {
    'a.json': '{"n":1}\n',
    'b.json': '{"n":2}\n',
    'c.json': '{"n":3}\n',
    'd.json': '{"n":4}\n',
  });
  const { child, end } = start(t, cwd);
  child.stdin!.write(fileRows('a.json', 'b.json', 'c.json', 'd.json'));
  await until(() => existsSync(join(cwd, 'raw', DAY, 'd.json'))); // its batch is not full yet
  await sleep(50);
  appendFileSync(join(cwd, 'reports/a.json'), '{"n":7}\n');
  put(cwd, { new: '{"n":8}\n' });
  renameSync(join(cwd, 'reports/new'), join(cwd, 'reports/b.json'));
  unlinkSync(join(cwd, 'reports/c.json'));
  child.stdin!.end();
  const { code, out, err } = await end;
  t.equal(code, 3);
  const stays = 'changed after it was copied, and stays; the bucket has it as it was';
  t.same(err.split('\n').slice(0, -1), [
    `cannery bucket: reports/a.json: ${stays}`,
    `cannery bucket: reports/b.json: ${stays}`,
  ]);
  t.equal(rows(out).length, 4);
  t.same(inBucket(t, cwd), {
    'a.json': '{"n":1}\n',
    'b.json': '{"n":2}\n',
    'c.json': '{"n":3}\n',
    'd.json': '{"n":4}\n',
  });
  t.equal(readFileSync(join(cwd, 'reports/a.json'), 'utf8'), '{"n":1}\n{"n":7}\n');
  t.equal(readFileSync(join(cwd, 'reports/b.json'), 'utf8'), '{"n":8}\n');
  t.same(readdirSync(join(cwd, 'reports')).sort(), ['a.json', 'b.json']);
});

t.test('somebody else puts a file under the name meanwhile: it stays, and so does the report', async (t) => {
  const cwd = withReports(t, { 'a.json': 'x'.repeat(60_000_000) });
  const { child, end } = start(t, cwd);
  child.stdin!.end(fileRows('a.json'));
  const part = join(cwd, 'raw', DAY, '.a.json.part');
  await until(() => existsSync(part) && statSync(part).size > 0);
  writeFileSync(join(cwd, 'raw', DAY, 'a.json'), 'other');
  const { code, err } = await end;
  t.same([code, err], [3, `cannery bucket: reports/a.json: stays where it is: raw/${DAY}/a.json has other bytes\n`]);
  t.equal(readFileSync(join(cwd, 'raw', DAY, 'a.json'), 'utf8'), 'other');
  t.same(readdirSync(join(cwd, 'reports')), ['a.json']);
  t.notOk(existsSync(part));
});

t.test('two runs at a time: the second says so, or waits', async (t) => {
  const cwd = withReports(t, { 'a.json': '{"n":1}\n', 'b.json': '{"n":2}\n' });
  const first = start(t, cwd);
  first.child.stdin!.write(fileRows('a.json'));
  await until(() => existsSync(join(cwd, 'raw', DAY, 'a.json')));
  const second = cannery(FILL, { cwd, stdin: fileRows('b.json') });
  const busy = `raw/${DAY}: another process is at work here (--wait SECONDS waits for it)`;
  t.same([second.code, second.err], [1, `cannery bucket: ${busy}\n`]);
  for (const args of [
    ['bucket', 'verify', `raw/${DAY}`],
    ['backup', `raw/${DAY}`, 'store'],
  ]) {
    const { code, err } = cannery(args, { cwd });
    t.same([code, err], [1, `cannery ${args[0]}: ${busy}\n`], 'nobody takes half a bucket for a whole one');
  }
  t.ok(existsSync(join(cwd, 'reports/b.json')));
  const third = start(t, cwd, '--wait', '60');
  third.child.stdin!.end(fileRows('a.json', 'b.json'));
  await sleep(300);
  first.child.stdin!.end();
  t.equal((await first.end).code, 0);
  const waited = await third.end;
  t.same([waited.code, waited.err], [0, '']);
  t.same(
    rows(waited.out),
    [{ file: `raw/${DAY}/b.json`, bytes: 8, kind: 'report', bucket: DAY }],
    'a.json had vanished',
  );
  t.same(inBucket(t, cwd), { 'a.json': '{"n":1}\n', 'b.json': '{"n":2}\n' });
});

t.test('many reports, in several batches', (t) => {
  const cwd = folder(t);
  const reports = Object.fromEntries(Array.from({ length: 500 }, (_, n) => [`${n}.json`, `{"n":${n}}\n`]));
  put(cwd, reports);
  const { code, out, err } = shell(`${LIST_AND_FILL} --stats`, { cwd });
  t.equal(code, 0);
  t.match(err, '"moved":500');
  t.equal(rows(out).length, 500);
  t.same(readdirSync(join(cwd, 'reports')), []);
  t.same(inBucket(t, cwd), reports);
  t.end();
});

t.test('the copy has a life of its own, the report keeps its time', (t) => {
  const cwd = withReports(t, { 'a.json': '{"n":1}\n' });
  linkSync(join(cwd, 'reports/a.json'), join(cwd, 'writer'));
  t.equal(shell(LIST_AND_FILL, { cwd }).code, 0);
  appendFileSync(join(cwd, 'writer'), 'more'); // by somebody who still has it open
  t.same(inBucket(t, cwd), { 'a.json': '{"n":1}\n' });
  const { sha256 } = rows<{ sha256: string }>(readFileSync(join(cwd, 'raw', DAY, '.manifest.jsonl'), 'utf8'))[0]!;
  t.equal(sha256, createHash('sha256').update('{"n":1}\n').digest('hex'));
  t.equal(statSync(join(cwd, 'raw', DAY, 'a.json')).mtimeMs, 1.5e12);
  t.end();
});
