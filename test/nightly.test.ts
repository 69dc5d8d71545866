// The nightly half: an archive of old reports, to names, a bucket, one shape, without secrets, into public cans.
import { spawn } from 'node:child_process';
import { cpSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import Database from 'better-sqlite3';
import t, { type Test } from 'tap';
import { BIN, cannery, folder, ROOT, rows, shell, tree } from './lib.ts';

const RENAME = 'cannery rename archive/ --to reports/';
const BUCKET = 'cannery ls reports/ --kind report | cannery bucket --to reports-raw/ --date 2016-08-02';
const READ = 'cannery ls reports-raw/2016-08-02 | cannery cat --end | cannery normalise';
const SANITISE = 'cannery sanitise --bridges bridge_db.json';
const PUBLISH =
  'cannery postcan --rows --to outgoing-public/ | cannery upload store | cannery index public.sqlite | cannery clear';
const NIGHTLY = `${READ} | ${SANITISE} | ${PUBLISH}`;

/** The shipped archive, as old as it says, already in its bucket. */
function bucket(t: Test): string {
  const cwd = folder(t);
  cpSync(join(ROOT, 'fixtures/reports'), cwd, { recursive: true });
  for (const file of tree(join(cwd, 'archive'))) utimesSync(join(cwd, 'archive', file), 1_600_000_000, 1_600_000_000);
  const renamed = shell(RENAME, { cwd });
  t.equal(renamed.code, 0, renamed.err);
  const moved = shell(BUCKET, { cwd });
  t.equal(moved.code, 0, moved.err);
  return cwd;
}

interface Listed {
  s3path: string;
  measurement_uid: string;
  report_id: string;
  input: string;
}

function indexed(cwd: string): Listed[] {
  const db = new Database(join(cwd, 'public.sqlite'), { readonly: true });
  try {
    return db.prepare('SELECT * FROM jsonl ORDER BY s3path, linenum').all() as Listed[];
  } finally {
    db.close();
  }
}

/** Every byte of what was published, inflated. */
function published(cwd: string): string {
  return tree(join(cwd, 'store'))
    .map((file) => gunzipSync(readFileSync(join(cwd, 'store', file))).toString('latin1'))
    .join('\n');
}

const SECRETS = [
  '192.0.2.7:443', // a bridge of the database
  '0123456789ABCDEF0123456789ABCDEF01234567',
  '198.51.100.216', // one that nobody knows
  '192.0.2.77', // the probe's own address
];

t.test('an archive ends in public cans', (t) => {
  const cwd = bucket(t);
  t.same(tree(join(cwd, 'archive')), [], 'every report has left the archive');
  const before = rows<Record<string, unknown>>(shell(`${READ} | ${SANITISE}`, { cwd }).out).filter(
    (row) => !row.cannery,
  );
  t.ok(before.length >= 10, `${before.length} measurements`);
  const { code, out, err } = shell(NIGHTLY, { cwd });
  t.equal(code, 0, err);
  for (const row of rows(out)) t.match(row, { class: 'sanitised', cleared: true });
  const index = indexed(cwd);
  t.same(index.map((row) => row.measurement_uid).sort(), before.map((row) => row.measurement_uid).sort());
  for (const row of before) {
    const got = cannery(['get', '--index', 'public.sqlite', '--store', 'store', String(row.measurement_uid)], { cwd });
    const { measurement_uid, ...document } = rows(got.out)[0]!;
    const { measurement_uid: uid, ...wanted } = row;
    t.equal(measurement_uid, uid);
    t.same(document, { ...wanted, bucket_date: document.bucket_date, report_filename: document.report_filename });
    t.equal(wanted.bucket_date, '2016-08-02');
  }
  const text = published(cwd);
  for (const secret of SECRETS) t.notOk(text.includes(secret), `${secret} is nowhere`);
  t.end();
});

t.test('the same bucket again: the same names, and nothing new', (t) => {
  const cwd = bucket(t);
  shell(NIGHTLY, { cwd });
  const look = () => tree(join(cwd, 'store')).map((file) => [file, statSync(join(cwd, 'store', file)).mtimeMs]);
  const first = { store: look(), index: indexed(cwd) };
  const { code, out, err } = shell(NIGHTLY, { cwd });
  t.equal(code, 0, err);
  t.same({ store: look(), index: indexed(cwd) }, first);
  t.notMatch(out, /superseded/);
  t.end();
});

t.test('another bridge database: a new generation, and the index shows it alone', (t) => {
  const cwd = bucket(t);
  shell(NIGHTLY, { cwd });
  const first = indexed(cwd);
  const path = join(cwd, 'bridge_db.json');
  const database = JSON.parse(readFileSync(path, 'utf8'));
  database['198.51.100.216:47870'] = {
    distributor: 'email',
    transport: 'obfs2',
    fingerprint: '1F01A7BB60F49FC96E0850A6BAD6D076DFEFAF80',
  };
  writeFileSync(path, JSON.stringify(database));
  const { code, out, err } = shell(NIGHTLY, { cwd });
  t.equal(code, 0, err);
  const superseded = rows<{ superseded?: string[] }>(out).flatMap((row) => row.superseded ?? []);
  t.ok(superseded.length > 0, `superseded: ${superseded.join(' ')}`);
  const now = indexed(cwd);
  t.same(now.map((row) => row.measurement_uid).sort(), first.map((row) => row.measurement_uid).sort());
  for (const key of superseded) {
    t.match(err, `${key}: superseded`);
    t.ok(first.some((row) => row.s3path === key));
    t.notOk(now.some((row) => row.s3path === key));
    t.ok(tree(join(cwd, 'store')).includes(key), 'the store keeps it');
  }
  t.end();
});

t.test('a rule that leaves records out empties their groups, without --replace', (t) => {
  const cwd = bucket(t);
  shell(NIGHTLY, { cwd });
  const first = indexed(cwd);
  const { code, err } = shell(NIGHTLY.replace(SANITISE, `${SANITISE} --unknown drop`), { cwd });
  t.equal(code, 0, err);
  const now = indexed(cwd);
  t.ok(now.length < first.length, `${now.length} of ${first.length}`);
  const groups = (list: Listed[]) => new Set(list.map(({ s3path }) => s3path.split('/').slice(0, 4).join('/')));
  t.ok(groups(now).size <= groups(first).size);
  t.end();
});

t.test('a part of a bucket takes nobody else out', (t) => {
  const cwd = bucket(t);
  shell(NIGHTLY, { cwd });
  const first = indexed(cwd);
  const part = NIGHTLY.replace('reports-raw/2016-08-02', 'reports-raw/2016-08-02/*web_connectivity*');
  const { err } = shell(part, { cwd });
  t.same(indexed(cwd), first, err);
  t.end();
});

t.test('a stage killed in the middle of the pipe publishes nothing', async (t) => {
  for (const victim of ['cat', 'normalise', 'sanitise']) {
    const cwd = bucket(t);
    // Rows trickle in, so that there is a middle; then the stage is killed, and its reader sees a plain end of input.
    const slow = 'while IFS= read -r line; do printf "%s\\n" "$line"; sleep 0.1; done';
    const stages = ['cannery cat --end', 'cannery normalise', SANITISE].map((stage) =>
      stage.includes(` ${victim}`) ? `{ ${stage} & echo $! >victim; wait $!; }` : stage,
    );
    const [cat, normalise, sanitise] = stages;
    const line = `cannery ls reports-raw/2016-08-02 | ${slow} | ${cat} | ${slow} | ${normalise} | ${slow} | ${sanitise} | ${PUBLISH}`;
    const child = spawn('bash', ['-o', 'pipefail', '-c', line.replaceAll(`& echo`, '<&0 & echo')], {
      cwd,
      env: { ...process.env, PATH: `${BIN}:${process.env.PATH}`, NODE_OPTIONS: '' },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let err = '';
    child.stderr.on('data', (piece) => (err += piece));
    const ended = new Promise((done) => child.on('close', done));
    let pid = 0;
    while (pid === 0) {
      await new Promise((done) => setTimeout(done, 100));
      try {
        pid = Number(readFileSync(join(cwd, 'victim'), 'utf8'));
      } catch {
        // not started yet
      }
    }
    await new Promise((done) => setTimeout(done, 900));
    process.kill(pid, 'SIGKILL');
    await ended;
    t.match(err, /has no end row/, `${victim} killed`);
    t.same(tree(join(cwd, 'store')), [], 'nothing is published');
    t.same(
      tree(join(cwd, 'outgoing-public')).filter((file) => /^(?:ready|sent|indexed)\/./.test(file)),
      [],
      'no can is ready',
    );
    // And the run after it is whole.
    t.equal(shell(NIGHTLY, { cwd }).code, 0);
    t.ok(indexed(cwd).length >= 10);
  }
});

t.test('rows that were not sanitised are not sent without --private', (t) => {
  const cwd = bucket(t);
  const line = `${READ} | cannery postcan --rows --to outgoing-raw/ | cannery upload store`;
  const { err } = shell(line, { cwd });
  t.match(err, /--private/);
  t.same(tree(join(cwd, 'store')), []);
  t.end();
});
