import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  constants,
  existsSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import { ReaderGone } from '../../src/stream/errors.ts';
import { Output } from '../../src/stream/output.ts';
import { RejectsFile } from '../../src/stream/rejects.ts';
import { CANNERY, cannery, canneryBytes, folder, putPost, rows, shell, uidFor } from '../lib.ts';

// --- rows to a stream

/** Takes a while for each write, and remembers. */
class Slow extends Writable {
  text = '';
  writes = 0;
  most = 0;
  /** Bytes that came while a write was under way. */
  heaped = 0;
  override _write(chunk: Buffer, _: string, done: () => void) {
    this.writes++;
    this.most = Math.max(this.most, this.writableLength);
    setTimeout(() => {
      this.heaped = Math.max(this.heaped, this.writableLength - chunk.length);
      this.text += chunk.toString();
      done();
    }, 2);
  }
}

const turn = () => new Promise((done) => setImmediate(done));

t.test('rows wait for a slow reader, and are not heaped up', async (t) => {
  const slow = new Slow();
  const output = new Output(() => slow);
  const expected: string[] = [];
  for (let n = 0; n < 1500; n++) {
    const row = `${n}${'x'.repeat(1000)}`;
    expected.push(`${row}\n`);
    await output.row(row.slice(0, 3), Buffer.from(row.slice(3)));
    await turn(); // the producer waits for a disk, say
  }
  await output.flush();
  t.equal(slow.text, expected.join(''));
  t.equal(output.bytes, slow.text.length);
  t.ok(slow.most < 80_000, `${slow.most} bytes in the stream at most`);
  t.ok(slow.writes < 200, `${slow.writes} writes: gathered`);
  t.equal(slow.heaped, 0);

  const shared = new Slow();
  const together = new Output(() => shared);
  const producer = async () => {
    for (let n = 0; n < 20; n++) await together.row('y'.repeat(30_000));
  };
  await Promise.all(Array.from({ length: 10 }, producer));
  await together.flush();
  t.equal(shared.text.length, 200 * 30_001);
  t.equal(shared.heaped, 0, 'also when rows come from several sides');
});

t.test('a row that was taken may be used for another: its bytes are out, or copied', async (t) => {
  const path = join(folder(t), 'out');
  const fd = openSync(path, 'w');
  const slow = new Slow();
  const lengths = Array.from({ length: 300 }, (_, n) => (n * 7919) % (n % 10 === 0 ? 200_000 : 30_000));
  const expected = lengths.map((length, n) => `${n}é${'x'.repeat(length)}${n % 3}\n`).join('');
  for (const output of [new Output(() => slow), new Output(() => slow, fd)]) {
    const buffers = lengths.map((length) => Buffer.alloc(length));
    for (const [n, buffer] of buffers.entries()) {
      await output.row(`${n}é`, buffer.fill('x'), `${n % 3}`);
      buffer.fill('!');
      if (n % 50 === 0) await turn();
    }
    await output.flush();
  }
  closeSync(fd);
  t.ok(slow.text === expected, 'to a slow reader');
  t.ok(readFileSync(path, 'utf8') === expected, 'to a file');

  // From several sides, rows stay whole.
  const shared = new Slow();
  const together = new Output(() => shared);
  await Promise.all(
    Array.from({ length: 8 }, async (_, side) => {
      const buffer = Buffer.alloc(20_000);
      for (let n = 0; n < 20; n++) {
        await together.row('<', buffer.fill(`${side}`), '>');
        buffer.fill('!');
      }
    }),
  );
  await together.flush();
  const all = shared.text.split('\n').slice(0, -1);
  t.equal(all.length, 160);
  t.ok(all.every((row) => row.length === 20_002 && /^<(.)\1*>$/.test(row) && !row.includes('!')));
});

t.test('a row alone goes out soon; receipts and rows keep their order', async (t) => {
  const slow = new Slow();
  const output = new Output(() => slow);
  await output.row('{"a":1}');
  await new Promise((done) => setTimeout(done, 50));
  t.equal(slow.text, '{"a":1}\n', 'without a flush');
  await output.receipt({ b: [1, null], c: 'é' });
  await output.row('{"d":1}');
  await output.receipt({ e: 1 });
  await Promise.all([output.flush(), output.flush()]);
  t.equal(slow.text, '{"a":1}\n{"b":[1,null],"c":"é"}\n{"d":1}\n{"e":1}\n');
});

