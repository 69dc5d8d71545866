// Lines of cans of ours: each lies in a small gzip member. Members that are wanted and lie near each other are read at once.
import { setImmediate as turn } from 'node:timers/promises';
import zlib from 'node:zlib';
import { errno, Malformed } from '../stream/errors.ts';
import { inflateMember, PROGRAM_TEXT } from './gzip.ts';
import type { MemberPlace } from './index-db.ts';
import { giveRoom, takeRoom } from './rooms.ts';
import type { Store } from './store.ts';
import type { TextRoom } from './textroom.ts';

/** Bytes between two members that are read for nothing, as another request would take longer. */
const GAP = 32 * 1024;
/** Bytes of one request, unless one member has more. */
const LARGEST_READ = 1024 * 1024;
/** Bytes that may wait to be asked for. */
const KEPT = 32 * 1024 * 1024;
/** A buffer for text, whatever a member tells of its length. */
const LARGEST_TEXT = 2 * 1024 * 1024;
/** Compressed bytes that are inflated at once; more of them by another thread. */
const SMALL = 256 * 1024;
/** Members for which node's zlib does: what inflates in half the time first has to be compiled. */
const FEW = 4;
/** Where so many of a can are known to be wanted, it is worth that. */
const MANY = 8;

interface Can {
  /** Its number in the index. */
  can: number;
  s3path: string;
}

export class MemberReads {
  readonly maxLine: number;
  #inflated = 0;
  #room: TextRoom | undefined;
  #cans = new Map<number, WantedMembers>();
  /** Bytes that wait. */
  #held = { bytes: 0 };

  constructor(maxLine: number) {
    this.maxLine = maxLine;
  }

  /** A line of this member will be asked for. */
  want(can: number, place: MemberPlace): void {
    const known = this.#cans.get(can) ?? new WantedMembers(this.#held);
    this.#cans.set(can, known);
    known.want(place);
  }

  /** A line that was to be asked for will not be. */
  forget(can: number, place: MemberPlace): void {
    const known = this.#cans.get(can);
    known?.forget(place);
    if (known?.isDone) this.#cans.delete(can);
  }

  /** Has a member's bytes brought. Whatever is wrong is told by `read`. */
  async prefetch(store: Store, { can, s3path }: Can, place: MemberPlace): Promise<void> {
    const wanted = await this.#wanted(can, place);
    await wanted.bring(store, s3path, place).bytes;
  }

  /**
   * What is wanted of a member's text.
   * @param take is given the text, which is there until the next member is read
   * @param sure as `take`, but of text that may not be all and may be wrong; what it finds is right, or it is undefined
   * @throws Malformed where there is no such member
   */
  async read<T>(
    store: Store,
    { can, s3path }: Can,
    place: MemberPlace,
    take: (text: Buffer) => T,
    sure?: (text: Buffer) => T | undefined,
  ): Promise<T> {
    const wanted = await this.#wanted(can, place);
    let using: SharedRead | undefined;
    try {
      const { bytes, read } = await wanted.bytes(store, s3path, place);
      using = read;
      const told = bytes.length < 4 ? 0 : bytes.readUInt32LE(bytes.length - 4);
      const room = this.#isForRoom(bytes, told, wanted) ? await this.#textRoom() : undefined;
      const found = sure && room?.find(bytes, sure);
      if (found !== undefined) return found;
      return take(room?.inflate(bytes) ?? (await this.#inflate(s3path, place, bytes, told)));
    } finally {
      using?.release();
      this.forget(can, place);
    }
  }

  /** What is wanted of a can, this member among it. */
  async #wanted(can: number, place: MemberPlace): Promise<WantedMembers> {
    const known = this.#cans.get(can);
    if (known?.wants(place)) return known;
    this.want(can, place);
    await turn(); // requests that came with this one are told meanwhile
    return this.#wanted(can, place);
  }

  /** @param told length of the text */
  #isForRoom(bytes: Buffer, told: number, { count }: WantedMembers): boolean {
    if (bytes.length > SMALL || told > Math.min(LARGEST_TEXT, this.maxLine + PROGRAM_TEXT)) return false;
    return this.#room !== undefined || count >= MANY || this.#inflated++ >= FEW;
  }

  async #textRoom(): Promise<TextRoom> {
    if (this.#room) return this.#room;
    const { TextRoom } = await import('./textroom.ts');
    return (this.#room ??= new TextRoom(SMALL, LARGEST_TEXT));
  }

  /** @param told length of the text */
  async #inflate(key: string, { offset }: MemberPlace, bytes: Buffer, told: number): Promise<Buffer> {
    // One buffer for the whole text: node would gather it from pieces of 16 KB.
    const chunkSize = Math.min(Math.max(64, told + 1), LARGEST_TEXT);
    const options = { chunkSize, maxOutputLength: this.maxLine + PROGRAM_TEXT };
    try {
      return bytes.length <= SMALL ? zlib.gunzipSync(bytes, options) : await inflateMember(bytes, options);
    } catch (error) {
      throw new Malformed(`${key}: no gzip member at byte ${offset} (${errno(error)})`);
    }
  }
}

