import { isatty } from 'node:tty';
import { untilInterrupted } from '../edge/interrupt.ts';
import { NewPlace } from '../edge/newfile.ts';
import { documentsOf, OPENING, rowsMadeOf, sizeOf } from '../edge/operands.ts';
import { Sample } from '../edge/sample.ts';
import { rowsOut, Selecting } from '../edge/selection.ts';
import { refuseMisfits, SELECT, whereOf } from '../edge/selectoptions.ts';
import { Subset } from '../edge/subset.ts';
import { OneTable, PartitionedTable } from '../edge/tables.ts';
import { columnOf, DEFAULT_FIELDS } from '../record/fields.ts';
import { UsageError } from '../stream/errors.ts';
import { flag, text, verb } from '../stream/verb.ts';

export default verb({
  summary: 'select measurements and their fields, as rows or as a table',
  operands: '[FILE...|-]',
  options: {
    ...SELECT,
    files: flag('--files', 'standard input has file rows, of files to open, and no measurement rows'),
    manifest: text('--manifest <file>', 'write what was asked, of which inputs, and what came out, to a new file'),
    check: text(
      '--check <file>',
      'do again what this manifest tells of, with the inputs that the operand has, and compare',
    ),
    ...OPENING,
  },
  async run(stage, operands, given) {
    const isSubset = given.manifest !== undefined || given.check !== undefined;
    if (isSubset && operands.includes('-')) throw new UsageError('a manifest is made of files, not of standard input');
    if (given.files && operands.length > 0) throw new UsageError('files or --files, not both');
    const subset = new Subset(stage, given.manifest, given.check, operands);
    const options = subset.options(given);
    const files = subset.files ?? (given.files ? subset.rows() : operands.length > 0 ? operands : undefined);
    const { to, out, partition, sample, seed, guard, dropBodies, keepHash, end } = options;
    refuseMisfits(options, files !== undefined);
    if (isSubset && files === undefined) throw new UsageError('--manifest goes with files, or --files');
    if (to === 'parquet' && out === undefined && isatty(1))
      throw new UsageError('parquet is no text: give --out FILE, or a pipe');
    const where = options.where.map((text) => whereOf(text, options.anyName));
    const fields = options.fields.length > 0 ? options.fields : DEFAULT_FIELDS.map(columnOf);
    const place = out === undefined ? undefined : new NewPlace(out, partition.length > 0);
    await untilInterrupted(
      () => {
        place?.abandon();
        subset.abandon();
      },
      async () => {
        try {
          let into = rowsOut(stage);
          const table = to && { kind: to, fields, guard };
          if (table && place && partition.length > 0) into = new PartitionedTable(stage, table, partition, place);
          else if (table) into = new OneTable(stage, table, place);
          if (sample > 0) into = new Sample(sample, seed ?? 0, into);
          if (isSubset) into = subset.guard(into);
          if (isSubset && out === undefined) stage.hash();
          const selection = { where, bodies: keepHash ? 'hash' : dropBodies ? 'drop' : 'keep' } as const;
          const selecting = new Selecting(stage, selection, into);
          if (files === undefined) return await selecting.rows();
          if (Array.isArray(files)) stage.expect(sizeOf(files));
          const { recorded } = selecting;
          const taker = { recorded, ...(isSubset && { through: subset.through.bind(subset) }) };
          const { where: given, anyName } = options;
          const job = into.lines && { where: given, anyName, bodies: selection.bodies, into: into.lines.kind };
          const documents = job
            ? rowsMadeOf(stage, files, options, taker, job)
            : documentsOf(stage, files, options, taker);
          await selecting.documents(documents, end);
          if (isSubset) await subset.end(options, out);
        } finally {
          place?.abandon();
          subset.abandon();
        }
      },
    );
  },
});
