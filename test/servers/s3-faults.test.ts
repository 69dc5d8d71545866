// upload and get against a real S3 server behind a bad network, a server that dies, and a bad local disk.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  rmSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { FolderStore } from '../../src/edge/store-folder.ts';
import { S3Store } from '../../src/edge/store-s3.ts';
import { folder, putPost, type Ran, ROOT, read, rows, shell, shellAsync, tree } from '../lib.ts';
import {
  Bucket,
  type Can,
  checkObjects,
  copyOf,
  type Env,
  exits,
  type Fate,
  inEnvironment,
  inState,
  keysOf,
  makeCans,
  md5,
  messages,
  pack,
  Relay,
  type Seen,
  type Server,
  sha256,
  stats,
  suite,
  upload,
} from './s3.ts';

const { test, running, server, threeCans } = suite();

/** A bucket, and a relay before its server. */
async function behind(t: Test, fate: (request: Seen) => Fate | Promise<Fate>) {
  const bucket = await Bucket.make(t, server());
  const relay = await Relay.make(t, server().endpoint, fate);
  return { bucket, relay, env: bucket.env({ AWS_ENDPOINT_URL_S3: relay.endpoint }) };
}

// --- the network

test('a put whose answer is lost', async (t) => {
  const { bucket, relay, env } = await behind(t, ({ method, nth }) =>
    method === 'PUT' && nth === 0 ? 'lose' : 'pass',
  );
  const packed = makeCans(t, 6);
  const done = await upload(packed, bucket.url, env);
  exits(t, done, 0);
  t.match(stats(done), { out: 6, same: 12 }, 'our own bytes are found there');
  t.equal(relay.of('PUT').length, 24, 'each was put twice');
  t.ok(
    relay.of('PUT').every(({ nth, status }) => status === (nth === 0 ? 0 : 412)),
    'the second time in vain',
  );
  t.equal(inState(packed.cwd, 'sent').length, 6);
  await checkObjects(t, bucket, packed.cans);
});

test('a put whose answer is lost, and somebody else was first', async (t) => {
  const { bucket, env } = await behind(t, ({ method, nth }) => (method === 'PUT' && nth === 0 ? 'lose' : 'pass'));
  const packed = threeCans(t);
  const [{ s3path, bytes }] = packed.cans[0]!.files;
  await bucket.put(s3path, Buffer.alloc(bytes, 'x'));
  const done = await upload(packed, bucket.url, env);
  exits(t, done, 3);
  t.same(inState(packed.cwd, 'held'), [packed.cans[0]!.can]);
  t.ok((await bucket.get(s3path)).equals(Buffer.alloc(bytes, 'x')));
});

test('a busy server and connections that break are tried again', async (t) => {
  const body = '<?xml version="1.0"?><Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>';
  const faults: Fate[] = [
    { status: 503, body },
    'reset',
    { status: 503, body: '<html><h1>503 Service Unavailable</h1></html>', headers: { 'content-type': 'text/html' } },
    { status: 500 },
    { status: 429, body: 'later' },
    { status: 409, body: body.replace('SlowDown', 'ConditionalRequestConflict') },
    { status: 408 },
    { status: 400, body: body.replace('SlowDown', 'RequestTimeout') },
  ];
  const { bucket, relay, env } = await behind(t, ({ nth, method, key }) => {
    // Each request meets three of them, one after the other. An answer to HEAD has no body to name its fault.
    const those = method === 'HEAD' ? faults.slice(0, -1) : faults;
    return nth < 3 ? those[(key.charCodeAt(17) + nth) % those.length]! : 'pass';
  });
  const packed = makeCans(t, 8);
  const done = await upload(packed, bucket.url, env, '--jobs 8');
  exits(t, done, 0);
  t.match(stats(done), { out: 8, stored: 16 });
  t.equal(relay.of('PUT').length, 64);
  t.match(messages(done), /: put: 503 SlowDown; trying again\n/);
  t.match(messages(done), /: put: no answer \(ECONNRESET\); trying again\n/);
  t.match(messages(done), /: head: 50[03]; trying again\n/);
  t.ok(
    messages(done)
      .split('\n')
      .every((line) => line === '' || /^cannery upload: s3:.*; trying again$/.test(line)),
  );
  await checkObjects(t, bucket, packed.cans);
});

