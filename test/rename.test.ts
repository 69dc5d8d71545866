// rename where a case folder is not enough: two runs at once, other disks, permissions, reports that go meanwhile,
// long reports, the verbs behind it, and real documents. The rest is in fixtures/rename.
import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { type LogEntry, logLine, OUTCOMES, parseLogLine, standingMoves } from '../src/record/renamelog.ts';
import {
  AS_NOBODY,
  CANNERY,
  cannery,
  folder,
  folderElsewhere,
  ONE_DISK,
  type Ran,
  ROOT_DOES_ALL,
  rows,
  sharedData,
  shell,
  shellAsync,
  tree,
} from './lib.ts';

const RENAME = ['rename', 'archive', '--to', 'reports', '--settle', '0'];
const UNDO = ['rename', 'archive', '--to', 'reports', '--undo', 'reports/rename.log'];
const LINE = `cannery ${RENAME.join(' ')}`;

interface RenameRow {
  file: string;
  from: string;
  outcome: string;
}

function report(change: object = {}): string {
  const header = { test_start_time: '2015-06-29 14:27:14', test_name: 'ndt', report_id: 'abc', probe_asn: 'AS1' };
  return `${JSON.stringify({ ...header, probe_cc: 'IT', data_format_version: '0.2.0', ...change })}\n`;
}

const nameOf = (id: string) => `20150629T142714-ndt-${id}-AS1-IT-probe-0.2.0.json`;

function put(cwd: string, path: string, bytes: string | Uint8Array): void {
  mkdirSync(dirname(join(cwd, path)), { recursive: true });
  writeFileSync(join(cwd, path), bytes);
}

/** Every report in a folder, by its bytes. */
function reportsIn(...paths: string[]): string[] {
  return paths
    .flatMap((path) => tree(path).map((file) => join(path, file)))
    .filter((file) => /\.(?:json|yaml|yamloo)(?:\.gz)?$/.test(file))
    .map((file) => readFileSync(file, 'latin1'))
    .sort();
}

/** What may not stand in a folder of reports after a run. */
const parts = (path: string) => tree(path).filter((file) => file.endsWith('-part'));

t.test('a run, the same run again, and back', (t) => {
  const cwd = folder(t);
  for (let n = 0; n < 200; n++)
    put(cwd, `archive/${n % 7}/${n}.json`, report({ report_id: `r${n % 150}`, n: n < 170 ? n : n % 150 }));
  const before = tree(join(cwd, 'archive')).map((path) => [path, readFileSync(join(cwd, 'archive', path), 'utf8')]);
  const first = cannery([...RENAME, '--stats'], { cwd });
  t.equal(first.code, 0, first.err);
  const counts = JSON.parse(first.err.trim().split('\n').at(-1)!) as Record<string, number>;
  t.match(counts, { in: 200, renamed: 150, collision: 20, duplicate: 30, out: 170, failed: 0, empty: 0, invalid: 0 });
  t.same(tree(join(cwd, 'archive')), []);
  const given = rows<RenameRow>(first.out);
  t.same(new Set(given.map(({ file }) => file)).size, 170, 'no report is given twice');
  for (const { file } of given) t.ok(existsSync(join(cwd, file)));
  t.same(parts(join(cwd, 'reports')), []);
  t.same(cannery(RENAME, { cwd }), { code: 0, out: '', err: '' });

  const undone = cannery(UNDO, { cwd });
  t.equal(undone.code, 0, undone.err);
  t.equal(rows(undone.out).length, 200);
  t.same(
    tree(join(cwd, 'archive')).map((path) => [path, readFileSync(join(cwd, 'archive', path), 'utf8')]),
    before,
  );
  t.same(tree(join(cwd, 'reports')), ['.rename-lock', 'rename.log']);
  t.same(cannery(UNDO, { cwd }), { code: 0, out: '', err: '' });
  t.end();
});

