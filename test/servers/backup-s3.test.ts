// `backup` to a real S3 server, through the built program: what goes well, what others do to the same keys, and a network
// that fails.
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { HeadObjectCommand, ListMultipartUploadsCommand } from '@aws-sdk/client-s3';
import type { Test } from 'tap';
import { S3Mirror } from '../../src/edge/store-s3-mirror.ts';
import { Malformed } from '../../src/stream/errors.ts';
import { folder, type Ran, rows, shell, shellAsync } from '../lib.ts';
import {
  Bucket,
  closedPort,
  type Env,
  exits,
  type Fate,
  md5,
  messages,
  Relay,
  type Seen,
  sha256,
  stats,
  suite,
} from './s3.ts';

const { test, server } = suite();

const DAY = '2024-02-01';
const RAW = `raw/${DAY}`;
const MiB = 1024 * 1024;

/** A folder with a bucket of reports. */
function withBucket(t: Test, reports: Record<string, string | Uint8Array>): string {
  const cwd = folder(t);
  fill(cwd, reports);
  return cwd;
}

function fill(cwd: string, reports: Record<string, string | Uint8Array>): void {
  mkdirSync(join(cwd, 'reports'), { recursive: true });
  for (const [name, bytes] of Object.entries(reports)) {
    writeFileSync(join(cwd, 'reports', name), bytes);
    utimesSync(join(cwd, 'reports', name), 1.5e9, 1.5e9);
  }
  const filled = shell(`cannery ls reports | cannery bucket --to raw --date ${DAY}`, { cwd });
  if (filled.code !== 0) throw new Error(filled.err);
}

function backup(cwd: string, store: string, env: Env, options = ''): Promise<Ran> {
  return shellAsync(`cannery backup ${RAW} '${store}' --stats ${options}`, { cwd, env });
}

/** The manifest's key at this moment. */
function manifestKey(cwd: string): string {
  const bytes = readFileSync(join(cwd, RAW, '.manifest.jsonl'));
  return `${DAY}/.manifest.${sha256(bytes).slice(0, 16)}.jsonl`;
}

/** Every report of the folder is in the bucket with its bytes, and so is the manifest, and nothing else is. */
async function complete(t: Test, bucket: Bucket, cwd: string, prefix = ''): Promise<void> {
  const names = readdirSync(join(cwd, RAW)).filter((name) => !name.startsWith('.'));
  const wanted = new Map([
    ...names.map((name) => [`${prefix}${DAY}/${name}`, readFileSync(join(cwd, RAW, name))] as const),
    [`${prefix}${manifestKey(cwd)}`, readFileSync(join(cwd, RAW, '.manifest.jsonl'))],
  ]);
  t.same(await bucket.keys(), [...wanted.keys()].sort(), 'these keys and no others');
  const wrong: string[] = [];
  for (const [key, bytes] of wanted) if (!bytes.equals(await bucket.get(key))) wrong.push(key);
  t.same(wrong, [], 'byte for byte');
}

/** A bucket, and a relay before its server. */
async function behind(t: Test, fate: (request: Seen) => Fate | Promise<Fate>) {
  const bucket = await Bucket.make(t, server());
  const relay = await Relay.make(t, server().endpoint, fate);
  return { bucket, relay, env: bucket.env({ AWS_ENDPOINT_URL_S3: relay.endpoint }) };
}

const THREE = { 'a.json': '{"n":1}\n', 'b.yaml': 'b: 2\n', 'c.json': '{"n":3}\n' };

// --- what goes well

