import { writeSync } from 'node:fs';
import type { Writable } from 'node:stream';
import ndjson from 'ndjson';
import { errno, ReaderGone } from './errors.ts';

/** ndjson's types know strings alone, its code any object. */
type Serializer = NodeJS.ReadableStream & { write(row: object): boolean };

const FLUSH_AT = 64 * 1024;

/** Rows to stdout: gathered into larger writes, with back-pressure, and quiet when the reader has gone. */
export class Output {
  bytes = 0;
  #stream: Writable;
  #fd: number | undefined;
  #waiting: Buffer[] = [];
  #held = 0;
  #timer: NodeJS.Immediate | undefined;
  #writing: Promise<void> | undefined;
  #error: Error | undefined;
  #receipts: Serializer | undefined;
  #receiptsTaken: (() => void)[] = [];

  /** @param fd of a plain file: node's own stream for those drops the rest of a short write, and tells nobody */
  constructor(stream: Writable, fd?: number) {
    this.#stream = stream;
    this.#fd = fd;
    stream.on('error', (error) => this.#failed(error));
  }

  #failed(error: Error) {
    this.#error ??= errno(error) === 'EPIPE' ? new ReaderGone('the reader has gone') : error;
  }

  /** Writes one row; a line feed is added. Resolves when the next one may come. */
  async row(...pieces: (Buffer | string)[]): Promise<void> {
    for (const piece of pieces) this.#push(piece);
    this.#push('\n');
    await this.#settle();
  }

  async #settle(): Promise<void> {
    if (this.#error) throw this.#error;
    if (this.#held >= FLUSH_AT) await this.flush();
    else if (!this.#writing) this.#flushSoon();
  }

  #flushSoon() {
    this.#timer ??= setImmediate(() => this.flush().catch(() => undefined)); // kept in #error
  }

  /** Writes one receipt (a file row, a can row, a finding). */
  async receipt(row: object): Promise<void> {
    await new Promise<void>((done) => {
      this.#receiptsTaken.push(done);
      this.#serializer().write(row);
    });
    await this.#settle();
  }

  #serializer(): Serializer {
    if (!this.#receipts) {
      this.#receipts = ndjson.stringify() as unknown as Serializer;
      // A row is taken when its text has come, which may be after the write has returned.
      this.#receipts.on('data', (text: string) => {
        this.#push(text);
        this.#receiptsTaken.shift()?.();
      });
    }
    return this.#receipts;
  }

  #push(piece: Buffer | string) {
    const bytes = typeof piece === 'string' ? Buffer.from(piece) : piece;
    this.#waiting.push(bytes);
    this.#held += bytes.length;
    this.bytes += bytes.length;
  }

  /** Hands everything to the stream and waits until it was taken. */
  async flush(): Promise<void> {
    if (this.#timer) clearImmediate(this.#timer);
    this.#timer = undefined;
    // One write at a time: for a slow reader rows wait here, where they are counted, and not in the stream.
    while (this.#writing) await this.#writing;
    if (this.#error) throw this.#error;
    if (this.#held === 0) return;
    const bytes = this.#waiting.length === 1 ? this.#waiting[0]! : Buffer.concat(this.#waiting, this.#held);
    this.#waiting = [];
    this.#held = 0;
    this.#writing = this.#write(bytes).then(() => {
      this.#writing = undefined;
      if (this.#held > 0) this.#flushSoon();
    });
    await this.#writing;
    if (this.#error) throw this.#error;
  }

  /** Errors are kept in #error. */
  async #write(bytes: Buffer): Promise<void> {
    if (this.#fd === undefined) {
      return new Promise((done) => {
        this.#stream.write(bytes, (error) => {
          if (error) this.#failed(error);
          done();
        });
      });
    }
    try {
      for (let done = 0; done < bytes.length; ) done += writeSync(this.#fd, bytes, done);
    } catch (error) {
      this.#failed(error as Error);
    }
  }
}
