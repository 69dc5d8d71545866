// `fetch` of a bucket like the public one: whole, broken off, changed meanwhile, damaged, forged. On our own small S3, and on
// a real server where one runs.
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import t, { type Test } from 'tap';
import {
  CANNERY,
  cannery,
  folder,
  MOUNT,
  NO_MOUNT,
  NO_STRACE,
  rows,
  shell,
  shellAsync,
  tree,
  underStrace,
} from './lib.ts';
import { asNobody, publicBucket, publicServer } from './publicbucket.ts';
import { type FakeS3, fault } from './servers/fakes3.ts';
import { Bucket, type Env, exits, md5, messages, Relay, runningServer, sha256, stats } from './servers/s3.ts';

interface Row {
  file: string;
  bytes: number;
  s3path: string;
  etag: string;
  sha256: string;
  from: string;
}

interface Place {
  fake: FakeS3;
  env: Env;
  /** Without what no can has. */
  objects: Map<string, Buffer>;
  cwd: string;
  /** `ls | fetch --to mirror`. */
  run(ls?: string, fetch?: string, env?: Env): Promise<{ code: number | null; out: string; err: string }>;
}

async function place(t: Test, objects = cans()): Promise<Place> {
  const fake = await publicServer(t, 'ooni', objects);
  const env = asNobody(fake);
  const cwd = folder(t);
  const run = (ls = '--kind can', fetch = '', own = env) =>
    shellAsync(`cannery ls s3://ooni ${ls} | cannery fetch --to mirror --stats ${fetch}`, { cwd, env: own });
  return { fake, env, objects, cwd, run };
}

function cans(): Map<string, Buffer> {
  return new Map([...publicBucket()].filter(([key]) => key.includes('.gz')));
}

/** A few objects of some size. */
function large(count: number, bytes: number): Map<string, Buffer> {
  return new Map(
    Array.from({ length: count }, (_, n) => [
      `raw/20240201/${String(n).padStart(2, '0')}/IT/tor/20240201${String(n).padStart(2, '0')}_IT_tor.n1.0.jsonl.gz`,
      randomBytes(bytes),
    ]),
  );
}

/** As S3 tells it. */
function crc32Of(bytes: Buffer): string {
  const sum = Buffer.alloc(4);
  sum.writeUInt32BE(crc32(bytes));
  return sum.toString('base64');
}

/** Files of the mirror, without what is ours there. */
const files = (cwd: string) => tree(join(cwd, 'mirror')).filter((path) => !path.startsWith('.cannery-fetch/'));

/** Everything under a final name has exactly the bytes of an object. @returns how many there are */
function checkFiles(t: Test, cwd: string, objects: Map<string, Buffer>): number {
  const wrong = files(cwd).filter((path) => !objects.get(path)?.equals(readFileSync(join(cwd, 'mirror', path))));
  if (wrong.length > 0) t.fail(`other bytes: ${wrong.join(', ')}`);
  return files(cwd).length;
}

const parts = (cwd: string) => readdirSync(join(cwd, 'mirror/.cannery-fetch/parts'));

t.test('a bucket like the public one, twice, and what comes late', async (t) => {
  const { fake, objects, cwd, run } = await place(t);
  const first = await run();
  exits(t, first, 0);
  t.equal(checkFiles(t, cwd, objects), objects.size);
  t.equal(messages(first), '', 'quiet');
  const all = rows<Row>(first.out);
  t.same(
    all.map(({ s3path }) => s3path),
    [...objects.keys()],
    'rows in the order of the list',
  );
  for (const { file, s3path, bytes, sha256: digest, from } of all) {
    const object = objects.get(s3path)!;
    if (bytes !== object.length || digest !== sha256(object)) t.fail(s3path);
    if (file !== `mirror/${s3path}` || from !== `s3://ooni/${s3path}`) t.fail(`${file} from ${from}`);
  }
  t.equal(stats(first).fetched, objects.size);
  t.same(parts(cwd), [], 'nothing half is left');

  const asked = fake.requests;
  const again = await run();
  exits(t, again, 0);
  t.equal(again.out, first.out, 'the same rows');
  t.match(messages(again), `nothing to fetch: mirror has all ${objects.size} files`);
  t.equal(stats(again).fetched, undefined);
  t.equal(fake.requests - asked, 2, 'the list, and nothing more');

  const late = 'raw/20240201/11/IT/tor/2024020111_IT_tor.n1.1.jsonl.gz';
  fake.hold('ooni', late, Buffer.from('late'));
  const third = await run();
  t.equal(stats(third).fetched, 1);
  t.equal(stats(third).there, objects.size);
  t.equal(readFileSync(join(cwd, 'mirror', late), 'utf8'), 'late');
  const { out } = shell('cannery ls mirror --cc IT --test ndt | cannery cat --raw | wc -l', { cwd });
  t.equal(out, '39\n', 'a mirror is a store; of what is in both layouts, each measurement once');
});

