// Valid inputs made bad: bytes, texts, JSON and tar headers, each by a chance that a seed tells.
import { gunzipSync, gzipSync } from 'node:zlib';

/** Numbers from 0 to 1. */
export type Chance = () => number;

export const below = (chance: Chance, n: number): number => Math.floor(chance() * n);

export const oneOf = <T>(chance: Chance, items: readonly T[]): T => items[below(chance, items.length)]!;

/** Texts that mean something to paths, shells, parsers of numbers, times and addresses, databases and terminals. */
export const HOSTILE_TEXTS: readonly string[] = [
  '',
  '.',
  '..',
  '../../decoy/precious',
  '/tmp/evil',
  'a/../../../decoy/precious',
  '..\\..\\decoy',
  'a\0b',
  'a\nb',
  '\r\n',
  '\t',
  '\u2028',
  '\ud800',
  '\udc00x',
  '\u001b[2J',
  '\ufeff',
  '\u202e',
  '🎉',
  '__proto__',
  'constructor',
  'toString',
  'x'.repeat(300),
  'y'.repeat(5000),
  '-',
  '-1',
  '--help',
  '$(touch evil)',
  "'; DROP TABLE line; --",
  '%s%n',
  '*',
  '~',
  '1e999',
  '99999999999999999999',
  '0x10',
  '2024-02-30',
  '0000-00-00 00:00:00',
  '9999-12-31 23:59:60',
  '+275760-09-13T00:00:01Z',
  '2024-02-01',
  '20240201',
  'AS',
  'AS0',
  'AS99999999999',
  'ZZ',
  'ß',
  '127.0.0.1:99999',
  '[::1',
  '::ffff:192.0.2.7',
  'http://',
  'https://a:b@[::1]:70000/%zz?#',
  '=?=',
  'AAAA====',
  'true',
  'null',
];

/** JSON values that stand where others are expected, as text: some no program would write. */
const HOSTILE_VALUES: readonly string[] = [
  'null',
  'true',
  'false',
  '0',
  '-0',
  '-1',
  '1.5',
  '1e308',
  '1e999',
  '-1e-400',
  '9007199254740993',
  '123456789012345678901234567890',
  '""',
  '[]',
  '{}',
  '[[]]',
  '[null]',
  '[{}]',
  '[[null,[]]]',
  '{"":null}',
  '{"a":1,"a":2}',
  '{"__proto__":{"x":1}}',
  '{"format":"base64","data":"AAA"}',
  '{"format":"base64","data":7}',
  '[1,"a",null,{"b":[]}]',
  '"\\u0000"',
  '"\\ud800"',
  `${'['.repeat(120)}${']'.repeat(120)}`,
  `${'{"a":'.repeat(120)}1${'}'.repeat(120)}`,
];

const HOSTILE_BYTES: readonly Buffer[] = [
  [0],
  [0xff],
  [0xc0, 0x80],
  [0xed, 0xa0, 0x80],
  [0xf4, 0x90, 0x80, 0x80],
  [0xef, 0xbb, 0xbf],
  [0x1f, 0x8b, 8],
  [0x0a],
  [0x0d],
  [0x22],
  [0x5c],
  [0x7b],
  [0x5d],
  [0xff, 0xff, 0xff, 0xff],
  [0x80, 0, 0, 0, 0, 0, 0, 0],
].map((bytes) => Buffer.from(bytes));

const text = (chance: Chance) => Buffer.from(oneOf(chance, HOSTILE_TEXTS));

type ByteMutator = (chance: Chance, input: Buffer, other: Buffer) => Buffer;

function spliced(input: Buffer, at: number, gone: number, put: Buffer): Buffer {
  return Buffer.concat([input.subarray(0, at), put, input.subarray(at + gone)]);
}

const BYTE_MUTATORS: readonly ByteMutator[] = [
  // Flips a bit, or a few bytes.
  (chance, input) => {
    const bytes = Buffer.from(input);
    if (bytes.length > 0) bytes[below(chance, bytes.length)]! ^= 1 << below(chance, 8);
    return bytes;
  },
  (chance, input) => {
    const bytes = Buffer.from(input);
    for (let n = 1 + below(chance, 8); n > 0 && bytes.length > 0; n--)
      bytes[below(chance, bytes.length)] = below(chance, 256);
    return bytes;
  },
  // Cuts the end, the beginning, or a piece out of the middle.
  (chance, input) => input.subarray(0, below(chance, input.length + 1)),
  (chance, input) => input.subarray(below(chance, input.length + 1)),
  (chance, input) => spliced(input, below(chance, input.length), 1 + below(chance, 64), Buffer.alloc(0)),
  // Repeats a piece.
  (chance, input) => {
    const at = below(chance, input.length);
    const piece = input.subarray(at, at + 1 + below(chance, 40));
    return spliced(input, at, 0, Buffer.concat(Array(1 + below(chance, 30)).fill(piece)));
  },
  // Puts in what is special.
  (chance, input) => spliced(input, below(chance, input.length + 1), 0, oneOf(chance, HOSTILE_BYTES)),
  (chance, input) => spliced(input, below(chance, input.length + 1), below(chance, 4), text(chance)),
  // Another number.
  (chance, input) => {
    const numbers = [...input.toString('latin1').matchAll(/\d+/g)];
    if (numbers.length === 0) return input;
    const { index, 0: digits } = oneOf(chance, numbers);
    const other = oneOf(chance, ['0', '-1', '4294967296', '9'.repeat(25), `${digits}0`, '1e400', '00', '']);
    return spliced(input, index, digits.length, Buffer.from(other));
  },
  // The beginning of one and the end of another.
  (chance, input, other) =>
    Buffer.concat([
      input.subarray(0, below(chance, input.length + 1)),
      other.subarray(below(chance, other.length + 1)),
    ]),
];

