// fsck: an undamaged store is met with silence, every kind of damage made on purpose is found and named, and an
// index made anew from the cans is the one that was.
import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  appendFileSync,
  chmodSync,
  cpSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { gunzipSync, gzipSync } from 'node:zlib';
import Database from 'better-sqlite3';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import type { Finding } from '../src/edge/findings.ts';
import { Fsck, type FsckSettings } from '../src/edge/fsck.ts';
import { openStore } from '../src/edge/store.ts';
import type { Stage } from '../src/stream/stage.ts';
import { AS_NOBODY, CANNERY, cannery, folder, putPost, ROOT_DOES_ALL, rows, shell, shippedSpool, tree } from './lib.ts';

const DE = 'raw/20240201/10/DE/ndt/2024020110_DE_ndt.n0.0';
const IT = 'raw/20240201/10/IT/webconnectivity/2024020110_IT_webconnectivity.n0.0';

/** Packs what is in `incoming`, up to the index. */
const PACK =
  'cannery ls incoming/ | cannery postcan --spool incoming/ --to outgoing/ --host n0 | cannery upload store --with-rows | cannery index jsonl.sqlite | cannery clear';

/** The shipped posts in a store and an index, made once; each test damages a copy. */
let made: string | undefined;
function shipped(t: Test): string {
  if (made === undefined) {
    made = shippedSpool(t.parent as Test);
    const { code, err } = shell(PACK, { cwd: made });
    t.equal(code, 0, err);
  }
  return copyOf(t, made);
}

function copyOf(t: Test, from: string): string {
  const cwd = folder(t);
  cpSync(from, cwd, { recursive: true });
  sql(cwd, `UPDATE can SET store = '${cwd}/store'`);
  change(join(cwd, 'outgoing/outgoing.json'), (bytes) => Buffer.from(bytes.toString().replaceAll(from, cwd)));
  return cwd;
}

function sql(cwd: string, ...statements: string[]): void {
  const db = new Database(join(cwd, 'jsonl.sqlite'));
  for (const one of statements) db.exec(one);
  db.pragma('wal_checkpoint(TRUNCATE)');
  db.close();
}

interface Checked {
  code: number | null;
  found: Finding[];
  err: string;
}

function fsck(cwd: string, ...args: string[]): Checked {
  const { code, out, err } = cannery(['fsck', '--store', 'store', ...args], { cwd });
  return { code, found: rows<Finding>(out), err };
}

const INDEX = ['--index', 'jsonl.sqlite'];

/** As `fsck`, in this process: for tests that ask a thousand times. */
async function check(cwd: string, settings: Partial<FsckSettings> = {}): Promise<Finding[]> {
  const found: Finding[] = [];
  const stage = {
    ...{ maxLine: 2 ** 28, count: (source: unknown) => source, flush: async () => {} },
    ...{ took() {}, tally() {}, say() {}, finding() {} },
    receipt: async (row: Finding) => void found.push(row),
  };
  const store = await openStore(join(cwd, 'store'), { attempts: 1 });
  const usual: FsckSettings = {
    ...{ store, storeName: store.name, endpoint: undefined, index: join(cwd, 'jsonl.sqlite'), outgoing: undefined },
    ...{ rebuild: undefined, rowClass: undefined },
    ...{ deep: true, superseded: false, sample: 1, seed: '0', maxDepth: 500, jobs: 2, after: '', until: undefined },
  };
  await new Fsck(stage as unknown as Stage, { ...usual, ...settings }).run();
  return found;
}

/** `kind file line+lines`, with the names of the usual cans shortened. */
function short({ finding, s3path, linenum, lines }: Finding): string {
  const file = s3path?.replace(DE, 'DE').replace(IT, 'IT') ?? '-';
  return `${finding} ${file}${linenum === null ? '' : ` ${linenum}+${lines}`}`;
}

/** Bytes of a file changed in place. */
function change(path: string, with_: (bytes: Buffer) => Buffer | undefined): void {
  const bytes = readFileSync(path);
  writeFileSync(path, with_(bytes) ?? bytes);
}

const flip = (at: number) => (bytes: Buffer) => {
  bytes[at < 0 ? bytes.length + at : at]! ^= 0x10;
  return undefined;
};

/** The lines of a can, changed, as another gzip member. */
const relined = (with_: (lines: string[]) => string[]) => (bytes: Buffer) => {
  const lines = gunzipSync(bytes).toString('latin1').split('\n').slice(0, -1);
  return gzipSync(
    Buffer.from(
      with_(lines)
        .map((line) => `${line}\n`)
        .join(''),
      'latin1',
    ),
  );
};

/** The posts of a can packed anew by GNU tar, changed in a folder between. */
function retarred(cwd: string, can: string, with_: (dir: string) => void, order = 'sort'): void {
  const script = `mkdir posts; tar -xzf store/${can}.tar.gz -C posts`;
  t.equal(shell(script, { cwd }).code, 0);
  with_(join(cwd, 'posts'));
  const pack = `cd posts && find . -type f -printf '%P\\n' | ${order} | tar -czf ../store/${can}.tar.gz --no-recursion -T - && cd .. && rm -r posts`;
  t.equal(shell(pack, { cwd }).code, 0);
}

interface Damage {
  name: string;
  make(cwd: string): void;
  /** Found without --deep; the same as `deep` where it is left out. */
  usual?: string[];
  deep: string[];
  args?: string[];
}

const file = (cwd: string, path: string) => join(cwd, 'store', path);

