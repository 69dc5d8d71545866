// Bad input that a case folder cannot hold: what happens while postcan is at work, large posts, permissions, other
// disks, names that are not UTF-8. The rest is in fixtures/.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import {
  AS_NOBODY,
  CANNERY,
  cannery,
  folder,
  folderElsewhere,
  ONE_DISK,
  putPost,
  type Ran,
  ROOT_DOES_ALL,
  rows,
  shell,
  shippedSpool,
  tree,
} from './lib.ts';

const POSTCAN = ['postcan', '--spool', 'incoming', '--to', 'outgoing', '--host', 'n0'];
const NO_PROC = process.platform !== 'linux' && 'memory is read from /proc';
const LIST_AND_PACK = `cannery ls incoming | cannery ${POSTCAN.join(' ')}`;

interface Running {
  child: ChildProcess;
  /** What it has written so far. */
  out(): string;
  /** Most memory it had at once so far, MB. */
  peak(): number;
  end: Promise<Ran>;
}

/** Starts `cannery ARGS…`, with its standard input open. */
function start(t: Test, cwd: string, args: string[]): Running {
  const child = spawn(process.execPath, [CANNERY, ...args], { cwd, env: { ...process.env, TZ: 'UTC' } });
  t.teardown(() => child.kill('SIGKILL'));
  let out = '';
  let err = '';
  let peak = 0;
  child.stdout.on('data', (text) => (out += text));
  child.stderr.on('data', (text) => (err += text));
  const watch = setInterval(() => {
    try {
      const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
      peak = Math.max(peak, Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? 0) / 1024);
    } catch {
      // it has ended, or this is no Linux
    }
  }, 20);
  const end = new Promise<Ran>((done) => {
    child.on('close', (code) => {
      clearInterval(watch);
      done({ code, out, err });
    });
  });
  return { child, out: () => out, peak: () => peak, end };
}

async function until(what: () => unknown): Promise<void> {
  for (let i = 0; i < 2000 && !what(); i++) await sleep(10);
  if (!what()) throw new Error(`waited in vain for ${what}`);
}

function post(content: object): string {
  return JSON.stringify({ format: 'json', content });
}

function fileRows(paths: string[]): string {
  return paths.map((path) => `${JSON.stringify({ file: `incoming/${path}` })}\n`).join('');
}

function cans(out: string): string[] {
  return rows<{ can: string }>(out).map(({ can }) => can);
}

function linesOf(cwd: string, can: string): string {
  return gunzipSync(readFileSync(join(cwd, 'outgoing/ready', can, `${can}.jsonl.gz`))).toString();
}

t.test('posts that are listed again, in any order, are packed once', (t) => {
  const cwd = shippedSpool(t);
  const posts = tree(join(cwd, 'incoming')).length;
  const list = '(cannery ls incoming | tee rows; tac rows; sort -R rows)';
  const { out, err } = shell(`${list} | cannery postcan --spool incoming --to outgoing --host n0`, { cwd });
  const cans = out.split('\n').filter(Boolean);
  const measurements = cans.map((row) => (JSON.parse(row) as { measurements: number }).measurements);
  t.equal(
    measurements.reduce((sum, n) => sum + n, 0),
    posts,
  );
  t.match(err, /vanished before it was read/, 'those that are gone by then are told');
  t.end();
});

t.test('a post arrives while its hour is packed', async (t) => {
  const cwd = folder(t);
  const spool = join(cwd, 'incoming');
  const ten = putPost(spool, post({ n: 10 }), { time: '20240201100000.000001' });
  const eleven = putPost(spool, post({ n: 11 }), { time: '20240201110000.000001' });
  const packing = start(t, cwd, POSTCAN);
  packing.child.stdin!.write(fileRows([ten, eleven])); // hour 10 is packed when the row of hour 11 has come
  await until(() => packing.out().includes('\n'));
  const late = [
    putPost(spool, post({ late: 10 }), { time: '20240201100000.000002' }),
    putPost(spool, post({ late: 11 }), { time: '20240201110000.000000' }),
  ];
  packing.child.stdin!.end();
  const { code, out, err } = await packing.end;
  t.same([code, err], [0, '']);
  t.same(cans(out), ['2024020110_IT_webconnectivity.n0.0', '2024020111_IT_webconnectivity.n0.0']);
  t.same(
    tree(spool).filter((path) => path.endsWith('.post')),
    late,
    'the late posts are where they were put',
  );
  const again = shell(LIST_AND_PACK, { cwd });
  t.equal(again.code, 0);
  t.same(cans(again.out).sort(), [
    '2024020110_IT_webconnectivity.n0.0',
    '2024020110_IT_webconnectivity.n0.1',
    '2024020111_IT_webconnectivity.n0.0',
    '2024020111_IT_webconnectivity.n0.1',
  ]);
  t.equal(linesOf(cwd, '2024020110_IT_webconnectivity.n0.1'), '{"late":10}\n');
});