t.test('an object that is corrupt costs itself', async (t) => {
  const { fake, objects, cwd } = await place(t);
  const [bad, gone, badSum] = [...objects.keys()] as [string, string, string];
  fake.hold('ooni', bad, objects.get(bad)!, { etag: `"${md5(Buffer.from('other'))}"` });
  const list = await shellAsync('cannery ls s3://ooni --kind can > list', { cwd, env: asNobody(fake) });
  t.equal(list.code, 0);
  fake.drop('ooni', gone);
  fake.hold('ooni', badSum, objects.get(badSum)!, {
    etag: '"of-nothing"',
    'x-amz-checksum-sha256': Buffer.alloc(32).toString('base64'),
  });
  const fetch = () =>
    shellAsync('cannery fetch --to mirror --stats --rejects rejects <list', { cwd, env: asNobody(fake) });
  const ran = await fetch();
  exits(t, ran, 3);
  t.equal(checkFiles(t, cwd, objects), objects.size - 3);
  t.match(
    messages(ran),
    new RegExp(`^cannery fetch: s3://ooni/${bad}: the \\d+ bytes that came are not what the store tells`, 'm'),
  );
  t.match(messages(ran), new RegExp(`s3://ooni/${gone}: not in the store any more`));
  t.match(messages(ran), new RegExp(`s3://ooni/${badSum}: the .* not what`));
  t.same(parts(cwd).length, 0);
  t.match(rows(readFileSync(join(cwd, 'rejects'), 'utf8')), [{ as: 'row' }, { as: 'row' }, { as: 'row' }]);
  for (const key of [bad, gone, badSum]) fake.hold('ooni', key, objects.get(key)!);
  exits(t, await fetch(), 0);
  t.equal(checkFiles(t, cwd, objects), objects.size, 'and is fetched when it is well again');
});

for (const size of [300_000, 3_000_000])
  t.test(`broken connections go on where they were, and a changed object starts over: of ${size} bytes`, async (t) => {
    const { fake, cwd, run, objects } = await place(t, large(6, size));
    const keys = [...objects.keys()];
    const changed = keys[2]!;
    const relay = await Relay.make(t, fake.endpoint, ({ method, key, nth }) => {
      if (method !== 'GET' || !objects.has(key)) return 'pass';
      if (key === changed && nth === 1) {
        objects.set(key, randomBytes(size - 10_000));
        fake.hold('ooni', key, objects.get(key)!);
      }
      return nth === 0 ? 'cut' : 'pass';
    });
    const ran = await run(undefined, undefined, asNobody(fake, relay.endpoint));
    exits(t, ran, 0);
    t.equal(checkFiles(t, cwd, objects), 6);
    t.equal(stats(ran).changed, 1);
    const gets = (key: string) => relay.of('GET').filter((one) => one.key === key);
    const [, second] = gets(keys[0]!);
    const [, from] = /^bytes=([1-9]\d*)-$/.exec(second!.range ?? '') ?? [];
    t.ok(Number(from) <= size / 2, `what came is not asked for again: ${second!.range}`);
    if (size < 1_000_000) t.match(second!.range, /^bytes=1[0-9]{5}-$/, 'the second half is asked for alone');
    t.same(
      gets(changed).map(({ status }) => status),
      [200, 412, 200],
    );
  });