const DAMAGE: Damage[] = [
  {
    name: 'a bit of the lines',
    make: (cwd) => change(file(cwd, `${DE}.jsonl.gz`), flip(300)),
    usual: ['broken DE.jsonl.gz 0+2', 'line?'],
    deep: ['broken DE.jsonl.gz 0+1', 'line?', 'post?', 'rows?', 'checksum DE.jsonl.gz'],
  },
  {
    name: 'a bit of the posts',
    make: (cwd) => change(file(cwd, `${DE}.tar.gz`), flip(300)),
    usual: [],
    deep: ['post?', 'broken DE.tar.gz', 'checksum DE.tar.gz'],
  },
  {
    name: 'a bit of a header that gzip passes over',
    make: (cwd) => change(file(cwd, `${DE}.tar.gz`), flip(5)),
    usual: [],
    deep: ['checksum DE.tar.gz'],
  },
  {
    name: 'no lines',
    make: (cwd) => rmSync(file(cwd, `${DE}.jsonl.gz`)),
    deep: ['half DE.jsonl.gz'],
  },
  {
    name: 'no posts',
    make: (cwd) => rmSync(file(cwd, `${DE}.tar.gz`)),
    deep: ['half DE.tar.gz'],
  },
  {
    name: 'neither',
    make: (cwd) => rmSync(file(cwd, dirname(DE)), { recursive: true }),
    deep: ['missing DE.jsonl.gz'],
  },
  {
    name: 'lines cut short',
    make: (cwd) => change(file(cwd, `${DE}.jsonl.gz`), (bytes) => bytes.subarray(0, 400)),
    usual: ['size DE.jsonl.gz'],
    deep: ['size DE.jsonl.gz', 'broken DE.jsonl.gz 0+1'],
  },
  {
    name: 'posts cut short',
    make: (cwd) => change(file(cwd, `${DE}.tar.gz`), (bytes) => bytes.subarray(0, 400)),
    usual: ['size DE.tar.gz'],
    deep: ['size DE.tar.gz', 'broken DE.tar.gz'],
  },
  {
    name: 'bytes behind the end',
    make: (cwd) => {
      appendFileSync(file(cwd, `${DE}.jsonl.gz`), 'x');
      appendFileSync(file(cwd, `${DE}.tar.gz`), gzipSync('more'));
    },
    usual: ['size DE.tar.gz', 'size DE.jsonl.gz'],
    deep: ['size DE.tar.gz', 'size DE.jsonl.gz', 'broken DE.jsonl.gz 2+1', 'broken DE.tar.gz'],
  },
  {
    name: 'two lines in each other\u2019s place',
    make: (cwd) =>
      change(
        file(cwd, `${DE}.jsonl.gz`),
        relined(([a, b]) => [b!, a!]),
      ),
    usual: ['size DE.jsonl.gz'],
    deep: [
      'size DE.jsonl.gz',
      'line DE.jsonl.gz 0+2',
      'post DE.jsonl.gz 0+2',
      'offset DE.jsonl.gz 0+1',
      'rows DE.rows.jsonl.gz',
    ],
  },
  {
    name: 'a line fewer',
    make: (cwd) =>
      change(
        file(cwd, `${DE}.jsonl.gz`),
        relined(([a]) => [a!]),
      ),
    usual: ['size DE.jsonl.gz'],
    deep: [
      'size DE.jsonl.gz',
      'dangling DE.jsonl.gz 1+1',
      'offset DE.jsonl.gz 0+1',
      'post DE.tar.gz',
      'rows DE.rows.jsonl.gz',
    ],
  },
  {
    name: 'two posts in each other\u2019s place',
    make: (cwd) => retarred(cwd, DE, () => {}, 'sort -r'),
    usual: ['size DE.tar.gz'],
    deep: ['size DE.tar.gz', 'post DE.jsonl.gz 0+2', 'row DE.jsonl.gz 0+2', 'rows DE.rows.jsonl.gz'],
  },
  {
    name: 'a post fewer',
    make: (cwd) => retarred(cwd, DE, (dir) => rmSync(join(dir, tree(dir)[1]!))),
    usual: ['size DE.tar.gz'],
    deep: ['size DE.tar.gz', 'post DE.tar.gz'],
  },
  {
    name: 'a post of other bytes',
    make: (cwd) =>
      retarred(cwd, DE, (dir) =>
        change(join(dir, tree(dir)[1]!), (post) => Buffer.from(post.toString().replace(':', ': ').replace('DE', 'FR'))),
      ),
    usual: ['size DE.tar.gz'],
    deep: ['size DE.tar.gz', 'post DE.jsonl.gz 1+1'],
  },
  {
    name: 'a can that nobody knows, and files that are none',
    make: (cwd) => {
      const copy = (ext: string) => cpSync(file(cwd, DE + ext), file(cwd, DE.replace('n0.0', 'n0.1') + ext));
      copy('.jsonl.gz');
      copy('.tar.gz');
      writeFileSync(file(cwd, 'README'), 'hello');
      writeFileSync(file(cwd, `${DE}.note`), 'hello');
      writeFileSync(file(cwd, `${DE.replace('raw', 'rew')}.x`.replace(/.*\//, '')), 'hello');
    },
    deep: [`surplus ${DE.replace('n0.0', 'n0.1')}.jsonl.gz`],
  },
  {
    name: 'a can that nobody knows, and half of it',
    make: (cwd) => cpSync(file(cwd, `${DE}.tar.gz`), file(cwd, `${DE.replace('n0.0', 'n0.10')}.tar.gz`)),
    deep: [`half ${DE.replace('n0.0', 'n0.10')}.jsonl.gz`, `surplus ${DE.replace('n0.0', 'n0.10')}.tar.gz`],
  },
  {
    name: 'a row with another line\u2019s number',
    make: (cwd) => sql(cwd, `UPDATE line SET id = id + 5 WHERE id = ${lineId(cwd, DE, 1)}`),
    usual: ['unindexed DE.jsonl.gz', 'unindexed DE.jsonl.gz 1+1', 'dangling DE.jsonl.gz 6+1'],
    deep: ['unindexed DE.jsonl.gz 1+1', 'dangling DE.jsonl.gz 6+1'],
  },
  {
    name: 'rows that are gone',
    make: (cwd) => sql(cwd, `DELETE FROM line WHERE id >= ${lineId(cwd, IT, 1)} AND id < ${lineId(cwd, IT, 4)}`),
    usual: ['unindexed IT.jsonl.gz', 'unindexed IT.jsonl.gz 1+3'],
    deep: ['unindexed IT.jsonl.gz 1+3'],
  },
  {
    name: 'the report of a row',
    make: (cwd) =>
      sql(
        cwd,
        `UPDATE line SET report = (SELECT id FROM report WHERE report_id LIKE '%_BR_%') WHERE id = ${lineId(cwd, DE, 1)}`,
      ),
    deep: ['row DE.jsonl.gz 1+1'],
  },
  {
    name: 'a report that is not there',
    make: (cwd) => sql(cwd, `UPDATE line SET report = 12345 WHERE id = ${lineId(cwd, DE, 1)}`),
    deep: ['row DE.jsonl.gz 1+1'],
  },
  {
    name: 'the input of a row',
    make: (cwd) => sql(cwd, `UPDATE line SET input = 'http://other' WHERE id = ${lineId(cwd, DE, 1)}`),
    deep: ['row DE.jsonl.gz 1+1'],
  },
  {
    name: 'the uid of a row',
    make: (cwd) => sql(cwd, `UPDATE line SET uid_time = uid_time + 1 WHERE id = ${lineId(cwd, DE, 1)}`),
    usual: [],
    deep: ['row DE.jsonl.gz 1+1'],
  },
  {
    name: 'the hash of a row',
    make: (cwd) => sql(cwd, `UPDATE line SET hash = x'0011223344556677' WHERE id = ${lineId(cwd, DE, 1)}`),
    deep: ['line DE.jsonl.gz 1+1'],
  },
  {
    name: 'a row that calls its line unreadable',
    make: (cwd) => sql(cwd, `UPDATE line SET unreadable = 1 WHERE id = ${lineId(cwd, DE, 1)}`),
    deep: ['row DE.jsonl.gz 1+1'],
  },
  {
    name: 'a member\u2019s place',
    make: (cwd) => sql(cwd, `UPDATE member SET offset = offset + 1, length = length - 1 WHERE can = ${canId(cwd, DE)}`),
    usual: ['offset DE.jsonl.gz', 'broken DE.jsonl.gz 0+2'],
    deep: ['offset DE.jsonl.gz 0+1', 'offset DE.jsonl.gz 0+1'],
  },
  {
    name: 'no members',
    make: (cwd) => sql(cwd, `DELETE FROM member WHERE can = ${canId(cwd, DE)}`),
    usual: ['offset DE.jsonl.gz'],
    deep: ['offset DE.jsonl.gz 0+1'],
  },
  {
    name: 'a can that fell out of the index',
    make: (cwd) => sql(cwd, `DELETE FROM can WHERE id = ${canId(cwd, DE)}`),
    deep: ['index -', 'index -', 'surplus DE.jsonl.gz'],
  },
  {
    name: 'digests of the index',
    make: (cwd) => sql(cwd, `UPDATE can SET sha256 = replace(sha256, 'a', 'b') WHERE id = ${canId(cwd, DE)}`),
    usual: [],
    deep: ['checksum DE.jsonl.gz'],
  },
  {
    name: 'rows beside the can',
    make: (cwd) =>
      change(
        file(cwd, `${DE}.rows.jsonl.gz`),
        relined((lines) => lines.map((line) => line.replace('"linenum":1', '"linenum":2'))),
      ),
    usual: [],
    deep: ['rows DE.rows.jsonl.gz'],
  },
  {
    name: 'fewer rows beside the can',
    make: (cwd) =>
      change(
        file(cwd, `${DE}.rows.jsonl.gz`),
        relined(([a]) => [a!]),
      ),
    usual: [],
    deep: ['rows DE.rows.jsonl.gz'],
  },
];

/** What was found, without kinds that `wanted` has with a question mark: how damaged gzip inflates, zlib decides. */
function sure(found: Finding[], wanted: string[]): string[] {
  return found.filter(({ finding }) => !wanted.includes(`${finding}?`)).map(short);
}

function canId(cwd: string, can: string): number {
  const db = new Database(join(cwd, 'jsonl.sqlite'), { readonly: true });
  const id = db.prepare('SELECT id FROM can WHERE s3path = ?').pluck().get(`${can}.jsonl.gz`) as number;
  db.close();
  return id;
}

function lineId(cwd: string, can: string, linenum: number): number {
  return canId(cwd, can) * 2 ** 24 + linenum;
}

t.test('an undamaged store', (t) => {
  const cwd = shipped(t);
  // A file that an upload was killed over: the next upload takes it away, fsck never.
  const begun = `${dirname(DE)}/.2024020110_DE_ndt.n0.1.jsonl.gz.${hostname()}.${2 ** 22 + 1}.0123abcd.tmp`;
  writeFileSync(file(cwd, begun), 'half');
  const files = () => tree(join(cwd, 'store')).map((path) => [path, statSync(file(cwd, path)).mtimeMs]);
  const before = files();
  for (const args of [
    [],
    ['--deep'],
    ['--sample', '0'],
    ['--sample', '50'],
    ['--outgoing', 'outgoing', '--deep'],
    ['--jobs', '8'],
  ])
    t.same(fsck(cwd, ...INDEX, ...args), { code: 0, found: [], err: '' }, args.join(' '));
  t.same(files(), before, 'nothing in the store was changed');
  t.ok(before.some(([path]) => path === begun));
  t.end();
});

for (const { name, make, deep, usual = deep } of DAMAGE) {
  t.test(`damage: ${name}`, async (t) => {
    const cwd = shipped(t);
    make(cwd);
    for (const [wanted, isDeep] of [
      [usual, false],
      [deep, true],
    ] as [string[], boolean][]) {
      const found = await check(cwd, { deep: isDeep });
      const certain = wanted.filter((one) => !one.endsWith('?'));
      t.same(sure(found, wanted), certain, `${isDeep ? '--deep' : 'without --deep'}: found`);
    }
  });
}

t.test('findings are rows, lines for people, and exit code 3', (t) => {
  const cwd = shipped(t);
  rmSync(file(cwd, `${DE}.tar.gz`));
  sql(cwd, `DELETE FROM line WHERE id >= ${lineId(cwd, IT, 1)} AND id < ${lineId(cwd, IT, 4)}`);
  const { code, found, err } = fsck(cwd, ...INDEX, '--deep');
  t.equal(code, 3);
  t.same(found, [
    {
      finding: 'half',
      s3path: `${DE}.tar.gz`,
      linenum: null,
      lines: null,
      reason: 'its lines are there, the posts are not',
    },
    { finding: 'unindexed', s3path: `${IT}.jsonl.gz`, linenum: 1, lines: 3, reason: 'no row of the index tells of it' },
  ]);
  t.equal(
    err,
    `cannery fsck: ${DE}.tar.gz: its lines are there, the posts are not\n` +
      `cannery fsck: ${IT}.jsonl.gz: lines 1-3: no row of the index tells of it\n`,
  );
  t.end();
});

t.test('what may not be read is told, and the rest is looked at', { skip: ROOT_DOES_ALL }, (t) => {
  const cwd = shipped(t);
  chmodSync(file(cwd, dirname(IT)), 0);
  chmodSync(file(cwd, `${DE}.tar.gz`), 0);
  t.teardown(() => chmodSync(file(cwd, dirname(IT)), 0o755));
  for (const deep of ['', '--deep']) {
    const { code, out } = shell(`${AS_NOBODY} cannery fsck --store store ${INDEX.join(' ')} ${deep}`, { cwd });
    t.equal(code, 3);
    const told = rows<Finding>(out).map(short);
    const wanted = ['broken DE.tar.gz', `folder ${dirname(IT)}/`, 'broken IT.jsonl.gz', 'broken IT.tar.gz'];
    t.same(told, deep ? wanted : wanted.slice(1), deep);
    for (const key of [`${DE}.jsonl.gz`, dirname(IT), `${dirname(IT)}/`, `${IT}.jsonl.gz`, 'raw/20240201/11', 'zzz']) {
      const part = (range: string) =>
        shell(`${AS_NOBODY} cannery fsck --store store ${INDEX.join(' ')} ${deep} ${range} '${key}'`, { cwd }).out;
      t.equal(part('--until') + part('--after'), out, `in two parts: ${key}`);
    }
  }
  const missing = fsck(cwd, ...INDEX, '--outgoing', 'none');
  t.same([missing.code, missing.err], [1, 'cannery fsck: none: no such folder\n']);
  t.end();
});

/** A store of one can with two small posts and one that cannot be read. */
async function tiny(t: Test): Promise<string> {
  const cwd = folder(t);
  const spool = join(cwd, 'incoming');
  putPost(spool, '{"format":"json","content":{"report_id":"r1","input":"x"}}', { time: '20240201100000.000001' });
  putPost(spool, 'nothing', { time: '20240201100000.000002' });
  putPost(spool, '{"format":"json","content":{"report_id":"r2","n":1.0}}', { time: '20240201100000.000003' });
  const { code, err } = shell(PACK.replace(' --with-rows', ''), { cwd });
  t.equal(code, 3, err);
  sql(cwd);
  t.same(await check(cwd), [], 'nothing is found in it');
  return cwd;
}

t.test('every byte of a can that is changed is found', async (t) => {
  const cwd = await tiny(t);
  const [jsonl, postcan] = tree(join(cwd, 'store')) as [string, string];
  for (const path of [jsonl, postcan]) {
    const bytes = readFileSync(file(cwd, path));
    const passed: string[] = [];
    for (let at = 0; at < bytes.length; at++) {
      const bit = 1 << ((at * 5) % 8);
      writeFileSync(
        file(cwd, path),
        Buffer.concat([bytes.subarray(0, at), Buffer.from([bytes[at]! ^ bit]), bytes.subarray(at + 1)]),
      );
      const found = await check(cwd);
      if (!found.some(({ s3path }) => s3path === path)) passed.push(`byte ${at}, bit ${bit}: ${found.map(short)}`);
    }
    writeFileSync(file(cwd, path), bytes);
    t.same(passed, [], `${path.replace(/.*\//, '')}: ${bytes.length} bytes`);
  }
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(jsonl, postcan),
      fc.nat(),
      fc.integer({ min: 1, max: 255 }),
      async (path, n, mask) => {
        const bytes = readFileSync(file(cwd, path));
        const at = n % bytes.length;
        const changed = Buffer.from(bytes);
        changed[at]! ^= mask;
        writeFileSync(file(cwd, path), changed);
        const found = await check(cwd);
        writeFileSync(file(cwd, path), bytes);
        return found.length > 0;
      },
    ),
    { numRuns: 200 },
  );
});

t.test('any change of an index is found, or changes nothing in it', async (t) => {
  const cwd = await tiny(t);
  const path = join(cwd, 'jsonl.sqlite');
  const before = tables(path);
  const bytes = readFileSync(path);
  // Pages that hold something: the end of each is full, its middle mostly empty.
  const used = [...bytes.keys()].filter((at) => bytes[at] !== 0);
  const harmless: number[] = [];
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...used), fc.integer({ min: 1, max: 255 }), async (at, mask) => {
      const changed = Buffer.from(bytes);
      changed[at]! ^= mask;
      writeFileSync(path, changed);
      rmSync(`${path}-wal`, { force: true });
      rmSync(`${path}-shm`, { force: true });
      let found: Finding[] | undefined;
      try {
        found = await check(cwd);
      } catch (error) {
        return (error as Error).message.startsWith(path);
      }
      if (found.length > 0) return true;
      harmless.push(at);
      t.same(tables(path), before, `byte ${at}, mask ${mask}`);
      return true;
    }),
    { numRuns: 400, seed: 7 },
  );
  t.comment(`${harmless.length} of 400 changes were harmless`);
});