t.test('a post of 30 MB: killed while it is packed, and a neighbour that changes meanwhile', async (t) => {
  const cwd = folder(t);
  const spool = join(cwd, 'incoming');
  const small = putPost(spool, post({ n: 1 }), { time: '20240201100000.000001' });
  const large = putPost(spool, post({ body: randomBytes(15e6).toString('hex') }), { time: '20240201100000.000002' });
  const bytes = readFileSync(join(spool, large));
  const can = '2024020110_IT_webconnectivity.n0.0';
  const building = () => existsSync(join(cwd, 'outgoing/building', can, `${can}.tar.gz`));

  const killed = start(t, cwd, POSTCAN);
  killed.child.stdin!.end(fileRows([small, large]));
  await until(building);
  killed.child.kill('SIGKILL');
  await killed.end;
  t.same(readdirSync(join(cwd, 'outgoing/ready')), [], 'nothing is ready');
  t.same(readFileSync(join(spool, large)), bytes, 'the post is untouched');

  const packing = start(t, cwd, POSTCAN);
  packing.child.stdin!.end(fileRows([small, large]));
  await until(() => readdirSync(join(cwd, 'outgoing/building')).length === 0 || packing.out() !== '');
  await until(building);
  writeFileSync(join(spool, 'new'), post({ n: 2 }));
  renameSync(join(spool, 'new'), join(spool, small));
  const { code, out, err } = await packing.end;
  t.equal(code, 3);
  t.match(err, `${small}: changed after it was packed: kept`);
  t.same(cans(out), [can], 'the counter of the killed run was not used');
  t.equal(readFileSync(join(spool, small), 'utf8'), post({ n: 2 }), 'the new bytes are kept');
  t.notOk(existsSync(join(spool, large)));
  if (!NO_PROC) t.ok(packing.peak() < 300, `at most 300 MB at once, not ${packing.peak()}`);
  const unpacked = spawnSync('tar', ['-xOzf', `outgoing/ready/${can}/${can}.tar.gz`, large], { cwd, maxBuffer: 1e8 });
  t.ok(unpacked.stdout.equals(bytes), 'the large post, byte for byte');
  t.equal(linesOf(cwd, can).slice(0, 8), '{"n":1}\n', 'the can has what was read');
  t.same(readdirSync(join(cwd, 'outgoing/building')), []);

  const again = shell(LIST_AND_PACK, { cwd });
  t.equal(linesOf(cwd, '2024020110_IT_webconnectivity.n0.1'), '{"n":2}\n', again.err);
});

t.test('a post of 30 MB with six million members takes no more memory than it should', { skip: NO_PROC }, async (t) => {
  const cwd = folder(t);
  const members = `,"":1`.repeat(6e6);
  const path = putPost(join(cwd, 'incoming'), `{"format":"json","content":{"a":1${members}}}`);
  const packing = start(t, cwd, POSTCAN);
  packing.child.stdin!.end(fileRows([path]));
  const { code } = await packing.end;
  t.equal(code, 0);
  t.ok(packing.peak() < 400, `at most 400 MB at once, not ${packing.peak()}`);
});

t.test('300 bytes of YAML that unfold to gigabytes do not stop the hour', (t) => {
  const cwd = folder(t);
  const spool = join(cwd, 'incoming');
  const list = (item: string) => `[${Array(9).fill(item).join(',')}]`;
  const levels = Array.from({ length: 9 }, (_, i) => `a${i}: &a${i} ${list(i === 0 ? 'x' : `*a${i - 1}`)}\n`);
  putPost(spool, JSON.stringify({ format: 'yaml', content: levels.join('') }), { time: '20240201100000.000001' });
  putPost(spool, post({ n: 1 }), { time: '20240201100000.000002' });
  const { code, err } = shell(LIST_AND_PACK, { cwd, env: { NODE_OPTIONS: '--max-old-space-size=1024' } });
  t.equal(code, 3);
  t.match(err, /packed, but without a line: YAML unfolds/);
  t.same(
    tree(spool).filter((path) => path.endsWith('.post')),
    [],
  );
  t.end();
});

