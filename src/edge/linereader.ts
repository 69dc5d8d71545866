// Files of which the same is made of every line, parts of a can on several threads. Nobody can tell: what is not plain is
// read by the usual reader, which tells of it.
import { parseKey } from '../record/names.ts';
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
import type { LineCrew, LineResult } from './linetasks.ts';
import type { Bytes } from './source.ts';

/** Slices for each thread that are not given on yet. */
const AHEAD = 5;

interface Running {
  slice: Buffer;
  result: Promise<LineResult>;
}

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
    const running: Running[] = [];
    let line = 1;
    let length = 0;
    try {
      for (;;) {
        while (running.length < AHEAD * this.#crew.threads) {
          const slice = await slices.next();
          if (!slice) break;
          const task = { slice, origin: { bucket_date, report_filename }, isCan };
          const result = this.#crew.run('lines', task, slice.length);
          result.catch(() => undefined); // told to whoever waits for it
          running.push({ slice, result });
        }
        const [first] = running;
        if (!first && slices.ended) return;
        const result = await first?.result;
        if (!result || result.kind === 'none' || length + result.length > this.#most) break;
        if (result.kind === 'text' && line === 1) break; // it may be something else than lines
        running.shift();
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
      const rest = slices.rest(running);
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

async function* once(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes;
}
