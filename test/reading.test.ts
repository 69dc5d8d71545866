// `cat`, `get` and `index --add` straight from buckets that anybody may read, and from what was fetched of them. On our own small
// S3, and on a real server where one runs.
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import { pack } from 'tar-stream';
import { folder, type Ran, rows, shellAsync, tree } from './lib.ts';
import { lz4Frame } from './lz4frames.ts';
import { asNobody, publicBucket, publicServer } from './publicbucket.ts';
import { fault } from './servers/fakes3.ts';
import { Bucket, type Env, exits, messages, Relay, runningServer, stats } from './servers/s3.ts';

const TIME = existsSync('/usr/bin/time');

const cans = () => new Map([...publicBucket()].filter(([key]) => key.endsWith('.jsonl.gz')));

const textOf = (objects: Iterable<Buffer>) => [...objects].map((bytes) => gunzipSync(bytes).toString()).join('');

const key = (n: number, cc = 'IT') =>
  `raw/20240202/${String(n).padStart(2, '0')}/${cc}/tor/20240202${String(n).padStart(2, '0')}_${cc}_tor.n1.0.jsonl.gz`;

/** A can of lines that do not compress. */
function can(n: number, lines: number, bytes: number): Buffer {
  const line = (k: number) =>
    JSON.stringify({
      report_id: `2024T_tor_IT_1_n1_r${n}`,
      input: `i${k}`,
      fill: randomBytes(bytes / 2).toString('hex'),
    });
  return gzipSync(`${Array.from({ length: lines }, (_, k) => line(k)).join('\n')}\n`, { level: 1 });
}

/** A postcan as others make it. */
async function tarOf(members: [name: string, text: string][]): Promise<Buffer> {
  const tar = pack();
  for (const [name, text] of members) tar.entry({ name }, text);
  tar.finalize();
  const pieces: Buffer[] = [];
  for await (const piece of tar) pieces.push(piece as Buffer);
  return gzipSync(Buffer.concat(pieces));
}

interface Place {
  cwd: string;
  env: Env;
  run(line: string, env?: Env): Promise<Ran>;
}

function place(t: Test, env: Env): Place {
  const cwd = folder(t);
  return { cwd, env, run: (line, own = env) => shellAsync(line, { cwd, env: own }) };
}

