// upload and get, and a store that breaks: the network in the middle of a byte stream, answers that are wrong, late or
// never come, credentials and clocks. All against a small S3 of our own; what servers may take differently, against a real
// one too, where it runs. More of a real one is in servers/s3-faults.test.ts.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { S3Store } from '../src/edge/store-s3.ts';
import { folder, rows, shell, shellAsync } from './lib.ts';
import { type Cut, FakeS3, fault, WHOLE, Wire } from './servers/fakes3.ts';
import {
  Bucket,
  checkObjects,
  closedPort,
  copyOf,
  exits,
  type Fate,
  inEnvironment,
  inState,
  makeCans,
  md5,
  messages,
  Relay,
  runningServer,
  type Seen,
  type Sent,
  type Server,
  sha256,
  stats,
  upload,
} from './servers/s3.ts';

const real = runningServer();
const TARGETS = [
  { name: 'our own S3', server: (t: Test): Promise<Server> => FakeS3.make(t), skip: false },
  {
    name: 'a real S3 server',
    server: async () => real!,
    skip: real ? false : 'no S3 server is running (make servers starts one)',
  },
] as const;
type Target = (typeof TARGETS)[number];

interface Place {
  server: Server;
  bucket: Bucket;
}

/** A test against our own server, or against both. */
function test(name: string, run: (t: Test, place: Place) => Promise<void>, targets: readonly Target[] = TARGETS): void {
  for (const target of targets) {
    t.test(`${name}: ${target.name}`, { skip: target.skip }, async (t) => {
      const server = await target.server(t);
      await run(t, { server, bucket: await Bucket.make(t, server) });
    });
  }
}

const alone = (name: string, run: (t: Test, place: Place) => Promise<void>) => test(name, run, TARGETS.slice(0, 1));

let packedOnce: ReturnType<typeof makeCans> | undefined;

/** Three cans of one post each, packed once. */
function threeCans(own: Test) {
  return copyOf(own, (packedOnce ??= makeCans(t, 3)));
}

/** A relay before the server, and the environment that leads there. */
async function behind(t: Test, { server, bucket }: Place, fate: (request: Seen) => Fate | Promise<Fate>) {
  const relay = await Relay.make(t, server.endpoint, fate);
  return { relay, env: bucket.env({ AWS_ENDPOINT_URL_S3: relay.endpoint }) };
}

/** A file on the disk, as `put` takes it. */
function fileOf(t: Test, bytes: Buffer) {
  const path = join(folder(t), 'file');
  writeFileSync(path, bytes);
  return { path, bytes: bytes.length, sha256: sha256(bytes), md5: md5(bytes) };
}

/** Bytes that are the same in every run. */
function someBytes(length: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, n) => (n * 2654435761) >>> 24));
}

// --- the network

test('a put whose connection breaks after any number of bytes, in either direction', async (t, place) => {
  const { bucket, server } = place;
  const bytes = someBytes(1500);
  const file = fileOf(t, bytes);
  await inEnvironment(bucket.env(), async () => {
    let probe: Cut = WHOLE;
    const put = async (key: string, cut: Cut) => {
      const wire = await Wire.make(t, server.endpoint, (nth) => (nth === 0 ? cut : WHOLE));
      process.env.AWS_ENDPOINT_URL_S3 = wire.endpoint;
      const store = new S3Store(bucket.url, { attempts: 5 });
      const result = await store.put(key, file);
      store.close();
      [probe] = wire.carried as [Cut];
      return result;
    };
    t.equal(await put('whole', WHOLE), 'stored');
    const { up, down } = probe;
    t.ok(up > 1500 && down > 0, `${up} bytes up, ${down} down`);
    const results = new Map<string, number>();
    for (const [way, all] of Object.entries({ up, down })) {
      for (let at = 0; at < all; at += way === 'up' ? 197 : 43) {
        const key = `${way}/${at}`;
        const result = await put(key, { ...WHOLE, [way]: at });
        results.set(`${way} ${result}`, (results.get(`${way} ${result}`) ?? 0) + 1);
        if (!(await bucket.get(key)).equals(bytes)) t.fail(`${key}: other bytes`);
      }
    }
    t.comment([...results].map(([what, count]) => `${what}: ${count}`).join(', '));
    t.ok(results.get('up stored')! > 5, 'half a request stores nothing');
    t.ok(results.get('down same')! > 1, 'half an answer: our own bytes are found there');
    t.same(
      [...results.keys()].filter((one) => one.endsWith('other')),
      [],
    );
  });
});

