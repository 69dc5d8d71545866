// The files that a verb was given, opened one after the other, each measurement once.
import { statSync } from 'node:fs';
import { isUrl } from '../record/storeurls.ts';
import { eraOf, TwoLayouts } from '../record/twolayouts.ts';
import type { Stage } from '../stream/stage.ts';
import { bytes, choice, flag, number } from '../stream/verb.ts';
import { Crew, usualThreads } from './crew.ts';
import {
  type DocumentLimits,
  DocumentReader,
  FORMATS,
  type Format,
  type MadeRows,
  type OpenedDocument,
} from './documents.ts';
import { LineReader } from './linereader.ts';
import { type LineJob, lineTrade } from './linetasks.ts';
import { Objects } from './objects.ts';
import { type Bytes, fileBytes } from './source.ts';
import { accessOf } from './store.ts';
import type { WholeBuckets } from './wholebuckets.ts';

/** The options of a verb that opens files, declared once. */
export const OPENING = {
  format: choice('--format <name>', 'what the input is', FORMATS, 'auto'),
  maxDepth: number('--max-depth <levels>', 'deepest nesting of a document', 500, 1, 100_000),
  maxInflated: bytes('--max-inflated <bytes>', 'most that one file may inflate to', 100_000_000_000),
  anonymous: flag('--anonymous', 'of S3: sign no request, whatever credentials there are'),
  attempts: number('--attempts <n>', 'of S3: tries of one request that bring nothing', 20, 1, 1000),
};

export interface OpeningOptions {
  format: Format;
  maxDepth: number;
  maxInflated: number;
  anonymous: boolean;
  attempts: number;
}

/** What a reader of the documents will ask for besides. */
export interface Taker {
  /** Told of every file. */
  buckets?: WholeBuckets;
  recorded?: DocumentLimits['recorded'];
  /** Passes on the bytes of every file. */
  through?(file: string, bytes: Bytes): Bytes;
}

/**
 * Documents of files and of objects of stores (`s3://…`, `https://…`), `-` being standard input. What both layouts of the
 * bucket have comes from one alone, which is told at the end.
 */
export function documentsOf(
  stage: Stage,
  files: Files,
  options: OpeningOptions,
  taker: Taker = {},
): AsyncGenerator<OpenedDocument> {
  return opened<never>(stage, files, options, taker, (reader) => reader.file.bind(reader));
}

/** The same, or rows that threads made of their lines. */
export async function* rowsMadeOf(
  stage: Stage,
  files: Files,
  options: OpeningOptions,
  taker: Taker,
  job: LineJob,
): AsyncGenerator<OpenedDocument | MadeRows> {
  const { maxDepth, maxInflated } = options;
  const trade = lineTrade({ ...job, maxLine: stage.maxLine, maxDepth });
  const crew = new Crew(trade, usualThreads());
  if (Array.isArray(files)) crew.expect(sizeOf(files));
  try {
    yield* opened<MadeRows>(stage, files, options, taker, (reader, bytesOf) => {
      const lines = new LineReader(stage, reader, crew, bytesOf, maxInflated);
      // Of two layouts the documents are compared.
      return (file, format) => (eraOf(file) ? reader.file(file, format) : lines.file(file, format));
    });
  } finally {
    await crew.end();
  }
}

type Files = Iterable<string> | AsyncIterable<string>;
type BytesOf = (file: string) => Bytes;
type OpenFile<Made> = (file: string, format: Format) => AsyncGenerator<OpenedDocument | Made>;

async function* opened<Made extends MadeRows>(
  stage: Stage,
  files: Files,
  { format, maxDepth, maxInflated, ...access }: OpeningOptions,
  { buckets, recorded, through = (_, bytes) => bytes }: Taker,
  fileBy: (reader: DocumentReader, bytesOf: BytesOf) => OpenFile<Made>,
): AsyncGenerator<OpenedDocument | Made> {
  const limits = { maxLine: stage.maxLine, maxDepth, maxInflated, ...(recorded && { recorded }) };
  const objects = new Objects(accessOf(stage, access));
  const bytesOf: BytesOf = (file) => through(file, isUrl(file) ? objects.bytes(file) : fileBytes(file));
  const reader = new DocumentReader(stage, limits, bytesOf);
  const open = fileBy(reader, bytesOf);
  const layouts = new TwoLayouts();
  try {
    for await (const file of objects.begun(files)) {
      if (file === '-') {
        yield* reader.bytes(process.stdin, null, format);
        continue;
      }
      stage.refuseRejects(file);
      buckets?.took(file);
      const era = eraOf(file);
      for await (const one of open(file, format))
        if ('made' in one || !era || layouts.isNew(era, one.document)) yield one;
      if (reader.broken) buckets?.failed(file);
      reader.broken = false;
    }
  } finally {
    await objects.close();
  }
  if (layouts.doubles === 0) return;
  stage.tally('doubles', layouts.doubles);
  stage.say(
    `passed over ${layouts.doubles} of 20 and 21 October 2020 that had come from the other layout of the bucket`,
  );
}

/** Bytes of files in all, for the progress bar. */
export function sizeOf(files: string[]): number {
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
