// Tar by tar-stream: headers for the packer, members for readers.
import { extract, type Pack, pack } from 'tar-stream';
import { Malformed } from '../stream/errors.ts';

const BLOCK = 512;
/** Two zero blocks end an archive. */
export const TAR_END = Buffer.alloc(2 * BLOCK);

/** tar-stream writes 32 bits: a forged time before 1970 or after 2038 becomes the nearest that can be written. */
function tarSeconds(mtime: number): number {
  return Math.min(Math.max(Math.floor(mtime / 1000), 0), 2 ** 31 - 1);
}

/**
 * Makes the bytes around a member: its header blocks, and the zeros after it. tar-stream does not give its
 * headers alone, so each member passes through a pack and its body is left out again.
 */
export class TarFrame {
  #pack: Pack = pack();
  #chunks = (this.#pack as unknown as AsyncIterable<Buffer>)[Symbol.asyncIterator]();

  /**
   * One call at a time.
   * @param mtime milliseconds since the epoch; stored in whole seconds
   * Owner and mode are fixed, and the time is the caller's, so that the same posts give the same bytes.
   */
  async around(name: string, bytes: Buffer, mtime: number): Promise<{ header: Buffer; padding: Buffer }> {
    const fields = {
      name,
      mode: 0o644,
      uid: 0,
      gid: 0,
      mtime: new Date(tarSeconds(mtime) * 1000),
      type: 'file' as const,
    };
    this.#pack.entry({ ...fields, size: bytes.length }, bytes);
    const header: Buffer[] = [];
    for (let chunk = await this.#next(); chunk !== bytes; chunk = await this.#next()) header.push(chunk);
    const padding = bytes.length % BLOCK === 0 ? Buffer.alloc(0) : await this.#next();
    return { header: Buffer.concat(header), padding };
  }

  async #next(): Promise<Buffer> {
    const { value, done } = await this.#chunks.next();
    if (done) throw new Error('tar: the pack has ended');
    return value;
  }
}

export interface TarMember {
  name: string;
  type: string;
  size: number;
  /** Must be read, or left whole: the next member comes after it. */
  body: AsyncIterable<Uint8Array>;
}

/**
 * Members of a tar as they come. Names may be anything (absolute, `..`): nothing is ever written under
 * them. @throws Malformed for broken or cut-short archives, after the members before; what its source throws
 */
export async function* tarMembers(source: AsyncIterable<Uint8Array>): AsyncGenerator<TarMember> {
  const tail = new Tail(2 * BLOCK);
  const extractor = extract();
  const sink = extractor as unknown as NodeJS.WritableStream; // streamx, with node's interface
  let ofSource: unknown;
  // tar-stream's errors have neither a class nor a code of their own.
  const told = (error: unknown) => (error === ofSource ? error : new Malformed((error as Error).message));
  const feed = (async () => {
    try {
      for await (const chunk of source) {
        tail.push(chunk);
        if (extractor.destroyed) return;
        if (!sink.write(chunk)) await drained(sink);
      }
      sink.end();
    } catch (error) {
      ofSource = error;
      extractor.destroy(error as Error);
    }
  })();
  try {
    for await (const entry of extractor) {
      const { name, type, size } = entry.header;
      let read = false;
      async function* body() {
        read = true;
        if (type === 'directory') return; // tar-stream waits for ever where one is forged to have a size
        try {
          yield* entry as AsyncIterable<Uint8Array>;
        } catch (error) {
          throw told(error);
        }
      }
      yield { name, type, size, body: body() };
      if (!read) entry.resume();
    }
    await feed;
  } catch (error) {
    throw told(error);
  } finally {
    extractor.destroy();
  }
  // A tar that was cut between two members reads as complete: only its end blocks tell.
  if (!tail.isZero()) throw new Malformed('the tar has no end: it may be cut short');
}

function drained(stream: NodeJS.WritableStream): Promise<void> {
  return new Promise((done) => {
    const go = () => {
      stream.removeListener('drain', go);
      stream.removeListener('close', go);
      done();
    };
    stream.once('drain', go);
    stream.once('close', go);
  });
}

/** The last bytes of a stream. */
class Tail {
  #bytes = Buffer.alloc(0);
  #size: number;
  constructor(size: number) {
    this.#size = size;
  }
  push(chunk: Uint8Array): void {
    const last = chunk.subarray(-this.#size);
    this.#bytes = Buffer.concat([this.#bytes.subarray(last.length - this.#size || this.#size), last]);
  }
  isZero(): boolean {
    return this.#bytes.length === this.#size && this.#bytes.every((b) => b === 0);
  }
}
