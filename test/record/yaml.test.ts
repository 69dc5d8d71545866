import { isUtf8 } from 'node:buffer';
import { spawnSync } from 'node:child_process';
import fc from 'fast-check';
import t from 'tap';
import { document } from '../../bench/pythonyaml.mjs';
import { readYaml, readYamlHeader } from '../../src/record/yaml.ts';
import { readFast } from '../../src/record/yamlfast.ts';
import { ReportHeader } from '../../src/record/yamlreport.ts';

const MB = 1024 * 1024;
const LIMITS = { maxBytes: 64 * MB, maxDepth: 500 };

/** What a document comes to: its JSON text, what it is instead, or the reason why it is none. */
function read(text: Buffer | string, limits = LIMITS): string {
  try {
    const found = readYaml(Buffer.from(text as string), limits);
    return found.kind === 'mapping' ? found.json.toString() : `${found.kind}: ${found.what}`;
  } catch (error) {
    return (error as Error).message;
  }
}

/** As `read`, by the reader of all YAML: a comment at the end changes nothing but that. */
const readSlowly = (text: Buffer) => read(Buffer.concat([text, Buffer.from('\n#\n')]));

/** True where the reader of Python's YAML reads it alone. */
const allText = { resolve: () => undefined, binary: () => '""', ...LIMITS };
const isFast = (text: Buffer) => readFast(text, allText) !== undefined;

/** The document of a frame. */
const inner = (frame: string) => Buffer.from(frame.replace(/^---/, '').replace(/\.\.\.\n$/, ''));

t.test('what a document comes to', (t) => {
  const cases: [text: string, want: string | RegExp][] = [
    ['a: 1\n', '{"a":1}'],
    ['\na: 1\n', '{"a":1}'],
    [' {a: 1}\n', '{"a":1}'],
    ['\n{a: 1,\n  b: 2}\n', '{"a":1,"b":2}'],
    ['\nb: 2\na: 1\nb: 3\n', '{"b":3,"a":1}'],
    ['\na: [-.5, .5, +.5e+3]\n', '{"a":["-.5",0.5,"+.5e+3"]}'],
    ['', 'nothing: null'],
    ['\n', 'nothing: null'],
    ['\nnull\n', 'nothing: null'],
    ['\n~\n', 'nothing: null'],
    ['\n{}\n', 'nothing: an empty mapping'],
    ['\n[]\n', 'nothing: an empty list'],
    ["\n''\n", 'nothing: an empty text'],
    ['\n!!set {}\n', 'nothing: an empty list'],
    ['\n[a]\n', 'other: a list'],
    ['\n- a\n', 'other: a list'],
    ['\n!!set {a}\n', 'other: a list'],
    ['\nfoo\n', 'other: a scalar'],
    ['\n0\n', 'other: a scalar'],
    ['\n"a: 1"\n', 'other: a scalar'],
    ['\na: b: c\n', /^not YAML: bad indentation of a mapping entry at line 2$/],
    ['\na: [\n', /^not YAML: .* at line \d$/],
    ['\na: *b\n', /^not YAML: unidentified alias/],
    ['\na: 1\r---\rb: 2\n', /^not YAML: expected a single document/],
    ['\na: "\0"\n', /^not YAML: null byte/],
    ['\na: !!int x\n', /^not YAML: cannot resolve/],
  ];
  for (const [text, want] of cases) t.match(read(text), want, JSON.stringify(text));
  t.equal(read(Buffer.from('\na: \xff\n', 'latin1')), 'not UTF-8 at byte 4');
  t.equal(read(Buffer.from('\na: \xe2\x82', 'latin1')), 'not UTF-8 at byte 4', 'a character cut off');
  t.equal(read(Buffer.from([0xc0])), 'not UTF-8 at byte 0');
  t.end();
});

