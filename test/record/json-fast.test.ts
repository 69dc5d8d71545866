// The fast reader of JSON against the exact one: the same answer, member for member, or none.
import { deepStrictEqual } from 'node:assert';
import { isUtf8 } from 'node:buffer';
import fc from 'fast-check';
import t from 'tap';
import { type JsonLimits, readExactly, readJson } from '../../src/record/json.ts';

/** What both make of a text; a message where it is no JSON. */
function outcomes(text: Buffer, limits: JsonLimits): [unknown, unknown] {
  const of = (read: typeof readExactly) => {
    try {
      return read(Buffer.from(text), limits);
    } catch (error) {
      return (error as Error).message;
    }
  };
  return [of(readJson), of(readExactly)];
}

const LIMITS: JsonLimits[] = [
  {},
  { keep: 0 },
  { keep: 12 },
  { maxDepth: 3 },
  { names: ['a', 'test_name'], first: 2 },
  { keep: 2, names: ['a'], maxDepth: 100_000 },
];

let compared = 0;
let good = 0;

/** Throws where the two differ: an assertion each would be a hundred thousand. */
const agrees = (text: Buffer) => {
  if (!isUtf8(text)) return; // told before either reader sees it
  for (const limits of LIMITS) {
    const [fast, exact] = outcomes(text, limits);
    deepStrictEqual(fast, exact, `${text.toString('latin1', 0, 200)} ${JSON.stringify(limits)}`);
    compared++;
    if (typeof fast !== 'string') good++;
  }
};

/** Long enough for the fast reader, whatever stands at its end. */
const PAD = ' '.repeat(64);

t.test('whole values', (t) => {
  const space = fc.constantFrom('', '', ' ', '\n', '\t\r\n ');
  const spaced = fc.json({ maxDepth: 5 }).chain((json) =>
    fc.array(space, { minLength: 8, maxLength: 8 }).map((spaces) => {
      let n = 0;
      return json.replace(/("(?:[^"\\]|\\.)*")|[{}[\],:]/g, (token) => token + spaces[n++ % 8]);
    }),
  );
  fc.assert(
    fc.property(spaced, fc.nat(40), (json, n) => agrees(Buffer.from(' '.repeat(n) + json + PAD))),
    { numRuns: 600 },
  );
  t.end();
});

t.test('one byte changed, or the text cut', (t) => {
  const whole = Buffer.from(
    '{"a":[1.5e-7,-0,true,false,null,{"b\\u00e9":"\\ud800 \\/ ä"}],"test_name":"x","a":{},"s":"0123456789abcdef0123456789abcdef\\n"}',
  );
  for (let cut = 0; cut <= whole.length; cut++) agrees(Buffer.concat([Buffer.from(PAD), whole.subarray(0, cut)]));
  fc.assert(
    fc.property(fc.nat(whole.length - 1), fc.constantFrom(...'{}[],:"\\u0 1e-+.tfn\n\0\x1f\xff/'), (at, c) => {
      const text = Buffer.from(whole);
      text[at] = c.charCodeAt(0);
      agrees(text);
    }),
    { numRuns: 1500 },
  );
  t.end();
});

t.test('strings of every length about sixteen, with what is special at every place', (t) => {
  for (let length = 0; length < 40; length++) {
    for (const special of ['', '"', '\\', '\\\\', '\\u12', '\\u12aF', '\u0001', '\u007f', '\u0000']) {
      for (let at = 0; at <= length; at += 3) {
        const inside = 'x'.repeat(at) + special + 'x'.repeat(length - at);
        for (const end of ['"', '', '"]', '"}', '",']) agrees(Buffer.from(`${PAD}["${inside}${end}`));
      }
    }
  }
  t.end();
});

t.test('deep, wide and empty', (t) => {
  agrees(Buffer.from('['.repeat(400) + ']'.repeat(400)));
  agrees(Buffer.from('['.repeat(600) + ']'.repeat(600)));
  agrees(Buffer.from(`${'{"a":'.repeat(99_000)}1${'}'.repeat(99_000)}`));
  agrees(Buffer.from(`[${'1,'.repeat(400_000)}1]`)); // more tokens than the fast reader has room for
  agrees(Buffer.from(`{${PAD}}`));
  agrees(Buffer.from(PAD));
  t.end();
});

t.ok(good > 5000 && compared > 2 * good, `${compared} readings compared, ${good} of them good`);

t.test('escapes that hide what a string says', (t) => {
  const usual = ['"', '&', "'", '<', '=', '>', '\\'].map((c) => c.charCodeAt(0));
  const told = (json: string) => {
    const bytes = Buffer.from(json);
    const [fast, exact] = [readJson(bytes).hides, readExactly(bytes, {}).hides];
    t.equal(fast, exact, json);
    return fast;
  };
  for (let code = 0; code < 256; code++) {
    const wanted = code >= 0x20 && code < 0x80 && !usual.includes(code);
    const digits = code.toString(16).padStart(2, '0');
    for (const text of [`\\u00${digits}`, `\\u00${digits.toUpperCase()}`]) {
      t.equal(told(`{"a":"${'x'.repeat(80)}${text}y"}`), wanted, text);
      t.equal(told(`{"${text}":1}${PAD}`), wanted, `${text} in a name`);
      t.equal(told(`{"a":"\\\\${text.slice(1)}"}${PAD}`), false, `\\${text}`);
    }
  }
  t.equal(told(`["\\/"]${PAD}`), true);
  t.equal(told(`["\\\\/\\u0131\\n/\\u2028"]${PAD}`), false);
  t.equal(told(`["clean"]${PAD}`), false, 'nor does it stay from the text before');
  t.end();
});
