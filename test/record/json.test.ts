import { isUtf8 } from 'node:buffer';
import fc from 'fast-check';
import t from 'tap';
import { JsonError, member, onOneLine, readJson, stringOf, type Value } from '../../src/record/json.ts';

/** What JSON.parse says, of bytes that are UTF-8 in the first place. */
function parses(bytes: Buffer): boolean {
  if (!isUtf8(bytes)) return false;
  try {
    JSON.parse(bytes.toString());
    return true;
  } catch {
    return false;
  }
}

function errorOf(bytes: Buffer, limits = {}): JsonError | undefined {
  try {
    readJson(bytes, limits);
    return undefined;
  } catch (error) {
    if (error instanceof JsonError) return error;
    throw error;
  }
}

const space = fc.array(fc.constantFrom(' ', '\n', '\r', '\t', '  '), { maxLength: 3 }).map((parts) => parts.join(''));
const number = fc.oneof(
  fc.constantFrom('0', '-0', '1.0', '1e400', '1152921504606846976', '-12.50E+3', '1e-7', '0.000', '123456789012345678'),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((n) => JSON.stringify(n)),
);
const string = fc.oneof(
  fc.constantFrom('"\\u003c"', '"\\ud800"', '"a  b   c"', '"\\/"', '"\\u0000"', '"é\\n✓ 𝄞"', '"  "', '""', '"[{,:"'),
  fc.string({ unit: 'binary', maxLength: 8 }).map((s) => JSON.stringify(s)),
);
const key = fc.oneof(fc.constantFrom('"a"', '"b"', '"\\u0061"', '"__proto__"', '"1"', '""'), string);

/** JSON text with all that its grammar allows: any white space, doubles, every way to write a number. */
const { value: jsonText } = fc.letrec<{ value: string }>((tie) => ({
  value: fc
    .tuple(
      space,
      fc.oneof(
        { depthSize: 'small', withCrossShrink: true },
        fc.constantFrom('true', 'false', 'null'),
        number,
        string,
        fc.tuple(space, fc.array(tie('value'), { maxLength: 4 })).map(([s, items]) => `[${items.join(',') || s}]`),
        fc
          .tuple(space, fc.array(fc.tuple(space, key, space, tie('value')), { maxLength: 4 }))
          .map(([s, members]) => `{${members.map(([a, k, b, v]) => `${a}${k}${b}:${v}`).join(',') || s}}`),
      ),
      space,
    )
    .map((parts) => parts.join('')),
}));

/** The same members for a reader of JSON: `JSON.parse` puts doubles together, the last winning. */
function checkSpans(bytes: Buffer, value: Value): boolean {
  const parsed = JSON.parse(bytes.toString('utf8', value.start, value.end));
  const type = parsed === null ? 'null' : Array.isArray(parsed) ? 'array' : typeof parsed;
  if (type !== (value.type === 'true' || value.type === 'false' ? 'boolean' : value.type)) return false;
  if (/\s/.test(String.fromCharCode(bytes[value.start]!) + String.fromCharCode(bytes[value.end - 1]!))) return false;
  if (value.items) {
    return (
      value.items.length === parsed.length &&
      value.items.every((item, i) => same(JSON.parse(bytes.toString('utf8', item.start, item.end)), parsed[i]))
    );
  }
  if (value.members) {
    const names = new Set(value.members.map((m) => m.key));
    return (
      names.size === Object.keys(parsed).length &&
      value.members.every((m) => bytes[m.keyStart] === 0x22) &&
      [...names].every((name) => {
        const last = member(value, name)!;
        return same(JSON.parse(bytes.toString('utf8', last.start, last.end)), parsed[name]);
      }) &&
      value.members.every((m) => checkSpans(bytes, m.value))
    );
  }
  return true;
}

/** Plain ASCII, for the name of a test. */
const show = (text: string) =>
  JSON.stringify(text).replace(/[^ -~]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);

const same = (a: unknown, b: unknown) => fc.stringify(a) === fc.stringify(b);

t.test('generated documents: valid, and every span cuts out its value', (t) => {
  fc.assert(
    fc.property(jsonText, fc.integer({ min: 0, max: 3 }), (text, keep) => {
      const bytes = Buffer.from(text);
      const { value, lineFeed } = readJson(bytes, { keep });
      const inner = bytes.toString('utf8', value.start, value.end);
      return checkSpans(bytes, value) && inner === text.trim() && (lineFeed || !inner.includes('\n'));
    }),
    { numRuns: 1500 },
  );
  t.end();
});

