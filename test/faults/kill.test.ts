// Killed at any system call that changes something, and run again: nothing lost, nothing twice. Made to fail there
// instead: a clear error, and a second run that completes.
import type { Test } from 'tap';
import { count, places, random, tracedTest, WHOLE } from './campaign.ts';
import { sample, spread } from './place.ts';
import { errorsOf, type Point, pointsOf, tell } from './points.ts';
import { generations, hourly, type Stock, strays } from './scenarios.ts';
import { large, SMALL } from './spools.ts';
import { fail, kill } from './trials.ts';

/** Prepared places, and the points of every process that changes something. */
async function prepare(t: Test, stock: Stock) {
  const all = await places(t, (place) => stock.prepare(place));
  const scenario = await stock.scenario(all[0]!);
  const points: Point[] = [];
  for (const [verb] of scenario.commands) points.push(...(await pointsOf(all[0]!, scenario, verb)));
  return { all, scenario, points };
}

/** Points at which a kill was not survived once: always tried. */
const ONCE_BROKEN = [
  /postcan at rename outgoing\/names\/\S+\.tmp$/, // its temporary file stayed for ever
  /index at fsync jsonl\.sqlite$/, // half an index was taken for somebody else's database
];

async function killAll(t: Test, stock: Stock, tries: number, meant = (_: Point) => true): Promise<void> {
  const { all, scenario, points } = await prepare(t, stock);
  const changing = points.filter((point) => point.does !== 'reads' && meant(point));
  const always = changing.filter((point) => ONCE_BROKEN.some((form) => form.test(tell(point))));
  const chosen = [...new Set([...always, ...sample(changing, tries, random)])];
  let killed = 0;
  let losses = 0;
  await spread(all, chosen, async (place, point) => {
    const faults = await kill(place, scenario, point);
    if (faults === 'not reached') return void t.comment(`not reached: ${tell(point)}`);
    killed++;
    losses += faults.length;
    t.same(faults, [], tell(point));
  });
  count('kill points', killed);
  count('losses', losses);
  t.ok(killed >= chosen.length * 0.9, `killed at ${killed} of ${changing.length} points`);
}

const EVERY = Number.POSITIVE_INFINITY;

tracedTest('a small spool, killed', (t) => killAll(t, hourly(SMALL), WHOLE ? EVERY : 14));

tracedTest('a large spool, killed', (t) => killAll(t, hourly(large(random)), WHOLE ? 100 : 3));

tracedTest('a spool with a stray, killed', (t) =>
  killAll(t, strays(SMALL), WHOLE ? EVERY : 2, ({ path }) => /strays|xxx/.test(path)),
);

tracedTest('a new generation of a bucket, killed', (t) => killAll(t, generations(), WHOLE ? EVERY : 6));

async function failAll(t: Test, stock: Stock, tries: number): Promise<void> {
  const { all, scenario, points } = await prepare(t, stock);
  const trials = points.flatMap((point) => errorsOf(point).map((error) => ({ point, error })));
  const chosen = sample(trials, tries, random);
  let failed = 0;
  let losses = 0;
  await spread(all, chosen, async (place, { point, error }) => {
    const name = `${error}: ${tell(point)}`;
    const faults = await fail(place, scenario, point, error);
    if (faults === 'not reached') return void t.comment(`not reached: ${name}`);
    failed++;
    losses += faults.length;
    t.same(faults, [], name);
  });
  count('failures injected', failed);
  count('losses', losses);
  t.ok(failed >= chosen.length * 0.9, `${failed} of ${trials.length} failures`);
}

tracedTest('a small spool, with system calls that fail', (t) => failAll(t, hourly(SMALL), WHOLE ? EVERY : 14));

tracedTest('a new generation of a bucket, with system calls that fail', (t) =>
  failAll(t, generations(), WHOLE ? 300 : 4),
);
