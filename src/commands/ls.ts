import { KINDS, type Kind, listPath } from '../edge/listing.ts';
import { noStrangers } from '../edge/spool.ts';
import { dayOrHour, second } from '../record/moments.ts';
import { compactTest } from '../record/names.ts';
import { endRow } from '../record/rows.ts';
import { describeAt, UsageError } from '../stream/errors.ts';
import { flag, list, type OptionSpec, seconds, verb } from '../stream/verb.ts';

/** Without --kind, each measurement once: posts, lines of cans and reports, but no postcans. */
const USUAL: Kind[] = ['post', 'jsonl', 'report'];

function parseMoment(given: string): number {
  const time = dayOrHour(given);
  if (time === undefined) throw new UsageError(`'${given}' is neither a day (2024-02-01) nor an hour (2024-02-01T10)`);
  return time;
}

const moment = (flags: string, text: string): OptionSpec<number | undefined> => ({
  flags,
  text,
  parse: parseMoment,
  initial: undefined,
});

const now: OptionSpec<number | undefined> = {
  flags: '--now <time>',
  text: 'the time that --due goes by, as 2024-02-01T13:05:00Z (default: now)',
  parse: (given) => {
    const time = second(given);
    if (time === undefined) throw new UsageError(`--now: a time such as 2024-02-01T13:05:00Z, not '${given}'`);
    return time;
  },
  initial: undefined,
};

function country(given: string): string {
  if (!/^[A-Za-z]{2}$/.test(given)) throw new UsageError(`--cc: two letters, not '${given}'`);
  return given.toUpperCase();
}

function kindsOf(given: string): string {
  if (given === 'can' || given === 'all' || (KINDS as readonly string[]).includes(given)) return given;
  throw new UsageError(`--kind: one of ${KINDS.join(', ')}, can, all, not '${given}'`);
}

/** Names of --kind → kinds; `can` is both halves. */
export function expandKinds(names: string[]): Kind[] {
  if (names.length === 0) return USUAL;
  return names.flatMap((name): Kind[] =>
    name === 'all' ? [...KINDS] : name === 'can' ? ['jsonl', 'postcan'] : [name as Kind],
  );
}

export default verb({
  summary: 'list and select posts, cans and reports as file rows',
  operands: 'PATH...',
  options: {
    due: flag('--due', 'only posts of hours that have ended'),
    settle: seconds('--settle <seconds>', 'an hour is due this long after its end', 300, 86_400 * 365),
    now,
    cc: list('--cc <countries>', 'only these countries, as IT,IR', country),
    test: list('--test <names>', 'only these tests, as web_connectivity or webconnectivity', (name) =>
      compactTest(name).toLowerCase(),
    ),
    from: moment('--from <time>', 'from this day or hour on (arrival, UTC)'),
    to: moment('--to <time>', 'up to this day or hour, which is not in it'),
    end: flag('--end', 'close the list with an end row, so that cat can tell a part of it from the whole'),
    kind: list('--kind <kinds>', `only these: ${KINDS.join(', ')}, can, all (default: ${USUAL.join(',')})`, kindsOf),
  },
  async run(stage, paths, options) {
    if (paths.length === 0) throw new UsageError('a path is missing: see cannery ls --help');
    const remote = paths.find((path) => /^(?:s3|https?):\/\//.test(path));
    if (remote) throw new UsageError(`${remote}: only folders are listed yet`);
    if (options.now !== undefined && !options.due) throw new UsageError('--now goes with --due');
    const { cc, test: tests, from, to, due, settle } = options;
    const endedBy = due ? (options.now ?? Date.now()) - settle * 1000 : undefined;
    const selection = { kinds: expandKinds(options.kind), cc, tests, from, to, endedBy };
    const failed = (path: string, error: unknown) =>
      stage.reject({ as: 'file', file: path, line: null, reason: describeAt(path, error) }, null);
    for (const path of paths) {
      const strangers = noStrangers();
      let untold = 0;
      try {
        for (const row of listPath(path, { selection, strangers, failed, untold: () => untold++ })) {
          stage.took();
          await stage.receipt(options.end ? { ...row, more: true } : row);
        }
      } catch (error) {
        if ((error as NodeJS.ErrnoException).syscall === undefined) throw error; // not of this path
        failed(path, error);
      }
      stage.tally('unfinished', strangers.unfinished);
      stage.tally('strangers', strangers.other);
      stage.tally('untold', untold);
      if (untold > 0) stage.say(`${path}: ${untold} reports whose names do not tell what was asked for, left out`);
      if (strangers.other === 0) continue;
      const examples =
        strangers.examples.length > 0
          ? ` (${strangers.examples.join(', ')}${strangers.other > strangers.examples.length ? ', …' : ''})`
          : '';
      stage.say(`${path}: ${strangers.other} that are none of ours, left alone${examples}`);
    }
    if (options.end) await stage.emit(endRow(stage.counts.out!, stage.counts.rejected!));
  },
});