test('past the bound of tries: exit 1, and the message names key and cause', async (t) => {
  let broken = true;
  const { bucket, relay, env } = await behind(t, ({ method, key }) => {
    if (!broken || method !== 'PUT' || !key.endsWith('AB_webconnectivity.n0.0.jsonl.gz')) return 'pass';
    return { status: 503, body: '<Error><Code>SlowDown</Code></Error>' };
  });
  const packed = threeCans(t);
  const key = packed.cans[1]!.files[1].s3path;
  const done = await upload(packed, bucket.url, env, '--attempts 3');
  exits(t, done, 1);
  t.ok(messages(done).endsWith(`cannery upload: ${bucket.url}/${key}: put: 503 SlowDown (3 tries)\n`), messages(done));
  t.equal(relay.seen.filter((one) => one.key === key).length, 3);
  t.ok(inState(packed.cwd, 'ready').includes(packed.cans[1]!.can));
  broken = false;
  const again = await upload(packed, bucket.url, env);
  exits(t, again, 0);
  t.match(stats(again), { out: 3, same: 1 }, 'its other half was there');
  await checkObjects(t, bucket, packed.cans);
});

test('a server that cannot do what is asked is not asked again', async (t) => {
  const { bucket, relay, env } = await behind(t, ({ method }) =>
    method === 'PUT' ? { status: 501, body: '<Error><Code>NotImplemented</Code></Error>' } : 'pass',
  );
  const done = await upload(threeCans(t), bucket.url, env, '--jobs 1');
  exits(t, done, 1);
  t.match(messages(done), /^cannery upload: s3:\S+: put: 501 NotImplemented\n$/);
  t.equal(relay.seen.length, 1);
});

test('a bucket in another region than was said', async (t) => {
  const { bucket, relay, env } = await behind(t, ({ region }) =>
    region === 'xx-far-1'
      ? 'pass'
      : {
          status: 301,
          headers: { 'x-amz-bucket-region': 'xx-far-1' },
          body: '<Error><Code>PermanentRedirect</Code></Error>',
        },
  );
  const packed = threeCans(t);
  const done = await upload(packed, bucket.url, env, '--jobs 1');
  exits(t, done, 0);
  t.match(messages(done), /^cannery upload: s3:\S+: put: the bucket is in region xx-far-1; trying again\n$/);
  t.equal(relay.seen.filter(({ status }) => status === 301).length, 1, 'learned once');
  t.ok(done.seconds < 30, `${done.seconds} s`);
  await checkObjects(t, bucket, packed.cans);
});

test('a get whose answer breaks off is asked again', async (t) => {
  const { bucket, relay, env } = await behind(t, ({ method, nth }) => {
    if (method !== 'GET') return 'pass';
    return (['cut', 'reset', { status: 503 }] as Fate[])[nth] ?? 'pass';
  });
  const packed = threeCans(t);
  const done = await upload(packed, bucket.url, env);
  shell('cannery index jsonl.sqlite', { cwd: packed.cwd, stdin: done.out });
  const { uid, document } = packed.sent[0]!;
  const got = await shellAsync(`cannery get --index jsonl.sqlite --raw ${uid}`, { cwd: packed.cwd, env });
  t.same({ code: got.code, out: got.out }, { code: 0, out: `${document}\n` });
  t.equal(got.err.split('\n').length, 4, got.err);
  t.match(
    relay.of('GET').map(({ status }) => status),
    [206, 0, 503, 206],
  );
});

test('a connection that stands still is given up, a slow one is not', async (t) => {
  const { bucket, relay } = await behind(t, async ({ method, nth, key }): Promise<Fate> => {
    if (method === 'GET' && nth === 0) return key === 'slow' ? 'slow' : 'stall';
    if (method === 'PUT' && nth === 0) return 'deaf';
    return 'pass';
  });
  const bytes = randomBytes(3_000_000); // over the size from which the SDK waits for '100 Continue'
  await bucket.put('slow', bytes);
  await bucket.put('still', bytes);
  const path = join(folder(t), 'file');
  writeFileSync(path, bytes);
  await inEnvironment(bucket.env({ AWS_ENDPOINT_URL_S3: relay.endpoint }), async () => {
    const said: string[] = [];
    const store = new S3Store(bucket.url, { attempts: 3, onRetry: (message) => said.push(message) }, 1000);
    t.teardown(() => store.close());
    const slow = performance.now();
    t.ok((await store.read('slow', 5, 2_000_000)).equals(bytes.subarray(5, 2_000_005)), 'slow');
    t.ok(performance.now() - slow > 1500, 'slower than the limit on silence');
    t.same(said, []);
    t.ok((await store.read('still', 5, 2_000_000)).equals(bytes.subarray(5, 2_000_005)), 'still');
    t.same(said, [`${bucket.url}/still: get: no answer (TimeoutError); trying again`]);
    const file = { path, bytes: bytes.length, sha256: sha256(bytes), md5: md5(bytes) };
    t.equal(await store.put('up', file), 'stored');
    t.equal(said.length, 2, 'a put that nobody reads is given up too');
  });
});

