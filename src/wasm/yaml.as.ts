// The YAML that Python's emitter writes, from bytes to JSON: AssemblyScript, compiled to WebAssembly, copies sixteen bytes
// of a string at a time. It traps at whatever is not of the form; what that is, yamlfast.ts says.

// What only JavaScript can tell.

/** @returns a number that stands for the name of a member; the name comes as it stands in the document */
// @ts-ignore: a decorator of AssemblyScript
@external('js', 'plainName') declare function plainName(start: usize, end: usize): i32;
/** The same for a name as it was written: a JSON string. */
// @ts-ignore
@external('js', 'quotedName') declare function quotedName(start: usize, end: usize): i32;
/** Writes at `to` what a plain scalar means. @returns the end of it */
// @ts-ignore
@external('js', 'plain') declare function plain(start: usize, end: usize, to: usize): usize;
/** Writes at `start`, where base64 stands, alone or as a JSON string, what is in it. @returns the end of it */
// @ts-ignore
@external('js', 'binary') declare function binary(start: usize, end: usize, isJson: bool): usize;
/** Notes what an anchor stands for: nothing yet where `from` is `to`. */
// @ts-ignore
@external('js', 'anchor') declare function anchor(start: usize, end: usize, from: usize, to: usize): void;
/** Writes at `to` what an alias stands for, with `left` bytes of the document to come. @returns the end of it */
// @ts-ignore
@external('js', 'alias') declare function alias(start: usize, end: usize, to: usize, left: usize): usize;
/** A member of the document. */
// @ts-ignore
@external('js', 'member') declare function member(name: i32, start: usize, end: usize): void;
/** An item of the set that is open. */
// @ts-ignore
@external('js', 'item') declare function item(name: i32): void;
/** Writes at `to` the set that is open, and closes it. @returns the end of it */
// @ts-ignore
@external('js', 'closeSet') declare function closeSet(to: usize): usize;

const TAB: u8 = 0x09;
const LF: u8 = 0x0a;
const SPACE: u8 = 0x20;
const EXCLAMATION: u8 = 0x21;
const QUOTE: u8 = 0x22;
const HASH: u8 = 0x23;
const AMPERSAND: u8 = 0x26;
const APOSTROPHE: u8 = 0x27;
const STAR: u8 = 0x2a;
const COMMA: u8 = 0x2c;
const DASH: u8 = 0x2d;
const POINT: u8 = 0x2e;
const COLON: u8 = 0x3a;
const OPEN_LIST: u8 = 0x5b;
const BACKSLASH: u8 = 0x5c;
const CLOSE_LIST: u8 = 0x5d;
const OPEN_MAP: u8 = 0x7b;
const CLOSE_MAP: u8 = 0x7d;

/** Bits of what a byte is. */
const NO_PLAIN: u8 = 1;
const MAYBE_VALUE: u8 = 2;
/** Within a plain scalar: what needs a look, and what makes us give up. */
const LOOK: u8 = 4;
const REFUSE: u8 = 8;
const IN_NAME: u8 = 16;
const IN_BASE64: u8 = 32;
/** After a digit, what no number or time has. */
const TELLS_TEXT: u8 = 64;
/** An escape that JSON has too. */
const SAME_ESCAPE: u8 = 128;

// Tables that JavaScript fills: what bytes are, the lengths and texts of escapes, digits of hexadecimal numbers.
const KINDS: usize = 4096;
const ESCAPES: usize = KINDS + 256;
const HEX: usize = ESCAPES + 256 * 8;
/** Names that are open, a word each. */
const NAMES: usize = HEX + 256;
const MOST_NAMES: usize = 8192;
/** Those of large mappings: number of the mapping and name, eight bytes each. */
const MANY: usize = NAMES + 4 * MOST_NAMES;
const MOST_MANY: usize = 16384;
/** A mapping with more names than this has them there. */
const FEW: usize = 32;
/** Names that come again and again, by their hash: number, length, sixty-four bytes. */
const KNOWN: usize = MANY + 8 * MOST_MANY;
const MOST_KNOWN: usize = 4096;
const LONGEST_KNOWN: usize = 64;
const KNOWN_BYTES: usize = 8 + LONGEST_KNOWN;

