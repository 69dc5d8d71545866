// Takes the bodies of HTTP requests and responses out of documents, and changes nothing else.
import { createHash } from 'node:crypto';
import { member, readJson, stringOf } from './json.ts';
import { type Edit, eachString, edited, isSpace, readString, stringEnd, valueEnd } from './jsontext.ts';
import { ROW_DEPTH } from './rows.ts';

/** Members that are bodies wherever they stand. */
const BODIES = new Set(['body', 'request_body', 'response_body']);
/** How each of them ends, closing quote included: what is looked for. */
const END = Buffer.from('body"');
const LONGEST = 'response_body'.length;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;

/**
 * A document without its bodies: every member `body`, `request_body` and `response_body`, however deep, that is not null.
 * @param keepHash leaves `…_sha256` and `…_bytes` of each in its place
 * @throws JsonError where the document is none
 */
export function dropBodies(document: Buffer, keepHash: boolean): Buffer {
  const edits: Edit[] = [];
  let past = 0;
  const { hides } = readJson(document, { maxDepth: ROW_DEPTH, names: [] });
  for (const name of hides ? hiddenNames(document) : bodyNames(document)) {
    if (name.start < past) continue; // within a body that goes
    const { start, end } = valueAt(document, name.end);
    if (document[start] === 0x6e) continue; // null
    past = end;
    if (keepHash) edits.push({ start: name.start, end, text: hashOf(document, start, end, name.text) });
    else edits.push({ ...withComma(document, name.start, end, edits), text: '' });
  }
  return edited(document, edits);
}

/** From the opening quote to past the closing one. */
interface Name {
  start: number;
  end: number;
  text: string;
}

/** Places of names that say body. */
function* bodyNames(json: Buffer): Generator<Name> {
  for (let at = json.indexOf(END); at !== -1; at = json.indexOf(END, at + 1)) {
    const end = at + END.length;
    const start = json.lastIndexOf(QUOTE, end - 2);
    if (start === -1 || end - start - 2 > LONGEST || isEscaped(json, start)) continue;
    const text = json.toString('latin1', start + 1, end - 1);
    if (BODIES.has(text) && json[pastSpace(json, end)] === 0x3a) yield { start, end, text };
  }
}

/** The same of a document in which names may be written with escapes. */
function hiddenNames(json: Buffer): Name[] {
  const found: Name[] = [];
  eachString(json, 0, json.length, (start, end, isName) => {
    if (!isName || end - start > 6 * LONGEST) return;
    const text = stringOf(json, { type: 'string', start: start - 1, end: end + 1 })!;
    if (BODIES.has(text)) found.push({ start: start - 1, end: end + 1, text });
  });
  return found;
}

function isEscaped(json: Buffer, at: number): boolean {
  let before = at;
  while (json[before - 1] === BACKSLASH) before--;
  return (at - before) % 2 === 1;
}

function pastSpace(json: Buffer, from: number): number {
  let at = from;
  while (at < json.length && isSpace(json[at]!)) at++;
  return at;
}

function valueAt(json: Buffer, nameEnd: number): { start: number; end: number } {
  const start = pastSpace(json, pastSpace(json, nameEnd) + 1);
  return { start, end: valueEnd(json, start) };
}

/**
 * A member with the comma that goes with it: the one behind, else the one before.
 * @param edits the last one of which may end where this one begins, and is then a part of it
 */
function withComma(json: Buffer, start: number, end: number, edits: Edit[]): { start: number; end: number } {
  const from = edits.at(-1)?.end === start ? edits.pop()!.start : start;
  const after = pastSpace(json, end);
  if (json[after] === COMMA) return { start: from, end: pastSpace(json, after + 1) };
  let before = from;
  while (isSpace(json[before - 1]!)) before--;
  return json[before - 1] === COMMA ? { start: before - 1, end } : { start: from, end };
}

function hashOf(json: Buffer, start: number, end: number, name: string): string {
  const bytes = bytesOf(json, start, end);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  return `"${name}_sha256":"${sha256}","${name}_bytes":${bytes.length}`;
}

/** A text in UTF-8, what an object `{"format":"base64","data":…}` stands for, or the JSON of anything else. */
function bytesOf(json: Buffer, start: number, end: number): Buffer {
  if (json[start] === QUOTE) return readString(json, start + 1, stringEnd(json, start)).bytes;
  const own = json.subarray(start, end);
  if (own[0] !== 0x7b) return own;
  const { value } = readJson(own, { maxDepth: ROW_DEPTH, names: ['format', 'data'] });
  const text = (name: string) => stringOf(own, member(value, name));
  const data = text('data');
  return text('format') === 'base64' && data !== undefined ? Buffer.from(data, 'base64') : own;
}
