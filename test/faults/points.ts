// The points of a run at which it may be broken: each system call that changes something in the pipeline's
// folder, told by its name, its path, and how many of the same the thread had made before.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command, Place, RunOptions } from './place.ts';
import { type Call, changes, parseTrace, TALKING, TRACED, talks } from './trace.ts';

export interface Point {
  verb: string;
  call: string;
  /** Below the pipeline's folder; of a call to a store what was asked there. */
  path: string;
  /** Of a link the old name. */
  from: string | undefined;
  nth: number;
  /** Of a call to a store: how many of the same it made there before, this one counted. */
  ordinal?: number;
  does: 'changes' | 'creates' | 'reads' | 'talks';
}

export function tell({ verb, call, path, nth, ordinal }: Point): string {
  if (ordinal !== undefined) return `${verb} at ${call} ${ordinal} to the store: ${path}`;
  return `${verb} at ${call} ${path}${nth > 1 ? ` (${nth})` : ''}`;
}

/** What can go wrong with a call that does this. */
export function errorsOf({ call, does }: Point): string[] {
  if (does === 'talks') return TROUBLES[call] ?? ['ECONNRESET', 'EPIPE', 'ETIMEDOUT'];
  if (does === 'reads') return ['EIO', 'EMFILE', 'EACCES'];
  if (call.startsWith('open'))
    return does === 'creates' ? ['ENOSPC', 'EDQUOT', 'EIO', 'EMFILE', 'EACCES'] : ['EIO', 'EMFILE', 'EACCES'];
  if (/^(?:unlink|rmdir)/.test(call)) return ['EIO', 'EACCES'];
  if (/^(?:mkdir|rename|link)/.test(call)) return ['ENOSPC', 'EDQUOT', 'EIO', 'EACCES'];
  return ['ENOSPC', 'EDQUOT', 'EIO'];
}

const TROUBLES: Record<string, string[]> = {
  socket: ['EMFILE'],
  connect: ['ECONNREFUSED', 'ENETUNREACH'],
};

const tracing = (log: string) => ['-f', '-yy', '-s', '160', '-o', log, '-e', `trace=${TRACED},${TALKING}`];

/** Where a run of one process of a pipeline can be broken. */
export async function pointsOf(place: Place, { commands, program }: Runnable, verb: string): Promise<Point[]> {
  await place.reset();
  const log = place.log('points');
  const traced = { verb, options: tracing(log) };
  const { stages } = await place.run(commands, program === undefined ? { traced } : { traced, program });
  const broken = stages.find(({ code }) => code !== 0 && code !== 3);
  if (broken) throw new Error(`${broken.verb}: exit ${broken.code}: ${broken.err}`);
  return pointsIn(parseTrace(readFileSync(log, 'latin1'), place.path), place.path, verb);
}

export interface Runnable {
  commands: readonly Command[];
  program?: string | undefined;
}

function pointsIn(calls: Call[], folder: string, verb: string): Point[] {
  const points = new Map<string, Point>();
  /** thread, call and path → how often */
  const counts = new Map<string, number>();
  const main = calls[0]?.thread;
  for (const call of calls.sort((a, b) => a.began - b.began)) {
    // The main thread alone talks to stores. strace cannot choose by connection, so it counts all calls of a name.
    if (call.thread === main) {
      const nth = (counts.get(call.name) ?? 0) + 1;
      counts.set(call.name, nth);
      if (talks(call)) {
        const ordinal = (counts.get(`${call.name} there`) ?? 0) + 1;
        counts.set(`${call.name} there`, ordinal);
        // How many connections a run makes, differs.
        if (ordinal > 1 && (call.name === 'socket' || call.name === 'connect')) continue;
        const [, asked] = /((?:GET|HEAD|PUT) \S+)/.exec(call.args.join()) ?? [];
        const point: Point = { verb, call: call.name, path: asked ?? '', from: undefined, nth, ordinal, does: 'talks' };
        points.set(tell(point), point);
        continue;
      }
    }
    if (!isFile(call)) continue;
    const mine = matched(call).filter((path) => path === folder || path.startsWith(`${folder}/`));
    for (const path of new Set(mine)) {
      const key = `${call.thread} ${call.name} ${path}`;
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    // Of a link the new name; of a rename strace knows the old one alone.
    const path = mine.at(-1);
    if (path === undefined) continue;
    const nth = counts.get(`${call.thread} ${call.name} ${path}`)!;
    const does = !changes(call) ? 'reads' : call.args.join().includes('O_CREAT') ? 'creates' : 'changes';
    const [of] = mine;
    const from = of === path ? undefined : of!.slice(folder.length + 1);
    const point: Point = { verb, call: call.name, path: path.slice(folder.length + 1), from, nth, does };
    points.set(tell(point), point);
  }
  return [...points.values()];
}

/** True where a call is one of those that `TRACED` names. */
function isFile({ name }: Call): boolean {
  return TRACED.split(',').includes(name);
}

/** The paths by which strace's -P finds a call. */
function matched({ name, paths }: Call): string[] {
  return name.startsWith('rename') ? paths.slice(0, 1) : paths;
}

/**
 * Options of strace that break a run at a point.
 * @param what `signal=KILL` or `error=ENOSPC`
 * @param lasting from the point on, and not there alone
 */
export function breaking(
  place: Place,
  { verb, call, path, nth, does }: Point,
  what: string,
  lasting = false,
): NonNullable<RunOptions['traced']> {
  const injected = `inject=${call}:${what}:when=${nth}${lasting ? '+' : ''}`;
  const options = ['--quiet=all', '-o', place.log('broken'), '-e', `trace=${call}`, '-e', injected];
  // Without -f, or a thread's own calls would count as well.
  if (does === 'talks') return { verb, options: ['-yy', '-s', '0', ...options] };
  // A verb may be given relative paths, and strace compares them as they stand in the call.
  const paths = path === '' ? [place.path, '.'] : [join(place.path, path), path];
  return { verb, options: ['-f', ...paths.flatMap((each) => ['-P', each]), ...options] };
}

/**
 * By how many calls the last broken run missed its point: 0 where it came there, undefined where it never can. Between those
 * to a store node makes some of its own, now more and now fewer.
 */
export function missedBy(place: Place, { call, nth, ordinal }: Point): number | undefined {
  const log = readFileSync(place.log('broken'), 'latin1');
  if (ordinal === undefined) return /INJECTED|killed by SIGKILL/.test(log) ? 0 : undefined;
  const calls = log.split('\n').filter((line) => line.startsWith(`${call}(`));
  const there = calls.flatMap((line, n) => (talksIn(line) ? [n + 1] : []));
  const wanted = there[ordinal - 1];
  if (wanted !== undefined) return wanted - nth;
  return calls.length < nth ? undefined : ordinal - there.length;
}

/** True where a line of strace's log is of a call to a store. */
function talksIn(line: string): boolean {
  return /^\w+\((?:AF_INET|\d+<TCP)/.test(line);
}