const mutation = fc.oneof(
  fc.record({ kind: fc.constant('flip' as const), at: fc.nat(), byte: fc.integer({ min: 1, max: 255 }) }),
  fc.record({ kind: fc.constant('cut' as const), at: fc.nat(), byte: fc.constant(0) }),
  fc.record({
    kind: fc.constant('insert' as const),
    at: fc.nat(),
    byte: fc.oneof(
      fc.integer({ min: 0, max: 31 }),
      fc.constantFrom(...Buffer.from('",:{}[]\\-+.eE0123456789 nul\u007f')),
      fc.integer({ min: 128, max: 255 }),
    ),
  }),
  fc.record({ kind: fc.constant('drop' as const), at: fc.nat(), byte: fc.constant(0) }),
);

t.test('mutated documents: as strict as JSON.parse, as lenient as it', (t) => {
  let bad = 0;
  let good = 0;
  fc.assert(
    fc.property(jsonText, fc.array(mutation, { minLength: 1, maxLength: 3 }), (text, mutations) => {
      let bytes = Buffer.from(text);
      for (const { kind, at, byte } of mutations) {
        const place = at % (bytes.length + 1);
        const [before, after] = [bytes.subarray(0, place), bytes.subarray(place)];
        if (kind === 'cut') bytes = Buffer.from(before);
        else if (kind === 'drop') bytes = Buffer.concat([before, after.subarray(1)]);
        else if (kind === 'insert') bytes = Buffer.concat([before, Buffer.from([byte]), after]);
        else if (after.length > 0) bytes = Buffer.concat([before, Buffer.from([after[0]! ^ byte]), after.subarray(1)]);
      }
      const error = errorOf(bytes);
      if (error) bad++;
      else good++;
      if ((error === undefined) !== parses(bytes)) return false;
      return !error || (error.offset >= 0 && error.offset <= bytes.length && error.message.includes(`${error.offset}`));
    }),
    { numRuns: 4000 },
  );
  t.ok(bad > 300 && good > 300, `${bad} refused, ${good} taken`);
  t.end();
});

t.test('an error stands where the fault is', (t) => {
  // A control character may stand nowhere: the error is there, or at the start of the word or escape it broke.
  fc.assert(
    fc.property(jsonText, fc.nat(), (text, nat) => {
      const bytes = Buffer.from(text);
      let at = nat % (bytes.length + 1);
      while (at < bytes.length && (bytes[at]! & 0xc0) === 0x80) at++;
      const error = errorOf(Buffer.concat([bytes.subarray(0, at), Buffer.from([1]), bytes.subarray(at)]));
      return error !== undefined && error.offset <= at && at - error.offset <= 5;
    }),
  );
  const cases: [text: string, offset: number, message: RegExp][] = [
    ['', 0, /a value is missing, but the text ends at byte 0/],
    ['  ', 2, /the text ends/],
    ['{"a":}', 5, /a value is missing/],
    ['{"a":1,}', 7, /member name/],
    ['{a:1}', 1, /member name/],
    ['{"a" 1}', 5, /':'/],
    ['{"a":1 "b":2}', 7, /',' or '}'/],
    ['[1 2]', 3, /',' or ']'/],
    ['[1,]', 3, /a value is missing/],
    ['[1}', 2, /',' or ']'/],
    ['{"a":1]', 6, /',' or '}'/],
    ['1 2', 2, /after the end/],
    ['{}{}', 2, /after the end/],
    ['"abc', 4, /a string is not closed, but the text ends/],
    ['"a\u0001"', 2, /control character/],
    ['"a\n"', 2, /control character/],
    ['"\\x"', 1, /escape/],
    ['"\\u12g4"', 1, /four hex digits/],
    ['01', 1, /after the end/],
    ['-', 1, /digit/],
    ['1.', 2, /digit/],
    ['1e', 2, /digit/],
    ['1e+', 3, /digit/],
    ['[tru]', 1, /a value is missing/],
  ];
  for (const [text, offset, message] of cases) {
    const error = errorOf(Buffer.from(text));
    t.equal(error?.offset, offset, `offset in ${show(text)}`);
    t.match(error?.message, message);
  }
  t.end();
});

const bytesOf = (hex: string) => Buffer.from(hex.replaceAll(' ', ''), 'hex');

