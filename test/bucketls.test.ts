// `ls` of a bucket of S3: of one like the public one, without credentials, on our own small S3, and on a real server where
// one runs.
import t, { type Test } from 'tap';
import { S3Store } from '../src/edge/store-s3.ts';
import { rows, shellAsync } from './lib.ts';
import { asNobody, NOBODY, publicBucket, publicServer, TESTS } from './publicbucket.ts';
import { type FakeS3, fault } from './servers/fakes3.ts';
import {
  Bucket,
  type Env,
  environmentFor,
  exits,
  inEnvironment,
  messages,
  Relay,
  runningServer,
  stats,
} from './servers/s3.ts';

interface Row {
  file: string;
  bytes: number;
  s3path: string;
  etag: string;
  kind: string;
}

async function server(t: Test): Promise<{ fake: FakeS3; env: Env; objects: Map<string, Buffer> }> {
  const objects = publicBucket();
  const fake = await publicServer(t, 'ooni', objects);
  return { fake, env: asNobody(fake), objects };
}

const ls = (options: string, env: Env) => shellAsync(`cannery ls --stats ${options}`, { env });
const keysOf = (out: string) => rows<Row>(out).map(({ s3path }) => s3path);

t.test('without credentials and region, by both kinds of address', async (t) => {
  const { fake, env, objects } = await server(t);
  const lines = [...objects.keys()].filter((key) => key.endsWith('.jsonl.gz'));
  for (const place of ['s3://ooni', `${fake.endpoint}/ooni/`]) {
    const all = await ls(place, env);
    exits(t, all, 0);
    t.same(keysOf(all.out), lines, `${place}: every can's lines, in order`);
    t.equal(messages(all), '', 'quiet');
    t.equal(stats(all).list_calls, 2);
    const [first] = rows<Row>(all.out);
    t.match(first, {
      file: `${place.replace(/\/$/, '')}/${lines[0]}`,
      bytes: objects.get(lines[0]!)!.length,
      kind: 'jsonl',
      day: '20201019',
    });
    t.match(first!.etag, /^[0-9a-f]{32}$/);
  }
  const whole = await ls('s3://ooni --kind all', env);
  t.same(
    keysOf(whole.out),
    [...objects.keys()].filter((key) => key !== 'README.txt'),
    'everything',
  );
  t.match(messages(whole), /1 that are none of ours/);
});

t.test('filters go into the prefixes', async (t) => {
  const { fake, env, objects } = await server(t);
  const day = '--from 2024-02-01 --to 2024-02-02';
  for (const name of ['web_connectivity', 'webconnectivity']) {
    fake.listed.length = 0;
    const one = await ls(`s3://ooni --cc it --test ${name} ${day}`, env);
    t.same(
      keysOf(one.out),
      [...objects.keys()].filter((key) => /^raw\/20240201\/..\/IT\/webc.*jsonl/.test(key)),
      name,
    );
    t.equal(stats(one).list_calls, 26);
    t.equal(fake.listed.length, 26, 'what is said is what was asked');
    t.same([...fake.listed].sort().slice(0, 4), [
      'jsonl/webconnectivity/IT/20240201',
      'raw/20240201',
      'raw/20240201/00/IT/webconnectivity/',
      'raw/20240201/01/IT/webconnectivity/',
    ]);
  }
  const both = await ls('s3://ooni --cc IT --test ndt --from 2020-10-20 --to 2020-10-22', env);
  const keys = keysOf(both.out);
  t.equal(keys.length, 2 + 6, 'of 20 and 21 October 2020 both layouts');
  t.equal(new Set(keys).size, keys.length);
  const hours = await ls('s3://ooni --kind postcan --from 2024-02-01T11 --to 2024-02-01T23', env);
  t.same(
    keysOf(hours.out),
    [...objects.keys()].filter((key) => /^raw\/20240201\/11.*tar/.test(key)),
  );
  const measured = await ls('s3://ooni --cc DE --test tor --measured-from 2024-02-01T12', env);
  t.same(
    keysOf(measured.out).map((key) => key.slice(0, 15)),
    ['raw/20240201/23'],
    'nothing is measured after it came',
  );
  const under = await ls('s3://ooni/raw/20240201/11/IR', env);
  t.equal(keysOf(under.out).length, 4, 'a folder of a layout');
  t.match(rows<Row>(under.out)[0], { s3path: /^raw\/20240201\/11\/IR\/ndt/, file: /^s3:\/\/ooni\/raw\/2024/ });
  t.equal(stats(under).list_calls, 1);
  const file = await ls(`s3://ooni/${keysOf(under.out)[0]}`, env);
  t.same(keysOf(file.out), keysOf(under.out).slice(0, 1), 'one file');
});

