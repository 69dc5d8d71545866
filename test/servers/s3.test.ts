// upload and get against a real S3 server, through the built program: what goes well, what an operator sets
// wrong, and what others do to the same keys. What a bad network does is in s3-faults.test.ts.
import { renameSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { crc32, deflateRawSync, gunzipSync } from 'node:zlib';
import { S3SyncClient } from 's3-sync-client';
import { cannery, folder, PIPELINE, read, rows, shell, shellAsync, shippedSpool, tree } from '../lib.ts';
import {
  Bucket,
  type Can,
  checkObjects,
  closedPort,
  copyOf,
  country,
  type Env,
  exits,
  type Fate,
  inState,
  keysOf,
  makeCans,
  md5,
  messages,
  pack,
  Relay,
  type Sent,
  send,
  stats,
  suite,
  upload,
} from './s3.ts';

const { test, server, threeCans } = suite();

const KEYLESS: Env = { AWS_ACCESS_KEY_ID: undefined, AWS_SECRET_ACCESS_KEY: undefined };

// --- the pipeline, and back

for (const prefix of ['', 'some/pre fix+/ü%20/']) {
  test(`the hourly pipeline into s3://bucket/${prefix}, and get`, async (t) => {
    const bucket = await Bucket.make(t, server());
    const store = bucket.url + (prefix && `/${prefix.slice(0, -1)}`);
    const cwd = shippedSpool(t);
    const sent = [0, 1, 2].map((n) => send(cwd, n, { time: '20240201130000', cc: 'FR' })) as [Sent, Sent, Sent];
    const posts = tree(join(cwd, 'incoming')).map((path) => join('incoming', path));
    const documents = cannery(['cat', '--raw', ...posts], { cwd }).out;

    const done = shell(PIPELINE.replace('store', `'${store}/'`), { cwd, env: bucket.env() });
    t.same({ code: done.code, err: done.err }, { code: 0, err: '' });
    const cans = rows<Can & { measurements: number; uploaded: string; cleared: boolean }>(done.out);
    t.equal(
      cans.reduce((sum, can) => sum + can.measurements, 0),
      posts.length,
    );
    t.ok(cans.every((can) => can.cleared && can.uploaded === store));
    await checkObjects(t, bucket, cans, prefix);
    t.same(
      tree(join(cwd, 'incoming')).filter((path) => path.endsWith('.post')),
      [],
      'no post is left',
    );

    const relay = await Relay.make(t, server().endpoint, () => 'pass');
    const env = bucket.env({ AWS_ENDPOINT_URL_S3: relay.endpoint });
    const get = (args: string, stdin = '') =>
      shellAsync(`cannery get --index jsonl.sqlite --raw ${args}`, { cwd, env, stdin });
    const lines = (...wanted: Sent[]) => wanted.map(({ document }) => `${document}\n`).join('');
    const [first, , third] = sent;
    t.same(await get(first.uid), { code: 0, out: lines(first), err: '' }, 'by uid');
    t.equal(relay.seen.length, 1, 'one request');
    t.match(relay.seen, [{ method: 'GET', range: /^bytes=\d+-\d+$/, status: 206 }], 'for a range');
    t.ok(relay.seen[0]!.key.startsWith(`${prefix}raw/20240201/13/FR/webconnectivity/2024020113_FR_`));

    t.same(
      await get(`--report-id ${third.reportId} --input '${third.input}'`),
      { code: 0, out: lines(third), err: '' },
      'by report and input',
    );
    t.equal(relay.seen.length, 2, 'one request more');
    t.same(await get(`--report-id ${first.reportId}`), { code: 0, out: lines(...sent), err: '' }, 'all of a report');
    t.equal((await get('20240201100000.000001_IT_webconnectivity_0123456789abcdef')).code, 3);
    t.equal(relay.seen.length, 3, 'one request for lines that lie together, and none for what the index does not know');

    const uids = posts.map((path) => path.replace(/.*\//, '').slice(0, -'.post'.length));
    const all = await get('', uids.map((uid) => `${uid}\n`).join(''));
    t.same(all, { code: 0, out: documents, err: '' }, 'every measurement there is');
    const asked = new Set(relay.seen.map(({ key }) => key)).size;
    t.equal(relay.seen.length, 3 + asked, 'one request a can, as each is small');
    t.ok(relay.seen.every(({ method, status }) => method === 'GET' && status === 206));
  });
}

test('another program reads the same from the bucket as from a folder store', async (t) => {
  const bucket = await Bucket.make(t, server());
  const [one, other] = [shippedSpool(t), shippedSpool(t)];
  t.equal(shell(PIPELINE.replace('store', `${bucket.url}/p`), { cwd: one, env: bucket.env() }).code, 0);
  t.equal(shell(PIPELINE, { cwd: other }).code, 0);
  const mirror = join(folder(t), 'mirror');
  await new S3SyncClient({ client: bucket.client }).sync(`${bucket.url}/p`, mirror);
  const store = join(other, 'store');
  t.same(tree(mirror), tree(store));
  t.ok(tree(mirror).length >= 16);
  t.ok(tree(store).every((path) => read(join(store, path)).equals(read(join(mirror, path)))));
});

test('more than 1,000 objects', async (t) => {
  const bucket = await Bucket.make(t, server());
  const cwd = folder(t);
  for (let n = 0; n < 600; n++) send(cwd, n, { cc: country(n) });
  const packed = pack(cwd);
  t.equal(packed.cans.length, 600);
  const done = await upload(packed, bucket.url, bucket.env(), '--jobs 8');
  exits(t, done, 0);
  t.match(stats(done), { in: 600, out: 600, stored: 1200 });
  t.equal(inState(cwd, 'sent').length, 600);
  const there = await bucket.list(); // its ETags are MD5s
  const want = packed.cans.flatMap(({ can, files }) =>
    files.map(({ name, s3path }) => ({ key: s3path, etag: md5(read(join(cwd, 'outgoing/sent', can, name))) })),
  );
  t.equal(there.length, 1200);
  t.same(
    there,
    want.sort((a, b) => (a.key < b.key ? -1 : 1)),
  );
});

// --- settings

test('a wrong setting is told, costs nothing, and the next run completes', async (t) => {
  const SECRET = 'Wr0ng/Secret+Key=ThatNobodyMaySee';
  const bucket = await Bucket.make(t, server());
  const refused = `http://127.0.0.1:${await closedPort()}`;
  const missing = `${bucket.url}-2`;
  const cases: { name: string; env: Env; says: RegExp; url?: string; options?: string }[] = [
    { name: 'wrong secret', env: { AWS_SECRET_ACCESS_KEY: SECRET }, says: /access denied \(SignatureDoesNotMatch\)/ },
    {
      name: 'wrong key',
      env: { AWS_ACCESS_KEY_ID: 'AKIANOBODY', AWS_SECRET_ACCESS_KEY: SECRET },
      says: /access denied \(InvalidAccessKeyId\)/,
    },
    {
      name: 'no credentials',
      env: KEYLESS,
      says: /no credentials: set AWS_ACCESS_KEY_ID/,
    },
    {
      name: 'half of the credentials',
      env: { AWS_ACCESS_KEY_ID: undefined, AWS_SECRET_ACCESS_KEY: SECRET },
      says: /no credentials: set AWS_ACCESS_KEY_ID/,
    },
    {
      name: 'no credentials, where the SDK looks for a machine of Amazon',
      env: {
        ...KEYLESS,
        AWS_EC2_METADATA_DISABLED: undefined,
        AWS_EC2_METADATA_SERVICE_ENDPOINT: refused,
      },
      says: /no credentials: set AWS_ACCESS_KEY_ID/,
    },
    { name: 'unknown profile', env: { ...KEYLESS, AWS_PROFILE: 'nobody' }, says: /no credentials: .* or AWS_PROFILE/ },
    { name: 'no region', env: { AWS_REGION: undefined }, says: /no region: set AWS_REGION/ },
    { name: 'no such bucket', env: {}, url: missing, says: /no such bucket/ },
    {
      name: 'nobody there',
      env: { AWS_ENDPOINT_URL_S3: refused },
      options: '--attempts 3',
      says: /no answer \(ECONNREFUSED\) \(3 tries\)/,
    },
    { name: 'no URL', env: { AWS_ENDPOINT_URL_S3: 'nonsense' }, says: /./ },
  ];
  const packed = threeCans(t);
  for (const { name, env, says, url = `${bucket.url}/${name.replaceAll(/\W/g, '-')}`, options = '' } of cases) {
    const mine = copyOf(t, packed);
    const failed = await upload(mine, url, bucket.env(env), options);
    t.equal(failed.code, 1, `${name}: exit 1`);
    t.match(failed.err, says, `${name}: told`);
    t.match(
      messages(failed),
      /^cannery upload: s3:\/\/\S+raw\/20240201\/10\/A.\/webconnectivity\/\S+\.tar\.gz: put: /m,
    );
    t.ok(
      messages(failed)
        .split('\n')
        .every((line) => line === '' || line.startsWith('cannery upload: ')),
      `${name}: ${messages(failed)}`,
    );
    t.equal(failed.out, '', `${name}: no receipt`);
    t.notOk((failed.err + failed.out).includes(SECRET), `${name}: the secret stays one`);
    t.notOk((failed.err + failed.out).includes(server().secretKey), `${name}: and so does the right one`);
    t.equal(inState(mine.cwd, 'ready').length, 3, `${name}: all cans wait`);
    t.ok(failed.seconds < 30, `${name}: ${failed.seconds} s`);
    if (url === missing) continue; // below
    const again = await upload(mine, url, bucket.env());
    t.equal(again.code, 0, `${name}: ${messages(again)}`);
    t.match(stats(again), { out: 3, stored: 6 }, `${name}: the next run completes`);
    t.equal(inState(mine.cwd, 'sent').length, 3);
  }
  t.equal((await bucket.keys()).length, (cases.length - 1) * 6);
});

test('a bucket that is made after the first try', async (t) => {
  const bucket = Bucket.later(t, server());
  const packed = threeCans(t);
  t.equal((await upload(packed, bucket.url, bucket.env())).code, 1);
  await bucket.create();
  t.equal((await upload(packed, bucket.url, bucket.env())).code, 0);
  await checkObjects(t, bucket, packed.cans);
});

test('get with wrong settings: exit 1, and no secret in the message', async (t) => {
  const bucket = await Bucket.make(t, server());
  const packed = threeCans(t);
  const done = await upload(packed, bucket.url, bucket.env());
  shell('cannery index jsonl.sqlite', { cwd: packed.cwd, stdin: done.out });
  const [{ uid }] = packed.sent as [Sent];
  const get = (env: Env) =>
    shellAsync(`cannery get --index jsonl.sqlite --raw --attempts 2 ${uid}`, { cwd: packed.cwd, env });
  const SECRET = 'An0ther/Wrong+Secret=';
  const refused = await get(bucket.env({ AWS_SECRET_ACCESS_KEY: SECRET }));
  exits(t, refused, 1);
  t.match(refused.err, /^cannery get: s3:\/\/\S+\.jsonl\.gz: get: access denied \(SignatureDoesNotMatch\)\n$/);
  t.notOk(refused.err.includes(SECRET));
  const nobody = await get(bucket.env({ AWS_ENDPOINT_URL_S3: `http://127.0.0.1:${await closedPort()}` }));
  exits(t, nobody, 1);
  t.match(nobody.err, /get: no answer \(ECONNREFUSED\) \(2 tries\)\n$/);
  const keyless = await get(bucket.env(KEYLESS));
  exits(t, keyless, 1);
  t.match(keyless.err, /no credentials/);
  t.same(await get(bucket.env()), { code: 0, out: `${packed.sent[0]!.document}\n`, err: '' });
});

test('endpoint, region and credentials from a profile', async (t) => {
  const bucket = await Bucket.make(t, server());
  const packed = threeCans(t);
  const { endpoint, accessKey, secretKey } = server();
  const files = folder(t);
  writeFileSync(
    join(files, 'config'),
    `[default]\nregion = eu-nowhere-1\n\n[profile cans]\nregion = us-east-1\nendpoint_url = ${endpoint}\n`,
  );
  writeFileSync(
    join(files, 'credentials'),
    `[default]\naws_access_key_id = nobody\naws_secret_access_key = nothing\n\n` +
      `[cans]\naws_access_key_id = ${accessKey}\naws_secret_access_key = ${secretKey}\n`,
  );
  const env = bucket.env({
    ...KEYLESS,
    AWS_REGION: undefined,
    AWS_ENDPOINT_URL_S3: undefined,
    AWS_CONFIG_FILE: join(files, 'config'),
    AWS_SHARED_CREDENTIALS_FILE: join(files, 'credentials'),
    AWS_PROFILE: 'cans',
  });
  const done = await upload(packed, bucket.url, env);
  exits(t, done, 0);
  await checkObjects(t, bucket, packed.cans);
  const older = threeCans(t);
  const region = await upload(
    older,
    `${bucket.url}/p`,
    bucket.env({ AWS_REGION: undefined, AWS_DEFAULT_REGION: 'us-east-1' }),
  );
  t.equal(region.code, 0, 'AWS_DEFAULT_REGION does too');
});

// --- keys that exist

test('the same bytes under a key are success, other bytes hold the can', async (t) => {
  const bucket = await Bucket.make(t, server());
  const packed = makeCans(t, 4);
  const [whole, tar, half, free] = packed.cans as [Can, Can, Can, Can];
  const bytes = (can: Can, n: 0 | 1) => read(join(can.dir, can.files[n].name));
  await bucket.put(whole.files[0].s3path, bytes(whole, 0));
  await bucket.put(whole.files[1].s3path, bytes(whole, 1));
  // As long as ours, so that only the bytes tell.
  const others = (can: Can, n: 0 | 1) => Buffer.alloc(can.files[n].bytes, 'x');
  await bucket.put(tar.files[0].s3path, others(tar, 0));
  await bucket.put(half.files[0].s3path, bytes(half, 0));
  await bucket.put(half.files[1].s3path, others(half, 1));

  const done = await upload(packed, bucket.url, bucket.env(), '--rejects rejects');
  exits(t, done, 3);
  t.match(stats(done), { in: 4, out: 2, rejected: 2, same: 3, other: 2, stored: 2 });
  t.same(
    rows<Can>(done.out)
      .map(({ can }) => can)
      .sort(),
    [whole.can, free.can],
  );
  t.same(inState(packed.cwd, 'held'), [tar.can, half.can]);
  t.same(inState(packed.cwd, 'sent'), [whole.can, free.can]);
  for (const [can, n] of [
    [tar, 0],
    [half, 1],
  ] as const) {
    const { s3path } = can.files[n];
    t.ok((await bucket.get(s3path)).equals(others(can, n)), `${s3path} is what it was`);
    t.match(messages(done), `${s3path}: the store has other bytes under this key; the can is held in ${packed.cwd}`);
  }
  t.same(
    await bucket.keys(),
    keysOf(packed).filter((key) => key !== tar.files[1].s3path),
    'of a can whose tar is another, no jsonl goes',
  );
  const rejects = rows<{ file: string; reason: string }>(read(join(packed.cwd, 'rejects')).toString());
  t.same(rejects.map(({ file }) => file).sort(), [tar.can, half.can]);

  const again = await upload(packed, bucket.url, bucket.env());
  t.equal(again.code, 3, 'until somebody looks');
  t.match(messages(again), new RegExp(`${tar.can}.*held: the store has other bytes under its name`));
  t.equal(rows(again.out).length, 2);
});

test('two uploaders with the same cans', async (t) => {
  const bucket = await Bucket.make(t, server());
  const packed = makeCans(t, 12);
  const copy = copyOf(t, packed);
  const both = [packed, copy].map((one) => upload(one, bucket.url, bucket.env(), '--jobs 8'));
  const done = await Promise.all(both);
  t.same(
    done.map(({ code }) => code),
    [0, 0],
    done.map(messages).join(''),
  );
  t.same([inState(packed.cwd, 'sent').length, inState(copy.cwd, 'sent').length], [12, 12]);
  const [one, other] = done.map(stats) as [Record<string, number>, Record<string, number>];
  t.equal((one.stored ?? 0) + (other.stored ?? 0), 24, 'each object was stored once');
  t.equal((one.same ?? 0) + (other.same ?? 0), 24);
  await checkObjects(t, bucket, packed.cans);
});

test('two uploaders with different cans of the same names', async (t) => {
  const bucket = await Bucket.make(t, server());
  const [one, other] = [makeCans(t, 12, ',"who":"one"'), makeCans(t, 12, ',"who":"other"')];
  t.same(keysOf(one), keysOf(other));
  t.not(one.cans[0]!.files[0].sha256, other.cans[0]!.files[0].sha256);
  const done = await Promise.all([one, other].map((each) => upload(each, bucket.url, bucket.env(), '--jobs 8')));
  const sent = [one, other].map(({ cwd }) => inState(cwd, 'sent')) as [string[], string[]];
  const held = [one, other].map(({ cwd }) => inState(cwd, 'held')) as [string[], string[]];
  t.same(held, [sent[1], sent[0]], 'who has not won holds');
  t.same(
    [...sent[0], ...sent[1]].sort(),
    one.cans.map(({ can }) => can),
    'one has won each',
  );
  t.same(
    done.map(({ code }) => code),
    held.map((cans) => (cans.length > 0 ? 3 : 0)),
  );
  const winners = one.cans.map((can, n) => (sent[0].includes(can.can) ? can : other.cans[n]!));
  await checkObjects(t, bucket, winners);
});

test('two uploaders at the same outgoing', async (t) => {
  const bucket = await Bucket.make(t, server());
  const packed = makeCans(t, 8);
  const relay = await Relay.make(t, server().endpoint, async ({ method }): Promise<Fate> => {
    if (method === 'PUT') await sleep(300); // so that they meet
    return 'pass';
  });
  const env = bucket.env({ AWS_ENDPOINT_URL_S3: relay.endpoint });
  const done = await Promise.all([0, 1].map(() => upload(packed, bucket.url, env, '--jobs 2')));
  t.same(
    done.map(({ code }) => code),
    [0, 0],
    done.map(messages).join(''),
  );
  t.match(done.map(messages).join(''), /another process is at it, passed over/);
  t.same(
    relay
      .of('PUT')
      .map(({ key }) => key)
      .sort(),
    keysOf(packed),
    'each key is put once',
  );
  t.equal(inState(packed.cwd, 'sent').length, 8);
  const receipts = new Set(done.flatMap(({ out }) => rows<Can>(out).map(({ can }) => can)));
  t.equal(receipts.size, 8, 'each can has its receipt');
  await checkObjects(t, bucket, packed.cans);
});

// --- what may go

test('--with-rows puts the rows of the index beside the can', async (t) => {
  const bucket = await Bucket.make(t, server());
  const packed = threeCans(t);
  const done = await upload(packed, bucket.url, bucket.env(), '--with-rows');
  exits(t, done, 0);
  t.match(stats(done), { out: 3, stored: 9 });
  const keys = await bucket.keys();
  t.equal(keys.length, 9);
  for (const { can, files } of packed.cans) {
    const key = files[1].s3path.replace(/\.jsonl\.gz$/, '.rows.jsonl.gz');
    const there = await bucket.get(key);
    const path = join(packed.cwd, 'outgoing/sent', can);
    t.ok(gunzipSync(there).equals(read(join(path, 'rows.jsonl'))), `${key} has the rows`);
  }
});

test('unsanitised cans go to a private store only', async (t) => {
  const bucket = await Bucket.make(t, server());
  const cwd = folder(t);
  const sent = send(cwd, 1);
  const made = shell('cannery cat --end incoming/*/*.post | cannery postcan --rows --to outgoing', { cwd });
  t.equal(made.code, 0, made.err);
  const packed = { cwd, text: made.out, cans: rows<Can>(made.out) };
  const refused = await upload(packed, bucket.url, bucket.env());
  exits(t, refused, 3);
  t.match(messages(refused), /unsanitised: it may go to a private store only \(--private\)/);
  t.same([refused.out, await bucket.keys(), inState(cwd, 'ready').length], ['', [], 1]);
  const done = await upload(packed, bucket.url, bucket.env(), '--private');
  exits(t, done, 0);
  await checkObjects(t, bucket, packed.cans);
  t.ok((await bucket.keys()).every((key) => key.startsWith('jsonl/webconnectivity/IT/20240201/00/')));
  shell('cannery index jsonl.sqlite', { cwd, stdin: done.out });
  const got = await shellAsync(`cannery get --index jsonl.sqlite --raw ${sent.uid}`, { cwd, env: bucket.env() });
  t.same(got, { code: 0, out: `${sent.document}\n`, err: '' });
});

// --- objects that changed behind our back

test('get from objects that are not what was stored', async (t) => {
  const bucket = await Bucket.make(t, server());
  const packed = makeCans(t, 5);
  const done = await upload(packed, bucket.url, bucket.env());
  shell('cannery index jsonl.sqlite', { cwd: packed.cwd, stdin: done.out });
  const keys = packed.cans.map(({ files }) => files[1].s3path) as [string, string, string, string, string];
  const [deleted, short, changed, garbage] = keys;
  await bucket.remove(deleted);
  await bucket.put(short, (await bucket.get(short)).subarray(0, 30));
  // As long as before and good gzip, but another's: what a key that was written twice would give.
  await bucket.put(changed, gzipOfLength((await bucket.get(changed)).length, '{"another":1}\n'));
  await bucket.put(garbage, Buffer.alloc((await bucket.get(garbage)).length, 'x'));

  const stdin = packed.sent.map(({ uid }) => `${uid}\n`).join('');
  const got = await shellAsync('cannery get --index jsonl.sqlite --raw --rejects rejects', {
    cwd: packed.cwd,
    env: bucket.env(),
    stdin,
  });
  exits(t, got, 3);
  t.equal(got.out, `${packed.sent[4]!.document}\n`, 'the one that is well, and no wrong bytes');
  const reasons = rows<{ as: string; reason: string; data: string }>(read(join(packed.cwd, 'rejects')).toString());
  t.equal(reasons.length, 4);
  const reasonOf = (n: number) => reasons.find(({ data }) => data === packed.sent[n]!.uid)?.reason;
  t.equal(reasonOf(0), `${packed.sent[0]!.uid}: ${deleted}: not in the store`);
  t.match(reasonOf(1), new RegExp(`: ${short}: 30 bytes at 0, not \\d+$`));
  t.equal(reasonOf(2), `${packed.sent[2]!.uid}: ${changed}: line 0 is not the one that was indexed`);
  t.match(reasonOf(3), new RegExp(`: ${garbage}: no gzip member at byte 0`));
  for (const reason of reasons) t.match(got.err, `: ${reason.reason}\n`, 'said too');

  await bucket.put(short, Buffer.alloc(0));
  const empty = await shellAsync(`cannery get --index jsonl.sqlite ${packed.sent[1]!.uid}`, {
    cwd: packed.cwd,
    env: bucket.env(),
  });
  t.same({ code: empty.code, out: empty.out }, { code: 3, out: '' }, 'an empty object');
  t.match(empty.err, `${short}: ends before byte 0`);
});

test('get from a folder store that changed behind our back says the same', async (t) => {
  const packed = threeCans(t);
  const done = await upload(packed, 'store', {});
  shell('cannery index jsonl.sqlite', { cwd: packed.cwd, stdin: done.out });
  const [deleted, short] = packed.cans.map(({ files }) => files[1].s3path) as [string, string];
  unlinkSync(join(packed.cwd, 'store', deleted));
  truncateSync(join(packed.cwd, 'store', short), 30);
  const stdin = packed.sent.map(({ uid }) => `${uid}\n`).join('');
  const got = await shellAsync('cannery get --index jsonl.sqlite --raw', { cwd: packed.cwd, stdin });
  t.same({ code: got.code, out: got.out }, { code: 3, out: `${packed.sent[2]!.document}\n` });
  t.match(got.err, `${deleted}: not in the store`);
  t.match(got.err, `${short}: ends at byte 30`);

  renameSync(join(packed.cwd, 'store'), join(packed.cwd, 'elsewhere'));
  const none = await shellAsync('cannery get --index jsonl.sqlite --raw', { cwd: packed.cwd, stdin });
  exits(t, none, 1);
  t.match(none.err, `${packed.cwd}/store: no such folder`, 'a store that is not there is no fault of the item');
});

/** Gzip of a text, as long as is wanted: its header has room for a name. */
function gzipOfLength(length: number, text: string): Buffer {
  const deflated = deflateRawSync(text);
  const tail = Buffer.alloc(8);
  tail.writeUInt32LE(crc32(text), 0);
  tail.writeUInt32LE(text.length, 4);
  const head = Buffer.from([0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 3]);
  const name = Buffer.alloc(length - head.length - deflated.length - tail.length, 'x');
  name[name.length - 1] = 0;
  return Buffer.concat([head, name, deflated, tail]);
}