/** What an index tells, without the ids that it happens to use. */
function tables(path: string): Record<string, unknown[]> {
  const db = new Database(path, { readonly: true });
  try {
    const all = (text: string) => db.prepare(text).all();
    return {
      cans: all(
        'SELECT store, s3path, sha256, bytes, postcan_sha256, postcan_bytes, class, cc, test, grp, generation, made, superseded FROM can ORDER BY 1, 2',
      ),
      members: all('SELECT s3path, first_line, offset, length FROM member JOIN can ON can.id = can ORDER BY 1, 2'),
      lines: all(
        `SELECT s3path, line.id & 16777215 AS linenum, report_id, input, uid_time, hex(uid_hash) AS uid_hash, uid_text, hex(hash) AS hash, unreadable
         FROM line JOIN can ON can.id = line.id >> 24 LEFT JOIN report ON report.id = report ORDER BY 1, 2`,
      ),
      jsonl: all('SELECT * FROM jsonl ORDER BY s3path, linenum'),
    };
  } finally {
    db.close();
  }
}

// --- the outgoing folder

t.test('local cans', async (t) => {
  const cwd = shippedSpool(t);
  const run = (line: string, code = 0) => {
    const ran = shell(line, { cwd });
    t.equal(ran.code, code, `${line}\n${ran.err}`);
  };
  const local = (state: string, can = '2024020110_DE_ndt.n0.0') => join(cwd, 'outgoing', state, can);
  const outgoing = join(cwd, 'outgoing');
  mkdirSync(join(cwd, 'store'));
  run('cannery index jsonl.sqlite </dev/null');
  run('cannery ls incoming/ | cannery postcan --spool incoming/ --to outgoing/ --host n0 >cans');
  t.same(await check(cwd, { outgoing }), [], 'ready: under way');
  mkdirSync(file(cwd, dirname(DE)), { recursive: true });
  cpSync(join(local('ready'), '2024020110_DE_ndt.n0.0.tar.gz'), file(cwd, `${DE}.tar.gz`));
  t.same(await check(cwd, { outgoing }), [], 'one half is there: an upload was interrupted');
  t.same(
    (await check(cwd)).map(short),
    ['half DE.jsonl.gz', 'surplus DE.tar.gz'],
    'which nobody knows without the outgoing folder',
  );

  run('cannery upload store <cans >sent');
  t.same(await check(cwd, { outgoing }), [], 'sent: not indexed yet');
  t.equal((await check(cwd)).filter(({ finding }) => finding === 'surplus').length, 8);
  rmSync(file(cwd, `${DE}.tar.gz`));
  t.same((await check(cwd, { outgoing })).map(short), ['half DE.tar.gz'], 'sent, and not there');
  cpSync(join(local('sent'), '2024020110_DE_ndt.n0.0.tar.gz'), file(cwd, `${DE}.tar.gz`));

  change(join(local('sent'), '2024020110_DE_ndt.n0.0.jsonl.gz'), flip(300));
  t.same(await check(cwd, { outgoing, deep: false }), [], 'of the same size');
  const [bad, ...others] = await check(cwd, { outgoing });
  t.match(bad, { finding: 'outgoing', s3path: `${DE}.jsonl.gz`, reason: /^sent: .*not the bytes that were packed/ });
  t.same(others, []);
  cpSync(file(cwd, `${DE}.jsonl.gz`), join(local('sent'), '2024020110_DE_ndt.n0.0.jsonl.gz'));

  run('cannery index jsonl.sqlite <sent >indexed');
  t.same(await check(cwd, { outgoing }), [], 'indexed');
  sql(
    cwd,
    `DELETE FROM line WHERE id >> 24 = ${canId(cwd, DE)}`,
    `DELETE FROM member WHERE can = ${canId(cwd, DE)}`,
    `DELETE FROM can WHERE id = ${canId(cwd, DE)}`,
  );
  t.match(await check(cwd, { outgoing }), [
    { finding: 'outgoing', s3path: `${DE}.jsonl.gz`, reason: 'indexed: the index does not know it' },
  ]);

  renameSync(local('indexed'), local('held'));
  t.same((await check(cwd, { outgoing })).map(short), ['surplus DE.jsonl.gz', 'outgoing DE.jsonl.gz'], 'held');
  writeFileSync(join(local('held'), 'can.json'), '{');
  mkdirSync(local('building', 'unnamed-0'));
  const found = await check(cwd, { outgoing });
  t.same(found.map(short), ['outgoing -', 'outgoing DE.jsonl.gz', 'surplus DE.jsonl.gz']);
  t.match(found[0]!.reason, /unnamed-0: left by a run that died/);
  t.match(found[1]!.reason, /^held: damaged: /);

  const other = fsck(cwd, ...INDEX, '--indexed-as', 'elsewhere');
  t.equal(other.code, 1);
  t.match(other.err, /knows no can of .*\/elsewhere, but of .*\/store: --indexed-as/);
});