t.test('two runs at once lose nothing and take nothing twice', async (t) => {
  const cwd = folder(t);
  for (let n = 0; n < 400; n++) put(cwd, `archive/${n}.json`, report({ n, report_id: `r${n % 10}` }));
  const before = reportsIn(join(cwd, 'archive'));
  const ran = await Promise.all([1, 2, 3].map(() => shellAsync(LINE, { cwd })));
  for (const { code, err } of ran) {
    if (code === 1) t.equal(err, 'cannery rename: reports: another rename is at work here\n');
    else t.equal(code, 0, err);
  }
  t.ok(ran.some(({ code }) => code === 0));
  t.same(reportsIn(join(cwd, 'archive'), join(cwd, 'reports')), before);
  t.same(tree(join(cwd, 'archive')), []);
});

t.test('two runs at once to two folders: every report is in one of them at least', async (t) => {
  const cwd = folder(t);
  for (let n = 0; n < 400; n++) put(cwd, `archive/${n}.json`, report({ n, report_id: `r${n}` }));
  const before = reportsIn(join(cwd, 'archive'));
  const ran = await Promise.all([1, 2].map((n) => shellAsync(LINE.replace('reports', `reports${n}`), { cwd })));
  for (const { code, err } of ran) t.equal(code, 0, err);
  t.same([...new Set(reportsIn(join(cwd, 'reports1'), join(cwd, 'reports2')))], before);
  t.same(tree(join(cwd, 'archive')), []);
});

t.test('reports that others take away meanwhile are no fault', async (t) => {
  const cwd = folder(t);
  for (let n = 0; n < 600; n++) put(cwd, `archive/${n}.json`, report({ n, report_id: `r${n}` }));
  mkdirSync(join(cwd, 'taken'));
  const before = reportsIn(join(cwd, 'archive'));
  const mover = shellAsync('while mv archive/*7.json archive/*3.json taken/ 2>/dev/null; do :; done', { cwd });
  const { code, err } = await shellAsync(LINE, { cwd });
  await mover;
  t.same([code, err], [0, '']);
  t.same([...new Set(reportsIn(join(cwd, 'taken'), join(cwd, 'reports')))], before);
  t.same(tree(join(cwd, 'archive')), []);
});

t.test('hard links in an archive are one report each run', (t) => {
  const cwd = folder(t);
  put(cwd, 'archive/a.json', report());
  linkSync(join(cwd, 'archive/a.json'), join(cwd, 'archive/b.json'));
  const { code, out } = cannery(RENAME, { cwd });
  t.equal(code, 0);
  t.same(
    rows<RenameRow>(out).map(({ outcome }) => outcome),
    ['renamed'],
    'given once',
  );
  t.equal(cannery(UNDO, { cwd }).code, 0);
  t.same(tree(join(cwd, 'archive')), ['a.json', 'b.json']);
  t.end();
});

// --- other disks, full disks, permissions

t.test('across devices: a copy that was read back, with its time and mode; and back again', { skip: ONE_DISK }, (t) => {
  const cwd = folder(t);
  const far = folderElsewhere(t);
  const big = report({ body: 'x'.repeat(3_000_000) });
  put(cwd, 'archive/a.json', big);
  put(cwd, 'archive/b.json', big);
  put(cwd, 'archive/c.json', report({ n: 1 }));
  put(cwd, 'archive/d.json', report({ test_name: 'summary' }));
  utimesSync(join(cwd, 'archive/a.json'), 1_500_000_000, 1_500_000_000);
  chmodSync(join(cwd, 'archive/a.json'), 0o400);
  const before = reportsIn(join(cwd, 'archive'));
  const { code, out } = cannery(['rename', 'archive', '--to', join(far, 'reports'), '--settle', '0'], { cwd });
  t.equal(code, 3);
  t.same(
    rows<RenameRow>(out).map(({ outcome }) => outcome),
    ['renamed', 'collision'],
  );
  t.equal(readFileSync(join(far, 'reports', nameOf('abc')), 'utf8'), big);
  const { mtimeMs, mode } = statSync(join(far, 'reports', nameOf('abc')));
  t.same([mtimeMs, mode & 0o777], [1_500_000_000_000, 0o400]);
  t.same(tree(join(cwd, 'archive')), []);
  t.same(parts(far), []);
  const log = join(far, 'reports/rename.log');
  const undone = cannery(['rename', 'archive', '--to', join(far, 'reports'), '--undo', log], { cwd });
  t.equal(undone.code, 0, undone.err);
  t.same(reportsIn(join(cwd, 'archive')), before);
  t.same(reportsIn(far), []);
  t.same(parts(cwd), []);
  t.end();
});