test('requests that fail leave no file open', async (t) => {
  const { bucket, relay } = await behind(t, ({ method }) => (method === 'PUT' ? { status: 503 } : 'pass'));
  const bytes = randomBytes(3_000_000);
  const path = join(folder(t), 'file');
  writeFileSync(path, bytes);
  await inEnvironment(bucket.env({ AWS_ENDPOINT_URL_S3: relay.endpoint }), async () => {
    const store = new S3Store(bucket.url, { attempts: 5 });
    const file = { path, bytes: bytes.length, sha256: sha256(bytes), md5: md5(bytes) };
    await t.rejects(store.put('up', file), /up: put: 503 \(5 tries\)/);
    store.close();
  });
  const open = () => readdirSync('/proc/self/fd').filter((fd) => linkOf(fd) === path).length;
  for (let n = 0; n < 100 && open() > 0; n++) await sleep(10); // closing takes a moment
  t.equal(open(), 0);
});

test('an ETag that is no MD5: the object is read back', async (t) => {
  const { bucket, relay, env } = await behind(t, () => 'etag');
  const packed = threeCans(t);
  const others = copyOf(t, packed);
  const done = await upload(packed, bucket.url, env);
  exits(t, done, 0);
  t.match(stats(done), { stored: 6 });
  t.same(
    relay
      .of('GET')
      .map(({ key }) => key)
      .sort(),
    keysOf(packed),
  );
  await checkObjects(t, bucket, packed.cans);

  const [{ s3path, bytes }] = others.cans[0]!.files;
  await bucket.put(s3path, Buffer.alloc(bytes, 'x'));
  const again = await upload(others, bucket.url, env);
  exits(t, again, 3);
  t.match(stats(again), { same: 4, other: 1 }, 'and told from others');
});

