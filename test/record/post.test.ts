import { existsSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { documentFacts, keyText, lookupKeys, NO_LINE } from '../../src/record/facts.ts';
import { readJson } from '../../src/record/json.ts';
import { readPost } from '../../src/record/post.ts';

const MB = 1024 * 1024;
const read = (post: string | Buffer, limits = { maxBytes: 64 * MB }) => readPost(Buffer.from(post as string), limits);
const yamlPost = (text: string) => JSON.stringify({ format: 'yaml', content: text });
/** The line of a YAML post, or the reason why there is none. */
const yaml = (text: string, maxBytes = 64 * MB) => {
  const post = read(yamlPost(text), { maxBytes });
  return post.readable ? post.line.toString() : post.reason;
};

t.test('posts that cannot be read, with a reason that a person understands', (t) => {
  const whole = '{"format":"json","content":{"a":1}}';
  const cases: [name: string, post: string | Buffer, reason: RegExp][] = [
    ['empty', '', /^empty post$/],
    ['white space', ' \n', /^not JSON: .*the text ends/],
    ['truncated', whole.slice(0, -1), /^not JSON: .*the text ends at byte 34$/],
    ['truncated in the content', whole.slice(0, 30), /^not JSON: .*the text ends/],
    ['two posts', whole + whole, /^not JSON: text after the end of the value at byte 35$/],
    ['content a list', '{"format":"json","content":[{"a":1}]}', /^content is an array, not an object$/],
    ['content a string', '{"format":"json","content":"{}"}', /^content is a string, not an object$/],
    ['content null', '{"format":"json","content":null}', /^content is null, not an object$/],
    ['content a number', '{"format":"json","content":1}', /^content is a number, not an object$/],
    ['content true', '{"format":"json","content":true}', /^content is true, not an object$/],
    ['no content', '{"format":"json"}', /^no content$/],
    ['no format', '{"content":{}}', /^no format$/],
    ['format null', '{"format":null,"content":{}}', /^format is null, not a string$/],
    ['format a number', '{"format":1,"content":{}}', /^format is a number, not a string$/],
    ['format unknown', '{"format":"xml","content":{}}', /^unknown format "xml"$/],
    ['format in capitals', '{"format":"JSON","content":{}}', /^unknown format "JSON"$/],
    ['format long', `{"format":"${'x'.repeat(10_000)}","content":{}}`, /^unknown format "x{40}"$/],
    ['an empty object', '{}', /^no format$/],
    ['a list', '[{"format":"json","content":{}}]', /^a post is an object, not an array$/],
    ['a string', '"x"', /^a post is an object, not a string$/],
    ['a number', '1', /^a post is an object, not a number$/],
    ['null', 'null', /^a post is an object, not null$/],
    ['false', 'false', /^a post is an object, not false$/],
    [
      'not UTF-8',
      Buffer.from('{"format":"json","content":{"a":"\xff"}}', 'latin1'),
      /^not JSON: not UTF-8 at byte 33$/,
    ],
    ['a NUL', '{"format":"json","content":{"a":"\0"}}', /^not JSON: a control character inside a string at byte 33$/],
    ['NULs only', Buffer.alloc(40), /^not JSON: a value is missing at byte 0$/],
    ['a byte order mark', `\ufeff${whole}`, /^not JSON: .* at byte 0$/],
    ['content twice, no format', '{"content":{},"content":{}}', /^no format$/],
    ['YAML content an object', '{"format":"yaml","content":{}}', /^content of a YAML post is an object, not a string$/],
    ['YAML without content', '{"format":"yaml"}', /^content of a YAML post is missing, not a string$/],
    [
      'too deep',
      `{"format":"json","content":${'{"a":'.repeat(499)}{}${'}'.repeat(500)}`,
      /^not JSON: nested deeper than 500/,
    ],
  ];
  for (const [name, post, reason] of cases) {
    const got = read(post);
    t.equal(got.readable, false, name);
    if (!got.readable) t.match(got.reason, reason, name);
  }
  t.equal(NO_LINE.toString(), '{}');
  t.end();
});

t.test('posts that can be read though they look odd', (t) => {
  const cases: [post: string, line: string][] = [
    ['{"format":"json","content":{}}', '{}'],
    ['{"content":{"a":1},"format":"json"}', '{"a":1}'],
    [' {"format" : "json" , "content" : { } } \n', '{ }'],
    ['{"format":"json","content":{},"content":{"b":2}}', '{"b":2}'],
    ['{"content":{},"content":[],"content":{"c":3},"format":"json"}', '{"c":3}'],
    ['{"format":"yaml","format":"json","content":{"a":1}}', '{"a":1}'],
    ['{"format":"json","content":{"a":1,"a":2}}', '{"a":1,"a":2}'],
    ['{"\\u0066ormat":"\\u006ason","\\u0063ontent":{"a":1}}', '{"a":1}'],
    [
      '{"format":"json","content":{"n":1152921504606846976,"f":1.0,"h":1e400,"z":-0}}',
      '{"n":1152921504606846976,"f":1.0,"h":1e400,"z":-0}',
    ],
    [
      '{"format":"json","content":{"s":"\\u003c\\ud800\\/","__proto__":{"x":1},"10":1,"9":2}}',
      '{"s":"\\u003c\\ud800\\/","__proto__":{"x":1},"10":1,"9":2}',
    ],
    ['{"format":"json","content":{"a":\n1}}', '{"a": 1}'],
    ['{"format":"json","other":[1,{"content":{}}],"content":{"a":1}}', '{"a":1}'],
    [
      `{"format":"json","content":${'{"a":'.repeat(498)}{}${'}'.repeat(499)}`,
      `${'{"a":'.repeat(498)}{}${'}'.repeat(498)}`,
    ],
  ];
  for (const [post, line] of cases) {
    const got = read(post);
    t.equal(got.readable ? got.line.toString() : got.reason, line);
  }
  t.end();
});

const blank = fc.array(fc.constantFrom(' ', '\n', '\r\n', '\t'), { maxLength: 2 }).map((parts) => parts.join(''));

t.test('the line is the content: equal to every reader, and byte for byte where it stands on one line', (t) => {
  let split = 0;
  fc.assert(
    fc.property(
      fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue({ maxDepth: 3, stringUnit: 'binary' }), { maxKeys: 5 }),
      fc.array(blank, { minLength: 1, maxLength: 6 }),
      fc.constantFrom(undefined, 0, 2, '\t'),
      fc.boolean(),
      (content, blanks, indent, first) => {
        const text = JSON.stringify(content, null, indent);
        const s = (i: number) => blanks[i % blanks.length];
        const members = [
          `${s(0)}"format"${s(1)}:${s(2)}"json"${s(3)}`,
          `${s(4)}"content"${s(5)}:${s(0)}${text}${s(1)}`,
        ];
        const bytes = Buffer.from(`${s(2)}{${(first ? members : members.reverse()).join(',')}}${s(3)}`);
        const post = read(bytes);
        if (!post.readable || post.line.includes(0x0a)) return false;
        if (fc.stringify(JSON.parse(post.line.toString())) !== fc.stringify(JSON.parse(text))) return false;
        if (text.includes('\n')) {
          split++;
          return post.within === null;
        }
        // What both files of a can share is these very bytes.
        const { start, end } = post.within!;
        return post.line.toString() === text && bytes.subarray(start, end).equals(post.line);
      },
    ),
    { numRuns: 1000 },
  );
  t.ok(split > 100, `${split} stood on several lines`);

  // A lone line feed becomes a space: as long as before, and yet another line.
  for (const text of ['{"a":\n1}', '{\n}', '{"a":1\n,"b":"x y"}']) {
    const post = read(`{"format":"json","content":${text}}`);
    t.ok(post.readable && post.within === null, JSON.stringify(text));
  }
  t.ok(
    (read('{"format":\n"json","content":{"a":1}}') as { within: unknown }).within,
    'a line feed elsewhere is none in the content',
  );
  t.end();
});

