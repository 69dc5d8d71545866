// Little that becomes much, and names that lead elsewhere: chance would seldom make them, so each is told by name.
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import Database from 'better-sqlite3';
import t from 'tap';
import { lz4Frame } from '../lz4frames.ts';
import { Box } from './box.ts';
import { BRIDGES } from './corpus.ts';
import { sign } from './mutate.ts';

const GOOD = '{"good":1.0}';

/** Inflates to a hundred million bytes, of a hundred thousand. */
const much = (byte: string) => Buffer.alloc(100_000_000, byte);

function header(name: string, size: string, type: string, link = ''): Buffer {
  const block = Buffer.alloc(512);
  block.write(name, 0);
  block.write('0000644\0', 100);
  block.write(size, 124, 'latin1');
  block.write('00000000000\0', 136);
  block.write(type, 156);
  block.write(link, 157);
  block.write('ustar\x0000', 257, 'latin1');
  sign(block);
  return block;
}

const octal = (size: number) => `${size.toString(8).padStart(11, '0')}\0`;

const aliases = (levels: number) =>
  Array.from(
    { length: levels },
    (_, n) =>
      `a${n}: &a${n} [${Array(9)
        .fill(n === 0 ? 'x' : `*a${n - 1}`)
        .join(', ')}]`,
  ).join('\n');

const HEADER = '---\n{probe_cc: IT, test_name: ndt, start_time: 1383307200.0}\n...\n';

t.test('bombs: refused soon, in little memory, and what lies behind them is read', (t) => {
  const box = new Box(t);
  const zeros = gzipSync(much('\0'), { level: 1 });
  const bombs: Record<string, Buffer> = {
    'line.jsonl.gz': gzipSync(Buffer.concat([Buffer.from('{"a":"'), much('x')]), { level: 1 }),
    'document.json.gz': gzipSync(Buffer.concat([Buffer.from('{"a":\n"'), much('x')]), { level: 1 }),
    'post.post.gz': gzipSync(Buffer.concat([Buffer.from('{"format":"json","content":{"a":"'), much('x')]), {
      level: 1,
    }),
    'white.json.gz': gzipSync(much(' '), { level: 1 }),
    'feeds.jsonl.gz': gzipSync(Buffer.alloc(3_000_000, '\n'), { level: 1 }),
    'zeros.yaml.gz': zeros,
    'line.jsonl.lz4': lz4Frame(Buffer.concat([Buffer.from('{"a":"'), much('x')]), { code: 7 }),
    'zeros.yaml.lz4': lz4Frame(much('\0'), { code: 7 }),
    'twice.jsonl.gz': gzipSync(zeros),
    'frame.yaml.gz': gzipSync(Buffer.concat([Buffer.from(`${HEADER}---\na: "`), much('x')]), { level: 1 }),
    'frames.yaml.gz': gzipSync(Buffer.from(`${HEADER}${'---\n'.repeat(50_000)}`)),
    'deep.yaml': Buffer.from(`${HEADER}---\na: ${'['.repeat(300_000)}\n...\n`),
    'aliases.yaml': Buffer.from(`${HEADER}---\n${aliases(12)}\n...\n`),
    'header.yaml': Buffer.from(`---\n${aliases(12)}\n...\n---\n{input: x}\n...\n`),
    'merge.yaml': Buffer.from(
      `${HEADER}---\na: &a {${Array.from({ length: 900 }, (_, n) => `k${n}: 1`).join(', ')}}\n${Array.from({ length: 900 }, (_, n) => `b${n}: {<<: *a}\n`).join('')}...\n`,
    ),
    'deep.jsonl': Buffer.from(`${'{"a":'.repeat(300_000)}\n${'['.repeat(300_000)}\n`),
    // A tar whose names and sizes are forged.
    'pax.tar.gz': gzipSync(Buffer.concat([header('x', octal(90_000_000), 'x'), much('x').subarray(0, 90_000_256)]), {
      level: 1,
    }),
    'long-name.tar.gz': gzipSync(
      Buffer.concat([header('x', octal(4_000_000), 'L'), much('x').subarray(0, 4_000_256)]),
      { level: 1 },
    ),
    'large.tar': Buffer.concat([header('a/x.post', '77777777777\0', '0'), Buffer.alloc(1024)]),
    'larger.tar': Buffer.concat([
      header('a/x.post', '\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff', '0'),
      Buffer.alloc(1024),
    ]),
    'member.tar.gz': gzipSync(
      Buffer.concat([
        header('a/x.post', octal(90_000_128), '0'),
        much('x').subarray(0, 90_000_128),
        Buffer.alloc(1408),
      ]),
      { level: 1 },
    ),
  };
  const names = Object.keys(bombs);
  for (const [name, bytes] of Object.entries(bombs)) {
    box.put(`work/${name}`, bytes);
    box.put(`work/after-${name}.jsonl`, `${GOOD}\n`);
  }
  const rows = names.flatMap((name) => [name, `after-${name}.jsonl`]).map((file) => `${JSON.stringify({ file })}\n`);
  const verbs: [string[], string?][] = [
    [['cat', '--raw', '--max-line', '1000000', '--max-inflated', '95000000'], rows.join('')],
    // It searches all of it, however much that is.
    [
      [
        'sanitise',
        'check',
        '--bridges',
        BRIDGES,
        '--max-line',
        '1000000',
        'line.jsonl.gz',
        'twice.jsonl.gz',
        'pax.tar.gz',
      ],
    ],
    [['rename', '.', '--to', 'reports', '--settle', '0', '--dry-run', '--max-line', '1000000']],
  ];
  box.watch(['reports']);
  for (const [args, stdin = ''] of verbs) {
    const ran = box.run(args, { stdin });
    t.same(ran.faults, [], args[0]!);
    t.ok(ran.megabytes < 200, `${args[0]}: at most 200 MB, not ${ran.megabytes}`);
    t.equal(ran.code, 3);
    if (args[0] !== 'cat') continue;
    t.equal(
      ran.out
        .toString()
        .split('\n')
        .filter((line) => line === GOOD).length,
      names.length,
      'what lies behind them',
    );
    for (const name of names.filter((name) => name !== 'feeds.jsonl.gz' && name !== 'white.json.gz'))
      t.match(ran.err, `cannery cat: ${name}`, name);
  }
  t.same(box.touched(), []);
  t.end();
});

