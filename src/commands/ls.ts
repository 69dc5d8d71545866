import { listBucket } from '../edge/bucketlisting.ts';
import { listPath } from '../edge/listing.ts';
import { expandKinds, refuseUnknown, SELECTING } from '../edge/selecting.ts';
import { noStrangers } from '../edge/spool.ts';
import { accessOf } from '../edge/store.ts';
import { second } from '../record/moments.ts';
import { endRow } from '../record/rows.ts';
import { isUrl } from '../record/storeurls.ts';
import { Summary } from '../record/summary.ts';
import { describeAt, UsageError } from '../stream/errors.ts';
import { flag, number, type OptionSpec, seconds, verb } from '../stream/verb.ts';

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

export default verb({
  summary: 'list and select posts, cans and reports as file rows',
  operands: 'PATH...',
  options: {
    due: flag('--due', 'only posts of hours that have ended'),
    settle: seconds('--settle <seconds>', 'an hour is due this long after its end', 300, 86_400 * 365),
    now,
    ...SELECTING,
    end: flag('--end', 'close the list with an end row, so that cat can tell a part of it from the whole'),
    summary: flag('--summary', 'instead of rows, a table by day, country and test: files and bytes'),
    anonymous: flag('--anonymous', 'of S3: sign no request, whatever credentials there are'),
    attempts: number('--attempts <n>', 'of S3: tries of one request', 20, 1, 1000),
  },
  async run(stage, paths, options) {
    if (paths.length === 0) throw new UsageError('a path is missing: see cannery ls --help');
    if (options.now !== undefined && !options.due) throw new UsageError('--now goes with --due');
    if (options.summary && options.end) throw new UsageError('--summary has no end row: leave --end out');
    const { cc, test: tests, due, settle, ...times } = options;
    if (paths.some(isUrl) && !options.anyName) refuseUnknown(options);
    const endedBy = due ? (options.now ?? Date.now()) - settle * 1000 : undefined;
    const summary = new Summary();
    const failed = (path: string, error: unknown) =>
      stage.reject({ as: 'file', file: path, line: null, reason: describeAt(path, error) }, null);
    for (const path of paths) {
      const strangers = noStrangers();
      let untold = 0;
      const selection = { ...times, kinds: expandKinds(options.kind, isUrl(path)), cc, tests, endedBy };
      const listing = { selection, strangers, failed, untold: () => untold++ };
      const calls = (count: number) => stage.tally('list_calls', count);
      const access = accessOf(stage, options);
      try {
        const rows = isUrl(path) ? listBucket(path, { ...listing, calls }, access) : listPath(path, listing);
        for await (const row of rows) {
          stage.took();
          if (options.summary) summary.add(row);
          else await stage.receipt(options.end ? { ...row, more: true } : row);
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
    if (options.summary) for (const line of summary.lines()) await stage.emit(line);
    if (options.end) await stage.emit(endRow(stage.counts.out!, stage.counts.rejected!));
  },
});