t.test('a reader that has gone is told apart from a fault', async (t) => {
  for (const [code, gone] of [
    ['EPIPE', true],
    ['ENOSPC', false],
  ] as const) {
    const stream = new Writable({ write: (_, __, done) => done(Object.assign(new Error('x'), { code })) });
    const output = new Output(() => stream);
    const error = await (async () => {
      for (let n = 0; n < 10; n++) {
        await output.row('{}');
        await turn();
      }
    })().catch((e) => e);
    t.equal(error instanceof ReaderGone, gone, code);
    t.ok(error, 'known at a next row, not only when much has come');
  }
});

// --- of the built program

const document = (n: number, size = 200) =>
  `{"report_id":"20240201T100000Z_webconnectivity_IT_1_n1_abcdefghijklmnop","input":"http://e/${n}","x":"${'x'.repeat(size)}"}`;

t.test('a reader that goes away is success, quietly', (t) => {
  const dir = folder(t);
  for (let n = 0; n < 300; n++) putPost(join(dir, 'incoming'), `{"format":"json","content":${document(n)}}`);
  writeFileSync(join(dir, 'big.jsonl'), Array.from({ length: 20_000 }, (_, n) => `${document(n)}\n`).join(''));
  for (const line of [
    'cannery ls incoming | head -1',
    'cannery cat big.jsonl | head -c 10',
    'cannery cat - --end < big.jsonl | head -c 10',
    'cannery cat big.jsonl --quiet | true',
    'cannery ls incoming | cannery cat | head -n 1',
    'cannery --help | head -n 1',
    'cannery cat --help | true',
  ]) {
    const { code, err } = shell(line, { cwd: dir });
    t.equal(code, 0, line);
    t.equal(err, '', `${line}: nothing said`);
  }
  const { code, err } = shell('cannery cat big.jsonl missing.jsonl big.jsonl | head -n 1', { cwd: dir });
  t.equal(code, 0);
  t.notMatch(err, /EPIPE|Error:/);
  t.end();
});

t.test('a file that takes only a part is no success', (t) => {
  const dir = folder(t);
  writeFileSync(join(dir, 'in.jsonl'), `${document(1, 20_000)}\n`);
  // The last write is a short one: no error comes of it, unless somebody looks.
  const { code, err } = shell("trap '' XFSZ; ulimit -f 8; cannery cat in.jsonl > out", { cwd: dir });
  t.equal(statSync(join(dir, 'out')).size, 8192);
  t.not(code, 0, err); // of the signal, or of the error where that is ignored
  if (existsSync('/dev/full')) {
    const full = shell('cannery cat in.jsonl > /dev/full', { cwd: dir });
    t.equal(full.code, 1);
    t.equal(full.err, 'cannery cat: no space left on device\n');
    const rejects = shell('echo bad | cannery cat - --rejects /dev/full', { cwd: dir });
    t.equal(rejects.code, 1);
    t.match(rejects.err, /cannery cat: --rejects: no space left on device\n$/);
  }
  t.equal(shell('cannery cat in.jsonl > /dev/null', { cwd: dir }).code, 0);
  t.end();
});

t.test('rows that were given come out, though the run fails after them', (t) => {
  const dir = folder(t);
  writeFileSync(join(dir, 'in.jsonl'), `${document(1)}\n${document(2)}\n`);
  const { code, out, err } = cannery(['cat', '--raw', 'in.jsonl', 'r', '--rejects', 'r'], { cwd: dir });
  t.equal(code, 2);
  t.equal(out, `${document(1)}\n${document(2)}\n`);
  t.match(err, /r is read and is the file of --rejects/);
  t.end();
});

// --- rejects

interface RejectRow {
  cannery: string;
  stage: string;
  as: string;
  file: string | null;
  line: number | null;
  reason: string;
  data: string | { format: string; data: string } | null;
}

const rejectsIn = (path: string) => rows<RejectRow>(readFileSync(path, 'utf8'));
const bytesOf = ({ data }: RejectRow) =>
  typeof data === 'string' ? Buffer.from(data) : Buffer.from(data?.data ?? '', 'base64');

