// Base64 within texts: runs of its characters, read and written again in the form that they had.
import { kind } from './runs.ts';

/** Both alphabets, that of RFC 4648 section 4 and that for URLs. */
export const BASE64 = kind('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_');

const EQUALS = 0x3d;

/** A run, which may go on over the ends of lines. */
export interface Base64Run {
  /** Pieces of it: start and end in turn. */
  pieces: number[];
  /** Past its padding. */
  end: number;
}

/** A line this long is filled: what stands on the next one belongs to it. */
const LINE = 40;

/** The whole of a run whose first piece is [start, end). */
export function wholeRun(bytes: Uint8Array, start: number, end: number): Base64Run {
  const to = bytes.length;
  const pieces = [start, end];
  for (let last = start; end - last >= LINE; ) {
    const next = pastLineEnd(bytes, end);
    if (next === end || next >= to || BASE64[bytes[next]!] === 0) break;
    last = next;
    end = next;
    while (end < to && BASE64[bytes[end]!] === 1) end++;
    pieces.push(last, end);
  }
  while (end < to && bytes[end] === EQUALS) end++;
  return { pieces, end };
}

/** Past a line's end and the indentation after it; as it is, or as JSON escapes it. */
function pastLineEnd(bytes: Uint8Array, at: number): number {
  let next = at;
  const take = (plain: number, letter: number) => {
    if (bytes[next] === plain) next += 1;
    else if (bytes[next] === 0x5c && bytes[next + 1] === letter) next += 2;
    else return false;
    return true;
  };
  take(0x0d, 0x72); // \r
  if (!take(0x0a, 0x6e)) return at; // \n
  while (next < bytes.length && (bytes[next] === 0x20 || bytes[next] === 0x09)) next++;
  return next;
}

/** A text that is nothing but base64, on one line. */
export function isBase64(bytes: Uint8Array): Base64Run | undefined {
  let end = bytes.length;
  while (end > 0 && bytes.length - end < 2 && bytes[end - 1] === EQUALS) end--;
  for (let i = 0; i < end; i++) if (BASE64[bytes[i]!] === 0) return undefined;
  return { pieces: [0, end], end: bytes.length };
}

/**
 * The bytes that a run stands for, from one of its characters on.
 * @param out takes them, and is long enough
 * @returns how many
 */
export function decodeRun(bytes: Buffer, run: Base64Run, skip: number, out: Buffer): number {
  if (run.pieces.length === 2)
    return out.write(bytes.toString('latin1', run.pieces[0]! + skip, run.pieces[1]), 'base64');
  return out.write(charactersOf(bytes, run).slice(skip), 'base64');
}

export function runLength({ pieces }: Base64Run): number {
  let length = 0;
  for (let p = 0; p < pieces.length; p += 2) length += pieces[p + 1]! - pieces[p]!;
  return length;
}

/** A part of some content, which gets another text. */
interface Change {
  start: number;
  end: number;
  text: Buffer;
}

/**
 * A run whose content is changed, in the form that it had: its alphabet, padding and lines. Before the first change,
 * and behind the last one where it can be, its characters stay.
 * @param content what the run stands for from its character `skip` on
 */
export function encodeLike(
  bytes: Buffer,
  run: Base64Run,
  skip: number,
  content: Buffer,
  changes: readonly [Change, ...Change[]],
): string {
  const characters = charactersOf(bytes, run);
  const first = Math.floor(changes[0].start / 3);
  const last = changes.at(-1)!.end;
  const grown = changes.reduce((sum, { start, end, text }) => sum + text.length - (end - start), 0);
  const behind = grown % 3 === 0 ? Math.ceil(last / 3) : Number.POSITIVE_INFINITY;
  const pieces: Buffer[] = [];
  let at = first * 3;
  for (const { start, end, text } of changes) {
    pieces.push(content.subarray(at, start), text);
    at = end;
  }
  pieces.push(content.subarray(at, Math.min(behind * 3, content.length)));
  const fresh = Buffer.concat(pieces);
  const isUrl = /[-_]/.test(characters.slice(skip)) && !/[+/]/.test(characters.slice(skip));
  let text = isUrl ? fresh.toString('base64url') : fresh.toString('base64').replace(/=+$/, '');
  if (behind * 3 < content.length) text += characters.slice(skip + behind * 4);
  // A run that is whole without padding does not tell whether it would have any.
  const length = characters.length - skip;
  const isPadded = run.end > run.pieces.at(-1)! || length % 4 === 0;
  const padding = isPadded && text.length % 4 > 0 ? '='.repeat(4 - (text.length % 4)) : '';
  return inLines(bytes, run, `${characters.slice(0, skip + first * 4)}${text}${padding}`);
}

function charactersOf(bytes: Buffer, { pieces }: Base64Run): string {
  let characters = bytes.toString('latin1', pieces[0], pieces[1]);
  for (let p = 2; p < pieces.length; p += 2) characters += bytes.toString('latin1', pieces[p], pieces[p + 1]);
  return characters;
}

/** As long as the first line of the run, with what stands behind that between them. */
function inLines(bytes: Buffer, { pieces }: Base64Run, text: string): string {
  if (pieces.length === 2) return text;
  const width = pieces[1]! - pieces[0]!;
  const between = bytes.toString('latin1', pieces[1], pieces[2]);
  const lines = Array.from({ length: Math.ceil(text.length / width) }, (_, i) =>
    text.slice(i * width, (i + 1) * width),
  );
  return lines.join(between);
}