test('a get whose connection breaks after any number of bytes, in either direction', async (t, { bucket, server }) => {
  const bytes = someBytes(3000);
  await bucket.put('key', bytes);
  await inEnvironment(bucket.env(), async () => {
    const read = async (cut: Cut) => {
      const wire = await Wire.make(t, server.endpoint, (nth) => (nth === 0 ? cut : WHOLE));
      process.env.AWS_ENDPOINT_URL_S3 = wire.endpoint;
      const said: string[] = [];
      const store = new S3Store(bucket.url, { attempts: 5, onRetry: (message) => said.push(message) });
      const part = await store.read('key', 500, 2000);
      store.close();
      if (!part.equals(bytes.subarray(500, 2500))) t.fail(`${JSON.stringify(cut)}: other bytes`);
      return { said, carried: wire.carried[0]! };
    };
    const { carried } = await read(WHOLE);
    for (const way of ['up', 'down'] as const) {
      for (let at = 0; at < carried[way]; at += 137) {
        const { said } = await read({ ...WHOLE, [way]: at });
        t.match(said, [/^s3:\S+\/key: get: no answer \([A-Za-z_]+\); trying again$/], `${at} ${way}`);
      }
    }
  });
});

alone('connections that break all the time', async (t, place) => {
  const { bucket, server } = place;
  const cut = (nth: number) => {
    if (nth > 40) return WHOLE;
    const at = (nth * 7919) % 1500; // as it comes, but the same in every run
    return nth % 2 === 0 ? { ...WHOLE, up: at } : { ...WHOLE, down: at };
  };
  const wire = await Wire.make(t, server.endpoint, cut);
  const packed = threeCans(t);
  const done = await upload(packed, bucket.url, bucket.env({ AWS_ENDPOINT_URL_S3: wire.endpoint }));
  exits(t, done, 0);
  t.equal((stats(done).stored ?? 0) + (stats(done).same ?? 0), 6);
  t.equal(inState(packed.cwd, 'sent').length, 3);
  // How many there are depends on which came when: one that lasts is used again.
  const broken = wire.carried.filter(({ up, down }, nth) => up >= cut(nth).up || down >= cut(nth).down);
  t.ok(broken.length > 0, `${broken.length} of ${wire.carried.length} connections broke`);
  await checkObjects(t, bucket, packed.cans);
});

alone('nobody listens', async (t, { bucket }) => {
  const packed = threeCans(t);
  const nobody = bucket.env({ AWS_ENDPOINT_URL_S3: `http://127.0.0.1:${await closedPort()}` });
  const done = await upload(packed, bucket.url, nobody, '--attempts 3');
  exits(t, done, 1);
  t.match(messages(done), /^cannery upload: s3:\S+\.tar\.gz: put: no answer \(ECONNREFUSED\) \(3 tries\)$/m);
  t.equal(inState(packed.cwd, 'ready').length, 3);
  const again = await upload(packed, bucket.url, bucket.env());
  exits(t, again, 0);
  await checkObjects(t, bucket, packed.cans);
  shell('cannery index jsonl.sqlite', { cwd: packed.cwd, stdin: again.out });
  const got = await shellAsync(`cannery get --index jsonl.sqlite --attempts 2 ${packed.sent[0]!.uid}`, {
    cwd: packed.cwd,
    env: nobody,
  });
  t.same([got.code, got.out], [1, '']);
  t.match(got.err, /^cannery get: s3:\S+\.jsonl\.gz: get: no answer \(ECONNREFUSED\) \(2 tries\)$/m);
});

