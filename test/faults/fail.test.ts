// System calls that fail: a clear error, and once the cause is gone a second run that completes.
import type { Test } from 'tap';
import { isSteady, prepare, tryEach } from './breaks.ts';
import { chosenOf, count, EVERY, EVERY_FAILURE, ONLY, random, tracedTest, WHOLE } from './campaign.ts';
import { sample } from './place.ts';
import { errorsOf, type Point, tell } from './points.ts';
import { fakeRemote } from './remotes.ts';
import { adding, archive, bucket, generations, hourly, hourlyTo, mirror, type Stock } from './scenarios.ts';
import { SMALL } from './spools.ts';
import { fail } from './trials.ts';

/** Failures whose cause was not told once. */
const ONCE_SILENT = /^EMFILE: upload at socket/;

async function failAll(
  t: Test,
  stock: Stock,
  few: number,
  verbs?: readonly string[],
  meant: (point: Point) => boolean = () => true,
): Promise<void> {
  const { all, scenario, points: found } = await prepare(t, stock, verbs);
  const points = found.filter(meant);
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
  return failAll(t, stock, 5, ['upload']);
});

tracedTest('a new generation of a bucket, with system calls that fail', (t) => failAll(t, generations(), 3));

tracedTest('an archive that is renamed, with system calls that fail', (t) => failAll(t, archive(), 4));

tracedTest('an index to which a store is added, with system calls that fail', (t) => failAll(t, adding(SMALL), 3));

tracedTest('a bucket that is filled, with system calls that fail', (t) => failAll(t, bucket(), 4));

tracedTest('a mirror of a store, with system calls that fail', (t) =>
  failAll(
    t,
    mirror(() => fakeRemote(t)),
    3,
    ['fetch'],
    isSteady,
  ),
);
