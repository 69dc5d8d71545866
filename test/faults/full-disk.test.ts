// A disk that fills while cans are made: nothing is lost, the space is given back, and the next run completes.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { count, WHOLE } from './campaign.ts';
import { Place } from './place.ts';
import { hourly, type Scenario } from './scenarios.ts';
import { SMALL } from './spools.ts';
import { finish, told } from './trials.ts';

const mount = (...args: string[]) => spawnSync('mount', args, { encoding: 'utf8' });

/** Why no small file system can be had; undefined where one can. */
function cannotMount(): string | undefined {
  if (process.platform !== 'linux') return 'tmpfs is a file system of Linux';
  if (process.getuid?.() !== 0) return 'only root can mount a small file system';
  const path = new Place(t).path;
  const { status, stderr } = mount('-t', 'tmpfs', '-o', 'size=64k', 'cannery', path);
  if (status !== 0) return `no file system can be mounted here: ${stderr.trim()}`;
  spawnSync('umount', [path]);
  return undefined;
}

const skip = cannotMount() ?? false;

/** Something to fill: the outgoing folder alone, or all that the pipeline has. */
const WHERE = [
  { name: 'outgoing', sizes: [8, 16, 24, 32, 40, 48, 64, 96] },
  { name: '.', sizes: [48, 56, 64, 72, 88, 104, 120, 150, 200, 260] },
];

for (const { name, sizes } of WHERE) {
  t.test(`${name === '.' ? 'everything' : name} on a small file system`, { skip }, async (t) => {
    const place = new Place(t);
    const disk = join(place.path, name);
    let full = 0;
    for (const size of WHOLE ? sizes : sizes.filter((_, n) => n % 3 === 1)) {
      place.clear();
      mkdirSync(disk, { recursive: true });
      t.equal(mount('-t', 'tmpfs', '-o', `size=${size}k`, 'cannery', disk).status, 0, `${size} kilobytes`);
      try {
        if (await fillUp(t, place, disk, size)) full++;
      } finally {
        spawnSync('umount', [disk]);
      }
    }
    t.ok(full > 0, `it was full ${full} times`);
    count('disks_filled', full);
  });
}

/** @returns whether the disk was too small */
async function fillUp(t: Test, place: Place, disk: string, size: number): Promise<boolean> {
  const stock = hourly(SMALL);
  await stock.prepare(place);
  const scenario: Scenario = await stock.scenario(place);
  const ran = await place.run(scenario.commands);
  const full = ran.stages.some(({ code }) => code !== 0);
  t.same(await scenario.lost(place), [], `nothing is lost with ${size} kilobytes`);
  if (!full) t.same(await scenario.finished(place.path), [], 'exit 0, and all is there');
  for (const { verb, code, err } of ran.stages) {
    t.ok(code === 0 || code === 1, `${verb}: exit ${code}`);
    if (code === 1)
      t.match(err, /^cannery \w+: [^\n]*(?:no space left on device|database or disk is full|disk I\/O error)[^\n]*\n$/);
  }
  const building = join(place.path, 'outgoing/building');
  const space = statfsSync(disk);
  if (ran.stages.find(({ verb }) => verb === 'postcan')!.code === 1)
    t.same(readdirSync(building), [], `the space is given back: ${space.bfree} blocks are free`);
  t.equal(mount('-o', 'remount,size=64m', disk).status, 0);
  t.same(await finish(place, scenario), [], `complete when there is room: ${told(ran)}`);
  return full;
}