alone('silence, of any request', async (t, place) => {
  const { bucket } = place;
  const bytes = someBytes(40_000);
  const file = fileOf(t, bytes);
  // An ETag that is no MD5, so that the object is read back too.
  const { relay, env } = await behind(t, place, ({ nth }) => (nth === 0 ? 'deaf' : nth === 1 ? 'stall' : 'etag'));
  await inEnvironment(env, async () => {
    const said: string[] = [];
    const store = new S3Store(bucket.url, { attempts: 4, onRetry: (message) => said.push(message) }, 400);
    t.teardown(() => store.close());
    t.match(await store.put('key', file), /stored|same/);
    t.ok((await store.read('key', 7, 30_000)).equals(bytes.subarray(7, 30_007)));
    t.same(
      [...new Set(said)].sort(),
      ['get', 'head', 'put'].map((what) => `${bucket.url}/key: ${what}: no answer (TimeoutError); trying again`),
    );
  });
  t.ok(relay.seen.length < 12);
});

alone('silence for good: an end, and a word', async (t, place) => {
  const { bucket } = place;
  const file = fileOf(t, someBytes(100));
  const { env } = await behind(t, place, () => 'deaf');
  await inEnvironment(env, async () => {
    const store = new S3Store(bucket.url, { attempts: 3 }, 300);
    t.teardown(() => store.close());
    await t.rejects(store.put('key', file), /\/key: put: no answer \(TimeoutError\) \(3 tries\)$/);
    await t.rejects(store.read('key', 0, 5), /\/key: get: no answer \(TimeoutError\) \(3 tries\)$/);
  });
});

// --- answers that are errors

alone('bursts of errors, and a server that asks for time', async (t, place) => {
  const faults: Fate[] = [
    fault(500, 'InternalError'),
    fault(503, 'SlowDown'),
    { status: 503 },
    { status: 500, body: 'no XML' },
    { ...fault(503, 'SlowDown'), headers: { 'retry-after': '1' } },
  ];
  const { relay, env } = await behind(t, place, ({ nth, method, key }) =>
    nth < 4 ? faults[(key.charCodeAt(16) + nth + method.length) % faults.length]! : 'pass',
  );
  const packed = threeCans(t);
  const done = await upload(packed, place.bucket.url, env);
  exits(t, done, 0);
  t.match(stats(done), { out: 3, stored: 6 });
  t.match(messages(done), /: put: 503 SlowDown; trying again\n/);
  t.match(messages(done), /: put: 500 InternalError; trying again\n/);
  t.equal(relay.of('PUT').length, 30);
  await checkObjects(t, place.bucket, packed.cans);
});

alone('errors without end: key, cause and number of tries are told, and the other cans are sent', async (t, place) => {
  const packed = threeCans(t);
  const key = packed.cans[2]!.files[1].s3path;
  let broken = true;
  const { relay, env } = await behind(t, place, (seen) =>
    broken && seen.method === 'PUT' && seen.key === key ? fault(500, 'InternalError') : 'pass',
  );
  const done = await upload(packed, place.bucket.url, env, '--attempts 4');
  exits(t, done, 1);
  t.ok(messages(done).endsWith(`cannery upload: ${place.bucket.url}/${key}: put: 500 InternalError (4 tries)\n`));
  t.equal(relay.seen.filter((one) => one.method === 'PUT' && one.key === key).length, 4);
  t.same(inState(packed.cwd, 'ready'), [packed.cans[2]!.can]);
  t.equal(rows(done.out).length, 2, 'receipts of what was sent');
  broken = false;
  exits(t, await upload(packed, place.bucket.url, env), 0);
  await checkObjects(t, place.bucket, packed.cans);
});

