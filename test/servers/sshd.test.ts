// `bucket --from`: reports from another host, by rsync over ssh against a real sshd on loopback. What a bad network does
// is done by a remote shell of ours that breaks the calls of one run, one by one.
import { spawn, spawnSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { AS_NOBODY, CANNERY, cannery, folder, type Ran, ROOT_DOES_ALL, rows, shell } from '../lib.ts';

const { CANNERY_TEST_SSH: SSH, CANNERY_TEST_SSH_HOST: HOST } = process.env;
const NO_SERVER = !(SSH && HOST) && 'no sshd is running (make servers starts one)';
const DAY = '2024-02-01';

/** A test that is skipped, with the reason, where no server runs. */
function test(name: string, run: (t: Test) => Promise<void> | void, skip: string | false = false): void {
  t.test(name, { skip: NO_SERVER || skip }, async (t) => {
    await run(t);
  });
}

/** A folder with `far/`, the reports of the other host: the same machine, reached by way of ssh alone. */
function withReports(t: Test, reports: Record<string, string | Uint8Array>, dir = 'far'): string {
  const cwd = folder(t);
  mkdirSync(join(cwd, dir), { recursive: true });
  for (const [name, bytes] of Object.entries(reports)) put(cwd, name, bytes, dir);
  return cwd;
}

function put(cwd: string, name: string, bytes: string | Uint8Array, dir = 'far'): void {
  writeFileSync(join(cwd, dir, name), bytes);
  utimesSync(join(cwd, dir, name), 1.5e9, 1.5e9);
}

interface How {
  dir?: string;
  ssh?: string;
  date?: string | null;
  more?: string[];
}

function arguments_(cwd: string, { dir = 'far', ssh = SSH!, date = DAY, more = [] }: How): string[] {
  const day = date === null ? [] : ['--date', date];
  return ['bucket', '--to', 'raw', ...day, '--from', `${HOST}:${join(cwd, dir)}`, '--ssh', ssh, ...more];
}

function fill(cwd: string, how: How = {}): Ran {
  return cannery(arguments_(cwd, how), { cwd });
}

const far = (cwd: string, dir = 'far') => readdirSync(join(cwd, dir)).sort();

/** The reports in a bucket, and that its manifest agrees, and that nothing else was left. */
function inBucket(t: Test, cwd: string, day = DAY): Record<string, string> {
  const { code, err } = cannery(['bucket', 'verify', `raw/${day}`], { cwd });
  t.same([code, err], [0, ''], 'verified');
  const names = readdirSync(join(cwd, 'raw', day)).sort();
  t.same(
    names.filter((name) => name.startsWith('.')),
    ['.bucket-lock', '.manifest.jsonl'],
  );
  const reports = names.filter((name) => !name.startsWith('.'));
  return Object.fromEntries(reports.map((name) => [name, readFileSync(join(cwd, 'raw', day, name), 'utf8')]));
}

const TWO = { 'a.json': '{"n":1}\n', 'b.yaml': 'b: 2\n' };

/**
 * A remote shell: a script that is given the number of the call, and the host and words of the command as `"$@"`. A
 * run makes four calls: 1 lists, 2 brings, 3 compares, 4 removes.
 */
function remoteShell(cwd: string, script: string): string {
  const path = join(cwd, 'shell.sh');
  const counter = join(cwd, 'calls');
  writeFileSync(counter, '');
  const real = `real() { ${SSH} "$@"; }`;
  const count = `echo x >>${counter}; call=$(wc -l <${counter})`;
  writeFileSync(path, `#!/usr/bin/env bash\n${real}\n${count}\ncd ${cwd}\nexec 3<&0\n${script}\n`);
  chmodSync(path, 0o755);
  return path;
}

// --- what goes well

test('reports come over and are gone there; a second run finds nothing', (t) => {
  const cwd = withReports(t, { ...TWO, 'empty.json': '', 'big.json.gz': Buffer.alloc(3_000_000, 'x') });
  mkdirSync(join(cwd, 'far/folder.json'));
  symlinkSync('a.json', join(cwd, 'far/link.json'));
  spawnSync('mkfifo', [join(cwd, 'far/pipe.json')]);
  writeFileSync(join(cwd, 'far/.hidden.json'), '{}');
  put(cwd, 'readme.txt', 'no report');
  put(cwd, 'new.json', '{}');
  utimesSync(join(cwd, 'far/new.json'), Date.now() / 1000, Date.now() / 1000);
  const { code, out, err } = fill(cwd, { more: ['--stats'] });
  t.equal(code, 0);
  t.match(err, /^cannery bucket: left for the next run: 1 that changed less than 60 s ago/);
  t.match(err, /"in":4,"out":4,"skipped":3,"rejected":0,"bytes_in":3000013,"young":1,"strangers":1,"moved":4,/);
  t.match(rows(out)[0], { file: `raw/${DAY}/a.json`, bytes: 8, kind: 'report', bucket: DAY });
  t.same(far(cwd), ['.hidden.json', 'folder.json', 'link.json', 'new.json', 'pipe.json', 'readme.txt']);
  t.match(inBucket(t, cwd), { ...TWO, 'empty.json': '' });
  t.same(readdirSync(join(cwd, 'raw')), [DAY], 'nothing is left beside the bucket');
  const manifest = rows(readFileSync(join(cwd, 'raw', DAY, '.manifest.jsonl'), 'utf8'));
  t.match(manifest[0], { name: 'a.json', size: 8, from: `${HOST}:${cwd}/far/a.json` });
  const again = fill(cwd, { more: ['--settle', '0', '--stats'] });
  t.same([again.code, rows(again.out).length], [0, 1], 'the young one, and nothing else');
  t.match(cannery(['cat', '--raw', `raw/${DAY}/a.json`], { cwd }).out, '{"n":1}');
});

test('who could not read a report there cannot read it here', (t) => {
  const cwd = withReports(t, TWO);
  chmodSync(join(cwd, 'far/a.json'), 0o600);
  chmodSync(join(cwd, 'far/b.yaml'), 0o4640);
  t.equal(fill(cwd).code, 0);
  const mode = (name: string) => statSync(join(cwd, 'raw', DAY, name)).mode & 0o7777;
  t.same([mode('a.json'), mode('b.yaml')], [0o600, 0o640]);
});

test('names and folders that a shell would read something into', (t) => {
  const dir = `it's "far" $(touch owned) \`touch owned\` & ; #é`;
  const names = ["a'b.json", 'a "b".json', '$HOME.json', '$(touch owned).json', '`touch owned`.json', 'a;b.json'];
  names.push(
    '-rf.json',
    '#x.json',
    '; x.json',
    'back\\slash.json',
    'st*r.json',
    ' x .json',
    '\\#012.json',
    'π€😀.json',
    '%20.json',
  );
  const cwd = withReports(t, Object.fromEntries(names.map((name) => [name, `${name}\n`])), dir);
  put(cwd, 'line\nfeed.json', '{}', dir);
  spawnSync('bash', ['-c', `echo '{}' >$'\\xff.json'; touch -d 2020-01-01 *`], { cwd: join(cwd, dir) });
  const copied = fill(cwd, { dir, more: ['--copy', '--to', 'copies'] });
  t.equal(copied.code, 3);
  t.equal(far(cwd, dir).length, names.length + 2, '--copy leaves them there');
  const { code, err } = fill(cwd, { dir });
  t.equal(code, 3);
  t.match(err, 'line\\nfeed.json: stays where it is: a name with control characters');
  t.match(err, 'a name that is not UTF-8');
  t.equal(err.split('\n').length, 3);
  t.same(inBucket(t, cwd), Object.fromEntries(names.sort().map((name) => [name, `${name}\n`])));
  t.equal(far(cwd, dir).length, 2, 'the two stay');
  t.notOk(existsSync(join(cwd, 'owned')) || existsSync(join(cwd, dir, 'owned')), 'nobody ran a command');
});

test('the remote shell may come from RSYNC_RSH, and the folder be relative to the home there', (t) => {
  const cwd = withReports(t, TWO);
  const home = shell(`${SSH} ${HOST} pwd`).out.trim();
  const from = `${HOST}:${'../'.repeat(home.split('/').length)}${cwd}/far/`.replaceAll('//', '/');
  const { code, err } = cannery(['bucket', '--to', 'raw', '--date', DAY, '--from', from], {
    cwd,
    env: { RSYNC_RSH: SSH },
  });
  t.same([code, err], [0, '']);
  t.same(inBucket(t, cwd), TWO);
  t.same(far(cwd), []);
});

test('what is in the bucket already: the same goes there, other bytes stay there', (t) => {
  const cwd = withReports(t, TWO);
  t.equal(fill(cwd, { more: ['--copy'] }).code, 0);
  put(cwd, 'b.yaml', 'b: 7\n');
  const { code, err } = fill(cwd, { more: ['--stats'] });
  t.equal(code, 3);
  t.match(err, `${HOST}:${cwd}/far/b.yaml: stays where it is: raw/${DAY}/b.yaml has other bytes`);
  t.match(err, '"duplicate":1');
  t.same(far(cwd), ['b.yaml']);
  t.same(inBucket(t, cwd), TWO);
  t.same(readdirSync(join(cwd, 'raw')), [DAY]);
});

test('more reports than are brought at once', (t) => {
  const reports = Object.fromEntries(Array.from({ length: 520 }, (_, n) => [`${n}.json`, `{"n":${n}}\n`]));
  const cwd = withReports(t, reports);
  const { code, out, err } = fill(cwd);
  t.same([code, err], [0, '']);
  t.equal(rows(out).length, 520);
  t.same(inBucket(t, cwd), reports);
  t.same(far(cwd), []);
});

// --- what does not

test('a place that is not there, a host that does not answer, a key that is not known', (t) => {
  const cwd = withReports(t, TWO);
  const cases: [How, RegExp][] = [
    [{ dir: 'nosuch' }, /rsync: .*change_dir ".*nosuch" failed: No such file or directory/],
    [{ dir: 'far/a.json' }, /rsync: .*Not a directory/],
    [{ ssh: SSH!.replace(/-p \d+/, '-p 1') }, /Connection refused/],
    [{ ssh: `${SSH!} -i /dev/null -o IdentityAgent=none`.replace(/-i \S+user_key/, '') }, /Permission denied/],
    [
      { ssh: `${SSH!} -o UserKnownHostsFile=/dev/null`.replace(/-o UserKnownHostsFile=\S+/, '') },
      /Host key verification failed/,
    ],
    [{ ssh: '/nosuch/shell' }, /nosuch/],
  ];
  for (const [how, says] of cases) {
    const { code, out, err } = fill(cwd, how);
    t.same([code, out], [1, ''], err);
    t.match(err, says);
    t.match(err, /^cannery bucket: [^\n]*\n$/, 'one line');
    t.notOk(existsSync(join(cwd, 'raw')), 'nothing was made');
  }
  t.same(far(cwd), ['a.json', 'b.yaml']);
});

test('the connection is lost, at any call: nothing is lost, and the next run completes it', (t) => {
  const reports = { ...TWO, 'c.json': 'x'.repeat(2_000_000) };
  const faults: [string, number[], string][] = [
    ['before the call', [1, 2, 3, 4], 'exit 255'],
    ['in the middle of the answer', [1, 2, 3, 4], 'dd bs=1 count=60 status=none < <(real "$@" <&3); exit 255'],
    ['after half of a report', [2], 'dd bs=1000 count=1000 status=none < <(real "$@" <&3); exit 255'],
    ['after the call, and its answer with it', [3, 4], 'real "$@" >/dev/null; exit 255'],
  ];
  for (const [what, calls, script] of faults) {
    for (const call of calls) {
      const cwd = withReports(t, reports);
      const failed = fill(cwd, { ssh: remoteShell(cwd, `[ $call -eq ${call} ] && { ${script}; }; real "$@"`) });
      t.equal(failed.code, 1, `call ${call}, ${what}`);
      t.match(failed.err, /^cannery bucket: 127\.0\.0\.1: \S+: [^\n]* \(code \d+\)\n$/, failed.err);
      if (call < 4) t.same(far(cwd), Object.keys(reports), 'all are there');
      if (call < 4) t.notOk(existsSync(join(cwd, 'raw', DAY)), 'none is here');
      else t.same(inBucket(t, cwd), reports, 'all are here');
      // On another day, without --date: what is in the bucket does not come into a second one.
      const again = fill(cwd, call === 4 ? { date: null } : {});
      t.equal(again.code, 0, again.err);
      t.same(inBucket(t, cwd), reports);
      t.same(readdirSync(join(cwd, 'raw')), [DAY], 'nothing is left beside the bucket');
      t.same(far(cwd), []);
    }
  }
});

test('what was brought before a loss is not brought again', (t) => {
  const cwd = withReports(t, { 'a.json': 'x'.repeat(2_000_000) });
  t.equal(fill(cwd, { ssh: remoteShell(cwd, '[ $call -eq 3 ] && exit 255; real "$@"') }).code, 1);
  const [staging] = readdirSync(join(cwd, 'raw'));
  t.match(staging, /^\.from-[0-9a-f]{16}\.part$/);
  t.same(readdirSync(join(cwd, 'raw', staging!)).sort(), ['.lock', 'a.json']);
  const counting = '[ $call -eq 2 ] && { set -o pipefail; real "$@" | tee >(wc -c >brought); exit; }; real "$@"';
  const { code } = fill(cwd, { ssh: remoteShell(cwd, counting), date: '2024-02-02' });
  t.equal(code, 0);
  t.ok(Number(readFileSync(join(cwd, 'brought'), 'utf8')) < 10_000);
  t.equal(inBucket(t, cwd, '2024-02-02')['a.json']!.length, 2_000_000);
});

test('the shell there greets', (t) => {
  const cwd = withReports(t, TWO);
  for (const call of [1, 2, 3, 4]) {
    const { code, err } = fill(cwd, { ssh: remoteShell(cwd, `[ $call -eq ${call} ] && echo Welcome; real "$@"`) });
    t.equal(code, 1, err);
    if (call > 2) t.match(err, 'not the answers that were asked for: does its shell print a greeting?');
  }
});

test('reports change, go and come while they are brought', (t) => {
  const cwd = withReports(t, {
    'a.json': '{"n":1}\n',
    'b.json': '{"n":2}\n',
    'c.json': '{"n":3}\n',
    'd.json': '{"n":4}\n',
    'e.json': '{"n":5}\n',
  });
  const script = `case $call in
    2) rm far/a.json;;
    3) echo more >>far/b.json; rm far/c.json; echo '{}' >far/late.json;;
    4) echo more >>far/d.json; rm far/e.json; ln -s d.json far/e.json;;
  esac; real "$@"`;
  const { code, out, err } = fill(cwd, { ssh: remoteShell(cwd, script), more: ['--stats'] });
  t.equal(code, 3);
  t.same(err.split('\n').slice(0, -2), [
    `cannery bucket: ${HOST}:${cwd}/far/b.json: stays where it is: changed while it was copied`,
    `cannery bucket: ${HOST}:${cwd}/far/d.json: changed after it was copied, and stays`,
  ]);
  t.match(err, '"vanished":2');
  t.same(
    rows(out).map(({ file }) => file),
    [`raw/${DAY}/d.json`, `raw/${DAY}/e.json`],
  );
  t.same(inBucket(t, cwd), { 'd.json': '{"n":4}\n', 'e.json': '{"n":5}\n' });
  t.same(far(cwd), ['b.json', 'd.json', 'e.json', 'late.json']);
  t.same(readdirSync(join(cwd, 'raw')), [DAY]);
});

test(
  'reports that may not be read there, or not be removed',
  (t) => {
    const cwd = withReports(t, TWO);
    const ssh = remoteShell(cwd, `host=$1; shift; command="$*"; real "$host" "${AS_NOBODY} \${command#exec }"`);
    chmodSync(join(cwd, 'far/a.json'), 0);
    const first = fill(cwd, { ssh });
    t.same(
      [first.code, first.err],
      [3, `cannery bucket: ${HOST}:${cwd}/far/a.json: stays where it is: it cannot be read there\n`],
    );
    t.same(inBucket(t, cwd), { 'b.yaml': TWO['b.yaml'] });
    chmodSync(join(cwd, 'far/a.json'), 0o600);
    chmodSync(join(cwd, 'far'), 0o500);
    for (const time of ['first', 'second']) {
      const { code, err } = fill(cwd, { ssh });
      t.same(
        [code, err],
        [3, `cannery bucket: ${HOST}:${cwd}/far/a.json: is in the bucket, but cannot be removed there\n`],
        time,
      );
    }
    chmodSync(join(cwd, 'far'), 0o700);
    t.same(far(cwd), ['a.json']);
    t.same(inBucket(t, cwd), TWO);
  },
  ROOT_DOES_ALL,
);

test('killed while reports are brought, and run twice at a time', async (t) => {
  const cwd = withReports(t, { 'a.json': 'x'.repeat(5_000_000), 'b.json': '{"n":2}\n' });
  const slow = remoteShell(
    cwd,
    '[ $call -eq 2 ] && { real "$@" | { dd bs=1000 count=1000 status=none; touch half; sleep 60; cat; }; exit; }; real "$@"',
  );
  const child = spawn(process.execPath, [CANNERY, ...arguments_(cwd, { ssh: slow })], { cwd, detached: true });
  const end = new Promise((done) => child.on('close', done));
  t.teardown(() => killGroup(child.pid!));
  for (let i = 0; i < 1000 && !existsSync(join(cwd, 'half')); i++) await sleep(10);
  const second = fill(cwd);
  t.equal(second.code, 1);
  t.match(second.err, /another process is at work here/);
  killGroup(child.pid!);
  await end;
  appendFileSync(join(cwd, 'far/b.json'), 'more\n');
  utimesSync(join(cwd, 'far/b.json'), 1.6e9, 1.6e9);
  const { code, err } = fill(cwd);
  t.same([code, err], [0, '']);
  t.same(
    Object.values(inBucket(t, cwd)).map((bytes) => bytes.length),
    [5_000_000, 13],
  );
  t.same(readdirSync(join(cwd, 'raw')), [DAY]);
  t.same(far(cwd), []);
});

/** The run and what it has started, in a process group of its own. */
function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // it has ended
  }
}