t.test('pages, folders over pages, and a prefix before the layouts', async (t) => {
  const { fake, env, objects } = await server(t);
  for (const [key, bytes] of objects) fake.hold('deep', `a/b/${key}`, bytes);
  fake.pageSize = 3;
  for (const filter of ['', '--cc IT', '--from 2020-10-20 --to 2020-10-22', '--test tor --kind can']) {
    const wanted = await ls(`s3://ooni ${filter}`, env);
    exits(t, wanted, 0);
    t.ok(keysOf(wanted.out).length > 20 && stats(wanted).list_calls! > 8, `${stats(wanted).list_calls} calls`);
    t.same(keysOf((await ls(`s3://deep/a/b ${filter}`, env)).out), keysOf(wanted.out), filter);
  }
});

t.test('a summary, before anything is fetched', async (t) => {
  const { env, objects } = await server(t);
  const { out } = await ls('s3://ooni --summary --cc IT,DE --from 2024-02-01', env);
  const bytes = (cc: string, test: string) =>
    [...objects]
      .filter(([key]) => new RegExp(`^raw/20240201/../${cc}/${test}/.*jsonl`).test(key))
      .map(([, { length }]) => length);
  const sum = (of: number[]) => of.reduce((a, b) => a + b, 0);
  const [head, ...table] = out
    .trimEnd()
    .split('\n')
    .map((line) => line.split(/ +/));
  t.same(head, ['day', 'cc', 'test', 'files', 'bytes']);
  const groups = ['DE', 'IT'].flatMap((cc) =>
    TESTS.map((test) => ['2024-02-01', cc, test, '3', String(sum(bytes(cc, test)))]),
  );
  t.same(table, [...groups, ['total', '24', String(sum(groups.map((group) => Number(group[4]))))]]);
});

t.test('names that nobody knows', async (t) => {
  const { fake, env } = await server(t);
  const said = async (options: string, code: number) => {
    const ran = await ls(`s3://ooni ${options}`, env);
    exits(t, ran, code);
    return messages(ran);
  };
  t.match(await said('--cc UK', 2), /no country 'UK' is known; near: GB \(United Kingdom\)/);
  t.match(await said('--cc italy', 2), /two letters, not 'italy'; near: IT \(Italy\)/);
  t.match(await said('--test webconectivity', 2), /no test 'webconectivity' is known; near: web_connectivity/);
  t.equal(fake.listed.length, 0, 'nothing was asked of the server');
  t.equal(await said('--cc UK --test webconectivity --any-name', 0), '');
});