for (const prefix of ['', 'some/pre fix+/ü%20']) {
  test(`a bucket into s3://bucket/${prefix}; a second run puts nothing`, async (t) => {
    const names = [
      "it's.json",
      'a b+c.json',
      '%20.json',
      'ü€😀.json',
      'back\\slash.json',
      '#?&=.json',
      'empty.json',
      '-rf.json',
    ];
    const cwd = withBucket(t, { ...Object.fromEntries(names.map((name) => [name, name])), 'empty.json': '' });
    const { bucket, relay, env } = await behind(t, () => 'pass');
    const store = `${bucket.url}${prefix && `/${prefix}`}`;
    const first = await backup(cwd, store, env);
    exits(t, first, 0);
    t.equal(messages(first), '');
    t.match(stats(first), { in: 8, out: 9, stored: 9 });
    await complete(t, bucket, cwd, prefix && `${prefix}/`);
    const receipts = rows(first.out);
    t.match(receipts[0], {
      backup: `${DAY}/#?&=.json`,
      store,
      bytes: 9,
      sha256: sha256(Buffer.from('#?&=.json')),
      result: 'stored',
    });
    t.equal(receipts.at(-1)!.backup, manifestKey(cwd), 'the manifest comes last');

    const before = relay.seen.length;
    const second = await backup(cwd, store, env);
    exits(t, second, 0);
    t.match(stats(second), { out: 9, same: 9 });
    t.same(
      relay.seen.slice(before).map(({ method, key }) => [method, key]),
      [['GET', '']],
      'one list, and no other request',
    );
  });
}

test('a bucket that has grown: what is new goes, and the older manifest stays', async (t) => {
  const cwd = withBucket(t, THREE);
  const bucket = await Bucket.make(t, server());
  const env = bucket.env();
  exits(t, await backup(cwd, bucket.url, env), 0);
  const before = await bucket.list();
  const older = manifestKey(cwd);
  fill(cwd, { 'd.json': '{"n":4}\n' });
  const done = await backup(cwd, bucket.url, env);
  exits(t, done, 0);
  t.match(stats(done), { same: 3, stored: 2 });
  const after = await bucket.list();
  t.same(
    after.filter(({ key }) => before.some((one) => one.key === key)),
    before,
    'what was there is as it was',
  );
  t.not(older, manifestKey(cwd));
  t.equal(after.length, 6);
});

test('more than 1,000 reports are listed in pages; neighbours are none of ours', async (t) => {
  const reports = Object.fromEntries(Array.from({ length: 1050 }, (_, n) => [`${n}.json`, `{"n":${n}}\n`]));
  const cwd = withBucket(t, reports);
  const { bucket, relay, env } = await behind(t, () => 'pass');
  const strangers = [`p/${DAY}`, `p/${DAY}x/1.json`, `p/${DAY}/deeper/1.json`, 'p2/1.json', `${DAY}/1.json`];
  for (const key of strangers) await bucket.put(key, Buffer.from('other'));
  const first = await backup(cwd, `${bucket.url}/p`, env, '--jobs 16');
  exits(t, first, 0);
  t.match(stats(first), { in: 1050, stored: 1051 });
  const lists = relay.of('GET').length;
  const second = await backup(cwd, `${bucket.url}/p`, env);
  exits(t, second, 0);
  t.match(stats(second), { same: 1051 });
  t.equal(relay.of('GET').length - lists, 2, 'two pages');
  t.equal(relay.of('PUT').length, 1051);
  t.equal(relay.of('DELETE').length, 0);
  t.equal((await bucket.keys()).length, 1051 + strangers.length);
  for (const key of strangers) t.equal((await bucket.get(key)).toString(), 'other');
});

test('a report in parts: read back now, and compared by reading it the next time', async (t) => {
  const big = Buffer.alloc(12 * MiB, 'report ');
  const cwd = withBucket(t, { 'a.json': '{"n":1}\n', 'big.json': big });
  const { bucket, relay, env } = await behind(t, () => 'pass');
  const first = await backup(cwd, bucket.url, env, '--part-size 5242880');
  exits(t, first, 0);
  t.match(stats(first), { stored: 3 });
  await complete(t, bucket, cwd);
  t.match((await bucket.list()).find(({ key }) => key.endsWith('big.json'))!.etag, /-3$/, 'it came in three parts');
  t.equal(relay.of('GET').filter(({ key }) => key.endsWith('big.json')).length, 1, 'read back');
  const second = await backup(cwd, bucket.url, env);
  exits(t, second, 0);
  t.match(stats(second), { same: 3 });
  const uploads = await bucket.client.send(new ListMultipartUploadsCommand({ Bucket: bucket.name }));
  t.same(uploads.Uploads ?? [], []);
});