interface WantedMember {
  place: MemberPlace;
  /** How many of its lines are still asked for. */
  times: number;
  /** That brings it. */
  read?: SharedRead;
}

/** Bytes of members that lie near each other, as long as somebody needs some of them. */
class SharedRead {
  readonly from: number;
  readonly bytes: Promise<Buffer>;
  #uses = 0;

  constructor(from: number, bytes: Promise<Buffer>) {
    this.from = from;
    this.bytes = bytes;
    bytes.catch(() => undefined); // told to whoever asks for it
  }

  use(): void {
    this.#uses++;
  }

  release(): void {
    if (--this.#uses === 0) this.bytes.then(giveRoom, () => undefined);
  }
}

/** Members of one can. */
class WantedMembers {
  /** By offset. */
  #wanted = new Map<number, WantedMember>();
  /** Offsets in their order; undefined where it is not known. */
  #order: number[] | undefined;
  #held: { bytes: number };

  constructor(held: { bytes: number }) {
    this.#held = held;
  }

  get isDone(): boolean {
    return this.#wanted.size === 0;
  }

  get count(): number {
    return this.#wanted.size;
  }

  wants({ offset }: MemberPlace): boolean {
    return this.#wanted.has(offset);
  }

  want(place: MemberPlace): void {
    const known = this.#wanted.get(place.offset);
    if (known) known.times++;
    else {
      this.#wanted.set(place.offset, { place, times: 1 });
      this.#order = undefined;
    }
  }

  forget({ offset, length }: MemberPlace): void {
    const known = this.#wanted.get(offset);
    if (!known || --known.times > 0) return;
    if (known.read) this.#held.bytes -= length;
    known.read?.release();
    this.#wanted.delete(offset);
  }

  /** The request that brings a member. */
  bring(store: Store, key: string, place: MemberPlace): SharedRead {
    return this.#wanted.get(place.offset)!.read ?? this.#read(store, key, this.#near(place));
  }

  /**
   * A member's bytes, and with the same request those of the members near it that are wanted.
   * @returns with them what is to be released by whoever has done with them
   */
  async bytes(store: Store, key: string, place: MemberPlace): Promise<{ bytes: Buffer; read: SharedRead }> {
    const { offset, length } = place;
    const read = this.bring(store, key, place);
    read.use();
    try {
      const bytes = await read.bytes;
      return { bytes: bytes.subarray(offset - read.from, offset - read.from + length), read };
    } catch (error) {
      read.release();
      if (!(error instanceof Malformed)) throw error;
      // What is wrong may be wrong with another member.
      const alone = new SharedRead(offset, store.read(key, offset, length, takeRoom));
      alone.use();
      return { bytes: await alone.bytes, read: alone };
    }
  }

  #read(store: Store, key: string, run: MemberPlace[]): SharedRead {
    const from = run[0]!.offset;
    const read = new SharedRead(from, store.read(key, from, endOf(run.at(-1)!) - from, takeRoom));
    for (const { offset, length } of run) {
      this.#wanted.get(offset)!.read = read;
      read.use();
      this.#held.bytes += length;
    }
    return read;
  }

  /** The member, and those around it that one request brings as well. */
  #near(place: MemberPlace): MemberPlace[] {
    const order = this.#sorted();
    const at = indexOf(order, place.offset);
    const run = [place];
    const takes = (one: WantedMember | undefined, from: number, to: number) =>
      one !== undefined && !one.read && to - from <= LARGEST_READ && this.#held.bytes + to - from <= KEPT;
    for (let n = at + 1; n < order.length; n++) {
      const next = this.#wanted.get(order[n]!);
      const last = run.at(-1)!;
      if (!next || !isNear(last, next.place)) break;
      if (!takes(next, run[0]!.offset, endOf(next.place))) break;
      run.push(next.place);
    }
    for (let n = at - 1; n >= 0; n--) {
      const before = this.#wanted.get(order[n]!);
      if (!before || !isNear(before.place, run[0]!)) break;
      if (!takes(before, before.place.offset, endOf(run.at(-1)!))) break;
      run.unshift(before.place);
    }
    return run;
  }

  /** Offsets that were wanted, some of which were given meanwhile. */
  #sorted(): number[] {
    this.#order ??= [...this.#wanted.keys()].sort((a, b) => a - b);
    return this.#order;
  }
}

/** An index may be damaged: members that overlap are read by themselves. */
function isNear(before: MemberPlace, after: MemberPlace): boolean {
  const gap = after.offset - endOf(before);
  return gap >= 0 && gap <= GAP;
}

const endOf = ({ offset, length }: MemberPlace) => offset + length;

/** Where a number is in a sorted list that has it. */
function indexOf(sorted: number[], wanted: number): number {
  let [low, high] = [0, sorted.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle]! < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}