t.test('a region that is not known is told by the server, and nothing is said of it', async (t) => {
  const hosts: string[] = [];
  /** Amazon's servers, as far as they say where a bucket is. */
  class Amazon extends S3Store {
    protected override connect() {
      const client = super.connect();
      client.middlewareStack.add(
        () =>
          async ({ request }) => {
            const { hostname, headers } = request as { hostname: string; headers: Record<string, string> };
            hosts.push(`${hostname} ${headers.authorization ? 'signed' : 'unsigned'}`);
            if (hostname === 's3.eu-central-1.amazonaws.com')
              return { response: {}, output: { $metadata: {}, Contents: [] } };
            const $response = { headers: { 'x-amz-bucket-region': 'eu-central-1' } };
            throw Object.assign(new Error(), {
              name: 'PermanentRedirect',
              $metadata: { httpStatusCode: 301 },
              $response,
            });
          },
        { step: 'finalizeRequest', priority: 'low' },
      );
      return client;
    }
  }
  const nobody = {
    ...environmentFor({ endpoint: '', accessKey: '', secretKey: '' }),
    ...NOBODY,
    AWS_ENDPOINT_URL_S3: undefined,
  };
  await inEnvironment({ ...nobody, AWS_EC2_METADATA_DISABLED: 'true' }, async () => {
    const retries: string[] = [];
    const options = { attempts: 3, onRetry: (message: string) => retries.push(message) };
    for (const [url, anonymous] of [
      ['s3://ooni', 'fallback'],
      ['https://ooni.s3.amazonaws.com', 'always'],
    ] as const) {
      hosts.length = 0;
      const store = new Amazon(url, { ...options, anonymous });
      await Promise.all([
        store.page({ prefix: '', after: '' }, false),
        store.page({ prefix: 'raw/', after: '' }, false),
      ]);
      store.close();
      t.ok(hosts.includes('s3.us-east-1.amazonaws.com unsigned'), url);
      t.equal(hosts.at(-1), 's3.eu-central-1.amazonaws.com unsigned');
    }
    t.same(retries, []);
    const own = new Amazon('https://ooni.s3.eu-central-1.amazonaws.com', { ...options, anonymous: 'always' });
    hosts.length = 0;
    await own.page({ prefix: '', after: '' }, false);
    t.same(hosts, ['s3.eu-central-1.amazonaws.com unsigned'], 'an address that tells the region');
  });
});

t.test('a server that is busy, a bucket that is not there, one that is closed', async (t) => {
  const { fake, env, objects } = await server(t);
  let busy = 5;
  fake.meanwhile = () => (busy-- > 0 ? fault(503, 'SlowDown') : undefined);
  const ran = await ls('s3://ooni --kind jsonl', env);
  exits(t, ran, 0);
  t.equal(keysOf(ran.out).length, [...objects.keys()].filter((key) => key.endsWith('.jsonl.gz')).length);
  t.match(messages(ran), /503 SlowDown; trying again/);
  fake.meanwhile = () => undefined;
  const gone = await ls('s3://nowhere', env);
  exits(t, gone, 1);
  t.match(messages(gone), /no such bucket/);
  fake.isPublic = false;
  const closed = await ls('s3://ooni', env);
  exits(t, closed, 1);
  t.match(messages(closed), /access denied/);
  exits(t, await ls('s3://ooni', environmentFor(fake)), 0);
  exits(t, await ls('s3://ooni --anonymous', environmentFor(fake)), 1);
});

const real = runningServer();
t.test('a real server', { skip: real ? false : 'no S3 server is running (make servers starts one)' }, async (t) => {
  const bucket = await Bucket.make(t, real!);
  const objects = [...publicBucket()].filter(([key]) => /IT|US/.test(key));
  for (let n = 0; n < objects.length; n += 16)
    await Promise.all(objects.slice(n, n + 16).map(([key, bytes]) => bucket.put(key, bytes)));
  const all = await ls(`${bucket.url} --kind can`, bucket.env());
  t.same(
    keysOf(all.out),
    objects.map(([key]) => key),
  );
  const one = await ls(`${bucket.url} --cc IT --test ndt --from 2020-10-20 --to 2020-10-22`, bucket.env());
  t.same(
    keysOf(one.out),
    objects
      .map(([key]) => key)
      .filter((key) => /2020102[01].*IT.*ndt.*jsonl/.test(key) || /ndt\/IT\/2020102[01]/.test(key)),
  );
  t.equal(stats(one).list_calls, 1 + 1 + 48);
  const relay = await Relay.make(t, real!.endpoint, ({ nth }) => (nth === 0 ? 'cut' : 'pass'));
  const cut = await ls(`${bucket.url} --kind can`, bucket.env({ AWS_ENDPOINT_URL_S3: relay.endpoint }));
  t.same(keysOf(cut.out), keysOf(all.out), 'an answer that is cut is asked for again');
});
