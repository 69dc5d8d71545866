// The main job as one shell line, on posts of every kind: nothing lost, nothing twice, every byte compared.
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import Database from 'better-sqlite3';
import ndjson from 'ndjson';
import t, { type Test } from 'tap';
import { extract } from 'tar-stream';
import {
  cannery,
  canneryBytes,
  folder,
  PIPELINE,
  putPost,
  rows,
  sharedData,
  shell,
  shellAsync,
  shippedSpool,
  tree,
} from './lib.ts';

/** Members of a postcan, by any reader's means. */
async function postsOf(file: string): Promise<Map<string, Buffer>> {
  const posts = new Map<string, Buffer>();
  const extractor = extract();
  extractor.end(gunzipSync(readFileSync(file)));
  for await (const entry of extractor) {
    const pieces: Buffer[] = [];
    for await (const piece of entry) pieces.push(piece as Buffer);
    if (posts.has(entry.header.name)) throw new Error(`${entry.header.name} twice`);
    posts.set(entry.header.name, Buffer.concat(pieces));
  }
  return posts;
}

interface Line {
  report_id: string;
  input: string;
  s3path: string;
  linenum: number;
  measurement_uid: string;
}

/**
 * The oracle: every post once in the store, byte for byte, each line what `content` is, each row of the
 * index at its line, spool and outgoing empty.
 * @param posts what was in the spool: path below it → bytes
 */
async function holds(t: Test, cwd: string, posts: Map<string, Buffer>): Promise<void> {
  const store = join(cwd, 'store');
  const found = new Map<string, Buffer>();
  const lines = new Map<string, Buffer[]>();
  for (const path of tree(store)) {
    if (path.endsWith('.jsonl.gz')) {
      const text = gunzipSync(readFileSync(join(store, path))).toString('latin1');
      lines.set(
        path,
        text
          .split('\n')
          .slice(0, -1)
          .map((line) => Buffer.from(line, 'latin1')),
      );
      continue;
    }
    const members = await postsOf(join(store, path));
    for (const [name, bytes] of members) {
      if (found.has(name)) t.fail(`${name} is in two cans`);
      found.set(name, bytes);
    }
    t.equal([...members.keys()].join(), [...members.keys()].sort().join(), `${path}: members in order`);
  }
  t.same([...found.keys()].sort(), [...posts.keys()].sort(), 'every post is in one postcan');
  const wrong = [...posts].filter(([name, bytes]) => !found.get(name)?.equals(bytes)).map(([name]) => name);
  t.same(wrong, [], 'byte for byte');

  const db = new Database(join(cwd, 'jsonl.sqlite'), { readonly: true });
  const index = db.prepare('SELECT * FROM jsonl').all() as Line[];
  const unreadable = db.prepare('SELECT count(*) FROM line WHERE unreadable').pluck().get() as number;
  db.close();
  t.equal(index.length + unreadable, posts.size, 'one row a post');
  t.equal([...lines.values()].flat().length, posts.size, 'one line a post');
  const mistaken = index.filter((row) => {
    const line = lines.get(row.s3path)?.[row.linenum];
    const post = [...posts].find(([name]) => basename(name, '.post') === row.measurement_uid)?.[1];
    if (!line || !post) return true;
    const { format, content } = JSON.parse(post.toString());
    const { report_id, input } = JSON.parse(line.toString());
    // What JSON.parse makes of both is the same, and the line is a slice of the post.
    const same =
      format === 'yaml' ||
      (post.includes(line) && JSON.stringify(JSON.parse(line.toString())) === JSON.stringify(content));
    return (
      !same ||
      (report_id ?? '') !== row.report_id ||
      (Array.isArray(input) ? input.join(':') : (input ?? '')) !== row.input
    );
  });
  t.same(mistaken, [], 'every row finds its line');

  const uids = index.map((row) => row.measurement_uid);
  const got = canneryBytes(['get', '--raw', '--index', 'jsonl.sqlite', '--store', 'store'], {
    cwd,
    stdin: uids.join('\n'),
  });
  t.equal(got.code, 0, got.err);
  const expected = index.map((row) => Buffer.concat([lines.get(row.s3path)![row.linenum]!, Buffer.from('\n')]));
  t.ok(got.out.equals(Buffer.concat(expected)), 'get gives the very lines, in the order of the request');

  t.same(readdirSync(join(cwd, 'incoming')), [], 'nothing is left in the spool');
  const left = tree(join(cwd, 'outgoing')).filter(
    (path) => !/^(names\/\d{10}\.json|outgoing\.json|\.[a-z]+-lock|\.newest-upload)$/.test(path),
  );
  t.same(left, [], 'nothing is left in outgoing');
}

