// What one measurement costs out of a can of 20 MB, against inflating the can up to the line: with node's own zlib, which is the
// quickest here, with zcat, and with Python's gzip.
//   node bench/spool.mjs --to DIR && node bench/lookup.mjs DIR [LOOK-UPS, default 40]
// Bytes read, time inside the process, and the start of the process, which a person waits for as well.
import { execFileSync, spawnSync } from 'node:child_process';
import { createReadStream, existsSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import zlib from 'node:zlib';
import Database from 'better-sqlite3';
import { has, machine } from './contest.mjs';

const [dir, count = '40'] = process.argv.slice(2);
if (!dir) throw new Error('usage: node bench/lookup.mjs DIR [LOOK-UPS]');
const work = join(resolve(dir), 'lookup');
const cannery = resolve('bin/cannery');
if (!existsSync(join(work, 'jsonl.sqlite'))) {
  mkdirSync(join(work, 'incoming'), { recursive: true });
  const largest = readdirSync(join(work, '../incoming'))
    .filter((name) => name.endsWith('webconnectivity'))
    .map((name) => ({ name, posts: readdirSync(join(work, '../incoming', name)).length }))
    .sort((a, b) => b.posts - a.posts)[0].name;
  const lines = [
    `cp -rl ../incoming/${largest} incoming/`,
    `node ${cannery} ls incoming | node ${cannery} postcan --spool incoming --to outgoing --host n0 |`,
    `  node ${cannery} upload store | node ${cannery} index jsonl.sqlite | node ${cannery} clear > receipts`,
  ];
  execFileSync('bash', ['-o', 'pipefail', '-e', '-c', lines.join('\n')], { cwd: work, stdio: 'inherit' });
}

/** The same choice each time. */
const chance = (
  (state) => () =>
    (state = (state * 1103515245 + 12345) % 2 ** 31) / 2 ** 31
)(1);
const index = new Database(join(work, 'jsonl.sqlite'), { readonly: true });
const key = index.prepare('SELECT s3path FROM can ORDER BY bytes DESC LIMIT 1').pluck().get();
const lines = index
  .prepare('SELECT linenum, measurement_uid AS uid FROM jsonl WHERE s3path = ? ORDER BY linenum')
  .all(key);
const can = index.prepare('SELECT id FROM can WHERE s3path = ?').pluck().get(key);
const place = index.prepare('SELECT * FROM member WHERE can = ? AND first_line <= ? ORDER BY first_line DESC LIMIT 1');
/** Several choices, for one may have more than its share of large measurements. */
const choices = Array.from({ length: 5 }, () =>
  Array.from({ length: Number(count) }, () => lines[Math.floor(chance() * lines.length)]),
);
const chosen = choices.flat();
const median = (list) => list.toSorted((a, b) => a - b)[list.length >> 1];

/** Milliseconds that a process takes. */
function wall([args, input]) {
  const started = performance.now();
  // What a reader does with the lines is none of a look-up's time.
  const stdio = ['pipe', 'ignore', 'pipe'];
  const { status, stderr } = spawnSync(process.execPath, args, { cwd: work, input, stdio });
  if (status !== 0) throw new Error(stderr.toString());
  return performance.now() - started;
}

/** Of each line the least of several tries, taken in turn: what is told is a difference between them. */
function walls(lines, tries) {
  const rounds = Array.from({ length: tries }, () => lines.map(wall));
  return lines.map((_, n) => Math.min(...rounds.map((round) => round[n])));
}

/** Downloads, in pieces, and inflates as far as the line. */
async function streamed(linenum) {
  const started = performance.now();
  const file = createReadStream(join(work, 'store', key), { highWaterMark: 256 * 1024 });
  let left = linenum;
  for await (const text of file.pipe(zlib.createGunzip({ chunkSize: 256 * 1024 }))) {
    for (let at = text.indexOf(10); at !== -1 && left >= 0; at = text.indexOf(10, at + 1)) left--;
    if (left < 0) break;
  }
  file.destroy();
  return performance.now() - started;
}

/** The same with a public tool. */
function zcat(linenum) {
  const started = performance.now();
  const line = `zcat ${key} | sed -n '${linenum + 1}{p;q}' > /dev/null`;
  spawnSync('bash', ['-c', line], { cwd: join(work, 'store') });
  return performance.now() - started;
}

/** And with another: without its start. */
function python(linenum) {
  const script = `import gzip, itertools, time
started = time.perf_counter()
with gzip.open('${key}') as can: next(itertools.islice(can, ${linenum}, None))
print((time.perf_counter() - started) * 1000)`;
  return Number(execFileSync('python3', ['-c', script], { cwd: join(work, 'store') }));
}

const get = (uids) => [[cannery, 'get', '--index', 'jsonl.sqlite'], uids.map(({ uid }) => `${uid}\n`).join('')];
const whole = [];
for (const { linenum } of chosen) whole.push(await streamed(linenum));
const fewer = chosen.filter((_, n) => n % 5 === 0);
const others = {};
if (await has('zcat')) others.zcat = median(fewer.map(({ linenum }) => zcat(linenum)));
if (await has('python3')) others.python = median(fewer.map(({ linenum }) => python(linenum)));
const read = chosen.map(({ linenum }) => place.get(can, linenum));
const rounds = choices.map((some) => walls([get(some.slice(0, 1)), get(some), [['-e', '0']]], 9));
const [one, node] = [0, 2].map((n) => Math.min(...rounds.map((round) => round[n])));
const many = lines.filter((_, n) => n % Math.max(1, Math.floor(lines.length / 1000)) === 0).slice(0, 1000);
const [thousand] = walls([get(many.toSorted(() => chance() - 0.5))], 3);
const ms = median(rounds.map(([first, all]) => (all - first) / (Number(count) - 1)));
console.log(
  `lookup: ${choices.length} times ${count} of ${lines.length} lines of a can of ${(statSync(join(work, 'store', key)).size / 1e6).toFixed(1)} MB; ${machine()}`,
);
const figures = {
  bytes_read: median(read.map(({ length }) => length)),
  bytes_to_the_line: median(read.map(({ offset, length }) => offset + length)),
  ms_inside: Number(ms.toFixed(2)),
  ms_to_inflate_to_the_line: Number(median(whole).toFixed(1)),
  process_ms: Math.round(one),
  bare_node_ms: Math.round(node),
  thousand_ms: Math.round(thousand),
  ...Object.fromEntries(Object.entries(others).map(([name, taken]) => [`${name}_ms`, Math.round(taken)])),
};
const ratio = {
  bytes: Math.round(figures.bytes_to_the_line / figures.bytes_read),
  time: Math.round(median(whole) / ms),
  start: Number((one / node).toFixed(2)),
  ...Object.fromEntries(Object.entries(others).map(([name, taken]) => [name, Math.round(taken / ms)])),
};
console.log(`  read ${figures.bytes_read} bytes of ${figures.bytes_to_the_line} (1/${ratio.bytes})`);
console.log(
  `  ${figures.ms_inside} ms in the process, ${figures.ms_to_inflate_to_the_line} ms to inflate to the line (1/${ratio.time})`,
);
for (const name of Object.keys(others))
  console.log(`  ${figures[`${name}_ms`]} ms for ${name} to the line (1/${ratio[name]})`);
console.log(
  `  one look-up, process and all: ${figures.process_ms} ms, bare node ${figures.bare_node_ms} ms (${ratio.start})`,
);
console.log(`  ${many.length} uids in no order: ${figures.thousand_ms} ms`);
console.log(JSON.stringify({ bench: 'lookup', ...figures, ratio }));
index.close();
if (!process.env.KEEP) rmSync(work, { recursive: true, force: true });