t.test('corner cases of the grammar', (t) => {
  const good = [
    '[[]   ]',
    '[""]',
    '[]',
    '[null, 1, "1", {}]',
    ' [1] ',
    '[1\n]',
    '[1,null,null,null,2]',
    '[123e65]',
    '[0e+1]',
    '[0e1]',
    '[-0]',
    '[-0.0]',
    '[-1E-2]',
    '[1E400]',
    '[-1e+9999]',
    '[0.1234567890123456789012345678901234567890]',
    '[100000000000000000000000000000000000000]',
    '{"a":"b","a":"b"}',
    '{"":0}',
    '{"a":[]}',
    '{"min":-1.0e+28,"max":1.0e+28}',
    '{"a":"\\u0430\\uD834\\uDD1E"}',
    '["\\u0060\\u012a\\u12AB"]',
    '["\\"\\\\\\/\\b\\f\\n\\r\\t"]',
    '["\\\\u0000"]',
    '["a/*b*/c//d#e"]',
    '["\u007f"]',
    '["\u2028\u2029\uffff\ufffe\u{10ffff}"]',
    '["\\uDADA"]',
    '["\\uDd1e\\uD834"]',
    '["\\ud800abc"]',
    '"lonely"',
    ' ""',
    '42',
    '-0.1',
    'null',
    'true',
    'false',
    '\t\r\n{ }\t\r\n',
  ];
  for (const text of good) t.ok(errorOf(Buffer.from(text)) === undefined, `taken: ${show(text)}`);

  const bad = [
    '',
    ' ',
    '\n\n',
    '\ufeff{}',
    '\ufeff',
    '\u2060{}',
    '\u00a0{}',
    '[1]\u000c',
    '\u000b{}',
    '[1 true]',
    '[1,]',
    '[1,,]',
    '[,1]',
    '[,]',
    '[',
    '[1',
    '[1,',
    ']',
    '[]]',
    '[""',
    '[x',
    '["x", truth]',
    '[nul]',
    '[fals]',
    '[True]',
    '[NaN]',
    '[Infinity]',
    '[-Infinity]',
    '[undefined]',
    '[-]',
    '[- 1]',
    '[--1]',
    '[+1]',
    '[++1]',
    '[.5]',
    '[-.5]',
    '[1.]',
    '[-2.]',
    '[1.e5]',
    '[0.e1]',
    '[0.3e]',
    '[0.3e+]',
    '[1eE2]',
    '[9.e+]',
    '[01]',
    '[-01]',
    '[00]',
    '[0x1F]',
    '[0o7]',
    '[1_000]',
    '[1 000]',
    '[1.5.5]',
    '[1+2]',
    '[\uff11]',
    '[1a]',
    '{',
    '{]',
    '}',
    '{,}',
    '{"a"}',
    '{"a":}',
    '{"a"',
    '{"a":"b"',
    '{"a":"b",',
    '{"a":"b",,"c":1}',
    '{"a":1,}',
    '{"a":1 "b":2}',
    '{"a"::1}',
    '{"a" "b"}',
    '{:1}',
    '{1:1}',
    '{a:1}',
    "{'a':1}",
    "['a']",
    '{"a":1}#',
    '{"a":1}/**/',
    '/* */{}',
    '{"a":1} // c',
    '{"a":1}}',
    '{}{}',
    '{} x',
    '{"a":/*c*/1}',
    '["\\x00"]',
    '["\\a"]',
    '["\\u"]',
    '["\\u12"]',
    '["\\u123"]',
    '["\\u00G0"]',
    '["\\U0000"]',
    '["\\',
    '["\\"]',
    '["\\u00',
    '["\t"]',
    '["\n"]',
    '["\r"]',
    '["\u0000"]',
    '["\u001f"]',
    '[\u0000]',
    '{}\u0000',
    '\u0000',
    '"',
    '"a',
    "'",
    'abc',
    '<.>',
    '*',
    '&',
  ];
  for (const text of bad) {
    t.ok(errorOf(Buffer.from(text)), `refused: ${show(text)}`);
    t.notOk(parses(Buffer.from(text)), 'as JSON.parse does');
  }

  // Every byte after a backslash, and by itself inside a string and outside.
  for (let c = 0; c < 128; c++) {
    const char = String.fromCharCode(c);
    for (const text of [`"\\${char}"`, `"${char}"`, `[1${char}2]`, `${char}1`, `1${char}`, `"\\u00${char}0"`]) {
      const bytes = Buffer.from(text);
      if ((errorOf(bytes) === undefined) !== parses(bytes)) t.fail(show(text));
    }
  }
  t.end();
});