/** In the document, which stands behind all of this. */
let p: usize = 0;
let last: usize = 0;
/** Of the line that is read. */
let lineStart: usize = 0;
/** Column of what stands at `p` after a block node was read; -1 at the end. */
let column: i32 = 0;
/** Lines that the last scalar or search for content went on for. */
let breaks: i32 = 0;
/** Of the last line of a plain scalar: its end, and whether JSON may need escapes for it. */
let plainEnd: usize = 0;
let plainEscape: bool = false;
/** Where JSON is written. */
let o: usize = 0;
let maxDepth: i32 = 0;
/** Names of the mappings that are open, one after the other. */
let names: usize = 0;
let many: usize = 0;
let mappings: i32 = 0;
let inSet: bool = false;

/** Whose members are told. */
const NOBODY = 0;
const DOCUMENT = 1;
const SET = 2;

// @ts-ignore
@inline
function giveUp(): void {
  unreachable();
}

// @ts-ignore
@inline
function is(c: u8, kind: u8): bool {
  return (load<u8>(KINDS + <usize>c) & kind) != 0;
}

// @ts-ignore
@inline
function put(c: u8): void {
  store<u8>(o, c);
  o++;
}

/** Forgets the names that it knows. */
export function forget(): void {
  for (let slot: usize = 0; slot < MOST_KNOWN; slot++) store<u32>(KNOWN + slot * KNOWN_BYTES, 0, 4);
}

/**
 * The mapping in [start, end), which are followed by a zero and 32 bytes more; there is no zero in it.
 * @returns the end of its JSON, which begins at `out`
 */
export function read(start: usize, end: usize, out: usize, depth: i32): usize {
  p = start;
  last = end;
  lineStart = start;
  o = out;
  maxDepth = depth;
  names = NAMES;
  if (many > 0) {
    memory.fill(MANY, 0, 8 * MOST_MANY);
    many = 0;
  }
  mappings = 0;
  inSet = false;
  while (load<u8>(p) == SPACE) p++;
  const c = load<u8>(p);
  if (c == LF) {
    p++;
    if (nextLine(false) != 0) giveUp();
  } else if (c != OPEN_MAP) giveUp();
  if (load<u8>(p) == OPEN_MAP) {
    flowMapping(1, 1, DOCUMENT);
    endLine();
  } else mapping(0, 1, DOCUMENT);
  if (column != -1) giveUp();
  return o;
}

// --- lines

/** From the beginning of a line to the next content. @returns its column, -1 at the end */
function nextLine(quoted: bool): i32 {
  let at = p;
  let count = 1;
  while (true) {
    const start = at;
    while (load<u8>(at) == SPACE) at++;
    const c = load<u8>(at);
    if (c == LF) {
      at++;
      count++;
      continue;
    }
    if (c == TAB || (c == HASH && !quoted)) giveUp();
    p = at;
    breaks = count;
    lineStart = start;
    column = c == 0 ? -1 : <i32>(at - start);
    return column;
  }
}

/** After a value: nothing may follow it on its line. */
function endLine(): void {
  while (load<u8>(p) == SPACE) p++;
  const c = load<u8>(p);
  if (c == LF) p++;
  else if (c != 0) giveUp();
  nextLine(false);
}

// --- block collections

function mapping(indent: i32, depth: i32, whose: i32): void {
  if (depth > maxDepth) giveUp();
  const base = names;
  const serial = ++mappings;
  put(OPEN_MAP);
  while (true) {
    const name = key(true);
    addName(name, base, serial);
    const start = o;
    mappingValue(indent, depth);
    if (whose == DOCUMENT) member(name, start, o);
    if (column < indent) break;
    if (column > indent) giveUp();
    put(COMMA);
  }
  put(CLOSE_MAP);
  names = base;
}

/** What follows the colon of a block mapping. */
function mappingValue(indent: i32, depth: i32): void {
  while (load<u8>(p) == SPACE) p++;
  const c = load<u8>(p);
  if (c == LF) {
    p++;
    below(indent, depth, true);
  } else if (c == 0) giveUp();
  else beside(indent, depth, true, false);
}

