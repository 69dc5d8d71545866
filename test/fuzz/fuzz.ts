// A fuzzing run: rounds of bad input from a seed, for so long as there is time. Each round has a chance of its own, so
// that `CANNERY_SEED=N CANNERY_FUZZ_ONLY='NAME round 12'` tries that one again. What is found is kept in build/fuzz/.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { count } from '../faults/campaign.ts';
import { chance } from '../faults/place.ts';
import type { Chance } from './mutate.ts';

const SEED = Number(process.env.CANNERY_SEED ?? process.env.CANNERY_FAULTS_SEED ?? Math.floor(Math.random() * 1e9));

/** For all targets together. */
const SECONDS = Number(process.env.CANNERY_FUZZ ?? 60);

const [, ONLY_NAME, ONLY_ROUND] = /^(.*?)(?: round (\d+))?$/.exec(process.env.CANNERY_FUZZ_ONLY ?? '')!;

/** Parts of the time, of a hundred. */
const SHARES = {
  'parsers of JSON, posts and rows': 6,
  'parsers of YAML': 6,
  'rules of records': 8,
  'gzip and tar': 6,
  'names, logs and requests': 4,
  'files that cat opens, and the way behind it': 24,
  'archives of reports': 10,
  'rows of standard input': 16,
  'state of an outgoing folder': 12,
  'an index, a log, a database': 8,
} as const;

export type Target = keyof typeof SHARES;

const ENOUGH = 5;

export interface Round {
  /** From 0. */
  number: number;
  chance: Chance;
  /** So many inputs were given to what is tested. */
  tried(inputs: number): void;
  /** @param input what shows it */
  found(reason: string, input?: Uint8Array): void;
}

/** Runs rounds until their time is over, or enough was found. */
export async function rounds(
  name: string,
  seconds: number,
  round: (round: Round) => Promise<void> | void,
  only?: number,
): Promise<{ inputs: number; rounds: number; finds: string[] }> {
  const finds: string[] = [];
  let inputs = 0;
  const started = performance.now();
  const isOver = () => (performance.now() - started) / 1000 > seconds || finds.length >= ENOUGH;
  let n = only ?? 0;
  do {
    const at = `${name} round ${n}`;
    await round({
      number: n,
      chance: chance(SEED + n * 7919),
      tried: (by) => (inputs += by),
      found(reason, input) {
        let kept = '';
        if (input) {
          kept = join('build/fuzz', `${at.replace(/\W+/g, '-')}.${finds.length}`);
          mkdirSync('build/fuzz', { recursive: true });
          writeFileSync(kept, input);
          kept = ` (${kept})`;
        }
        finds.push(`${reason}${kept}: CANNERY_SEED=${SEED} CANNERY_FUZZ_ONLY='${at}'`);
      },
    });
    n++;
  } while (only === undefined && !isOver());
  return { inputs, rounds: n, finds };
}

/** A test that fails with what its rounds find. @param prepare makes what all rounds need */
export function fuzzTest(name: Target, prepare: (t: Test) => Promise<(round: Round) => Promise<void> | void>): void {
  const skip = ONLY_NAME !== '' && ONLY_NAME !== name && 'CANNERY_FUZZ_ONLY names another';
  t.test(`${name} (seed ${SEED})`, { skip }, async (t) => {
    const round = await prepare(t);
    const seconds = (SECONDS * SHARES[name]) / 100;
    const started = performance.now();
    const only = ONLY_ROUND === undefined ? undefined : Number(ONLY_ROUND);
    const done = await rounds(name, seconds, round, only);
    const rate = Math.round(done.inputs / ((performance.now() - started) / 1000));
    t.comment(`${name}: ${done.inputs} inputs in ${done.rounds} rounds, ${rate} a second`);
    count('inputs_fuzzed', done.inputs);
    t.same(done.finds, []);
    t.ok(done.inputs > 0, 'something was tried');
  });
}