t.test('bytes that are not UTF-8 are refused where they stand', (t) => {
  const cases: [name: string, inside: string, before: number][] = [
    ['a lone continuation byte', '80', 0],
    ['several of them', '61 80 80 80 80 80', 1],
    ['a lead byte alone', '61 c3', 1],
    ['a character cut short, then another', 'e2 82 61', 0],
    ['overlong /', 'c0 af', 0],
    ['overlong in three bytes', 'e0 80 af', 0],
    ['overlong in four bytes', 'f0 80 80 af', 0],
    ['a surrogate (CESU-8)', 'ed a0 80 ed b0 80', 0],
    ['beyond U+10FFFF', 'f4 90 80 80', 0],
    ['five bytes', 'f8 88 80 80 80', 0],
    ['ff', 'c3 a9 ff', 2],
    ['Latin-1', '4d fc 6c 6c 65 72', 1],
    ['UTF-16', 'ff fe 5b 00', 0],
  ];
  for (const [name, hex, before] of cases) {
    const error = errorOf(Buffer.concat([Buffer.from('["'), bytesOf(hex), Buffer.from('"]')]));
    t.equal(error?.offset, 2 + before, name);
    t.match(error?.message, /^not UTF-8/);
  }

  const piece = fc.oneof(
    fc
      .constantFrom('61', 'c3a9', 'e29c93', 'f09d849e', '80', 'c3', 'e29c', 'f09d84', 'ff', 'c0af', 'eda080')
      .map(bytesOf),
    fc.uint8Array({ maxLength: 4 }).map((b) => Buffer.from(b)),
  );
  const firstBad = (bytes: Buffer, from: number) => {
    let end = bytes.length;
    while (end > from && !isUtf8(bytes.subarray(from, end))) end--;
    return end;
  };
  // The last valid beginning is a long one, too: it is looked for block by block.
  fc.assert(
    fc.property(
      fc.array(piece, { maxLength: 12 }),
      fc.constantFrom(0, 5, 65530, 65533, 65536, 131070),
      (parts, pad) => {
        const bytes = Buffer.concat([Buffer.alloc(pad, '  '), ...parts]);
        if (isUtf8(bytes)) return true;
        return errorOf(bytes)?.offset === firstBad(bytes, pad);
      },
    ),
    { numRuns: 600 },
  );
  const cyrillic = Buffer.concat([Buffer.from('я'.repeat(100_000)), Buffer.from([0xff])]);
  t.equal(errorOf(cyrillic)?.offset, 200_000);
  t.end();
});

t.test('depth is limited, and no depth takes the stack', (t) => {
  const deep = (levels: number) => Buffer.from('['.repeat(levels) + ']'.repeat(levels));
  t.equal(errorOf(deep(500)), undefined);
  t.match(errorOf(deep(501))?.message, /nested deeper than 500 levels at byte 500/);
  t.equal(errorOf(deep(3), { maxDepth: 3 }), undefined);
  t.ok(errorOf(deep(4), { maxDepth: 3 }));
  t.ok(errorOf(Buffer.from('[[[[{}]]]]'), { maxDepth: 4 }), 'objects count as lists do');
  t.ok(errorOf(deep(200_000)));
  t.ok(errorOf(Buffer.from('[{"a":'.repeat(100_000))));
  for (const limit of [200_000, Number.POSITIVE_INFINITY]) {
    const { value } = readJson(deep(200_000), { maxDepth: limit, keep: 1 });
    t.equal(value.end, 400_000);
  }
  t.ok(errorOf(Buffer.from('['.repeat(200_000)), { maxDepth: 1_000_000 }), 'never closed');
  t.equal(errorOf(Buffer.from(`[${'[],'.repeat(50_000)}[]]`)), undefined, 'many side by side are not deep');
  t.end();
});

