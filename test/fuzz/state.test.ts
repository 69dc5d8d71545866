// Files of our own that were damaged or forged: what lies in an outgoing folder, the index, logs and databases. No post
// may be lost over it, and cans that are well go on.
import { cpSync, existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import Database from 'better-sqlite3';
import type { Test } from 'tap';
import { fileBytes, unpacked } from '../../src/edge/source.ts';
import { tarMembers } from '../../src/edge/tar.ts';
import { sha256 } from '../../src/record/identity.ts';
import { readAll } from '../../src/stream/lines.ts';
import { cannery, read, rows, shippedSpool, tree } from '../lib.ts';
import { Box, type Judged } from './box.ts';
import { BRIDGES, documents, packed, posts } from './corpus.ts';
import { fuzzTest, type Round } from './fuzz.ts';
import { type Chance, HOSTILE_TEXTS, mutatedBytes, mutatedJson, oneOf } from './mutate.ts';

const PACK = ['postcan', '--spool', 'incoming', '--to', 'outgoing', '--host', 'n0'];
const INDEX = ['jsonl.sqlite', 'jsonl.sqlite-wal', 'jsonl.sqlite-shm', 'jsonl.sqlite-journal'];
const MINE = ['outgoing', 'incoming', 'store', 'strays', '.incoming.cannery-lock', 'new.sqlite', 'rejects', ...INDEX];

const judge = (ran: Judged, { found }: Round, input?: Uint8Array) => {
  for (const fault of ran.faults.slice(0, 3)) found(fault, input);
  return ran;
};

const either = (chance: Chance, bytes: Buffer) =>
  chance() < 0.7 ? mutatedJson(chance, bytes) : mutatedBytes(chance, bytes, bytes);

/** Digests of the posts in every postcan below a folder. */
async function postsInCans(folder: string): Promise<Set<string>> {
  const found = new Set<string>();
  for (const path of tree(folder).filter((name) => name.endsWith('.tar.gz'))) {
    try {
      for await (const { body } of tarMembers(unpacked(fileBytes(join(folder, path)), 1e8)))
        found.add(sha256(await readAll(body, 1e7)));
    } catch {
      // the one that was damaged
    }
  }
  return found;
}

/** A post of a manifest that leads out of the spool, to one with the same bytes. */
function leading(chance: Chance, manifest: Buffer, spool: string): Buffer {
  const told = JSON.parse(manifest.toString()) as { spool: string; posts: { file: string }[] };
  const post = oneOf(chance, told.posts);
  const name = basename(post.file);
  post.file = oneOf(chance, [
    `${post.file}/../../../../decoy/incoming/${post.file}`,
    `../../decoy/incoming/${post.file}`,
    `${post.file.replace(name, '')}../../../decoy/incoming/${post.file}`,
    `${spool}/${post.file}`,
  ]);
  if (chance() < 0.5) told.spool = spool;
  return Buffer.from(JSON.stringify(told));
}

/** Makes files of an outgoing folder bad. @returns the cans that are no longer well */
function damage(chance: Chance, box: Box): Set<string> {
  const bad = new Set<string>();
  for (const state of ['ready', 'sent', 'indexed']) {
    for (const can of readdirSync(join(box.work, 'outgoing', state))) {
      if (chance() < 0.4) continue;
      bad.add(can);
      const put = (name: string, change: (bytes: Buffer) => Buffer) => {
        const path = `work/outgoing/${state}/${can}/${name}`;
        box.put(path, change(read(join(box.top, path))));
      };
      oneOf(chance, [
        () => put('can.json', (bytes) => either(chance, bytes)),
        () => put('can.json', (bytes) => either(chance, bytes)),
        () => put('can.json', (bytes) => mutatedJson(chance, bytes)),
        () => put('can.json', (bytes) => leading(chance, bytes, join(box.decoy, 'incoming'))),
        () => put('rows.jsonl', (bytes) => forgedLine(chance, bytes)),
        () => put('rows.jsonl', (bytes) => either(chance, bytes)),
        () => put('lock', () => Buffer.from(oneOf(chance, [...HOSTILE_TEXTS, 'SQLite format 3\0']))),
        () => put(`${can}.jsonl.gz`, (bytes) => mutatedBytes(chance, bytes, bytes)),
        () =>
          rmSync(
            join(
              box.work,
              'outgoing',
              state,
              can,
              oneOf(chance, ['can.json', 'rows.jsonl', 'lock', `${can}.jsonl.gz`]),
            ),
          ),
      ])();
    }
  }
  return bad;
}

/** One line of JSON lines forged. */
function forgedLine(chance: Chance, bytes: Buffer): Buffer {
  const lines = bytes.toString().split('\n');
  const at = Math.floor(chance() * (lines.length - 1));
  lines[at] = mutatedJson(chance, Buffer.from(lines[at]!)).toString();
  return Buffer.from(lines.join('\n'));
}

interface Stock {
  box: Box;
  /** The shipped posts in cans of one each: some ready, some sent, some indexed. */
  begun: string;
}

function begun(t: Test): Stock {
  const cwd = shippedSpool(t);
  const can = cannery([...PACK, '--max-bytes', '1000'], {
    cwd,
    stdin: cannery(['ls', 'incoming'], { cwd }).out,
  }).out.split('\n');
  const some = (from: number, to: number) =>
    can
      .slice(from, to)
      .map((row) => `${row}\n`)
      .join('');
  const sent = cannery(['upload', 'store'], { cwd, stdin: some(0, 14) }).out.split('\n');
  cannery(['index', 'jsonl.sqlite'], { cwd, stdin: `${sent.slice(0, 7).join('\n')}\n` });
  return { box: new Box(t), begun: cwd };
}

/** A copy of a folder whose files name it by its path. */
function moved(from: string, { work }: Box): void {
  cpSync(from, work, { recursive: true, preserveTimestamps: true });
  for (const path of tree(join(work, 'outgoing')).filter((name) => name.endsWith('.json'))) {
    const file = join(work, 'outgoing', path);
    const text = read(file).toString().replaceAll(from, work);
    rmSync(file);
    cpSync(join(from, 'outgoing', path), file);
    if (text !== read(file).toString()) writeFileSync(file, text);
  }
  const db = new Database(join(work, 'jsonl.sqlite'));
  db.prepare('UPDATE can SET store = ?').run(join(work, 'store'));
  db.close();
}

fuzzTest('state of an outgoing folder', async (t) => {
  const { box, begun: from } = begun(t);
  const spool = shippedSpool(t);
  cpSync(join(spool, 'incoming'), join(box.decoy, 'incoming'), { recursive: true });
  const late = Buffer.from('{"format":"json","content":{"late":1}}');
  const wanted = new Set([...posts, late].map((post) => sha256(post)));

  return async (round) => {
    const { chance, found } = round;
    box.empty();
    moved(from, box);
    const lateName = `2024020113_IT_ndt/20240201130000.000001_IT_ndt_${'0'.repeat(16)}.post`;
    box.put(`work/incoming/${lateName}`, late);
    // Where a can is damaged that was ready, a copy of a post may still be in the spool.
    for (const path of tree(join(spool, 'incoming')))
      if (chance() < 0.1) box.put(`work/incoming/${path}`, read(join(spool, 'incoming', path)));
    const whole = oneOf(chance, ['outgoing.json', 'names', '', '', '']);
    const bad = whole === '' ? damage(chance, box) : new Set<string>();
    if (whole === 'outgoing.json')
      box.put('work/outgoing/outgoing.json', either(chance, read(join(box.work, 'outgoing/outgoing.json'))));
    if (whole === 'names') {
      for (const name of readdirSync(join(box.work, 'outgoing/names')))
        box.put(`work/outgoing/names/${name}`, either(chance, read(join(box.work, 'outgoing/names', name))));
    }
    round.tried(Math.max(1, bad.size));
    const cans = ['ready', 'sent', 'indexed'].flatMap((state) => readdirSync(join(box.work, 'outgoing', state)));
    box.watch(MINE);
    judge(box.run(['status', '--spool', 'incoming', '--to', 'outgoing', '--json']), round);
    judge(box.run(['fsck', '--store', 'store', '--index', 'jsonl.sqlite', '--outgoing', 'outgoing', '--deep']), round);
    const ran: Judged[] = [];
    let stdin = box.run(['ls', 'incoming']).out;
    for (const args of [PACK, ['upload', '--with-rows', 'store'], ['index', 'jsonl.sqlite'], ['clear']]) {
      const one = judge(box.run(args, { stdin }), round);
      ran.push(one);
      stdin = one.out;
    }
    judge(box.run(['fsck', '--store', 'store', '--index', 'jsonl.sqlite', '--outgoing', 'outgoing']), round);
    for (const fault of box.touched()) found(fault);
    const left = new Set([
      ...(await postsInCans(join(box.work, 'outgoing'))),
      ...(await postsInCans(join(box.work, 'store'))),
      ...['incoming', 'strays'].flatMap((folder) =>
        tree(join(box.work, folder)).map((path) => sha256(read(join(box.work, folder, path)))),
      ),
    ]);
    const lost = [...wanted].filter((digest) => !left.has(digest));
    if (lost.length > 0) found(`${lost.length} posts are lost`);
    if (whole !== '') return;
    const cleared = new Set(rows<{ can: string }>(stdin.toString()).map(({ can }) => can));
    const stuck = cans.filter((can) => !bad.has(can) && !cleared.has(can));
    if (stuck.length > 0)
      found(
        `cans that are well did not come through: ${stuck.join(' ')}: ${ran.map(({ code, err }) => `${code} ${err.slice(-200)}`).join(' | ')}`,
      );
  };
});

/** What somebody may have done to an index. */
const FORGED = [
  "UPDATE can SET s3path = '../../decoy/precious'",
  "UPDATE can SET s3path = 7, cc = x'00', test = NULL",
  "UPDATE can SET store = '/../decoy'",
  "UPDATE can SET store = 's3://'",
  "UPDATE can SET sha256 = 1.5, bytes = -1, postcan_bytes = 'x'",
  'UPDATE can SET bytes = 9223372036854775807',
  'UPDATE can SET id = -id',
  'UPDATE can SET id = id + 9007199254740993',
  'UPDATE member SET offset = -1',
  'UPDATE member SET length = 9223372036854775807',
  "UPDATE member SET offset = 'x', length = x'ff'",
  'UPDATE member SET length = 2000000000',
  'UPDATE member SET first_line = 3',
  'DELETE FROM member',
  "UPDATE line SET hash = 'text', uid_hash = 1.5",
  "UPDATE line SET hash = x''",
  'UPDATE line SET report = -1',
  "UPDATE line SET input = x'ff00', unreadable = 'x'",
  'UPDATE line SET uid_time = 9223372036854775807',
  "UPDATE line SET uid_text = 'x' || char(0) || 'y', uid_time = NULL",
  'UPDATE line SET id = id * -1',
  'UPDATE line SET id = id + 9007199254740993',
  "UPDATE report SET report_id = x'00ff'",
  'DELETE FROM report',
  'DROP TABLE report',
  'DROP TABLE member',
  'DROP VIEW jsonl',
  'ALTER TABLE line RENAME COLUMN hash TO hush',
  'ALTER TABLE can ADD COLUMN extra',
  'DROP VIEW jsonl; DROP TABLE line; CREATE VIEW line AS SELECT 1 AS id',
  'PRAGMA user_version = 99',
  'PRAGMA user_version = -1',
  'PRAGMA application_id = 0',
  'CREATE TRIGGER t AFTER INSERT ON can BEGIN DELETE FROM line; END',
  'CREATE TABLE sqlite_like(a)',
  'PRAGMA encoding',
];

fuzzTest('an index, a log, a database', async (t) => {
  const { box, begun: from } = begun(t);
  const { folder } = packed(t);
  const uids = cannery(['ls', 'incoming'], { cwd: shippedSpool(t) })
    .out.split('\n')
    .flatMap((line) => /"measurement_uid":"([^"]+)"/.exec(line)?.[1] ?? []);
  const lines = documents().map(
    (line) => `{"measurement_uid":null,"bucket_date":null,"report_filename":null,${line.toString().slice(1)}\n`,
  );

  return (round) => {
    const { chance, found } = round;
    box.empty();
    moved(from, box);
    cpSync(join(folder, 'jsonl.sqlite'), join(box.work, 'other.sqlite'));
    const file = oneOf(chance, ['jsonl.sqlite', 'jsonl.sqlite', 'other.sqlite']);
    const path = join(box.work, file);
    const good = read(path);
    const bytes = () => {
      const bad = Buffer.from(good);
      for (let n = 1 + Math.floor(chance() * 40); n > 0; n--)
        bad[Math.floor(chance() * (chance() < 0.3 ? 200 : bad.length))] = Math.floor(chance() * 256);
      return bad;
    };
    const how = chance();
    if (how < 0.5) forge(path, oneOf(chance, FORGED));
    else if (how < 0.6) box.put(`work/${file}`, mutatedBytes(chance, good, good));
    else box.put(`work/${file}`, bytes());
    const input = existsSync(path) ? read(path) : undefined;
    box.watch([...MINE, 'other.sqlite', 'other.sqlite-wal', 'other.sqlite-shm']);
    const run = (args: string[], stdin: string | Uint8Array = '') => judge(box.run(args, { stdin }), round, input);
    if (file === 'other.sqlite') run(['index', 'jsonl.sqlite', '--merge', 'other.sqlite', '--store', 'store']);
    else {
      const asked = `${uids.join('\n')}\n{"report_id":""}\n{"report_id":"x","input":null}\n`;
      const { out } = run(['get', '--index', file], asked);
      // What is given is what was asked for, whatever the index says.
      for (const line of out.toString().split('\n').slice(0, -1))
        if (!/"(?:test_name|report_id|n|content|probe_cc|annotations)"/.test(line))
          found(`get gives something else: ${line.slice(0, 200)}`, input);
      run([
        'fsck',
        '--store',
        'store',
        '--index',
        file,
        '--outgoing',
        'outgoing',
        ...(chance() < 0.5 ? ['--deep'] : []),
      ]);
      if (chance() < 0.3)
        run(['fsck', '--store', 'store', '--index', file, '--rebuild', 'new.sqlite', '--row-class', 'sanitised']);
      const waiting = run(PACK);
      const sent = run(['upload', 'store'], waiting.out);
      run(['index', file], sent.out);
    }
    const bridges = mutatedJson(chance, read(BRIDGES));
    box.put('work/bridges.json', chance() < 0.7 ? bridges : mutatedBytes(chance, bridges, bridges));
    box.watch([...MINE, 'other.sqlite', 'other.sqlite-wal', 'other.sqlite-shm', 'bridges.json']);
    judge(
      box.run(['sanitise', '--bridges', 'bridges.json'], { stdin: lines.join('') }),
      round,
      read(join(box.work, 'bridges.json')),
    );
    round.tried(2);
    for (const fault of box.touched()) found(fault, input);
  };
});

function forge(path: string, statements: string): void {
  const db = new Database(path);
  try {
    db.exec(statements);
  } catch {
    // a row may already be so
  } finally {
    db.close();
  }
}