/** Runs rename with system calls that fail. */
function withFault(cwd: string, fault: string, args = RENAME): Ran {
  const line = `strace -f -qq -o /dev/null -e trace=%file,%desc -e inject=${fault} "$NODE" "$CANNERY" ${args.join(' ')}`;
  return shell(line, { cwd, env: { NODE: process.execPath, CANNERY } });
}
const NO_STRACE = spawnSync('strace', ['-qq', '-o', '/dev/null', 'true']).status !== 0 && 'strace is not here';

t.test('faults of the system', { skip: NO_STRACE }, (t) => {
  const archive = (t: Test) => {
    const cwd = folder(t);
    for (const n of ['a', 'b', 'c']) put(cwd, `archive/${n}.json`, report({ report_id: n }));
    return { cwd, before: reportsIn(join(cwd, 'archive')) };
  };

  t.test("a link that is not allowed, as to another's file: a copy", (t) => {
    const { cwd, before } = archive(t);
    const { code, out, err } = withFault(cwd, 'link,linkat:error=EPERM:when=1');
    t.equal(code, 0, err);
    t.equal(rows(out).length, 3);
    t.same(reportsIn(join(cwd, 'reports')), before);
    t.same(tree(join(cwd, 'archive')), []);
    t.end();
  });

  t.test('a file system without links', (t) => {
    const { cwd, before } = archive(t);
    const { code, err } = withFault(cwd, 'link,linkat:error=EPERM');
    t.equal(code, 1);
    t.match(err, /^cannery rename: archive\/a\.json: not renamed: .*: this file system has no hard links\n$/);
    t.same(reportsIn(join(cwd, 'archive')), before);
    t.same(tree(join(cwd, 'reports')), ['.rename-lock', 'rename.log']);
    t.end();
  });

  t.test('no space for one name: that report stays, the others go', (t) => {
    const { cwd, before } = archive(t);
    const { code, out, err } = withFault(cwd, 'link,linkat:error=ENOSPC:when=2');
    t.equal(code, 3);
    t.match(err, /^cannery rename: archive\/b\.json: not renamed: .*no space left on device\n$/);
    t.equal(rows(out).length, 2);
    t.same(tree(join(cwd, 'archive')), ['b.json']);
    t.same(reportsIn(join(cwd, 'archive'), join(cwd, 'reports')), before);
    t.equal(cannery(RENAME, { cwd }).code, 0);
    t.same(reportsIn(join(cwd, 'reports')), before);
    t.end();
  });

  t.test('a source that cannot be removed keeps its name, and has no other', (t) => {
    const { cwd, before } = archive(t);
    const { code, out, err } = withFault(cwd, 'unlink,unlinkat:error=EACCES:when=2');
    t.equal(code, 3, err);
    t.match(err, 'b.json: not renamed: permission denied');
    t.equal(rows(out).length, 2);
    t.same(tree(join(cwd, 'archive')), ['b.json']);
    t.same(reportsIn(join(cwd, 'archive'), join(cwd, 'reports')), before);
    t.end();
  });

  t.test('an fsync that fails ends the run, and nothing has gone', (t) => {
    for (let when = 1; when < 12; when++) {
      const { cwd, before } = archive(t);
      const { code } = withFault(cwd, `fsync:error=EIO:when=${when}`);
      t.same([...new Set(reportsIn(join(cwd, 'archive'), join(cwd, 'reports')))], before, `fsync ${when}: ${code}`);
      t.equal(cannery(RENAME, { cwd }).code, 0);
      t.same(reportsIn(join(cwd, 'reports')), before);
    }
    t.end();
  });
  t.end();
});