/** One to three changes of bytes. @param other another valid input, for splices */
export function mutatedBytes(chance: Chance, input: Buffer, other: Buffer): Buffer {
  let bytes = input;
  for (let n = 1 + below(chance, 3); n > 0; n--) bytes = oneOf(chance, BYTE_MUTATORS)(chance, bytes, other);
  return bytes;
}

interface Place {
  /** Of a value or of a name, in the text. */
  start: number;
  end: number;
  isName: boolean;
}

/** Places of the values and names of valid JSON. */
function placesOf(json: string): Place[] {
  const places: Place[] = [];
  const open: number[] = [];
  for (const { index, 0: token } of json.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\]]|[^\s,:{}[\]"]+/g)) {
    if (token === '{' || token === '[') open.push(index);
    else if (token === '}' || token === ']') places.push({ start: open.pop() ?? 0, end: index + 1, isName: false });
    else {
      const isName = token.startsWith('"') && /^\s*:/.test(json.slice(index + token.length, index + token.length + 9));
      places.push({ start: index, end: index + token.length, isName });
    }
  }
  return places;
}

/** Valid JSON of another shape: values of another kind, forged texts, names that come twice. */
export function mutatedJson(chance: Chance, input: Buffer): Buffer {
  let json = input.toString('utf8');
  for (let n = 1 + below(chance, 3); n > 0; n--) {
    const places = placesOf(json);
    if (places.length === 0) break;
    const { start, end, isName } = oneOf(chance, places);
    const forged = JSON.stringify(oneOf(chance, HOSTILE_TEXTS));
    const other = oneOf(chance, places);
    const value = oneOf(chance, [forged, forged, oneOf(chance, HOSTILE_VALUES), json.slice(other.start, other.end)]);
    const put = isName ? oneOf(chance, [forged, json.slice(other.start, other.end)]) : value;
    json = json.slice(0, start) + (isName && !put.startsWith('"') ? forged : put) + json.slice(end);
  }
  return Buffer.from(json);
}

const FIELDS: readonly [at: number, length: number][] = [
  [0, 100], // name
  [100, 8], // mode
  [124, 12], // size
  [136, 12], // mtime
  [156, 1], // type
  [157, 100], // link
  [257, 8], // magic
  [329, 8], // device
  [345, 155], // prefix
];

const TAR_TYPES = '01234567LKxgASV\0Z';

/** A tar with forged headers whose sums are right. */
export function mutatedTar(chance: Chance, input: Buffer): Buffer {
  const tar = Buffer.from(input);
  const headers: number[] = [];
  for (let at = 0; at + 512 <= tar.length; at += 512)
    if (tar.toString('latin1', at + 257, at + 262) === 'ustar') headers.push(at);
  for (let n = 1 + below(chance, 3); n > 0 && headers.length > 0; n--) {
    const header = oneOf(chance, headers);
    const [at, length] = oneOf(chance, FIELDS);
    const field = tar.subarray(header + at, header + at + length);
    if (length === 1) field[0] = oneOf(chance, [...TAR_TYPES]).charCodeAt(0);
    else if (length === 12 || length === 8) {
      const value = oneOf(chance, [
        '0',
        '7'.repeat(length - 1),
        '-1',
        '1000000000',
        '8',
        '',
        '\x80',
        '\xff'.repeat(12),
      ]);
      field.fill(0).write(value, 'latin1');
    } else field.fill(0).write(oneOf(chance, HOSTILE_TEXTS));
    sign(tar.subarray(header, header + 512));
  }
  return tar;
}

/** Puts the sum of a tar header in its place. */
export function sign(header: Buffer): void {
  header.fill(' ', 148, 156);
  const sum = header.reduce((all, byte) => all + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
}

/** What is inside a gzip changed, so that its sum is right. */
export function mutatedWithin(chance: Chance, input: Buffer, inner: (chance: Chance, text: Buffer) => Buffer): Buffer {
  return gzipSync(inner(chance, gunzipSync(input)), { level: 1 });
}
