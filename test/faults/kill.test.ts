// Killed at any system call that changes something, and run again: nothing lost, nothing twice. Made to fail there
// instead: a clear error, and a second run that completes.
import type { Test } from 'tap';
import { chosenOf, count, EVERY_FAILURE, ONLY, places, random, tracedTest, WHOLE } from './campaign.ts';
import { type Place, sample, spread } from './place.ts';
import { errorsOf, type Point, pointsOf, tell } from './points.ts';
import { fakeRemote, realRemote } from './remotes.ts';
import { archive, bucket, generations, hourly, hourlyTo, mirror, type Stock, strays } from './scenarios.ts';
import { large, SMALL } from './spools.ts';
import { fail, kill } from './trials.ts';

/** Prepared places, and the points of every process that changes something. */
async function prepare(t: Test, stock: Stock, verbs?: readonly string[], jobs?: number) {
  const all = await places(t, (place) => stock.prepare(place), jobs);
  const scenario = await stock.scenario(all[0]!);
  const points: Point[] = [];
  for (const verb of verbs ?? scenario.commands.map(([each]) => each))
    points.push(...(await pointsOf(all[0]!, scenario, verb)));
  return { all, scenario, points };
}

/** Points at which a kill was not survived once. */
const ONCE_BROKEN = [
  /postcan at rename outgoing\/names\/\S+\.tmp$/, // its temporary file stayed for ever
  /index at fsync jsonl\.sqlite$/, // half an index was taken for somebody else's database
];

/** Failures whose cause was not told once. */
const ONCE_SILENT = /^EMFILE: upload at socket/;

const EVERY = Number.POSITIVE_INFINITY;

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

/** Breaks a run in each of these ways. @returns in how many it came so far */
async function tryEach<T>(
  t: Test,
  all: Place[],
  ways: T[],
  nameOf: (way: T) => string,
  faultsOf: (place: Place, way: T) => Promise<string[] | 'not reached'>,
): Promise<number> {
  let broken = 0;
  let losses = 0;
  await spread(all, ways, async (place, way) => {
    const faults = await faultsOf(place, way);
    if (faults === 'not reached') return void t.comment(`not reached: ${nameOf(way)}`);
    broken++;
    losses += faults.length;
    t.same(faults, [], nameOf(way));
  });
  count('losses', losses);
  return broken;
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

tracedTest('a bucket that is filled, killed', (t) => killAll(t, bucket(), { few: 5 }));

tracedTest('a mirror of a store, killed', (t) =>
  killAll(
    t,
    mirror(() => fakeRemote(t)),
    { few: 3, verbs: ['fetch'] },
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

async function failAll(t: Test, stock: Stock, few: number, verbs?: readonly string[]): Promise<void> {
  const { all, scenario, points } = await prepare(t, stock, verbs);
  // At every point one failure, or with CANNERY_FAULTS=all-failures every one that can be.
  const errorsAt = (point: Point) =>
    EVERY_FAILURE || ONLY !== undefined ? errorsOf(point) : sample(errorsOf(point), 1, random);
  const trials = points.flatMap((point) => errorsAt(point).map((error) => ({ point, error })));
  const nameOf = ({ point, error }: { point: Point; error: string }) => `${error}: ${tell(point)}`;
  const known = trials.filter((trial) => ONLY === undefined && ONCE_SILENT.test(nameOf(trial)));
  const chosen = [...new Set([...known, ...chosenOf(trials, WHOLE ? EVERY : few, nameOf)])];
  const failed = await tryEach(t, all, chosen, nameOf, (place, { point, error }) =>
    fail(place, scenario, point, error),
  );
  count('failures', failed);
  t.ok(failed >= chosen.length * 0.9, `${failed} failures at ${points.length} points`);
}

tracedTest('a small spool, with system calls that fail', (t) => failAll(t, hourly(SMALL), 8));

tracedTest('an upload to a server, with system calls that fail', (t) => {
  const stock = hourlyTo(() => fakeRemote(t));
  return failAll(t, stock, 5, ON_A_SERVER);
});

tracedTest('a new generation of a bucket, with system calls that fail', (t) => failAll(t, generations(), 3));

tracedTest('an archive that is renamed, with system calls that fail', (t) => failAll(t, archive(), 4));

tracedTest('a bucket that is filled, with system calls that fail', (t) => failAll(t, bucket(), 4));

tracedTest('a mirror of a store, with system calls that fail', (t) =>
  failAll(
    t,
    mirror(() => fakeRemote(t)),
    3,
    ['fetch'],
  ),
);
