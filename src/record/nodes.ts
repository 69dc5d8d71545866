// Documents under change. A value is what stands in the source until a rule makes another of it, so that
// everything that no rule touches is written with its own bytes: numbers, escapes, order and white space.
import { isUtf8 } from 'node:buffer';
import { readJson, stringOf, type Value } from './json.ts';
import { Pieces } from './pieces.ts';

/** A value as it stands in a document. */
export class Source {
  readonly bytes: Buffer;
  readonly value: Value;
  #inside: Source | undefined;
  #items: Source[] | undefined;
  constructor(bytes: Buffer, value: Value) {
    this.bytes = bytes;
    this.value = value;
  }

  /** With its members or items, read from its bytes where that was not done before. */
  get inside(): Source {
    if (this.value.members || this.value.items) return this;
    if (!this.#inside) {
      const own = this.bytes.subarray(this.value.start, this.value.end);
      this.#inside = new Source(own, readJson(own, { maxDepth: NO_LIMIT, keep: KEEP }).value);
    }
    return this.#inside;
  }

  /** Of an array: the same ones at every call. */
  get items(): readonly Source[] {
    if (!this.#items) {
      const { bytes, value } = this.inside;
      this.#items = value.items!.map((item) => new Source(bytes, item));
    }
    return this.#items;
  }
}

export type Node = Source | Obj | readonly Node[] | string | boolean | null;

/** Deep enough for any path that a rule goes down; what lies deeper is read when somebody asks. */
const KEEP = 12;

const NO_LIMIT = Number.POSITIVE_INFINITY;

/** The root of a document of any old format. @throws JsonError */
export function readDocument(bytes: Buffer, keep = KEEP): Node {
  return new Source(bytes, readJson(bytes, { maxDepth: NO_LIMIT, keep }).value);
}

interface Entry {
  key: string;
  /** Undefined where the source has it still. */
  node: Node | undefined;
  /** The member's place in the source. */
  from: { keyStart: number; before: number; value: Value } | undefined;
  gone: boolean;
}

/** An object whose members can be changed; the others, and what stands between them, keep their bytes. */
export class Obj {
  readonly #source: Source | undefined;
  readonly #bytes: Buffer | undefined;
  readonly #value: Value | undefined;
  readonly #entries: Entry[] = [];
  readonly #last = new Map<string, Entry>();
  #changed = false;

  constructor(source?: Source) {
    if (!source) return;
    const { bytes, value } = source.inside;
    this.#source = source;
    this.#bytes = bytes;
    this.#value = value;
    let before = -1;
    for (const { key, keyStart, value: member } of value.members!) {
      const entry = { key, node: undefined, from: { keyStart, before, value: member }, gone: false };
      this.#entries.push(entry);
      this.#last.set(key, entry);
      before = member.end;
    }
  }

  static of(members: Record<string, Node>): Obj {
    const made = new Obj();
    for (const [key, node] of Object.entries(members)) made.set(key, node);
    return made;
  }

  has(key: string): boolean {
    return this.#last.has(key);
  }

  /** Of several members with one name the last, as every reader of JSON has it. */
  get(key: string): Node | undefined {
    const entry = this.#last.get(key);
    return entry && this.#nodeOf(entry);
  }

