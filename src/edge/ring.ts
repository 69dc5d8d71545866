// A way for pieces of many streams to a thread, through memory that both see: without messages, and nothing is left for a
// garbage collector. Pieces come out in the order in which they were put in.

/** A power of two. */
const SLOTS = 64;
const SLOT_BYTES = 64 * 1024;
/** Numbers that stand before the slots: the first three are of the ring, the others of its slots. */
const PUT = 0;
const TAKEN = 1;
const IS_AWAITED = 2;
const FIELDS = 4;
const NUMBERS = FIELDS + SLOTS * FIELDS;

/** What is told of a stream with a piece, or without one. */
export type Word = 'begin' | 'piece' | 'end' | 'drop';
const WORDS: Word[] = ['begin', 'piece', 'end', 'drop'];

export interface Told {
  stream: number;
  word: Word;
  bytes: Buffer;
}

/** One for both ends. */
export function ringMemory(): SharedArrayBuffer {
  return new SharedArrayBuffer(NUMBERS * 4 + SLOTS * SLOT_BYTES);
}

class End {
  protected readonly numbers: Int32Array;
  readonly #slots: Buffer;

  constructor(memory: SharedArrayBuffer) {
    this.numbers = new Int32Array(memory, 0, NUMBERS);
    this.#slots = Buffer.from(memory, NUMBERS * 4);
  }

  /** Counts go round at 32 bits, and slots with them. */
  protected slot(count: number): { numbers: Int32Array; bytes: Buffer } {
    const slot = count & (SLOTS - 1);
    const from = FIELDS + slot * FIELDS;
    return {
      numbers: this.numbers.subarray(from, from + FIELDS),
      bytes: this.#slots.subarray(slot * SLOT_BYTES, (slot + 1) * SLOT_BYTES),
    };
  }
}

/** The end where pieces are put in. It never waits. */
export class RingIn extends End {
  #count = 0;

  /**
   * @param stream a number of the caller's
   * @returns bytes that were taken, all of them or a part; undefined where there is no room: the other end then tells of some
   */
  put(stream: number, word: Word, bytes: Uint8Array): number | undefined {
    if (this.#isFull()) {
      Atomics.store(this.numbers, IS_AWAITED, 1);
      if (this.#isFull()) return undefined;
    }
    const { numbers, bytes: room } = this.slot(this.#count);
    const length = Math.min(bytes.length, SLOT_BYTES);
    room.set(bytes.subarray(0, length));
    numbers[0] = stream;
    numbers[1] = WORDS.indexOf(word);
    numbers[2] = length;
    this.#count = (this.#count + 1) | 0;
    Atomics.store(this.numbers, PUT, this.#count);
    Atomics.notify(this.numbers, PUT);
    return length;
  }

  #isFull(): boolean {
    return ((this.#count - Atomics.load(this.numbers, TAKEN)) | 0) >= SLOTS;
  }
}

/** The end where a thread takes them out, which does nothing else. */
export class RingOut extends End {
  #count = 0;

  /** Waits for the next; it is good until `taken`. */
  next(): Told {
    while (Atomics.load(this.numbers, PUT) === this.#count) Atomics.wait(this.numbers, PUT, this.#count);
    const { numbers, bytes } = this.slot(this.#count);
    const [stream = 0, word = 0, length = 0] = numbers;
    return { stream, word: WORDS[word]!, bytes: bytes.subarray(0, length) };
  }

  /** @returns true where the other end waits for room and half of it is there: it is to be told */
  taken(): boolean {
    this.#count = (this.#count + 1) | 0;
    Atomics.store(this.numbers, TAKEN, this.#count);
    const left = (Atomics.load(this.numbers, PUT) - this.#count) | 0;
    return left <= SLOTS / 2 && Atomics.exchange(this.numbers, IS_AWAITED, 0) === 1;
  }
}