/** A file system of some kilobytes; undefined where none can be mounted. */
function smallDisk(t: Test): string | undefined {
  const path = folder(t);
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', path]).status !== 0) return undefined;
  t.teardown(() => spawnSync('umount', [path]));
  return path;
}

t.test('a full disk: what does not fit stays, and is named', (t) => {
  const far = smallDisk(t);
  if (!far) {
    t.comment('skipped: no tmpfs can be mounted here');
    return t.end();
  }
  const cwd = folder(t);
  put(cwd, 'archive/a.json', report({ report_id: 'a' }));
  put(cwd, 'archive/b.json', report({ report_id: 'b', body: 'x'.repeat(1_000_000) }));
  const before = reportsIn(join(cwd, 'archive'));
  const { code, out, err } = cannery(['rename', 'archive', '--to', join(far, 'reports'), '--settle', '0'], { cwd });
  t.equal(code, 1);
  t.match(err, /^cannery rename: archive\/b\.json: not renamed: .*no space left on device\n$/);
  t.equal(rows(out).length, 1, 'what was done is told');
  t.same(reportsIn(join(cwd, 'archive'), far), before);
  t.same(tree(join(cwd, 'archive')), ['b.json']);
  t.same(parts(far), []);
  t.end();
});

t.test('permissions', { skip: ROOT_DOES_ALL }, (t) => {
  const archive = (t: Test, locked: string, mode: number) => {
    const cwd = folder(t);
    for (const path of ['a.json', 'b/b.json', 'c.json']) put(cwd, `archive/${path}`, report({ report_id: path[0] }));
    mkdirSync(join(cwd, 'reports'));
    chmodSync(join(cwd, locked), mode);
    t.teardown(() => existsSync(join(cwd, locked)) && chmodSync(join(cwd, locked), 0o700));
    return { cwd, ...shell(`${AS_NOBODY} ${LINE}`, { cwd }) };
  };
  const cases: [string, number, RegExp][] = [
    ['archive/b/b.json', 0, /archive\/b\/b\.json: not renamed: permission denied\n$/],
    ['archive/b', 0, /archive\/b: permission denied\n$/],
    ['archive/b', 0o500, /archive\/b\/b\.json: not renamed: permission denied\n$/],
  ];
  for (const [locked, mode, message] of cases) {
    t.test(`${locked} with mode ${mode.toString(8)}: the others are renamed`, (t) => {
      const { cwd, code, out, err } = archive(t, locked, mode);
      t.equal(code, 3);
      t.match(err, message);
      t.same(
        rows<RenameRow>(out).map(({ from }) => from),
        ['archive/a.json', 'archive/c.json'],
      );
      chmodSync(join(cwd, locked), 0o700);
      t.same(tree(join(cwd, 'archive')), ['b/b.json']);
      t.equal(reportsIn(join(cwd, 'reports')).length, 2);
      t.end();
    });
  }
  t.test('a folder that may not be written: nothing is renamed', (t) => {
    const { cwd, code, err } = archive(t, 'reports', 0o500);
    t.equal(code, 1);
    t.match(err, /^cannery rename: reports\/\.rename-lock: /);
    t.equal(tree(join(cwd, 'archive')).length, 3);
    t.end();
  });
  t.end();
});

// --- what is in a report

/** Runs it to its end. @returns also the most memory that it had at once, MB */
async function measured(args: string[], cwd: string): Promise<{ code: number | null; peak: number }> {
  const child = spawn(process.execPath, [CANNERY, ...args], { cwd, stdio: 'ignore' });
  let peak = 0;
  const watch = setInterval(() => {
    try {
      const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
      peak = Math.max(peak, Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? 0) / 1024);
    } catch {
      // it has ended, or this is no Linux
    }
  }, 5);
  const code = await new Promise<number | null>((done) => child.on('close', done));
  clearInterval(watch);
  return { code, peak };
}