t.test('a run takes up what another has begun', async (t) => {
  const { fake, cwd } = await place(t, large(1, 400_000));
  let cut = true;
  const relay = await Relay.make(t, fake.endpoint, ({ method, key }) =>
    cut && method === 'GET' && key.endsWith('.gz') ? 'cut' : 'pass',
  );
  const env = asNobody(fake, relay.endpoint);
  const run = () =>
    shellAsync('cannery ls s3://ooni --kind can | cannery fetch --to mirror --attempts 1 --stats', { cwd, env });
  t.not((await run()).code, 0);
  t.equal(parts(cwd).length, 1, 'what came is kept');
  cut = false;
  const gets = () => relay.of('GET').filter(({ key }) => key.endsWith('.gz')).length;
  const before = gets();
  const again = await run();
  exits(t, again, 0);
  t.equal(stats(again).resumed, 1);
  t.same(parts(cwd), []);
  t.equal(gets() - before, 1, 'what was kept is right, and not asked for again');
});

t.test('bytes of an earlier run that were lost are found out', async (t) => {
  const { fake, cwd, objects } = await place(t, large(2, 400_000));
  const [, second] = [...objects.keys()] as [string, string];
  const beside = { etag: '"opaque"', 'x-amz-checksum-crc32': crc32Of(objects.get(second)!) };
  fake.hold('ooni', second, objects.get(second)!, beside);
  let fate: 'cut' | 'pass' = 'cut';
  const relay = await Relay.make(t, fake.endpoint, ({ key }) => (key.endsWith('.gz') ? fate : 'pass'));
  const env = asNobody(fake, relay.endpoint);
  const run = () =>
    shellAsync('cannery ls s3://ooni --kind can | cannery fetch --to mirror --attempts 1 --stats', { cwd, env });
  await run();
  for (const name of parts(cwd)) {
    const path = join(cwd, 'mirror/.cannery-fetch/parts', name);
    writeFileSync(path, Buffer.alloc(statSync(path).size)); // as after a loss of power
  }
  fate = 'pass';
  const again = await run();
  exits(t, again, 0);
  t.equal(stats(again).resumed, 2);
  t.equal(checkFiles(t, cwd, objects), 2);
});

t.test('what goes on is held to what the first answer told', async (t) => {
  const { fake, cwd, objects, run } = await place(t, large(3, 300_000));
  const [told, same, changed] = [...objects.keys()] as [string, string, string];
  const sum = { etag: '"opaque"', 'x-amz-checksum-crc32': crc32Of(objects.get(told)!) };
  fake.hold('ooni', told, objects.get(told)!, sum);
  for (const key of [same, changed]) fake.hold('ooni', key, objects.get(key)!, { etag: '' });
  const relay = await Relay.make(t, fake.endpoint, ({ method, key, nth }) => {
    if (method !== 'GET' || !objects.has(key)) return 'pass';
    if (key === told && nth === 1) fake.hold('ooni', told, objects.get(told)!, { etag: '"opaque"' }); // of a range, nothing
    if (key === changed && nth === 1) {
      objects.set(key, randomBytes(300_000));
      fake.hold('ooni', key, objects.get(key)!, { etag: '' });
    }
    return nth === 0 ? 'cut' : 'pass';
  });
  const ran = await run(undefined, undefined, asNobody(fake, relay.endpoint));
  exits(t, ran, 0);
  t.equal(checkFiles(t, cwd, objects), 3, 'without an ETag nothing is put together of two answers');
  t.equal(stats(ran).changed, 2);
  const manifest = rows<{ s3path: string; checked: string }>(
    readFileSync(join(cwd, 'mirror/.cannery-fetch/manifest.jsonl'), 'utf8'),
  );
  t.equal(manifest.find(({ s3path }) => s3path === told)!.checked, 'crc32');
});

