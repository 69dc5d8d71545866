// Killed at any system call that changes something, and run again: nothing lost, nothing twice.
import type { Test } from 'tap';
import { isSteady, prepare, tryEach } from './breaks.ts';
import { chosenOf, count, EVERY, ONLY, random, tracedTest, WHOLE } from './campaign.ts';
import { type Point, tell } from './points.ts';
import { fakeRemote, realRemote } from './remotes.ts';
import { adding, archive, bucket, generations, hourly, hourlyTo, mirror, type Stock, strays } from './scenarios.ts';
import { large, SMALL } from './spools.ts';
import { kill } from './trials.ts';

/** Points at which a kill was not survived once. */
const ONCE_BROKEN = [
  /postcan at rename outgoing\/names\/\S+\.tmp$/, // its temporary file stayed for ever
  /index at fsync jsonl\.sqlite$/, // half an index was taken for somebody else's database
];

interface Tries {
  /** Of the whole, and of a few where time is short. */
  whole?: number;
  few: number;
  /** Processes that are broken; without it all. */
  verbs?: readonly string[];
  jobs?: number;
  meant?: (point: Point) => boolean;
  /** Points that are tried whatever the sample. */
  always?: readonly RegExp[];
}

async function killAll(
  t: Test,
  stock: Stock,
  { whole = EVERY, few, verbs, jobs, meant = () => true, always = [] }: Tries,
): Promise<void> {
  const { all, scenario, points } = await prepare(t, stock, verbs, jobs);
  const changing = points.filter((point) => point.does !== 'reads' && meant(point));
  const known = changing.filter((point) => always.some((form) => form.test(tell(point))));
  const chosen = [...new Set([...(ONLY === undefined ? known : []), ...chosenOf(changing, WHOLE ? whole : few, tell)])];
  const killed = await tryEach(t, all, chosen, tell, (place, point) => kill(place, scenario, point));
  count('kill_points', killed);
  t.ok(killed >= chosen.length * 0.9, `killed at ${killed} of ${changing.length} points`);
}

tracedTest('a small spool, killed', (t) => killAll(t, hourly(SMALL), { few: 8, always: ONCE_BROKEN }));

tracedTest('a large spool, killed', (t) => killAll(t, hourly(large(random)), { whole: 100, few: 1 }));

tracedTest('a spool with a stray, killed', (t) =>
  killAll(t, strays(SMALL), { few: 1, meant: ({ path }) => /strays|xxx/.test(path) }),
);

tracedTest('a new generation of a bucket, killed', (t) => killAll(t, generations(), { few: 4 }));

tracedTest('an archive that is renamed, killed', (t) => killAll(t, archive(), { few: 5 }));

tracedTest('an index to which a store is added, killed', (t) => killAll(t, adding(SMALL), { few: 3 }));

tracedTest('a bucket that is filled, killed', (t) => killAll(t, bucket(), { few: 5 }));

tracedTest('a mirror of a store, killed', (t) =>
  killAll(
    t,
    mirror(() => fakeRemote(t)),
    { few: 3, verbs: ['fetch'], meant: isSteady },
  ),
);

/** What is between a spool and a store on a server; the rest does the same as with a folder. */
const ON_A_SERVER = ['upload'];

tracedTest('an upload to a server, killed', (t) => {
  const stock = hourlyTo(() => fakeRemote(t));
  return killAll(t, stock, { few: 6, verbs: ON_A_SERVER });
});

tracedTest('an upload to a real server, killed', async (t) => {
  const remote = await realRemote(t);
  if (!remote) return void t.pass('nothing is broken', { skip: 'no S3 server is running (make servers starts one)' });
  const stock = hourlyTo(async () => remote);
  const meant = (point: Point) => point.does === 'talks';
  await killAll(t, stock, { whole: 10, few: 2, verbs: ON_A_SERVER, jobs: 1, meant });
});