t.test('what the index looks a measurement up by', (t) => {
  const keys = (text: string) => {
    const bytes = Buffer.from(text);
    return lookupKeys(bytes, readJson(bytes).value);
  };
  t.same(keys('{"report_id":"R1","input":"http://a/"}'), { report_id: 'R1', input: 'http://a/' });
  t.same(keys('{}'), { report_id: '', input: '' });
  t.same(keys('{"report_id":null,"input":null}'), { report_id: '', input: '' });
  t.same(keys('{"report_id":5,"input":5}'), { report_id: '', input: '5' });
  t.same(keys('{"report_id":"a","report_id":"b","input":"c","input":"d\\u003c"}'), { report_id: 'b', input: 'd<' });
  t.same(keys('{"input":["a","b"]}').input, 'a:b');
  t.same(keys('{"input":[]}').input, '');
  t.same(
    keys('{"input":[ "a" , 1.0, 1152921504606846976, null, {"x": 1} , [2]]}').input,
    'a:1.0:1152921504606846976:null:{"x": 1}:[2]',
  );
  t.same(keys('{"input":{"a": 1.0}}').input, '{"a": 1.0}');
  t.same(keys('{"input":false}').input, 'false');
  t.same(keys('{"test_keys":{"report_id":"no","input":"no"}}'), { report_id: '', input: '' });

  const deep = `{"format":"json","content":{"input":[${'['.repeat(50_000)}${']'.repeat(50_000)}]}}`;
  const post = readPost(Buffer.from(deep), { maxBytes: MB, maxDepth: 100_000 });
  t.match(post.readable && post.keys.input, /^\[{1024}/, 'no depth takes the stack');

  // Keys are short, whatever a probe sends, and different ones stay different.
  const long = (last: string) => keys(`{"input":"${'x'.repeat(1_000_000)}${last}"}`).input;
  t.ok(long('a').length < 2048);
  t.equal(long('a'), keyText(`${'x'.repeat(1_000_000)}a`));
  t.not(long('a'), long('b'));
  for (const length of [0, 1, 2048]) t.equal(keyText('x'.repeat(length)), 'x'.repeat(length));
  t.not(keyText('x'.repeat(2049)), 'x'.repeat(2049));
  t.equal(keyText(keyText('x'.repeat(5000))), keyText('x'.repeat(5000)), 'a key is its own key');
  for (const text of ['\ud800', `${'x'.repeat(1023)}${'🎉'.repeat(1024)}`]) {
    t.ok(keyText(text).isWellFormed(), 'a database has no bytes for half a character');
    t.equal(keyText(keyText(text)), keyText(text));
  }
  t.not(keyText('\ud800'), keyText('\ud801'));

  const bytes = Buffer.from(
    '{"test_name":"web_connectivity","probe_cc":"IT","report_id":7,"measurement_start_time":"2024-02-01 10:00:00"}',
  );
  t.same(documentFacts(bytes, readJson(bytes).value), {
    report_id: undefined,
    measurement_start_time: '2024-02-01 10:00:00',
    probe_cc: 'IT',
    test: 'webconnectivity',
  });
  const none = Buffer.from('{"test_name":null}');
  t.same(documentFacts(none, readJson(none).value), {
    report_id: undefined,
    measurement_start_time: undefined,
    probe_cc: undefined,
    test: undefined,
  });
  t.end();
});

t.test('YAML posts: documents', (t) => {
  const cases: [name: string, text: string, line: string | RegExp][] = [
    ['one document', 'a: 1\nb: [x, "y z"]\n', '{"a":1,"b":["x","y z"]}'],
    ['framed', '---\na: 1\n...\n', '{"a":1}'],
    ['comments around', '# c\n---\na: 1\n...\n# d\n', '{"a":1}'],
    [
      'a header and an entry, the header winning',
      '---\na: h\nb: h\n...\n---\nb: e\nc: e\n...\n',
      '{"b":"h","c":"e","a":"h"}',
    ],
    [
      'a start time in both is that of the entry',
      '---\ntest_start_time: 2013-11-01 12:00:00\na: h\n...\n---\ntest_start_time: 2013-11-02 13:00:00\n...\n',
      '{"test_start_time":"2013-11-02 13:00:00","a":"h"}',
    ],
    [
      'a start time in the header alone stays',
      '---\ntest_start_time: 2013-11-01 12:00:00\n...\n---\na: 1\n...\n',
      '{"a":1,"test_start_time":"2013-11-01 12:00:00"}',
    ],
    ['of several entries the first', '---\nh: 1\n...\n---\na: 1\n...\n---\na: 2\n...\n', '{"a":1,"h":1}'],
    [
      'documents that are no mapping are passed over',
      '---\nnull\n...\n---\n- a\n...\n---\nh: 1\n...\n---\ntext\n...\n---\n{}\n...\n---\na: 1\n...\n',
      '{"a":1,"h":1}',
    ],
    ['text after the dashes', '--- {a: 1}\n', '{"a":1}'],
    ['later keys win', 'a: 1\na: 2\n', '{"a":2}'],
    ['CRLF', '---\r\na: x\r\n...\r\n', '{"a":"x"}'],
    ['a byte order mark', '\ufeffa: 1\n', '{"a":1}'],
    ['nothing', '', /^YAML without a mapping$/],
    ['a list', '- a\n', /^YAML without a mapping$/],
    ['text', 'hello\n', /^YAML without a mapping$/],
    ['a set at the top', '!!set {a, b}', /^YAML without a mapping$/],
    ['broken', 'a: [1,\n', /^not YAML: .* at line \d+$/],
    ['broken after a good document', '---\na: 1\n...\n---\nb: "\n', /^not YAML: .* at line \d+$/],
    ['a tab', 'a:\n\t- b\n', /^not YAML: /],
    ['a NUL', 'a: "\0"\n', /^not YAML: /],
    ['an alias to nothing', 'a: *b\n', /^not YAML: .*"b".* at line 1$/],
  ];
  for (const [name, text, line] of cases) {
    if (typeof line === 'string') t.equal(yaml(text), line, name);
    else t.match(yaml(text), line, name);
  }
  const post = read(yamlPost('report_id: R1\ninput: [a, 1.0]\n'));
  t.same(post.readable && { ...post.keys, within: post.within }, { report_id: 'R1', input: 'a:1.0', within: null });
  t.end();
});

t.test('YAML scalars are those of the old probes', (t) => {
  const cases: [text: string, json: string][] = [
    ['1.0', '1.0'],
    ['1152921504606846976', '1152921504606846976'],
    ['-12345678901234567890123456789', '-12345678901234567890123456789'],
    ['8.056103944778442', '8.056103944778442'],
    ['1706789647.0', '1706789647.0'],
    ['-0', '-0'],
    ['0', '0'],
    ['1.0e+5', '1.0e+5'],
    ['6.02e-23', '6.02e-23'],
    ['1e3', '"1e3"'], // Python writes such a text without quotes
    ['12e5', '"12e5"'],
    ['+1', '1'],
    ['1_000', '1000'],
    ['.5', '0.5'],
    ['-.5', '"-.5"'], // as PyYAML has it: no sign before the point
    ['1.', '1.0'],
    ['017', '15'],
    ['0o17', '15'],
    ['-017', '-15'],
    ['09', '"09"'],
    ['0x1F', '31'],
    ['0xFFFFFFFFFFFFFFFFFF', '4722366482869645213695'],
    ['0b101', '5'],
    ['1:30', '90'],
    ['190:20:30', '685230'],
    ['1:30:99', '"1:30:99"'],
    ['192.0.2.1:80', '"192.0.2.1:80"'],
    ['.nan', 'null'],
    ['.inf', 'null'],
    ['-.inf', 'null'],
    ['~', 'null'],
    ['null', 'null'],
    ['', 'null'],
    ['yes', 'true'],
    ['Off', 'false'],
    ['true', 'true'],
    ['FALSE', 'false'],
    ['y', '"y"'],
    ['"yes"', '"yes"'],
    ["'1'", '"1"'],
    ['NO', 'false'],
    ['2013-11-01 12:00:00', '"2013-11-01 12:00:00"'],
    ['2013-11-01T12:00:00Z', '"2013-11-01 12:00:00"'],
    ['2001-12-14 21:59:43.10 -5', '"2001-12-15 02:59:43"'],
    ['2013-02-30', '"2013-02-30"'], // no calendar has it: text, and not 2 March
    ['2013-13-01 12:00:00', '"2013-13-01 12:00:00"'],
    ['2013-11-01 25:00:00', '"2013-11-01 25:00:00"'],
    ['2013-1-1', '"2013-1-1"'],
    ['|\n  x\n  y\n', '"x\\ny\\n"'],
    ['"\\x01\\u2028<"', '"\\u0001\u2028<"'],
    ['!!str 1', '"1"'],
    ['!!int 9007199254740993', '9007199254740993'],
    ['!!float 1.50', '1.50'],
    ['!!bool yes', 'true'],
  ];
  for (const [text, json] of cases) t.equal(yaml(`a: ${text}`), `{"a":${json}}`, text);
  const long = '1'.repeat(100_000);
  t.equal(yaml(`a: +${long}`), `{"a":"+${long}"}`, 'no number is longer than one can be read in time');

  t.equal(yaml('probe_cc: NO\n'), '{"probe_cc":"NO"}', 'Norway');
  t.equal(yaml('---\nprobe_cc: NO\n...\n---\ninput: NO\n...\n'), '{"input":false,"probe_cc":"NO"}');
  t.equal(yaml('test_keys: {probe_cc: NO}'), '{"test_keys":{"probe_cc":false}}', 'only where a country stands');
  t.end();
});

t.test('YAML keys', (t) => {
  t.equal(yaml('b: 1\n"10": x\n9: y\n1.0: z\n'), '{"9":"y","10":"x","b":1,"1.0":"z"}');
  t.equal(yaml('1: a\n2: b\n3: c\n'), '{"1":"a","2":"b","3":"c"}');
  t.equal(yaml('~: a\nyes: b\n!!binary aGk=: c\n!!binary /w==: d\n'), '{"null":"a","true":"b","hi":"c","/w==":"d"}');
  t.equal(yaml('2013-11-01 12:00:00: a\n'), '{"2013-11-01 12:00:00":"a"}');
  t.equal(
    yaml('__proto__: {x: 1}\nconstructor: 2\ntoString: 3\n'),
    '{"__proto__":{"x":1},"constructor":2,"toString":3}',
  );
  t.equal(
    yaml('---\n__proto__: {h: 1}\n...\n---\na: {__proto__: 1}\n...\n'),
    '{"a":{"__proto__":1},"__proto__":{"h":1}}',
  );
  t.equal(
    yaml('a: &a {x: 1, __proto__: 2}\nb: {<<: *a, y: 3}\n'),
    '{"a":{"x":1,"__proto__":2},"b":{"x":1,"__proto__":2,"y":3}}',
  );
  t.equal(({} as Record<string, unknown>).x, undefined);
  t.end();
});

t.test('YAML tags of Python: read, and nothing executed', (t) => {
  const cases: [text: string, json: string][] = [
    ['!!python/unicode x', '"x"'],
    ["!!python/unicode ''", '""'],
    ['!!python/str "12"', '"12"'],
    ['!!python/tuple [1.0, [a]]', '[1.0,["a"]]'],
    ['!!python/tuple\n- 1\n- b', '[1,"b"]'],
    ['!!python/long 12345678901234567890', '12345678901234567890'],
    ["!!python/long '12345678901234567890L'", '12345678901234567890'],
    ['!!set {b: null, a: null, c: null}', '["a","b","c"]'],
    ['!!set {}', '[]'],
    ['!!binary aGVsbG8gw6k=', '"hello é"'],
    ['!!binary |\n  aGVs\n  bG8=\n', '"hello"'],
    ['!!binary ""', '""'],
    ['!!binary AAE=', '"\\u0000\\u0001"'],
    ['!!binary ABv4/w==', '{"format":"base64","data":"ABv4/w=="}'],
    ['[!!binary /w==, !!set {x, !!binary /w==}]', '[{"format":"base64","data":"/w=="},["/w==","x"]]'],
  ];
  for (const [text, json] of cases) t.equal(yaml(`a: ${text}`), `{"a":${json}}`, text);

  const proof = join(tmpdir(), `cannery-executed-${process.pid}`);
  const script = `function () { require('fs').writeFileSync('${proof}', '') }`;
  const evil: [string, unknown][] = [
    [`!!python/object/apply:os.system ["touch ${proof}"]`, null],
    [`!!python/object/new:os.system ["touch ${proof}"]`, null],
    ['!!python/object:os.Foo {a: 1}', { a: 1 }],
    ['!!python/name:os.system ""', ''],
    ['!!python/module:os ""', ''],
    [`!!js/function "${script}"`, script],
    ['!!js/regexp /a+/', '/a+/'],
    ['!<tag:example.org,2002:x> y', 'y'],
    ['!local x', 'x'],
  ];
  for (const [text, value] of evil) t.same(JSON.parse(yaml(`a: ${text}`)), { a: value }, text);
  t.ok(yaml(`a: !<tag:${'x'.repeat(100_000)}> y`).length < 250, 'a reason stays short');
  t.notOk(existsSync(proof));
  rmSync(proof, { force: true });
  t.end();
});

t.test('YAML bombs are refused soon and small', (t) => {
  const level = (name: string, of: string) => `${name}: &${name} [${Array(9).fill(of).join(',')}]\n`;
  const names = [...'abcdefghij'];
  const bomb = names.map((name, i) => level(name, i === 0 ? 'lol' : `*${names[i - 1]}`)).join('');
  t.ok(bomb.length < 400);
  const before = process.memoryUsage.rss();
  const started = performance.now();
  t.match(yaml(bomb, 1024 * MB), /^YAML unfolds to more than \d+ bytes$/);
  t.match(yaml(bomb, 1000), /^YAML unfolds to more than 1000 bytes$/);
  t.match(yaml('a: &a [*a]'), /^YAML nested deeper than 500 levels$/);
  t.match(yaml('a: &a {b: *a, c: *a}'), /^YAML nested deeper than 500 levels$/);
  t.match(yaml(`a: ${'['.repeat(200_000)}`), /^not YAML: nesting/);
  t.match(yaml(`a: ${'{a: '.repeat(200_000)}`), /^not YAML: nesting/);
  t.match(yaml(`${'- '.repeat(200_000)}x`), /^not YAML: nesting/);
  // Merge keys unfold while they are read.
  const keys = Array.from({ length: 1000 }, (_, i) => `k${i}: 1`).join(', ');
  const merged = `a: &a {${keys}}\n${Array.from({ length: 1000 }, (_, i) => `b${i}: {<<: *a}\n`).join('')}`;
  t.match(yaml(merged), /^not YAML: merge keys exceeded/);
  t.ok(performance.now() - started < 5000, `${performance.now() - started} ms`);
  t.ok(process.memoryUsage.rss() - before < 300 * MB, `${(process.memoryUsage.rss() - before) / MB} MB`);

  // Aliases as Python writes them for a list that stands in two places are no bomb.
  const shared = `a: &id001 [${'x, '.repeat(1000)}y]\nb: *id001\nc: *id001\n`;
  t.equal(JSON.parse(yaml(shared)).c.length, 1001);
  // Text that grows the most in JSON is none either.
  t.equal(JSON.parse(yaml(`a: "${'\\0'.repeat(500_000)}"`)).a.length, 500_000);
  t.end();
});