alone('puts that succeed, and whose answers are lost', async (t, place) => {
  const { relay, env } = await behind(t, place, ({ method, nth }) =>
    nth === 0 && (method === 'PUT' || method === 'HEAD') ? 'lose' : 'pass',
  );
  const packed = threeCans(t);
  const done = await upload(packed, place.bucket.url, env);
  exits(t, done, 0);
  t.match(stats(done), { out: 3, same: 6 });
  t.ok(relay.of('PUT').every(({ nth, status }) => status === (nth === 0 ? 0 : 412)));
  t.equal(inState(packed.cwd, 'sent').length, 3);
  await checkObjects(t, place.bucket, packed.cans);
});

// --- answers that are wrong

test('a wrong checksum is answered: the object itself is asked', async (t, place) => {
  const { relay, env } = await behind(t, place, () => 'md5');
  const packed = threeCans(t);
  const done = await upload(packed, place.bucket.url, env);
  exits(t, done, 0);
  t.match(stats(done), { out: 3, stored: 6 });
  t.equal(relay.of('GET').length, 6, 'each was read back');
  await checkObjects(t, place.bucket, packed.cans);
});

t.test('a store that stores other bytes than it was given', async (t) => {
  const server = await FakeS3.make(t); // a real one proves what it is given by the signature
  const bucket = await Bucket.make(t, server);
  const packed = threeCans(t);
  const bad = packed.cans[1]!;
  const { env } = await behind(t, { server, bucket }, ({ method, key }) =>
    method === 'PUT' && key === bad.files[1].s3path ? 'spoil' : 'pass',
  );
  const done = await upload(packed, bucket.url, env, '--jobs 1');
  exits(t, done, 1);
  t.match(
    messages(done),
    new RegExp(`^cannery upload: ${bucket.url}/${bad.files[1].s3path}: the store holds other bytes than were put\n$`),
  );
  t.ok(inState(packed.cwd, 'ready').includes(bad.can), 'the can is not sent');
  const again = await upload(packed, bucket.url, env);
  exits(t, again, 3);
  t.same(inState(packed.cwd, 'held'), [bad.can], 'and is for a person to look at');
  t.same(inState(packed.cwd, 'sent').length, 2);
});

test('a get that is cut short, and says nothing of it', async (t, place) => {
  const { bucket } = place;
  const bytes = someBytes(5000);
  const file = fileOf(t, bytes);
  const { relay, env } = await behind(t, place, ({ method, nth }) =>
    method !== 'GET' ? 'etag' : nth < 2 ? 'short' : 'pass',
  );
  await inEnvironment(env, async () => {
    const said: string[] = [];
    const store = new S3Store(bucket.url, { attempts: 4, onRetry: (message) => said.push(message) });
    t.teardown(() => store.close());
    await bucket.put('there', bytes);
    t.equal(await store.put('there', file), 'same', 'half an answer does not make other bytes of it');
    t.equal(await store.put('key', file), 'stored');
    await bucket.put('third', bytes);
    t.ok((await store.read('third', 100, 4000)).equals(bytes.subarray(100, 4100)));
    const told = (key: string) => `${bucket.url}/${key}: get: the answer is cut short; trying again`;
    t.same(said, ['there', 'there', 'key', 'key', 'third', 'third'].map(told));
  });
  t.equal(relay.of('GET').length, 9);
});

test('a get that is always cut short: no bytes, an error that names the key', async (t, place) => {
  const packed = threeCans(t);
  const done = await upload(packed, place.bucket.url, place.bucket.env());
  shell('cannery index jsonl.sqlite', { cwd: packed.cwd, stdin: done.out });
  for (const [fate, cause] of [
    ['short', 'the answer is cut short'],
    ['cut', 'no answer \\(ECONNRESET\\)'],
  ] as const) {
    const { env } = await behind(t, place, () => fate);
    const got = await shellAsync(`cannery get --index jsonl.sqlite --attempts 3 ${packed.sent[0]!.uid}`, {
      cwd: packed.cwd,
      env,
    });
    t.same([got.code, got.out], [1, ''], fate);
    t.match(got.err, new RegExp(`^cannery get: s3:\\S+\\.jsonl\\.gz: get: ${cause} \\(3 tries\\)$`, 'm'));
  }
});

// --- credentials and clocks

