import { canRows, withCan } from '../edge/canrows.ts';
import { clearCan } from '../edge/clearer.ts';
import { verb } from '../stream/verb.ts';

export default verb({
  summary: 'remove local cans that are in the store and in the index',
  operands: '',
  options: {},
  async run(stage) {
    for await (const { row, bytes } of canRows(stage)) {
      const done = await withCan(row, async (folder) => clearCan(folder));
      if (done === 'busy') stage.say(`${row.can}: another process is at it, passed over`);
      else if (done === 'gone') await stage.receipt({ ...row, cleared: true });
      else if (done === 'cleared') {
        stage.tally('cleared');
        await stage.receipt({ ...row, cleared: true });
      } else stage.reject({ as: 'row', file: row.can, line: null, reason: done.refused }, bytes);
    }
  },
});