t.test('interrupted at random times and run again: the same, and never half of a file', async (t) => {
  const objects = large(24, 300_000);
  const { fake, cwd } = await place(t, objects);
  /** Requests of a run that come before it is struck. */
  let left = Number.POSITIVE_INFINITY;
  let strike = () => {};
  const relay = await Relay.make(t, fake.endpoint, () => {
    if (--left === 0) setTimeout(strike, Math.random() * 100);
    return Math.random() < 0.6 ? 'slow' : 'pass';
  });
  const env = asNobody(fake, relay.endpoint);
  const list = await shellAsync('cannery ls s3://ooni --kind can > list', { cwd, env });
  t.equal(list.code, 0);
  const line = `exec ${process.execPath} ${CANNERY} fetch --to mirror --jobs 4 --stats <list >>out 2>>err`;
  let runs = 0;
  const ends = new Map<number | string, number>();
  for (let end: number | string | undefined; end !== 0 && runs < 60; runs++) {
    const child: ChildProcess = spawn('bash', ['-c', line], { cwd, env: { ...process.env, ...env, NODE_OPTIONS: '' } });
    left = runs > 40 ? Number.POSITIVE_INFINITY : 1 + Math.floor(Math.random() * 8);
    strike = () => child.kill(runs % 2 === 0 ? 'SIGKILL' : 'SIGINT');
    end = await new Promise<number | string>((done) => child.on('exit', (code, signal) => done(code ?? signal!)));
    ends.set(end, (ends.get(end) ?? 0) + 1);
    checkFiles(t, cwd, objects);
  }
  t.comment(`${runs} runs: ${[...ends].map(([end, count]) => `${end} ${count}`).join(', ')}`);
  t.equal(ends.get(0), 1);
  t.equal(checkFiles(t, cwd, objects), objects.size);
  t.same(parts(cwd), []);
  const said = readFileSync(join(cwd, 'err'), 'utf8');
  if (ends.has('SIGINT') && said.includes('interrupted')) t.match(said, /interrupted: the same line goes on from here/);
  t.comment(`${said.split('"resumed":').length - 1} of the runs that came to tell took up what another had begun`);
  const whole = await shellAsync('cannery fetch --to mirror --stats <list', { cwd, env });
  t.match(messages(whole), /nothing to fetch/);
});

t.test(
  'large ones are compared too: one that is never right is left out, and one in parts is read once more',
  async (t) => {
    const { fake, cwd, run, objects } = await place(t, large(4, 5_000_000));
    const [wrong, parts, opaque] = [...objects.keys()] as [string, string, string];
    fake.hold('ooni', wrong, objects.get(wrong)!, { etag: `"${md5(randomBytes(9))}"` });
    const inParts = (bytes: Buffer) => `"${md5(Buffer.from(md5(bytes), 'hex'))}-1"`;
    fake.hold('ooni', parts, objects.get(parts)!, { etag: inParts(objects.get(parts)!) });
    fake.hold('ooni', opaque, objects.get(opaque)!, { etag: '"opaque"' });
    const ran = await run();
    exits(t, ran, 3);
    objects.delete(wrong);
    t.equal(checkFiles(t, cwd, objects), 3);
    t.match(ran.err, /the 5000000 bytes that came are not what the store tells of them/);
    t.equal(rows(ran.out).length, 3);
    const manifest = rows<{ s3path: string; checked: string }>(
      readFileSync(join(cwd, 'mirror/.cannery-fetch/manifest.jsonl'), 'utf8'),
    );
    const checked = (key: string) => manifest.find(({ s3path }) => s3path === key)?.checked;
    t.same([wrong, parts, opaque].map(checked), [undefined, 'parts', 'size']);
  },
);

