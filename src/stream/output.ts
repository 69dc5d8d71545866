import { createHash, type Hash } from 'node:crypto';
import { writevSync } from 'node:fs';
import type { Writable } from 'node:stream';
import { errno, ReaderGone } from './errors.ts';

/** ndjson's types know strings alone, its code any object. */
type Serializer = NodeJS.ReadableStream & { write(row: object): boolean };

const FLUSH_AT = 64 * 1024;
/** Most rows have nothing to wait for. */
const DONE = Promise.resolve();

/** Rows to stdout: gathered into larger writes, with back-pressure, and quiet when the reader has gone. */
export class Output {
  bytes = 0;
  #open: () => Writable;
  #stream: Writable | undefined;
  #fd: number | undefined;
  #waiting: Buffer[] = [];
  #held = 0;
  /** Small pieces are copied here, one behind the other. */
  #room: Buffer | undefined;
  #spare: Buffer | undefined;
  #used = 0;
  /** Where in the room the last of what waits begins. */
  #begun: number | undefined;
  #timer: NodeJS.Immediate | undefined;
  #writing: Promise<void> | undefined;
  #error: Error | undefined;
  #hash: Hash | undefined;
  #receipts: Promise<Serializer> | undefined;
  #receiptsTaken: (() => void)[] = [];

  /**
   * @param open gives the stream, when it is first needed: node makes a pipe one that does not wait
   * @param fd where there is no need of it. A plain file has none: node's own stream for those drops the rest of a
   * short write, and tells nobody
   */
  constructor(open: () => Writable, fd?: number) {
    this.#open = open;
    this.#fd = fd;
  }

  /** Rows go to this descriptor from now on, without a stream: who writes waits until they are taken. */
  writeTo(fd: number): void {
    if (!this.#stream) this.#fd = fd;
  }

  /** A digest is wanted of all that is written from now on. */
  hash(): void {
    this.#hash = createHash('sha256');
  }

  /** In hexadecimal; once. */
  get sha256(): string | undefined {
    return this.#hash?.digest('hex');
  }

  #failed(error: Error) {
    this.#error ??= errno(error) === 'EPIPE' ? new ReaderGone('the reader has gone') : error;
  }

  /** Writes one row; a line feed is added. Resolves when the next one may come, and the pieces may be used for something else. */
  row(...pieces: (Buffer | string)[]): Promise<void> {
    for (const piece of pieces) this.#push(piece);
    this.#push('\n');
    return this.#settle();
  }

  /** Writes bytes as they are. Resolves when the next may come. */
  piece(piece: Buffer | string): Promise<void> {
    this.#push(piece);
    return this.#settle();
  }

  #settle(): Promise<void> {
    if (this.#error || this.#held >= FLUSH_AT) return this.flush();
    if (!this.#writing) this.#flushSoon();
    return DONE;
  }

  #flushSoon() {
    this.#timer ??= setImmediate(() => this.flush().catch(() => undefined)); // kept in #error
  }

  /** Writes one receipt (a file row, a can row, a finding). */
  async receipt(row: object): Promise<void> {
    const receipts = await (this.#receipts ??= this.#serializer());
    await new Promise<void>((done) => {
      this.#receiptsTaken.push(done);
      receipts.write(row);
    });
    await this.#settle();
  }

  /** Loaded with the first receipt: who looks up a measurement gives none. */
  async #serializer(): Promise<Serializer> {
    const { default: ndjson } = await import('ndjson');
    const receipts = ndjson.stringify() as unknown as Serializer;
    // A row is taken when its text has come, which may be after the write has returned.
    receipts.on('data', (text: string) => {
      this.#push(text);
      this.#receiptsTaken.shift()?.();
    });
    return receipts;
  }

  #push(piece: Buffer | string) {
    const bytes = this.#copied(piece) ?? this.#apart(piece);
    this.#held += bytes.length;
    this.bytes += bytes.length;
    this.#hash?.update(bytes);
  }

  /** @returns undefined where there is no room for it: then so much waits that whoever pushed it waits too */
  #copied(piece: Buffer | string): Buffer | undefined {
    const room = (this.#room ??= Buffer.allocUnsafeSlow(FLUSH_AT));
    const most = typeof piece === 'string' ? 3 * piece.length : piece.length;
    const from = this.#used;
    if (from + most > room.length) return undefined;
    this.#used += typeof piece === 'string' ? room.write(piece, from) : piece.copy(room, from);
    if (this.#begun === undefined) {
      this.#begun = from;
      this.#waiting.push(room.subarray(from, this.#used));
    } else this.#waiting[this.#waiting.length - 1] = room.subarray(this.#begun, this.#used);
    return room.subarray(from, this.#used);
  }

  #apart(piece: Buffer | string): Buffer {
    const bytes = typeof piece === 'string' ? Buffer.from(piece) : piece;
    this.#waiting.push(bytes);
    this.#begun = undefined;
    return bytes;
  }

  /** Hands everything to the stream and waits until it was taken. */
  async flush(): Promise<void> {
    if (this.#timer) clearImmediate(this.#timer);
    this.#timer = undefined;
    // One write at a time: for a slow reader rows wait here, where they are counted, and not in the stream.
    while (this.#writing) await this.#writing;
    if (this.#error) throw this.#error;
    if (this.#held === 0) return;
    const pieces = this.#waiting;
    this.#waiting = [];
    this.#held = 0;
    this.#begun = undefined;
    this.#used = 0;
    if (this.#fd !== undefined && this.#writeNow(this.#fd, pieces)) {
      if (this.#error) throw this.#error;
      return;
    }
    [this.#room, this.#spare] = [this.#spare, this.#room]; // the stream has pieces of it until they are taken
    this.#writing = this.#write(pieces).then(() => {
      this.#writing = undefined;
      if (this.#held > 0) this.#flushSoon();
    });
    await this.#writing;
    if (this.#error) throw this.#error;
  }

  /** Errors are kept in #error. */
  #write(pieces: Buffer[]): Promise<void> {
    if (!this.#stream) {
      this.#stream = this.#open();
      this.#stream.on('error', (error) => this.#failed(error));
    }
    const stream = this.#stream;
    const bytes = pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
    return new Promise((done) => {
      stream.write(bytes, (error) => {
        if (error) this.#failed(error);
        done();
      });
    });
  }

  /**
   * Errors are kept in #error.
   * @returns false where the descriptor is one that does not wait: the pieces that are left go to the stream
   */
  #writeNow(fd: number, pieces: Buffer[]): boolean {
    try {
      while (pieces.length > 0) {
        let done = writevSync(fd, pieces.slice(0, MOST_AT_ONCE));
        let whole = 0;
        while (whole < pieces.length && done >= pieces[whole]!.length) done -= pieces[whole++]!.length;
        pieces.splice(0, whole);
        if (done > 0) pieces[0] = pieces[0]!.subarray(done);
      }
    } catch (error) {
      if (errno(error) === 'EAGAIN') {
        this.#fd = undefined;
        return false;
      }
      this.#failed(error as Error);
    }
    return true;
  }
}

/** Of the pieces that the system takes in one call. */
const MOST_AT_ONCE = 1024;