t.test('names that are not UTF-8, and the longest that there are', (t) => {
  const cwd = folder(t);
  const hour = join(cwd, 'incoming/2024020110_IT_webconnectivity');
  const good = putPost(join(cwd, 'incoming'), post({ n: 1 }));
  const put = (...parts: (string | Buffer)[]) =>
    writeFileSync(Buffer.concat([`${hour}/`, ...parts].map((part) => Buffer.from(part as string))), 'bytes');
  const invalid = Buffer.from([0xff, 0xfe]);
  put(invalid, '.post');
  put(good.slice(good.indexOf('/') + 1, -5), invalid, '.post');
  put('x'.repeat(250), '.post');
  put(invalid, '.txt');
  mkdirSync(Buffer.concat([Buffer.from(`${cwd}/incoming/2024020109_IT_`), invalid]));
  const first = shell(LIST_AND_PACK, { cwd });
  t.equal(first.code, 3);
  t.same(cans(first.out), ['2024020110_IT_webconnectivity.n0.0']);
  const names = (path: string) =>
    readdirSync(path, { encoding: 'buffer' })
      .map((name) => name.toString('latin1'))
      .sort();
  const strays = join(cwd, 'strays/2024020110_IT_webconnectivity');
  const uid = good.slice(good.indexOf('/') + 1, -5);
  t.same(names(strays), [`${uid}\u00ff\u00fe.post`, `${'x'.repeat(250)}.post`, '\u00ff\u00fe.post']);
  t.same(names(hour), ['\u00ff\u00fe.txt'], 'what is no post stays');

  put(invalid, '.post');
  put('x'.repeat(250), '.post'); // 255 bytes: no room for a number behind it
  const second = shell(LIST_AND_PACK, { cwd });
  t.equal(second.code, 3, second.err);
  t.equal(
    names(strays).length + names(hour).length,
    6,
    'a stray is never put over another, and none is lost, moved or not',
  );
  t.end();
});

t.test('strays/ on another disk', { skip: ONE_DISK }, (t) => {
  const cwd = folder(t);
  const far = folderElsewhere(t);
  symlinkSync(far, join(cwd, 'strays'));
  const good = putPost(join(cwd, 'incoming'), post({ n: 1 }));
  writeFileSync(join(cwd, 'incoming', dirname(good), 'bad.post'), 'bytes');
  const { code, out, err } = shell(LIST_AND_PACK, { cwd });
  t.equal(code, 3, 'a stray that cannot be moved is one finding, not the end of the run');
  t.match(err, 'bad.post');
  t.equal(cans(out).length, 1);
  t.same([...tree(join(cwd, 'incoming')), ...tree(far)].filter((path) => path.endsWith('bad.post')).length, 1);
  t.end();
});

t.test('rows and links that lead out of the spool: nothing there is opened, moved or removed', (t) => {
  const traced = spawnSync('strace', ['-f', '-e', 'trace=openat', 'true']).status === 0;
  const cwd = folder(t);
  const good = putPost(join(cwd, 'incoming'), post({ n: 1 }));
  const outside = putPost(join(cwd, 'outside'), post({ n: 2 }), { time: '20240201090000.000001' });
  symlinkSync(`../outside/${dirname(outside)}`, join(cwd, 'incoming', dirname(outside)));
  const link = join(dirname(good), '20240201100000.000009_IT_webconnectivity_0123456789abcdef.post');
  symlinkSync(`../../outside/${outside}`, join(cwd, 'incoming', link));
  const files = [
    `incoming/${outside}`,
    `incoming/${link}`,
    `outside/${outside}`,
    `incoming/../outside/${outside}`,
    `incoming/${dirname(good)}/../../outside/${outside}`,
    join(cwd, 'outside', outside),
    `incoming/${good}`,
  ];
  writeFileSync(join(cwd, 'rows'), files.map((file) => `${JSON.stringify({ file })}\n`).join(''));
  const calls = 'openat,open,unlink,unlinkat,rename,renameat,renameat2,link,linkat,rmdir';
  const { out } = shell(
    `${traced ? `strace -f -o trace -e trace=${calls} ` : ''}"$NODE" "$CANNERY" ${POSTCAN.join(' ')} <rows`,
    { cwd, env: { NODE: process.execPath, CANNERY } },
  );
  t.same(cans(out), ['2024020110_IT_webconnectivity.n0.0'], 'the good post alone is packed');
  t.equal(readFileSync(join(cwd, 'outside', outside), 'utf8'), post({ n: 2 }));
  if (traced) {
    const done = readFileSync(join(cwd, 'trace'), 'utf8').split('\n');
    const out = done.filter((line) => /outside|2024020109_IT_webconnectivity\/.*\.post/.test(line));
    // An open that fails has opened nothing.
    t.same(
      out.filter((line) => !/ = -1 E/.test(line)),
      [],
      'no system call reached what lies outside',
    );
  } else t.comment('no strace here: judged by the files alone');
  t.end();
});

