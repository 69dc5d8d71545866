import { statSync } from 'node:fs';
import { DocumentReader, FORMATS, type Format } from '../edge/documents.ts';
import { fileRows } from '../edge/filerows.ts';
import { Objects } from '../edge/objects.ts';
import { fileBytes } from '../edge/source.ts';
import { accessOf } from '../edge/store.ts';
import { WholeBuckets } from '../edge/wholebuckets.ts';
import { endRow, measurementRow } from '../record/rows.ts';
import { isUrl } from '../record/storeurls.ts';
import { eraOf, type LayoutEra, TwoLayouts } from '../record/twolayouts.ts';
import { UsageError } from '../stream/errors.ts';
import type { Stage } from '../stream/stage.ts';
import { bytes, flag, number, type OptionSpec, verb } from '../stream/verb.ts';

const format: OptionSpec<Format> = {
  flags: '--format <name>',
  text: `what the input is: ${FORMATS.join(', ')}`,
  parse: (given) => {
    const known = FORMATS.find((name) => name === given);
    if (!known) throw new UsageError(`--format: one of ${FORMATS.join(', ')}, not '${given}'`);
    return known;
  },
  initial: 'auto',
  shown: 'auto',
};

export default verb({
  summary: 'open posts, reports and cans, and write their measurements as rows',
  operands: '[FILE...|-]',
  options: {
    raw: flag('--raw', 'the documents alone, without the three members in front'),
    end: flag('--end', 'close the stream with an end row, for postcan --rows'),
    format,
    maxDepth: number('--max-depth <levels>', 'deepest nesting of a document', 500, 1, 100_000),
    maxInflated: bytes('--max-inflated <bytes>', 'most that one file may inflate to', 100_000_000_000),
    anonymous: flag('--anonymous', 'of S3: sign no request, whatever credentials there are'),
    attempts: number('--attempts <n>', 'of S3: tries of one request that bring nothing', 20, 1, 1000),
  },
  async run(stage, operands, options) {
    if (options.raw && options.end) throw new UsageError('--raw has no end row: leave --end out');
    const { maxLine } = stage;
    const { maxDepth, maxInflated } = options;
    const objects = new Objects(accessOf(stage, options));
    const bytesOf = (file: string) => (isUrl(file) ? objects.bytes(file) : fileBytes(file));
    const reader = new DocumentReader(stage, { maxLine, maxDepth, maxInflated }, bytesOf);
    const layouts = new TwoLayouts();
    const write = async (
      documents: AsyncIterable<{ provenance: Parameters<typeof measurementRow>[0]; document: Buffer }>,
      era?: LayoutEra,
    ) => {
      for await (const { provenance, document } of documents) {
        if (era && !layouts.isNew(era, document)) continue;
        if (options.raw) await stage.emit(document);
        else await stage.emit(...measurementRow(provenance, document));
      }
    };
    if (operands.length > 0) stage.expect(sizeOf(operands));
    const buckets = new WholeBuckets();
    for await (const file of objects.begun(operands.length > 0 ? operands : filesOfRows(stage))) {
      if (file === '-') await write(reader.bytes(process.stdin, null, options.format));
      else {
        stage.refuseRejects(file);
        buckets.took(file);
        await write(reader.file(file, options.format), eraOf(file));
        if (reader.broken) buckets.failed(file);
        reader.broken = false;
      }
    }
    await objects.close();
    if (layouts.doubles > 0) {
      stage.tally('doubles', layouts.doubles);
      stage.say(
        `passed over ${layouts.doubles} of 20 and 21 October 2020 that had come from the other layout of the bucket`,
      );
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

function sizeOf(files: string[]): number {
  return files.reduce((sum, file) => sum + sizeOrNone(file), 0);
}

/** What is wrong with a file is said when it is read. */
function sizeOrNone(file: string): number {
  try {
    return statSync(file).size;
  } catch {
    return 0;
  }
}
