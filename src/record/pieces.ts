// Text that is put together of many parts: small ones are gathered, large ones stay where they are.

/** A part this long costs less where it is than a copy does. */
const LARGE = 4096;
/** Shorter ones are copied byte by byte: a call costs more. */
const SHORT = 48;
/** Bytes that parts are gathered in, for one text after another; what was given out is never written again. */
const ROOM = 256 * 1024;
let room = Buffer.alloc(0);
let used = 0;

export class Pieces {
  readonly #done: Buffer[] = [];
  /** What is gathered now. */
  #room = room;
  #start = used;
  #end = used;

  text(text: string): void {
    this.#need(3 * text.length);
    let i = 0;
    if (text.length < SHORT) {
      for (; i < text.length; i++) {
        const c = text.charCodeAt(i);
        if (c > 0x7f) break;
        room[used + i] = c;
      }
    }
    used += i === text.length ? i : room.write(text, used);
    this.#end = used;
  }

  bytes(bytes: Buffer, start: number, end: number): void {
    const length = end - start;
    if (length >= LARGE) {
      this.#flush();
      this.#done.push(bytes.subarray(start, end));
      return;
    }
    this.#need(length);
    if (length < SHORT) for (let i = 0; i < length; i++) room[used + i] = bytes[start + i]!;
    else bytes.copy(room, used, start, end);
    used += length;
    this.#end = used;
  }

  /** Pieces that together are the text. */
  done(): Buffer[] {
    this.#flush();
    return this.#done;
  }

  #need(length: number): void {
    if (used !== this.#end || room !== this.#room) this.#flush(); // another text was put together meanwhile
    if (used + length <= room.length) return;
    this.#flush();
    this.#room = room = Buffer.allocUnsafeSlow(Math.max(length, ROOM));
    this.#start = this.#end = used = 0;
  }

  #flush(): void {
    if (this.#end > this.#start) this.#done.push(this.#room.subarray(this.#start, this.#end));
    this.#room = room;
    this.#start = this.#end = used;
  }
}