t.test('a first record of 150 MB whose header stands at its end, over many lines, and packed', async (t) => {
  const cwd = folder(t);
  const head = report().slice(1);
  const body = `{"test_keys":{"body":["${'\\"{[x]},'.repeat(1_000)}"]},\n`;
  put(
    cwd,
    'archive/a.json',
    `${body.slice(0, -2)},${`"k":{"body":["${'{["x"]},'.replaceAll('"', '\\"').repeat(1_000_000)}"]},\n`.repeat(16)}${head}`,
  );
  put(cwd, 'archive/b.json.gz', gzipSync(`{${`"k":["${'x'.repeat(1_000_000)}"],\n`.repeat(150)}${head}`, { level: 1 }));
  t.ok(statSync(join(cwd, 'archive/a.json')).size > 140_000_000);
  const { code, peak } = await measured(RENAME, cwd);
  t.equal(code, 0);
  t.same(
    tree(join(cwd, 'reports')).filter((name) => name.includes('probe')),
    [nameOf('abc'), `${nameOf('abc')}.gz`],
  );
  if (peak > 0) t.ok(peak < 160, `${peak.toFixed(0)} MB`);
});

t.test('how far a header is looked for', (t) => {
  const cwd = folder(t);
  put(cwd, 'archive/a.json.gz', gzipSync(' '.repeat(20_000_000)));
  put(cwd, 'archive/b.json', `{"body":"${'x'.repeat(3_000_000)}",${report().slice(1)}`);
  put(cwd, 'archive/c.yaml', `---\ninput_hashes: [${'x'.repeat(3_000_000)}]\n...\n---\ninput: a\n...\n`);
  put(cwd, 'archive/d.json', report());
  const { code, out, err } = cannery([...RENAME, '--max-line', '1M'], { cwd });
  t.equal(code, 3);
  t.equal(err.match(/failed: no header in its first 1000000 bytes \(--max-line\)/g)?.length, 3, err);
  t.equal(rows(out).length, 1);
  t.end();
});

t.test('an entry of 40 MB is not read to know that there is one', async (t) => {
  const cwd = folder(t);
  const header = '---\nstart_time: 1435588034\ntest_name: ndt\n...\n';
  put(cwd, 'archive/a.yaml', `${header}---\nbody: |\n${`  ${'x'.repeat(1000)}\n`.repeat(40_000)}...\n`);
  const { code, peak } = await measured(RENAME, cwd);
  t.equal(code, 0);
  t.equal(reportsIn(join(cwd, 'reports')).length, 1);
  if (peak > 0) t.ok(peak < 160, `${peak.toFixed(0)} MB`);
});

t.test('names of 255 bytes', (t) => {
  const cwd = folder(t);
  const long = `${'é'.repeat(125)}.json`;
  put(cwd, `archive/${long}`, '');
  put(cwd, `archive/b/${long}`, 'x');
  put(cwd, `archive/c/${long}`, 'y');
  const { code, err } = cannery(RENAME, { cwd });
  t.equal(code, 3);
  t.same(tree(join(cwd, 'reports')).slice(0, 2), [`.errored/empty/${long}`, `.errored/failed/${long}`]);
  t.same(tree(join(cwd, 'archive')), [`c/${long}`], 'no room for a number in its name');
  t.match(err, /not renamed: its name would be longer than 255 bytes\n/);
  t.end();
});

// --- the verbs behind it

