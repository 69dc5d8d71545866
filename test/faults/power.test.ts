// Power goes at any moment of a run: whatever was not fsynced may be lost, in any order, and the next run completes.
import type { Test } from 'tap';
import { count, EVERY, places, random, tracedTest, WHOLE } from './campaign.ts';
import { sample } from './place.ts';
import { fickle, forgetful, hollow } from './power.ts';
import { archive, bucket, generations, hourly, type Stock } from './scenarios.ts';
import { SMALL } from './spools.ts';
import { type Crash, crashesOf, lostOn, record, startAgain } from './trials.ts';

const LOSSES: Parameters<typeof crashesOf>[1] = [
  ['all that was not fsynced is lost', forgetful],
  ['names without what is in the files', hollow],
  ...Array.from({ length: WHOLE ? 3 : 1 }, (): [string, typeof fickle] => ['as chance has it', fickle]),
];

async function cutAll(t: Test, stock: Stock, tries: number): Promise<void> {
  const all = await places(t, (place) => stock.prepare(place));
  let losses = 0;
  const check = (faults: string[], { name }: Crash) => {
    losses += faults.length;
    t.same(faults, [], name);
  };
  await Promise.all(
    all.map(async (place, n) => {
      const scenario = await stock.scenario(place);
      const crashes = [...crashesOf(await record(place, scenario), LOSSES)];
      // One place takes the even ones, another the odd ones.
      const mine = crashes.filter((_, i) => i % all.length === n);
      const chosen = sample(mine, tries, random);
      for (const crash of mine) check(await lostOn(place, scenario, crash.disk), crash);
      for (const crash of chosen) check(await startAgain(place, scenario, crash.disk), crash);
      count('replays', mine.length);
      count('restarts', chosen.length);
      t.ok(chosen.length >= Math.min(tries, 10), `${chosen.length} of ${mine.length} disks were started from`);
    }),
  );
  count('losses', losses);
}

tracedTest('a small spool, with power that goes', (t) => cutAll(t, hourly(SMALL), WHOLE ? EVERY : 6));

tracedTest('a new generation of a bucket, with power that goes', (t) => cutAll(t, generations(), WHOLE ? 150 : 3));

tracedTest('an archive that is renamed, with power that goes', (t) => cutAll(t, archive(), WHOLE ? EVERY : 5));

tracedTest('a bucket that is filled, with power that goes', (t) => cutAll(t, bucket(), WHOLE ? EVERY : 5));
