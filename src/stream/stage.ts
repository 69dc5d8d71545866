import { fstatSync, statSync } from 'node:fs';
import { isatty } from 'node:tty';
import { describe, EXIT, Failure, printable, ReaderGone, UsageError } from './errors.ts';
import { linesInPlace, type ReadInto, readerOf } from './inplace.ts';
import { type Line, type LineLimits, type LongLine, linesAtOnce, splitLines } from './lines.ts';
import { Output } from './output.ts';
import { Progress } from './progress.ts';
import { isSameFile, type Reject, RejectsFile } from './rejects.ts';

/** Options that every verb has (declared in verb.ts). */
export interface CommonOptions {
  quiet: boolean;
  progress: boolean;
  stats: boolean;
  rejects: string | undefined;
  maxLine: number;
}

/**
 * One run of one verb: its rows in and out, its rejects, its counts and its messages.
 * Verbs get nothing else of the process.
 */
export class Stage {
  readonly name: string;
  readonly maxLine: number;
  /** `in`, `out`, `rejected`, `bytes_in` and whatever a verb counts besides. */
  readonly counts: Record<string, number> = { in: 0, out: 0, skipped: 0, rejected: 0, bytes_in: 0 };
  #out = new Output(() => process.stdout, isPlain(1) ? 1 : undefined);
  #rejects: RejectsFile | undefined;
  #progress: Progress | undefined;
  #stats: boolean;
  #started = performance.now();
  #findings = 0;
  /** Items that are done with, of a verb that reads them ahead. */
  #done: number | undefined;

  constructor(name: string, options: CommonOptions) {
    this.name = name;
    this.maxLine = options.maxLine;
    this.#stats = options.stats;
    if (options.rejects !== undefined) {
      try {
        this.#rejects = new RejectsFile(options.rejects, name);
      } catch (error) {
        throw new Failure(`--rejects: ${describe(error)}`);
      }
    }
    // In a pipeline every stage has the same terminal: only the last one draws, unless another is asked to.
    const last = isatty(1) || !isPipe(1);
    if (isatty(2) && !options.quiet && (last || options.progress)) this.#progress = new Progress(`cannery ${name}`);
  }

  // --- rows in

  /** Rows of standard input. */
  async *rows(): AsyncGenerator<Line> {
    refuseTerminal();
    yield* this.lines(this.count(process.stdin), null, 'row');
  }

