// Pipelines to break: how each begins, and what must be true of it at any moment and at its end.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { ManifestEntry } from '../../src/record/buckets.ts';
import { tree } from '../lib.ts';
import { finishedFaults, linesByGroup, lostPosts, rowFaults } from './oracle.ts';
import { type Command, chance, type PipeRan, type Place } from './place.ts';
import type { Remote } from './remotes.ts';
import { fill, noise, type PostSpec, postsIn, SMALL } from './spools.ts';

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

/** A store whose cans are added to an index, which a laptop has of a mirror. */
export function adding(specs: PostSpec[]): Stock {
  const { prepare } = hourly(specs);
  let posts: ReturnType<typeof postsIn> = new Map();
  return {
    async prepare(place) {
      await prepare(place);
      posts = postsIn(place.path);
      const ran = await place.run(HOURLY);
      if (!isQuiet(ran)) throw new Error('the store could not be filled');
      for (const name of tree(place.path)) if (name.startsWith('jsonl.sqlite')) rmSync(join(place.path, name));
    },
    scenario: () => ({
      commands: [['index', 'jsonl.sqlite', '--add', 'store']],
      isQuiet,
      lost: ({ path }) => lostPosts(path, posts),
      finished: (cwd) => finishedFaults(cwd, posts),
    }),
  };
}