t.test('ETags of parts, other digests, and none', async (t) => {
  const { fake, cwd, run, env } = await place(t, new Map());
  const bytes = randomBytes(3_000_000);
  const etagOf = (size: number) => {
    const all: Buffer[] = [];
    for (let at = 0; at < bytes.length; at += size)
      all.push(
        createHash('md5')
          .update(bytes.subarray(at, at + size))
          .digest(),
      );
    return `"${createHash('md5').update(Buffer.concat(all)).digest('hex')}-${all.length}"`;
  };
  const key = (n: number) => `raw/20240201/00/IT/tor/2024020100_IT_tor.n1.${n}.jsonl.gz`;
  const told: Record<string, string>[] = [
    { etag: etagOf(2 * 1024 * 1024) },
    { etag: etagOf(1_234_567) },
    { etag: '"opaque"', 'x-amz-checksum-sha256': createHash('sha256').update(bytes).digest('base64') },
    { etag: `"${'0'.repeat(32)}"`, 'x-amz-server-side-encryption': 'aws:kms' },
    { etag: '"opaque"', 'x-amz-checksum-sha1': createHash('sha1').update(bytes).digest('base64') },
  ];
  for (const [n, one] of told.entries()) fake.hold('ooni', key(n), bytes, one);
  const ran = await run();
  exits(t, ran, 0);
  const manifest = rows<{ s3path: string; checked: string }>(
    readFileSync(join(cwd, 'mirror/.cannery-fetch/manifest.jsonl'), 'utf8'),
  );
  const checked = new Map(manifest.map((entry) => [entry.s3path, entry.checked]));
  t.same(
    told.map((_, n) => checked.get(key(n))),
    ['parts', 'size', 'sha256', 'size', 'sha1'],
    'as far as can be told',
  );
  fake.hold('ooni', key(9), bytes, { etag: '"opaque"', 'x-amz-checksum-crc32c': 'AAAAAA==' });
  fake.hold('ooni', key(8), bytes, { etag: '"opaque"', 'x-amz-checksum-crc32': 'AAAAAA==' });
  const bad = await run();
  exits(t, bad, 3);
  t.equal(stats(bad).rejected, 2);
  t.equal(env.AWS_REGION, undefined);
});

t.test('rows that lead elsewhere', async (t) => {
  const { fake, cwd, env } = await place(t, new Map());
  for (const key of ['raw/a', 'b', 'raw/link/x', 'raw/odd name', '.cannery-fetch/manifest.jsonl', 'dir', 'far/x'])
    fake.hold('ooni', key, Buffer.from(key));
  mkdirSync(join(cwd, 'mirror/raw'), { recursive: true });
  mkdirSync(join(cwd, 'outside'));
  mkdirSync(join(cwd, 'mirror/dir'));
  symlinkSync(join(cwd, 'outside'), join(cwd, 'mirror/raw/link'));
  symlinkSync(join(cwd, 'outside/new'), join(cwd, 'mirror/b'));
  const row = (file: string, s3path?: string) => JSON.stringify({ file, bytes: 5, ...(s3path && { s3path }) });
  const forged = [
    row('s3://ooni/../../outside/a', '../../outside/a'),
    row('s3://ooni//etc/x', '/etc/x'),
    row('s3://ooni/raw/a', 'raw/b'),
    row('s3://ooni/raw/odd name', 'raw/odd name'),
    row('s3://ooni/.cannery-fetch/manifest.jsonl', '.cannery-fetch/manifest.jsonl'),
    row('s3://ooni/raw/link/x', 'raw/link/x'),
    row('s3://ooni/b', 'b'),
    row('s3://ooni/dir', 'dir'),
    row('/etc/passwd'),
    row('ftp://host/x'),
    row('s3://elsewhere/raw/a', 'raw/a'),
    '{"can":"x"}',
    'no JSON',
  ];
  const odd = JSON.stringify({ file: 's3://ooni/far/x', etag: 'a\r\nX-Header: b' });
  const good = [row('s3://ooni/raw/a', 'raw/a'), odd];
  const stdin = `${[...good, ...forged, good[0]].join('\n')}\n`;
  const ran = await shellAsync('cannery fetch --to mirror --stats', { cwd, env, stdin });
  exits(t, ran, 3);
  t.equal(stats(ran).rejected, forged.length);
  t.same(
    rows<Row>(ran.out).map(({ file }) => file),
    ['mirror/raw/a', 'mirror/far/x'],
  );
  t.equal(stats(ran).doubles, 1);
  t.same(readdirSync(join(cwd, 'outside')), []);
  t.same(
    tree(cwd).filter((path) => !path.includes('.cannery-fetch')),
    ['mirror/b', 'mirror/far/x', 'mirror/raw/a', 'mirror/raw/link'],
  );
});