function sequence(indent: i32, depth: i32, indentless: bool): void {
  if (depth > maxDepth) giveUp();
  put(OPEN_LIST);
  while (true) {
    p++; // the dash
    while (load<u8>(p) == SPACE) p++;
    const c = load<u8>(p);
    if (c == 0) giveUp();
    if (c == LF) {
      p++;
      below(indent, depth, false);
    } else if (isDash()) sequence(<i32>(p - lineStart), depth + 1, false);
    else if (isKey(c)) mapping(<i32>(p - lineStart), depth + 1, NOBODY);
    else beside(indent, depth, false, false);
    if (column < indent) break;
    if (column > indent) giveUp();
    if (!isDash()) {
      if (indentless) break;
      giveUp();
    }
    put(COMMA);
  }
  put(CLOSE_LIST);
}

/** A dash that begins an entry. */
// @ts-ignore
@inline
function isDash(): bool {
  if (load<u8>(p) != DASH) return false;
  const next = load<u8>(p, 1);
  return next == SPACE || next == LF || next == 0;
}

/** The collection that stands on the lines below. @param inMapping a sequence there needs no indentation */
function below(indent: i32, depth: i32, inMapping: bool): void {
  const at = nextLine(false);
  const dash = isDash();
  if (at > indent) {
    if (dash) sequence(at, depth + 1, false);
    else mapping(at, depth + 1, NOBODY);
  } else if (at == indent && dash && inMapping) sequence(at, depth + 1, true);
  else giveUp(); // nothing there: Python writes null
}

/** True where a sequence's entry is a mapping that begins on its line. */
function isKey(first: u8): bool {
  let at = p;
  if (first == QUOTE || first == APOSTROPHE) {
    for (at++; ; at++) {
      const c = load<u8>(at);
      if (c == 0 || c == LF) return false;
      if (c == BACKSLASH && first == QUOTE) {
        at++;
        if (load<u8>(at) == 0) return false;
      } else if (c == first) {
        if (c == APOSTROPHE && load<u8>(at, 1) == APOSTROPHE) at++;
        else break;
      }
    }
    return load<u8>(at, 1) == COLON;
  }
  if (is(first, NO_PLAIN)) return false;
  for (let c = first; c != 0 && c != LF; c = load<u8>(++at))
    if (c == COLON && (load<u8>(at, 1) == SPACE || load<u8>(at, 1) == LF)) return true;
  return false;
}

// --- names of members

/** Reads a name and its colon, writes both. */
function key(block: bool): i32 {
  const start = p;
  const first = load<u8>(start);
  let name: i32;
  if (first == QUOTE || first == APOSTROPHE) {
    const written = o;
    const line = lineStart;
    if (first == QUOTE) double();
    else single();
    if (lineStart != line || load<u8>(p) != COLON) giveUp();
    name = quotedName(written, o);
  } else {
    if (is(first, NO_PLAIN) || first == DASH) giveUp();
    let hash: u32 = 0;
    let at = start;
    while (true) {
      const c = load<u8>(at);
      if (c == COLON) {
        const next = load<u8>(at, 1);
        if (next == SPACE || next == LF) break;
      } else {
        const kind = load<u8>(KINDS + <usize>c) & (LOOK | REFUSE);
        if (kind != 0 && (kind != LOOK || !block || c == LF || c == HASH || c > 0x7e)) giveUp();
      }
      hash = hash * 31 + c;
      at++;
    }
    name = nameOf(start, at, hash % <u32>MOST_KNOWN);
    put(QUOTE);
    for (let i = start; i < at; i++) put(load<u8>(i));
    put(QUOTE);
    p = at;
  }
  p++;
  const next = load<u8>(p);
  if (next != SPACE && next != LF) giveUp();
  put(COLON);
  return name;
}

function nameOf(start: usize, end: usize, slot: u32): i32 {
  const known = KNOWN + <usize>slot * KNOWN_BYTES;
  const length = end - start;
  if (<usize>load<u32>(known, 4) == length && memory.compare(known + 8, start, length) == 0) return load<i32>(known);
  const name = plainName(start, end);
  if (length <= LONGEST_KNOWN) {
    store<i32>(known, name);
    store<u32>(known, <u32>length, 4);
    memory.copy(known + 8, start, length);
  }
  return name;
}