test('--class is asked for', async (t) => {
  const cwd = withBucket(t, { 'a.json': '{"n":1}\n' });
  const bucket = await Bucket.make(t, server());
  exits(t, await backup(cwd, bucket.url, bucket.env(), '--class STANDARD'), 0);
  const head = await bucket.client.send(new HeadObjectCommand({ Bucket: bucket.name, Key: `${DAY}/a.json` }));
  t.ok(head.StorageClass === undefined || head.StorageClass === 'STANDARD');
  fill(cwd, { 'b.json': '{"n":2}\n' });
  const wrong = await backup(cwd, bucket.url, bucket.env(), '--class NO_SUCH_CLASS');
  t.equal(wrong.code, 1);
  t.match(messages(wrong), /2024-02-01\/b\.json: put: 400 Invalid(?:StorageClass|Argument)\n$/);
});

// --- what others do to the same keys

test('other bytes in the store stay, and the manifest does not come', async (t) => {
  const cwd = withBucket(t, { ...THREE, 'big.json': Buffer.alloc(6 * MiB, 'x') });
  const bucket = await Bucket.make(t, server());
  const others: Record<string, Buffer> = {
    'a.json': Buffer.from('{"n":7}\n'),
    'b.yaml': Buffer.from('longer than it was'),
    'big.json': Buffer.alloc(6 * MiB, 'y'),
  };
  for (const [name, bytes] of Object.entries(others)) await bucket.put(`${DAY}/${name}`, bytes);
  const done = await backup(cwd, bucket.url, bucket.env(), '--part-size 5242880');
  exits(t, done, 3);
  t.match(stats(done), { other: 3, stored: 1, findings: 3 });
  t.same(messages(done).split('\n').slice(0, 4), [
    ...Object.keys(others).map(
      (name) => `cannery backup: ${RAW}/${name}: ${bucket.url}/${DAY}/${name} has other bytes, and keeps them`,
    ),
    `cannery backup: ${RAW}: the manifest is not copied: 3 of its reports are not in the store`,
  ]);
  for (const [name, bytes] of Object.entries(others)) t.ok(bytes.equals(await bucket.get(`${DAY}/${name}`)), name);
  t.same(await bucket.keys(), [...Object.keys(THREE), 'big.json'].map((name) => `${DAY}/${name}`).sort());
});

test('somebody is first, after the list', async (t) => {
  let bucket: Bucket | undefined;
  const { bucket: made, env } = await behind(t, async ({ method, key }): Promise<Fate> => {
    if (method === 'PUT' && key.endsWith('a.json')) await bucket!.put(key, Buffer.from('{"n":7}\n'));
    if (method === 'PUT' && key.endsWith('b.yaml')) await bucket!.put(key, Buffer.from('b: 2\n'));
    return 'pass';
  });
  bucket = made;
  const cwd = withBucket(t, THREE);
  const done = await backup(cwd, bucket.url, env);
  exits(t, done, 3);
  t.match(stats(done), { other: 1, same: 1, stored: 1 });
  t.equal((await bucket.get(`${DAY}/a.json`)).toString(), '{"n":7}\n', 'nothing was written over');
});

