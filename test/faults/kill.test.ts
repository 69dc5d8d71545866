// Killed at any system call that changes something, and run again: nothing lost, nothing twice. Made to fail there
// instead: a clear error, and a second run that completes.
import { join } from 'node:path';
import type { Test } from 'tap';
import { count, places, random, tracedTest, WHOLE } from './campaign.ts';
import { sample, spread } from './place.ts';
import { errorsOf, type Point, pointsOf, tell } from './points.ts';
import { fill, HOURLY, large, type PostSpec, postsIn, SMALL } from './spools.ts';
import { fail, kill, type Scenario } from './trials.ts';

const VICTIMS = ['ls', 'postcan', 'upload', 'index', 'clear'];

async function prepare(t: Test, specs: PostSpec[]) {
  const all = await places(t, (place) => fill(join(place.path, 'incoming'), specs));
  const scenario: Scenario = { commands: HOURLY, posts: postsIn(all[0]!.path) };
  const points: Point[] = [];
  for (const verb of VICTIMS) points.push(...(await pointsOf(all[0]!, HOURLY, verb)));
  return { all, scenario, points };
}

/** Points at which a kill was not survived once: always tried. */
const ONCE_BROKEN = [
  /postcan at rename outgoing\/names\/\S+\.tmp$/, // its temporary file stayed for ever
  /index at fsync jsonl\.sqlite$/, // half an index was taken for somebody else's database
];

async function killAll(t: Test, specs: PostSpec[], tries: number): Promise<void> {
  const { all, scenario, points } = await prepare(t, specs);
  const changing = points.filter(({ does }) => does !== 'reads');
  const always = changing.filter((point) => ONCE_BROKEN.some((form) => form.test(tell(point))));
  const chosen = tries >= changing.length ? changing : [...new Set([...always, ...sample(changing, tries, random)])];
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

tracedTest('a small spool, killed', (t) => killAll(t, SMALL, WHOLE ? Number.POSITIVE_INFINITY : 20));

tracedTest('a large spool, killed', (t) => killAll(t, large(random), WHOLE ? 100 : 4));

tracedTest('a small spool, with system calls that fail', async (t) => {
  const { all, scenario, points } = await prepare(t, SMALL);
  const trials = points.flatMap((point) => errorsOf(point).map((error) => ({ point, error })));
  const chosen = WHOLE ? trials : sample(trials, 24, random);
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
});