t.test('the first byte that is no UTF-8 is named', (t) => {
  const part = fc.constantFrom('a', 'é', '€', '𝄞', '\n').map((c) => Buffer.from(c));
  const bad = fc.constantFrom([0x80], [0xff], [0xc3], [0xe2, 0x82], [0xf0, 0x9d, 0x84], [0xed, 0xa0, 0x80]);
  fc.assert(
    fc.property(fc.array(part), bad, fc.array(part), (before, bytes, after) => {
      const text = Buffer.concat([...before, Buffer.from([...bytes, 0x20]), ...after]);
      const start = Buffer.concat(before).length;
      const [, at] = /^not UTF-8 at byte (\d+)$/.exec(read(text))!;
      t.equal(Number(at), start);
    }),
  );
  t.end();
});

t.test('depth and size have limits, whoever reads', (t) => {
  const nested = (depth: number) => `\na: ${'['.repeat(depth - 1)}1${']'.repeat(depth - 1)}\n`;
  for (const depth of [10, 30, 100, 500]) {
    const limits = { ...LIMITS, maxDepth: depth };
    t.match(read(nested(depth), limits), /^\{"a":\[/);
    t.match(read(nested(depth + 1), limits), /deeper than \d+ levels$/);
  }
  t.match(read(nested(1000), { ...LIMITS, maxDepth: 100_000 }), /^\{"a":\[/);
  t.match(read(nested(1001), { ...LIMITS, maxDepth: 100_000 }), /deeper than 1000 levels$/, 'no stack is deeper');
  const blocks = (depth: number) => Array.from({ length: depth }, (_, i) => `${'  '.repeat(i)}a:\n`).join('');
  t.match(read(`\n${blocks(499)}${'  '.repeat(499)}b: 1\n`), /^\{"a":\{/);
  t.match(read(`\n${blocks(500)}${'  '.repeat(500)}b: 1\n`), /deeper than 500 levels$/);

  const bomb = (of: string) =>
    Array.from({ length: 9 }, (_, i) => `a${i}: &a${i} [${Array(9).fill(i ? `*a${i - 1}` : of)}]`);
  const started = performance.now();
  for (const text of [bomb('x'), bomb('x # slowly')])
    t.match(read(`\n${text.join('\n')}\n`, { ...LIMITS, maxBytes: 1024 * MB }), /unfolds to more than|not YAML/);
  t.match(
    read(`\na: &a {b: ${'x'.repeat(1000)}}\nc: [${Array(99).fill('*a')}]\n`, { ...LIMITS, maxBytes: 5000 }),
    /^YAML unfolds to more than 5000 bytes$/,
  );
  t.match(read('\na: &a [*a]\n'), /deeper than 500 levels$/);
  t.ok(performance.now() - started < 10_000);
  t.throws(() => readYamlHeader(Buffer.from(`\n${bomb('x').join('\n')}\n`)), /too many values/);
  t.end();
});

t.test('a header as values', (t) => {
  const header = readYamlHeader(
    Buffer.from(
      '\na: 1.50\nb: 12345678901234567890\nprobe_cc: NO\nc: !!binary /w==\nd: !!binary YQ==\ne: !!set {y, x}\nf: [~, {g: yes}]\nh: 2013-11-01 12:00:00\n',
    ),
  );
  t.same(header, {
    a: 1.5,
    b: '12345678901234567890',
    probe_cc: 'NO',
    c: Buffer.from([0xff]),
    d: 'a',
    e: ['x', 'y'],
    f: [null, { g: true }],
    h: '2013-11-01 12:00:00',
  });
  for (const text of ['\n[]\n', '\nx\n', '\n', '\na: [\n']) t.throws(() => readYamlHeader(Buffer.from(text)));
  t.end();
});

// --- the two readers

const WORDS = [
  '',
  ' ',
  'a',
  'word ',
  'null',
  '~',
  'yes',
  'No',
  '0',
  '017',
  '1:30',
  '1e3',
  '1.5',
  '.5',
  '1.',
  '.inf',
  '-',
  '- a',
  'a: b',
  '#x',
  'a #b',
  'http://x.y/z?a=b&c=d',
  '<RR name=a type=A>',
  "[Query('a', 1, 1)]",
  '\n',
  '\n\n',
  '  ',
  '\t',
  '\r\n',
  '\0',
  '\x07',
  'é',
  '€',
  '😀',
  '\u2028',
  "'",
  '"',
  '\\',
  '{a}',
  '[b]',
  'x,y',
  '2013-11-01 12:00:00',
  '2013-11-01',
  '=',
  '<<',
  '!x',
  '&a',
  '*a',
  '%',
  '@',
  '`',
  '? x',
  '0x1f',
  '1_000',
  '+5',
  '-0.0',
  '...',
  '--- x',
  '10.0.0.1',
  '8.8',
  '-f',
  '::1',
  'a:',
  '</p>',
  'x'.repeat(90),
];
const scalarText = fc.array(fc.constantFrom(...WORDS), { maxLength: 12 }).map((words) => words.join(''));
const name = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom('a', 'b', 'headers', 'x-y', '10.0.0.1', 'a b') },
  scalarText,
);
const leaf = fc.oneof(
  scalarText,
  fc.constantFrom(null, true, false),
  fc.integer(),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
);
const { value } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    leaf,
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(name, tie('value'), { maxKeys: 4, noNullPrototype: true }),
  ),
}));
const mapping = fc.dictionary(name, value, { minKeys: 1, maxKeys: 5, noNullPrototype: true });
const withBytes = fc
  .tuple(mapping, fc.uint8Array({ maxLength: 100 }), fc.uniqueArray(scalarText))
  .map(([all, bytes, set]) => ({
    ...all,
    bytes: Buffer.from(bytes),
    pairs: [[{ raw: Buffer.from(bytes) }, new Set(set)]],
  }));

