// Two runs at once: on one spool, on one outgoing folder, into one store; by plan, by a slow network and by mistake.
import { type ChildProcess, spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';
import Database from 'better-sqlite3';
import t, { type Test } from 'tap';
import { CANNERY, folder, PIPELINE, putPost, rows, shell, shellAsync, tree } from './lib.ts';
import { FakeS3 } from './servers/fakes3.ts';
import {
  Bucket,
  type Can,
  checkObjects,
  exits,
  type Fate,
  inState,
  keysOf,
  makeCans,
  messages,
  Relay,
  send,
  sha256,
  stats,
  upload,
} from './servers/s3.ts';

const NO_PROC = process.platform !== 'linux' && 'whether a process waits is read from /proc';
const POSTCAN = 'cannery postcan --spool incoming/ --to outgoing/ --host n0';

/** A program that holds its locks until its standard input ends. */
function start(
  t: Test,
  cwd: string,
  line: string,
): { child: ChildProcess; err: () => string; end: Promise<number | null> } {
  const [, ...args] = line.split(' ');
  const child = spawn(process.execPath, [CANNERY, ...args], { cwd, env: { ...process.env, NODE_OPTIONS: '' } });
  t.teardown(() => child.kill('SIGKILL'));
  let err = '';
  child.stderr.on('data', (piece) => (err += piece));
  return { child, err: () => err, end: new Promise((done) => child.on('close', done)) };
}

async function until(what: () => unknown): Promise<void> {
  // Once seen is enough: what is waited for may be over at the next look.
  for (let n = 0; n < 2000; n++, await sleep(10)) if (what()) return;
  throw new Error(`waited in vain for ${what}`);
}

/** A packer that has begun (its folder is dedicated, so it has its locks) and waits for rows. */
async function packer(t: Test, cwd: string) {
  const one = start(t, cwd, POSTCAN);
  await until(() => existsSync(join(cwd, 'outgoing/outgoing.json')));
  return one;
}

function put(cwd: string, n: number, hour = 10): string {
  const time = `20240201${hour}0000.${String(n).padStart(6, '0')}`;
  return putPost(join(cwd, 'incoming'), `{"format":"json","content":{"n":${n}}}`, { time });
}

function posts(cwd: string): string[] {
  return tree(join(cwd, 'incoming')).filter((path) => path.endsWith('.post'));
}

/** `n` of each line of each can, in the order of the store. */
function linesIn(store: string): number[] {
  return tree(store)
    .filter((path) => path.endsWith('.jsonl.gz'))
    .flatMap((path) => rows<{ n: number }>(gunzipSync(readFileSync(join(store, path))).toString()))
    .map(({ n }) => n)
    .sort((a, b) => a - b);
}

function uidsIn(index: string): string[] {
  const db = new Database(index, { readonly: true });
  const uids = db.prepare('SELECT measurement_uid FROM jsonl ORDER BY 1').pluck().all() as string[];
  db.close();
  return uids;
}

// --- one spool

t.test('two pipelines on one spool: the second leaves at once, or when it has waited, with a word', async (t) => {
  const cwd = folder(t);
  for (let n = 0; n < 5; n++) put(cwd, n);
  const first = await packer(t, cwd);
  const before = performance.now();
  const second = await shellAsync(PIPELINE, { cwd });
  t.ok(performance.now() - before < 8000);
  const word = (path: string) =>
    `cannery postcan: ${cwd}/${path}: another postcan is at work here (--wait SECONDS waits for it)\n`;
  t.same(second, { code: 1, out: '', err: word('outgoing') });
  const waited = performance.now();
  const third = await shellAsync(PIPELINE.replace('--host n0', '--host n0 --wait 2'), { cwd });
  t.same(third, { code: 1, out: '', err: word('outgoing') });
  t.ok(performance.now() - waited >= 2000);
  const other = await shellAsync(PIPELINE.replaceAll('outgoing/', 'elsewhere/'), { cwd });
  t.same(
    other,
    { code: 1, out: '', err: word('incoming') },
    'another outgoing folder empties no spool that is in work',
  );
  t.equal(posts(cwd).length, 5, 'nothing was touched');
  first.child.stdin!.end();
  t.same([await first.end, first.err()], [0, '']);
  t.equal(shell(PIPELINE, { cwd }).code, 0);
  t.same(linesIn(join(cwd, 'store')), [0, 1, 2, 3, 4]);
});

t.test('the second waits: what the first has packed is no loss', { skip: NO_PROC }, async (t) => {
  const cwd = folder(t);
  for (let n = 0; n < 5; n++) put(cwd, n);
  const listed = posts(cwd).map((path) => `${JSON.stringify({ file: `incoming/${path}` })}\n`);
  const first = await packer(t, cwd);
  const second = start(t, cwd, `${POSTCAN} --wait 60 --stats`);
  second.child.stdin!.end(listed.join(''));
  const { pid } = second.child;
  const opened = (fd: string) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`).endsWith('.packer-lock');
    } catch {
      return false; // closed since it was listed
    }
  };
  await until(() => readdirSync(`/proc/${pid}/fd`).some(opened));
  await sleep(100); // the first look is over, and it waits
  first.child.stdin!.end(listed.join(''));
  t.equal(await first.end, 0);
  t.equal(await second.end, 0);
  t.match(
    second.err(),
    /^cannery postcan: 5 posts are gone since they were listed, while another postcan was at work here\n\{"stage":"postcan".*"skipped":5.*\n$/,
  );
  t.equal(shell(PIPELINE, { cwd }).code, 0);
  t.same(linesIn(join(cwd, 'store')), [0, 1, 2, 3, 4]);
  t.equal(uidsIn(join(cwd, 'jsonl.sqlite')).length, 5);
});

t.test('many pipelines at once', async (t) => {
  const cwd = folder(t);
  for (let n = 0; n < 60; n++) put(cwd, n, 10 + (n % 4));
  const uids = posts(cwd).map((path) => path.slice(path.indexOf('/') + 1, -'.post'.length));
  const line = PIPELINE.replace('--host n0', '--host n0 --wait 60');
  const all = await Promise.all([0, 1, 2].map(() => shellAsync(line, { cwd })));
  for (const { code, err } of all) t.ok(code === 0 || /vanished/.test(err), err);
  t.equal(shell(PIPELINE, { cwd }).code, 0, 'one more finishes what they passed over');
  t.same(
    linesIn(join(cwd, 'store')),
    Array.from({ length: 60 }, (_, n) => n),
  );
  t.same(uidsIn(join(cwd, 'jsonl.sqlite')), uids.sort());
  t.same(
    [inState(cwd, 'ready'), inState(cwd, 'sent'), inState(cwd, 'indexed'), inState(cwd, 'held')],
    [[], [], [], []],
  );
});

// --- the dead

t.test('a packer that is dead holds no lock, whoever has its number now', async (t) => {
  const cwd = folder(t);
  for (let n = 0; n < 3; n++) put(cwd, n);
  const first = await packer(t, cwd);
  first.child.kill('SIGSTOP');
  const stopped = await shellAsync(`cannery ls incoming/ | ${POSTCAN}`, { cwd });
  t.match(stopped, { code: 1, err: /another postcan is at work here/ }, 'one that sleeps is not dead');
  first.child.kill('SIGKILL');
  await first.end;
  const locks = [join(cwd, 'outgoing/.packer-lock'), join(cwd, '.incoming.cannery-lock')];
  // Nothing in a lock tells of a process, so none can be taken for its holder.
  for (const lock of locks) t.equal(statSync(lock).size, 0);
  const { code, err } = shell(PIPELINE, { cwd });
  t.same([code, err], [0, '']);
  t.same(linesIn(join(cwd, 'store')), [0, 1, 2]);
});

t.test('an upload that is dead holds no can', async (t) => {
  const server = await FakeS3.make(t);
  const bucket = await Bucket.make(t, server);
  const slow = await Relay.make(t, server.endpoint, () => 'deaf');
  const packed = makeCans(t, 3);
  const first = spawn(process.execPath, [CANNERY, 'upload', bucket.url], {
    cwd: packed.cwd,
    env: {
      ...process.env,
      ...bucket.env({ AWS_ENDPOINT_URL_S3: slow.endpoint }),
      NODE_OPTIONS: '',
    } as NodeJS.ProcessEnv,
  });
  first.stdin.end(packed.text);
  await until(() => slow.seen.length === 3);
  const busy = await upload(packed, bucket.url, bucket.env());
  exits(t, busy, 0);
  t.same(rows(busy.out), [], 'all cans are in work');
  t.equal(messages(busy).match(/another process is at it, passed over/g)?.length, 3);
  first.kill('SIGKILL');
  await new Promise((done) => first.on('close', done));
  const again = await upload(packed, bucket.url, bucket.env());
  exits(t, again, 0);
  t.match(stats(again), { out: 3, stored: 6 });
  await checkObjects(t, bucket, packed.cans);
});

t.test('what a dead upload left in a folder store stands in nobody’s way', async (t) => {
  const packed = makeCans(t, 2);
  const keys = keysOf(packed);
  const left = (key: string, pid: number, days: number) => {
    const path = join(packed.cwd, 'store', dirname(key), `.${key.split('/').at(-1)}.${hostname()}.${pid}.0123abcd.tmp`);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, 'half of it');
    const time = Date.now() / 1000 - days * 86_400;
    utimesSync(path, time, time);
    return path;
  };
  const dead = left(keys[0]!, 2 ** 22 + 1, 0); // above the largest number of a process
  const reused = left(keys[1]!, process.pid, 2);
  const living = left(keys[2]!, process.pid, 0);
  exits(t, await upload(packed, 'store', {}), 0);
  t.notOk(existsSync(dead), 'of a dead process');
  t.notOk(existsSync(reused), 'of a dead process whose number was given to another');
  t.ok(existsSync(living), 'of one that may be at work');
  t.same(
    tree(join(packed.cwd, 'store')).filter((path) => !path.endsWith('.tmp')),
    keys,
  );
});

// --- one store

for (const kind of ['folder', 'S3']) {
  /** Two machines' folders and their store. */
  const place = async (t: Test) => {
    const [one, other] = [folder(t), folder(t)];
    if (kind === 'folder') return { one, other, store: join(one, 'store'), env: {}, bucket: undefined };
    const server = await FakeS3.make(t);
    const bucket = await Bucket.make(t, server);
    return { one, other, store: bucket.url, env: bucket.env(), bucket };
  };
  const objectsIn = async ({ store, bucket }: Awaited<ReturnType<typeof place>>) => {
    const keys = bucket ? await bucket.keys() : tree(store);
    const read = async (key: string) => (bucket ? bucket.get(key) : readFileSync(join(store, key)));
    return new Map(await Promise.all(keys.map(async (key) => [key, await read(key)] as const)));
  };

  t.test(`two hosts, two ids, one store: ${kind}`, async (t) => {
    const here = await place(t);
    const sent = [here.one, here.other].map((cwd, host) => [0, 1, 2].map((n) => send(cwd, n + host, { cc: 'IT' })));
    const run = (cwd: string, host: string) =>
      shellAsync(PIPELINE.replace('n0', host).replace('upload store', `upload ${here.store}`), { cwd, env: here.env });
    const done = await Promise.all([run(here.one, 'n0'), run(here.other, 'n1')]);
    t.same(
      done.map(({ code, err }) => [code, err]),
      [
        [0, ''],
        [0, ''],
      ],
    );
    const keys = ['n0', 'n1'].flatMap((host) =>
      ['jsonl', 'tar'].map(
        (half) => `raw/20240201/10/IT/webconnectivity/2024020110_IT_webconnectivity.${host}.0.${half}.gz`,
      ),
    );
    t.same([...(await objectsIn(here)).keys()].sort(), keys);
    shell(`cannery index all.sqlite --merge jsonl.sqlite,${here.other}/jsonl.sqlite`, { cwd: here.one });
    for (const [host, cwd] of [here.one, here.other].entries()) {
      const wanted = sent[host]!;
      const uids = wanted.map(({ uid }) => `${uid}\n`).join('');
      for (const index of [join(cwd, 'jsonl.sqlite'), join(here.one, 'all.sqlite')]) {
        const got = await shellAsync(`cannery get --raw --index ${index}`, { stdin: uids, env: here.env });
        t.same([got.code, got.out], [0, wanted.map(({ document }) => `${document}\n`).join('')], got.err);
      }
    }
  });

  t.test(`two hosts with one id by mistake: ${kind}`, async (t) => {
    const here = await place(t);
    for (const [who, cwd] of [here.one, here.other].entries()) {
      for (let n = 0; n < 4; n++) send(cwd, n, { cc: `A${'ABCD'[n]}`, more: `,"who":${who}` });
    }
    const spool = new Map([here.one, here.other].flatMap((cwd) => posts(cwd).map((path) => [join(cwd, path), 1])));
    t.equal(spool.size, 8);
    const line = PIPELINE.replace('upload store', `upload ${here.store}`);
    const done = await Promise.all([here.one, here.other].map((cwd) => shellAsync(line, { cwd, env: here.env })));
    const held = [here.one, here.other].map((cwd) => inState(cwd, 'held')) as [string[], string[]];
    t.same(
      [...held[0], ...held[1]].sort(),
      ['AA', 'AB', 'AC', 'AD'].map((cc) => `2024020110_${cc}_webconnectivity.n0.0`),
      'each name has one who won it and one who holds',
    );
    const objects = await objectsIn(here);
    t.equal(objects.size, 8);
    for (const [who, cwd] of [here.one, here.other].entries()) {
      t.equal(done[who]!.code, held[who]!.length > 0 ? 3 : 0);
      const sent = rows<Can>(done[who]!.out);
      t.equal(sent.length + held[who]!.length, 4);
      for (const { files } of sent)
        for (const { s3path, sha256: digest } of files) t.equal(sha256(objects.get(s3path)!), digest, 'the winner’s');
      for (const can of held[who]!) {
        t.match(done[who]!.err, `${can}.tar.gz: the store has other bytes under this key; the can is held in ${cwd}`);
        const dir = join(cwd, 'outgoing/held', can);
        t.ok(readdirSync(dir).includes(`${can}.tar.gz`), 'the loser has his own still');
      }
      t.equal(uidsIn(join(cwd, 'jsonl.sqlite')).length, sent.length, 'and indexes what he has sent');
    }
    const again = await Promise.all([here.one, here.other].map((cwd) => shellAsync(line, { cwd, env: here.env })));
    t.same(
      again.map(({ code }) => code),
      held.map((cans) => (cans.length > 0 ? 3 : 0)),
      'told until a person has looked',
    );
    t.same(await objectsIn(here), objects, 'nothing is overwritten');
  });
}

// --- one outgoing folder

t.test('a second run while the first still uploads', async (t) => {
  const server = await FakeS3.make(t);
  const bucket = await Bucket.make(t, server);
  const cwd = folder(t);
  const sent = Array.from({ length: 6 }, (_, n) => send(cwd, n, { cc: `A${'ABCDEF'[n]}` }));
  let slow = true;
  const relay = await Relay.make(t, server.endpoint, async ({ method }): Promise<Fate> => {
    if (method === 'PUT') for (let n = 0; slow && n < 3000; n++) await sleep(10);
    return 'pass';
  });
  const line = PIPELINE.replace('upload store', `upload --jobs 4 ${bucket.url}`);
  const env = bucket.env({ AWS_ENDPOINT_URL_S3: relay.endpoint });
  const first = shellAsync(line, { cwd, env });
  await until(() => relay.of('PUT').length === 4); // and two of the cans wait
  const late = send(cwd, 7, { cc: 'AA' }); // the same hour, country and test
  sent.push(late);
  const second = shellAsync(line, { cwd, env });
  await until(() => relay.of('PUT').length >= 6);
  slow = false;
  const done = await Promise.all([first, second]);
  for (const { code, err } of done) t.equal(code, 0, err);
  t.match(
    done[1]!.err,
    /^cannery upload: 2024020110_AA_webconnectivity\.n0\.0: another process is at it, passed over$/m,
  );
  const all = `${done[0]!.err}${done[1]!.err}`.split('\n').filter(Boolean);
  t.same(
    all.filter((one) => !/: (another process is at it, passed over|cleared meanwhile)$/.test(one)),
    [],
    'and nothing else is said',
  );
  const third = await shellAsync(line, { cwd, env });
  t.same([third.code, third.err], [0, ''], 'one more run finds all done, or finishes it');
  const puts = relay.of('PUT').map(({ key }) => key);
  t.equal(new Set(puts).size, 14);
  t.equal(puts.length, 14, 'each key was put once');
  t.same(
    (await bucket.keys()).filter((key) => key.includes('/AA/')).map((key) => key.slice(key.lastIndexOf('/') + 1)),
    ['0.jsonl', '0.tar', '1.jsonl', '1.tar'].map((end) => `2024020110_AA_webconnectivity.n0.${end}.gz`),
  );
  t.same(uidsIn(join(cwd, 'jsonl.sqlite')), sent.map(({ uid }) => uid).sort());
  t.same(
    tree(join(cwd, 'outgoing')).filter((path) => path.endsWith('.gz')),
    [],
  );
  const got = await shellAsync('cannery get --index jsonl.sqlite --raw', {
    cwd,
    env,
    stdin: sent.map(({ uid }) => `${uid}\n`).join(''),
  });
  t.same([got.code, got.out], [0, sent.map(({ document }) => `${document}\n`).join('')]);
});

t.test('two who index and clear the same cans', async (t) => {
  const cwd = folder(t);
  for (let n = 0; n < 12; n++) put(cwd, n, 10 + n);
  shell(`cannery ls incoming/ | ${POSTCAN} | cannery upload store > rows`, { cwd });
  const line = 'cannery index jsonl.sqlite < rows | cannery clear';
  const done = await Promise.all([0, 1, 2].map(() => shellAsync(line, { cwd })));
  for (const { code, err } of done) {
    t.equal(code, 0, err);
    t.notMatch(err.replaceAll(/: (another process is at it, passed over|cleared meanwhile)\n/g, ''), '\n');
  }
  t.equal(shell(line, { cwd }).code, 0);
  t.equal(uidsIn(join(cwd, 'jsonl.sqlite')).length, 12);
  t.same(
    tree(join(cwd, 'outgoing')).filter((path) => path.endsWith('.gz')),
    [],
  );
});

t.test('a trial on production’s outgoing folder', async (t) => {
  const [production, trial] = [await FakeS3.make(t), await FakeS3.make(t)];
  const bucket = await Bucket.make(t, production);
  const packed = makeCans(t, 1);
  exits(t, await upload(packed, bucket.url, bucket.env()), 0);
  send(packed.cwd, 5);
  shell(`cannery ls incoming/ | ${POSTCAN} > more`, { cwd: packed.cwd });
  const text = readFileSync(join(packed.cwd, 'more'), 'utf8');
  const state = () =>
    tree(join(packed.cwd, 'outgoing')).map((path) => [path, sha256(readFileSync(join(packed.cwd, 'outgoing', path)))]);
  const before = state();
  const elsewhere = await Bucket.make(t, trial);
  const cases: [string, string, ReturnType<Bucket['env']>][] = [
    ['a folder', 'trial', {}],
    ['another bucket', elsewhere.url, elsewhere.env()],
    ['another folder of the bucket', `${bucket.url}/trial`, bucket.env()],
    ['the same name on another server', bucket.url, elsewhere.env()],
    ['the same name at Amazon', bucket.url, bucket.env({ AWS_ENDPOINT_URL_S3: undefined })],
  ];
  for (const [name, store, env] of cases) {
    const seen = trial.requests;
    const done = await upload({ ...packed, text }, store, env);
    t.match(done, { code: 1, out: '' }, name);
    t.match(
      messages(done),
      /^cannery upload: \S+outgoing is kept for (store|endpoint) '\S+', not '\S+' \(outgoing\.json\): use another folder\n$/,
      name,
    );
    t.same(state(), before, `${name}: all is as it was`);
    t.equal(trial.requests, seen, `${name}: and nobody was asked`);
  }
  exits(t, await upload({ ...packed, text }, bucket.url, bucket.env()), 0);

  writeFileSync(join(packed.cwd, 'rows'), text);
  t.equal(shell('cannery index a.sqlite < rows', { cwd: packed.cwd }).code, 0);
  const index = shell('cannery index b.sqlite < rows', { cwd: packed.cwd });
  t.match(index, { code: 1, out: '', err: /is kept for index '\S+a\.sqlite', not '\S+b\.sqlite'/ });
});
