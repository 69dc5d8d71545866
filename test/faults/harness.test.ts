// The harness itself: a wrong order of things must be caught, or what it finds nothing in proves nothing.
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { putPost, ROOT, read } from '../lib.ts';
import { count, tracedTest, WHOLE } from './campaign.ts';
import { build, type Change, changed, MUTANTS, type Mutant } from './mutants.ts';
import { finishedFaults } from './oracle.ts';
import { Place } from './place.ts';
import { type Point, pointsOf } from './points.ts';
import { fickle, forgetful, hollow } from './power.ts';
import { fakeRemote } from './remotes.ts';
import { hourly, hourlyTo, type Scenario } from './scenarios.ts';
import { postOf, postsIn, SMALL } from './spools.ts';
import { crashesOf, kill, lostOn, record, startAgain } from './trials.ts';

/** The first fault that a way of breaking things shows; undefined where it shows none. */
type Catcher = (place: Place, scenario: Scenario) => Promise<string | undefined>;

/** Kills a verb at the points that are meant. */
function killed(verb: string, meant: (point: Point) => boolean): Catcher {
  return async (place, scenario) => {
    for (const point of (await pointsOf(place, scenario, verb)).filter(meant)) {
      const faults = await kill(place, scenario, point);
      if (faults !== 'not reached' && faults.length > 0) return faults[0];
    }
    return undefined;
  };
}

/** Cuts the power: looks at every disk, and starts from a few. */
async function powerless(place: Place, scenario: Scenario): Promise<string | undefined> {
  const crashes = [
    ...crashesOf(await record(place, scenario), [
      ['', hollow],
      ['', forgetful],
      ['', fickle],
    ]),
  ];
  for (const { disk } of crashes) {
    const [lost] = await lostOn(place, scenario, disk);
    if (lost !== undefined) return lost;
  }
  for (const { disk } of crashes.reverse().filter((_, n) => n % 5 === 0)) {
    const [fault] = await startAgain(place, scenario, disk);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

/** A post that comes when the can of its hour has been sent. */
async function lateComer(place: Place, { commands, program }: Scenario): Promise<string | undefined> {
  await place.reset();
  const posts = postsIn(place.path);
  const run = () => place.run(commands, program === undefined ? {} : { program });
  await run();
  const late = postOf({ ...SMALL[0]!, bytes: 500 }, 99);
  posts.set(putPost(join(place.path, 'incoming'), late, { time: '20240201105900.000099' }), late);
  await run();
  const [overwritten] = await place.gather();
  return overwritten ?? (await finishedFaults(place.path, posts, place.remote?.url))[0];
}

const CATCHERS: [Mutant, Catcher][] = [
  [
    'posts are removed before their can is ready',
    killed('postcan', ({ call, path }) => call === 'rename' && path.includes('building/')),
  ],
  ['counters begin again', lateComer],
  ['the files of a can are not fsynced', powerless],
  ['counters begin again, and the store is written over', lateComer],
  ['counters begin again, and a server is asked without a condition', lateComer],
  ['the move to ready is not fsynced', powerless],
  ['posts of a can that was ready are not looked for', killed('postcan', ({ call }) => call === 'unlink')],
  ['a can is sent before it is in the store', killed('upload', ({ call }) => call === 'link')],
  ['the store is not fsynced', powerless],
  ['a can is indexed before its rows are', killed('index', ({ path }) => path.endsWith('-wal'))],
  ['the index is not fsynced', powerless],
];

const TRIED = WHOLE ? CATCHERS : CATCHERS.slice(0, 3);

async function prepare(t: Test, stock = hourly(SMALL)): Promise<{ place: Place; scenario: Scenario }> {
  const place = new Place(t);
  await stock.prepare(place);
  place.keep();
  return { place, scenario: await stock.scenario(place) };
}

test('every wrong order can be made of the sources as they are', (t) => {
  for (const change of Object.values(MUTANTS).flat() as Change[])
    t.not(changed(read(join(ROOT, 'src', change[0])).toString(), change), '', change[1]);
  t.end();
});

for (const [mutant, catcher] of TRIED) {
  tracedTest(`caught: ${mutant}`, async (t) => {
    const { place, scenario } = await prepare(
      t,
      mutant.includes('a server') ? hourlyTo(() => fakeRemote(t)) : undefined,
    );
    const fault = await catcher(place, { ...scenario, program: build(t, mutant) });
    t.not(fault, undefined, fault ?? 'nothing was found');
    if (fault !== undefined) count('mutants_caught', 1);
  });
}

tracedTest('the right order is not caught', async (t) => {
  for (const stock of [hourly(SMALL), hourlyTo(() => fakeRemote(t))]) {
    const { place, scenario } = await prepare(t, stock);
    t.equal(await lateComer(place, scenario), undefined);
  }
});
