// A run is broken in many ways, in several places side by side.
import type { Test } from 'tap';
import { count, places, WHOLE } from './campaign.ts';
import { type Place, spread } from './place.ts';
import { type Point, pointsOf } from './points.ts';
import type { Stock } from './scenarios.ts';

/** Prepared places, and the points of every process that changes something. */
export async function prepare(t: Test, stock: Stock, verbs?: readonly string[], jobs?: number) {
  const all = await places(t, (place) => stock.prepare(place), jobs);
  const scenario = await stock.scenario(all[0]!);
  const points: Point[] = [];
  for (const verb of verbs ?? scenario.commands.map(([each]) => each))
    points.push(...(await pointsOf(all[0]!, scenario, verb)));
  return { all, scenario, points };
}

/**
 * True of a point that every run comes to. Which write carries which request differs from run to run, so that where
 * a few points are to stand for all, those of a store are left to the whole campaign, but for its first connection.
 */
export function isSteady({ does, call }: Point): boolean {
  return WHOLE || does !== 'talks' || call === 'connect';
}

/** Breaks a run in each of these ways. @returns in how many it came so far */
export async function tryEach<T>(
  t: Test,
  all: Place[],
  ways: T[],
  nameOf: (way: T) => string,
  faultsOf: (place: Place, way: T) => Promise<string[] | 'not reached'>,
): Promise<number> {
  let broken = 0;
  let losses = 0;
  await spread(all, ways, async (place, way) => {
    let faults = await faultsOf(place, way);
    if (faults === 'not reached') faults = await faultsOf(place, way); // this run may come to it
    if (faults === 'not reached') return void t.comment(`not reached: ${nameOf(way)}`);
    broken++;
    losses += faults.length;
    t.same(faults, [], nameOf(way));
  });
  count('losses', losses);
  return broken;
}
