import { realpathSync } from 'node:fs';
import { join } from 'node:path';
import { isFolder, makeFolder } from '../edge/files.ts';
import { type Lock, tryLock } from '../edge/lock.ts';
import { renameArchive } from '../edge/renamer.ts';
import { undoRenames } from '../edge/unrename.ts';
import { dayOrHour, second } from '../record/moments.ts';
import { LAYOUTS } from '../record/reportnames.ts';
import { Failure, UsageError } from '../stream/errors.ts';
import { choice, flag, type OptionSpec, seconds, text, verb } from '../stream/verb.ts';

const before: OptionSpec<number | undefined> = {
  flags: '--before <time>',
  text: 'only reports that were last written before this day, hour or second, UTC (default: now)',
  parse: (given) => {
    const time = dayOrHour(given) ?? second(given);
    if (time === undefined)
      throw new UsageError(`--before: a time such as 2024-02-01 or 2024-02-01T00:30:00Z, not '${given}'`);
    return time;
  },
  initial: undefined,
};

export default verb({
  summary: 'give reports of an archive their names, made from what is in them',
  operands: 'ARCHIVE',
  options: {
    to: text('--to <dir>', 'the folder that the reports go to'),
    before,
    settle: seconds(
      '--settle <seconds>',
      'a report that was written within this time is left for another run',
      60,
      86_400 * 365,
    ),
    layout: choice(
      '--layout <name>',
      'order of the parts of a name, pipeline being that of later archives',
      LAYOUTS,
      'seed',
    ),
    dryRun: flag('--dry-run', 'tell what would be done, and change nothing'),
    undo: text('--undo <log>', 'take back the moves that this rename.log tells of'),
  },
  async run(stage, operands, options) {
    const [archive, another] = operands;
    if (archive === undefined || another !== undefined) throw new UsageError('one archive: see cannery rename --help');
    const { to, undo, dryRun, settle } = options;
    if (to === undefined) throw new UsageError('--to is missing');
    if (undo !== undefined && options.before !== undefined) throw new UsageError('--undo takes no --before');
    const isOne = isFolder(to) && realpathSync(archive) === realpathSync(to);
    if (isOne) throw new UsageError('ARCHIVE and --to are one folder');
    const lock = dryRun ? undefined : lockFolder(to);
    try {
      if (undo !== undefined) return await undoRenames(stage, archive, to, undo, dryRun);
      const now = Date.now();
      const before = Math.min(options.before ?? now, now - settle * 1000);
      await renameArchive(stage, archive, to, { layout: options.layout, before, dryRun });
    } finally {
      lock?.release();
    }
  },
});

function lockFolder(to: string): Lock {
  makeFolder(to);
  const lock = tryLock(join(to, '.rename-lock'));
  if (!lock) throw new Failure(`${to}: another rename is at work here`);
  return lock;
}