// --- generations, and cans of others

/** Rows of one bucket day, with an end row, into row cans. */
function packRows(
  cwd: string,
  texts: { uid?: string; day?: string; cc?: string; n: number }[],
  end = {},
  options = '',
): void {
  const stream = [
    ...texts.map(({ uid = null, day = '2016-08-01', cc = 'IT', n }) => ({
      ...{ measurement_uid: uid, bucket_date: day, report_filename: null, probe_cc: cc, test_name: 'ndt', n },
      measurement_start_time: `${day} 00:00:00`,
    })),
    { cannery: 'end', rows: texts.length, rejected: 0, sanitised: { rules: 1 }, ...end },
  ];
  writeFileSync(join(cwd, 'stream'), stream.map((row) => `${JSON.stringify(row)}\n`).join(''));
  const line = `cannery postcan --rows --to outgoing-rows <stream | cannery upload store | cannery index jsonl.sqlite ${options} | cannery clear >cans`;
  const { code, err } = shell(line, { cwd });
  t.equal(code, 0, err);
}

const legacy = (n: number) => `0120160801${String(n).padStart(30, '0')}`;

/** Posts and rows of every kind: unreadable, empty, YAML, doubled, large, deep; two generations of a bucket. */
function everything(t: Test): string {
  const cwd = shippedSpool(t);
  const spool = join(cwd, 'incoming');
  const post = (content: string, n: number) => {
    const time = `202402011000${String(Math.floor(n / 1000)).padStart(2, '0')}.${String(n % 1000).padStart(6, '0')}`;
    return putPost(spool, content, { time, cc: 'FR', test: 'tor' });
  };
  const json = (content: string) => `{"format":"json","content":${content}}`;
  post('nonsense', 1);
  post(json('{}'), 2);
  post(json('[]'), 3);
  post(json(`{"deep":${'['.repeat(600)}${']'.repeat(600)}}`), 4);
  post(json(`{"report_id":"large","body":"${'x'.repeat(200_000)}"}`), 5);
  post(json('{\n "report_id":\n "lines", "input": ["a", "b"]}'), 6);
  post(JSON.stringify({ format: 'yaml', content: 'report_id: yaml\ninput: null\nx: 1.0\n' }), 7);
  post(`{"content":{"report_id":"first","input":1.0},"format":"json"}`, 8);
  for (let n = 10; n < 500; n++)
    post(json(`{"report_id":"r${n % 7}","input":"i${n}","body":"${'lorem ipsum '.repeat(40)}"}`), n);
  const { code, err } = shell(PACK, { cwd });
  t.equal(code, 3, err);
  for (const n of [1, 2]) packRows(cwd, [{ uid: legacy(1), n }, { uid: legacy(2), n }, { n }]);
  packRows(cwd, [{ uid: legacy(3), day: '2016-08-02', n: 1 }]);
  sql(cwd);
  return cwd;
}