t.test('members: the last of doubles, names decoded, text of strings', (t) => {
  const bytes = Buffer.from('{"a":1,"\\u0061":[ 2 ],"b":"x\\u003cy\\ud83d\\ude00","c":"\\ud800","__proto__":3,"":4}');
  const { value } = readJson(bytes, { keep: 2 });
  const text = (name: string) => {
    const found = member(value, name);
    return found && bytes.toString('utf8', found.start, found.end);
  };
  t.same(
    value.members!.map((m) => m.key),
    ['a', 'a', 'b', 'c', '__proto__', ''],
  );
  t.equal(text('a'), '[ 2 ]');
  t.equal(member(value, 'a')!.items!.length, 1);
  t.equal(text('b'), '"x\\u003cy\\ud83d\\ude00"');
  t.equal(stringOf(bytes, member(value, 'b')), 'x<y😀');
  t.equal(stringOf(bytes, member(value, 'c')), '\ud800');
  t.equal(text('__proto__'), '3');
  t.equal(text(''), '4');
  t.equal(member(value, 'toString'), undefined);
  t.equal(stringOf(bytes, member(value, 'a')), undefined, 'a list is no text');
  t.equal(stringOf(bytes, undefined), undefined);
  t.equal(readJson(bytes, { keep: 0 }).value.members, undefined);
  t.end();
});

t.test('members of some names alone: the same as among all', (t) => {
  const text = fc
    .array(fc.tuple(key, number), { maxLength: 12 })
    .map((members) => `{${members.map(([name, n]) => `${name}:${n}`).join(',')}}`);
  fc.assert(
    fc.property(
      text,
      fc.uniqueArray(fc.constantFrom('a', 'b', '', '1', '__proto__', 'none'), { maxLength: 4 }),
      fc.integer({ min: 0, max: 3 }),
      (text, names, first) => {
        const bytes = Buffer.from(text);
        const all = readJson(bytes).value;
        const some = readJson(bytes, { names, first }).value;
        return (
          some.members!.length <= names.length + first &&
          names.every((name) => same(member(some, name), member(all, name))) &&
          same(some.members!.slice(0, first), all.members!.slice(0, first))
        );
      },
    ),
    { numRuns: 500 },
  );
  const many = Buffer.from(`{"a":1,${'"x":{"a":2},'.repeat(100_000)}"\\u0061":3}`);
  const { members } = readJson(many, { names: ['a'], keep: 2 }).value;
  t.equal(members!.length, 1);
  t.equal(many.toString('utf8', members![0]!.value.start, members![0]!.value.end), '3');
  t.ok(errorOf(Buffer.from('{"x":01}'), { names: ['a'] }), 'and as strict');
  t.end();
});

/** Another way to say what onOneLine does: strings pass, white space with a line feed is one space. */
const oneLineOf = (text: string) =>
  text.replace(/"(?:[^"\\]|\\.)*"|[ \t\r\n]+/g, (part) => (part[0] !== '"' && part.includes('\n') ? ' ' : part));

t.test('onOneLine touches only white space that holds a line feed', (t) => {
  let changed = 0;
  fc.assert(
    fc.property(jsonText, (text) => {
      const bytes = Buffer.from(text);
      const { value, lineFeed } = readJson(bytes);
      const before = bytes.subarray(value.start, value.end);
      const line = onOneLine(bytes, value, lineFeed);
      if (!line.equals(before)) changed++;
      if (line.includes(0x0a) || !same(JSON.parse(line.toString()), JSON.parse(before.toString()))) return false;
      if (!before.includes(0x0a) && !line.equals(before)) return false;
      return line.toString('latin1') === oneLineOf(before.toString('latin1'));
    }),
    { numRuns: 1500 },
  );
  t.ok(changed > 100, `${changed} had line feeds`);

  const cases: [from: string, to: string][] = [
    ['{"a":\n1}', '{"a": 1}'],
    ['{\r\n\t"a"  : 1 ,\n\n "b  c":"  "}', '{ "a"  : 1 , "b  c":"  "}'],
    ['[1152921504606846976,\n1.0, 1e400,-0]', '[1152921504606846976, 1.0, 1e400,-0]'],
    ['{"\\u003c":\n"\\ud800\\n"}', '{"\\u003c": "\\ud800\\n"}'],
    ['\n\n{"a":1}\n', '{"a":1}'],
    ['{ \r "a":1\t}', '{ \r "a":1\t}'],
  ];
  for (const [from, to] of cases) {
    const bytes = Buffer.from(from);
    const { value, lineFeed } = readJson(bytes);
    t.equal(onOneLine(bytes, value, lineFeed).toString(), to);
  }
  t.end();
});