/** A name that comes twice is for the other reader. */
function addName(name: i32, base: usize, serial: i32): void {
  const count = (names - base) >> 2;
  if (count <= FEW) {
    for (let at = base; at < names; at += 4) if (load<i32>(at) == name) giveUp();
    if (names >= MANY) giveUp();
    store<i32>(names, name);
    names += 4;
    if (count < FEW) return;
    for (let at = base; at < names; at += 4) addToMany(load<i32>(at), serial);
  } else addToMany(name, serial);
}

function addToMany(name: i32, serial: i32): void {
  if (++many > MOST_MANY / 2) giveUp();
  let slot: u32 = (<u32>name * 0x9e3779b1) ^ (<u32>serial * 0x85ebca6b);
  while (true) {
    slot = (slot ^ (slot >> 15)) & (MOST_MANY - 1);
    const at = MANY + 8 * <usize>slot;
    if (load<i32>(at) == 0) {
      store<i32>(at, serial);
      store<i32>(at, name, 4);
      return;
    }
    if (load<i32>(at) == serial && load<i32>(at, 4) == name) giveUp();
    slot++;
  }
}

// --- values on the line of their name or dash

/** @param inMapping below a property, a sequence needs no indentation  @param named an anchor was read */
function beside(indent: i32, depth: i32, inMapping: bool, named: bool): void {
  const c = load<u8>(p);
  if (c == QUOTE) double();
  else if (c == APOSTROPHE) single();
  else if (c == OPEN_LIST) flowSequence(indent + 1, depth + 1);
  else if (c == OPEN_MAP) flowMapping(indent + 1, depth + 1, NOBODY);
  else if (c == STAR) {
    if (named) giveUp();
    readAlias();
  } else if (c == AMPERSAND) {
    if (named) giveUp();
    anchored(indent, depth, inMapping);
    return;
  } else if (c == EXCLAMATION) {
    tagged(indent, depth, inMapping);
    return;
  } else {
    plainScalar(indent + 1);
    return;
  }
  endLine();
}

function anchored(indent: i32, depth: i32, inMapping: bool): void {
  const nameStart = p + 1;
  const nameEnd = anchorName();
  const start = o;
  if (lineBreak()) below(indent, depth, inMapping);
  else beside(indent, depth, inMapping, true);
  anchor(nameStart, nameEnd, start, o);
}

/** After an anchor or a tag: true at the end of the line, which is passed over; else spaces are. */
function lineBreak(): bool {
  const c = load<u8>(p);
  if (c != SPACE && c != LF) giveUp();
  while (load<u8>(p) == SPACE) p++;
  if (load<u8>(p) != LF) return false;
  p++;
  return true;
}

/** Tags that are known. */
const TUPLE = 1;
const SET_TAG = 2;
const BINARY = 3;
const STRING = 4;

function tagged(indent: i32, depth: i32, inMapping: bool): void {
  const tag = readTag();
  if (lineBreak()) {
    if (tag != TUPLE) giveUp();
    const at = nextLine(false);
    if (!isDash()) giveUp();
    if (at > indent) sequence(at, depth + 1, false);
    else if (at == indent && inMapping) sequence(at, depth + 1, true);
    else giveUp();
  } else if (tag == BINARY && load<u8>(p) == 0x7c) literalBinary(indent);
  else {
    taggedNode(tag, load<u8>(p), indent + 1, depth);
    endLine();
  }
}

/** What the known tags mean on what stands on one line or in flow. */
function taggedNode(tag: i32, c: u8, minIndent: i32, depth: i32): void {
  const start = o;
  if (tag == TUPLE) {
    if (c != OPEN_LIST) giveUp();
    flowSequence(minIndent, depth + 1);
  } else if (tag == SET_TAG) {
    if (c != OPEN_MAP || inSet) giveUp();
    inSet = true;
    flowMapping(minIndent, depth + 1, SET);
    inSet = false;
    o = closeSet(start);
  } else {
    if (c == QUOTE) double();
    else if (c == APOSTROPHE) single();
    else giveUp();
    if (tag == BINARY) o = binary(start, o, true);
    else if (tag != STRING) giveUp();
  }
}