let all: string | undefined;
function withEverything(t: Test): string {
  all ??= everything(t.parent as Test);
  return copyOf(t, all);
}

t.test('cans of a generation that was superseded are known, whether they are still there or not', async (t) => {
  const cwd = withEverything(t);
  t.same(await check(cwd), []);
  const before = tables(join(cwd, 'jsonl.sqlite')).cans as { s3path: string; superseded: number }[];
  const [old, ...more] = before.filter(({ superseded }) => superseded);
  t.same(more, []);
  rmSync(file(cwd, old!.s3path));
  t.same(await check(cwd), [], 'its lines were removed');
  rmSync(file(cwd, old!.s3path.replace('.jsonl.gz', '.tar.gz')));
  t.same(await check(cwd), [], 'and its posts');
  sql(cwd, `UPDATE can SET superseded = 1 WHERE id = ${canId(cwd, DE)}`);
  t.same(
    (await check(cwd, { deep: false })).map(short),
    ['index DE.jsonl.gz', 'index DE.jsonl.gz'],
    'one that has rows',
  );
});

t.test(
  'a bucket that was read whole supersedes cans of other countries, and what of them is left is listed',
  async (t) => {
    const cwd = folder(t);
    const whole = { whole: ['2016-08-01'] };
    for (const [uid, cc] of [
      [1, 'IT'],
      [2, 'DE'],
    ] as const)
      packRows(cwd, [{ uid: legacy(uid), cc, n: 1 }]);
    packRows(
      cwd,
      [1, 2].map((n) => ({ uid: legacy(n), cc: 'FR', n })),
      whole,
    );
    const cans = tables(join(cwd, 'jsonl.sqlite')).cans as { s3path: string; cc: string; superseded: number }[];
    t.same(
      cans.map(({ cc, superseded }) => [cc, superseded]),
      [
        ['DE', 1],
        ['FR', 0],
        ['IT', 1],
      ],
    );
    for (const deep of [false, true]) t.same(await check(cwd, { deep }), [], 'they are no fault');
    const [de, , it] = cans.map(({ s3path }) => s3path) as [string, string, string];
    const keys = [de, de.replace('.jsonl.gz', '.tar.gz')];
    const bytes = keys.reduce((sum, key) => sum + readFileSync(file(cwd, key)).length, 0);
    rmSync(file(cwd, it));
    const posts = it.replace('.jsonl.gz', '.tar.gz');
    const rest = { superseded: it, bytes: readFileSync(file(cwd, posts)).length, keys: [posts] };
    const list = () => fsck(cwd, ...INDEX, '--superseded') as unknown;
    t.same(list(), { code: 0, found: [{ superseded: de, bytes, keys }, rest], err: '' });
    for (const key of [...keys, posts]) rmSync(file(cwd, key));
    t.same(list(), { code: 0, found: [], err: '' }, 'nothing is left of them');
  },
);

