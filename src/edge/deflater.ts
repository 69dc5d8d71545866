// Deflates texts in WebAssembly, in one place that is used again: in two thirds of the time that zlib takes to find as much.
import code from '../wasm/deflate.wasm';
import type { Gathered } from './gathered.ts';

/** Much is found; little time is taken. */
export type Strength = 'dense' | 'fast';

interface Deflate extends Record<Strength, (start: number, end: number, out: number) => number> {
  memory: WebAssembly.Memory;
  prepare(): void;
  /** Where the text is to be put. */
  TEXT: { value: number };
}

const PAGE = 65536;
/** A longer text is deflated in parts. */
const MOST_TEXT = 1024 * 1024;
/** What is deflated may be longer than its text by so much, and whole words are written and read. */
const SLACK = 1024;

/** Memory for one text and what comes of it. */
class Deflater {
  readonly #deflate: Deflate;
  readonly #memory: Buffer;
  readonly #text: number;
  readonly #out: number;

  constructor() {
    this.#deflate = new WebAssembly.Instance(new WebAssembly.Module(code)).exports as unknown as Deflate;
    const { memory, TEXT } = this.#deflate;
    this.#text = TEXT.value;
    this.#out = this.#text + MOST_TEXT + SLACK;
    const lacking = this.#out + MOST_TEXT + SLACK - memory.buffer.byteLength;
    memory.grow(Math.ceil(lacking / PAGE));
    this.#memory = Buffer.from(memory.buffer);
    this.#deflate.prepare();
  }

  /**
   * @param text of MOST_TEXT bytes at most
   * @returns what is good until the next is deflated
   */
  deflated(text: Uint8Array, strength: Strength): Buffer {
    this.#memory.set(text, this.#text);
    const end = this.#deflate[strength](this.#text, this.#text + text.length, this.#out);
    return this.#memory.subarray(this.#out, end);
  }
}

let deflater: Deflater | undefined;

/** Deflates with an empty window and ends on a byte, where more may follow. The same text gives the same bytes everywhere. */
export function deflateInto(into: Gathered, text: Uint8Array, strength: Strength): void {
  deflater ??= new Deflater();
  let at = 0;
  do {
    into.add(deflater.deflated(text.subarray(at, at + MOST_TEXT), strength));
    at += MOST_TEXT;
  } while (at < text.length);
}