test('an object that is spoilt on its way is not taken for stored', async (t) => {
  let bucket: Bucket | undefined;
  const { bucket: made, env } = await behind(t, async ({ method, key }): Promise<Fate> => {
    if (method === 'HEAD' && key.endsWith('b.yaml')) await bucket!.put(key, Buffer.from('b: 7\n'));
    return 'pass';
  });
  bucket = made;
  const cwd = withBucket(t, THREE);
  const done = await backup(cwd, bucket.url, env, '--jobs 1');
  exits(t, done, 1);
  t.match(messages(done), /b\.yaml: the store holds other bytes than were put/);
  t.notOk(
    rows(done.out).some(({ backup: key }) => String(key).endsWith('b.yaml')),
    'no receipt for it',
  );
});

test('an ETag that is no MD5: objects are read back, and told from others', async (t) => {
  const { bucket, relay, env } = await behind(t, () => 'etag');
  const cwd = withBucket(t, THREE);
  exits(t, await backup(cwd, bucket.url, env), 0);
  t.equal(relay.of('GET').filter(({ key }) => key !== '').length, 4);
  await bucket.put(`${DAY}/a.json`, Buffer.from('{"n":7}\n'));
  const again = await backup(cwd, bucket.url, env);
  exits(t, again, 3);
  t.match(stats(again), { other: 1, same: 2 });
});

// --- a network that fails

test('a busy server, and connections that break: tried again, with the whole body', async (t) => {
  const fates: Fate[] = ['reset', 'lose', { status: 503 }, { status: 500 }, 'reset'];
  let asked = 0;
  const { bucket, relay, env } = await behind(t, ({ nth }) => (nth < 2 ? fates[asked++ % fates.length]! : 'pass'));
  const cwd = withBucket(t, { ...THREE, 'big.json': Buffer.alloc(3 * MiB, 'x') });
  const done = await backup(cwd, bucket.url, env);
  exits(t, done, 0);
  t.match(messages(done), /trying again/);
  await complete(t, bucket, cwd);
  t.ok(relay.seen.length > 10);
});

test('a report in parts, over connections that break: no parts are left', async (t) => {
  let broken = 0;
  const { bucket, env } = await behind(t, ({ method, key }) =>
    method === 'PUT' && key.endsWith('big.json') && broken++ < 4 ? 'reset' : 'pass',
  );
  const cwd = withBucket(t, { 'big.json': Buffer.alloc(12 * MiB, 'x') });
  exits(t, await backup(cwd, bucket.url, env, '--part-size 5242880'), 0);
  await complete(t, bucket, cwd);
  const left = async () =>
    (await bucket.client.send(new ListMultipartUploadsCommand({ Bucket: bucket.name }))).Uploads?.length ?? 0;
  t.equal(await left(), 0);
  t.ok(broken > 2);

  fill(cwd, { 'more-big.json': Buffer.alloc(12 * MiB, 'y') });
  broken = -1000;
  const failed = await backup(cwd, bucket.url, env, '--part-size 5242880 --attempts 3');
  exits(t, failed, 1);
  t.match(messages(failed), /more-big\.json: put: no answer/);
  t.equal(await left(), 0, 'after a run that gave up too');
});

test('past the bound of tries: exit 1, and the message names key and cause', async (t) => {
  const cwd = withBucket(t, THREE);
  const bucket = await Bucket.make(t, server());
  const missing = Bucket.later(t, server());
  const cases: [string, Env, RegExp][] = [
    [bucket.url, { AWS_SECRET_ACCESS_KEY: 'wrong' }, /2024-02-01: list: access denied \(SignatureDoesNotMatch\)/],
    [bucket.url, { AWS_ACCESS_KEY_ID: undefined }, /2024-02-01: list: no credentials/],
    [missing.url, {}, /2024-02-01: list: no such bucket/],
    [
      bucket.url,
      { AWS_ENDPOINT_URL_S3: `http://127.0.0.1:${await closedPort()}` },
      /no answer \(ECONNREFUSED\) \(2 tries\)/,
    ],
  ];
  for (const [store, env, says] of cases) {
    const done = await backup(cwd, store, bucket.env(env), '--attempts 2');
    t.equal(done.code, 1);
    t.match(messages(done), says);
    t.equal(done.out, '');
  }
  t.same(await bucket.keys(), []);
});

