// Power goes at any moment of a run: whatever was not fsynced may be lost, in any order, and the next run completes.
import { join } from 'node:path';
import { count, places, random, tracedTest, WHOLE } from './campaign.ts';
import { sample } from './place.ts';
import { fickle, forgetful, hollow } from './power.ts';
import { fill, HOURLY, postsIn, SMALL } from './spools.ts';
import { type Crash, crashesOf, lostOn, record, type Scenario, startAgain } from './trials.ts';

const LOSSES: Parameters<typeof crashesOf>[1] = [
  ['all that was not fsynced is lost', forgetful],
  ['names without what is in the files', hollow],
  ...Array.from({ length: WHOLE ? 3 : 1 }, (): [string, typeof fickle] => ['as chance has it', fickle]),
];

tracedTest('a small spool, with power that goes', async (t) => {
  const all = await places(t, (place) => fill(join(place.path, 'incoming'), SMALL));
  const scenario: Scenario = { commands: HOURLY, posts: postsIn(all[0]!.path) };
  let losses = 0;
  const check = (faults: string[], { name }: Crash) => {
    losses += faults.length;
    t.same(faults, [], name);
  };
  await Promise.all(
    all.map(async (place, n) => {
      const crashes = [...crashesOf(await record(place, scenario), LOSSES)];
      // One place takes the even ones, another the odd ones.
      const mine = crashes.filter((_, i) => i % all.length === n);
      const chosen = WHOLE ? mine : sample(mine, 10, random);
      for (const crash of mine) check(await lostOn(place, scenario, crash.disk), crash);
      for (const crash of chosen) check(await startAgain(place, scenario, crash.disk), crash);
      count('replays', chosen.length);
      t.ok(chosen.length > 5, `${chosen.length} of ${mine.length} disks were started from`);
    }),
  );
  count('losses', losses);
});
