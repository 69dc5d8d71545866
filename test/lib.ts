// What the tests share: running the built program as a user does, in folders that go away.
import { spawn, spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import type { Test } from 'tap';
import { uidHash } from '../src/record/identity.ts';

/** The project's folder: tests run from it. */
export const ROOT = resolve('.');
export const BIN = join(ROOT, 'bin');
export const CANNERY = join(BIN, 'cannery');

export interface Ran {
  code: number | null;
  out: string;
  err: string;
}

export interface RunOptions {
  cwd?: string;
  stdin?: string | Uint8Array;
  env?: Record<string, string | undefined>;
}

const environment = (more: RunOptions['env']) => ({
  ...process.env,
  PATH: `${BIN}:${process.env.PATH}`,
  TZ: 'UTC',
  AWS_EC2_METADATA_DISABLED: 'true',
  ...more,
});

/**
 * tap puts preloads of its own into NODE_OPTIONS of every process that a test starts, whatever the test says. They make each
 * start three times as long, and bring handlers of signals and a thread that cannery does not have: so env sets it anew.
 */
const nodeOptions = (more: RunOptions['env']) => `NODE_OPTIONS=${more?.NODE_OPTIONS ?? ''}`;
const bash = (line: string, { env }: RunOptions) => [nodeOptions(env), 'bash', '-o', 'pipefail', '-c', line];

/** Runs `cannery ARGS…` to its end. */
export function cannery(args: string[], options: RunOptions = {}): Ran {
  const { code, out, err } = canneryBytes(args, options);
  return { code, out: out.toString(), err };
}

/** As `cannery`, with stdout as bytes. */
export function canneryBytes(
  args: string[],
  options: RunOptions = {},
): { code: number | null; out: Buffer; err: string } {
  const { cwd, stdin = '', env } = options;
  const done = spawnSync('env', [nodeOptions(env), process.execPath, CANNERY, ...args], {
    cwd,
    input: stdin,
    env: environment(env),
    maxBuffer: 2 ** 30,
  });
  return { code: done.status, out: done.stdout, err: done.stderr.toString() };
}

/** Runs a line of shell, with cannery on the PATH and pipefail. */
export function shell(line: string, options: RunOptions = {}): Ran {
  const { cwd, stdin = '', env } = options;
  const done = spawnSync('env', bash(line, options), {
    cwd,
    input: stdin,
    env: environment(env),
    maxBuffer: 2 ** 30,
  });
  return { code: done.status, out: done.stdout.toString(), err: done.stderr.toString() };
}

/** As `shell`, without blocking this process (which may be a server the line talks to). */
export async function shellAsync(line: string, options: RunOptions = {}): Promise<Ran> {
  const child = spawn('env', bash(line, options), { cwd: options.cwd, env: environment(options.env) });
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout.on('data', (piece) => out.push(piece));
  child.stderr.on('data', (piece) => err.push(piece));
  child.stdin.end(options.stdin ?? '');
  const code = await new Promise<number | null>((done) => child.on('close', done));
  return { code, out: Buffer.concat(out).toString(), err: Buffer.concat(err).toString() };
}

/** A folder for one test; it goes when the test ends. */
export function folder(t: Test, parent = tmpdir()): string {
  const path = mkdtempSync(join(parent, 'cannery-test-'));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** A copy of the shipped spool of 24 posts, as `incoming` in a new folder. */
export function shippedSpool(t: Test): string {
  const path = folder(t);
  cpSync(join(ROOT, 'fixtures/spool/incoming'), join(path, 'incoming'), { recursive: true });
  return path;
}

/** The name of a post from its bytes: arrival `YYYYMMDDHHMMSS.ffffff`, country, compact test. */
export function uidFor(
  bytes: Uint8Array,
  { time = '20240201100000.000001', cc = 'IT', test = 'webconnectivity' } = {},
): string {
  return `${time}_${cc}_${test}_${uidHash(Buffer.from(bytes))}`;
}

/** Puts a post into a spool, under the uid of its bytes unless one is given. @returns its path below the spool */
export function putPost(
  spool: string,
  bytes: string | Uint8Array,
  where: { time?: string; cc?: string; test?: string; uid?: string } = {},
): string {
  const data = Buffer.from(bytes as string);
  const { time = '20240201100000.000001', cc = 'IT', test = 'webconnectivity' } = where;
  const uid = where.uid ?? uidFor(data, { time, cc, test });
  const path = `${time.slice(0, 10)}_${cc}_${test}/${uid}.post`;
  mkdirSync(dirname(join(spool, path)), { recursive: true });
  writeFileSync(join(spool, path), data);
  return path;
}

/** Every file below a folder, by path relative to it. */
export function tree(path: string): string[] {
  if (!existsSync(path)) return [];
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(path.length + 1))
    .sort();
}

/** Rows of an output. */
export function rows<T = Record<string, unknown>>(out: string): T[] {
  return out
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as T);
}

