import { bucketsOf, checkBucket } from '../edge/bucketcheck.ts';
import { fillFromRemote, fillFromRows } from '../edge/filling.ts';
import { parsePlace, Remote } from '../edge/remote.ts';
import { isBucketName } from '../record/buckets.ts';
import { UsageError } from '../stream/errors.ts';
import { flag, type OptionSpec, seconds, text, verb } from '../stream/verb.ts';

const date: OptionSpec<string | undefined> = {
  flags: '--date <day>',
  text: 'the bucket, as 2016-08-01 (default: today, UTC)',
  parse: (given) => {
    if (!isBucketName(given)) throw new UsageError(`--date: a day such as 2016-08-01, not '${given}'`);
    return given;
  },
  initial: undefined,
};

export default verb({
  summary: 'move reports into the bucket of a day, each verified before it goes from where it was',
  operands: '[verify|freeze BUCKET...]',
  options: {
    to: text('--to <dir>', 'the folder of the buckets'),
    date,
    from: text('--from <place>', 'HOST:DIR: take the reports of this folder, by rsync, and read no rows'),
    ssh: text('--ssh <command>', "with --from: the remote shell, as 'ssh -p 2222' (default: RSYNC_RSH, or ssh)"),
    copy: flag('--copy', 'leave the reports where they are'),
    settle: seconds('--settle <seconds>', 'leave files that changed less than this ago', 60, 86_400 * 365),
    wait: seconds('--wait <seconds>', 'how long to wait for another process at the same bucket', 0, 86_400),
  },
  async run(stage, [action, ...buckets], options) {
    const { to, from, ssh, copy, settle, wait } = options;
    if (action !== undefined) {
      if (action !== 'verify' && action !== 'freeze')
        throw new UsageError(`verify or freeze, not '${action}'; reports are named by rows of standard input`);
      if (buckets.length === 0)
        throw new UsageError(`a bucket is missing, as 'cannery bucket ${action} DIR/2016-08-01'`);
      if (to !== undefined || options.date !== undefined || from !== undefined || ssh !== undefined || copy)
        throw new UsageError(`--to, --date, --from, --ssh and --copy do not go with ${action}`);
      for (const path of bucketsOf(stage, buckets)) await checkBucket(stage, path, wait * 1000, action === 'freeze');
      return;
    }
    if (to === undefined) throw new UsageError('--to is missing');
    if (ssh !== undefined && from === undefined) throw new UsageError('--ssh goes with --from');
    const shell = ssh ?? (process.env.RSYNC_RSH || 'ssh');
    const remote = from === undefined ? undefined : new Remote(parsePlace(from), shell);
    const today = new Date().toISOString().slice(0, 10); // once: a run over midnight stays in one bucket
    const day = options.date ?? today;
    if (day > today) stage.say(`--date: ${day} lies in the future`);
    const how = { to, day, chosen: options.date !== undefined, copy, settleMs: settle * 1000, waitMs: wait * 1000 };
    if (remote) await fillFromRemote(stage, how, remote);
    else await fillFromRows(stage, how);
  },
});
