import { fileRows } from '../edge/filerows.ts';
import { documentsOf, OPENING, sizeOf } from '../edge/operands.ts';
import { WholeBuckets } from '../edge/wholebuckets.ts';
import { endRow, measurementRow } from '../record/rows.ts';
import { UsageError } from '../stream/errors.ts';
import type { Stage } from '../stream/stage.ts';
import { flag, verb } from '../stream/verb.ts';

export default verb({
  summary: 'open posts, reports and cans, and write their measurements as rows',
  operands: '[FILE...|-]',
  options: {
    raw: flag('--raw', 'the documents alone, without the three members in front'),
    end: flag('--end', 'close the stream with an end row, for postcan --rows'),
    ...OPENING,
  },
  async run(stage, operands, options) {
    if (options.raw && options.end) throw new UsageError('--raw has no end row: leave --end out');
    if (operands.length > 0) stage.expect(sizeOf(operands));
    const buckets = new WholeBuckets();
    const files = operands.length > 0 ? operands : filesOfRows(stage);
    for await (const { provenance, document } of documentsOf(stage, files, options, { buckets })) {
      if (options.raw) await stage.emit(document);
      else await stage.emit(...measurementRow(provenance, document));
    }
    if (!options.end) return;
    const whole = buckets.whole();
    await stage.emit(endRow(stage.counts.out!, stage.counts.rejected!, whole.length > 0 ? { whole } : {}));
  },
});

/** Files named by the rows of standard input. */
async function* filesOfRows(stage: Stage): AsyncGenerator<string> {
  for await (const { row } of fileRows(stage, { whole: true, hint: () => "; data is read with 'cat -'" }))
    yield row.file;
}