t.test('files that are there already', async (t) => {
  const { fake, objects, cwd, run } = await place(t, large(4, 5000));
  const keys = [...objects.keys()];
  for (const key of keys) mkdirSync(join(cwd, 'mirror', dirname(key)), { recursive: true });
  const at = (n: number) => join(cwd, 'mirror', keys[n]!);
  writeFileSync(at(0), objects.get(keys[0]!)!);
  writeFileSync(at(1), 'somebody else’s');
  const ran = await run();
  exits(t, ran, 3);
  t.match(messages(ran), /is there with other bytes, and keeps them: move it away/);
  t.equal(stats(ran).there, 1, 'a copy that somebody else made is as good');
  t.equal(stats(ran).fetched, 2);
  t.equal(readFileSync(at(1), 'utf8'), 'somebody else’s');

  // Another state in the store takes the place of what fetch put there, and of nothing else.
  rmSync(at(1));
  exits(t, await run(), 0);
  const next = randomBytes(6000);
  fake.hold('ooni', keys[2]!, next);
  truncateSync(at(3), 10);
  const third = await run();
  exits(t, third, 3);
  t.ok(readFileSync(at(2)).equals(next), 'a new state of an object');
  t.equal(readFileSync(at(3)).length, 10, 'a copy that was changed here');
  fake.hold('ooni', keys[2]!, randomBytes(7000));
  appendFileSync(at(2), 'mine');
  exits(t, await run(), 3);
  t.equal(readFileSync(at(2)).length, 6004);
  rmSync(at(2));
  rmSync(at(3));
  exits(t, await run(), 0);
  t.equal(readFileSync(at(2)).length, 7000);
});

t.test('a server that is busy: tried again, and given up within a bound', async (t) => {
  const { fake, objects, cwd, run } = await place(t, large(6, 2000));
  const [stuck] = [...objects.keys()] as [string];
  let burst = 12;
  fake.meanwhile = (method, key) => {
    if (method !== 'GET' || key === '') return undefined;
    return key === stuck || burst-- > 0 ? fault(503, 'SlowDown') : undefined;
  };
  const ran = await run(undefined, '--attempts 6');
  exits(t, ran, 3);
  t.match(messages(ran), new RegExp(`${stuck}: get: 503 SlowDown \\(6 tries\\)`));
  t.equal(checkFiles(t, cwd, objects), 5);
  fake.meanwhile = () => fault(403, 'AccessDenied');
  const denied = await shellAsync('cannery fetch --to mirror', {
    cwd,
    env: asNobody(fake),
    stdin: `${JSON.stringify({ file: `s3://ooni/${stuck}`, s3path: stuck })}\n`,
  });
  exits(t, denied, 3);
  t.match(messages(denied), /access denied/);
});

t.test('a list that was cut short, one with an end row, a folder in use, wrong usage', async (t) => {
  const { env, objects, cwd } = await place(t, large(3, 1000));
  const ended = await shellAsync('cannery ls s3://ooni --end | cannery fetch --to mirror', { cwd, env });
  exits(t, ended, 0);
  t.match(rows(ended.out).at(-1), { cannery: 'end', rows: 3, rejected: 0 });
  t.match(rows(ended.out)[0], { more: true });
  const cut = await shellAsync('cannery ls s3://ooni --end | head -n 2 | cannery fetch --to other', { cwd, env });
  exits(t, cut, 1);
  t.match(messages(cut), /the list of files was cut short/);
  t.equal(tree(join(cwd, 'other/raw')).length, 2, 'what it had is fetched');
  t.notMatch(cut.out, '"cannery":"end"');
  const begun = 'until [ -e third/.cannery-fetch/manifest.jsonl ]; do sleep 0.1; done';
  const both = `(${begun}; sleep 4) | cannery fetch --to third & ${begun}; cannery fetch --to third </dev/null; echo "code $?"; wait`;
  const two = await shellAsync(both, { cwd, env });
  t.match(two.out, /code 1/);
  t.match(two.err, /third: another fetch is at work here/);
  t.equal(cannery(['fetch']).code, 2);
  t.equal(cannery(['fetch', '--to', 'x', 'operand']).code, 2);
  t.equal(objects.size, 3);
});

// --- the disk

