import { canRows, withCan } from '../edge/canrows.ts';
import { locate } from '../edge/outgoing.ts';
import { sendCan } from '../edge/sender.ts';
import { openStore } from '../edge/store.ts';
import { UsageError } from '../stream/errors.ts';
import { forEachOf } from '../stream/ordered.ts';
import { flag, number, verb } from '../stream/verb.ts';

export default verb({
  summary: 'put cans into a store, verified, and never over other bytes',
  operands: 'STORE',
  options: {
    jobs: number('--jobs <n>', 'cans under way at once', 16, 1, 64),
    attempts: number('--attempts <n>', 'tries of one request', 20, 1, 1000),
    private: flag('--private', 'the store is private: unsanitised cans may go there'),
    withRows: flag('--with-rows', 'put the rows of the index beside each can'),
  },
  async run(stage, operands, options) {
    const [spec, ...more] = operands;
    if (spec === undefined || more.length > 0) throw new UsageError('one store: s3://bucket[/prefix] or a folder');
    const store = await openStore(spec, { attempts: options.attempts, onRetry: (message) => stage.say(message) });
    try {
      await forEachOf(canRows(stage), options.jobs, async ({ row, bytes }) => {
        const { outgoing, can } = locate(row);
        outgoing.check(await store.place());
        const done = await withCan(row, (folder) => sendCan(stage, store, folder, row, options));
        if (done === 'busy') stage.say(`${can}: another process is at it, passed over`);
        else if (done === 'gone') stage.say(`${can}: cleared meanwhile`);
        else if ('refused' in done) stage.reject({ as: 'row', file: can, line: null, reason: done.refused }, bytes);
        else {
          await stage.receipt(done);
          await stage.flush();
        }
      });
    } finally {
      store.close();
    }
  },
});