test('credentials that expire in the middle', async (t, place) => {
  const { bucket } = place;
  const packed = threeCans(t);
  let left = 4;
  let valid = false;
  const { relay, env } = await behind(t, place, () => (valid || left-- > 0 ? 'pass' : fault(400, 'ExpiredToken')));
  const done = await upload(packed, bucket.url, env, '--jobs 1');
  exits(t, done, 1);
  t.match(
    messages(done),
    /^cannery upload: s3:\S+\.tar\.gz: put: access denied \(ExpiredToken\): new credentials are needed\n$/,
  );
  t.equal(relay.seen.length, 5, 'not asked again');
  t.equal(inState(packed.cwd, 'sent').length, 1);
  t.equal(inState(packed.cwd, 'ready').length, 2);
  valid = true;
  const again = await upload(packed, bucket.url, env);
  exits(t, again, 0);
  t.match(stats(again), { out: 3, stored: 4 });
  await checkObjects(t, bucket, packed.cans);

  const bytes = someBytes(10);
  await bucket.put('there', bytes);
  for (const [status, code] of [
    [400, 'ExpiredToken'],
    [403, 'ExpiredToken'],
    [403, 'InvalidToken'],
  ] as const) {
    const late = await behind(t, place, ({ method }) => (method === 'PUT' ? 'pass' : fault(status, code)));
    await inEnvironment(late.env, async () => {
      const store = new S3Store(bucket.url, { attempts: 3 });
      const cause = new RegExp(`there: (get|head): access denied \\(${code}\\)`);
      await t.rejects(store.put('there', fileOf(t, bytes)), cause, 'after the put');
      await t.rejects(store.size('there'), cause);
      await t.rejects(store.read('there', 0, 5), cause);
      store.close();
    });
  }
});

/** Makes the clock of a process run ahead. */
function clockAhead(seconds: number): string {
  const code = `const now = Date.now; globalThis.Date = class extends Date { constructor(...args) { args.length ? super(...args) : super(Date.now()) } static now() { return now() + ${seconds * 1000} } }`;
  return `--import=data:text/javascript,${encodeURIComponent(code)}`;
}

test('a clock that is wrong by hours', async (t, place) => {
  const packed = threeCans(t);
  const env = place.bucket.env({ NODE_OPTIONS: clockAhead(5 * 3600) });
  const done = await upload(packed, place.bucket.url, env);
  exits(t, done, 0);
  t.match(messages(done), /: put: 403 RequestTimeTooSkewed; trying again\n/);
  t.equal(inState(packed.cwd, 'sent').length, 3);
  await checkObjects(t, place.bucket, packed.cans);
  shell('cannery index jsonl.sqlite', { cwd: packed.cwd, stdin: done.out });
  const [{ uid, document }] = packed.sent as [Sent];
  const got = await shellAsync(`cannery get --index jsonl.sqlite --raw ${uid}`, { cwd: packed.cwd, env });
  t.same([got.code, got.out], [0, `${document}\n`], got.err);

  const { bytes, s3path } = packed.cans[0]!.files[0];
  await inEnvironment(place.bucket.env(), async () => {
    const store = new S3Store(place.bucket.url, { attempts: 3 });
    const { now } = Date;
    Date.now = () => now() - 5 * 3_600_000;
    try {
      t.equal(await store.size(s3path), bytes, 'where the first request is one to HEAD, and slow');
    } finally {
      Date.now = now;
      store.close();
    }
  });
});

alone('a clock that the server never agrees with', async (t, place) => {
  const packed = threeCans(t);
  const { env } = await behind(t, place, () => fault(403, 'RequestTimeTooSkewed'));
  const done = await upload(packed, place.bucket.url, env, '--attempts 3');
  exits(t, done, 1);
  t.match(messages(done), /^cannery upload: s3:\S+\.tar\.gz: put: 403 RequestTimeTooSkewed \(3 tries\)$/m);
  t.equal(inState(packed.cwd, 'ready').length, 3);
  t.same(await place.bucket.keys(), []);
});