test('a run that is killed, and run again', async (t) => {
  const { bucket, relay, env } = await behind(t, async ({ method }): Promise<Fate> => {
    if (method === 'PUT') await sleep(30);
    return 'pass';
  });
  const reports = Object.fromEntries(Array.from({ length: 60 }, (_, n) => [`${n}.json`, `{"n":${n}}\n`]));
  const cwd = withBucket(t, reports);
  const run = shellAsync(`cannery backup ${RAW} ${bucket.url} & echo $! >pid; wait $!`, { cwd, env });
  for (let n = 0; n < 2000 && relay.of('PUT').length < 10; n++) await sleep(10);
  process.kill(Number(readFileSync(join(cwd, 'pid'), 'utf8')), 'SIGKILL');
  t.equal((await run).code, 137);
  const before = relay.of('PUT').length;
  t.ok(before < 61, 'in the middle');
  exits(t, await backup(cwd, bucket.url, env), 0);
  t.ok(relay.of('PUT').length <= 61 + 8, 'what was put is not put again');
  await complete(t, bucket, cwd);
});

/** Sets the environment of this process, as the standard credentials are read from it. */
function useHere(t: Test, env: Env): void {
  const kept = { ...process.env };
  for (const [name, value] of Object.entries(env))
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  t.teardown(() => {
    process.env = kept;
  });
}

test('requests that fail leave no file open', async (t) => {
  const { bucket, relay } = await behind(t, ({ method }) => (method === 'PUT' ? { status: 503 } : 'pass'));
  const path = join(folder(t), 'file');
  const bytes = Buffer.alloc(12 * MiB, 'x');
  writeFileSync(path, bytes);
  useHere(t, bucket.env({ AWS_ENDPOINT_URL_S3: relay.endpoint }));
  const file = { path, bytes: bytes.length, sha256: sha256(bytes), md5: md5(bytes) };
  for (const partBytes of [5 * MiB, 100 * MiB]) {
    const store = new S3Mirror(bucket.url, { attempts: 4, partBytes });
    await t.rejects(store.put('up', file), /up: put: 503 \(4 tries\)/);
    store.close();
  }
  const linkOf = (fd: string) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return ''; // closed meanwhile
    }
  };
  if (!existsSync('/proc/self/fd')) return;
  const open = () => readdirSync('/proc/self/fd').filter((fd) => linkOf(fd) === path).length;
  for (let n = 0; n < 100 && open() > 0; n++) await sleep(10); // closing takes a moment
  t.equal(open(), 0);
});

test('a report that is cut short after it was digested is named at once, and nothing of it stays there', async (t) => {
  const bucket = await Bucket.make(t, server());
  useHere(t, bucket.env());
  const path = join(folder(t), 'file');
  const bytes = Buffer.alloc(12 * MiB, 'x');
  const file = { path, bytes: bytes.length, sha256: sha256(bytes), md5: md5(bytes) };
  for (const [partBytes, cut] of [
    [5 * MiB, 11 * MiB],
    [100 * MiB, 11 * MiB],
    [100 * MiB, 0],
  ] as const) {
    writeFileSync(path, bytes.subarray(0, cut));
    const store = new S3Mirror(bucket.url, { attempts: 1, partBytes });
    const started = Date.now();
    await t.rejects(store.put('up', file), { constructor: Malformed, message: /cut short meanwhile/ });
    t.ok(Date.now() - started < 20_000);
    store.close();
  }
  t.same(await bucket.keys(), []);
  const uploads = await bucket.client.send(new ListMultipartUploadsCommand({ Bucket: bucket.name }));
  t.same(uploads.Uploads ?? [], []);
});