t.test('permissions', { skip: ROOT_DOES_ALL }, (t) => {
  const run = (cwd: string) => shell(`${AS_NOBODY} bash -o pipefail -c '${LIST_AND_PACK}'`, { cwd });
  const spool = (t: Test) => {
    const cwd = folder(t);
    const paths = ['08', '09', '10'].map((hour) =>
      putPost(join(cwd, 'incoming'), post({ hour }), { time: `20240201${hour}0000.000001` }),
    );
    const chmod = (path: string, mode: number) => {
      chmodSync(join(cwd, 'incoming', path), mode);
      t.teardown(() => existsSync(join(cwd, 'incoming', path)) && chmodSync(join(cwd, 'incoming', path), 0o700));
    };
    return { cwd, path: paths[0]!, chmod };
  };
  const two = ['2024020109_IT_webconnectivity.n0.0', '2024020110_IT_webconnectivity.n0.0'];

  t.test('a post that may not be read stays, the others are packed', (t) => {
    const { cwd, path, chmod } = spool(t);
    chmod(path, 0);
    const { code, out, err } = run(cwd);
    t.equal(code, 3);
    t.match(err, `${path}: left in the spool: permission denied`);
    t.same(cans(out), two);
    t.ok(existsSync(join(cwd, 'incoming', path)));
    t.end();
  });

  t.test('an hour folder that may not be read', (t) => {
    const { cwd, path, chmod } = spool(t);
    chmod(dirname(path), 0);
    const { code, out, err } = run(cwd);
    t.equal(code, 3);
    t.match(err, 'incoming/2024020108_IT_webconnectivity: permission denied');
    t.same(cans(out), two);
    t.end();
  });

  t.test(
    'an hour folder that may not be written: its posts are packed once and cannot go, the others are packed',
    (t) => {
      const { cwd, path, chmod } = spool(t);
      chmod(dirname(path), 0o500);
      for (const time of ['first', 'second']) {
        const { code, out, err } = run(cwd);
        t.equal(code, 3, `${time} run: a finding, not the end`);
        t.match(err, path);
        t.same(cans(out).sort(), ['2024020108_IT_webconnectivity.n0.0', ...two]);
        t.ok(existsSync(join(cwd, 'incoming', path)));
      }
      t.end();
    },
  );

  t.test('an index in a folder that may not be written can be asked', (t) => {
    const { cwd, path } = spool(t);
    mkdirSync(join(cwd, 'db'));
    shell(`${LIST_AND_PACK} | cannery upload store | cannery index db/jsonl.sqlite`, { cwd });
    chmodSync(join(cwd, 'db'), 0o500);
    t.teardown(() => chmodSync(join(cwd, 'db'), 0o700));
    const uid = path.slice(path.indexOf('/') + 1, -5);
    const { code, out, err } = shell(`${AS_NOBODY} cannery get --raw --index db/jsonl.sqlite ${uid}`, { cwd });
    t.same([code, out, err], [0, '{"hour":"08"}\n', '']);
    t.end();
  });
  t.end();
});

t.test('a can on its way leaves nothing of its lock behind', (t) => {
  const cwd = folder(t);
  putPost(join(cwd, 'incoming'), post({ n: 1 }));
  const { out } = shell(`${LIST_AND_PACK} | cannery upload store | cannery index jsonl.sqlite`, { cwd });
  const dir = `outgoing/indexed/${cans(out)[0]}`;
  t.same(
    readdirSync(join(cwd, dir)).filter((name) => name.startsWith('lock')),
    ['lock'],
  );
  t.equal(cannery(['clear'], { cwd, stdin: out }).code, 0);
  t.end();
});
