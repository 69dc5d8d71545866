// How fast `cannery index` takes the rows of cans, and how large the index grows: makes sent cans with rows
// of a realistic shape (57-byte uids, 60-byte report ids, inputs of test lists) and indexes them. Then looks some of them up
// in the program's own way, by uid and by report and input, each once, and once more when the pages are warm.
//   node bench/index-rows.mjs [rows, default 1000000] [rows a can, default 5000]

import { spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ours } from './ours.mjs';

const rows = Number(process.argv[2] ?? 1_000_000);
const perCan = Number(process.argv[3] ?? 5000);
const dir = mkdtempSync(join(tmpdir(), 'cannery-bench-'));
const outgoing = join(dir, 'outgoing');
for (const state of ['building', 'ready', 'sent', 'indexed', 'held', 'names'])
  mkdirSync(join(outgoing, state), { recursive: true });
writeFileSync(join(outgoing, 'outgoing.json'), JSON.stringify({ version: 1, store: join(dir, 'store') }));

const countries = ['US', 'IT', 'IR', 'BR', 'DE', 'RU', 'IN', 'TR', 'EG', 'MM'];
const receipts = [];
/** Some of all rows. */
const some = [];
for (let made = 0; made < rows; made += perCan) {
  const n = Math.min(perCan, rows - made);
  const hour = new Date(Date.UTC(2024, 1, 1) + Math.floor(receipts.length / countries.length) * 3_600_000)
    .toISOString()
    .replace(/[-T]/g, '')
    .slice(0, 10);
  const cc = countries[receipts.length % countries.length];
  const can = `${hour}_${cc}_webconnectivity.n0.0`;
  const seconds = Array.from({ length: n }, () => Math.random() * 3599).sort((a, b) => a - b);
  // Several probes measure at once: their reports are interleaved.
  const reports = Array.from({ length: Math.ceil(n / 40) }, () =>
    randomBytes(12).toString('base64').replace(/[+/]/g, 'o'),
  );
  const posts = [];
  const lines = seconds.map((s, i) => {
    const time = `${hour}${String(Math.floor(s / 60)).padStart(2, '0')}${(s % 60).toFixed(6).padStart(9, '0').slice(0, 9)}`;
    const report = reports[Math.floor(i / 40)];
    const uid = `${time}_${cc}_webconnectivity_${randomBytes(8).toString('hex')}`;
    posts.push({
      file: `${hour}_${cc}_webconnectivity/${uid}.post`,
      bytes: 1,
      sha256: createHash('sha256').update(uid).digest('hex'),
    });
    const reportId = `${hour.slice(0, 8)}T${hour.slice(8)}0000Z_webconnectivity_${cc}_64496_n1_${report}`;
    const input = `https://www.example-${(i * 7919) % 2500}.org/path/`;
    if (Math.random() < 1000 / rows) some.push({ uid, reportId, input });
    return JSON.stringify({
      measurement_uid: uid,
      report_id: reportId,
      input,
      linenum: i,
      offset: Math.floor(i / 2) * 21_000,
      length: 21_000,
      hash: randomBytes(8).toString('hex'),
    });
  });
  const folder = join(outgoing, 'sent', can);
  mkdirSync(folder);
  writeFileSync(join(folder, 'lock'), '');
  writeFileSync(join(folder, 'rows.jsonl'), `${lines.join('\n')}\n`);
  const key = `raw/${hour.slice(0, 8)}/${hour.slice(8)}/${cc}/webconnectivity/${can}`;
  const sha256 = createHash('sha256').update(can).digest('hex');
  const files = ['.tar.gz', '.jsonl.gz'].map((ext) => ({
    name: can + ext,
    bytes: 1,
    sha256,
    s3path: key + ext,
  }));
  const manifest = {
    version: 1,
    can,
    class: 'as-received',
    measurements: n,
    unreadable: 0,
    files,
    spool: dir,
    posts,
  };
  writeFileSync(join(folder, 'can.json'), JSON.stringify(manifest));
  receipts.push(JSON.stringify({ can, dir: folder, class: 'as-received', measurements: n, files: [] }));
}
const db = join(dir, 'jsonl.sqlite');
const started = performance.now();
const run = spawnSync(process.execPath, ['bin/cannery', 'index', db, '--stats'], {
  input: `${receipts.join('\n')}\n`,
  maxBuffer: 2 ** 30,
});
const seconds = (performance.now() - started) / 1000;
if (run.status !== 0) throw new Error(run.stderr.toString());
const bytes = statSync(db).size;
const { IndexDb } = await ours('src/edge/index-db.ts');
const index = new IndexDb(db, 'read');
const median = (list) => list.toSorted((a, b) => a - b)[list.length >> 1];
/** Milliseconds of a look-up: the first of each row, and the second. */
function timesOf(find) {
  const rounds = [1, 2].map(() =>
    some.map((row) => {
      const begun = performance.now();
      if (find(row).length === 0) throw new Error('not found');
      return performance.now() - begun;
    }),
  );
  return rounds.map((times) => Number(median(times).toFixed(3)));
}
const [uidMs, uidWarmMs] = timesOf(({ uid }) => index.byUid(uid));
const [reportMs, reportWarmMs] = timesOf(({ reportId, input }) => index.byReport(reportId, input));
index.close();
console.log(
  JSON.stringify({
    rows,
    cans: receipts.length,
    seconds: Number(seconds.toFixed(2)),
    rows_per_second: Math.round(rows / seconds),
    bytes_per_row: Number((bytes / rows).toFixed(1)),
    lookups: some.length,
    uid_ms: [uidMs, uidWarmMs],
    report_input_ms: [reportMs, reportWarmMs],
  }),
);
rmSync(dir, { recursive: true, force: true });