t.test('rejects keep the bytes: text as text, anything else as base64', (t) => {
  const dir = folder(t);
  const bad = [
    Buffer.from('not json "\\ \u2028 é 😀 \ufeff'),
    Buffer.from('\ufeff{}'),
    Buffer.from('{"a":"\0\u0001\r"}'),
    Buffer.from('{"a":"\xff\xfe"}', 'latin1'),
    Buffer.from('edA080', 'hex'),
    Buffer.from('[1]'),
  ];
  writeFileSync(join(dir, 'in.jsonl'), Buffer.concat(bad.flatMap((line) => [line, Buffer.from('\n{"ok":1}\n')])));
  const { code, out, err } = cannery(['cat', '--raw', 'in.jsonl', '--rejects', 'r'], { cwd: dir });
  t.equal(code, 3);
  t.equal(rows(out).length, bad.length);
  t.equal(err.split('\n').length - 1, bad.length, 'one line an error');
  t.match(err, /^cannery cat: in\.jsonl:1: not JSON: a value is missing at byte 0\n/);
  const kept = rejectsIn(join(dir, 'r'));
  kept.forEach((row, i) => {
    t.match(row, { cannery: 'reject', stage: 'cat', as: 'document', file: 'in.jsonl', line: 2 * i + 1 });
    t.ok(bytesOf(row).equals(bad[i]!), `the bytes of ${i}`);
    t.equal(typeof row.data, i === 3 || i === 4 ? 'object' : 'string');
  });
  t.equal(kept[5]!.reason, 'not an object, but array');
  t.equal(statSync(join(dir, 'r')).mode & 0o777, 0o600, 'for its owner only');

  const before = readFileSync(join(dir, 'r'));
  t.equal(cannery(['cat', '-', '--rejects', 'r'], { cwd: dir, stdin: 'bad\n' }).code, 3);
  const after = readFileSync(join(dir, 'r'));
  t.ok(after.subarray(0, before.length).equals(before), 'a second run appends');
  t.match(rejectsIn(join(dir, 'r')).at(-1), { file: null, line: 1, data: 'bad' });
  t.end();
});

t.test('what was rejected is read again by cat --format rejects', (t) => {
  const dir = folder(t);
  const again = () => canneryBytes(['cat', '--format', 'rejects', 'r'], { cwd: dir });

  // Rejected for their depth alone, so that the second reading takes them.
  const post = '{"format":"json","content":{"n":1.0,"s":"\\u003c","d":{"e":[[]]}}}';
  const path = putPost(dir, post);
  const plain = canneryBytes(['cat', path], { cwd: dir });
  t.equal(plain.out.toString().includes(uidFor(Buffer.from(post))), true);
  t.equal(cannery(['cat', path, '--max-depth', '3', '--rejects', 'r'], { cwd: dir }).code, 3);
  t.match(rejectsIn(join(dir, 'r'))[0], { as: 'post', file: path, line: null });
  t.same(again(), { ...plain, err: '' }, 'posts, with the uid of their name');

  rmSync(join(dir, 'r'));
  writeFileSync(join(dir, 'in.jsonl'), '{"a":{"b":[1.0]}}\n{"a":1}\n{ "é":{"b":{"c":2}}}\n');
  const deep = cannery(['cat', 'in.jsonl', '--max-depth', '2', '--rejects', 'r'], { cwd: dir });
  t.equal(deep.code, 3);
  t.equal(rows(deep.out).length, 1);
  const all = rows(cannery(['cat', 'in.jsonl'], { cwd: dir }).out);
  t.same(rows(again().out.toString()), [all[0], all[2]], 'documents, with their ids');

  rmSync(join(dir, 'r'));
  const row = `{"measurement_uid":null,"bucket_date":"2016-08-01","report_filename":"2016-08-01/a.json","n":1.0,"x":"${'x'.repeat(3000)}"}`;
  const packing = ['postcan', '--rows', '--to', 'outgoing', '--max-line', '2K', '--rejects', 'r'];
  t.equal(cannery([...packing, '--no-end'], { cwd: dir, stdin: `${row}\n` }).code, 3);
  t.match(rejectsIn(join(dir, 'r'))[0], { as: 'row', file: null, line: 1, stage: 'postcan' });
  t.equal(again().out.toString(), `${row}\n`, 'rows, with what stood in front');

  rmSync(join(dir, 'r'));
  t.equal(cannery(['cat', '--rejects', 'r'], { cwd: dir, stdin: '{"file":"late.jsonl"}\n' }).code, 3);
  t.match(rejectsIn(join(dir, 'r'))[0], { as: 'file', file: 'late.jsonl', reason: 'no such file or folder' });
  writeFileSync(join(dir, 'late.jsonl'), '{"a":1}\n');
  t.equal(rows(again().out.toString()).length, 1, 'files, when they are there');

  writeFileSync(join(dir, 'r'), 'no json\n{"a":1}\n\n{"cannery":"reject","as":"document","data":"{\\"b\\":2}"}\n');
  const mixed = again();
  t.equal(mixed.code, 3);
  t.equal(rows(mixed.out.toString()).length, 1);
  t.match(mixed.err, /r:1: no reject row: not JSON\n.*r:2: no reject row\n/);
  t.end();
});

