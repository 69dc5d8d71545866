// Contestants in turn, so that what else the machine does falls on all of them: seconds, CPU-seconds of all processes,
// peak memory of the largest. Medians, and ratios to the first.
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';

/** What this ran on. */
export function machine() {
  const [cpu] = cpus();
  return `${cpus().length} CPUs (${cpu.model}), ${Math.round(totalmem() / 1e9)} GB, node ${process.version}`;
}

/** True where a command is at hand. */
export async function has(command) {
  const child = spawn('bash', ['-c', `command -v ${command}`], { stdio: 'ignore' });
  return (await new Promise((done) => child.on('exit', done))) === 0;
}

/** Peak memory so far of a process and all below it, in MB, by its number; of processes that ended too. */
function watch(root, peaks) {
  const parents = new Map();
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    try {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      parents.set(pid, /PPid:\s+(\d+)/.exec(status)[1]);
      peaks.set(`${pid}?`, Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1000);
    } catch {
      // it has ended
    }
  }
  for (const [pid] of parents) {
    let up = pid;
    while (up !== undefined && up !== String(root)) up = parents.get(up);
    const peak = peaks.get(`${pid}?`);
    peaks.delete(`${pid}?`);
    if (up !== undefined && pid !== String(root)) peaks.set(pid, Math.max(peak, peaks.get(pid) ?? 0));
  }
}

/**
 * Runs a line of bash.
 * @returns {Promise<{seconds: number, cpu: number, peak_mb: number}>}
 */
export async function measure(line, cwd) {
  const script = `TIMEFORMAT='%U %S'; time ( ${line} )`;
  const started = performance.now();
  const child = spawn('bash', ['-o', 'pipefail', '-c', script], { cwd, stdio: ['ignore', 'ignore', 'pipe'] });
  let told = '';
  child.stderr.on('data', (text) => (told += text));
  const peaks = new Map();
  const timer = setInterval(() => watch(child.pid, peaks), 100);
  const code = await new Promise((done) => child.on('close', done));
  clearInterval(timer);
  const seconds = (performance.now() - started) / 1000;
  if (code !== 0) throw new Error(`${line}: ${told}`);
  const [user, system] = told.trim().split('\n').at(-1).split(' ').map(Number);
  return { seconds, cpu: user + system, peak_mb: Math.max(0, ...peaks.values()) };
}

const median = (list) => list.toSorted((a, b) => a - b)[list.length >> 1];

/**
 * @param {{name: string, line: string, cwd: string, before?: () => void, after?: () => object}[]} contestants
 *   the first is what the others are held to; `after` may add figures
 */
export async function contest(bench, contestants, rounds) {
  const found = new Map(contestants.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const { name, line, cwd, before, after } of contestants) {
      before?.();
      const figures = await measure(line, cwd);
      found.get(name).push({ ...figures, ...after?.() });
    }
  }
  console.log(`${bench}: ${rounds} rounds in turn, medians; ${machine()}`);
  const results = [...found].map(([name, list]) => {
    const keys = Object.keys(list[0]);
    return { name, ...Object.fromEntries(keys.map((key) => [key, median(list.map((one) => one[key]))])) };
  });
  const [base] = results;
  const width = Math.max(...results.map(({ name }) => name.length));
  for (const { name, ...figures } of results) {
    const cells = Object.entries(figures).map(([key, value]) => {
      const ratio = base[key] > 0 && key !== 'peak_mb' ? ` (${(value / base[key]).toFixed(2)})` : '';
      return `${key} ${value >= 100 ? Math.round(value) : value.toFixed(2)}${ratio}`;
    });
    console.log(`  ${name.padEnd(width)}  ${cells.join('  ')}`);
  }
  for (const result of results) console.log(JSON.stringify({ bench, ...result }));
  return results;
}