t.test('the reader of what Python writes gives what the reader of all YAML gives', (t) => {
  let fast = 0;
  let all = 0;
  fc.assert(
    fc.property(withBytes, (given) => {
      const text = inner(document(given));
      all++;
      if (isFast(text)) fast++;
      t.equal(read(text), readSlowly(text));
    }),
    { numRuns: 300 },
  );
  t.ok(fast > all / 4, `${fast} of ${all} were read fast`);
  t.end();
});

const PIECES = [
  ...' \n:-,[]{}"\'#&*!|>?%@`\\\t~ax01.=<n',
  '\r',
  'é',
  '\x80',
  ' #',
  ': ',
  '- ',
  '&a ',
  '*a',
  '!!set ',
  '!!binary ',
  '|\n',
  '\n  ',
  '"\n',
  '\\\n',
  '\\x41',
  '\\ud83d',
  '<<: ',
];
const edit = fc.tuple(
  fc.nat(),
  fc.constantFrom('insert', 'replace', 'remove', 'repeat', 'indent'),
  fc.constantFrom(...PIECES),
  fc.integer({ min: 1, max: 40 }),
);

function edited(text: string, [place, kind, piece, length]: [number, string, string, number]): string {
  const at = place % (text.length + 1);
  if (kind === 'insert') return text.slice(0, at) + piece + text.slice(at);
  if (kind === 'replace') return text.slice(0, at) + piece + text.slice(at + 1);
  if (kind === 'remove') return text.slice(0, at) + text.slice(at + (length % 4) + 1);
  if (kind === 'repeat') return text.slice(0, at) + text.slice(at, at + length) + text.slice(at);
  const line = text.indexOf('\n', at) + 1;
  return text.slice(0, line) + ' '.repeat(length % 5) + text.slice(line);
}

t.test('so it does where the text is broken', (t) => {
  fc.assert(
    fc.property(withBytes, fc.array(edit, { minLength: 1, maxLength: 3 }), (given, edits) => {
      const text = Buffer.from(edits.reduce(edited, inner(document(given)).toString()));
      if (isFast(text)) t.equal(read(text), readSlowly(text));
    }),
    { numRuns: 3000 },
  );
  t.end();
});

t.test('what has a tag or an anchor stands farther in than its list does', (t) => {
  for (const before of ['!!binary', '&x '])
    for (const indent of [1, 2, 3]) {
      const text = Buffer.from(`\na: ["b", ${before}\n${' '.repeat(indent)}"YQ=="]\n`);
      t.equal(isFast(text), indent > 1, `${before}, ${indent}`);
      t.equal(read(text), readSlowly(text));
    }
  t.end();
});

