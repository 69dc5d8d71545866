// Killed at any system call that changes something, and run again: nothing lost, nothing twice.
import { join } from 'node:path';
import { count, places, random, told, tracedTest, WHOLE } from './campaign.ts';
import { finishedFaults, getFaults, lostPosts, overwritten, snapshot } from './oracle.ts';
import { type Place, sample, spread } from './place.ts';
import { breaking, type Point, pointsOf, reached, tell } from './points.ts';
import { fill, HOURLY, postsIn, SMALL } from './spools.ts';

const VICTIMS = ['postcan', 'upload', 'index', 'clear'];

tracedTest('the hourly pipeline, killed', async (t) => {
  const all = await places(t, (place) => fill(join(place.path, 'incoming'), SMALL));
  const posts = postsIn(all[0]!.path);
  const points: Point[] = [];
  for (const verb of VICTIMS)
    points.push(...(await pointsOf(all[0]!, HOURLY, verb)).filter(({ does }) => does !== 'reads'));
  const chosen = WHOLE ? points : sample(points, 28, random);
  let killed = 0;
  let losses = 0;
  await spread(all, chosen, async (place, point) => {
    const faults = await killAndFinish(place, point, posts);
    if (faults === 'not reached') return void t.comment(`not reached: ${tell(point)}`);
    killed++;
    losses += faults.length;
    t.same(faults, [], tell(point));
  });
  count('kill points', killed);
  count('losses', losses);
  t.ok(killed >= chosen.length * 0.9, `killed at ${killed} of ${points.length} points`);
});

async function killAndFinish(
  place: Place,
  point: Point,
  posts: Map<string, Buffer>,
): Promise<string[] | 'not reached'> {
  place.reset();
  const broken = await place.run(HOURLY, { traced: breaking(place, point, 'signal=KILL') });
  if (!reached(place)) return 'not reached';
  const faults = await lostPosts(place.path, posts);
  const before = snapshot(join(place.path, 'store'));
  const again = await place.run(HOURLY);
  if (again.stages.some(({ code, err }) => code !== 0 || err !== ''))
    faults.push(`run again: ${told(again)}; after ${told(broken)}`);
  faults.push(...overwritten(before, snapshot(join(place.path, 'store'))));
  faults.push(...(await finishedFaults(place.path, posts)));
  if (random() < 0.1) faults.push(...getFaults(place.path, 10));
  return faults;
}