/** The hourly pipeline in a folder with `incoming`, into `store` and `jsonl.sqlite`. */
export const PIPELINE =
  'cannery ls incoming/ --due | cannery postcan --spool incoming/ --to outgoing/ --host n0 | cannery upload store | cannery index jsonl.sqlite | cannery clear';

/** What takes the right to read and write everything away from root, before a command; undefined where that cannot be done. */
function asNobody(): string | undefined {
  if (process.getuid?.() !== 0) return '';
  const prefix = 'setpriv --bounding-set=-dac_override,-dac_read_search';
  return spawnSync('bash', ['-c', `${prefix} true`]).status === 0 ? prefix : undefined;
}

export const AS_NOBODY = asNobody();
/** Why tests of permissions are skipped. */
export const ROOT_DOES_ALL = AS_NOBODY === undefined && 'root may do everything, and setpriv cannot take that away';

/** Mounts a small disk, or a read-only one, for the command behind it: `${MOUNT} bash -c 'mount …'`. */
export const MOUNT = 'unshare --mount --map-root-user';
export const NO_MOUNT =
  spawnSync('bash', ['-c', `${MOUNT} mount -t tmpfs -o size=64k none /mnt`]).status !== 0 &&
  'a small disk cannot be mounted here (unshare)';

const OTHER_DISK = '/dev/shm';
export const ONE_DISK =
  (!existsSync(OTHER_DISK) || statSync(OTHER_DISK).dev === statSync(tmpdir()).dev) && '/dev/shm is no other disk here';

/** A folder as `folder` gives, on another disk. */
export function folderElsewhere(t: Test): string {
  return folder(t, OTHER_DISK);
}

export const NO_STRACE =
  spawnSync('strace', ['-f', '-o', '/dev/null', 'true']).status !== 0 && 'strace is not installed, or may not trace';

/**
 * Runs `cannery ARGS…` with a fault injected, as `fsync:error=EIO` or `link:signal=KILL:when=2`. One thread does all
 * work with files, so that `when` counts it whole.
 * @param paths where the fault is to strike; everywhere if there are none
 */
export function underStrace(args: string[], inject: string, paths: string[], options: RunOptions): Ran {
  const { cwd = ROOT, stdin = '', env } = options;
  const only = paths.flatMap((path) => ['-P', path, '-P', join(cwd, path)]); // as calls name it, and as descriptors do
  const done = spawnSync(
    'strace',
    [
      '-f',
      '-qq',
      '-E',
      nodeOptions(env),
      '-o',
      '/dev/null',
      '-e',
      `inject=${inject}`,
      ...only,
      process.execPath,
      CANNERY,
      ...args,
    ],
    { cwd, input: stdin, env: environment({ UV_THREADPOOL_SIZE: '1', ...env }) },
  );
  const err = done.stderr.toString().replace(/^strace: Requested path .*\n/gm, '');
  return { code: done.status, out: done.stdout.toString(), err };
}

/** Real documents, where the folder with them is at hand. */
export function sharedData(): string | undefined {
  const path = process.env.CANNERY_REAL_DATA ?? resolve('../shared/data');
  return existsSync(path) ? path : undefined;
}

export function read(path: string): Buffer {
  return readFileSync(path);
}
