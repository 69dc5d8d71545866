import fc from 'fast-check';
import t from 'tap';
import { type Frame, yamlFrames } from '../../src/edge/yamlframes.ts';

/** Frames of chunks, as text; what is too long as `long`. */
async function framesOf(chunks: Iterable<Buffer>, maxFrame = 1e9) {
  async function* source() {
    for (const chunk of chunks) {
      yield chunk;
      chunk.fill(0); // as a source that uses its chunk again
    }
  }
  const found: (Omit<Frame, 'bytes' | 'text'> & { bytes: string; text: string })[] = [];
  const long: { line: number; offset: number; bytes: string; ended: boolean }[] = [];
  const limits = {
    maxFrame,
    onLong(line: number, offset: number) {
      const one = { line, offset, bytes: '', ended: false };
      long.push(one);
      return {
        write: (piece: Buffer) => void (one.bytes += piece.toString('latin1')),
        end: () => void (one.ended = true),
      };
    },
  };
  for await (const frame of yamlFrames(source(), limits))
    found.push({ ...frame, bytes: frame.bytes.toString('latin1'), text: frame.text.toString('latin1') });
  return { found, long };
}

const once = (text: string) => framesOf([Buffer.from(text, 'latin1')]);

/** Splits at the given places. */
function cut(text: string, places: number[]): Buffer[] {
  const bytes = Buffer.from(text, 'latin1');
  const at = [...new Set(places.map((place) => place % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...at].map((from, i) => Buffer.from(bytes.subarray(from, at[i] ?? bytes.length)));
}

t.test('what frames, and what does not', async (t) => {
  const cases: [text: string, frames: [text: string, end: string, line: number, offset: number][]][] = [
    ['', []],
    ['\n \n\t\n# comment\n  # another\n%YAML 1.1\n...\n... \n', []],
    ['---\na\n...\n', [['\na\n', 'closed', 1, 0]]],
    ['--- a\nb\n...\n', [[' a\nb\n', 'closed', 1, 0]]],
    ['---\ta\n...\t# end\n', [['\ta\n', 'closed', 1, 0]]],
    ['---\r\na\r\n...\r\n', [['\r\na\r\n', 'closed', 1, 0]]],
    ['\xef\xbb\xbf---\na\n...\n', [['\na\n', 'closed', 1, 3]]],
    [
      '# x\n\n---\na\n...\n...\n# y\n---\nb\n...',
      [
        ['\na\n', 'closed', 3, 5],
        ['\nb\n', 'closed', 8, 23],
      ],
    ],
    [
      '---\na\n---\nb\n...\n',
      [
        ['\na\n', 'reopened', 1, 0],
        ['\nb\n', 'closed', 3, 6],
      ],
    ],
    ['---\na\n', [['\na\n', 'cut', 1, 0]]],
    ['---\na', [['\na', 'cut', 1, 0]]],
    ['---', [['', 'cut', 1, 0]]],
    ['---\na\n..', [['\na\n..', 'cut', 1, 0]]],
    [
      '---\n-----BEGIN X\n....\n...x\n---x\n ...\n ---\n...\n',
      [['\n-----BEGIN X\n....\n...x\n---x\n ...\n ---\n', 'closed', 1, 0]],
    ],
    ['---\nb: |\n  text\n...\n', [['\nb: |\n  text\n', 'closed', 1, 0]]],
    ['a: 1\nb: 2\n', [['a: 1\nb: 2\n', 'cut', 1, 0]]],
    [
      '# x\n  a: 1\n---\nb\n...\nfoo\n',
      [
        ['  a: 1\n', 'reopened', 2, 4],
        ['\nb\n', 'closed', 3, 11],
        ['foo\n', 'cut', 6, 21],
      ],
    ],
    ['---\na\r---\rb\n...\n', [['\na\r---\rb\n', 'closed', 1, 0]]],
    ['---\r', [['\r', 'cut', 1, 0]]],
  ];
  for (const [text, want] of cases) {
    const { found } = await once(text);
    t.same(
      found.map(({ text, end, line, offset }) => [text, end, line, offset]),
      want,
      JSON.stringify(text),
    );
    for (const frame of found) t.equal(frame.bare, !frame.bytes.startsWith('---'));
  }
});

const LINES = [
  '---',
  '...',
  '--- x',
  '... x',
  '---x',
  '....',
  '--',
  '..',
  '-',
  '',
  ' ',
  '\t',
  '# c',
  '%Y',
  'a: 1',
  ' ---',
  '\r',
  '---\r',
  '...\r',
  '\xff',
  ' '.repeat(1023),
  ' '.repeat(1030),
];
const text = fc
  .array(fc.tuple(fc.constantFrom(...LINES), fc.constantFrom('\n', '\n', '\n', '\r\n', '')), { maxLength: 12 })
  .map((lines) => lines.flat().join(''));

/** A line outside of frames that counts for nothing. */
const NOTHING = /^(?:[ \t\r]*(?:#.*)?|%.*|\.\.\.(?:[ \t\r].*)?)$/s;

t.test('any split into chunks gives the same frames', async (t) => {
  await fc.assert(
    fc.asyncProperty(text, fc.array(fc.nat(4000)), async (text, places) => {
      const whole = await once(text);
      t.same(await framesOf(cut(text, places)), whole);
      t.same(await framesOf([...text].map((c) => Buffer.from(c, 'latin1'))), whole);
    }),
    { numRuns: 300 },
  );
});

t.test('frames lie in the file as they say, in order, and what is between them counts for nothing', async (t) => {
  await fc.assert(
    fc.asyncProperty(text, async (text) => {
      const { found } = await once(text);
      let at = text.startsWith('\xef\xbb\xbf') ? 3 : 0;
      for (const { bytes, offset, line, end } of found) {
        t.ok(offset >= at);
        t.ok(
          text
            .slice(at, offset)
            .split('\n')
            .every((line) => NOTHING.test(line)),
        );
        t.equal(text.slice(offset, offset + bytes.length), bytes);
        t.equal(text.slice(0, offset).split('\n').length, line);
        at = offset + bytes.length;
        if (end === 'cut') t.equal(at, text.length);
        if (end === 'reopened') t.match(text.slice(at), /^---(?:\s|$)/);
      }
    }),
    { numRuns: 500 },
  );
});

t.test('a closed frame stands whatever comes after it or before it', async (t) => {
  await fc.assert(
    fc.asyncProperty(text, text, fc.nat(2000), async (before, after, places) => {
      const frame = '---\nkept: 1\n...\n';
      const { found } = await framesOf(cut(`${before}\n${frame}${after}`, [places]));
      t.ok(found.some(({ bytes, end }) => bytes === frame && end === 'closed'));
    }),
    { numRuns: 300 },
  );
});

t.test('a frame over the limit is handed on in pieces, and costs no other', async (t) => {
  const text = `---\nh\n...\n---\n${'x\n'.repeat(100)}...\n---\nafter\n...\n`;
  for (const size of [1, 7, 1000]) {
    const chunks = Array.from({ length: Math.ceil(text.length / size) }, (_, i) =>
      Buffer.from(text.slice(i * size, i * size + size)),
    );
    const { found, long } = await framesOf(chunks, 50);
    t.same(
      found.map(({ text }) => text),
      ['\nh\n', '\nafter\n'],
    );
    t.same(long, [{ line: 4, offset: 10, bytes: `---\n${'x\n'.repeat(100)}...\n`, ended: true }]);
  }
  const { found, long } = await framesOf([Buffer.from(text.slice(0, 100))], 50);
  t.same(found.length, 1);
  t.same(
    long.map(({ ended }) => ended),
    [true],
    'also where the file ends in it',
  );
});

t.test('a source that fails: what was closed before it stands', async (t) => {
  const seen: string[] = [];
  async function* source() {
    yield Buffer.from('---\na\n...\n---\nb');
    throw new Error('broken');
  }
  const limits = { maxFrame: 100, onLong: () => ({ write() {}, end() {} }) };
  const read = async () => {
    for await (const { text } of yamlFrames(source(), limits)) seen.push(text.toString());
  };
  await t.rejects(read(), { message: 'broken' });
  t.same(seen, ['\na\n']);
});

t.test('random bytes never crash it nor are lost', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
      const { found } = await framesOf([Buffer.from(bytes)]);
      t.ok(found.length < 200);
    }),
    { numRuns: 500 },
  );
});
