// System calls that fail: a clear error, nothing lost, and a second run that completes once the cause is gone.
import { basename, dirname, join } from 'node:path';
import { count, places, random, told, tracedTest, WHOLE } from './campaign.ts';
import { finishedFaults, lostPosts, overwritten, snapshot } from './oracle.ts';
import { type PipeRan, type Place, sample, spread } from './place.ts';
import { breaking, errorsOf, type Point, pointsOf, reached, tell } from './points.ts';
import { fill, HOURLY, postsIn, SMALL } from './spools.ts';

const VICTIMS = ['ls', 'postcan', 'upload', 'index', 'clear'];

interface Trial {
  point: Point;
  error: string;
}

tracedTest('the hourly pipeline, with system calls that fail', async (t) => {
  const all = await places(t, (place) => fill(join(place.path, 'incoming'), SMALL));
  const posts = postsIn(all[0]!.path);
  const trials: Trial[] = [];
  for (const verb of VICTIMS)
    for (const point of await pointsOf(all[0]!, HOURLY, verb))
      for (const error of errorsOf(point)) trials.push({ point, error });
  const chosen = WHOLE ? trials : sample(trials, 28, random);
  let failed = 0;
  let losses = 0;
  await spread(all, chosen, async (place, trial) => {
    const name = `${trial.error}: ${tell(trial.point)}`;
    const faults = await failAndFinish(place, trial, posts);
    if (faults === 'not reached') return void t.comment(`not reached: ${name}`);
    failed++;
    losses += faults.length;
    t.same(faults, [], name);
  });
  count('failures injected', failed);
  count('losses', losses);
  t.ok(failed >= chosen.length * 0.9, `${failed} of ${trials.length} failures`);
});

async function failAndFinish(
  place: Place,
  { point, error }: Trial,
  posts: Map<string, Buffer>,
): Promise<string[] | 'not reached'> {
  place.reset();
  const broken = await place.run(HOURLY, { traced: breaking(place, point, `error=${error}`) });
  if (!reached(place)) return 'not reached';
  const faults = await lostPosts(place.path, posts);
  faults.push(...silenceFaults(broken, point, error));
  if (broken.stages.every(({ code }) => code === 0))
    faults.push(...(await finishedFaults(place.path, posts)).map((each) => `exit 0, but ${each}`));
  const before = snapshot(join(place.path, 'store'));
  const again = await place.run(HOURLY);
  if (again.stages.some(({ code, err }) => code !== 0 || err !== '')) faults.push(`run again: ${told(again)}`);
  faults.push(...overwritten(before, snapshot(join(place.path, 'store'))));
  faults.push(...(await finishedFaults(place.path, posts)));
  return faults.length > 0 ? [...faults, `it had said: ${told(broken)}`] : faults;
}

/** The cause as a person reads it; SQLite has words of its own. */
const CAUSES: Record<string, RegExp> = {
  ENOSPC: /no space left|disk is full|disk I\/O error|unable to open/,
  EDQUOT: /disk quota exceeded|disk I\/O error|unable to open/,
  EIO: /input\/output error|disk I\/O error|unable to open database file/,
  EMFILE: /too many open files|unable to open database file|disk I\/O error/,
  EACCES: /permission denied|unable to open database file|readonly database|disk I\/O error/,
};

/** What is missing in the words of a run that failed. */
function silenceFaults({ stages }: PipeRan, point: Point, error: string): string[] {
  const faults: string[] = [];
  for (const { verb, code, err } of stages) {
    if (![0, 1, 3].includes(code)) faults.push(`${verb}: exit ${code}`);
    if (code !== 0 && err === '') faults.push(`${verb}: exit ${code} without a word`);
    for (const line of err.split('\n').filter(Boolean))
      if (!line.startsWith(`cannery ${verb}: `)) faults.push(`${verb} says: ${line}`);
  }
  const { code, err } = stages.find(({ verb }) => verb === point.verb)!;
  if (code === 0) return faults;
  if (!CAUSES[error]!.test(err)) faults.push(`the cause is not told: ${err}`);
  if (!namesOf(point.path).some((name) => err.includes(name))) faults.push(`the file is not named: ${err}`);
  return faults;
}

/** A file or its folder, a temporary file by the name of what it is to be. */
function namesOf(path: string): string[] {
  const name = basename(path)
    .replace(/\.[^.]+\.4194305\.\w+\.tmp$|\.tmp$|\.4194305\.gone$/, '')
    .replace(/^\./, '');
  const above = basename(dirname(path));
  return path === '' ? ['/w:', '/w '] : above === '.' ? [name] : [name, above];
}
