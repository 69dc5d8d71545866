// Pipelines to break: how each begins, and what must be true of it at any moment and at its end.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { tree } from '../lib.ts';
import { finishedFaults, linesByGroup, lostPosts, rowFaults } from './oracle.ts';
import { type Command, chance, type PipeRan, type Place } from './place.ts';
import { fill, noise, type PostSpec, postsIn } from './spools.ts';

export interface Scenario {
  commands: readonly Command[];
  program?: string | undefined;
  /** True where a run said nothing that it should not have said. */
  isQuiet(ran: PipeRan): boolean;
  /** What is lost at a moment when a run was broken off. */
  lost(place: Place): Promise<string[]>;
  /** What is wrong when a run has come to its end. */
  finished(cwd: string): Promise<string[]>;
}

/** How a place is prepared, and what is then expected of it. All places are prepared alike. */
export interface Stock {
  prepare(place: Place): Promise<void> | void;
  scenario(place: Place): Promise<Scenario> | Scenario;
}

const isQuiet = ({ stages }: PipeRan) => stages.every(({ code, err }) => code === 0 && err === '');

/** The hourly pipeline, with cans of a few kilobytes. */
export const HOURLY: readonly Command[] = [
  ['ls', 'incoming/', '--due'],
  ['postcan', '--spool', 'incoming/', '--to', 'outgoing/', '--host', 'n0', '--max-bytes', '4000'],
  ['upload', 'store'],
  ['index', 'jsonl.sqlite'],
  ['clear'],
];

/** A spool through all verbs. */
export function hourly(specs: PostSpec[]): Stock {
  return {
    prepare: (place) => fill(join(place.path, 'incoming'), specs),
    scenario(place) {
      const posts = postsIn(place.path);
      return {
        commands: HOURLY,
        isQuiet,
        lost: ({ path }) => lostPosts(path, posts),
        finished: (cwd) => finishedFaults(cwd, posts),
      };
    },
  };
}

/** A spool with one that looks like a post and is none: it goes to `strays/`, once. */
export function strays(specs: PostSpec[]): Stock {
  const { prepare } = hourly(specs);
  const [{ hour, cc, test }] = specs as [PostSpec];
  const stray = `${hour}_${cc}_${test}/${'x'.repeat(20)}.post`;
  const places = (cwd: string) =>
    ['incoming', 'strays'].flatMap((folder) =>
      tree(join(cwd, folder))
        .filter((path) => path.includes('xxx'))
        .map((path) => `${folder}/${path}`),
    );
  return {
    async prepare(place) {
      await prepare(place);
      writeFileSync(join(place.path, 'incoming', stray), 'stray');
    },
    scenario(place) {
      const posts = postsIn(place.path);
      posts.delete(stray);
      return {
        commands: HOURLY,
        isQuiet: ({ stages }) =>
          stages.every(
            ({ code, err }) =>
              (code === 0 && /^(?:cannery ls: \S+ 1 that are none of ours[^\n]*\n)?$/.test(err)) ||
              /^cannery postcan: \S+: looks like a post and is none[^\n]*\n$/.test(err),
          ),
        lost: async ({ path }) => [
          ...(await lostPosts(path, posts)),
          ...(places(path).length === 0 ? [`${stray}: lost`] : []),
        ],
        finished: async (cwd) => [
          ...(await finishedFaults(cwd, posts)),
          ...(places(cwd).join() === `strays/${stray}` ? [] : [`the stray lies in ${places(cwd).join(', ')}`]),
        ],
      };
    },
  };
}

/** A bucket through all verbs that row cans go through. */
const BUCKET: readonly Command[] = [
  ['ls', 'raw/2016-08-01', '--end'],
  ['cat', '--end'],
  ['normalise'],
  ['postcan', '--rows', '--to', 'outgoing/', '--max-bytes', '4000'],
  ['upload', 'store', '--private'],
  ['index', 'jsonl.sqlite'],
  ['clear'],
];

function writeReports(place: Place, seed: number): void {
  const random = chance(seed);
  const folder = join(place.path, 'raw/2016-08-01');
  mkdirSync(folder, { recursive: true });
  for (const [n, cc] of ['IT', 'IT', 'IT', 'IR'].entries()) {
    const record = `{"report_id":"r${n}","probe_cc":"${cc}","probe_asn":"AS1","test_name":"ndt","measurement_start_time":"2016-08-01 00:00:0${n}","test_keys":{"x":"${noise(random, 1500)}"}}\n`;
    writeFileSync(join(folder, `20160801T00000${n}Z-${cc}-AS1-ndt-r${n}-0.2.0-probe.json`), record);
  }
}

/** A bucket that was packed before and has changed: its new generation takes the place of the old one. */
export function generations(): Stock {
  const index = (place: Place) => join(place.path, 'jsonl.sqlite');
  return {
    async prepare(place) {
      writeReports(place, 1);
      const { stages } = await place.run(BUCKET);
      const broken = stages.find(({ code }) => code !== 0);
      if (broken) throw new Error(`${broken.verb}: ${broken.err}`);
      writeReports(place, 2);
    },
    async scenario(place) {
      const before = linesByGroup(index(place), place.aside);
      await place.run(BUCKET);
      const after = linesByGroup(index(place), place.aside);
      const lines = [...after.values()].flatMap((hashes) => hashes.toLowerCase().split(','));
      if (before.size !== 2 || after.size !== 2) throw new Error('two groups were expected');
      place.reset();
      const raw = postsBelow(join(place.path, 'raw'));
      return {
        commands: BUCKET,
        isQuiet: ({ stages }) =>
          stages.every(
            ({ verb, code, err }) => code === 0 && (err === '' || (verb === 'index' && /superseded/.test(err))),
          ),
        // One transaction: a group is all of the old generation or all of the new one.
        async lost(at) {
          const now = existsSync(index(at)) ? linesByGroup(index(at), at.aside) : new Map<string, string>();
          const torn = [...before.keys()].filter(
            (group) => ![before.get(group), after.get(group)].includes(now.get(group)),
          );
          const gone = [...raw].filter(([path, bytes]) => !readFileSync(join(at.path, 'raw', path)).equals(bytes));
          return [
            ...torn.map((group) => `${group}: neither the old nor the new generation`),
            ...gone.map(([path]) => `${path}: changed`),
          ];
        },
        finished: (cwd) => rowFaults(cwd, lines),
      };
    },
  };
}

function postsBelow(folder: string): Map<string, Buffer> {
  return new Map(tree(folder).map((path) => [path, readFileSync(join(folder, path))]));
}