t.test('rename, ls and cat: good reports are read once, others not at all', (t) => {
  const cwd = folder(t);
  for (let n = 0; n < 5; n++) put(cwd, `archive/${n}.json`, report({ n, report_id: `r${n % 2}` }));
  put(cwd, 'archive/twice.json', report({ n: 0, report_id: 'r0' }));
  put(cwd, 'archive/bad.json', report({ test_name: 'summary' }));
  const listed = shell(`${LINE} --rejects bad.rejects | cannery cat --raw`, { cwd });
  t.equal(rows(listed.out).length, 5);
  t.equal(listed.code, 3);
  const again = shell('cannery ls reports --kind report | cannery cat --raw', { cwd });
  t.same(again.out.split('\n').sort(), listed.out.split('\n').sort());
  t.equal(rows(again.out).length, 5);
  t.equal(again.err, '', 'neither the log nor what lies aside is told of');
  const [reject] = rows<{ file: string; data: string }>(readFileSync(join(cwd, 'bad.rejects'), 'utf8'));
  t.equal(reject!.file, 'archive/bad.json');
  t.same(JSON.parse(reject!.data), { file: 'reports/.errored/invalid/bad.json' });
  t.equal(shell('cannery cat --raw bad.rejects', { cwd }).out, report({ test_name: 'summary' }));
  t.end();
});

t.test('rename and bucket: what was renamed is in the bucket, and cannot be taken back from there', (t) => {
  const cwd = folder(t);
  for (const n of ['a', 'b']) put(cwd, `archive/${n}.json`, report({ report_id: n }));
  const { code, err } = shell(`${LINE} | cannery bucket --to raw --date 2016-08-01 --settle 0`, { cwd });
  t.equal(code, 0, err);
  t.same(
    tree(join(cwd, 'raw/2016-08-01')).filter((name) => name.endsWith('.json')),
    ['a', 'b'].map(nameOf),
  );
  const undone = cannery(UNDO, { cwd });
  t.equal(undone.code, 3);
  t.equal(undone.err.match(/not taken back: no longer there/g)?.length, 2);
  t.end();
});

t.test('a reader that goes away is no fault; the next run does the rest', (t) => {
  const cwd = folder(t);
  for (let n = 0; n < 1500; n++) put(cwd, `archive/${n}.json`, report({ report_id: `r${n}` }));
  const before = reportsIn(join(cwd, 'archive'));
  t.same(shell(`${LINE} | head -n 1 | wc -l`, { cwd }), { code: 0, out: '1\n', err: '' });
  t.equal(cannery(RENAME, { cwd }).code, 0);
  t.same(reportsIn(join(cwd, 'reports')), before);
  t.end();
});

// --- the log

const path = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }).filter((s) => !/[/\0]|^\.\.?$/.test(s));
const entry: fc.Arbitrary<LogEntry> = fc.record({
  target: fc.oneof(
    path,
    fc.tuple(fc.constantFrom(...OUTCOMES), path).map(([outcome, name]) => `.errored/${outcome}/${name}`),
  ),
  source: fc.array(path, { minLength: 1, maxLength: 4 }).map((parts) => `/${parts.join('/')}`),
  outcome: fc.constantFrom(...OUTCOMES, 'undone' as const),
  at: fc.constant('2026-01-01T00:30:00.000Z'),
  bytes: fc.nat(),
  sha256: fc.stringMatching(/^[0-9a-f]{64}$/),
});

t.test('a line of the log is read back, whatever names hold', (t) => {
  fc.assert(
    fc.property(entry, (entry) => {
      const line = logLine({ ...entry, substituted: { cc: 'ZZ' }, reason: 'a\tb\n' });
      t.equal(line.indexOf('\n'), line.length - 1, 'one line');
      t.equal(line.split('\t').length, 3);
      t.same(parseLogLine(line.slice(0, -1)), entry);
    }),
  );
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom(...'./\t\\n{}":a') })), (text) => {
      const read = parseLogLine(text);
      return read === undefined || read.source.startsWith('/');
    }),
  );
  const good = { target: 'a', source: '/b', outcome: 'renamed', at: '', bytes: 1, sha256: '0'.repeat(64) } as LogEntry;
  t.ok(parseLogLine(logLine(good).slice(0, -1)));
  const bad: Partial<Record<keyof LogEntry, unknown[]>> = {
    target: ['..', 'a/b', '/a', '.errored/x', '.errored/other/x', '.errored/failed/..', '.errored/../failed'],
    source: ['b', '/', '/a/../b', '/a//b', '/a/', '/./a'],
    outcome: ['moved', 1, null],
    bytes: [-0.5, '1', null],
    sha256: ['', '0'.repeat(63), 1],
  };
  for (const [name, values] of Object.entries(bad)) {
    for (const value of values) {
      const line = logLine({ ...good, [name]: value } as LogEntry).slice(0, -1);
      t.equal(parseLogLine(line), undefined, `${name} ${value}`);
    }
  }
  t.end();
});

