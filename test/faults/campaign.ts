// How much is tried: a sample, chosen by a seed that a failure names, or with CANNERY_FAULTS=all every point there
// is. What was tried is counted for the report at the end of `make faults`.
import { appendFileSync, mkdirSync } from 'node:fs';
import t, { type Test } from 'tap';
import { chance, Place } from './place.ts';
import { cannotTrace } from './trace.ts';

export const WHOLE = process.env.CANNERY_FAULTS === 'all';

export const SEED = Number(process.env.CANNERY_FAULTS_SEED ?? Math.floor(Math.random() * 1e9));

/** Runs at once. */
const JOBS = Number(process.env.CANNERY_FAULTS_JOBS ?? 2);

export const random = chance(SEED);

const noTracing = cannotTrace();

/** A test that breaks runs by strace; skipped with the reason where that cannot be. */
export function tracedTest(name: string, run: (t: Test) => Promise<void>): void {
  t.test(`${name} (seed ${SEED})`, { skip: noTracing ?? false }, run);
}

/** Places that are all made alike. */
export async function places(t: Test, make: (place: Place) => void | Promise<void>): Promise<Place[]> {
  const all = Array.from({ length: JOBS }, () => new Place(t));
  for (const place of all) {
    await make(place);
    place.keep();
  }
  return all;
}

export type Count = 'kill points' | 'failures injected' | 'replays' | 'mutants caught' | 'disks filled' | 'losses';

/** Adds to the counts of this run of all tests. */
export function count(what: Count, by: number): void {
  mkdirSync('build/faults', { recursive: true });
  appendFileSync('build/faults/counts', `${by} ${what}\n`);
}
