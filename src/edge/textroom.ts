// A place for the text of some gzip members, inflated where its documents are then read: without a copy, and without
// buffers that wait for the garbage collector. zlib takes a fifth longer, and has the last word on what is not taken here.
import zlib from 'node:zlib';
import { readWithin, type Scanner, TEXT } from '../record/json.ts';
import code from '../wasm/lines.wasm';
import { HEADER, TRAILER } from './gzip.ts';

interface Inflater extends Scanner {
  prepare(): void;
  /** @returns where the text ends; 0 for what it does not take */
  inflate(start: number, end: number, out: number, outEnd: number): number;
  begin(start: number): void;
  /** Inflates on, up to `until` and a little more. */
  more(end: number, start: number, out: number, outEnd: number, until: number): number;
  goesOn(): number;
  /** Where the deflated bytes ended. */
  read: { value: number };
}

const PAGE = 65536;
/** Bytes behind input and text that may be read or written to. */
const SLACK = 1024;
/** Text that is inflated before it is looked at. */
const STRETCH = 24 * 1024;

export class TextRoom {
  readonly #inflater: Inflater;
  readonly #memory: Buffer;
  readonly #mostBytes: number;
  /** Where text begins, and where it must end. */
  readonly #text: number;
  readonly #textEnd: number;

  /**
   * @param mostBytes of members
   * @param mostText that they become
   */
  constructor(mostBytes: number, mostText: number) {
    this.#inflater = new WebAssembly.Instance(new WebAssembly.Module(code)).exports as unknown as Inflater;
    const { memory } = this.#inflater;
    this.#mostBytes = mostBytes;
    this.#text = TEXT + mostBytes + SLACK;
    this.#textEnd = this.#text + mostText;
    const lacking = this.#textEnd + SLACK - memory.buffer.byteLength;
    memory.grow(Math.ceil(lacking / PAGE));
    this.#memory = Buffer.from(memory.buffer);
    this.#inflater.prepare();
    readWithin(this.#inflater);
  }

  /**
   * Text of members of ours on end, good until the next is asked for.
   * @returns undefined for anything else
   */
  inflate(members: Uint8Array): Buffer | undefined {
    if (members.length > this.#mostBytes) return undefined;
    const memory = this.#memory;
    memory.set(members, TEXT);
    const end = TEXT + members.length;
    let text = this.#text;
    for (let at = TEXT; at < end; ) {
      const from = at + HEADER.length;
      if (!memory.subarray(at, from).equals(HEADER)) return undefined;
      const past = this.#inflater.inflate(from, end, text, this.#textEnd);
      if (past === 0) return undefined;
      at = this.#inflater.read.value;
      if (at + TRAILER > end || memory.readUInt32LE(at + 4) !== past - text) return undefined;
      if (memory.readUInt32LE(at) !== zlib.crc32(memory.subarray(text, past))) return undefined;
      at += TRAILER;
      text = past;
    }
    return memory.subarray(this.#text, text);
  }
  /**
   * A part of the text of a member of ours, which is inflated no further than it takes. Nothing is held against the CRC: whoever takes
   * it must know what it has to be.
   * @param take is given the text from its beginning, more of it each time, until it finds something
   * @returns what it found; undefined where there is nothing, or no such member
   */
  find<T>(member: Uint8Array, take: (text: Buffer) => T | undefined): T | undefined {
    const memory = this.#memory;
    if (member.length > this.#mostBytes) return undefined;
    memory.set(member, TEXT);
    const end = TEXT + member.length;
    const from = TEXT + HEADER.length;
    if (!memory.subarray(TEXT, from).equals(HEADER)) return undefined;
    this.#inflater.begin(from);
    let past = this.#text;
    while (this.#inflater.goesOn()) {
      past = this.#inflater.more(end, this.#text, past, this.#textEnd, past + STRETCH);
      if (past === 0) return undefined;
      const found = take(memory.subarray(this.#text, past));
      if (found !== undefined) return found;
    }
    return undefined;
  }
}
