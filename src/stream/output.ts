import type { Writable } from 'node:stream';
import { errno, ReaderGone } from './errors.ts';

const FLUSH_AT = 64 * 1024;

/** Rows to stdout: gathered into larger writes, with back-pressure, and quiet when the reader has gone. */
export class Output {
  bytes = 0;
  #stream: Writable;
  #waiting: Buffer[] = [];
  #held = 0;
  #timer: NodeJS.Immediate | undefined;
  #error: Error | undefined;

  constructor(stream: Writable) {
    this.#stream = stream;
    stream.on('error', (error) => {
      this.#error ??= errno(error) === 'EPIPE' ? new ReaderGone('the reader has gone') : error;
    });
  }

  /** Writes one row; a line feed is added. Resolves when the next one may come. */
  async row(...pieces: (Buffer | string)[]): Promise<void> {
    for (const piece of pieces) this.#push(piece);
    this.#push('\n');
    if (this.#held >= FLUSH_AT) await this.flush();
    else this.#timer ??= setImmediate(() => this.flush().catch(() => undefined)); // kept in #error
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
    if (this.#error) throw this.#error;
    if (this.#held === 0) return;
    const bytes = this.#waiting.length === 1 ? this.#waiting[0]! : Buffer.concat(this.#waiting, this.#held);
    this.#waiting = [];
    this.#held = 0;
    await new Promise<void>((done) => {
      this.#stream.write(bytes, (error) => {
        if (error) this.#error ??= errno(error) === 'EPIPE' ? new ReaderGone('the reader has gone') : error;
        done();
      });
    });
    if (this.#error) throw this.#error;
  }
}