/** Every post of a spool, by path below it. */
function postsIn(spool: string): Map<string, Buffer> {
  return new Map(tree(spool).map((path) => [path, readFileSync(join(spool, path))]));
}

t.test('the shipped posts', async (t) => {
  const cwd = shippedSpool(t);
  const posts = postsIn(join(cwd, 'incoming'));
  const { code, err, out } = shell(PIPELINE, { cwd });
  t.equal(code, 0);
  t.equal(err, '');
  t.equal(rows(out).length, 8);
  await holds(t, cwd, posts);

  const again = shell(PIPELINE, { cwd });
  t.same([again.code, again.out, again.err], [0, '', ''], 'a second run finds nothing to do');
  await holds(t, cwd, posts);
});

/** JSON documents below a folder, each as bytes. */
function documentsIn(path: string): { name: string; bytes: Buffer }[] {
  return tree(path).flatMap((file) => {
    const bytes = readFileSync(join(path, file));
    if (/\.(jsonl|njson)$/.test(file)) {
      return bytes
        .toString('latin1')
        .split('\n')
        .filter(Boolean)
        .map((line) => ({ name: file, bytes: Buffer.from(line, 'latin1') }));
    }
    return [{ name: file, bytes }];
  });
}

const shared = sharedData();

t.test('real documents', { skip: shared ? false : 'the folder with real documents is not here' }, async (t) => {
  const cwd = folder(t);
  const spool = join(cwd, 'incoming');
  let n = 0;
  const tests = new Map<string, number>();
  for (const { name, bytes } of documentsIn(join(shared!, 'measurements'))) {
    const time = `2024020110${String(Math.floor(n / 60) % 60).padStart(2, '0')}${String(n % 60).padStart(2, '0')}.${String(n).padStart(6, '0')}`;
    const kind = name.split('/')[0]!;
    tests.set(kind, (tests.get(kind) ?? 0) + 1);
    const where = { time, cc: 'ZZ', test: kind.replace(/[^a-z]/g, '') };
    // A YAML report is the text of a YAML post; everything else is put where JSON would stand, good or not.
    if (kind === 'yaml') putPost(spool, JSON.stringify({ format: 'yaml', content: bytes.toString() }), where);
    else putPost(spool, Buffer.concat([Buffer.from('{"format":"json","content":'), bytes, Buffer.from('}')]), where);
    n++;
  }
  t.ok(n > 200, `${n} documents: ${[...tests].map(([kind, count]) => `${kind} ${count}`).join(', ')}`);
  const posts = postsIn(spool);
  const { code, err } = shell(PIPELINE, { cwd });
  // Some documents are broken on purpose, and some are no objects.
  t.equal(code, err === '' ? 0 : 3);
  for (const line of err.split('\n').filter(Boolean)) t.match(line, /packed, but without a line: /);
  t.comment(`${err.split('\n').length - 1} documents are unreadable`);
  // Pretty-printed documents come out on one line, so the slice is compared by value only.
  await holdsByValue(t, cwd, posts);
});