function isWord(start: usize, end: usize, word: string): bool {
  if (<i32>(end - start) != word.length) return false;
  for (let i = 0; i < word.length; i++) if (<i32>load<u8>(start + i) != word.charCodeAt(i)) return false;
  return true;
}

function readTag(): i32 {
  const start = p;
  let at = start;
  for (let c = load<u8>(at); c != SPACE && c != LF; c = load<u8>(++at)) if (c == 0 || at - start > 20) giveUp();
  p = at;
  if (isWord(start, at, '!!binary')) return BINARY;
  if (isWord(start, at, '!!set')) return SET_TAG;
  if (isWord(start, at, '!!python/tuple')) return TUPLE;
  if (isWord(start, at, '!!python/unicode') || isWord(start, at, '!!python/str')) return STRING;
  giveUp();
  return 0;
}

function literalBinary(indent: i32): void {
  p++;
  if (!lineBreak()) giveUp();
  const at = nextLine(false);
  if (breaks > 1) giveUp();
  const start = o;
  if (at > indent)
    do {
      let c = load<u8>(p);
      while (is(c, IN_BASE64)) {
        put(c);
        c = load<u8>(++p);
      }
      if (c != LF) giveUp();
      p++;
      nextLine(false);
      if (breaks > 1 && column > indent) giveUp();
    } while (column == at);
  if (column > indent) giveUp();
  o = binary(start, o, false);
}

// --- anchors and aliases

/** @returns its end */
function anchorName(): usize {
  const start = p + 1;
  let at = start;
  while (is(load<u8>(at), IN_NAME)) at++;
  if (at == start) giveUp();
  p = at;
  anchor(start, at, 0, 0); // within itself it means itself
  return at;
}

function readAlias(): void {
  const start = p + 1;
  let at = start;
  while (is(load<u8>(at), IN_NAME)) at++;
  p = at;
  o = alias(start, at, o, last - at);
}

// --- flow collections

/** To the next token. @param minIndent of the lines that follow */
// @ts-ignore
@inline
function skip(minIndent: i32): u8 {
  while (load<u8>(p) == SPACE) p++;
  if (load<u8>(p) == LF) {
    p++;
    if (nextLine(false) < minIndent) giveUp();
  }
  const c = load<u8>(p);
  if (c == 0) giveUp();
  return c;
}

function flowSequence(minIndent: i32, depth: i32): void {
  if (depth > maxDepth) giveUp();
  p++;
  put(OPEN_LIST);
  if (skip(minIndent) == CLOSE_LIST) p++;
  else
    while (true) {
      flowNode(minIndent, depth);
      const c = skip(minIndent);
      p++;
      if (c == CLOSE_LIST) break;
      if (c != COMMA) giveUp();
      put(COMMA);
      skip(minIndent);
    }
  put(CLOSE_LIST);
}

function flowMapping(minIndent: i32, depth: i32, whose: i32): void {
  if (depth > maxDepth) giveUp();
  const base = names;
  const serial = ++mappings;
  p++;
  put(OPEN_MAP);
  if (skip(minIndent) == CLOSE_MAP) p++;
  else
    while (true) {
      const name = key(false);
      addName(name, base, serial);
      const start = o;
      skip(minIndent);
      flowNode(minIndent, depth);
      if (whose == DOCUMENT) member(name, start, o);
      else if (whose == SET) item(name);
      const c = skip(minIndent);
      p++;
      if (c == CLOSE_MAP) break;
      if (c != COMMA) giveUp();
      put(COMMA);
      skip(minIndent);
    }
  put(CLOSE_MAP);
  names = base;
}

function flowNode(minIndent: i32, depth: i32): void {
  const c = load<u8>(p);
  if (c == QUOTE) double();
  else if (c == APOSTROPHE) single();
  else if (c == OPEN_LIST) flowSequence(minIndent, depth + 1);
  else if (c == OPEN_MAP) flowMapping(minIndent, depth + 1, NOBODY);
  else if (c == STAR) readAlias();
  else if (c == AMPERSAND) {
    const nameStart = p + 1;
    const nameEnd = anchorName();
    const start = o;
    if (load<u8>(p) != SPACE) giveUp();
    const next = skip(minIndent + 1); // js-yaml wants more before what has an anchor or a tag
    if (next == AMPERSAND || next == STAR) giveUp();
    flowNode(minIndent, depth);
    anchor(nameStart, nameEnd, start, o);
  } else if (c == EXCLAMATION) {
    const tag = readTag();
    taggedNode(tag, skip(minIndent + 1), minIndent, depth);
  } else flowPlain(minIndent);
}