t.test('mappings of any size, and what only looks like a value, are read alike and fast', (t) => {
  const mapping = (names: number, last = '') =>
    `\n${Array.from({ length: names }, (_, i) => `k${i}: {a: ${i}, b: &x [k${i}]}\n`).join('')}${last}`;
  for (const names of [1, 31, 32, 33, 34, 100, 5000]) {
    t.equal(isFast(Buffer.from(mapping(names))), true, `${names} names`);
    for (const text of [mapping(names), mapping(names, 'k0: 1\n'), mapping(names, `k${names - 1}: 1\n`)])
      t.equal(read(text), readSlowly(Buffer.from(text)));
  }
  t.equal(isFast(Buffer.from(mapping(20_000))), false, 'what is larger is for the other reader');
  const values =
    '1a 12e5 1e 1T 1t 2013-11-01T10:00:00Z 0x1f 0b1 017 1_000 9z 560ad8296ee235e4 1:30 1:30.5 1:30x null nul Null true tru false falsey 1.5.x 5.a .5a 1e+5 1.e+5 -1a +1 10.0.0.1 ~a';
  for (const value of values.split(' ')) {
    const text = Buffer.from(`\na: ${value}\nb: [${value}, {c: ${value}}]\n`);
    t.equal(read(text), readSlowly(text), value);
  }
  t.end();
});

t.test('bytes that grow most when written as JSON', (t) => {
  for (const size of [3, 3000, 6_000_000]) {
    const base64 = Buffer.alloc(size, 1).toString('base64');
    for (const text of [`\na: !!binary "${base64}"\nb: 1\n`, `\na: !!binary |\n  ${base64}\nb: 1\n`]) {
      const json = read(text);
      t.ok(json === `{"a":"${'\\u0001'.repeat(size)}","b":1}`, `${size} bytes`);
    }
  }
  t.equal(read('\na: 1\n'), '{"a":1}', 'and a small one after it');
  t.end();
});

t.test('random bytes and random YAML never crash either, nor take long', (t) => {
  const pieces = fc
    .array(fc.constantFrom(...PIECES, '---', '...', '%TAG'), { maxLength: 200 })
    .map((p) => Buffer.from(p.join('')));
  fc.assert(
    fc.property(
      fc.oneof(
        pieces,
        fc.uint8Array({ maxLength: 300 }).map((b) => Buffer.from(b)),
      ),
      (text) => {
        const started = performance.now();
        t.type(read(text), 'string');
        t.ok(performance.now() - started < 5000);
      },
    ),
    { numRuns: 1000 },
  );
  t.end();
});

const PYTHON = `
import json, sys, yaml
for line in sys.stdin:
    style, width, value = json.loads(line)
    sys.stdout.write(yaml.safe_dump(value, explicit_start=True, explicit_end=True, default_flow_style=style, width=width) + '\\0')
`;
const has = spawnSync('python3', ['-c', 'import yaml']).status === 0;
const NO_PYTHON = has ? false : "no python3 with yaml (Debian's python3-yaml)";

t.test('what Python writes is read as it was', { skip: NO_PYTHON }, (t) => {
  const plain = fc.tuple(fc.constantFrom(null, null, true, false), fc.constantFrom(80, 80, 20, 1000), mapping);
  const given = fc.sample(plain, 400);
  const { stdout, stderr } = spawnSync('python3', ['-c', PYTHON], {
    input: given.map((one) => `${JSON.stringify(one)}\n`).join(''),
    maxBuffer: 2 ** 30,
  });
  const frames = stdout.toString().split('\0').slice(0, -1);
  t.equal(frames.length, given.length, stderr.toString());
  given.forEach(([, , wanted], i) => {
    const got = read(inner(frames[i]!));
    t.same(got.startsWith('{') ? JSON.parse(got) : got, JSON.parse(JSON.stringify(wanted)), frames[i]!);
  });
  t.end();
});

// --- header and entries

const HEADER = '---\nprobe_asn: AS0\nprobe_cc: ZZ\n...\n';

function header(frame: string): ReportHeader {
  const found = readYaml(inner(frame), LIMITS);
  if (found.kind !== 'mapping') throw new Error('no mapping');
  return new ReportHeader(Buffer.from(frame), found);
}