t.test('the moves that stand', (t) => {
  const move = (target: string, source: string, outcome: LogEntry['outcome']) =>
    ({ target, source: `/${source}`, outcome, at: '', bytes: 0, sha256: '' }) as LogEntry;
  const stand = (entries: LogEntry[]) => standingMoves(entries).map(({ target, source }) => `${target}${source}`);
  t.same(stand([move('a', 'x', 'renamed'), move('b', 'y', 'renamed')]), ['b/y', 'a/x'], 'newest first');
  t.same(stand([move('a', 'x', 'renamed'), move('a', 'x', 'undone')]), []);
  t.same(
    stand([move('a', 'x', 'renamed'), move('b', 'y', 'renamed'), move('a', 'x', 'undone'), move('a', 'x', 'renamed')]),
    ['a/x', 'b/y'],
  );
  t.end();
});

t.test('every report of an archive moved elsewhere is others’ business', (t) => {
  const cwd = folder(t);
  put(cwd, 'archive/a.json', report());
  t.equal(cannery(RENAME, { cwd }).code, 0);
  renameSync(join(cwd, 'archive'), join(cwd, 'elsewhere'));
  const { code, out, err } = cannery(
    UNDO.map((word) => (word === 'archive' ? 'elsewhere' : word)),
    { cwd },
  );
  t.same([code, out], [0, '']);
  t.match(err, '1 moves from other archives');
  t.end();
});

// --- real documents

const data = sharedData();
t.test('real reports get names and come back to the byte', { skip: !data && 'no real data here' }, (t) => {
  const cwd = folder(t);
  for (const part of ['measurements', 'sanitise-pair'])
    t.equal(shell(`mkdir -p archive && cp -r '${data}/${part}' archive/ && chmod -R u+w archive`, { cwd }).code, 0);
  const before = tree(join(cwd, 'archive')).map((path) => [path, statSync(join(cwd, 'archive', path)).size]);
  for (const layout of ['seed', 'pipeline']) {
    const { code, out, err } = cannery([...RENAME, '--layout', layout], { cwd });
    t.equal(code, 3);
    const given = rows<RenameRow & { cc?: string; time?: string }>(out);
    t.ok(given.length > 150, `${given.length} reports have names`);
    for (const { file, from, cc, time } of given) {
      if (cc === undefined || time === undefined) t.fail(`${file} is not read back`);
      t.equal(dirname(file), 'reports');
      if (/\.(?:json|yaml)$/.test(from)) t.match(basename(file), /\.(?:json|yaml)$/);
    }
    const failed = err.split('\n').filter((line) => /: (?:failed|empty|invalid): /.test(line));
    t.comment(`${failed.length} without a name:\n${failed.join('\n')}`);
    t.equal(readdirSync(join(cwd, 'reports')).filter((name) => /probe/.test(name)).length, given.length);
    t.equal(cannery(UNDO, { cwd }).code, 0);
    t.same(
      tree(join(cwd, 'archive')).map((path) => [path, statSync(join(cwd, 'archive', path)).size]),
      before,
    );
  }
  t.equal(shell(`diff -r archive/measurements '${data}/measurements'`, { cwd }).out, '');
  t.end();
});