test('cans are not held in memory', async (t) => {
  const { bucket, relay, env } = await behind(t, () => 'etag'); // so that they are read back too
  const cwd = folder(t);
  const documents: string[] = [];
  for (let n = 0; n < 64; n++) {
    documents.push(`{"report_id":"r","input":"${n}","body":"${randomBytes(750_000).toString('base64')}"}`);
    putPost(join(cwd, 'incoming'), `{"format":"json","content":${documents[n]}}`);
  }
  const big = pack(cwd, '--max-bytes 100M');
  t.equal(big.cans.length, 1);
  t.ok(big.cans[0]!.files[1].bytes > 45e6);
  const measure = async (run: (env: Env) => Promise<Ran>) => {
    const path = join(cwd, 'rss');
    const code = `import fs from 'fs'; process.on('exit', () => fs.writeFileSync('${path}', String(process.resourceUsage().maxRSS)))`;
    const ran = await run({ ...env, NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(code)}` });
    exits(t, ran, 0);
    return Number(read(path)) / 1024;
  };
  const small = await measure((env) => upload(threeCans(t), `${bucket.url}/small`, env));
  // What waits to be freed is more at one time than at another, what is held is not: the least of three.
  const peaks: number[] = [];
  for (const n of [1, 2]) {
    const to = join(folder(t), 'copy');
    cpSync(cwd, to, { recursive: true });
    const copy = { ...big, cwd: to, text: big.text.replaceAll(cwd, to) };
    peaks.push(await measure((env) => upload(copy, `${bucket.url}/copy${n}`, env)));
  }
  peaks.push(await measure((env) => upload(big, `${bucket.url}/large`, env)));
  const large = Math.min(...peaks);
  t.comment(`upload: ${small.toFixed(0)} MB for small cans, ${large.toFixed(0)} MB for one of 2 x 48 MB`);
  t.ok(large - small < 40, `${small} MB, ${large} MB`);

  shell('cannery index jsonl.sqlite', { cwd, stdin: `${JSON.stringify(big.cans[0])}\n` });
  const got = await shellAsync('cannery get --index jsonl.sqlite --raw --report-id r --input 40', { cwd, env });
  t.equal(got.out, `${documents[40]}\n`);
  t.ok(relay.seen.at(-1)!.bytes < 1.5e6, 'and get reads its one line');
});

// --- processes that die

test('an upload that is killed, and run again', async (t) => {
  const { bucket, relay, env } = await behind(t, async ({ method }): Promise<Fate> => {
    if (method === 'PUT') await sleep(30);
    return 'pass';
  });
  const packed = makeCans(t, 40);
  writeFileSync(join(packed.cwd, 'rows'), packed.text);
  const run = shellAsync(`cannery upload ${bucket.url} <rows & echo $! >pid; wait $!`, { cwd: packed.cwd, env });
  await until(() => inState(packed.cwd, 'sent').length >= 5);
  process.kill(Number(read(join(packed.cwd, 'pid'))), 'SIGKILL');
  t.equal((await run).code, 137);
  t.ok(inState(packed.cwd, 'ready').length > 0, 'in the middle');
  const again = await upload(packed, bucket.url, env);
  exits(t, again, 0);
  t.equal(rows(again.out).length, 40, 'receipts of those too that were sent before');
  t.ok(relay.of('PUT').length <= 80 + 2 * 16, 'of what was sent nothing is put again, but what was on its way');
  await checkObjects(t, bucket, packed.cans);
});

const second = running ? startSecond() : undefined;

test('the gateway dies in the middle of an upload, and comes back', async (t) => {
  const { server, radosgw, reason } = (await second)!;
  if (!server) return void t.pass('a second server', { skip: reason });
  const bucket = await Bucket.make(t, server);
  const packed = makeCans(t, 200);
  const other = copyOf(t, packed);
  const run = upload(packed, bucket.url, bucket.env());
  await until(() => inState(packed.cwd, 'sent').length >= 10);
  await radosgw('kill-gateway');
  const before = inState(packed.cwd, 'sent').length;
  t.ok(before < 200, `${before} were sent`);
  await sleep(3000); // four cans under way have tried twenty times by then
  await radosgw('start-gateway');
  const done = await run;
  exits(t, done, 0);
  t.match(messages(done), /no answer \(ECONNREFUSED\); trying again/);
  t.equal(inState(packed.cwd, 'sent').length, 200);
  await checkObjects(t, bucket, packed.cans);

  // And once more, when it stays away.
  const failing = upload(other, `${bucket.url}/again`, bucket.env(), '--attempts 4');
  await until(() => inState(other.cwd, 'sent').length >= 10);
  await radosgw('kill-gateway');
  const failed = await failing;
  exits(t, failed, 1);
  t.match(messages(failed), /^cannery upload: s3:\/\/\S+\.gz: (put|head): no answer \(ECONN[A-Z]+\) \(4 tries\)$/m);
  t.ok(failed.seconds < 60, `${failed.seconds} s`);
  t.same(inState(other.cwd, 'held'), []);
  const waiting = inState(other.cwd, 'ready').length;
  t.equal(waiting + inState(other.cwd, 'sent').length, 200);
  t.ok(waiting > 0);
  await radosgw('start-gateway');
  const again = await upload(other, `${bucket.url}/again`, bucket.env());
  exits(t, again, 0);
  t.equal(inState(other.cwd, 'sent').length, 200);
  t.equal((await bucket.keys()).length, 800);
});

// --- the local disk

for (const store of ['s3', 'folder']) {
  test(`cans whose files the local disk has spoilt, into a ${store} store`, async (t) => {
    const bucket = await Bucket.make(t, server());
    const url = store === 's3' ? bucket.url : 'store';
    const packed = makeCans(t, 5);
    const [gone, short, rotten, torn, well] = packed.cans as [Can, Can, Can, Can, Can];
    const path = (can: Can, n: 0 | 1) => join(can.dir, can.files[n].name);
    const manifest = join(torn.dir, 'can.json');
    const whole = [path(gone, 0), path(short, 0), path(rotten, 1), manifest].map((file) => [file, read(file)] as const);
    unlinkSync(path(gone, 0));
    truncateSync(path(short, 0), short.files[0].bytes - 10);
    const bytes = read(path(rotten, 1));
    bytes[20]! ^= 1;
    writeFileSync(path(rotten, 1), bytes);
    truncateSync(manifest, 20);

    const done = await upload(packed, url, bucket.env());
    exits(t, done, 3);
    t.ok(done.seconds < 30, `${done.seconds} s`);
    t.same(
      rows<Can>(done.out).map(({ can }) => can),
      [well.can],
      'the others go on',
    );
    t.equal(messages(done).split('\n').length - 1, 4, messages(done));
    t.match(messages(done), `${path(gone, 0)}: is gone`);
    t.match(messages(done), `${manifest}: `);
    for (const file of [path(short, 0), path(rotten, 1)]) t.match(messages(done), `${file}: not the bytes that were`);
    t.same(inState(packed.cwd, 'ready'), [gone.can, short.can, rotten.can, torn.can]);
    const there = () => (store === 's3' ? bucket.keys() : tree(join(packed.cwd, 'store')));
    t.same(await there(), well.files.map(({ s3path }) => s3path).sort(), 'nothing else is in the store');

    for (const [file, content] of whole) writeFileSync(file, content);
    const again = await upload(packed, url, bucket.env());
    exits(t, again, 0);
    t.same(await there(), keysOf(packed));
  });
}

test('a file that is spoilt while it is sent', async (t) => {
  const bucket = await Bucket.make(t, server());
  const cwd = folder(t);
  await inEnvironment(bucket.env(), async () => {
    const store = new S3Store(bucket.url, { attempts: 1 });
    t.teardown(() => store.close());
    for (const size of [10, 100_000, 3_000_000]) {
      const bytes = randomBytes(size);
      const path = join(cwd, `${size}`);
      writeFileSync(path, bytes);
      const file = { path, bytes: size, sha256: sha256(bytes), md5: md5(bytes) };
      await t.rejects(store.put('gone', { ...file, path: join(cwd, 'gone') }), /gone: no such file or folder/);
      await t.rejects(store.put('short', { ...file, bytes: size + 10 }), /: \d+ bytes, not \d+$/);
      await t.rejects(store.put('rotten', { ...file, md5: md5(Buffer.from('x')) }), /put: 400 BadDigest/);
      t.equal(await store.put(`${size}`, file), 'stored', 'and the next one goes');
    }
  });
  t.same(await bucket.keys(), ['10', '100000', '3000000']);

  const store = new FolderStore(join(cwd, 'store'));
  const file = { path: join(cwd, '10'), bytes: 10, sha256: sha256(Buffer.from('x')), md5: '' };
  await t.rejects(store.put('key', file), /store\/key: read back other bytes than were stored/);
  t.same(tree(join(cwd, 'store')), [], 'a folder does not give it the name');
});

// --- helpers

function linkOf(fd: string): string | undefined {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return undefined; // the folder's own, closed by now
  }
}

async function until(condition: () => boolean): Promise<void> {
  for (let n = 0; !condition(); n++) {
    if (n > 3000) throw new Error('it does not come to that');
    await sleep(10);
  }
}

interface Second {
  server?: Server;
  reason: string;
  radosgw: (command: string) => Promise<void>;
}

/** A server of this file's own, for the tests that kill it. It starts while other tests run. */
async function startSecond(): Promise<Second> {
  const script = join(ROOT, 'test/servers/radosgw.sh');
  const run = async (command: string, dir: string) => {
    const child = spawn('bash', [script, command, dir], { stdio: ['ignore', 'ignore', 'pipe'] });
    let said = '';
    child.stderr.on('data', (piece) => (said += piece));
    const [code] = (await once(child, 'close')) as [number];
    if (code !== 0) throw new Error(`radosgw.sh ${command}: ${said.trim()}`);
  };
  const end = async (dir: string) => {
    await run('stop', dir);
    rmSync(dir, { recursive: true, force: true });
  };
  // A test that was killed could not stop its own.
  for (const name of readdirSync(tmpdir())) {
    const [, pid] = /^cannery-second-s3-(\d+)-/.exec(name) ?? [];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) await end(join(tmpdir(), name));
  }
  const dir = mkdtempSync(join(tmpdir(), `cannery-second-s3-${process.pid}-`));
  const radosgw = (command: string) => run(command, dir);
  try {
    await radosgw('start');
    t.teardown(() => end(dir));
  } catch (error) {
    rmSync(dir, { recursive: true, force: true }); // a start that fails stops what it has begun
    return { reason: `no second server: ${(error as Error).message}`, radosgw };
  }
  const value = (name: string) => new RegExp(`${name}=(.*)`).exec(read(join(dir, 'env')).toString())![1]!;
  const server = {
    endpoint: value('CANNERY_TEST_S3_ENDPOINT'),
    accessKey: value('CANNERY_TEST_S3_ACCESS_KEY'),
    secretKey: value('CANNERY_TEST_S3_SECRET_KEY'),
  };
  return { server, reason: '', radosgw };
}
