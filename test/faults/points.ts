// The points of a run at which it may be broken: each system call that changes something in the pipeline's
// folder, told by its name, its path, and how many of the same the thread had made before.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command, Place, RunOptions } from './place.ts';
import { type Call, changes, parseTrace, TRACED } from './trace.ts';

export interface Point {
  verb: string;
  call: string;
  /** Below the pipeline's folder. */
  path: string;
  /** Of a link the old name. */
  from: string | undefined;
  nth: number;
  does: 'changes' | 'creates' | 'reads';
}

export function tell({ verb, call, path, nth }: Point): string {
  return `${verb} at ${call} ${path}${nth > 1 ? ` (${nth})` : ''}`;
}

/** What can go wrong with a call that does this. */
export function errorsOf({ call, does }: Point): string[] {
  if (does === 'reads') return ['EIO', 'EMFILE', 'EACCES'];
  if (call.startsWith('open'))
    return does === 'creates' ? ['ENOSPC', 'EDQUOT', 'EIO', 'EMFILE', 'EACCES'] : ['EIO', 'EMFILE', 'EACCES'];
  if (/^(?:unlink|rmdir)/.test(call)) return ['EIO', 'EACCES'];
  if (/^(?:mkdir|rename|link)/.test(call)) return ['ENOSPC', 'EDQUOT', 'EIO', 'EACCES'];
  return ['ENOSPC', 'EDQUOT', 'EIO'];
}

const tracing = (log: string) => ['-f', '-y', '-s', '64', '-o', log, '-e', `trace=${TRACED}`];

/** Where a run of one process of a pipeline can be broken. */
export async function pointsOf(place: Place, { commands, program }: Runnable, verb: string): Promise<Point[]> {
  place.reset();
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
  for (const call of calls.sort((a, b) => a.began - b.began)) {
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
  { verb, call, path, nth }: Point,
  what: string,
  lasting = false,
): NonNullable<RunOptions['traced']> {
  // A verb may be given relative paths, and strace compares them as they stand in the call.
  const paths = path === '' ? [place.path] : [join(place.path, path), path];
  const injected = `inject=${call}:${what}:when=${nth}${lasting ? '+' : ''}`;
  return {
    verb,
    options: [
      ...['-f', '--quiet=all', '-o', place.log('broken')],
      ...paths.flatMap((each) => ['-P', each]),
      ...['-e', `trace=${call}`, '-e', injected],
    ],
  };
}

/** True where the last broken run came to its point. */
export function reached(place: Place): boolean {
  return /INJECTED|killed by SIGKILL/.test(readFileSync(place.log('broken'), 'latin1'));
}