/** Runs with this in front tell their peak memory, in kilobytes. */
function measured(t: Test, dir: string): { env: Record<string, string>; peak: () => number } {
  const probe = join(dir, 'probe.cjs');
  const result = join(dir, 'peak');
  writeFileSync(
    probe,
    "process.on('exit', () => require('fs').writeFileSync(process.env.PEAK, String(process.resourceUsage().maxRSS)));",
  );
  t.teardown(() => rmSync(result, { force: true }));
  return { env: { NODE_OPTIONS: `--require=${probe}`, PEAK: result }, peak: () => Number(readFileSync(result)) };
}

t.test('a line over the limit goes into the rejects without being held', (t) => {
  const dir = folder(t);
  const { env, peak } = measured(t, dir);
  const size = 50_000_000;
  const { code, out, err } = shell(
    `{ echo '{"a":1}'; head -c ${size} /dev/zero | tr '\\0' x; echo; echo bad; echo '{"b":2}'; } | cannery cat - --raw --max-line 64K --rejects r`,
    { cwd: dir, env },
  );
  t.equal(code, 3);
  t.equal(out, '{"a":1}\n{"b":2}\n', 'the next lines are right');
  t.match(err, /^cannery cat: line 2: line longer than the limit of 65536 bytes \(--max-line\)\n.*line 3: not JSON/);
  t.ok(peak() < 150_000, `${peak()} kB at most`);
  const [long, bad] = rejectsIn(join(dir, 'r'));
  t.match(long, { as: 'document', file: null, line: 2 });
  t.ok(bytesOf(long!).equals(Buffer.alloc(size, 'x')), 'all of it is kept');
  t.match(bad, { line: 3, data: 'bad' });
  t.end();
});

t.test('the rejects file stays whole when things break', (t) => {
  const dir = folder(t);
  // The input breaks off inside a line over the limit.
  const noise = spawnSync('head', ['-c', '300000', '/dev/urandom']).stdout.toString('hex');
  writeFileSync(join(dir, 'cut.jsonl.gz'), gzipSync(`{"a":1}\n${noise}`).subarray(0, 200_000));
  writeFileSync(join(dir, 'good.jsonl'), 'bad\n{"b":2}\n');
  const cut = cannery(['cat', '--raw', 'cut.jsonl.gz', 'good.jsonl', '--max-line', '64K', '--rejects', 'r'], {
    cwd: dir,
  });
  t.equal(cut.code, 3);
  t.equal(cut.out, '{"a":1}\n{"b":2}\n');
  const kept = rejectsIn(join(dir, 'r'));
  t.same(
    kept.map(({ as, file, line }) => ({ as, file, line })),
    [
      { as: 'document', file: 'cut.jsonl.gz', line: 2 },
      { as: 'file', file: 'cut.jsonl.gz', line: null },
      { as: 'document', file: 'good.jsonl', line: 1 },
    ],
  );
  t.ok(bytesOf(kept[0]!).length > 100_000 && noise.startsWith(bytesOf(kept[0]!).toString()));

  // A run was killed while it wrote.
  writeFileSync(join(dir, 'half'), '{"cannery":"reject","stage":"cat","as":"document","da');
  t.equal(cannery(['cat', 'good.jsonl', '--rejects', 'half'], { cwd: dir }).code, 3);
  const [half, next, end] = readFileSync(join(dir, 'half'), 'utf8').split('\n');
  t.equal(half, '{"cannery":"reject","stage":"cat","as":"document","da');
  t.match(JSON.parse(next!), { file: 'good.jsonl', data: 'bad' });
  t.equal(end, '');
  t.end();
});

t.test('large rejects, and rejects that come while a long one is open', (t) => {
  const dir = folder(t);
  const path = join(dir, 'r');
  const file = new RejectsFile(path, 'test');
  const reject = { as: 'document', file: 'f', line: 1, reason: 'why' } as const;
  const large = Buffer.alloc(40_000_001, '\u0001'); // as JSON text six times as long
  file.write(reject, large);
  file.write({ ...reject, line: 2 }, Buffer.from('small'));
  const long = file.stream({ ...reject, line: 3 });
  for (const piece of ['a', '', 'bc', 'defg', 'h']) long.write(Buffer.from(piece));
  file.write({ ...reject, line: 4 }, Buffer.from('meanwhile'));
  file.write({ ...reject, line: 5 }, null);
  long.end();
  file.write({ ...reject, line: 6 }, Buffer.alloc(0));
  file.close();
  const kept = rejectsIn(path);
  t.ok(bytesOf(kept[0]!).equals(large));
  t.same(
    kept.slice(1).map((row) => [row.line, bytesOf(row).toString()]),
    [
      [2, 'small'],
      [3, 'abcdefgh'],
      [4, 'meanwhile'],
      [5, ''],
      [6, ''],
    ],
  );
  t.equal(kept[4]!.data, null);
  t.equal(kept[5]!.data, '');
  t.end();
});

