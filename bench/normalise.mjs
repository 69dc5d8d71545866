// What bringing measurements into shape and clearing them of secrets costs, against jq, which only reads and writes them.
//   node bench/spool.mjs --to DIR && node bench/normalise.mjs DIR [ROUNDS]
// In turn; CPU is that of all processes of a pipe, user and system, on one CPU, for two that share a core (as those of
// most virtual machines do) each count the time that they wait for the other. The last line is free to use all.
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join, resolve } from 'node:path';

const [dir, rounds = '3'] = process.argv.slice(2);
if (!dir) throw new Error('usage: node bench/normalise.mjs DIR [ROUNDS]');
const cannery = `node ${resolve('bin/cannery')}`;
const run = (line) => execFileSync('bash', ['-o', 'pipefail', '-c', line], { cwd: resolve(dir) });
if (!existsSync(join(dir, 'rows.jsonl'))) run(`${cannery} ls incoming | ${cannery} cat > rows.jsonl`);
// A gigabyte at least, so that what is measured is the rows and not how a process starts.
const times = Math.ceil(1e9 / statSync(join(dir, 'rows.jsonl')).size);
const rows = join(resolve(dir), `rows-${times}.jsonl`);
if (!existsSync(rows)) run(`for i in $(seq ${times}); do cat rows.jsonl; done > ${rows}`);
const bytes = statSync(rows).size;

/** A database of made-up bridges, the same every time. */
function bridges(count) {
  const path = join(resolve(dir), `bridges-${count}.json`);
  const entries = Array.from({ length: count }, (_, n) => {
    const fingerprint = createHash('sha1').update(`bridge ${n}`).digest('hex').toUpperCase();
    const ip = `198.${18 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}`;
    return [
      `obfs4 ${ip}:${1024 + (n % 60000)} ${fingerprint}`,
      { distributor: 'moat', transport: 'obfs4', fingerprint },
    ];
  });
  writeFileSync(path, JSON.stringify(Object.fromEntries(entries)));
  return path;
}

/** Megabytes per CPU-second. */
function measure(line, free) {
  const script = `TIMEFORMAT='%U %S'; time ( ${line} ) < ${rows} > /dev/null`;
  const pinned = free ? [] : ['taskset', '-c', '0'];
  const [command, ...args] = [...pinned, 'bash', '-o', 'pipefail', '-c', script];
  const { stderr, status } = spawnSync(command, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${line}: ${stderr}`);
  const [user, system] = stderr.trim().split('\n').at(-1).split(' ').map(Number);
  return bytes / 1e6 / (user + system);
}

const few = bridges(10);
const many = bridges(10_000);
const lines = {
  'jq -c .': 'jq -c .',
  'two that copy': 'cat | cat',
  normalise: `${cannery} normalise`,
  'sanitise, 10 bridges': `${cannery} sanitise --bridges ${few}`,
  'sanitise, 10,000 bridges': `${cannery} sanitise --bridges ${many}`,
  'normalise | sanitise': `${cannery} normalise | ${cannery} sanitise --bridges ${few}`,
  'the same, on all CPUs': `${cannery} normalise | ${cannery} sanitise --bridges ${few}`,
};
const found = Object.fromEntries(Object.keys(lines).map((name) => [name, []]));
for (let round = 0; round < Number(rounds); round++) {
  for (const [name, line] of Object.entries(lines)) found[name].push(measure(line, name.endsWith('all CPUs')));
}
const median = (list) => list.toSorted((a, b) => a - b)[list.length >> 1];
console.log(
  `${(bytes / 1e6).toFixed(0)} MB of rows, ${rounds} rounds, ${cpus().length} CPUs (${cpus()[0].model}), node ${process.version}`,
);
const base = median(found['jq -c .']);
for (const [name, list] of Object.entries(found)) {
  const rate = median(list);
  console.log(`${name.padEnd(26)} ${rate.toFixed(0).padStart(6)} MB per CPU-second  ${(rate / base).toFixed(2)} of jq`);
}
console.log(JSON.stringify({ bench: 'normalise', bytes, node: process.version, found }));
