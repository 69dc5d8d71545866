// How much is tried: a sample, chosen by a seed that a failure names; with CANNERY_FAULTS=all every point there is, and
// with CANNERY_FAULTS=all-failures every failure at each. What was tried is counted for the line `faults: {…}` at the end.
import { appendFileSync, mkdirSync } from 'node:fs';
import t, { type Test } from 'tap';
import { chance, Place, sample } from './place.ts';
import { cannotTrace } from './trace.ts';

export const EVERY_FAILURE = process.env.CANNERY_FAULTS === 'all-failures';

/** As many as there are. */
export const EVERY = Number.POSITIVE_INFINITY;

export const WHOLE = EVERY_FAILURE || process.env.CANNERY_FAULTS === 'all';

export const SEED = Number(process.env.CANNERY_FAULTS_SEED ?? Math.floor(Math.random() * 1e9));

/** Runs at once. The ordinary tests run beside others. */
const JOBS = Number(process.env.CANNERY_FAULTS_JOBS ?? (WHOLE ? 2 : 1));

/** Of the points, only those whose names match: to try again what failed. */
export const ONLY = process.env.CANNERY_FAULTS_ONLY;

export const random = chance(SEED);

/** Some of what can be tried. @param tries how many */
export function chosenOf<T>(items: readonly T[], tries: number, nameOf: (item: T) => string): T[] {
  if (ONLY !== undefined) return items.filter((item) => new RegExp(ONLY).test(nameOf(item)));
  return sample(items, tries, random);
}

const noTracing = cannotTrace();

/** A test that breaks runs by strace; skipped with the reason where that cannot be. */
export function tracedTest(name: string, run: (t: Test) => Promise<void>): void {
  t.test(`${name} (seed ${SEED})`, { skip: noTracing ?? false }, run);
}

/** Places that are all made alike. */
export async function places(t: Test, make: (place: Place) => void | Promise<void>, jobs = JOBS): Promise<Place[]> {
  const all = Array.from({ length: jobs }, () => new Place(t));
  for (const place of all) {
    await make(place);
    place.keep();
  }
  return all;
}

export type Count =
  | 'kill_points'
  | 'failures'
  | 'replays'
  | 'restarts'
  | 'mutants_caught'
  | 'disks_filled'
  | 'inputs_fuzzed'
  | 'losses';

/** Adds to the counts of this run of all tests. */
export function count(what: Count, by: number): void {
  mkdirSync('build/faults', { recursive: true });
  appendFileSync('build/faults/counts', `${by} ${what}\n`);
}
