/** So many times what is usual is not kept. */
const LARGE = 8;

/** Bytes that gather, in memory that is used again. */
export class Gathered {
  readonly #usual: number;
  #room: Buffer;
  #length = 0;

  /** @param usual bytes */
  constructor(usual: number) {
    this.#usual = usual;
    this.#room = Buffer.allocUnsafeSlow(usual);
  }

  get length(): number {
    return this.#length;
  }

  add(bytes: Uint8Array): void {
    const past = this.#length + bytes.length;
    if (past > this.#room.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(past, 2 * this.#room.length));
      this.#room.copy(larger, 0, 0, this.#length);
      this.#room = larger;
    }
    this.#room.set(bytes, this.#length);
    this.#length = past;
  }

  /** These bytes, good until more are added. */
  from(start: number): Buffer {
    return this.#room.subarray(start, this.#length);
  }

  /** Lets go of what came behind. */
  cutTo(length: number): void {
    this.#length = length;
  }

  /** A copy of all; what comes next is gathered from the beginning. */
  taken(): Uint8Array {
    const all = Uint8Array.prototype.slice.call(this.#room, 0, this.#length);
    this.#length = 0;
    if (this.#room.length > LARGE * this.#usual) this.#room = Buffer.allocUnsafeSlow(this.#usual);
    return all;
  }
}