t.test('a store with a bomb in the place of a can that others made', (t) => {
  const box = new Box(t);
  const key = 'raw/20210817/15/US/ndt/2021081715_US_ndt.n0.0.jsonl.gz';
  box.put(`work/store/${key}`, gzipSync(much('x'), { level: 9 }));
  const foreign = new Database(join(box.work, 'foreign.sqlite'));
  foreign.exec('CREATE TABLE jsonl (report_id TEXT, input TEXT, s3path TEXT, linenum INTEGER, measurement_uid TEXT)');
  foreign.prepare('INSERT INTO jsonl VALUES (?, ?, ?, ?, ?)').run('r', 'i', key, 3, null);
  foreign.close();
  t.equal(box.run(['index', 'jsonl.sqlite', '--merge', 'foreign.sqlite', '--store', 'store']).code, 0);
  const ran = box.run(['get', '--index', 'jsonl.sqlite', '--report-id', 'r', '--max-line', '1000000']);
  t.same([ran.code, ran.out.toString(), ran.faults], [3, '', []]);
  t.ok(ran.megabytes < 200, `at most 200 MB, not ${ran.megabytes}`);
  t.end();
});

t.test('members of a tar that lead elsewhere, of every type', (t) => {
  const box = new Box(t);
  const post = Buffer.from('{"format":"json","content":{"n":1}}');
  const body = Buffer.concat([post, Buffer.alloc(512 - post.length)]);
  const names = [
    '../evil.post',
    '../../evil.post',
    '/tmp/evil.post',
    'a/../../../decoy/evil.post',
    '..',
    '.',
    '',
    'a\nb.post',
  ];
  const members = names.flatMap((name) =>
    [...'01234567gxLKS'].map((type) =>
      Buffer.concat([
        header(name, octal(type === '0' || type === '7' ? post.length : 0), type, '../decoy/precious'),
        ...(type === '0' || type === '7' ? [body] : []),
      ]),
    ),
  );
  for (const [n, member] of members.entries())
    box.put(
      `work/in/${n}.tar`,
      Buffer.concat([member, header('a/1.post', octal(post.length), '0'), body, Buffer.alloc(1024)]),
    );
  box.put('work/in/all.tar', Buffer.concat([...members, Buffer.alloc(1024)]));
  const files = [...members.map((_, n) => `in/${n}.tar`), 'in/all.tar'];
  box.watch([]);
  const cat = box.run(['cat', '--raw'], { stdin: files.map((file) => `${JSON.stringify({ file })}\n`).join('') });
  t.same(cat.faults, []);
  t.equal(cat.code, 3);
  t.ok(cat.out.toString().split('\n').length > names.length, 'posts are read, whatever they are called');
  t.same(box.run(['sanitise', 'check', '--bridges', BRIDGES, 'in']).faults, []);
  t.same(box.touched(), []);
  t.end();
});

t.test('what a tar holds is searched, whatever type its members say they are', (t) => {
  const box = new Box(t);
  const secret = Buffer.from('obfs3 192.0.2.7:443 0123456789ABCDEF0123456789ABCDEF01234567\n');
  const member = (type: string) =>
    Buffer.concat([header(`a/${type}`, octal(secret.length), type), secret, Buffer.alloc(512 - secret.length)]);
  const types = [...'017S'];
  box.put('work/types.tar', Buffer.concat([...types.map(member), Buffer.alloc(1024)]));
  const { code, out } = box.run(['sanitise', 'check', '--bridges', BRIDGES, 'types.tar']);
  t.equal(code, 3);
  for (const type of types) t.ok(out.includes(`types.tar(a/${type})`), type);
  t.end();
});
