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
export function decodeRun(bytes: Buffer, { pieces }: Base64Run, skip: number, out: Buffer): number {
  let text = bytes.toString('latin1', pieces[0]! + skip, pieces[1]);
  for (let p = 2; p < pieces.length; p += 2) text += bytes.toString('latin1', pieces[p], pieces[p + 1]);
  return out.write(text, 'base64');
}

export function runLength({ pieces }: Base64Run): number {
  let length = 0;
  for (let p = 0; p < pieces.length; p += 2) length += pieces[p + 1]! - pieces[p]!;
  return length;
}

/** Other bytes in the form of a run: its alphabet, its padding, its lines. */
export function encodeLike(bytes: Uint8Array, run: Base64Run, skip: number, content: Buffer): string {
  const { pieces, end } = run;
  const last = pieces.at(-1)!;
  const length = runLength(run) - skip;
  const characters = Buffer.from(bytes.subarray(pieces[0]!, last)).toString('latin1');
  const text = /[-_]/.test(characters) && !/[+/]/.test(characters) ? content.toString('base64url') : unpadded(content);
  // A run that is whole without padding does not tell whether it would have any.
  const padded = end > last || length % 4 === 0 ? text.padEnd(Math.ceil(text.length / 4) * 4, '=') : text;
  // One character too many stands for nothing, and stays.
  const rest = length % 4 === 1 ? String.fromCharCode(bytes[last - 1]!) : '';
  const prefix = characters.slice(0, skip);
  const whole = `${prefix}${padded}${rest}`;
  if (pieces.length === 2) return whole;
  const width = pieces[1]! - pieces[0]!;
  const between = Buffer.from(bytes.subarray(pieces[1]!, pieces[2]!)).toString('latin1');
  return whole.replace(new RegExp(`.{${width}}(?=.)`, 'gs'), `$&${between.replaceAll('$', '$$$$')}`);
}

function unpadded(content: Buffer): string {
  return content.toString('base64').replace(/=+$/, '');
}