  /** The same, as they come: all that can be had at once. A row is good until the next are asked for. */
  async *rowsAtOnce(): AsyncGenerator<Line[]> {
    refuseTerminal();
    for await (const lines of linesAtOnce(this.count(process.stdin), this.#limits(null, 'row'))) {
      this.took(lines.length);
      yield lines;
    }
  }

  /**
   * Rows of standard input for a verb that does nothing but change them: without a copy, and without turns of the
   * event loop. A row is good until the next one is asked for, and what is emitted of it until then goes out.
   */
  async *rowsInPlace(): AsyncGenerator<Line> {
    refuseTerminal();
    this.#refuseStdin();
    if (!isatty(1)) this.#out.writeTo(1);
    const read = readerOf(0, () => process.stdin);
    let turned = performance.now();
    const release = async () => {
      await this.#out.flush();
      if (performance.now() - turned < TURN) return;
      await new Promise((done) => setImmediate(done)); // for the progress bar and what was said
      turned = performance.now();
    };
    const counted = (count: number) => {
      this.counts.bytes_in! += count;
      this.#tick();
      return count;
    };
    const next: ReadInto = (...space) => {
      const count = read(...space);
      return typeof count === 'number' ? counted(count) : count.then(counted);
    };
    for await (const line of linesInPlace(next, { ...this.#limits(null, 'row'), release })) {
      this.took();
      yield line;
    }
  }

  /** Lines of any input, counted; a line over the limit becomes a reject. @param from the number of the first */
  async *lines(
    source: AsyncIterable<Uint8Array>,
    file: string | null,
    as: Reject['as'],
    from = 1,
  ): AsyncGenerator<Line> {
    for await (const line of splitLines(source, this.#limits(file, as), from)) {
      this.took();
      yield line;
    }
  }

  /** So many items were read. */
  took(count = 1): void {
    this.counts.in! += count;
    this.#tick();
  }

  #limits(file: string | null, as: Reject['as']): LineLimits {
    return {
      maxLine: this.maxLine,
      onLong: (line) => {
        const reject = { as, file, line, reason: `line longer than the limit of ${this.maxLine} bytes (--max-line)` };
        this.took();
        return this.rejectInPieces(reject);
      },
    };
  }

  /** Passes bytes through and counts them for progress and statistics. */
  async *count(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    if (source === process.stdin) this.#refuseStdin();
    for await (const chunk of source) {
      this.counts.bytes_in! += chunk.length;
      this.#tick();
      yield chunk;
    }
  }

  #refuseStdin(): void {
    if (this.#rejects?.isOpenAt(0)) throw new UsageError('standard input is the file of --rejects: give another');
    if (isSameFile(1, () => fstatSync(0))) throw new UsageError('standard input is standard output too');
  }

  /** Bytes that will be read in all, where that is known: gives the progress bar its end. */
  expect(bytes: number): void {
    if (this.#progress) this.#progress.total = bytes;
  }

  /** So many items more are done with: the progress bar counts these, and no longer those that were read. */
  done(count: number): void {
    this.#done = (this.#done ?? 0) + count;
    this.#tick();
  }

  #tick() {
    this.#progress?.update(this.#done ?? this.counts.in!, this.counts.bytes_in!);
  }

  // --- rows out

  /** One row to stdout, given in pieces. */
  emit(...pieces: (Buffer | string)[]): Promise<void> {
    this.counts.out!++;
    return this.#out.row(...pieces);
  }

  /** Rows to stdout, with their line feeds. */
  async rowsMade(bytes: Buffer, count: number): Promise<void> {
    this.counts.out! += count;
    await this.#out.piece(bytes);
  }

  /** One receipt to stdout. */
  async receipt(row: object): Promise<void> {
    this.counts.out!++;
    await this.#out.receipt(row);
  }

  /** Bytes to stdout that are no row: the heading of a table, or a table that is not made of lines. */
  async bytes(piece: Buffer | string): Promise<void> {
    await this.#out.piece(piece);
  }

  /** Before the first row: a digest will be asked for of all that goes to stdout. */
  hash(): void {
    this.#out.hash();
  }

  /** Of all that went to stdout, when it was taken. */
  async digest(): Promise<{ bytes: number; sha256: string }> {
    await this.#out.flush();
    return { bytes: this.#out.bytes, sha256: this.#out.sha256! };
  }

  /** Hands the rows to the next stage now, where it should start on them at once. */
  flush(): Promise<void> {
    return this.#out.flush();
  }

  // --- what went wrong

  /** One item cannot go on: named on stderr, kept in the rejects file, seen in the exit code. */
  reject(reject: Reject, bytes: Uint8Array | null): void {
    this.#named(reject);
    this.#rejects?.write(reject, bytes);
  }

  /** The same, of bytes that come in pieces and are held nowhere. */
  rejectInPieces(reject: Reject): LongLine {
    this.#named(reject);
    return this.#rejects?.stream(reject) ?? { write() {}, end() {} };
  }

  #named(reject: Reject) {
    this.counts.rejected!++;
    this.say(`${where(reject.file, reject.line)}${reject.reason}`);
  }

  /** Something a person should look at, though every item went on: named, and seen in the exit code. */
  finding(file: string | null, reason: string): void {
    this.#findings++;
    this.say(`${where(file, null)}${reason}`);
  }

  /** One line on stderr. */
  say(message: string): void {
    this.#progress?.clear();
    process.stderr.write(`cannery ${this.name}: ${printable(message)}\n`);
  }

  /** Adds to a count of the verb's own. */
  tally(name: string, by = 1): void {
    this.counts[name] = (this.counts[name] ?? 0) + by;
    this.#tick();
  }

  /** @throws UsageError when an input is a file that this run writes, and would so grow for ever */
  refuseRejects(path: string): void {
    if (this.#rejects?.isAt(path)) throw new UsageError(`${path} is read and is the file of --rejects: give another`);
    if (isSameFile(1, () => statSync(path))) throw new UsageError(`${path} is read and is standard output`);
  }

  // --- the end

  /** Flushes, closes, prints the statistics. @returns the exit code of a run that came to its end */
  async finish(error?: unknown): Promise<number> {
    this.#progress?.stop();
    let code: number = this.counts.rejected! + this.#findings > 0 ? EXIT.rejects : EXIT.ok;
    try {
      await this.#out.flush(); // after a failure too: the rows given tell of what was done
    } catch (failure) {
      if (failure instanceof ReaderGone) code = EXIT.ok;
      else if (error === undefined) throw failure;
    } finally {
      this.#rejects?.close();
      if (this.#stats) {
        const seconds = Number(((performance.now() - this.#started) / 1000).toFixed(3));
        const findings = this.#findings > 0 ? { findings: this.#findings } : {};
        const counts = { stage: this.name, ...this.counts, bytes_out: this.#out.bytes, ...findings, seconds };
        process.stderr.write(`${JSON.stringify(counts)}\n`);
      }
    }
    if (error instanceof ReaderGone) code = EXIT.ok;
    return code;
  }
}

/** Milliseconds. */
const TURN = 100;

function refuseTerminal(): void {
  if (isatty(0)) throw new UsageError('rows are read from standard input: put a pipe or a file there');
}

function where(file: string | null, line: number | null): string {
  if (file === null) return line === null ? '' : `line ${line}: `;
  return line === null ? `${file}: ` : `${file}:${line}: `;
}

/** A file, or a device that is no terminal. */
function isPlain(fd: number): boolean {
  try {
    const kind = fstatSync(fd);
    return kind.isFile() || (kind.isCharacterDevice() && !isatty(fd));
  } catch {
    return false;
  }
}

function isPipe(fd: number): boolean {
  try {
    const kind = fstatSync(fd);
    return kind.isFIFO() || kind.isSocket();
  } catch {
    return false;
  }
}