// --- scalars

function plainScalar(minIndent: i32): void {
  const start = p;
  if (is(load<u8>(start), NO_PLAIN) || isDash()) giveUp();
  plainLine(false);
  const end = plainEnd;
  if (load<u8>(p) == LF) p++;
  if (nextLine(false) < minIndent) {
    writePlain(start, end);
    return;
  }
  const from = o;
  append(start, end);
  while (column >= minIndent) {
    fold();
    const line = p;
    plainLine(false);
    append(line, plainEnd);
    if (load<u8>(p) == LF) p++;
    nextLine(false);
  }
  o = plain(from, o, from);
}

function flowPlain(minIndent: i32): void {
  const start = p;
  const first = load<u8>(start);
  if (is(first, NO_PLAIN)) giveUp();
  if (first == DASH && (load<u8>(start, 1) == LF || is(load<u8>(start, 1), NO_PLAIN))) giveUp();
  plainLine(true);
  if (load<u8>(p) != LF) {
    writePlain(start, plainEnd);
    return;
  }
  const from = o;
  append(start, plainEnd);
  while (load<u8>(p) == LF) {
    p++;
    if (nextLine(false) < minIndent) giveUp();
    const c = load<u8>(p);
    if (c == COMMA || c == CLOSE_LIST || c == CLOSE_MAP) break;
    fold();
    const line = p;
    plainLine(true);
    append(line, plainEnd);
  }
  o = plain(from, o, from);
}

/** The text of a plain scalar gathers where its JSON will stand. */
function append(start: usize, end: usize): void {
  memory.copy(o, start, end - start);
  o += end - start;
}

function fold(): void {
  if (breaks == 1) put(SPACE);
  else for (let i = 1; i < breaks; i++) put(LF);
}

/** One line of a plain scalar, up to what ends it. */
function plainLine(flow: bool): void {
  const start = p;
  let at = start;
  let escapes = false;
  while (true) {
    const c = load<u8>(at);
    if (!is(c, LOOK | REFUSE)) {
      at++;
      continue;
    }
    if (c == LF || c == 0) break;
    if (c == COLON) {
      const next = load<u8>(at, 1);
      if (next == 0 || next == SPACE || next == LF || next == TAB) giveUp();
      // In flow it ends before another indicator too.
      if (
        flow &&
        (next == COMMA || next == OPEN_LIST || next == CLOSE_LIST || next == OPEN_MAP || next == CLOSE_MAP)
      )
        giveUp();
    } else if (c == HASH) {
      if (at == start || load<u8>(at - 1) == SPACE) giveUp();
    } else if (c == QUOTE || c == BACKSLASH || c >= 0x80) escapes = true;
    else if (is(c, REFUSE)) giveUp();
    else if (flow) {
      if (c == COMMA || c == CLOSE_LIST || c == CLOSE_MAP) break;
      giveUp();
    }
    at++;
  }
  let end = at;
  while (end > start && load<u8>(end - 1) == SPACE) end--;
  if (end == start) giveUp();
  p = at;
  plainEnd = end;
  plainEscape = escapes;
}

/** What a plain scalar is. */
const UNKNOWN = 0;
const IS_TEXT = 1;
const IS_VALUE = 2;

/** Writes a plain scalar of one line. */
function writePlain(start: usize, end: usize): void {
  const kind = plainEscape ? UNKNOWN : kindOf(start, end);
  if (kind == UNKNOWN) {
    o = plain(start, end, o);
    return;
  }
  if (kind == IS_TEXT) put(QUOTE);
  for (let i = start; i < end; i++) put(load<u8>(i));
  if (kind == IS_TEXT) put(QUOTE);
}