t.test('row cans have the name of their content', async (t) => {
  const cwd = withEverything(t);
  const path = tree(join(cwd, 'store')).find((one) => /20160802_.*\.x\..*\.tar\.gz$/.test(one))!;
  change(file(cwd, path), flip(5));
  sql(cwd, 'UPDATE can SET postcan_sha256 = NULL, postcan_bytes = NULL, sha256 = NULL');
  const found = await check(cwd);
  t.match(found, [{ finding: 'checksum', reason: 'its name is not that of its content' }], 'without any other digest');
});

t.test('cans of others: plain gzip, other JSON, no posts, no hashes', async (t) => {
  const cwd = folder(t);
  const hour = 'raw/20210817/15/US/ndt/2021081715_US_ndt.n1.0';
  const published = 'jsonl/ndt/US/20200921/00/20200921_US_ndt.l.0';
  const uid = (n: number) => `20210817150000.00000${n}_US_ndt_0123456789abcdef`;
  const put = (key: string, bytes: Buffer | string) => {
    mkdirSync(dirname(file(cwd, key)), { recursive: true });
    writeFileSync(file(cwd, key), bytes);
  };
  const lines = ['{"report_id": "r0", "input": null}', '{}', '{"report_id": "r2", "input": "\\u00e9"}'];
  put(`${hour}.jsonl.gz`, gzipSync(lines.map((line) => `${line}\n`).join('')));
  const spool = join(cwd, 'var/lib/incoming');
  const write = (n: number, post: string) => {
    mkdirSync(join(spool, '2021081715_US_ndt'), { recursive: true });
    writeFileSync(join(spool, '2021081715_US_ndt', `${uid(n)}.post`), post);
  };
  write(0, '{"format":"json","content":{"report_id":"r0","input":null}}');
  write(1, JSON.stringify({ format: 'yaml', content: 'report_id: r1' }));
  write(2, '{"format":"json","content":{"report_id":"r2","input":"é"}}');
  t.equal(shell(`find var -type f | sort | tar -czf store/${hour}.tar.gz -T -`, { cwd }).code, 0);
  put(`${published}.jsonl.gz`, '{"report_id":"p0","input":["a","b"]}\n{"report_id":"p1"}'); // neither gzip nor a last line feed
  const foreign = new Database(join(cwd, 'foreign.sqlite'));
  foreign.exec('CREATE TABLE jsonl (report_id, input, s3path, linenum INTEGER, measurement_uid)');
  const insert = foreign.prepare('INSERT INTO jsonl VALUES (?, ?, ?, ?, ?)');
  insert.run('r0', null, `${hour}.jsonl.gz`, 0, uid(0));
  insert.run('r2', 'é', `${hour}.jsonl.gz`, 2, uid(2));
  insert.run('p0', 'a:b', `${published}.jsonl.gz`, 0, null);
  insert.run('p1', null, `${published}.jsonl.gz`, 1, null);
  foreign.close();
  t.equal(shell('cannery index jsonl.sqlite --merge foreign.sqlite --store store', { cwd }).code, 0);
  for (const deep of [false, true]) t.same(await check(cwd, { deep }), [], `deep: ${deep}`);

  const rebuild = join(cwd, 'new.sqlite');
  t.same(await check(cwd, { index: undefined, rebuild }), []);
  t.same(await check(cwd, { index: rebuild }), []);
  const [before, after] = [tables(join(cwd, 'jsonl.sqlite')), tables(rebuild)];
  t.same(after.jsonl, before.jsonl, 'the same rows');
  t.same(
    (after.cans as { class: string }[]).map((can) => can.class),
    ['foreign', 'foreign'],
  );
  for (const id of ['r0', 'r2', 'p0', 'p1'])
    t.equal(cannery(['get', '--raw', '--index', 'new.sqlite', '--report-id', id], { cwd }).code, 0, `get finds ${id}`);

  change(
    file(cwd, `${hour}.jsonl.gz`),
    relined(([a, , c]) => [c!, a!]),
  );
  t.same(
    (await check(cwd)).map((one) => short(one).replace(hour, 'H')),
    [
      'line H.jsonl.gz 0+1',
      'post H.jsonl.gz 0+2',
      'unindexed H.jsonl.gz 1+1',
      'dangling H.jsonl.gz 2+1',
      'post H.tar.gz',
    ],
  );
  t.same(
    (await check(cwd, { deep: false })).map((one) => short(one).replace(hour, 'H')),
    ['line H.jsonl.gz 0+1'],
  );
});

// --- rebuilding

t.test('an index made anew is the one that was', async (t) => {
  for (const [name, cwd] of [
    ['the shipped posts', shipped(t)],
    ['everything', withEverything(t)],
  ] as const) {
    const rebuild = join(cwd, 'new.sqlite');
    t.same(await check(cwd, { rebuild }), [], name);
    const [before, after] = [tables(join(cwd, 'jsonl.sqlite')), tables(rebuild)];
    for (const table of Object.keys(before)) t.same(after[table], before[table], `${name}: ${table}`);
    t.same(await check(cwd, { index: rebuild }), [], 'which agrees with the store');
    t.same(
      tree(cwd).filter((path) => path.includes('.building')),
      [],
    );
  }
});

