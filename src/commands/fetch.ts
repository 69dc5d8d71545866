import { type Brought, fetchRows } from '../edge/fetchrows.ts';
import { untilInterrupted } from '../edge/interrupt.ts';
import { Mirror } from '../edge/mirror.ts';
import { endRow } from '../record/rows.ts';
import { UsageError } from '../stream/errors.ts';
import { flag, number, seconds, text, verb } from '../stream/verb.ts';

export default verb({
  summary: 'copy files of a store into a folder, resumed and verified, each under its key',
  operands: '',
  options: {
    to: text('--to <dir>', 'the folder; it is made where it is missing'),
    jobs: number('--jobs <n>', 'files under way at once', 16, 1, 64),
    anonymous: flag('--anonymous', 'of S3: sign no request, whatever credentials there are'),
    attempts: number('--attempts <n>', 'tries of one request that bring nothing', 20, 1, 1000),
    wait: seconds('--wait <seconds>', 'how long to wait for another fetch into the folder', 0, 86_400),
  },
  async run(stage, _, { to, wait, ...options }) {
    if (to === undefined) throw new UsageError('--to is missing');
    const mirror = Mirror.open(to, wait * 1000);
    const interrupted = () => stage.say(`interrupted: the same line goes on from here, ${to} has what is complete`);
    let end: Brought['end'];
    try {
      await untilInterrupted(interrupted, async () => {
        for await (const one of fetchRows(stage, mirror, options)) {
          if (one.row) await stage.receipt(one.row);
          end = one.end ?? end;
        }
      });
    } finally {
      mirror.close();
    }
    const { fetched = 0, there = 0, rejected = 0 } = stage.counts;
    if (fetched === 0 && there > 0 && rejected === 0) stage.say(`nothing to fetch: ${to} has all ${there} files`);
    if (end) await stage.emit(endRow(stage.counts.out!, rejected + end.rejected));
  },
});
