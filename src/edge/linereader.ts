// Files of which the same is made of every line, parts of a can on several threads. Nobody can tell: what is not plain is
// read by the usual reader, which tells of it.
import { parseKey } from '../record/names.ts';
import { orderedMap } from '../stream/ordered.ts';
import {
  type DocumentKernel,
  type DocumentReader,
  type Format,
  fromPath,
  keyOfPath,
  type MadeRows,
  type OpenedDocument,
} from './documents.ts';
import { inflate, Slices } from './inflate.ts';
import type { LineCrew } from './linetasks.ts';
import { type Bytes, once } from './source.ts';

/** Slices for each thread that are not given on yet. */
const AHEAD = 4;

export class LineReader {
  readonly #kernel: DocumentKernel;
  readonly #reader: DocumentReader;
  readonly #crew: LineCrew;
  readonly #bytesOf: (path: string) => Bytes;
  /** Bytes of text, of one file. */
  readonly #most: number;

  /** @param reader of what is not plain, opened by the same `bytesOf` */
  constructor(
    kernel: DocumentKernel,
    reader: DocumentReader,
    crew: LineCrew,
    bytesOf: (path: string) => Bytes,
    most: number,
  ) {
    this.#kernel = kernel;
    this.#reader = reader;
    this.#crew = crew;
    this.#bytesOf = bytesOf;
    this.#most = most;
  }

  /** Rows, and the documents of what is not plain, in their order. */
  async *file(path: string, format: Format): AsyncGenerator<OpenedDocument | MadeRows> {
    const isLines = format === 'jsonl' || (format === 'auto' && /\.jsonl(?:\.gz)?$/.test(path));
    if (!isLines) return yield* this.#reader.file(path, format);
    const isCan = parseKey(keyOfPath(path)) !== undefined;
    const { bucket_date, report_filename } = fromPath(path);
    const slices = new Slices(this.#kernel.count(this.#bytesOf(path)));
    /** Of which nothing was given on yet. */
    const unused: { slice: Buffer }[] = [];
    async function* cut() {
      for (let slice = await slices.next(); slice; slice = await slices.next()) {
        unused.push({ slice });
        yield slice;
      }
    }
    const origin = { bucket_date, report_filename };
    const work = (slice: Buffer) => this.#crew.run('lines', { slice, origin, isCan }, slice.length);
    let line = 1;
    let length = 0;
    try {
      for await (const result of orderedMap(cut(), work, { concurrency: AHEAD * this.#crew.threads })) {
        if (result.kind === 'none' || length + result.length > this.#most) break;
        if (result.kind === 'text' && line === 1) break; // it may be something else than lines
        unused.shift();
        length += result.length;
        if (result.kind === 'text') {
          const text = asBuffer(result.text);
          yield* this.#reader.lines(once(text), path, line);
          line += text.reduce((count, c) => (c === 0x0a ? count + 1 : count), 0);
          continue;
        }
        const { made, lines, placeholders, out, leftOut } = result;
        line += lines;
        this.#kernel.took(lines);
        if (placeholders > 0) this.#kernel.tally('placeholders', placeholders);
        yield { made: asBuffer(made), out, leftOut };
      }
      if (unused.length === 0 && slices.ended) return;
      const rest = slices.rest(unused);
      if (line === 1) yield* this.#reader.counted(rest, path, format);
      else yield* this.#reader.lines(inflate(rest, this.#most, length), path, line);
    } finally {
      await slices.close();
    }
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}
