// diff.ts
import { readFileSync } from "node:fs";

// src/edge/yamlframes.ts
async function* yamlFrames(source, limits2) {
  const splitter = new Splitter(limits2);
  try {
    for await (const chunk of source) yield* splitter.push(chunk, false);
    yield* splitter.push(NOTHING, true);
  } finally {
    splitter.release();
  }
}
var NOTHING = Buffer.alloc(0);
var BOM = Buffer.from([239, 187, 191]);
var LF = 10;
var DASH = 45;
var DOT = 46;
var LONGEST_BLANK = 1024;
var Splitter = class {
  #limits;
  /** The beginning of a line of which too little is here to tell what it is. */
  #carry = NOTHING;
  /** Of the carry, in the file. */
  #offset = 0;
  #line = 1;
  /** True within a line whose beginning was looked at. */
  #midline = false;
  #pieces = [];
  #held = 0;
  #long;
  /** The frame that is open. */
  #frame;
  /** Bytes of the frame before its `...`, once that was seen. */
  #closing;
  constructor(limits2) {
    this.#limits = limits2;
  }
  *push(chunk, last) {
    const given2 = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
    const buffer = this.#carry.length > 0 ? Buffer.concat([this.#carry, given2]) : given2;
    let at = 0;
    if (this.#offset === 0 && this.#line === 1 && !this.#midline && !this.#frame) {
      if (buffer.length < 3 && !last && BOM.subarray(0, buffer.length).equals(buffer)) {
        this.#carry = Buffer.from(buffer);
        return;
      }
      if (buffer.subarray(0, 3).equals(BOM)) at = 3;
    }
    let from = at;
    while (at < buffer.length) {
      const end = buffer.indexOf(LF, at);
      if (!this.#midline) {
        if (end === -1 && !last && buffer.length - at < (this.#frame ? 4 : LONGEST_BLANK)) break;
        const mark = marker(buffer, at);
        if (mark === DASH) {
          if (this.#frame) {
            this.#keep(buffer.subarray(from, at));
            yield* this.#end("reopened");
          }
          this.#frame = { line: this.#line, offset: this.#offset + at, bare: false };
          from = at;
        } else if (this.#frame) {
          if (mark === DOT) this.#closing = this.#held + at - from;
        } else if (mark !== DOT && !isNoText(buffer, at, end === -1 ? buffer.length : end)) {
          this.#frame = { line: this.#line, offset: this.#offset + at, bare: true };
          from = at;
        }
      }
      this.#midline = end === -1;
      at = end === -1 ? buffer.length : end + 1;
      if (end === -1) break;
      this.#line++;
      if (this.#closing !== void 0) {
        this.#keep(buffer.subarray(from, at));
        from = at;
        yield* this.#end("closed");
      }
    }
    if (this.#frame) this.#keep(Buffer.from(buffer.subarray(from, at)));
    this.#carry = Buffer.from(buffer.subarray(at));
    this.#offset += at;
    if (last && this.#frame) yield* this.#end(this.#closing === void 0 ? "cut" : "closed");
  }
  #keep(piece) {
    this.#held += piece.length;
    if (this.#long) {
      this.#long.write(piece);
      return;
    }
    this.#pieces.push(piece);
    if (this.#held <= this.#limits.maxFrame) return;
    this.#long = this.#limits.onLong(this.#frame.line, this.#frame.offset);
    for (const kept of this.#pieces) this.#long.write(kept);
    this.#pieces = [];
  }
  *#end(end) {
    const frame = this.#frame;
    if (this.#long) this.release();
    else {
      const bytes = this.#pieces.length === 1 ? this.#pieces[0] : Buffer.concat(this.#pieces);
      yield { bytes, text: bytes.subarray(frame.bare ? 0 : 3, this.#closing), ...frame, end };
    }
    this.#pieces = [];
    this.#held = 0;
    this.#frame = void 0;
    this.#closing = void 0;
  }
  release() {
    this.#long?.end();
    this.#long = void 0;
  }
};
function marker(buffer, at) {
  const c = buffer[at];
  if (c !== DASH && c !== DOT || buffer[at + 1] !== c || buffer[at + 2] !== c) return void 0;
  const next = buffer[at + 3];
  return next === void 0 || isWhite(next) || next === LF ? c : void 0;
}
function isNoText(buffer, at, end) {
  if (buffer[at] === 37) return true;
  let first = at;
  while (first < end && isWhite(buffer[first])) first++;
  return first - at < LONGEST_BLANK && (first === end || buffer[first] === 35);
}
function isWhite(c) {
  return c === 32 || c === 9 || c === 13;
}

// src/record/yaml.ts
import { isUtf8 as isUtf82 } from "node:buffer";
import yaml from "js-yaml";

// src/record/names.ts
var CC = "[A-Z]{2}";
var TEST = "[a-zA-Z0-9]{2,30}";
var HOST = "[A-Za-z0-9][A-Za-z0-9-]{0,31}";
var HOUR_FOLDER = new RegExp(`^(\\d{10})_(${CC})_(${TEST})$`);
var UID = new RegExp(`^(\\d{14})\\.(\\d{6})_(${CC})_(${TEST})_([0-9a-f]{16})$`);
var CAN = new RegExp(`^(\\d{10})_(${CC})_(${TEST})\\.(${HOST})\\.(0|[1-9]\\d{0,8})$`);
var ROW_CAN = new RegExp(`^(\\d{8})_(${CC})_(${TEST})\\.x\\.([0-9a-f]{16})$`);
var LEGACY_CAN = new RegExp(`^(\\d{8})_(${CC})_(${TEST})\\.l\\.(0|[1-9]\\d{0,8})$`);
function timeOf(digits) {
  if (!/^\d{8}(?:\d\d(?:\d{4})?)?$/.test(digits)) return void 0;
  const part = (from, to) => Number(digits.slice(from, to));
  const [year, month, day] = [part(0, 4), part(4, 6), part(6, 8)];
  const [hour, minute, second] = [part(8, 10), part(10, 12), part(12, 14)];
  if (month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 || second > 59 || year < 100) return void 0;
  const time = Date.UTC(year, month - 1, day, hour, minute, second);
  return new Date(time).getUTCDate() === day ? time : void 0;
}

// src/record/yamlfast.ts
import { isUtf8 } from "node:buffer";
function readFast(text2, options) {
  if (text2.length > LONGEST || text2.includes(CR) || !isUtf8(text2)) return void 0;
  try {
    return new Reader(text2, options).document();
  } catch (error) {
    if (error === GIVE_UP) return void 0;
    throw error;
  }
}
var GIVE_UP = new Error("not of the form");
var LONGEST = 64 * 1024 * 1024;
var KEPT = 4 * 1024 * 1024;
var DEEPEST = 60;
var scratch = Buffer.allocUnsafeSlow(KEPT);
var TAB = 9;
var LF2 = 10;
var CR = 13;
var SPACE = 32;
var EXCLAMATION = 33;
var QUOTE = 34;
var HASH = 35;
var AMPERSAND = 38;
var APOSTROPHE = 39;
var STAR = 42;
var COMMA = 44;
var DASH2 = 45;
var POINT = 46;
var COLON = 58;
var OPEN_LIST = 91;
var BACKSLASH = 92;
var CLOSE_LIST = 93;
var OPEN_MAP = 123;
var CLOSE_MAP = 125;
var UNKNOWN = 0;
var TEXT = 1;
var NUMBER = 2;
var bytesOf = (text2) => [...Buffer.from(text2, "latin1")];
var table = (of) => {
  const all = new Uint8Array(256);
  for (const c of of) all[c] = 1;
  return all;
};
var CONTROLS = Array.from({ length: 32 }, (_, c) => c);
var HIGH = Array.from({ length: 129 }, (_, c) => c + 127);
var NO_PLAIN = table([...CONTROLS, ...HIGH, ...bytesOf(" ?:,[]{}#&*!|>'\"%@`")]);
var MAYBE_VALUE = table(bytesOf("0123456789+-.~nNyYtTfFoO"));
var IN_PLAIN = table([...bytesOf(':#"\\\n,[]{}'), ...HIGH]);
for (const c of CONTROLS) if (c !== LF2) IN_PLAIN[c] = 2;
IN_PLAIN[127] = 2;
var IN_SINGLE = table([...CONTROLS, QUOTE, BACKSLASH, APOSTROPHE]);
var IN_NAME = table(bytesOf("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-"));
var BASE64 = table(bytesOf("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+/="));
var ESCAPES = [];
for (const [given2, text2] of [
  ["0", "\0"],
  ["a", "\x07"],
  ["b", "\b"],
  ["t", "	"],
  ["n", "\n"],
  ["v", "\v"],
  ["f", "\f"],
  ["r", "\r"],
  ["e", "\x1B"],
  [" ", " "],
  ['"', '"'],
  ["/", "/"],
  ["\\", "\\"],
  ["N", "\x85"],
  ["_", "\xA0"],
  ["L", "\u2028"],
  ["P", "\u2029"]
])
  ESCAPES[given2.charCodeAt(0)] = Buffer.from(JSON.stringify(text2).slice(1, -1));
var KNOWN = 4096;
var known = new Array(KNOWN).fill(void 0);
var Reader = class {
  #in;
  #at = 0;
  /** Of the line that is read. */
  #lineStart = 0;
  /** Column of what stands at `#at` after a block node was read; -1 at the end. */
  #column = 0;
  /** Lines that the last scalar or search for content went on for. */
  #breaks = 0;
  /** Of the last line of a plain scalar: its end, and whether JSON may need escapes for it. */
  #plainEnd = 0;
  #plainEscape = false;
  #out;
  #end = 0;
  #options;
  #maxDepth;
  /** Names of the mappings that are open, one after the other. */
  #names = [];
  #anchors;
  constructor(text2, options) {
    this.#in = text2;
    this.#options = options;
    this.#maxDepth = Math.min(options.maxDepth, DEEPEST);
    const need = 4 * text2.length + 1024;
    if (scratch.length < need || scratch.length > Math.max(need, KEPT))
      scratch = Buffer.allocUnsafeSlow(Math.max(need, KEPT));
    this.#out = scratch;
  }
  document() {
    const spans = [];
    while (this.#in[this.#at] === SPACE) this.#at++;
    if (this.#in[this.#at] === LF2) {
      this.#at++;
      if (this.#nextLine() !== 0) throw GIVE_UP;
    } else if (this.#in[this.#at] !== OPEN_MAP) throw GIVE_UP;
    if (this.#in[this.#at] === OPEN_MAP) {
      this.#flowMapping(1, 1, spans);
      this.#endLine();
    } else this.#mapping(0, 1, spans);
    if (this.#column !== -1 || this.#end > this.#options.maxBytes) throw GIVE_UP;
    return spans.map(({ name, start, end }) => ({ name, json: this.#out.subarray(start, end) }));
  }
  // --- lines
  /** From the beginning of a line to the next content. @returns its column, -1 at the end */
  #nextLine(quoted = false) {
    const bytes = this.#in;
    let at = this.#at;
    let breaks = 1;
    for (; ; ) {
      const start = at;
      while (bytes[at] === SPACE) at++;
      const c = bytes[at];
      if (c === LF2) {
        at++;
        breaks++;
        continue;
      }
      if (c === TAB || c === HASH && !quoted) throw GIVE_UP;
      this.#at = at;
      this.#breaks = breaks;
      this.#lineStart = start;
      this.#column = c === void 0 ? -1 : at - start;
      return this.#column;
    }
  }
  /** After a value: nothing may follow it on its line. */
  #endLine() {
    const bytes = this.#in;
    while (bytes[this.#at] === SPACE) this.#at++;
    const c = bytes[this.#at];
    if (c === LF2) this.#at++;
    else if (c !== void 0) throw GIVE_UP;
    this.#nextLine();
  }
  // --- block collections
  #mapping(indent, depth, spans) {
    if (depth > this.#maxDepth) throw GIVE_UP;
    const base = this.#names.length;
    let distinct;
    this.#out[this.#end++] = OPEN_MAP;
    for (; ; ) {
      const name = this.#key(true);
      distinct = this.#addName(name, base, distinct);
      const start = this.#end;
      this.#mappingValue(indent, depth);
      spans?.push({ name, start, end: this.#end });
      if (this.#column < indent) break;
      if (this.#column > indent) throw GIVE_UP;
      this.#out[this.#end++] = COMMA;
    }
    this.#out[this.#end++] = CLOSE_MAP;
    this.#names.length = base;
  }
  /** What follows the colon of a block mapping. */
  #mappingValue(indent, depth) {
    const bytes = this.#in;
    while (bytes[this.#at] === SPACE) this.#at++;
    const c = bytes[this.#at];
    if (c === LF2) {
      this.#at++;
      this.#below(indent, depth, true);
    } else if (c === void 0) throw GIVE_UP;
    else this.#inline(indent, depth, true, false);
  }
  #sequence(indent, depth, indentless) {
    if (depth > this.#maxDepth) throw GIVE_UP;
    const bytes = this.#in;
    this.#out[this.#end++] = OPEN_LIST;
    for (; ; ) {
      this.#at++;
      while (bytes[this.#at] === SPACE) this.#at++;
      const c = bytes[this.#at];
      if (c === void 0) throw GIVE_UP;
      if (c === LF2) {
        this.#at++;
        this.#below(indent, depth, false);
      } else if (this.#isDash()) this.#sequence(this.#at - this.#lineStart, depth + 1, false);
      else if (this.#isKey(c)) this.#mapping(this.#at - this.#lineStart, depth + 1);
      else this.#inline(indent, depth, false, false);
      if (this.#column < indent) break;
      if (this.#column > indent) throw GIVE_UP;
      if (!this.#isDash()) {
        if (indentless) break;
        throw GIVE_UP;
      }
      this.#out[this.#end++] = COMMA;
    }
    this.#out[this.#end++] = CLOSE_LIST;
  }
  /** A dash that begins an entry. */
  #isDash() {
    if (this.#in[this.#at] !== DASH2) return false;
    const next = this.#in[this.#at + 1];
    return next === SPACE || next === LF2 || next === void 0;
  }
  /** The collection that stands on the lines below. @param inMapping a sequence there needs no indentation */
  #below(indent, depth, inMapping) {
    const column = this.#nextLine();
    const dash = this.#isDash();
    if (column > indent) {
      if (dash) this.#sequence(column, depth + 1, false);
      else this.#mapping(column, depth + 1);
    } else if (column === indent && dash && inMapping) this.#sequence(column, depth + 1, true);
    else throw GIVE_UP;
  }
  /** True where a sequence's entry is a mapping that begins on its line. */
  #isKey(first) {
    const bytes = this.#in;
    let at = this.#at;
    if (first === QUOTE || first === APOSTROPHE) {
      for (at++; ; at++) {
        const c = bytes[at];
        if (c === void 0 || c === LF2) return false;
        if (c === BACKSLASH && first === QUOTE) at++;
        else if (c === first) {
          if (c === APOSTROPHE && bytes[at + 1] === APOSTROPHE) at++;
          else break;
        }
      }
      return bytes[at + 1] === COLON;
    }
    if (NO_PLAIN[first]) return false;
    for (let c = first; c !== void 0 && c !== LF2; c = bytes[++at])
      if (c === COLON && (bytes[at + 1] === SPACE || bytes[at + 1] === LF2)) return true;
    return false;
  }
  // --- names of members
  /** Reads a name and its colon, writes both. */
  #key(block) {
    const bytes = this.#in;
    const start = this.#at;
    const first = bytes[start];
    let name;
    if (first === QUOTE || first === APOSTROPHE) {
      const written = this.#end;
      const line = this.#lineStart;
      if (first === QUOTE) this.#double();
      else this.#single();
      if (this.#lineStart !== line || bytes[this.#at] !== COLON) throw GIVE_UP;
      name = JSON.parse(this.#out.toString("utf8", written, this.#end));
      if (isIndex(name)) throw GIVE_UP;
    } else {
      if (first === void 0 || NO_PLAIN[first] || first === DASH2) throw GIVE_UP;
      let hash = 0;
      let at = start;
      let c;
      for (; ; ) {
        c = bytes[at];
        if (c === COLON) {
          const next2 = bytes[at + 1];
          if (next2 === SPACE || next2 === LF2) break;
        } else if (IN_PLAIN[c] !== 0 && (IN_PLAIN[c] !== 1 || !block || c === LF2 || c === HASH || c > 126))
          throw GIVE_UP;
        hash = Math.imul(hash, 31) + c | 0;
        at++;
      }
      name = this.#nameOf(start, at, hash & KNOWN - 1);
      const out = this.#out;
      let end = this.#end;
      out[end++] = QUOTE;
      for (let i = start; i < at; i++) out[end++] = bytes[i];
      out[end++] = QUOTE;
      this.#end = end;
      this.#at = at;
    }
    this.#at++;
    const next = bytes[this.#at];
    if (next !== SPACE && next !== LF2) throw GIVE_UP;
    this.#out[this.#end++] = COLON;
    return name;
  }
  #nameOf(start, end, slot) {
    const bytes = this.#in;
    const found = known[slot];
    if (found && found.bytes.length === end - start) {
      let i = 0;
      while (i < found.bytes.length && found.bytes[i] === bytes[start + i]) i++;
      if (i === found.bytes.length) return found.name;
    }
    const name = bytes.toString("latin1", start, end);
    if (/["\\]| $/.test(name) || name === "<<" || isIndex(name) || this.#options.resolve(name) !== void 0)
      throw GIVE_UP;
    if (name.length <= 64) known[slot] = { bytes: Uint8Array.from(bytes.subarray(start, end)), name };
    return name;
  }
  /** A name that comes twice is for the other reader. */
  #addName(name, base, distinct) {
    const names = this.#names;
    if (distinct) {
      if (distinct.has(name)) throw GIVE_UP;
      distinct.add(name);
      return distinct;
    }
    for (let i = base; i < names.length; i++) if (names[i] === name) throw GIVE_UP;
    names.push(name);
    return names.length - base > 32 ? new Set(names.slice(base)) : void 0;
  }
  // --- values on the line of their name or dash
  /** @param inMapping below a property, a sequence needs no indentation  @param named an anchor was read */
  #inline(indent, depth, inMapping, named) {
    switch (this.#in[this.#at]) {
      case QUOTE:
        this.#double();
        break;
      case APOSTROPHE:
        this.#single();
        break;
      case OPEN_LIST:
        this.#flowSequence(indent + 1, depth + 1);
        break;
      case OPEN_MAP:
        this.#flowMapping(indent + 1, depth + 1);
        break;
      case STAR:
        if (named) throw GIVE_UP;
        this.#alias();
        break;
      case AMPERSAND:
        if (named) throw GIVE_UP;
        this.#anchored(indent, depth, inMapping);
        return;
      case EXCLAMATION:
        this.#tagged(indent, depth, inMapping);
        return;
      default:
        this.#plain(indent + 1);
        return;
    }
    this.#endLine();
  }
  #anchored(indent, depth, inMapping) {
    const name = this.#anchorName();
    const start = this.#end;
    if (this.#lineBreak()) this.#below(indent, depth, inMapping);
    else this.#inline(indent, depth, inMapping, true);
    this.#anchors.set(name, [start, this.#end]);
  }
  /** After an anchor or a tag: true at the end of the line, which is passed over; else spaces are. */
  #lineBreak() {
    const bytes = this.#in;
    if (bytes[this.#at] !== SPACE && bytes[this.#at] !== LF2) throw GIVE_UP;
    while (bytes[this.#at] === SPACE) this.#at++;
    if (bytes[this.#at] !== LF2) return false;
    this.#at++;
    return true;
  }
  #tagged(indent, depth, inMapping) {
    const tag = this.#tag();
    const below = this.#lineBreak();
    const c = this.#in[this.#at];
    if (below) {
      if (tag !== "!!python/tuple") throw GIVE_UP;
      const column = this.#nextLine();
      if (!this.#isDash()) throw GIVE_UP;
      if (column > indent) this.#sequence(column, depth + 1, false);
      else if (column === indent && inMapping) this.#sequence(column, depth + 1, true);
      else throw GIVE_UP;
    } else if (tag === "!!binary" && c === 124) this.#literalBinary(indent);
    else {
      this.#taggedNode(tag, c, indent + 1, depth);
      this.#endLine();
    }
  }
  /** What the known tags mean on what stands on one line or in flow. */
  #taggedNode(tag, c, minIndent, depth) {
    const start = this.#end;
    if (tag === "!!python/tuple") {
      if (c !== OPEN_LIST) throw GIVE_UP;
      this.#flowSequence(minIndent, depth + 1);
    } else if (tag === "!!set") {
      if (c !== OPEN_MAP) throw GIVE_UP;
      const spans = [];
      this.#flowMapping(minIndent, depth + 1, spans);
      this.#end = start;
      this.#text(JSON.stringify(spans.map(({ name }) => name).sort()));
    } else {
      if (c === QUOTE) this.#double();
      else if (c === APOSTROPHE) this.#single();
      else throw GIVE_UP;
      if (tag === "!!binary") {
        const base64 = JSON.parse(this.#out.toString("utf8", start, this.#end));
        this.#end = start;
        this.#text(this.#options.binary(base64));
      } else if (tag !== "!!python/unicode" && tag !== "!!python/str") throw GIVE_UP;
    }
  }
  #tag() {
    const bytes = this.#in;
    const start = this.#at;
    let at = start;
    while (bytes[at] !== SPACE && bytes[at] !== LF2) if (at++ - start > 20) throw GIVE_UP;
    this.#at = at;
    return bytes.toString("latin1", start, at);
  }
  #literalBinary(indent) {
    const bytes = this.#in;
    this.#at++;
    if (!this.#lineBreak()) throw GIVE_UP;
    const column = this.#nextLine();
    if (this.#breaks > 1) throw GIVE_UP;
    const lines = [];
    if (column > indent)
      do {
        const start = this.#at;
        let at = start;
        while (BASE64[bytes[at]]) at++;
        if (bytes[at] !== LF2) throw GIVE_UP;
        lines.push(bytes.toString("latin1", start, at));
        this.#at = at + 1;
        this.#nextLine();
        if (this.#breaks > 1 && this.#column > indent) throw GIVE_UP;
      } while (this.#column === column);
    if (this.#column > indent) throw GIVE_UP;
    this.#text(this.#options.binary(lines.join("\n")));
  }
  // --- anchors and aliases
  #anchorName() {
    const bytes = this.#in;
    const start = this.#at + 1;
    let at = start;
    while (IN_NAME[bytes[at]]) at++;
    if (at === start) throw GIVE_UP;
    this.#at = at;
    const name = bytes.toString("latin1", start, at);
    this.#anchors ??= /* @__PURE__ */ new Map();
    this.#anchors.delete(name);
    return name;
  }
  #alias() {
    const bytes = this.#in;
    const start = this.#at + 1;
    let at = start;
    while (IN_NAME[bytes[at]]) at++;
    const span = this.#anchors?.get(bytes.toString("latin1", start, at));
    if (!span) throw GIVE_UP;
    this.#at = at;
    const [from, to] = span;
    const end = this.#end + to - from;
    const need = end + 4 * (bytes.length - at) + 1024;
    if (end > this.#options.maxBytes || need > 8 * LONGEST) throw GIVE_UP;
    if (need > this.#out.length) {
      scratch = Buffer.allocUnsafeSlow(2 * need);
      this.#out.copy(scratch, 0, 0, this.#end);
      this.#out = scratch;
    }
    this.#out.copyWithin(this.#end, from, to);
    this.#end = end;
  }
  // --- flow collections
  /** To the next token. @param minIndent of the lines that follow */
  #skip(minIndent) {
    const bytes = this.#in;
    while (bytes[this.#at] === SPACE) this.#at++;
    if (bytes[this.#at] === LF2) {
      this.#at++;
      if (this.#nextLine() < minIndent) throw GIVE_UP;
    }
    const c = bytes[this.#at];
    if (c === void 0) throw GIVE_UP;
    return c;
  }
  #flowSequence(minIndent, depth) {
    if (depth > this.#maxDepth) throw GIVE_UP;
    this.#at++;
    this.#out[this.#end++] = OPEN_LIST;
    if (this.#skip(minIndent) === CLOSE_LIST) this.#at++;
    else
      for (; ; ) {
        this.#flowNode(minIndent, depth);
        const c = this.#skip(minIndent);
        this.#at++;
        if (c === CLOSE_LIST) break;
        if (c !== COMMA) throw GIVE_UP;
        this.#out[this.#end++] = COMMA;
        this.#skip(minIndent);
      }
    this.#out[this.#end++] = CLOSE_LIST;
  }
  #flowMapping(minIndent, depth, spans) {
    if (depth > this.#maxDepth) throw GIVE_UP;
    const base = this.#names.length;
    let distinct;
    this.#at++;
    this.#out[this.#end++] = OPEN_MAP;
    if (this.#skip(minIndent) === CLOSE_MAP) this.#at++;
    else
      for (; ; ) {
        const name = this.#key(false);
        distinct = this.#addName(name, base, distinct);
        const start = this.#end;
        this.#skip(minIndent);
        this.#flowNode(minIndent, depth);
        spans?.push({ name, start, end: this.#end });
        const c = this.#skip(minIndent);
        this.#at++;
        if (c === CLOSE_MAP) break;
        if (c !== COMMA) throw GIVE_UP;
        this.#out[this.#end++] = COMMA;
        this.#skip(minIndent);
      }
    this.#out[this.#end++] = CLOSE_MAP;
    this.#names.length = base;
  }
  #flowNode(minIndent, depth) {
    switch (this.#in[this.#at]) {
      case QUOTE:
        this.#double();
        break;
      case APOSTROPHE:
        this.#single();
        break;
      case OPEN_LIST:
        this.#flowSequence(minIndent, depth + 1);
        break;
      case OPEN_MAP:
        this.#flowMapping(minIndent, depth + 1);
        break;
      case STAR:
        this.#alias();
        break;
      case AMPERSAND: {
        const name = this.#anchorName();
        const start = this.#end;
        if (this.#in[this.#at] !== SPACE) throw GIVE_UP;
        const next = this.#skip(minIndent);
        if (next === AMPERSAND || next === STAR) throw GIVE_UP;
        this.#flowNode(minIndent, depth);
        this.#anchors.set(name, [start, this.#end]);
        break;
      }
      case EXCLAMATION: {
        const tag = this.#tag();
        this.#taggedNode(tag, this.#skip(minIndent), minIndent, depth);
        break;
      }
      default:
        this.#flowPlain(minIndent);
    }
  }
  // --- scalars
  #plain(minIndent) {
    const bytes = this.#in;
    const start = this.#at;
    const first = bytes[start];
    if (NO_PLAIN[first] || this.#isDash()) throw GIVE_UP;
    this.#plainLine(false);
    const end = this.#plainEnd;
    if (bytes[this.#at] === LF2) this.#at++;
    if (this.#nextLine() < minIndent) {
      this.#writePlain(start);
      return;
    }
    let text2 = bytes.toString("utf8", start, end);
    while (this.#column >= minIndent) {
      text2 += this.#breaks === 1 ? " " : "\n".repeat(this.#breaks - 1);
      const line = this.#at;
      this.#plainLine(false);
      text2 += bytes.toString("utf8", line, this.#plainEnd);
      if (bytes[this.#at] === LF2) this.#at++;
      this.#nextLine();
    }
    this.#resolved(text2);
  }
  #flowPlain(minIndent) {
    const bytes = this.#in;
    const start = this.#at;
    const first = bytes[start];
    if (NO_PLAIN[first]) throw GIVE_UP;
    if (first === DASH2 && (bytes[start + 1] === LF2 || NO_PLAIN[bytes[start + 1]])) throw GIVE_UP;
    this.#plainLine(true);
    if (bytes[this.#at] !== LF2) {
      this.#writePlain(start);
      return;
    }
    let text2 = bytes.toString("utf8", start, this.#plainEnd);
    while (bytes[this.#at] === LF2) {
      this.#at++;
      if (this.#nextLine() < minIndent) throw GIVE_UP;
      const c = bytes[this.#at];
      if (c === COMMA || c === CLOSE_LIST || c === CLOSE_MAP) break;
      text2 += this.#breaks === 1 ? " " : "\n".repeat(this.#breaks - 1);
      const line = this.#at;
      this.#plainLine(true);
      text2 += bytes.toString("utf8", line, this.#plainEnd);
    }
    this.#resolved(text2);
  }
  /** One line of a plain scalar, up to what ends it. */
  #plainLine(flow) {
    const bytes = this.#in;
    let at = this.#at;
    let escapes = false;
    const length = bytes.length;
    for (; at < length; at++) {
      const c = bytes[at];
      if (IN_PLAIN[c] === 0) continue;
      if (c === LF2) break;
      if (c === COLON) {
        const next = bytes[at + 1];
        if (next === void 0 || next === SPACE || next === LF2 || next === TAB) throw GIVE_UP;
        if (flow && (next === COMMA || next === OPEN_LIST || next === CLOSE_LIST || next === OPEN_MAP || next === CLOSE_MAP))
          throw GIVE_UP;
      } else if (c === HASH) {
        if (at === this.#at || bytes[at - 1] === SPACE) throw GIVE_UP;
      } else if (c === QUOTE || c === BACKSLASH || c >= 128) escapes = true;
      else if (IN_PLAIN[c] === 2) throw GIVE_UP;
      else if (flow) {
        if (c === COMMA || c === CLOSE_LIST || c === CLOSE_MAP) break;
        throw GIVE_UP;
      }
    }
    let end = at;
    while (end > this.#at && bytes[end - 1] === SPACE) end--;
    if (end === this.#at) throw GIVE_UP;
    this.#at = at;
    this.#plainEnd = end;
    this.#plainEscape = escapes;
  }
  /** Writes a plain scalar of one line, which ends where the last line of one did. */
  #writePlain(start) {
    const bytes = this.#in;
    const out = this.#out;
    const end = this.#plainEnd;
    const first = bytes[start];
    const maybe = MAYBE_VALUE[first] && (first < 65 || first === 126 || end - start <= 5);
    const kind = this.#plainEscape ? UNKNOWN : maybe ? this.#digits(start, end) : TEXT;
    if (kind === UNKNOWN) {
      this.#resolved(bytes.toString("utf8", start, end));
      return;
    }
    let at = this.#end;
    if (kind === TEXT) out[at++] = QUOTE;
    for (let i = start; i < end; i++) out[at++] = bytes[i];
    if (kind === TEXT) out[at++] = QUOTE;
    this.#end = at;
  }
  /** Most numbers are the same in JSON, and what has two points is an address. */
  #digits(start, end) {
    const bytes = this.#in;
    let point = 0;
    for (let i = start; i < end; i++) {
      const c = bytes[i];
      if (c === POINT) {
        if (point > 0) return TEXT;
        point = i;
      } else if (c < 48 || c > 57) return UNKNOWN;
    }
    const whole = (point || end) - start;
    if (end - start > 30 || whole === 0 || point === end - 1 || bytes[start] === 48 && whole > 1) return UNKNOWN;
    return NUMBER;
  }
  #resolved(text2) {
    if (/[\x7f-\x84\x86-\x9f\ufeff\ufffe\uffff]/.test(text2)) throw GIVE_UP;
    this.#text(this.#options.resolve(text2) ?? JSON.stringify(text2));
  }
  #single() {
    const bytes = this.#in;
    const out = this.#out;
    const length = bytes.length;
    let at = this.#at + 1;
    let end = this.#end;
    out[end++] = QUOTE;
    let literal = end;
    for (; ; ) {
      let c = bytes[at];
      while (IN_SINGLE[c] === 0) {
        out[end] = c;
        end = end + 1 | 0;
        at = at + 1 | 0;
        c = at < length ? bytes[at] : 0;
      }
      if (c === APOSTROPHE) {
        if (bytes[at + 1] !== APOSTROPHE) break;
        out[end++] = c;
        at += 2;
        literal = end;
      } else if (c === QUOTE || c === BACKSLASH) {
        out[end++] = BACKSLASH;
        out[end++] = c;
        at++;
      } else if (c === LF2) {
        while (end > literal && out[end - 1] === SPACE) end--;
        this.#at = at + 1;
        end = this.#fold(end);
        at = this.#at;
        literal = end;
      } else throw GIVE_UP;
    }
    out[end++] = QUOTE;
    this.#end = end;
    this.#at = at + 1;
  }
  #double() {
    const bytes = this.#in;
    const out = this.#out;
    const length = bytes.length;
    let at = this.#at + 1;
    let end = this.#end;
    out[end++] = QUOTE;
    let literal = end;
    for (; ; ) {
      let c = bytes[at];
      while (c >= SPACE && c !== QUOTE && c !== BACKSLASH) {
        out[end] = c;
        end = end + 1 | 0;
        at = at + 1 | 0;
        c = at < length ? bytes[at] : 0;
      }
      if (c === BACKSLASH) {
        const e = bytes[at + 1];
        if (e === LF2) {
          this.#at = at + 2;
          if (this.#nextLine(true) < 1 || this.#breaks > 1) throw GIVE_UP;
          at = this.#at;
        } else if (e === 120 || e === 117 || e === 85) {
          this.#at = at;
          end = this.#codePoint(end);
          at = this.#at;
        } else {
          const bytesOfEscape = e === void 0 ? void 0 : ESCAPES[e];
          if (bytesOfEscape === void 0) throw GIVE_UP;
          for (let i = 0; i < bytesOfEscape.length; i++) out[end++] = bytesOfEscape[i];
          at += 2;
        }
        literal = end;
      } else if (c === QUOTE) break;
      else if (c === LF2) {
        while (end > literal && out[end - 1] === SPACE) end--;
        this.#at = at + 1;
        end = this.#fold(end);
        at = this.#at;
        literal = end;
      } else throw GIVE_UP;
    }
    out[end++] = QUOTE;
    this.#end = end;
    this.#at = at + 1;
  }
  /** A line break within quotes: one is a space, of more one is left out. */
  #fold(at) {
    let end = at;
    if (this.#nextLine(true) < 1) throw GIVE_UP;
    if (this.#breaks === 1) this.#out[end++] = SPACE;
    else
      for (let i = 1; i < this.#breaks; i++) {
        this.#out[end++] = BACKSLASH;
        this.#out[end++] = 110;
      }
    return end;
  }
  /** `\xe9`, `\u20ac`, `\U0001f600`, and the pair of surrogates that Python 2 writes. */
  #codePoint(at) {
    let code = this.#hex();
    if (code >= 55296 && code < 57344) {
      if (code >= 56320 || this.#in[this.#at] !== BACKSLASH || this.#in[this.#at + 1] !== 117) throw GIVE_UP;
      const low = this.#hex();
      if (low < 56320 || low >= 57344) throw GIVE_UP;
      code = 65536 + (code - 55296 << 10) + (low - 56320);
    }
    if (code > 1114111) throw GIVE_UP;
    const out = this.#out;
    let end = at;
    if (code < 128) {
      if (code < 32 || code === QUOTE || code === BACKSLASH)
        return end + out.write(JSON.stringify(String.fromCharCode(code)).slice(1, -1), end, "latin1");
      out[end++] = code;
    } else if (code < 2048) {
      out[end++] = 192 | code >> 6;
      out[end++] = 128 | code & 63;
    } else if (code < 65536) {
      out[end++] = 224 | code >> 12;
      out[end++] = 128 | code >> 6 & 63;
      out[end++] = 128 | code & 63;
    } else {
      out[end++] = 240 | code >> 18;
      out[end++] = 128 | code >> 12 & 63;
      out[end++] = 128 | code >> 6 & 63;
      out[end++] = 128 | code & 63;
    }
    return end;
  }
  /** The number of an escape that begins here, which is passed over. */
  #hex() {
    const bytes = this.#in;
    const kind = bytes[this.#at + 1];
    const last = this.#at + 2 + (kind === 120 ? 2 : kind === 117 ? 4 : 8);
    let code = 0;
    for (let at = this.#at + 2; at < last; at++) {
      const c = bytes[at];
      const digit = c === void 0 ? -1 : HEX[c];
      if (digit < 0) throw GIVE_UP;
      code = code * 16 + digit;
    }
    this.#at = last;
    return code;
  }
  #text(text2) {
    this.#end += this.#out.write(text2, this.#end);
  }
};
var HEX = new Int8Array(256).fill(-1);
for (let i = 0; i < 16; i++) {
  HEX[i.toString(16).charCodeAt(0)] = i;
  HEX[i.toString(16).toUpperCase().charCodeAt(0)] = i;
}
function isIndex(name) {
  const first = name.charCodeAt(0);
  return first >= 48 && first <= 57 && /^(?:0|[1-9]\d{0,9})$/.test(name);
}

// src/record/yaml.ts
var NumberText = class {
  text;
  constructor(text2) {
    this.text = text2;
  }
  /** What js-yaml makes of a key: its own tag keeps it from being `[object Object]`. */
  toString() {
    return this.text;
  }
  get [Symbol.toStringTag]() {
    return "NumberText";
  }
};
var ByteString = class {
  bytes;
  constructor(bytes) {
    this.bytes = bytes;
  }
  /** As a key: text, or base64 where the bytes are none. */
  toString() {
    return this.bytes.toString(isUtf82(this.bytes) ? "utf8" : "base64");
  }
  get [Symbol.toStringTag]() {
    return "ByteString";
  }
};
var SortedSet = class {
  items;
  constructor(items) {
    this.items = items;
  }
};
var INT = /^[-+]?(?:0b_*[01][01_]*|0o?_*[0-7][0-7_]*|0x_*[0-9a-fA-F][0-9a-fA-F_]*|(?:0|[1-9][0-9_]*)|[1-9][0-9_]*(?::[0-5]?[0-9])+)$/;
var FLOAT = /^(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|[-+]?\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$/;
var JSON_NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;
function integer(given2) {
  if (JSON_NUMBER.test(given2)) return new NumberText(given2);
  const minus = given2.startsWith("-");
  const digits = given2.replace(/^[-+]/, "").replaceAll("_", "");
  const value = digits.includes(":") ? digits.split(":").reduce((sum, part) => sum * 60n + BigInt(part), 0n) : BigInt(/^0[0-7]/.test(digits) ? `0o${digits}` : digits);
  return new NumberText((minus ? -value : value).toString());
}
function float(given2) {
  if (JSON_NUMBER.test(given2)) return new NumberText(given2);
  const minus = given2.startsWith("-") ? "-" : "";
  const digits = given2.replace(/^[-+]/, "").replaceAll("_", "");
  if (/^\.[a-zA-Z]/.test(digits)) return null;
  if (digits.includes(":")) {
    const value = digits.split(":").reduce((sum, part) => sum * 60 + Number(part), 0);
    return Number.isFinite(value) ? new NumberText(`${minus}${value}`) : null;
  }
  const [, whole, fraction, exponent] = /^0*(\d*)\.(\d*)(.*)$/.exec(digits);
  return new NumberText(`${minus}${whole || "0"}.${fraction || "0"}${exponent}`);
}
var DATE = /^(\d{4})-(\d\d)-(\d\d)$/;
var TIMESTAMP = /^(\d{4})-(\d\d?)-(\d\d?)(?:[Tt]|[ \t]+)(\d\d?):(\d\d):(\d\d)(?:\.\d*)?(?:[ \t]*(?:Z|([-+])(\d\d?)(?::(\d\d))?))?$/;
function timestamp(given2) {
  const [, year, month, day, hour = "0", minute = "0", second = "0", sign, offHour = "0", offMinute = "0"] = DATE.exec(given2) ?? TIMESTAMP.exec(given2) ?? [];
  if (year === void 0) return void 0;
  const two = (digits) => digits.padStart(2, "0");
  const local = timeOf([year, month, day, hour, minute, second].map(two).join(""));
  if (local === void 0) return void 0;
  const offset = (Number(offHour) * 60 + Number(offMinute)) * 6e4;
  const iso = new Date(local + (sign === "-" ? offset : sign === "+" ? -offset : 0)).toISOString();
  return /^\d{4}-/.test(iso) ? iso.slice(0, 19).replace("T", " ") : void 0;
}
var LONGEST2 = 4300;
var isNull = (data) => data === "" || data === "~" || /^(?:null|Null|NULL)$/.test(data);
var isBool = (data) => data.length <= 5 && /^(?:yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF)$/.test(data);
var isTrue = (data) => /^(?:yes|true|on)$/i.test(data);
var mayBeNumber = (data) => data.charCodeAt(0) < 58 && data.length <= LONGEST2;
var isInt = (data) => mayBeNumber(data) && INT.test(data);
var isFloat = (data) => mayBeNumber(data) && FLOAT.test(data);
var isTime = (data) => mayBeNumber(data) && timestamp(data) !== void 0;
function resolvePlain(data) {
  if (isNull(data)) return "null";
  if (isBool(data)) return String(isTrue(data));
  if (!mayBeNumber(data)) return void 0;
  if (isInt(data)) return integer(data).text;
  if (isFloat(data)) return float(data)?.text ?? "null";
  const time = timestamp(data);
  return time === void 0 ? void 0 : JSON.stringify(time);
}
var unknownTags = 0;
var isText = (data) => typeof data === "string";
var scalar = (name, resolve, construct) => new yaml.Type(`tag:yaml.org,2002:${name}`, {
  kind: "scalar",
  resolve: (data) => isText(data) && resolve(data),
  construct
});
var text = (name) => new yaml.Type(`tag:yaml.org,2002:${name}`, {
  kind: "scalar",
  resolve: () => true,
  construct: (data) => data ?? ""
});
var unknown = (data) => {
  unknownTags++;
  return data;
};
var { types } = yaml;
var SCHEMA = yaml.FAILSAFE_SCHEMA.extend({
  implicit: [
    types.null,
    scalar("bool", isBool, isTrue),
    scalar("int", isInt, integer),
    scalar("float", isFloat, float),
    scalar("timestamp", isTime, timestamp),
    types.merge
  ],
  explicit: [
    new yaml.Type("tag:yaml.org,2002:binary", {
      kind: "scalar",
      resolve: (data) => data === null || isText(data),
      construct: (data) => new ByteString(Buffer.from(data ?? "", "base64"))
    }),
    new yaml.Type("tag:yaml.org,2002:set", {
      kind: "mapping",
      construct: (data) => new SortedSet(Object.keys(data ?? {}))
    }),
    text("python/unicode"),
    text("python/str"),
    scalar(
      "python/long",
      (data) => data.length <= LONGEST2 && /^-?[0-9]+L?$/.test(data),
      (data) => integer(data.replace(/L$/, ""))
    ),
    new yaml.Type("tag:yaml.org,2002:python/tuple", {
      kind: "sequence",
      construct: (data) => data ?? []
    }),
    // A Python object is its mapping, or null; of any other tag only the value counts. Nothing is executed.
    ...anyTag("tag:yaml.org,2002:python/object", (data, kind) => kind === "mapping" ? data : null),
    ...anyTag("!", unknown),
    ...anyTag("tag:", unknown)
  ]
});
function anyTag(tag, construct) {
  return ["scalar", "sequence", "mapping"].map(
    (kind) => new yaml.Type(tag, { kind, multi: true, construct: (data) => construct(data, kind) })
  );
}
var DEEPEST2 = 1e3;
function readYaml(text2, limits2, unknownTag) {
  const maxBytes = limitOf(text2.length, limits2.maxBytes);
  const members = readFast(text2, { resolve: resolvePlain, binary: binaryText, maxBytes, maxDepth: limits2.maxDepth });
  if (members) return members.length > 0 ? { kind: "mapping", members } : { kind: "nothing", what: "an empty mapping" };
  const document = load(text2, limits2.maxDepth, limits2.firstLine);
  if (unknownTags > 0) unknownTag?.(unknownTags);
  if (!isMapping(document)) return kindOf(document);
  const writer = new JsonWriter(maxBytes, limits2.maxDepth);
  const entries = Object.entries(document);
  if (entries.length === 0) return { kind: "nothing", what: "an empty mapping" };
  return { kind: "mapping", members: entries.map(([name, value]) => ({ name, json: writer.value(value, 1) })) };
}
function load(text2, maxDepth, firstLine = 1) {
  if (!isUtf82(text2)) throw new Error(`not UTF-8 at byte ${firstNotUtf8(text2)}`);
  return loadAll(text2.toString(), maxDepth, (source, options) => yaml.load(source, options), firstLine);
}
function loadAll(source, maxDepth, read, firstLine = 1) {
  unknownTags = 0;
  const levels = Math.min(maxDepth, DEEPEST2);
  try {
    return read(source, { schema: SCHEMA, json: true, maxDepth: levels + 2 });
  } catch (error) {
    const { reason, mark, message } = error;
    if (error instanceof RangeError || reason?.startsWith("nesting exceeded")) throw tooDeep(levels);
    throw new Error(`not YAML: ${(reason ?? message).slice(0, 200)}${mark ? ` at line ${firstLine + mark.line}` : ""}`);
  }
}
var tooDeep = (levels) => new Error(`YAML nested deeper than ${levels} levels`);
var limitOf = (length, maxBytes) => Math.min(maxBytes, 1e6 + 20 * length);
var FAST = (l) => ({
  resolve: resolvePlain,
  binary: binaryText,
  maxBytes: l.maxBytes,
  maxDepth: l.maxDepth
});
function firstNotUtf8(text2) {
  let from = 0;
  let to = text2.length;
  while (from < to) {
    const middle = from + to + 1 >> 1;
    if (isUtf82(text2.subarray(0, middle)) || isUtf82(text2.subarray(0, middle - 1)) || isUtf82(text2.subarray(0, middle - 2)) || isUtf82(text2.subarray(0, middle - 3)))
      from = middle;
    else to = middle - 1;
  }
  return from;
}
function isMapping(doc) {
  return typeof doc === "object" && doc !== null && !Array.isArray(doc) && Object.getPrototypeOf(doc) === Object.prototype;
}
function kindOf(document) {
  if (document === null || document === void 0) return { kind: "nothing", what: "null" };
  if (document === "") return { kind: "nothing", what: "an empty text" };
  const list = Array.isArray(document) ? document : document instanceof SortedSet ? document.items : void 0;
  if (list) return list.length > 0 ? { kind: "other", what: "a list" } : { kind: "nothing", what: "an empty list" };
  return isMapping(document) ? { kind: "other", what: "a mapping" } : { kind: "other", what: "a scalar" };
}
function binaryText(base64) {
  const bytes = Buffer.from(base64, "base64");
  return isUtf82(bytes) ? JSON.stringify(bytes.toString()) : `{"format":"base64","data":"${bytes.toString("base64")}"}`;
}
var JsonWriter = class {
  #maxBytes;
  #maxDepth;
  #out = [];
  #size = 0;
  #waiting = "";
  constructor(maxBytes, maxDepth) {
    this.#maxBytes = maxBytes;
    this.#maxDepth = Math.min(maxDepth, DEEPEST2);
  }
  /** @param depth of what holds the value @throws Error when all that was written is too large, or this too deep */
  value(value, depth = 0) {
    this.#write(value, depth + 1);
    this.#flush();
    const whole = this.#out.length === 1 ? this.#out[0] : Buffer.concat(this.#out);
    this.#out = [];
    return whole;
  }
  #flush() {
    const bytes = Buffer.from(this.#waiting);
    this.#waiting = "";
    this.#size += bytes.length;
    if (this.#size > this.#maxBytes) throw new Error(`YAML unfolds to more than ${this.#maxBytes} bytes`);
    this.#out.push(bytes);
  }
  // A few hundred bytes of aliases can unfold into gigabytes: the size of what is written is the limit.
  #put(text2) {
    this.#waiting += text2;
    if (this.#waiting.length >= 65536) this.#flush();
  }
  #write(value, depth) {
    if (value instanceof NumberText) this.#put(value.text);
    else if (value instanceof ByteString) this.#put(binaryText(value.bytes.toString("base64")));
    else if (value instanceof SortedSet) this.#write([...value.items].sort(), depth);
    else if (typeof value !== "object" || value === null) this.#put(JSON.stringify(value ?? null));
    else if (depth > this.#maxDepth) throw tooDeep(this.#maxDepth);
    else if (Array.isArray(value)) {
      this.#put("[");
      value.forEach((item, i) => {
        if (i > 0) this.#put(",");
        this.#write(item, depth + 1);
      });
      this.#put("]");
    } else {
      this.#put("{");
      Object.entries(value).forEach(([key, item], i) => {
        this.#put(`${i > 0 ? "," : ""}${JSON.stringify(key)}:`);
        this.#write(item, depth + 1);
      });
      this.#put("}");
    }
  }
};

// diff.ts
var limits = { maxBytes: 1e9, maxDepth: 500 };
var none = { maxFrame: 1e9, onLong: () => ({ write() {
}, end() {
} }) };
var show = (d) => d.kind === "mapping" ? "{" + d.members.map((m) => JSON.stringify(m.name) + ":" + m.json).join(",") + "}" : JSON.stringify(d);
var slow = (t) => {
  try {
    return show(readYaml(Buffer.concat([t, Buffer.from("\n#\n")]), limits));
  } catch (e) {
    return "E " + e.message;
  }
};
var fast = (t) => {
  const m = readFast(t, FAST(limits));
  return m === void 0 ? void 0 : show(m.length ? { kind: "mapping", members: m } : { kind: "nothing", what: "an empty mapping" });
};
var seed = Number(process.argv[2] ?? 1);
var rnd = (n) => {
  seed = Math.imul(seed, 1103515245) + 12345 & 2147483647;
  return (seed >> 8) % n;
};
var total = 0;
var took = 0;
var bad = 0;
var given = 0;
var gave = [];
var check = (t, where) => {
  total++;
  const f = fast(t);
  if (f === void 0) {
    given++;
    if (gave.length < 10 && where) gave.push(where);
    return;
  }
  took++;
  const s = slow(t);
  if (s !== f && bad++ < 15) {
    console.log("DIFF", where, JSON.stringify(t.toString("latin1").slice(0, 600)));
    let i = 0;
    while (s[i] === f[i]) i++;
    console.log(" fast", f.slice(Math.max(0, i - 40), i + 80));
    console.log(" slow", s.slice(Math.max(0, i - 40), i + 80));
  }
};
var chars = " \n:-,[]{}\"'#&*!|>?%@`\\	~ax019.\xE9=<n";
for (const file of process.argv.slice(4)) {
  const b = readFileSync(file);
  for await (const f of yamlFrames((async function* () {
    yield b;
  })(), none)) {
    check(f.text, `${file}:${f.line}`);
    const small = f.text.length > 3e3 ? f.text.subarray(0, 3e3) : f.text;
    for (let i = 0; i < Number(process.argv[3]); i++) {
      let m = Buffer.from(small);
      for (let k = rnd(3); k >= 0; k--) {
        const at = rnd(m.length);
        const c = rnd(4) === 0 ? Buffer.from([rnd(256)]) : Buffer.from(chars[rnd(chars.length)], "utf8");
        switch (rnd(5)) {
          case 0:
            m = Buffer.concat([m.subarray(0, at), c, m.subarray(at)]);
            break;
          case 1:
            m = Buffer.concat([m.subarray(0, at), c, m.subarray(at + 1)]);
            break;
          case 2:
            m = Buffer.concat([m.subarray(0, at), m.subarray(at + 1 + rnd(4))]);
            break;
          case 3: {
            const from = rnd(m.length), to = Math.min(m.length, from + rnd(60));
            m = Buffer.concat([m.subarray(0, at), m.subarray(from, to), m.subarray(at)]);
            break;
          }
          case 4: {
            const nl = m.indexOf(10, at);
            if (nl > 0) {
              const n = rnd(5);
              m = Buffer.concat([m.subarray(0, nl + 1), Buffer.alloc(n, 32), m.subarray(nl + 1)]);
            }
            break;
          }
        }
      }
      check(m, "");
    }
  }
}
console.log({ total, took, given, bad, gave });