/** A spool whose cans go to a server, one of them in several pieces. */
export function hourlyTo(remote: () => Promise<Remote>): Stock {
  const { prepare } = hourly([...SMALL, { hour: '2024020111', cc: 'IR', test: 'telegram', bytes: 300_000 }]);
  return {
    async prepare(place) {
      await prepare(place);
      place.remote = await remote();
      await place.remote.empty();
    },
    scenario(place) {
      const posts = postsIn(place.path);
      const { url } = place.remote!;
      return {
        commands: HOURLY.map((command) =>
          command[0] === 'upload' ? ['upload', url, '--jobs', '1', '--attempts', '4'] : command,
        ),
        isQuiet,
        lost: ({ path }) => lostPosts(path, posts),
        finished: (cwd) => finishedFaults(cwd, posts, url),
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

/** All that `index` may say of them: of an old one, and of one that a broken run made of a part of the bucket. */
const OF_GENERATIONS = /^(?:[^\n]*: (?:superseded, |the index has a later generation of it )[^\n]*\n)+$/;

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
      await place.reset();
      const raw = postsBelow(join(place.path, 'raw'));
      return {
        commands: BUCKET,
        isQuiet: ({ stages }) =>
          stages.every(
            ({ verb, code, err }) => code === 0 && (err === '' || (verb === 'index' && OF_GENERATIONS.test(err))),
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

/** Reports by their bytes: the path below a folder of each. */
function reportsBelow(folder: string): Map<string, string> {
  const plain = tree(folder).filter((path) => !/(?:^|\/)\.|rename\.log$/.test(path));
  return new Map(plain.map((path) => [readFileSync(join(folder, path), 'latin1'), path]));
}

function writeReport(path: string, record: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, record);
}

/** What is in `reports` and in none of these folders. */
function lostReports(reports: Iterable<string>, folders: string[]): string[] {
  const found = new Set(folders.flatMap((folder) => (existsSync(folder) ? [...reportsBelow(folder).keys()] : [])));
  return [...reports].filter((bytes) => !found.has(bytes)).map((bytes) => `lost: ${bytes.slice(0, 100)}`);
}

/** An archive whose reports get their names, two of them one name with numbers. */
export function archive(): Stock {
  const head = '"test_name":"ndt","report_id":"abc","probe_asn":"AS3269","probe_cc":"IT","data_format_version":"0.2.0"';
  return {
    prepare(place) {
      for (const [n, name] of ['a.json', 'b.json', 'b/c.json', 'd.json'].entries()) {
        const record = `{"test_start_time":"2015-06-29 14:27:1${Math.min(n, 2)}",${head},"n":${n}}\n`;
        writeReport(join(place.path, 'archive', name), record);
      }
      mkdirSync(join(place.path, 'reports'));
    },
    scenario(place) {
      const all = [...reportsBelow(join(place.path, 'archive')).keys()];
      return {
        commands: [['rename', 'archive/', '--to', 'reports/', '--settle', '0']],
        isQuiet: ({ stages }) =>
          stages.every(({ code, err }) => code === 0 && /^(?:cannery rename: \S+: collision: [^\n]*\n)?$/.test(err)),
        lost: async ({ path }) => lostReports(all, [join(path, 'archive'), join(path, 'reports')]),
        async finished(cwd) {
          const reports = join(cwd, 'reports');
          const faults = tree(join(cwd, 'archive')).map((path) => `archive/${path}: left there`);
          const named = tree(reports).filter((path) => path !== '.rename-lock' && path !== 'rename.log');
          const wanted = ['10-', '11-', '12-', '12-1.'].map(
            (time) => `20150629T1427${time.slice(0, 2)}-ndt-abc-AS3269-IT-probe-0.2.0.${time.slice(3)}json`,
          );
          if (named.sort().join() !== wanted.sort().join()) faults.push(`in reports: ${named.join(', ')}`);
          const log = existsSync(join(reports, 'rename.log')) ? readFileSync(join(reports, 'rename.log'), 'utf8') : '';
          for (const path of named) {
            const digest = sha256(readFileSync(join(reports, path)));
            const listed = log.split('\n').some((line) => line.startsWith(`${path}\t`) && line.includes(digest));
            if (!listed) faults.push(`reports/${path}: not in rename.log`);
          }
          return [...faults, ...lostReports(all, [reports])];
        },
      };
    },
  };
}

/** What a line of a manifest tells of a report. */
function listedIn(line: string): string {
  try {
    const { name, size, sha256 } = JSON.parse(line) as ManifestEntry;
    return `${name} ${size} ${sha256}`;
  } catch {
    return `torn: ${line}`;
  }
}

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

/** Reports that go into a bucket. */
export function bucket(): Stock {
  return {
    prepare(place) {
      for (const [n, cc] of ['IT', 'IR', 'DE'].entries()) {
        const record = `{"report_id":"r${n}","probe_cc":"${cc}","test_name":"ndt","x":"${noise(chance(n), 3000)}"}\n`;
        writeReport(join(place.path, `reports/20160801T00000${n}Z-${cc}-AS1-ndt-r${n}-0.2.0-probe.json`), record);
      }
    },
    scenario(place) {
      const all = reportsBelow(join(place.path, 'reports'));
      return {
        commands: [
          ['ls', 'reports/', '--kind', 'report'],
          ['bucket', '--to', 'raw/', '--date', '2016-08-01', '--settle', '0'],
        ],
        isQuiet,
        lost: async ({ path }) => lostReports(all.keys(), [join(path, 'reports'), join(path, 'raw')]),
        async finished(cwd) {
          const raw = join(cwd, 'raw/2016-08-01');
          const faults = tree(join(cwd, 'reports')).map((path) => `reports/${path}: left there`);
          const wanted = ['.bucket-lock', '.manifest.jsonl', ...all.values()].sort();
          if (tree(raw).sort().join() !== wanted.join()) faults.push(`in the bucket: ${tree(raw).join(', ')}`);
          const found = reportsBelow(raw);
          for (const [bytes, name] of all) if (found.get(bytes) !== name) faults.push(`${name}: not in the bucket`);
          const manifest = join(raw, '.manifest.jsonl');
          const lines = existsSync(manifest) ? readFileSync(manifest, 'utf8').trim().split('\n').map(listedIn) : [];
          const told = [...all].map(
            ([bytes, name]) => `${name} ${bytes.length} ${sha256(Buffer.from(bytes, 'latin1'))}`,
          );
          if (lines.sort().join() !== told.sort().join()) faults.push(`the manifest tells of ${lines.join(', ')}`);
          return faults;
        },
      };
    },
  };
}

function postsBelow(folder: string): Map<string, Buffer> {
  return new Map(tree(folder).map((path) => [path, readFileSync(join(folder, path))]));
}

/** Cans on a server that are copied into a folder. */
export function mirror(remote: () => Promise<Remote>): Stock {
  const keys = ['10', '11', '12'].map((hour) => `raw/20240201/${hour}/IT/ndt/20240201${hour}_IT_ndt.n0.0.jsonl.gz`);
  const bytesOf = (key: string) => Buffer.from(noise(chance(keys.indexOf(key)), 3000));
  return {
    async prepare(place) {
      const made = await remote();
      const empty = async () => {
        await made.empty();
        for (const key of keys) await made.put(key, bytesOf(key));
      };
      place.remote = { ...made, empty };
      await empty();
    },
    scenario(place) {
      const { url } = place.remote!;
      /** What is not as it should be of what has its name. */
      const wrong = (cwd: string) =>
        tree(join(cwd, 'mirror'))
          .filter((key) => !key.startsWith('.cannery-fetch/'))
          .filter((key) => !keys.includes(key) || !readFileSync(join(cwd, 'mirror', key)).equals(bytesOf(key)))
          .map((key) => `mirror/${key}: not what the server has`);
      return {
        commands: [
          ['ls', url, '--test', 'ndt'],
          ['fetch', '--to', 'mirror', '--jobs', '1', '--attempts', '4'],
        ],
        isQuiet: ({ stages }) =>
          stages.every(({ code, err }) => code === 0 && /^(?:cannery fetch: nothing to fetch: [^\n]*\n)?$/.test(err)),
        lost: async ({ path }) => wrong(path),
        async finished(cwd) {
          const there = tree(join(cwd, 'mirror'));
          const faults = keys.filter((key) => !there.includes(key)).map((key) => `${key}: not in the mirror`);
          const state = there.filter((path) => path.startsWith('.cannery-fetch/')).sort();
          const told = '.cannery-fetch/manifest.jsonl';
          if (state.join() !== `.cannery-fetch/lock,${told}`) faults.push(`left behind: ${state.join(', ')}`);
          const lines = there.includes(told)
            ? readFileSync(join(cwd, 'mirror', told), 'utf8')
                .trim()
                .split('\n')
            : [];
          const listed = lines.map((line) => (JSON.parse(line) as { s3path: string }).s3path).sort();
          if (listed.join() !== keys.join()) faults.push(`the manifest tells of ${listed.join(', ')}`);
          return [...faults, ...wrong(cwd)];
        },
      };
    },
  };
}