function kindOf(start: usize, end: usize): i32 {
  const first = load<u8>(start);
  if (!is(first, MAYBE_VALUE)) return IS_TEXT;
  const length = end - start;
  if (first >= 0x41 && first != 0x7e) {
    if (length > 5) return IS_TEXT;
    const four = load<u32>(start);
    if (length == 4 && (four == 0x6c6c756e || four == 0x65757274)) return IS_VALUE; // null, true
    return length == 5 && first == 0x66 && load<u32>(start, 1) == 0x65736c61 ? IS_VALUE : UNKNOWN; // false
  }
  return digits(start, end);
}

/** Most numbers are the same in JSON, and what has two points is an address. */
function digits(start: usize, end: usize): i32 {
  const first = load<u8>(start);
  let point: usize = 0;
  for (let i = start; i < end; i++) {
    const c = load<u8>(i);
    if (c == POINT) {
      if (point > 0) return IS_TEXT;
      point = i;
    } else if (c < 0x30 || c > 0x39) return tells(first, i, end) ? IS_TEXT : UNKNOWN;
  }
  const whole = (point > 0 ? point : end) - start;
  if (end - start > 30 || whole == 0 || point == end - 1 || (first == 0x30 && whole > 1)) return UNKNOWN;
  return IS_VALUE;
}

/** True where what begins with a digit is neither a number nor a time: 0 may begin those of other bases. */
function tells(first: u8, start: usize, end: usize): bool {
  if (first <= 0x30 || first > 0x39) return false;
  for (let i = start; i < end; i++) if (is(load<u8>(i), TELLS_TEXT)) return true;
  return false;
}

function single(): void {
  let at = p + 1;
  put(QUOTE);
  let end = o;
  let literal = end; // what a fold may take spaces from
  const quote = i8x16.splat(0x22);
  const backslash = i8x16.splat(0x5c);
  const apostrophe = i8x16.splat(0x27);
  const space = i8x16.splat(0x20);
  while (true) {
    while (true) {
      const sixteen = v128.load(at);
      v128.store(end, sixteen);
      const marks = v128.or(i8x16.eq(sixteen, quote), i8x16.eq(sixteen, backslash));
      const others = v128.or(i8x16.eq(sixteen, apostrophe), i8x16.lt_u(sixteen, space));
      const mask = i8x16.bitmask(v128.or(marks, others));
      if (mask != 0) {
        const count = <usize>ctz(mask);
        at += count;
        end += count;
        break;
      }
      at += 16;
      end += 16;
    }
    const c = load<u8>(at);
    if (c == APOSTROPHE) {
      if (load<u8>(at, 1) != APOSTROPHE) break;
      store<u8>(end, c);
      end++;
      at += 2;
      literal = end;
    } else if (c == QUOTE || c == BACKSLASH) {
      store<u8>(end, BACKSLASH);
      store<u8>(end, c, 1);
      end += 2;
      at++;
    } else if (c == LF) {
      while (end > literal && load<u8>(end - 1) == SPACE) end--;
      p = at + 1;
      end = foldQuoted(end);
      at = p;
      literal = end;
    } else giveUp();
  }
  store<u8>(end, QUOTE);
  o = end + 1;
  p = at + 1;
}

function double(): void {
  let at = p + 1;
  put(QUOTE);
  let end = o;
  let literal = end; // what a fold may take spaces from
  const quote = i8x16.splat(0x22);
  const backslash = i8x16.splat(0x5c);
  const space = i8x16.splat(0x20);
  while (true) {
    while (true) {
      const sixteen = v128.load(at);
      v128.store(end, sixteen);
      const marks = v128.or(i8x16.eq(sixteen, quote), i8x16.eq(sixteen, backslash));
      const mask = i8x16.bitmask(v128.or(marks, i8x16.lt_u(sixteen, space)));
      if (mask != 0) {
        const count = <usize>ctz(mask);
        at += count;
        end += count;
        break;
      }
      at += 16;
      end += 16;
    }
    const c = load<u8>(at);
    if (c == BACKSLASH) {
      const e = load<u8>(at, 1);
      if (is(e, SAME_ESCAPE)) {
        store<u8>(end, BACKSLASH);
        store<u8>(end, e, 1);
        end += 2;
        at += 2;
      } else if (e == LF) {
        const line = at + 2;
        at = line;
        while (load<u8>(at) == SPACE) at++;
        const next = load<u8>(at);
        if (at == line || next == 0 || next == LF || next == TAB) giveUp();
        lineStart = line;
      } else if (e == 0x78 || e == 0x75 || e == 0x55) {
        p = at;
        end = codePoint(end);
        at = p;
      } else {
        const escape = ESCAPES + 8 * <usize>e;
        const length = <usize>load<u8>(escape, 7);
        if (length == 0) giveUp();
        store<u64>(end, load<u64>(escape));
        end += length;
        at += 2;
      }
      literal = end;
    } else if (c == QUOTE) break;
    else if (c == LF) {
      while (end > literal && load<u8>(end - 1) == SPACE) end--;
      p = at + 1;
      end = foldQuoted(end);
      at = p;
      literal = end;
    } else giveUp();
  }
  store<u8>(end, QUOTE);
  o = end + 1;
  p = at + 1;
}