t.test('an index made of the cans alone', async (t) => {
  const cwd = withEverything(t);
  const rebuild = join(cwd, 'new.sqlite');
  const found = await check(cwd, { index: undefined, rebuild });
  t.match(
    found,
    [
      { finding: 'class', reason: /whether 3 row cans are sanitised/ },
      {
        finding: 'generation',
        s3path: /20160801_IT_ndt/,
        reason: /2 cans of 20160801_IT_ndt have 2 measurements in common/,
      },
    ],
    'what the store does not tell is told to be unknown',
  );
  const [before, after] = [tables(join(cwd, 'jsonl.sqlite')), tables(rebuild)];
  type Can = { s3path: string; superseded: number };
  const gone = (before.cans as Can[]).find(({ superseded }) => superseded)!.s3path;
  const live = (rows: unknown[]) => (rows as Can[]).filter(({ s3path }) => s3path !== gone);
  for (const table of ['members', 'lines', 'jsonl']) t.same(live(after[table]!), before[table], table);
  const plain = (rows: unknown[]) =>
    live(rows).map((can) => ({ ...can, ...(can.s3path.includes('.x.') && { class: '', generation: '', made: 0 }) }));
  t.same(
    plain(after.cans!),
    plain(before.cans!),
    'cans of posts to the last column, row cans but for class and generation',
  );
  t.same(await check(cwd, { index: rebuild }), []);

  rmSync(rebuild);
  rmSync(file(cwd, gone));
  rmSync(file(cwd, gone.replace('.jsonl.gz', '.tar.gz')));
  const outgoing = join(cwd, 'outgoing-rows');
  change(join(outgoing, 'outgoing.json'), (bytes) =>
    Buffer.from(bytes.toString().replace(/"store": ".*?"/, `"store": "${cwd}/store"`)),
  );
  t.same(await check(cwd, { index: undefined, rebuild, outgoing }), [], 'the outgoing folder tells the class');
  t.same(live(tables(rebuild).lines!), before.lines);
  packRows(copyIndex(cwd), [{ uid: legacy(1), n: 3 }, { uid: legacy(2), n: 3 }, { n: 3 }]);
  const next = tables(join(cwd, 'jsonl.sqlite')).cans as (Can & { grp: string | null })[];
  t.same(
    next
      .filter(({ grp }) => grp === '20160801_IT_ndt')
      .map(({ superseded }) => superseded)
      .sort(),
    [0, 1],
    'a later generation takes the place of what was made anew',
  );

  const doubled = withEverything(t);
  const told = await check(doubled, { index: undefined, rebuild: join(doubled, 'new.sqlite'), rowClass: 'sanitised' });
  t.same(
    told.map(({ finding }) => finding),
    ['generation'],
    'the class was told',
  );
  copyIndex(doubled);
  packRows(doubled, [{ uid: legacy(1), n: 3 }, { uid: legacy(2), n: 3 }, { n: 3 }], {}, '--replace');
  t.same(
    (tables(join(doubled, 'jsonl.sqlite')).cans as (Can & { grp: string | null })[])
      .filter(({ grp }) => grp === '20160801_IT_ndt')
      .map(({ superseded }) => superseded)
      .sort(),
    [0, 1, 1],
    'also of two generations, with --replace',
  );
});

/** The index that was made anew in the place of the old one. */
function copyIndex(cwd: string): string {
  for (const end of ['', '-wal', '-shm']) rmSync(join(cwd, `jsonl.sqlite${end}`), { force: true });
  cpSync(join(cwd, 'new.sqlite'), join(cwd, 'jsonl.sqlite'));
  rmSync(join(cwd, 'outgoing-rows'), { recursive: true });
  return cwd;
}

t.test('cans that are damaged: an index of all that can be read', async (t) => {
  const cwd = withEverything(t);
  const many = tree(join(cwd, 'store')).find((one) => one.endsWith('FR_tor.n0.0.jsonl.gz'))!;
  const before = tables(join(cwd, 'jsonl.sqlite'));
  type Line = { s3path: string; linenum: number };
  const members = (before.members as { s3path: string; first_line: number; offset: number; length: number }[]).filter(
    ({ s3path }) => s3path === many,
  );
  t.ok(members.length > 3, `${members.length} members`);
  const { first_line: first, offset, length } = members[2]!;
  const end = members[3]!.first_line;
  change(file(cwd, many), flip(offset + Math.floor(length / 2)));
  const lost = ({ s3path, linenum }: Line, to = Number.POSITIVE_INFINITY) =>
    s3path === many && linenum >= first && linenum < to;

  const withIndex = join(cwd, 'with.sqlite');
  const found = await check(cwd, { rebuild: withIndex });
  t.match(
    found.filter(({ finding }) => finding === 'broken'),
    [{ s3path: many, linenum: first, lines: end - first }],
  );
  t.ok(found.some(({ finding }) => finding === 'checksum'));
  t.same(
    tables(withIndex).lines,
    (before.lines as Line[]).filter((line) => !lost(line, end)),
    'the index tells where the lines go on',
  );

  const alone = join(cwd, 'alone.sqlite');
  await check(cwd, { index: undefined, rebuild: alone });
  const gone = (before.cans as { s3path: string; superseded: number }[]).find(({ superseded }) => superseded)!.s3path;
  t.same(
    (tables(alone).lines as Line[]).filter(({ s3path }) => s3path !== gone),
    (before.lines as Line[]).filter((line) => !lost(line)),
    'without it, the lines before',
  );
  t.match(
    (await check(cwd, { index: alone })).filter(({ finding }) => finding === 'broken'),
    [{ s3path: many, linenum: first }],
    'and it is told again',
  );

  // Posts that cannot be read: the rows beside the can know their uids.
  const tar = many.replace('.jsonl.gz', '.tar.gz');
  const other = withEverything(t);
  change(file(other, tar), flip(2000));
  await check(other, { index: undefined, rebuild: join(other, 'new.sqlite') });
  const uids = (path: string) =>
    (tables(path).jsonl as (Line & { measurement_uid: string })[]).filter(({ s3path }) => s3path === many);
  t.same(uids(join(other, 'new.sqlite')), uids(join(other, 'jsonl.sqlite')));
});

t.test('a damaged member costs its own lines, and tells of no others, wherever the damage is', async (t) => {
  const cwd = withEverything(t);
  const path = tree(join(cwd, 'store')).find((one) => one.endsWith('FR_tor.n0.0.jsonl.gz'))!;
  type Member = { s3path: string; first_line: number; offset: number; length: number };
  const members = (tables(join(cwd, 'jsonl.sqlite')).members as Member[]).filter(({ s3path }) => s3path === path);
  const at = members.findIndex(({ first_line }, n) => (members[n + 1]?.first_line ?? 0) - first_line > 50);
  const { first_line, offset, length } = members[at]!;
  const good = readFileSync(file(cwd, path));
  for (let n = 0; n < 16; n++) {
    // Between the header and the sums.
    change(file(cwd, path), flip(offset + 10 + Math.floor(((length - 18) * n) / 16)));
    const found = (await check(cwd)).filter(({ finding }) => finding !== 'checksum');
    t.match(found, [{ finding: 'broken', linenum: first_line, lines: members[at + 1]!.first_line - first_line }]);
    t.equal(found.length, 1);
    writeFileSync(file(cwd, path), good);
  }
});

