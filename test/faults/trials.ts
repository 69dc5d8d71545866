// One trial of each kind: a run that is broken off in one way, what must be true at that moment, a run that goes
// to its end, and what must be true then. Each gives what was wrong.

import { existsSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { random } from './campaign.ts';
import { getFaults, overwritten, snapshot } from './oracle.ts';
import type { PipeRan, Place } from './place.ts';
import { breaking, missedBy, type Point } from './points.ts';
import { type Disk, digestOf, type Loss, Recording, writeDisk } from './power.ts';
import type { Scenario } from './scenarios.ts';
import { parseTrace, TRACED } from './trace.ts';

/** What a run told, for a message. */
export function told({ stages }: PipeRan): string {
  return stages.map(({ verb, code, err }) => `${verb} ${code}${err === '' ? '' : `: ${err.trim()}`}`).join('; ');
}

function run(place: Place, { commands, program }: Scenario, more: Parameters<Place['run']>[1] = {}): Promise<PipeRan> {
  return place.run(commands, program === undefined ? more : { ...more, program });
}

/** The pipeline once more, to its end: all is there once, and nothing that was stored changed. */
export async function finish(place: Place, scenario: Scenario): Promise<string[]> {
  const store = join(place.path, 'store');
  const before = snapshot(store);
  const ran = await run(place, scenario);
  const faults = scenario.isQuiet(ran) ? [] : [`run again: ${told(ran)}`];
  faults.push(...(await place.gather()), ...overwritten(before, snapshot(store)));
  faults.push(...(await scenario.finished(place.path)));
  const isIndexed = existsSync(join(place.path, 'jsonl.sqlite'));
  if (isIndexed && faults.length === 0 && random() < 0.1) faults.push(...getFaults(place.path, 10));
  return faults;
}

/** A run that was broken at a point; undefined where none came there. */
async function breakAt(
  place: Place,
  scenario: Scenario,
  point: Point,
  what: string,
  lasting = false,
): Promise<PipeRan | undefined> {
  for (let at = point, tries = 0; tries < MOST_TRIES; tries++) {
    await place.reset();
    const broken = await run(place, scenario, { traced: breaking(place, at, what, lasting) });
    const missed = missedBy(place, at);
    if (missed === undefined) return undefined;
    if (missed === 0) return broken;
    at = { ...at, nth: at.nth + missed };
  }
  return undefined;
}

const MOST_TRIES = 6;

/** Kills a process at a point. @returns 'not reached' where the run came to its end without */
export async function kill(place: Place, scenario: Scenario, point: Point): Promise<string[] | 'not reached'> {
  const broken = await breakAt(place, scenario, point, 'signal=KILL');
  if (!broken) return 'not reached';
  const faults = [...(await place.gather()), ...(await scenario.lost(place))];
  faults.push(...(await finish(place, scenario)));
  return faults.length > 0 ? [...faults, `killed: ${told(broken)}`] : faults;
}

/** Not every write or read of the process can fail: what it tells a person is one, and node itself has some. */
function canLast({ does, call }: Point): boolean {
  return does !== 'talks' || call === 'connect' || call === 'socket';
}

/** Makes a system call fail: once, or from then on until the run has ended, as chance has it. */
export async function fail(
  place: Place,
  scenario: Scenario,
  point: Point,
  error: string,
): Promise<string[] | 'not reached'> {
  const broken = await breakAt(place, scenario, point, `error=${error}`, canLast(point) && random() < 0.5);
  if (!broken) return 'not reached';
  const faults = [...(await place.gather()), ...(await scenario.lost(place))];
  faults.push(...silenceFaults(broken, point, error));
  if (broken.stages.every(({ code }) => code === 0))
    faults.push(...(await scenario.finished(place.path)).map((each) => `exit 0, but ${each}`));
  faults.push(...(await finish(place, scenario)));
  return faults.length > 0 ? [...faults, `failed: ${told(broken)}`] : faults;
}

/** The cause as a person reads it; SQLite has words of its own, and reads what it could not open to write. */
const CAUSES: Record<string, RegExp> = {
  ENOSPC: /no space left|disk is full|disk I\/O error|unable to open|readonly database/,
  EDQUOT: /disk quota exceeded|disk I\/O error|unable to open|readonly database/,
  EIO: /input\/output error|disk I\/O error|unable to open|readonly database/,
  EMFILE: /too many open files|unable to open|disk I\/O error|readonly database/,
  EACCES: /permission denied|unable to open|readonly database|disk I\/O error/,
  ECONNREFUSED: /: (?:put|get|list): no answer \(ECONNREFUSED\)/,
  ENETUNREACH: /: (?:put|get|list): no answer \(ENETUNREACH\)/,
};

/** What is missing in the words of a run that failed. */
function silenceFaults({ stages }: PipeRan, point: Point, error: string): string[] {
  const faults: string[] = [];
  for (const { verb, code, err } of stages) {
    if (![0, 1, 3].includes(code)) faults.push(`${verb}: exit ${code}`);
    if (code !== 0 && err === '') faults.push(`${verb}: exit ${code} without a word`);
    for (const line of err.split('\n').filter(Boolean))
      if (!line.startsWith(`cannery ${verb}: `)) faults.push(`${verb} says: ${line}`);
  }
  const { code, err } = stages.find(({ verb }) => verb === point.verb)!;
  if (code === 0) return faults;
  if (!CAUSES[error]!.test(err)) faults.push(`the cause is not told: ${err}`);
  const names =
    point.does === 'talks'
      ? ['s3://']
      : [...namesOf(point.path), ...(point.from === undefined ? [] : namesOf(point.from))];
  if (!names.some((name) => err.includes(name))) faults.push(`the file is not named: ${err}`);
  return faults;
}

/** A file or its folder, a temporary file by the name of what it is to be. */
function namesOf(path: string): string[] {
  const name = basename(path)
    .replace(/\.[^.]+\.4194305\.\w+\.tmp$|\.tmp$|\.4194305\.gone$|-(?:journal|wal|shm)$/, '')
    .replace(/^\./, '');
  const above = basename(dirname(path));
  return path === '' ? ['/w:', '/w ', ' .: '] : above === '.' ? [name] : [name, above];
}

// --- power

/** The sequence of one whole run. Each place needs its own: what runs write holds its path. */
export async function record(place: Place, scenario: Scenario): Promise<Recording> {
  await place.reset();
  const log = place.log('record');
  const ran = await run(place, scenario, { record: `strace -f -y -s 16777216 -o ${log} -e trace=${TRACED}` });
  if (ran.stages.some(({ code }) => code !== 0)) throw new Error(told(ran));
  return new Recording(parseTrace(readFileSync(log, 'latin1'), place.path), place.path, place.kept);
}

export interface Crash {
  name: string;
  disk: Disk;
}

/** Every different disk that losses make of a recording. */
export function* crashesOf(
  recording: Recording,
  losses: [name: string, make: (random: () => number) => Loss][],
): Generator<Crash> {
  const known = new Set<string>();
  for (const moment of recording.moments) {
    for (const [name, make] of losses) {
      const disk = recording.crash(moment, make(random));
      const digest = digestOf(disk);
      if (known.has(digest)) continue;
      known.add(digest);
      yield { name: `${name}, at line ${moment}`, disk };
    }
  }
}

/** What is on a disk: every post is there. */
export async function lostOn(place: Place, scenario: Scenario, disk: Disk): Promise<string[]> {
  writeDisk(disk, place.path);
  return scenario.lost(place);
}

/** Starts from what is on a disk. */
export async function startAgain(place: Place, scenario: Scenario, disk: Disk): Promise<string[]> {
  const faults = await lostOn(place, scenario, disk);
  faults.push(...(await finish(place, scenario)));
  return faults.length > 0
    ? [...faults, `on the disk: ${[...disk].map(([path, bytes]) => `${path} ${bytes?.length ?? '/'}`).join(', ')}`]
    : faults;
}