/** A line break within quotes: one is a space, of more one is left out. */
function foldQuoted(at: usize): usize {
  let end = at;
  if (nextLine(true) < 1) giveUp();
  if (breaks == 1) store<u8>(end++, SPACE);
  else
    for (let i = 1; i < breaks; i++) {
      store<u16>(end, 0x6e5c);
      end += 2;
    }
  return end;
}

/** `\xe9`, `\u20ac`, `\U0001f600`, and the pair of surrogates that Python 2 writes. */
function codePoint(at: usize): usize {
  let code = hex();
  if (code >= 0xd800 && code < 0xe000) {
    if (code >= 0xdc00 || load<u8>(p) != BACKSLASH || load<u8>(p, 1) != 0x75) giveUp();
    const low = hex();
    if (low < 0xdc00 || low >= 0xe000) giveUp();
    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
  }
  if (code > 0x10ffff) giveUp();
  if (code < 0x80) {
    if (code < 0x20 || code == QUOTE || code == BACKSLASH) return written(at, code);
    store<u8>(at, <u8>code);
    return at + 1;
  }
  if (code < 0x800) {
    store<u8>(at, <u8>(0xc0 | (code >> 6)));
    store<u8>(at, <u8>(0x80 | (code & 0x3f)), 1);
    return at + 2;
  }
  if (code < 0x10000) {
    store<u8>(at, <u8>(0xe0 | (code >> 12)));
    store<u8>(at, <u8>(0x80 | ((code >> 6) & 0x3f)), 1);
    store<u8>(at, <u8>(0x80 | (code & 0x3f)), 2);
    return at + 3;
  }
  store<u8>(at, <u8>(0xf0 | (code >> 18)));
  store<u8>(at, <u8>(0x80 | ((code >> 12) & 0x3f)), 1);
  store<u8>(at, <u8>(0x80 | ((code >> 6) & 0x3f)), 2);
  store<u8>(at, <u8>(0x80 | (code & 0x3f)), 3);
  return at + 4;
}

/** How JSON writes a character that it does not take as it is. */
function written(at: usize, code: u32): usize {
  store<u8>(at, BACKSLASH);
  let letter: u8 = 0;
  if (code == QUOTE || code == BACKSLASH) letter = <u8>code;
  else if (code == 0x08) letter = 0x62;
  else if (code == 0x09) letter = 0x74;
  else if (code == 0x0a) letter = 0x6e;
  else if (code == 0x0c) letter = 0x66;
  else if (code == 0x0d) letter = 0x72;
  if (letter != 0) {
    store<u8>(at, letter, 1);
    return at + 2;
  }
  store<u32>(at, 0x30303075, 1); // u000
  store<u8>(at, <u8>(0x30 + (code >> 4)), 4);
  const digit = code & 15;
  store<u8>(at, <u8>(digit < 10 ? 0x30 + digit : 0x57 + digit), 5);
  return at + 6;
}

/** The number of an escape that begins here, which is passed over. */
function hex(): u32 {
  const kind = load<u8>(p, 1);
  const end = p + 2 + (kind == 0x78 ? 2 : kind == 0x75 ? 4 : 8);
  let code: u32 = 0;
  for (let at = p + 2; at < end; at++) {
    const digit = load<i8>(HEX + <usize>load<u8>(at));
    if (digit < 0) giveUp();
    code = code * 16 + <u32>digit;
  }
  p = end;
  return code;
}