  /** In its place where there is one, else at the end. @returns false where it stands there already, and keeps its bytes */
  set(key: string, node: Node): boolean {
    const known = this.#last.get(key);
    if (known && isSame(node, this.#nodeOf(known))) return false;
    this.#changed = true;
    if (known) {
      for (const entry of this.#entries) if (entry.key === key && entry !== known) entry.gone = true;
      known.node = node;
      return true;
    }
    const entry = { key, node, from: undefined, gone: false };
    this.#entries.push(entry);
    this.#last.set(key, entry);
    return true;
  }

  /** @returns whether it was there */
  delete(key: string): boolean {
    if (!this.#last.delete(key)) return false;
    this.#changed = true;
    for (const entry of this.#entries) if (entry.key === key) entry.gone = true;
    return true;
  }

  /** Takes a member out. */
  take(key: string): Node | undefined {
    const node = this.get(key);
    this.delete(key);
    return node;
  }

  keys(): string[] {
    return [...this.#last.keys()];
  }

  entries(): [string, Node][] {
    return [...this.#last.values()].map((entry) => [entry.key, this.#nodeOf(entry)]);
  }

  get size(): number {
    return this.#last.size;
  }

  /** What stands in the source, and nothing else. */
  isStill(source: Source): boolean {
    return !this.#changed && this.#source?.value === source.value;
  }

  #nodeOf(entry: Entry): Node {
    if (entry.node === undefined) entry.node = new Source(this.#bytes!, entry.from!.value);
    return entry.node;
  }

  write(out: Pieces): void {
    if (this.#source && !this.#changed) write(this.#source, out);
    else if (this.#bytes && this.#value!.members!.length > 0) this.#writeSource(this.#bytes, this.#value!, out);
    else this.#writeMade(out);
  }

  /** The source's bytes from one change to the next. */
  #writeSource(bytes: Buffer, { start, end, members }: Value, out: Pieces): void {
    let from = start;
    let to = members![0]!.keyStart;
    let any = false;
    const flush = () => out.bytes(bytes, from, to);
    for (const { key, node, from: place, gone } of this.#entries) {
      if (gone) continue;
      if (!place) {
        flush();
        out.text(`${any ? ',' : ''}${JSON.stringify(key)}:`);
        write(node!, out);
        from = to;
      } else {
        const before = place.before === -1 ? place.keyStart : place.before;
        if (to !== before) {
          // Members between have gone; so has what stood between them and this one, where it is the first now.
          flush();
          from = any ? before : place.keyStart;
        }
        to = place.value.end;
        if (!isSource(node, place.value)) {
          to = place.value.start;
          flush();
          write(node!, out);
          from = to = place.value.end;
        }
      }
      any = true;
    }
    const last = members!.at(-1)!.value.end;
    if (to !== last) {
      flush();
      from = last;
    }
    to = end;
    flush();
  }

  #writeMade(out: Pieces): void {
    let separator = '{';
    for (const { key, node, gone } of this.#entries) {
      if (gone) continue;
      out.text(`${separator}${JSON.stringify(key)}:`);
      write(node!, out);
      separator = ',';
    }
    out.text(separator === '{' ? '{}' : '}');
  }
}

/** Not asked for, or asked for and left as it was. */
function isSource(node: Node | undefined, value: Value): boolean {
  return node === undefined || (node instanceof Source && node.value === value);
}

/** Whether a node says what stands there already. */
function isSame(node: Node, there: Node): boolean {
  if (node === there) return true;
  if (!(there instanceof Source)) return false;
  if (node instanceof Source) return node.value === there.value;
  if (node instanceof Obj) return node.isStill(there);
  if (typeof node === 'string') return textOf(there) === node;
  if (typeof node === 'boolean') return booleanOf(there) === node;
  if (node === null) return isNull(there);
  const items = arrayOf(there);
  return items?.length === node.length && node.every((item, i) => isSame(item, items[i]!));
}

/** JSON text of a node. */
export function write(node: Node, out: Pieces): void {
  if (node instanceof Source) out.bytes(node.bytes, node.value.start, node.value.end);
  else if (node instanceof Obj) node.write(out);
  else if (isList(node)) {
    out.text('[');
    node.forEach((item, i) => {
      if (i > 0) out.text(',');
      write(item, out);
    });
    out.text(']');
  } else out.text(JSON.stringify(node));
}

export function jsonOf(node: Node): Buffer {
  const out = new Pieces();
  write(node, out);
  const pieces = out.done();
  return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
}

// --- what a node is

export function isObject(node: Node | undefined): node is Obj | Source {
  return node instanceof Obj || (node instanceof Source && node.value.type === 'object');
}

/** An object to be changed: it has to be put back where it came from. */
export function objectOf(node: Node | undefined): Obj | undefined {
  if (node instanceof Obj) return node;
  return node instanceof Source && node.value.type === 'object' ? new Obj(node) : undefined;
}

export function arrayOf(node: Node | undefined): readonly Node[] | undefined {
  if (isList(node)) return node;
  return node instanceof Source && node.value.type === 'array' ? node.items : undefined;
}

/** Array.isArray, for lists that nobody changes. */
function isList(node: Node | undefined): node is readonly Node[] {
  return Array.isArray(node);
}

export function textOf(node: Node | undefined): string | undefined {
  if (typeof node === 'string') return node;
  return node instanceof Source ? stringOf(node.bytes, node.value) : undefined;
}

/** The text of a number, as it stands there. */
export function numberOf(node: Node | undefined): string | undefined {
  if (!(node instanceof Source) || node.value.type !== 'number') return undefined;
  return node.bytes.toString('latin1', node.value.start, node.value.end);
}

export function booleanOf(node: Node | undefined): boolean | undefined {
  if (typeof node === 'boolean') return node;
  const type = node instanceof Source ? node.value.type : undefined;
  return type === 'true' ? true : type === 'false' ? false : undefined;
}

/** Null or not there. */
export function isNull(node: Node | undefined): boolean {
  return node === undefined || node === null || (node instanceof Source && node.value.type === 'null');
}

/** What Python takes for true: neither null, false, zero nor empty. */
export function isTruthy(node: Node | undefined): boolean {
  if (isNull(node) || booleanOf(node) === false) return false;
  const number = numberOf(node);
  if (number !== undefined) return Number(number) !== 0 || /[1-9]/.test(number.split(/[eE]/)[0]!);
  const text = textOf(node);
  if (text !== undefined) return text !== '';
  const array = arrayOf(node);
  if (array) return array.length > 0;
  return (objectOf(node)?.size ?? 1) > 0;
}

// --- bytes in JSON

/** Bytes that are no text: `{"format":"base64","data":"…"}`. */
export function base64Dict(bytes: Buffer): Obj {
  return Obj.of({ format: 'base64', data: bytes.toString('base64') });
}

/** The bytes of a base64 dict; undefined for anything else. */
export function bytesOfDict(node: Node | undefined): Buffer | undefined {
  if (!isObject(node)) return undefined;
  const dict = objectOf(node)!;
  if (dict.size !== 2 || textOf(dict.get('format')) !== 'base64') return undefined;
  const data = textOf(dict.get('data'));
  return data === undefined ? undefined : Buffer.from(data, 'base64');
}

/** Bytes as JSON has them: text where they are UTF-8. */
export function nodeOfBytes(bytes: Buffer): Node {
  return isUtf8(bytes) ? bytes.toString() : base64Dict(bytes);
}