/** A folder store of three files, and the rows of it. */
function folderStore(t: Test): { cwd: string; objects: Map<string, Buffer> } {
  const cwd = folder(t);
  const objects = large(3, 40_000);
  for (const [key, bytes] of objects) {
    mkdirSync(join(cwd, 'store', dirname(key)), { recursive: true });
    writeFileSync(join(cwd, 'store', key), bytes);
  }
  t.equal(shell('cannery ls store > list', { cwd }).code, 0);
  return { cwd, objects };
}

t.test('killed at any call that changes the folder', { skip: NO_STRACE }, (t) => {
  const points = ['rename', 'mkdir', 'fsync', 'ftruncate'];
  let killed = 0;
  for (const call of points)
    for (let when = 1; when < 16; when += call === 'rename' ? 1 : 3) {
      const { cwd, objects } = folderStore(t);
      const list = readFileSync(join(cwd, 'list'));
      const { code } = underStrace(
        ['fetch', '--to', 'mirror', '--jobs', '1'],
        `?${call},?${call}at:signal=KILL:when=${when}`,
        [],
        { cwd, stdin: list },
      );
      if (code === 0) break;
      killed++;
      if (existsSync(join(cwd, 'mirror'))) checkFiles(t, cwd, objects);
      const again = shell('cannery fetch --to mirror <list', { cwd });
      if (again.code !== 0 || rows(again.out).length !== 3 || checkFiles(t, cwd, objects) !== 3)
        t.fail(`${call} ${when}: ${again.err}`);
    }
  t.ok(killed > 10, `${killed} times`);
  t.end();
});

t.test('a full disk ends the run, and it goes on when there is room', { skip: NO_MOUNT }, (t) => {
  const { cwd } = folderStore(t);
  mkdirSync(join(cwd, 'mirror'));
  const script = `mount -t tmpfs -o size=100k none mirror; cannery fetch --to mirror <list >out; echo "code $?"; ls mirror/raw/*/*/*/* | wc -l
    mount -o remount,size=4m mirror; cannery fetch --to mirror <list | wc -l`;
  const ran = shell(`${MOUNT} bash -c '${script}'`, { cwd });
  t.match(ran.out, /code 1\n/, ran.err);
  t.match(ran.err, /no space left on device/);
  t.match(ran.out, /\n3\n$/);
  t.end();
});

// --- a real server

const real = runningServer();
t.test('a real server', { skip: real ? false : 'no S3 server is running (make servers starts one)' }, async (t) => {
  const bucket = await Bucket.make(t, real!);
  const objects = new Map([...cans()].filter(([key]) => /\/IT\//.test(key)));
  objects.set('raw/20240201/00/IT/tor/2024020100_IT_tor.n1.7.jsonl.gz', randomBytes(9_000_000));
  for (const [key, bytes] of objects) await bucket.put(key, bytes);
  const cwd = folder(t);
  const changing = [...objects.keys()][5]!;
  const relay = await Relay.make(t, real!.endpoint, async ({ method, key, nth }) => {
    if (method === 'GET' && objects.has(key)) {
      if (key === changing && nth === 1) {
        objects.set(key, randomBytes(8000));
        await bucket.put(key, objects.get(key)!);
      }
      return nth === 0 ? 'cut' : 'pass';
    }
    return 'pass';
  });
  const line = `cannery ls ${bucket.url} --kind can | cannery fetch --to mirror --stats`;
  const ran = await shellAsync(line, { cwd, env: bucket.env({ AWS_ENDPOINT_URL_S3: relay.endpoint }) });
  exits(t, ran, 0);
  t.equal(checkFiles(t, cwd, objects), objects.size);
  t.equal(stats(ran).changed, 1);
  const again = await shellAsync(line, { cwd, env: bucket.env() });
  t.match(messages(again), /nothing to fetch/);
  const manifest = readFileSync(join(cwd, 'mirror/.cannery-fetch/manifest.jsonl'), 'utf8');
  t.same([...new Set(rows<{ checked: string }>(manifest).map(({ checked }) => checked))], ['md5']);
  renameSync(join(cwd, 'mirror'), join(cwd, 'moved'));
  await sleep(10);
  const moved = await shellAsync(line.replace('--to mirror', '--to moved'), { cwd, env: bucket.env() });
  t.match(messages(moved), /nothing to fetch: moved/, 'a mirror may be moved');
});