t.test('nothing is written over, and nothing is left of a run that is stopped', async (t) => {
  const cwd = shipped(t);
  const before = readFileSync(join(cwd, 'jsonl.sqlite'));
  const refused = fsck(cwd, '--rebuild', 'jsonl.sqlite');
  t.same([refused.code, refused.err], [1, 'cannery fsck: jsonl.sqlite: exists already, and is not written over\n']);
  t.ok(readFileSync(join(cwd, 'jsonl.sqlite')).equals(before));
  t.equal(fsck(cwd, '--rebuild', 'none/new.sqlite').code, 1);
  const files = tree(cwd);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGKILL'] as const) {
    const child = spawn(
      process.execPath,
      [CANNERY, 'fsck', '--store', 'store', '--rebuild', 'new.sqlite', '--jobs', '1'],
      { cwd },
    );
    while (!tree(cwd).some((path) => path.includes('.building')) && child.exitCode === null) await sleep(2);
    child.kill(signal);
    const [code, ended] = (await once(child, 'close')) as [number | null, string | null];
    t.same([code, ended], [null, signal], `${signal} ends it`);
    const left = tree(cwd).filter((path) => !files.includes(path));
    if (signal === 'SIGKILL') t.match(left, [/^\.new\.sqlite\..*\.building$/], 'nobody could tidy up');
    else t.same(left, [], 'nothing is left');
  }
  t.equal(fsck(cwd, '--rebuild', 'new.sqlite').code, 0);
  t.same(
    tree(cwd).filter((path) => !files.includes(path)),
    ['new.sqlite'],
    'the next run gives the space back',
  );
});

t.test('cans are not held in memory', (t) => {
  const peak = (cwd: string, args: string[]) => {
    const code = "process.on('exit', () => process.stderr.write(String(process.resourceUsage().maxRSS)))";
    const node = ['--max-old-space-size=40', '--import', `data:text/javascript,${code}`];
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [...node, CANNERY, 'fsck', '--store', 'store', ...args],
      {
        cwd,
        encoding: 'utf8',
      },
    );
    t.same([status, stdout], [0, ''], stderr);
    return Number(stderr) / 1024;
  };
  const cwd = folder(t);
  for (let n = 0; n < 90; n++) {
    const content = `{"report_id":"r","input":"${n}","body":"${randomBytes(750_000).toString('base64')}"}`;
    putPost(join(cwd, 'incoming'), `{"format":"json","content":${content}}`);
  }
  t.equal(shell(PACK.replace('--host', '--max-bytes 200M --host'), { cwd }).code, 0);
  const sizes = tree(join(cwd, 'store')).map((path) => statSync(file(cwd, path)).size / 2 ** 20);
  t.ok(sizes.filter((size) => size > 60).length === 2, 'both files of one can are large');
  const small = peak(shipped(t), [...INDEX, '--deep']);
  for (const args of [
    [...INDEX, '--deep'],
    ['--rebuild', 'new.sqlite'],
  ]) {
    const large = peak(cwd, args);
    t.ok(large - small < 140, `${args.at(-1)}: ${large.toFixed()} MB, and ${small.toFixed()} MB for small cans`);
    t.comment(`${args.at(-1)}: ${large.toFixed()} MB, and ${small.toFixed()} MB for small cans`);
  }
  t.end();
});

// --- ranges and interruptions

/** Damage in every can. */
function worn(t: Test): string {
  const cwd = shipped(t);
  for (const [n, path] of tree(join(cwd, 'store'))
    .filter((one) => !one.includes('.rows.'))
    .entries()) {
    if (n % 3 === 0) rmSync(file(cwd, path));
    else if (n % 3 === 1) change(file(cwd, path), flip(-20));
  }
  sql(cwd, 'DELETE FROM line WHERE id % 7 = 3');
  return cwd;
}

t.test('any two parts together find what the whole does', async (t) => {
  const cwd = worn(t);
  for (const deep of [false, true]) {
    const whole = await check(cwd, { deep });
    t.ok(whole.length > 8, `${whole.length} findings`);
    const keys = [
      ...tree(join(cwd, 'store')),
      ...(tables(join(cwd, 'jsonl.sqlite')).cans as { s3path: string }[]).map(({ s3path }) => s3path),
      'raw',
      'raw/20240201/11',
      'zzz',
      '',
    ];
    for (const key of keys) {
      const parts = [
        ...(key === '' ? [] : await check(cwd, { deep, until: key })),
        ...(await check(cwd, { deep, after: key })),
      ];
      t.same(parts, whole, `at '${key}'`);
    }
  }
});

t.test('indexes of two parts, merged, are the index of the whole', async (t) => {
  const cwd = withEverything(t);
  for (const key of ['jsonl0', 'raw/20240201/10', `${DE}.jsonl.gz`]) {
    const [one, two, whole] = ['one', 'two', 'whole'].map((name) => join(cwd, `${name}.sqlite`)) as [
      string,
      string,
      string,
    ];
    const found = [
      ...(await check(cwd, { rebuild: one, until: key })),
      ...(await check(cwd, { rebuild: two, after: key })),
    ];
    t.same(found, []);
    t.equal(cannery(['index', whole, '--merge', `${one},${two}`]).code, 0);
    const [before, after] = [tables(join(cwd, 'jsonl.sqlite')), tables(whole)];
    for (const table of Object.keys(before)) t.same(after[table], before[table], `at ${key}: ${table}`);
    for (const path of [one, two, whole]) rmSync(path);
  }
});

t.test('a run that is interrupted tells how to go on, and both together tell what the whole does', async (t) => {
  const cwd = folder(t);
  for (let n = 10; n < 70; n++)
    putPost(join(cwd, 'incoming'), '{"format":"json","content":{}}', {
      time: '20240201100000.000001',
      test: `test${n}`,
    });
  t.equal(shell(PACK, { cwd }).code, 0);
  for (const path of tree(join(cwd, 'store')).filter((one) => one.endsWith('.tar.gz'))) rmSync(file(cwd, path));
  const args = ['fsck', '--store', 'store', ...INDEX, '--deep', '--jobs', '1'];
  const whole = cannery(args, { cwd });
  t.equal(whole.code, 3);
  const child = spawn(process.execPath, [CANNERY, ...args], { cwd });
  let [out, err] = ['', ''];
  child.stdout.on('data', (piece) => {
    if (out === '') child.kill('SIGINT');
    out += piece;
  });
  child.stderr.on('data', (piece) => (err += piece));
  t.same(await once(child, 'close'), [null, 'SIGINT']);
  const [, after] = /stopped: --after '(.*)' goes on\n$/.exec(err) ?? [];
  t.ok(after, err.slice(-300));
  const rest = cannery([...args, '--after', after!], { cwd });
  t.ok(rest.out.length < whole.out.length, 'it had not begun anew');
  t.equal(out + rest.out, whole.out);
});
