// A stage that is killed in the middle of its stream looks to the next one like the end of the data: no row can may
// become ready of half a stream.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { count, places, random, tracedTest, WHOLE } from './campaign.ts';
import { type Command, type Place, sample, spread } from './place.ts';
import { noise } from './spools.ts';
import { told } from './trials.ts';

/** The stages before `postcan --rows`, in their order. */
const PRODUCERS: readonly Command[] = [
  ['ls', 'raw/2016-08-01', '--end'],
  ['cat', '--end'],
  ['normalise'],
  ['sanitise', '--bridges', 'bridges.json', '--allow-empty-bridge-db'],
];

const CONSUMERS: readonly Command[] = [['postcan', '--rows', '--to', 'outgoing-rows/']];

/** Enough for several writes of every stage, also of the list. */
function reports(place: Place): void {
  const bucket = join(place.path, 'raw/2016-08-01');
  mkdirSync(bucket, { recursive: true });
  writeFileSync(join(place.path, 'bridges.json'), '{}');
  for (let n = 0; n < 700; n++) {
    const record = `{"report_id":"r${n}","probe_cc":"${n % 2 ? 'IT' : 'IR'}","probe_asn":"AS1","test_name":"ndt","measurement_start_time":"2016-08-01 00:00:00","test_keys":{"x":"${noise(random, 300)}"}}\n`;
    writeFileSync(join(bucket, `20160801T000000Z-IT-AS1-ndt-${'0'.repeat(40)}${n}-0.2.0-probe.json`), record);
  }
}

/** The pipeline, with a named pipe behind one stage, so that strace can count what goes there. */
async function run(place: Place, verb: string, options: string[]) {
  const pipe = place.log('pipe');
  const at = PRODUCERS.findIndex(([name]) => name === verb);
  execFileSync('mkfifo', ['-m', '600', pipe]);
  const [left, right] = await Promise.all([
    place.run(PRODUCERS.slice(0, at + 1), {
      traced: { verb, options: [...options, '-P', pipe] },
      out: pipe,
      log: 'left.',
    }),
    place.run([...PRODUCERS.slice(at + 1), ...CONSUMERS], { in: pipe, log: 'right.' }),
  ]);
  execFileSync('rm', [pipe]);
  return { stages: [...left.stages, ...right.stages], out: right.out };
}

/** How often a stage writes. */
async function writesOf(place: Place, verb: string): Promise<number> {
  await place.reset();
  const log = place.log('writes');
  const ran = await run(place, verb, ['-f', '-qqq', '-o', log, '-e', 'trace=write,writev']);
  if (ran.stages.some(({ code }) => code !== 0)) throw new Error(told(ran));
  return readFileSync(log, 'latin1').split('\n').filter(Boolean).length;
}

/** A run in which a stage is killed at its `nth` write; nothing where it did not come so far. */
async function killedAt(place: Place, verb: string, nth: number) {
  await place.reset();
  const log = place.log('killed');
  const inject = `inject=write,writev:signal=KILL:when=${nth}`;
  const ran = await run(place, verb, ['-f', '-qqq', '-o', log, '-e', 'trace=write,writev', '-e', inject]);
  return /killed by SIGKILL/.test(readFileSync(log, 'latin1')) ? ran : undefined;
}

for (const [verb] of PRODUCERS) {
  tracedTest(`${verb} is killed while it writes`, async (t) => {
    const all = await places(t, reports);
    const writes = await writesOf(all[0]!, verb);
    t.ok(writes > 2, `${writes} writes`);
    const ready = () => readdirSync(join(all[0]!.path, 'outgoing-rows/ready')).length;
    t.ok(ready() > 0, 'a whole stream becomes cans');
    const nths = Array.from({ length: writes }, (_, n) => n + 1);
    let losses = 0;
    let killed = 0;
    await spread(all, sample(nths, WHOLE ? 60 : 2, random), async (place, nth) => {
      // A stage writes what it has when the next one can take it: how often, differs from run to run. The first write
      // there always is.
      for (let at = nth; at > 0; at = Math.floor(at / 2)) {
        const ran = await killedAt(place, verb, at);
        const name = `at write ${at} of ${writes}`;
        if (ran === undefined) {
          t.comment(`not reached: ${name}`);
          continue;
        }
        killed++;
        const made = readdirSync(join(place.path, 'outgoing-rows/ready'));
        losses += made.length;
        t.same(made, [], `nothing is ready: ${name}`);
        t.same(readdirSync(join(place.path, 'outgoing-rows/building')), [], `the disk space is given back: ${name}`);
        if (verb === 'ls' && at === 1) return; // not half a list, but none: nothing to pack
        const packer = ran.stages.at(-1)!;
        t.equal(packer.code, 1, told(ran));
        t.match(packer.err, /no end row, so its producer may have died/);
        return;
      }
    });
    count('kill_points', killed);
    count('losses', losses);
    t.ok(killed > 0, `killed ${killed} times`);
  });
}
