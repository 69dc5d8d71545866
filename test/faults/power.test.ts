// Power goes at any moment of a run: whatever was not fsynced may be lost, in any order, and the next run completes.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { count, places, random, told, tracedTest, WHOLE } from './campaign.ts';
import { finishedFaults, overwritten, snapshot } from './oracle.ts';
import { type Place, sample, spread } from './place.ts';
import { type Disk, digestOf, fickle, forgetful, hollow, type Loss, Recording, writeDisk } from './power.ts';
import { fill, HOURLY, postsIn, SMALL } from './spools.ts';
import { parseTrace, TRACED } from './trace.ts';

const LOSSES: [string, (random: () => number) => Loss, number][] = [
  ['all that was not fsynced is lost', forgetful, 1],
  ['names without what is in the files', hollow, 1],
  ['as chance has it', fickle, WHOLE ? 3 : 1],
];

/** Each place has a recording of its own: what runs write holds its path. */
async function record(place: Place): Promise<Recording> {
  place.reset();
  const log = place.log('record');
  const { stages } = await place.run(HOURLY, { record: `strace -f -y -s 16777216 -o ${log} -e trace=${TRACED}` });
  const broken = stages.find(({ code }) => code !== 0);
  if (broken) throw new Error(`${broken.verb}: exit ${broken.code}: ${broken.err}`);
  return new Recording(parseTrace(readFileSync(log, 'latin1')), place.path, place.kept);
}

interface Crash {
  name: string;
  disk: Disk;
}

/** Every different disk that the losses make of a recording. */
function crashesOf(recording: Recording): Crash[] {
  const known = new Set<string>();
  const crashes: Crash[] = [];
  for (const moment of recording.moments) {
    for (const [name, make, times] of LOSSES) {
      for (let n = 0; n < times; n++) {
        const disk = recording.crash(moment, make(random));
        const digest = digestOf(disk);
        if (known.has(digest)) continue;
        known.add(digest);
        crashes.push({ name: `${name}, at line ${moment}`, disk });
      }
    }
  }
  return crashes;
}

tracedTest('the hourly pipeline, with power that goes', async (t) => {
  const all = await places(t, (place) => fill(join(place.path, 'incoming'), SMALL));
  const posts = postsIn(all[0]!.path);
  let replays = 0;
  let losses = 0;
  await Promise.all(
    all.map(async (place, n) => {
      const crashes = crashesOf(await record(place));
      // One place takes the even ones, another the odd ones.
      const mine = crashes.filter((_, i) => i % all.length === n);
      const chosen = WHOLE ? mine : sample(mine, 14, random);
      t.comment(`${chosen.length} of ${crashes.length} disks`);
      await spread([place], chosen, async (_, { name, disk }) => {
        const faults = await startAgain(place, disk, posts);
        replays++;
        losses += faults.length;
        t.same(faults, [], name);
      });
    }),
  );
  count('replays', replays);
  count('losses', losses);
});

async function startAgain(place: Place, disk: Disk, posts: Map<string, Buffer>): Promise<string[]> {
  writeDisk(disk, place.path);
  const before = snapshot(join(place.path, 'store'));
  const ran = await place.run(HOURLY);
  const faults = ran.stages.some(({ code, err }) => code !== 0 || err !== '') ? [`run again: ${told(ran)}`] : [];
  faults.push(...overwritten(before, snapshot(join(place.path, 'store'))));
  faults.push(...(await finishedFaults(place.path, posts)));
  return faults.length > 0
    ? [...faults, ...[...disk].map(([path, bytes]) => `${path} ${bytes?.length ?? '/'}`)]
    : faults;
}