t.test('cat of objects by their address, and of the rows of ls and fetch: the same', async (t) => {
  const objects = cans();
  const fake = await publicServer(t, 'ooni', objects);
  const { cwd, run } = place(t, asNobody(fake));
  const some = [...objects].filter(([key]) => /^raw\/20240201\/.*\/IT\//.test(key));
  const all = textOf(some.map(([, bytes]) => bytes));
  for (const url of ['s3://ooni', `${fake.endpoint}/ooni`]) {
    const ran = await run(`cannery cat --raw ${some.map(([key]) => `${url}/${key}`).join(' ')}`);
    exits(t, ran, 0);
    t.equal(ran.err, '');
    t.equal(ran.out, all, url);
    const selection = '--cc IT --from 2024-02-01 --to 2024-02-02';
    const listed = await run(`cannery ls ${url} ${selection} | cannery cat --raw --stats`);
    t.equal(listed.out, all, `ls ${url}`);
    t.equal(stats(listed).bytes_in! > 1000, true);
    const fetched = await run(
      `cannery ls ${url} ${selection} | cannery fetch --to mirror-${url.length} | cannery cat --raw`,
    );
    t.equal(fetched.out, all, `fetch ${url}`);
  }
  const both = await run('cannery ls s3://ooni --cc IT --test ndt | cannery cat --raw | wc -l');
  t.equal(both.out, '39\n', 'of what is in both layouts, each measurement once');
  t.match(
    tree(cwd).filter((path) => !path.startsWith('mirror')),
    [],
    'nothing is written',
  );
});

t.test(
  'cat goes on where a connection broke, and tells of an object that changed, is gone, or is spoilt',
  async (t) => {
    const objects = new Map(Array.from({ length: 7 }, (_, n) => [key(n), can(n, 30, 20_000)]));
    const fake = await publicServer(t, 'ooni', objects);
    const [, changed, gone, spoilt, refused] = [...objects.keys()] as [string, string, string, string, string];
    fake.hold('ooni', spoilt, objects.get(spoilt)!, { etag: `"${'0'.repeat(32)}"` });
    fake.meanwhile = (method, key) => (method === 'GET' && key === refused ? fault(403, 'AccessDenied') : undefined);
    const relay = await Relay.make(t, fake.endpoint, ({ method, key, nth }) => {
      if (method !== 'GET' || !objects.has(key)) return 'pass';
      if (key === changed && nth === 1) fake.hold('ooni', key, can(9, 30, 20_000));
      return nth === 0 ? 'cut' : 'pass';
    });
    const { cwd, run } = place(t, asNobody(fake, relay.endpoint));
    fake.hold('ooni', gone, Buffer.from('x'));
    await run('cannery ls s3://ooni >list');
    fake.drop('ooni', gone);
    const ran = await run('cannery cat --raw --rejects rejects <list');
    exits(t, ran, 3);
    const told = messages(ran)
      .split('\n')
      .filter((line) => line !== '' && !line.includes('trying again'));
    t.match(told, [
      new RegExp(`^cannery cat: s3://ooni/${changed}: changed while it was read`),
      `cannery cat: s3://ooni/${gone}: not in the store`,
      new RegExp(`^cannery cat: s3://ooni/${spoilt}: the \\d+ bytes that came are not what the store tells`),
      new RegExp(`^cannery cat: s3://ooni/${refused}: get: access denied`),
    ]);
    t.equal(told.length, 4);
    const whole = [0, 5, 6].map((n) => objects.get(key(n))!);
    const lines = ran.out.split('\n');
    for (const line of textOf(whole).split('\n')) if (!lines.includes(line)) t.fail('a line is missing');
    const ofChanged = textOf([objects.get(changed)!]).split('\n');
    t.ok(lines.filter((line) => line !== '' && ofChanged.includes(line)).length < 30, 'not all of what changed');
    t.equal(new Set(lines).size, lines.length, 'nothing twice');
    const [, second] = relay.of('GET').filter((one) => one.key === key(0));
    t.match(second!.range, /^bytes=\d{5,}-$/, 'the rest is asked for alone');
    for (const [name, bytes] of objects) fake.hold('ooni', name, bytes);
    fake.meanwhile = () => undefined;
    const again = await run(`cannery cat --raw --format rejects rejects`);
    exits(t, again, 0);
    t.equal(
      again.out,
      textOf([changed, gone, spoilt, refused].map((name) => objects.get(name)!)),
      'rejects are read again',
    );
    t.same(tree(cwd).sort(), ['list', 'rejects']);
  },
);

t.test('what is no address of an object', async (t) => {
  const { run } = place(t, asNobody(await publicServer(t, 'ooni', cans())));
  const ran = await run(
    'cannery cat s3://ooni s3://ooni/raw/ ftp://a/b https://bad_server/x s3://ooni/../x s3://ooni/raw/none',
  );
  exits(t, ran, 3);
  t.equal(ran.out, '');
  t.match(messages(ran).split('\n'), [
    'cannery cat: s3://ooni: a bucket, and no object in it: ls lists what is there',
    'cannery cat: s3://ooni/raw/: a folder, and no object: ls lists what is there',
    'cannery cat: ftp://a/b: a store is s3://',
    /no server/,
    /no '\.'/,
    'cannery cat: s3://ooni/raw/none: not in the store',
  ]);
});

t.test('objects are asked for before their turn, and held back while nobody reads', async (t) => {
  const objects = new Map(Array.from({ length: 6 }, (_, n) => [key(n), can(n, 25, 400_000)]));
  const fake = await publicServer(t, 'ooni', objects);
  const underWay = new Set<string>();
  let most = 0;
  const relay = await Relay.make(t, fake.endpoint, ({ method, key }) => {
    if (method === 'GET' && objects.has(key)) {
      underWay.add(key);
      most = Math.max(most, underWay.size);
    }
    return 'pass';
  });
  const { run } = place(t, asNobody(fake, relay.endpoint));
  const slow = await run(
    'cannery cat --raw $(cannery ls s3://ooni | jq -r .file) | { sleep 2; head -c 1000 >/dev/null; }',
  );
  t.equal(slow.code, 0);
  t.ok(most > 1 && most <= 4, `${most} are under way while the first is read`);
  if (!TIME) return t.comment('no /usr/bin/time here: memory is not measured');
  const ran = await run(`cannery ls s3://ooni >list; /usr/bin/time -f '%M KB' cannery cat --raw <list | sha256sum`);
  const kilobytes = Number(/(\d+) KB/.exec(ran.err)?.[1]);
  t.ok(kilobytes < 150_000, `${kilobytes} KB for 60 MB of text`);
});

t.test('old containers of the bucket', async (t) => {
  const lines = Buffer.from('{"a":1}\n{"a":2}\n');
  const fake = await publicServer(
    t,
    'ooni',
    new Map([
      ['canned/2016-08-01/r.json.lz4', lz4Frame(lines, { block: 5 })],
      ['canned/2016-08-01/r.json.gz', gzipSync(lines)],
      ['canned/2016-08-01/README.txt', lines],
    ]),
  );
  const { run } = place(t, asNobody(fake));
  const ran = await run('cannery ls s3://ooni/canned/2016-08-01 --kind report | cannery cat');
  exits(t, ran, 0);
  const uid = (n: number) => rows<{ measurement_uid: string }>(ran.out)[n]!.measurement_uid;
  const row = (n: number) =>
    `{"measurement_uid":"${uid(n)}","bucket_date":"2016-08-01","report_filename":"2016-08-01/r.json","a":${(n % 2) + 1}}\n`;
  t.equal(ran.out, [0, 1, 2, 3].map(row).join(''));
});

t.test('an index of a bucket and of its mirror, and look-ups in both', async (t) => {
  const uid = (n: number, k: number) => `20240202${String(n).padStart(2, '0')}0000.00000${k}_IT_tor_0123456789abcdef`;
  const text = (n: number) => [0, 1, 2].map((k) => `{"report_id":"r${n}","input":"i${k}","n":${n * 10 + k}}`);
  const objects = new Map<string, Buffer>();
  for (const n of [0, 1, 2, 3]) {
    objects.set(key(n), gzipSync(`${text(n).join('\n')}\n`));
    // Others write the content anew; of the last there is no postcan.
    const posts = text(n).map((line, k): [string, string] => [
      `x/${uid(n, k)}.post`,
      JSON.stringify({ content: { test_keys: {}, ...JSON.parse(line) }, format: 'json' }),
    ]);
    if (n < 3) objects.set(key(n).replace('.jsonl.', '.tar.'), await tarOf(posts));
  }
  const legacy = 'jsonl/tor/IT/20160801/00/20160801_IT_tor.l.0.jsonl.gz';
  objects.set(legacy, gzipSync('{"measurement_start_time":"2016-08-01 10:00:00","report_id":"old","n":99}\n'));
  const fake = await publicServer(t, 'ooni', objects);
  const gets: string[] = [];
  fake.meanwhile = (method, key) => {
    if (method === 'GET' && key !== '') gets.push(key);
    return undefined;
  };
  const { run } = place(t, asNobody(fake));
  const old = (await run(`cannery cat s3://ooni/${legacy} | cut -d '"' -f 4`)).out.trim();
  t.match(old, /^0120160801[0-9a-f]{30}$/);
  const asked = [uid(2, 2), uid(0, 1), old, uid(2, 0), uid(0, 1), uid(1, 0), uid(2, 1)].join(' ');
  const answers = '22,1,99,20,1,10,21';
  const n = 'jq -r .n | paste -sd,';
  await run('cannery ls s3://ooni --kind can | cannery fetch --to mirror');
  for (const [name, spec] of [
    ['s3', 's3://ooni'],
    ['web', `${fake.endpoint}/ooni`],
    ['disk', 'mirror'],
    ['part', `${fake.endpoint}/ooni/raw/20240202`],
  ] as const) {
    gets.length = 0;
    const added = await run(`cannery index ${name}.sqlite --add ${spec} --stats`);
    exits(t, added, 0);
    t.equal(stats(added).added, name === 'part' ? 4 : 5, name);
    t.equal(gets.length, name === 'disk' ? 0 : name === 'part' ? 7 : 8, 'each file once');
    gets.length = 0;
    const again = await run(`cannery index ${name}.sqlite --add ${spec} --stats`);
    t.equal(stats(again).known, name === 'part' ? 4 : 5);
    t.equal(gets.length, 0, 'what is known is not read again');
    if (name === 'part') continue;
    const found = await run(`cannery get --index ${name}.sqlite ${asked} | ${n}`);
    t.equal(found.out, `${answers}\n`, 'in the order of the questions');
    t.equal(gets.length, name === 'disk' ? 0 : 4, 'a can is read once for all its lines');
    const byReport = await run(`cannery get --index ${name}.sqlite --store mirror --report-id r3 --input i1 --raw`);
    t.equal(byReport.out, `${text(3)[1]}\n`, 'and from a mirror');
  }
  const elsewhere = await run(`cannery get --index disk.sqlite --store ${fake.endpoint}/ooni ${uid(0, 0)} --raw`);
  t.equal(elsewhere.out, `${text(0)[0]}\n`, 'an index of the mirror, and the bucket itself');

  fake.meanwhile = (method, name) => (method === 'GET' && name === key(1) ? fault(403, 'AccessDenied') : undefined);
  const late = key(7);
  fake.hold('ooni', late, gzipSync('{"report_id":"late"}\n'));
  const some = await run('cannery ls s3://ooni --test tor | cannery index some.sqlite --add - --stats');
  exits(t, some, 3);
  t.match(messages(some), `cannery index: s3://ooni/${key(1)}: `);
  t.equal(stats(some).added, 5, 'one costs itself');
  fake.meanwhile = () => undefined;
  t.equal(
    stats(await run('cannery index some.sqlite --add s3://ooni --stats')).added,
    1,
    'and comes in with the next run',
  );
});

t.test('an index of a large mirror takes little memory', async (t) => {
  const { cwd, run } = place(t, {});
  const lines = (n: number) =>
    Array.from({ length: 150_000 }, (_, k) => `{"report_id":"r${n}","input":"i${k}"}\n`).join('');
  for (const n of [0, 1]) {
    mkdirSync(join(cwd, 'mirror', dirname(key(n))), { recursive: true });
    writeFileSync(join(cwd, 'mirror', key(n)), gzipSync(lines(n)));
  }
  if (!TIME) return t.comment('no /usr/bin/time here: memory is not measured');
  const ran = await run("/usr/bin/time -f '%M KB' cannery index m.sqlite --add mirror --stats");
  const kilobytes = Number(/(\d+) KB/.exec(ran.err)?.[1]);
  t.ok(kilobytes < 190_000, `${kilobytes} KB for ${stats(ran).lines} lines`);
});

const real = runningServer();
t.test('a real server', { skip: real ? false : 'no S3 server is running (make servers starts one)' }, async (t) => {
  const bucket = await Bucket.make(t, real!);
  const objects = new Map(Array.from({ length: 4 }, (_, n) => [key(n), can(n, 20, 300_000)]));
  for (const [name, bytes] of objects) await bucket.put(name, bytes);
  const changing = key(2);
  const relay = await Relay.make(t, real!.endpoint, async ({ method, key, nth }) => {
    if (method !== 'GET' || !objects.has(key)) return 'pass';
    if (key === changing && nth === 1) await bucket.put(key, can(9, 20, 300_000));
    return nth === 0 ? 'cut' : 'pass';
  });
  const { run } = place(t, bucket.env({ AWS_ENDPOINT_URL_S3: relay.endpoint }));
  const ran = await run(`cannery ls ${bucket.url} | cannery cat --raw`);
  exits(t, ran, 3);
  t.match(messages(ran), `${bucket.url}/${changing}: changed while it was read`);
  const lines = new Set(ran.out.split('\n'));
  for (const n of [0, 1, 3])
    for (const line of textOf([objects.get(key(n))!]).split('\n')) if (!lines.has(line)) t.fail(`${n}`);
  const added = await run(`cannery index m.sqlite --add ${bucket.url} --stats`);
  exits(t, added, 0);
  t.equal(stats(added).added, 4);
  const found = await run('cannery get --index m.sqlite --report-id 2024T_tor_IT_1_n1_r3 --raw');
  t.equal(found.out, textOf([objects.get(key(3))!]));
});
