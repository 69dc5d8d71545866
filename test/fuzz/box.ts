// Where bad input is given to whole processes: a folder with another beside it that nobody may touch, and what must be
// true of every process, whatever it was given.

import { isUtf8 } from 'node:buffer';
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import type { Test } from 'tap';
import { folder, folderElsewhere, ONE_DISK, ROOT } from '../lib.ts';

/** Of memory, whatever comes in. The largest that a verb has of its own accord is 130. */
const MOST_MB = 300;

const LONGEST_MS = 180_000;

/** What JavaScript, node, SQLite and WebAssembly say of faults of a program. Nothing that is put in has such words. */
const CRASH =
  /\b(?:Type|Range|Reference|Syntax|Assertion|Runtime)Error\b|Cannot (?:read|set|convert|destructure|mix|access)|is not (?:a function|iterable|a constructor|defined|an object|a valid)|\bundefined\b|\[object |\bNaN\b|Invalid (?:array|string|time|typed|count)|out of (?:memory|bounds)|call stack|argument must|must be (?:of type|an instance)|Received |unreachable|node:internal|\n\s+at |can only bind|Unhandled/;

export interface Judged {
  code: number | null;
  out: Buffer;
  err: string;
  megabytes: number;
  faults: string[];
}

export interface Given {
  stdin?: string | Uint8Array;
  /** The program that is run: cannery as it was built, or one made wrong on purpose. */
  program?: string;
  /** Standard output is no rows. */
  page?: boolean;
}

export class Box {
  /** With `work`, `decoy` and `tmp`. */
  readonly top: string;
  /** The folder of every run. */
  readonly work: string;
  readonly decoy: string;
  #before = new Map<string, string>();
  #but: readonly string[] = [];

  constructor(t: Test) {
    this.top = ONE_DISK ? folder(t) : folderElsewhere(t); // in memory: nothing here is about fsync
    this.work = join(this.top, 'work');
    this.decoy = join(this.top, 'decoy');
    for (const name of ['work', 'decoy/outgoing', 'tmp', 'home']) mkdirSync(join(this.top, name), { recursive: true });
    this.put('decoy/precious', 'precious\n');
    this.put('decoy/outgoing/can.json', '{}\n');
    symlinkSync('precious', join(this.decoy, 'link'));
  }

  /** Writes a file, by its path below the top. */
  put(path: string, bytes: string | Uint8Array): void {
    mkdirSync(dirname(join(this.top, path)), { recursive: true });
    writeFileSync(join(this.top, path), bytes);
  }

  /** Makes the working folder empty. */
  empty(): void {
    rmSync(this.work, { recursive: true, force: true });
    mkdirSync(this.work);
  }

  /** What lies here now may not change. @param but paths below the working folder that may */
  watch(but: readonly string[]): void {
    this.#but = but;
    this.#before = this.#look();
  }

  /** What has changed, come or gone since, and may not. */
  touched(): string[] {
    const now = this.#look();
    const faults: string[] = [];
    for (const [path, state] of this.#before) if (now.get(path) !== state) faults.push(`changed: ${path}`);
    for (const path of now.keys()) if (!this.#before.has(path)) faults.push(`made: ${path}`);
    return faults.slice(0, 3);
  }

  #look(): Map<string, string> {
    const seen = new Map<string, string>();
    const skipped = new Set(this.#but.map((path) => join(this.work, path)));
    const look = (path: string) => {
      for (const entry of readdirSync(path, { withFileTypes: true })) {
        const below = join(path, entry.name);
        if (skipped.has(below)) continue;
        const { mode, ino, size, mtimeNs } = lstatSync(below, { bigint: true });
        seen.set(below, entry.isDirectory() ? `${mode}` : `${mode} ${ino} ${size} ${mtimeNs}`);
        if (entry.isDirectory()) look(below);
      }
    };
    look(this.top);
    return seen;
  }

  /** Runs a verb to its end, and judges what every process must do. */
  run(args: readonly string[], { stdin = '', program = ROOT, page = false }: Given = {}): Judged {
    const peak = join(this.top, 'home/peak');
    rmSync(peak, { force: true });
    const options = `NODE_OPTIONS=--require=${join(ROOT, 'test/fuzz/peak.cjs')}`;
    // Whatever runs away must not take the machine with it.
    const done = spawnSync('env', [options, process.execPath, join(program, 'bin/cannery'), ...args], {
      cwd: this.work,
      input: stdin,
      env: {
        ...process.env,
        TZ: 'UTC',
        TMPDIR: join(this.top, 'tmp'),
        HOME: join(this.top, 'home'),
        CANNERY_PEAK: peak,
      },
      maxBuffer: 2 ** 30,
      timeout: LONGEST_MS,
      killSignal: 'SIGKILL',
    });
    const err = done.stderr.toString('latin1');
    const megabytes = existsSync(peak) ? Number(readFileSync(peak, 'latin1')) / 1024 : 0;
    rmSync(peak, { force: true });
    const faults: string[] = [];
    const bad = (what: string) => faults.push(`cannery ${args.join(' ')}: ${what}`);
    if (done.signal !== null) bad(`ended by ${done.signal}`);
    else if (![0, 1, 2, 3].includes(done.status ?? -1)) bad(`exit code ${done.status}: ${err.slice(0, 500)}`);
    if (done.status !== 0 && err === '') bad(`exit code ${done.status} without a word`);
    for (const line of err.split('\n').slice(0, -1))
      if (!line.startsWith(`cannery ${args[0]}: `) && !line.startsWith('{"stage":')) bad(`says: ${line.slice(0, 500)}`);
    const [crash] = CRASH.exec(err) ?? [];
    if (crash !== undefined) bad(`says '${crash}': ${lineWith(err, crash)}`);
    if (megabytes > MOST_MB) bad(`took ${megabytes} MB`);
    if (!page) for (const fault of faultsOfRows(done.stdout)) bad(fault);
    return { code: done.status, out: done.stdout, err, megabytes, faults };
  }
}

const lineWith = (text: string, part: string) =>
  text
    .slice(text.lastIndexOf('\n', text.indexOf(part)) + 1)
    .split('\n', 1)[0]!
    .slice(0, 500);

/** Every line of standard output is one row. */
function faultsOfRows(out: Buffer): string[] {
  const faults: string[] = [];
  if (!isUtf8(out)) faults.push('its rows are not UTF-8');
  if (out.length > 0 && out.at(-1) !== 0x0a) faults.push('its last row has no end');
  for (const line of out.toString().split('\n').slice(0, -1)) {
    try {
      const row: unknown = JSON.parse(line);
      if (typeof row !== 'object' || row === null || Array.isArray(row))
        faults.push(`a row that is none: ${line.slice(0, 200)}`);
    } catch (error) {
      faults.push(`a row that is not JSON: ${(error as Error).message}: ${line.slice(0, 200)}`);
    }
  }
  return faults;
}

/** Of inputs that together show a fault, the fewest that halving comes to. */
export function fewest<T>(inputs: readonly T[], shows: (some: readonly T[]) => boolean): readonly T[] {
  let some = inputs;
  for (let size = Math.ceil(some.length / 2); some.length > 1 && size >= 1; size = Math.floor(size / 2)) {
    for (let at = 0; at < some.length && some.length > 1; ) {
      const fewer = [...some.slice(0, at), ...some.slice(at + size)];
      if (fewer.length > 0 && fewer.length < some.length && shows(fewer)) some = fewer;
      else at += size;
    }
  }
  return some;
}