function record(report: ReportHeader, frame: string) {
  const found = readYaml(inner(frame), LIMITS);
  if (found.kind !== 'mapping') throw new Error('no mapping');
  const { document, measurement_uid } = report.record(Buffer.from(frame), found);
  return { document: document.toString(), uid: measurement_uid };
}

t.test('the id of a record is that of its bytes', (t) => {
  const report = header(HEADER);
  const entry = '---\ninput: a\n...\n';
  const id = '4138beb9-f2de-63fc-bdc6-2bf7ff9ecdb8';
  const { document } = record(report, entry);
  t.match(document, `{"id":"${id}","input":"a","probe_asn":"AS0","probe_cc":"ZZ","report_id":"19700101T000000Z_`);
  t.equal(record(report, entry).document, document);
  t.not(record(report, '---\ninput: a \n...\n').document.slice(0, 50), document.slice(0, 50));

  const own = (text: string) => record(report, `---\nid: ${text}\ninput: a\n...\n`).document;
  t.match(own('mine'), '{"id":"mine","input":"a",');
  for (const none of ["''", 'null', '[]', '5']) t.match(own(none), /^\{"id":"[0-9a-f]{8}-[0-9a-f-]{27}","input":"a",/);
  t.equal(own("''").match(/"id"/g)?.length, 1);
  t.match(
    record(header('---\nid: of all\n...\n'), entry).document,
    /^\{"id":"of all","input":"a","report_id":"[^"]+"\}$/,
  );
  t.end();
});

t.test('header and entry become one record, the header winning', (t) => {
  const rest = (frame: string, entry: string) =>
    record(header(frame), entry).document.replace(/^\{"id":"[^"]*",?/, '{');
  const cases: [header: string, entry: string, record: string | RegExp][] = [
    ['report_id: r', 'a: 1', '{"a":1,"report_id":"r"}'],
    ['report_id: r\na: 1\nb: 2', 'a: 3\nc: 4', '{"c":4,"report_id":"r","a":1,"b":2}'],
    ['report_id: r\na: 1', 'a: 1', '{"report_id":"r","a":1}'],
    ['report_id: r\ntest_start_time: 1', 'a: 1', '{"a":1,"report_id":"r","test_start_time":1}'],
    ['report_id: r\ntest_start_time: 1', 'test_start_time: 2', '{"test_start_time":2,"report_id":"r"}'],
    ['report_id: r\nprobe_cc: NO', 'a: NO', '{"a":false,"report_id":"r","probe_cc":"NO"}'],
    ['report_id: r', 'probe_cc: NO\na: 1', '{"probe_cc":"NO","a":1,"report_id":"r"}'],
    ['report_id: r', '"10": a\n"9": b\n__proto__: c', '{"9":"b","10":"a","__proto__":"c","report_id":"r"}'],
    ['__proto__: {x: 1}\nreport_id: r', 'a: 1', '{"a":1,"__proto__":{"x":1},"report_id":"r"}'],
    // A report id of the entry stands; an empty one, wherever it is, is made up in the header's place or at the end.
    ['a: 1', 'report_id: r', '{"report_id":"r","a":1}'],
    ['report_id: ""\na: 1', 'b: 2', /^\{"b":2,"report_id":"19700101T000000Z_[a-zA-Z]{50}","a":1\}$/],
    ['report_id: null', 'report_id: r', /^\{"report_id":"19700101T000000Z_[a-zA-Z]{50}"\}$/],
    ['a: 1', 'report_id: null\nb: 2', /^\{"b":2,"a":1,"report_id":"19700101T000000Z_[a-zA-Z]{50}"\}$/],
    ['a: 1', 'b: 2', /^\{"b":2,"a":1,"report_id":"19700101T000000Z_[a-zA-Z]{50}"\}$/],
    ['{}', 'b: 2', /^\{"b":2,"report_id":"19700101T000000Z_[a-zA-Z]{50}"\}$/],
    ['report_id: 5', 'b: 2', '{"b":2,"report_id":5}'],
  ];
  for (const [top, entry, want] of cases) {
    if (top === '{}') continue;
    t.match(rest(`---\n${top}\n...\n`, `---\n${entry}\n...\n`), want, `${top} + ${entry}`);
  }
  t.end();
});

t.test("a header's start time is gone for good once an entry has its own", (t) => {
  const report = header('---\nreport_id: r\ntest_start_time: 2013-11-01 12:00:00\n...\n');
  t.match(record(report, '---\na: 1\n...\n').document, '"test_start_time":"2013-11-01 12:00:00"');
  t.match(record(report, '---\ntest_start_time: 1\n...\n').document, '"test_start_time":1,');
  t.notMatch(record(report, '---\na: 1\n...\n').document, 'test_start_time');
  t.end();
});

t.test('all entries of a report have the same made-up report id, from the header alone', (t) => {
  const report = header(
    '---\nprobe_cc: IT\nprobe_asn: AS30722\ntest_name: http_requests\nsoftware_version: 0.0.10\nstart_time: 1383307200.0\n...\n',
  );
  for (const entry of ['a: 1', 'probe_city: Roma\ntest_name: test_get\nstart_time: 5', 'report_id: null'])
    t.match(
      record(report, `---\n${entry}\n...\n`).document,
      '"report_id":"20131101T120000Z_HvgPpMdttKegMFDvnixHqeaGzsAJAJJCcRbakXuHswiAUCBAap"',
    );
  const bytes = '---\nprobe_city: !!binary |\n  UmV5a2phdu1r\n...\n';
  t.match(record(header(bytes), '---\na: 1\n...\n').document, '_qEueYycHnShysWDofStGFzVLUiMUHkfxYAplsahqVzVmEKbIJY"');
  t.end();
});

t.test('the day in the uid', (t) => {
  const cases: [header: string, entry: string, day: string][] = [
    ['a: 1', 'b: 2', '00000000'],
    ['start_time: 1383307200.5', 'b: 2', '20131101'],
    ['start_time: 1383307200', 'test_start_time: 1383400000.0', '20131102'],
    ['start_time: 1383307200', 'measurement_start_time: 2013-11-03 10:00:00\ntest_start_time: 1383400000', '20131103'],
    ['test_start_time: 2013-11-04 10:00:00', 'b: 1', '20131104'],
    ["test_start_time: '2013-11-04T10:00:00Z'\nstart_time: 1383307200", 'b: 1', '20131104'],
    ['test_start_time: 2013-11-04 10:00:00', 'test_start_time: 1383400000', '20131102'],
    ['start_time: -86400', 'b: 1', '19691231'],
    ['start_time: 1383307200000', 'b: 1', '00000000'],
    ['start_time: .nan', 'b: 1', '00000000'],
    ['start_time: 1383307200', 'measurement_start_time: soon', '20131101'],
    ['start_time: 1383307200', "measurement_start_time: '2013-02-30 00:00:00'", '20131101'],
  ];
  for (const [top, entry, day] of cases) {
    const { uid } = record(header(`---\n${top}\n...\n`), `---\n${entry}\n...\n`);
    t.match(uid, /^01\d{8}[0-9a-f]{30}$/);
    t.equal(uid.slice(2, 10), day, `${top} + ${entry}`);
  }
  t.end();
});

t.test('a record is JSON on one line, whatever the documents hold', (t) => {
  fc.assert(
    fc.property(mapping, fc.array(mapping, { maxLength: 3 }), (top, entries) => {
      const report = header(document(top));
      for (const entry of entries) {
        const { document: line } = record(report, document(entry));
        t.notOk(line.includes('\n'));
        t.ok(isUtf8(Buffer.from(line)));
        const parsed = JSON.parse(line);
        t.match(line, /^\{"id":"/);
        for (const key of Object.keys(top))
          if (key !== 'id' && key !== 'report_id' && key !== 'test_start_time') t.ok(Object.hasOwn(parsed, key));
        t.type(parsed.report_id ?? null, parsed.report_id === undefined ? 'null' : typeof parsed.report_id);
      }
    }),
    { numRuns: 200 },
  );
  t.end();
});
