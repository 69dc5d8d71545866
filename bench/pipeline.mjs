// The whole hourly pipeline over a large spool: seconds, and the peak memory of every process.
//   node bench/spool.mjs --to DIR && node bench/pipeline.mjs DIR
// DIR/incoming is linked into a new folder, so that it can be used again.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';

const dir = process.argv[2];
if (!dir) throw new Error('usage: node bench/pipeline.mjs DIR');
const work = mkdtempSync(join(resolve(dir), 'pipeline-'));
spawnSync('cp', ['-rl', join(resolve(dir), 'incoming'), work], { stdio: 'inherit' });

const stages = [
  ['ls', 'incoming', '--due'],
  ['postcan', '--spool', 'incoming', '--to', 'outgoing', '--host', 'n0', '--stats'],
  ['upload', 'store'],
  ['index', 'jsonl.sqlite'],
  ['clear'],
];
const bin = resolve('bin/cannery');
const started = performance.now();
const peaks = new Map();
let input;
const children = stages.map((args, n) => {
  const last = n === stages.length - 1;
  const child = spawn(process.execPath, [bin, ...args], {
    cwd: work,
    stdio: [input ?? 'ignore', last ? 'ignore' : 'pipe', 'pipe'],
  });
  child.stderr.on('data', (text) => process.stderr.write(text));
  input = child.stdout;
  return { name: args[0], child };
});

// The kernel keeps each process's high-water mark; it can be read while the process lives.
const timer = setInterval(() => {
  for (const { name, child } of children) {
    try {
      const kilobytes = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1];
      if (kilobytes) peaks.set(name, Number(kilobytes));
    } catch {
      // it has ended
    }
  }
}, 50);

const codes = await Promise.all(children.map(({ child }) => new Promise((done) => child.on('exit', done))));
clearInterval(timer);
const seconds = Number(((performance.now() - started) / 1000).toFixed(1));
console.log(
  JSON.stringify({
    seconds,
    codes,
    peak_mb: Object.fromEntries([...peaks].map(([name, kb]) => [name, Math.round(kb / 1000)])),
  }),
);
rmSync(work, { recursive: true, force: true });