/** As `holds`, for posts whose content stands on many lines. */
async function holdsByValue(t: Test, cwd: string, posts: Map<string, Buffer>): Promise<void> {
  const store = join(cwd, 'store');
  let compared = 0;
  for (const path of tree(store).filter((file) => file.endsWith('.tar.gz'))) {
    const members = await postsOf(join(store, path));
    const lines = gunzipSync(readFileSync(join(store, path.replace('.tar.gz', '.jsonl.gz'))))
      .toString()
      .split('\n')
      .slice(0, -1);
    t.equal(lines.length, members.size, `${path}: a line a post`);
    let n = 0;
    for (const [name, bytes] of members) {
      if (!posts.get(name)?.equals(bytes)) t.fail(`${name}: other bytes`);
      posts.delete(name);
      const line = lines[n++]!;
      if (line === '{}') continue;
      const { format, content } = JSON.parse(bytes.toString());
      if (format !== 'json') continue;
      if (JSON.stringify(JSON.parse(line)) !== JSON.stringify(content)) t.fail(`${name}: another line`);
      compared++;
    }
  }
  t.equal(posts.size, 0, 'every post is in a can, byte for byte');
  t.ok(compared > 150, `${compared} lines are equal to their content`);
  const db = new Database(join(cwd, 'jsonl.sqlite'), { readonly: true });
  const uids = db.prepare('SELECT measurement_uid FROM jsonl').pluck().all() as string[];
  db.close();
  const got = cannery(['get', '--index', 'jsonl.sqlite', '--store', 'store', ...uids.slice(0, 200)], { cwd });
  t.equal(got.code, 0, got.err);
  t.same(
    // By position: real documents have a member of this name of their own.
    [...got.out.matchAll(/^\{"measurement_uid":"([^"]+)"/gm)].map(([, uid]) => uid),
    uids.slice(0, 200),
  );
  const left = tree(join(cwd, 'outgoing')).filter((path) => path.includes('/') && !path.startsWith('names/'));
  t.same(left, [], 'nothing is left in outgoing');
}

t.test('the same posts give the same bytes, whatever their order and the level of load', (t) => {
  const cwds = [shippedSpool(t), shippedSpool(t)];
  shell(PIPELINE, { cwd: cwds[0]! });
  shell(PIPELINE.replace('| cannery postcan', '| sort -R | sort -s -t/ -k2,2 | cannery postcan'), { cwd: cwds[1]! });
  const [a, b] = cwds.map((cwd) =>
    tree(join(cwd, 'store')).map((path) => [path, readFileSync(join(cwd, 'store', path)).toString('hex')]),
  );
  t.equal(a!.length, 16);
  t.same(a, b);
  t.end();
});

t.test('every receipt pleases a strict reader', async (t) => {
  const cwd = shippedSpool(t);
  const { out } = shell(
    'tee=ls.out; cannery ls incoming/ --due | tee ls.out | cannery postcan --spool incoming/ --to outgoing/ --host n0 | tee postcan.out | cannery upload store | tee upload.out | cannery index jsonl.sqlite | tee index.out | cannery clear | tee clear.out; cannery ls store --kind jsonl | cannery cat --end > cat.out',
    { cwd },
  );
  t.equal(rows(out).length, 8);
  for (const verb of ['ls', 'postcan', 'upload', 'index', 'clear', 'cat']) {
    const seen: unknown[] = [];
    const parser = ndjson.parse();
    parser.on('data', (row) => seen.push(row));
    parser.end(readFileSync(join(cwd, `${verb}.out`)));
    await new Promise((done, fail) => parser.on('end', done).on('error', fail));
    t.ok(seen.length >= 8, `${verb}: ${seen.length} rows`);
  }
});

t.test('cans split at --max-bytes, and none is larger', async (t) => {
  const cwd = shippedSpool(t);
  const posts = postsIn(join(cwd, 'incoming'));
  const { code, out } = shell(PIPELINE.replace('--host n0', '--host n0 --max-bytes 4000'), { cwd });
  t.equal(code, 0);
  const cans = rows<{ can: string; measurements: number; files: { bytes: number }[] }>(out);
  t.ok(cans.length > 8, `${cans.length} cans`);
  for (const { can, measurements, files } of cans)
    t.ok(measurements === 1 || files.every(({ bytes }) => bytes <= 4000), can);
  const counters = cans
    .filter(({ can }) => can.startsWith('2024020110_IT_webconnectivity'))
    .map(({ can }) => Number(can.split('.')[2]))
    .sort((a, b) => a - b); // upload gives a can when it is sent, whichever is first
  t.same(counters, [...counters.keys()], 'counters from 0 without a gap');
  await holds(t, cwd, posts);
});

t.test('measurement rows: groups, names that depend on the content, generations', async (t) => {
  const cwd = shippedSpool(t);
  shell(PIPELINE, { cwd });
  const pack = (filter: string) =>
    shell(
      `cannery ls store --cc IT,IR,DE | cannery cat --end | sed 's/"bucket_date":null/"bucket_date":"2024-02-01"/' ${filter} | cannery postcan --rows --to out --max-bytes 4000 | cannery upload private --private | cannery index private.sqlite | cannery clear`,
      { cwd },
    );
  const first = pack('');
  t.equal(first.code, 0, first.err);
  const names = rows<{ can: string }>(first.out)
    .map(({ can }) => can)
    .sort();
  t.ok(names.length > 8, `${names.length} cans, several to a group`);
  const files = tree(join(cwd, 'private'));
  t.match(
    files[0],
    /^jsonl\/[a-z]+\/[A-Z]{2}\/20240201\/00\/20240201_[A-Z]{2}_[a-z]+\.x\.[0-9a-f]{16}\.(jsonl|tar)\.gz$/,
  );

  const second = pack('');
  t.same(
    rows<{ can: string }>(second.out)
      .map(({ can }) => can)
      .sort(),
    names,
    'the same rows give the same names',
  );
  t.same(tree(join(cwd, 'private')), files, 'and nothing new in the store');
  const count = () => {
    const db = new Database(join(cwd, 'private.sqlite'), { readonly: true });
    const n = db.prepare('SELECT count(*), count(DISTINCT s3path || linenum) FROM jsonl').raw().get();
    db.close();
    return n;
  };
  t.same(count(), [22, 22]);

  const changed = pack(`| sed 's/"software_name":"[^"]*"/"software_name":"changed"/'`);
  t.equal(changed.code, 0, changed.err);
  t.same(count(), [22, 22], 'a new generation takes the place of the old one');
  t.match(changed.err, /superseded/);
  t.ok(tree(join(cwd, 'private')).length > files.length, 'the store keeps what is superseded');
  const [report] = rows<{ report_id: string }>(shell('cannery ls store | cannery cat --raw', { cwd }).out);
  const got = cannery(['get', '--index', 'private.sqlite', '--store', 'private', '--report-id', report!.report_id], {
    cwd,
  });
  t.match(rows(got.out)[0], { software_name: 'changed' });
});

/** Rows of one bucket, each with its number, through all verbs. */
function bucketRun(cwd: string, texts: string[], { date = '"2016-08-01"', index = '', to = 'out' } = {}) {
  const members = (n: string) =>
    `{"measurement_uid":"012016080100000000000000000000000000000${n}","bucket_date":${date},"report_filename":null`;
  const lines = texts.map(
    (text) =>
      `${members(text.slice(0, 1))},"probe_cc":"IT","test_name":"ndt","measurement_start_time":"2016-08-01 00:00:00","v":"${text}"}`,
  );
  const stdin = `${lines.join('\n')}\n{"cannery":"end","rows":${lines.length},"rejected":0}\n`;
  const line = `cannery postcan --rows --to ${to} | cannery upload private --private | cannery index ${index} i.sqlite | cannery clear`;
  const { code, err } = shell(line, { cwd, stdin });
  const uids = lines.map((_, n) => `012016080100000000000000000000000000000${texts[n]!.slice(0, 1)}`);
  return { code, err, uids };
}

/** The values of `v` that the index leads to. */
function values(cwd: string): string[] {
  const uids = [1, 2, 3].map((n) => `012016080100000000000000000000000000000${n}`);
  const { out } = cannery(['get', '--index', 'i.sqlite', '--store', 'private', ...uids], { cwd });
  return rows<{ v: string }>(out).map(({ v }) => v);
}

t.test('generations: late rows, a part of a bucket, older rules', (t) => {
  const late = folder(t);
  t.equal(bucketRun(late, ['1a', '2a'], { date: 'null' }).code, 0);
  t.equal(bucketRun(late, ['3a'], { date: 'null' }).code, 0);
  t.same(values(late), ['1a', '2a', '3a'], "rows of no bucket take nobody's place");

  const cwd = folder(t);
  t.equal(bucketRun(cwd, ['1a', '2a']).code, 0);
  t.equal(bucketRun(cwd, ['1b', '2b']).code, 0);
  t.same(values(cwd), ['1b', '2b'], 'new rules take the place of old ones');
  const part = bucketRun(cwd, ['1c']);
  t.equal(part.code, 3);
  t.match(part.err, /1 measurements of 20160801_IT_ndt would take the place of 2/);
  const mended = folder(t);
  t.same(
    [['1a', '2a'], ['1c'], ['1d', '2d']].map((texts) => bucketRun(mended, texts).code),
    [0, 3, 0],
    'the next whole run makes the part one of the past',
  );
  t.same([values(mended), readdirSync(join(mended, 'out/sent'))], [['1d', '2d'], []], 'which is cleared away');
  t.same(values(cwd), ['1b', '2b'], 'a part of the bucket does not');
  const meant = bucketRun(cwd, ['1c'], { index: '--replace' });
  t.equal(meant.code, 0, meant.err);
  t.same(values(cwd), ['1c'], 'unless it is meant');
  t.equal(bucketRun(cwd, ['1a', '2a']).code, 0);
  t.same(values(cwd), ['1a', '2a'], 'a generation that returns takes its place again');

  // Made first and indexed last: another outgoing folder waited.
  const order = folder(t);
  const stopped = shell('cannery postcan --rows --to slow > waits', {
    cwd: order,
    stdin:
      '{"measurement_uid":null,"bucket_date":"2016-08-01","report_filename":null,"probe_cc":"IT","test_name":"ndt","v":"old"}\n{"cannery":"end","rows":1,"rejected":0}\n',
  });
  t.equal(stopped.code, 0);
  t.equal(bucketRun(order, ['1new', '2new']).code, 0);
  const { code, err } = shell('cannery upload private --private < waits | cannery index i.sqlite | cannery clear', {
    cwd: order,
  });
  t.equal(code, 0, err);
  t.match(err, /the index has a later generation of it/);
  t.same(values(order), ['1new', '2new'], 'an older generation does not take the place of a newer one');

  // Merging knows what is superseded.
  shell('cannery index central.sqlite --merge i.sqlite', { cwd });
  t.equal(bucketRun(cwd, ['1d', '2d']).code, 0);
  shell('cannery index central.sqlite --merge i.sqlite; mv central.sqlite i.sqlite; rm -f i.sqlite-*', { cwd });
  t.same(values(cwd), ['1d', '2d']);
  t.end();
});

t.test('killed at its start, its middle and its end, the pipeline finishes when it is run again', async (t) => {
  for (const [victim, signal] of [
    ['postcan', 'KILL'],
    ['upload', 'KILL'],
    ['index', 'KILL'],
    ['clear', 'KILL'],
    ['postcan', 'TERM'],
    ['upload', 'INT'],
  ] as const) {
    const cwd = shippedSpool(t);
    const posts = postsIn(join(cwd, 'incoming'));
    for (const delay of [0.12, 0.2, 0.3]) {
      // pkill finds the victim by its command line, which names this test's folder.
      const line = PIPELINE.replace('incoming/ --due', `${cwd}/incoming --due`)
        .replace('--spool incoming/ --to outgoing/', `--spool ${cwd}/incoming --to ${cwd}/outgoing`)
        .replace('upload store', `upload ${cwd}/store`)
        .replace('index jsonl.sqlite', `index ${cwd}/jsonl.sqlite`);
      await shellAsync(
        `(${line}) & sleep ${delay}; pkill -${signal} -P $(pgrep -P $$ | head -1) -f 'cannery ${victim}'; wait`,
        { cwd },
      );
    }
    const { code, err } = shell(PIPELINE, { cwd });
    t.equal(code, 0, `${victim} ${signal}: ${err}`);
    await holds(t, cwd, posts);
  }
});

t.test('posts that a killed run had packed already are not packed again', async (t) => {
  const cwd = shippedSpool(t);
  const posts = postsIn(join(cwd, 'incoming'));
  // As after a crash between the rename to ready and the unlinks: the posts lie in the can and in the spool.
  cpSync(join(cwd, 'incoming'), join(cwd, 'before'), { recursive: true });
  shell('cannery ls incoming/ --due | cannery postcan --spool incoming/ --to outgoing/ --host n0', { cwd });
  rmSync(join(cwd, 'incoming'), { recursive: true });
  cpSync(join(cwd, 'before'), join(cwd, 'incoming'), { recursive: true });
  // Another one of the same name and other bytes is a post of its own, and so stays for a can of its own.
  const { code, err } = shell(PIPELINE, { cwd });
  t.equal(code, 0, err);
  await holds(t, cwd, posts);
});

t.test('clear does not take a can whose posts are still in the spool', (t) => {
  const cwd = shippedSpool(t);
  cpSync(join(cwd, 'incoming'), join(cwd, 'before'), { recursive: true });
  shell('cannery ls incoming/ --due | cannery postcan --spool incoming/ --to outgoing/ --host n0 > cans', { cwd });
  cpSync(join(cwd, 'before'), join(cwd, 'incoming'), { recursive: true });
  const { code, err } = shell('cannery upload store < cans | cannery index jsonl.sqlite | cannery clear', { cwd });
  t.equal(code, 3);
  t.match(err, /still in the spool: postcan has to finish first/);
  t.equal(readdirSync(join(cwd, 'outgoing/indexed')).length, 8);
  t.end();
});

t.test('another store, host or index is refused', (t) => {
  const cwd = shippedSpool(t);
  shell(
    'cannery ls incoming/ --due | cannery postcan --spool incoming/ --to outgoing/ --host n0 | cannery upload store > cans',
    { cwd },
  );
  mkdirSync(join(cwd, 'trial'));
  const trial = shell('cannery upload trial < cans', { cwd });
  t.equal(trial.code, 1);
  t.match(trial.err, /is kept for store/);
  t.same(tree(join(cwd, 'trial')), []);
  const host = shell('cannery ls incoming/ | cannery postcan --spool incoming/ --to outgoing/ --host n1', { cwd });
  t.equal(host.code, 1);
  t.match(host.err, /is kept for host 'n0'/);
  t.end();
});

t.test('two packers: the second leaves with a word, or waits', async (t) => {
  const cwd = shippedSpool(t);
  writeFileSync(join(cwd, 'empty'), '');
  const pack = 'cannery postcan --spool incoming/ --to outgoing/ --host n0';
  const slow = shellAsync(`(sleep 1.5; cannery ls incoming/) | ${pack}`, { cwd });
  await new Promise((done) => setTimeout(done, 700));
  const second = await shellAsync(`cannery ls incoming/ | ${pack}`, { cwd });
  t.equal(second.code, 1);
  t.match(second.err, /another postcan is at work here/);
  const third = await shellAsync(`cannery ls incoming/ | ${pack} --wait 30`, { cwd });
  t.ok(third.code === 0 || third.code === 3, `${third.code} ${third.err}`);
  t.equal((await slow).code, 0);
  t.equal(readdirSync(join(cwd, 'outgoing/ready')).length, 8);
});

t.test('a reader that goes away is quiet success, and nothing is lost', async (t) => {
  const cwd = shippedSpool(t);
  const posts = postsIn(join(cwd, 'incoming'));
  const { code, err, out } = shell(
    'cannery ls incoming/ --due | cannery postcan --spool incoming/ --to outgoing/ --host n0 | head -n 1',
    { cwd },
  );
  t.same([code, err], [0, '']);
  t.equal(rows(out).length, 1);
  t.ok(existsSync(join(cwd, 'outgoing/ready')) && statSync(join(cwd, 'outgoing')).isDirectory());
  t.equal(shell(PIPELINE, { cwd }).code, 0);
  await holds(t, cwd, posts);
});
