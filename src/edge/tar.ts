// Tar by tar-stream: headers for the packer, members for readers.
import { extract, pack } from 'tar-stream';
import { Malformed } from '../stream/errors.ts';

const BLOCK = 512;
/** Two zero blocks end an archive. */
export const TAR_END = Buffer.alloc(2 * BLOCK);

/** tar-stream writes 32 bits: a forged time before 1970 or after 2038 becomes the nearest that can be written. */
function tarSeconds(mtime: number): number {
  return Math.min(Math.max(Math.floor(mtime / 1000), 0), 2 ** 31 - 1);
}

/** What a header tells of a member. */
interface Told {
  name: string;
  /** At least one. */
  bytes: number;
  /** Milliseconds since the epoch; stored in whole seconds. */
  mtime: number;
}

/** Zeros behind a member of so many bytes. */
export function paddingOf(bytes: number): Buffer {
  return TAR_END.subarray(0, (BLOCK - (bytes % BLOCK)) % BLOCK);
}

const LONGEST_NAME = 100;
const SIZE_AT = 124;
const TIME_AT = 136;
const SUM_AT = 148;

let first: Promise<Buffer> | undefined;

/**
 * The header of a member, in whole blocks. Owner and mode are fixed, and the time is the caller's, so that the same posts give the
 * same bytes. tar-stream gives its headers in front of bodies alone, through a stream: of those that are one block, it makes
 * the first, and in the others name, size and time are put into that one's place.
 */
export async function tarHeader(told: Told): Promise<Buffer> {
  const { name, bytes, mtime } = told;
  const octal = bytes.toString(8);
  // A name that is longer, or not ASCII, takes more than its place.
  if (!USUAL_NAME.test(name) || name.length > LONGEST_NAME || octal.length > 11) return streamedHeader(told);
  first ??= streamedHeader({ name: 'x', bytes: 1, mtime: 0 });
  const header = Buffer.from(await first);
  header.write(name, 0, 'latin1');
  header.write(octal.padStart(11, '0'), SIZE_AT, 'latin1');
  header.write(tarSeconds(mtime).toString(8).padStart(11, '0'), TIME_AT, 'latin1');
  header.fill(' ', SUM_AT, SUM_AT + 8);
  let sum = 0;
  for (let at = 0; at < BLOCK; at++) sum += header[at]!;
  header.write(`${sum.toString(8).padStart(6, '0')} \0`, SUM_AT, 'latin1');
  return header;
}

const USUAL_NAME = /^[\x21-\x7e]+$/;

/** As tar-stream writes it. */
async function streamedHeader({ name, bytes, mtime }: Told): Promise<Buffer> {
  const one = pack();
  const fields = { name, mode: 0o644, uid: 0, gid: 0, type: 'file' as const, size: bytes };
  const body = Buffer.alloc(bytes);
  one.entry({ ...fields, mtime: new Date(tarSeconds(mtime) * 1000) }, body);
  const header: Buffer[] = [];
  for await (const chunk of one as unknown as AsyncIterable<Buffer>) {
    if (chunk === body) return Buffer.concat(header);
    header.push(chunk);
  }
  throw new Error('tar: the pack has ended');
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