t.test('a file is never read by the run that writes it', (t) => {
  const dir = folder(t);
  const content = '{"cannery":"reject","as":"document","data":"bad"}\nbad\n';
  writeFileSync(join(dir, 'r'), content);
  symlinkSync('r', join(dir, 'link'));
  for (const line of [
    'cannery cat r --rejects r',
    'cannery cat ./link --rejects r',
    'cannery cat r --rejects link',
    'cannery cat --format rejects r --rejects r',
    'echo \'{"file":"r"}\' | cannery cat --rejects r',
    'cannery cat - --rejects r < r',
    'cannery cat --rejects r < r',
    'cannery postcan --rows --to outgoing --rejects r < r',
  ]) {
    const { code, out, err } = shell(`timeout 20 bash -c ${JSON.stringify(line)}`, { cwd: dir });
    t.equal(code, 2, line);
    t.equal(out, '');
    t.match(err, /--rejects: give another/);
    t.equal(readFileSync(join(dir, 'r'), 'utf8'), content, 'and it is as it was');
  }
  t.equal(shell('cannery cat - --rejects /dev/null < /dev/null', { cwd: dir }).code, 0, 'a device may be both');

  // Whether a path is the rejects file is asked of paths that cannot even be looked at.
  const long = 'x'.repeat(300);
  symlinkSync('loop', join(dir, 'loop'));
  writeFileSync(join(dir, 'good.jsonl'), '{"a":1}\n');
  const stdin = [long, 'loop', 'good.jsonl'].map((file) => `${JSON.stringify({ file })}\n`).join('');
  const odd = cannery(['cat', '--raw', '--rejects', 'other'], { cwd: dir, stdin });
  t.equal(odd.code, 3);
  t.equal(odd.out, '{"a":1}\n', 'the rest goes on');
  t.equal(rejectsIn(join(dir, 'other')).length, 2);

  // Standard output, read as input, would grow for ever too.
  for (const line of ['cannery cat good.jsonl >> good.jsonl', 'cannery cat - < good.jsonl >> good.jsonl']) {
    const { code, err } = shell(`timeout 20 bash -c ${JSON.stringify(line)}`, { cwd: dir });
    t.equal(code, 2, line);
    t.match(err, /is standard output/);
    t.equal(readFileSync(join(dir, 'good.jsonl'), 'utf8'), '{"a":1}\n');
  }

  const missing = cannery(['cat', 'good.jsonl', '--rejects', 'no/such/r'], { cwd: dir });
  t.equal(missing.code, 1);
  t.equal(missing.err, 'cannery cat: --rejects: no/such/r: no such file or folder\n');
  t.end();
});

t.test('a filter waits for its neighbours, also where they opened its pipes not to', async (t) => {
  const dir = folder(t);
  const count = 3000;
  const text = Array.from(
    { length: count },
    (_, n) => `{"measurement_uid":null,"bucket_date":null,"report_filename":null,${document(n).slice(1)}\n`,
  ).join('');
  for (const name of ['in', 'out']) shell(`mkfifo ${name}`, { cwd: dir });
  // Both ends of each are open here, so that nobody waits for the other to come.
  const open = (name: string) => openSync(join(dir, name), constants.O_RDWR | constants.O_NONBLOCK);
  const [input, output] = [open('in'), open('out')];
  const child = spawn(CANNERY, ['normalise'], {
    stdio: [openSync(join(dir, 'in'), constants.O_RDONLY | constants.O_NONBLOCK), output, 'inherit'],
  });
  const ended = once(child, 'close');
  const bytes = Buffer.from(text);
  const seen: Buffer[] = [];
  let lines = 0;
  const room = Buffer.alloc(4096);
  for (let done = 0; lines < count; ) {
    try {
      if (done < bytes.length) done += writeSync(input, bytes, done, Math.min(5000, bytes.length - done));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
    }
    await new Promise((next) => setTimeout(next, 1));
    try {
      for (;;) {
        const piece = Buffer.from(room.subarray(0, readSync(output, room)));
        seen.push(piece);
        lines += piece.filter((c) => c === 0x0a).length;
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
    }
  }
  closeSync(input);
  t.same((await ended)[0], 0);
  closeSync(output);
  const inputs = rows<{ input: string }>(Buffer.concat(seen).toString()).map(({ input }) => input);
  t.same(
    inputs,
    Array.from({ length: count }, (_, n) => `http://e/${n}`),
  );
});
