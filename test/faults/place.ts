// Where a pipeline runs again and again: one folder that is put back to what it was before each run, and what a
// run of it told. One of its processes may be traced, killed or made to fail.
import { spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Test } from 'tap';
import { ROOT } from '../lib.ts';
import type { Remote } from './remotes.ts';

/** A process of a pipeline: a verb with its arguments. */
export type Command = readonly [verb: string, ...args: string[]];

export interface StageRan {
  verb: string;
  code: number;
  err: string;
}

export interface PipeRan {
  stages: StageRan[];
  out: string;
}

export interface RunOptions {
  /** Which process is traced, and strace's own options. */
  traced?: { verb: string; options: string[] };
  /** The program that is run: cannery as it was built, or one made wrong on purpose. */
  program?: string;
  env?: Record<string, string | undefined>;
  /** strace's own command line, where everything is traced into one log. */
  record?: string;
  /** Where the pipeline reads from and writes to. */
  in?: string;
  out?: string;
  /** Begins the names of its logs, for two pipelines at once. */
  log?: string;
}

const LONGEST_MS = 300_000;

export class Place {
  /** The pipeline's folder. */
  readonly path: string;
  /** For logs, outside of it. */
  readonly aside: string;
  /** What every run begins with. */
  readonly kept: string;
  /** A store that is no folder here. */
  remote: Remote | undefined;

  constructor(t: Test, name = 'w') {
    const top = mkdtempSync(join(tmpdir(), 'cannery-faults-'));
    t.teardown(() => rmSync(top, { recursive: true, force: true }));
    this.path = join(top, name);
    this.aside = join(top, 'aside');
    this.kept = join(top, 'kept');
    mkdirSync(this.path);
    mkdirSync(this.aside);
  }

  /** What lies here now is what `reset` brings back. */
  keep(): void {
    rmSync(this.kept, { recursive: true, force: true });
    cpSync(this.path, this.kept, { recursive: true, preserveTimestamps: true });
  }

  async reset(): Promise<void> {
    this.clear();
    cpSync(this.kept, this.path, { recursive: true, preserveTimestamps: true });
    await this.remote?.empty();
  }

  /** Makes the folder `store` what a store elsewhere holds. @returns what was written over there */
  async gather(): Promise<string[]> {
    if (!this.remote) return [];
    const store = join(this.path, 'store');
    rmSync(store, { recursive: true, force: true });
    for (const [key, bytes] of await this.remote.objects()) {
      mkdirSync(dirname(join(store, key)), { recursive: true });
      writeFileSync(join(store, key), bytes);
    }
    return this.remote.overwritten();
  }

  clear(): void {
    rmSync(this.path, { recursive: true, force: true });
  }

  /** A file of this run, which the next run may overwrite. */
  log(name: string): string {
    return join(this.aside, name);
  }

  /** Runs a pipeline to its end, in a shell as an operator would. */
  async run(commands: readonly Command[], options: RunOptions = {}): Promise<PipeRan> {
    const { traced, program = ROOT, env, record, log = '' } = options;
    const err = (n: number) => this.log(`${log}err.${n}`);
    const { in: from = '/dev/null', out = this.log(`${log}out`) } = options;
    const line = commands
      .map(([verb, ...args], n) => {
        const bare = [process.execPath, join(program, 'bin/cannery'), verb, ...args];
        const steady = [process.execPath, '--require', join(ROOT, 'test/faults/steady.cjs'), ...bare.slice(1)];
        const words = traced?.verb === verb ? ['strace', ...traced.options, ...steady] : bare;
        return `${words.map(quoted).join(' ')} 2>${quoted(err(n))}`;
      })
      .join(' | ');
    const script = `{ ${line}; codes="\${PIPESTATUS[*]}"; } <${quoted(from)} >${quoted(out)}; echo $codes`;
    const shell = ['bash', '-c', script];
    // tap gives every process preloads that make its start three times as long, unless env takes them away again.
    const words = ['env', 'NODE_OPTIONS=', ...(record === undefined ? [] : record.split(' ')), ...shell];
    const codes = await endOf(words, this.path, {
      ...process.env,
      TZ: 'UTC',
      UV_THREADPOOL_SIZE: traced || record !== undefined ? '1' : undefined,
      ...this.remote?.env,
      ...env,
    });
    return {
      stages: commands.map(([verb], n) => ({
        verb,
        code: codes[n] ?? -1,
        err: readFileSync(err(n), 'utf8'),
      })),
      out: options.out === undefined ? readFileSync(out, 'utf8') : '',
    };
  }
}

function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** Exit codes of the processes of a pipeline; whatever hangs is ended, and shows as -1. */
async function endOf(words: string[], cwd: string, env: NodeJS.ProcessEnv): Promise<number[]> {
  const child = spawn(words[0]!, words.slice(1), { cwd, env, detached: true, stdio: ['ignore', 'pipe', 'ignore'] });
  const timer = setTimeout(() => process.kill(-child.pid!, 'SIGKILL'), LONGEST_MS);
  const pieces: Buffer[] = [];
  child.stdout.on('data', (piece) => pieces.push(piece));
  await new Promise((done, fail) => child.on('close', done).on('error', fail));
  clearTimeout(timer);
  const text = Buffer.concat(pieces).toString().trim();
  return text === '' ? [] : text.split(' ').map(Number);
}

/** Runs a job for each item, as many at once as there are places. */
export async function spread<T>(
  places: Place[],
  items: readonly T[],
  job: (place: Place, item: T) => Promise<void>,
): Promise<void> {
  const waiting = [...items];
  await Promise.all(
    places.map(async (place) => {
      for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) await job(place, item);
    }),
  );
}

/** Numbers from 0 to 1 that a seed tells (mulberry32). */
export function chance(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let n = Math.imul(state ^ (state >>> 15), state | 1);
    n ^= n + Math.imul(n ^ (n >>> 7), n | 61);
    return ((n ^ (n >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Some of the items, in their own order. */
export function sample<T>(items: readonly T[], count: number, random: () => number): T[] {
  const order = items.map((item, n) => ({ item, n, key: random() })).sort((a, b) => a.key - b.key);
  return order
    .slice(0, count)
    .sort((a, b) => a.n - b.n)
    .map(({ item }) => item);
}
