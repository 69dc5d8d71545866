// Reports in YAML through the built program: real ones where they are at hand, memory, and rejects read again.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { document } from '../bench/pythonyaml.mjs';
import { CANNERY, cannery, folder, rows, sharedData } from './lib.ts';

const DATA = sharedData();
const NO_DATA = DATA ? false : 'no real documents at hand (CANNERY_REAL_DATA)';

/** Real reports in YAML, by path below the folder of real documents. */
function realReports(): string[] {
  const found = ['measurements/yaml', 'sanitise-pair'].flatMap((folder) =>
    readdirSync(join(DATA!, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && /\.ya?ml(?:oo)?(?:\.gz)?$/.test(entry.name))
      .map((entry) => join(entry.parentPath, entry.name).slice(DATA!.length + 1)),
  );
  return found.sort();
}

t.test('real reports: every record comes through, twice with the same bytes', { skip: NO_DATA }, (t) => {
  const cwd = folder(t);
  const paths = realReports();
  t.ok(paths.length >= 40, `${paths.length} reports`);
  mkdirSync(join(cwd, '2016-08-01'));
  const files = paths.map((path, i) => {
    const file = `2016-08-01/${i}${/\.ya?ml.*$/.exec(path)![0]}`;
    copyFileSync(join(DATA!, path), join(cwd, file));
    return file;
  });
  const { out, err, code } = cannery(['cat', ...files], { cwd });
  t.equal(code, 0, err);
  t.equal(cannery(['cat', ...files], { cwd }).out, out);
  const all = rows<Record<string, string>>(out);
  t.ok(all.length >= 190, `${all.length} records`);
  for (const record of all) {
    t.match(record.measurement_uid, /^01\d{8}[0-9a-f]{30}$/);
    t.match(record.id, /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    t.match(record.report_id, /./);
  }
  paths.forEach((path, i) => {
    const found = all.filter(({ report_filename }) => report_filename === `2016-08-01/${i}.json`);
    t.equal(new Set(found.map(({ id }) => id)).size, found.length, 'ids differ');
    // What an earlier pipeline made of it: a line a record, also of those that it died on.
    const oracle = join(DATA!, 'oracle-v2/v2-without-crashes', `${path}.jsonl`);
    if (!existsSync(oracle)) return;
    const wanted = readFileSync(oracle, 'utf8').split('\n').length - 1;
    // That pipeline took what follows `---` on its line for nothing.
    const isLost = wanted === 0 && /^--- \S/m.test(readFileSync(join(DATA!, path), 'utf8'));
    t.equal(found.length, isLost ? 11 : wanted, path);
  });
  t.end();
});

t.test('a report of many entries takes no more memory than one of few', async (t) => {
  const entry = (i: number) =>
    `---\ninput: http://www.example${i}.com/\nheaders_diff: !!set {}\nrequests:\n- request: {method: GET, url: "http://example.org/${i}"}\n  response: {code: 200, body: "x"}\n...\n`;
  /** Megabytes that reading so many entries took at most. */
  const peak = async (entries: number) => {
    const report = "process.on('exit', () => console.error(process.resourceUsage().maxRSS))";
    const args = ['--max-old-space-size=40', '--import', `data:text/javascript,${report}`];
    const child = spawn(process.execPath, [...args, CANNERY, 'cat', '--format', 'yaml', '-'], {
      env: { ...process.env, NODE_OPTIONS: undefined },
    });
    let lines = 0;
    let err = '';
    child.stdout.on('data', (chunk: Buffer) => {
      for (const c of chunk) if (c === 0x0a) lines++;
    });
    child.stderr.on('data', (text) => {
      err += text;
    });
    const end = once(child, 'close');
    child.stdin.write('---\nprobe_asn: AS0\n...\n');
    for (let i = 0; i < entries; i += 100) {
      const text = Array.from({ length: 100 }, (_, k) => entry(i + k)).join('');
      if (!child.stdin.write(text)) await once(child.stdin, 'drain');
    }
    child.stdin.end();
    const [code] = await end;
    t.equal(code, 0, err);
    t.equal(lines, entries);
    return Number(err.trim().split('\n').at(-1)) / 1024;
  };
  const few = await peak(2000);
  const many = await peak(100_000);
  t.ok(many < few + 60, `${Math.round(few)} MB for 2,000 entries, ${Math.round(many)} MB for 100,000`);
});

t.test('what was too long or too deep comes out of the rejects as it would have come before', (t) => {
  const cwd = folder(t);
  const deep = (levels: number): unknown => (levels === 0 ? 'x' : [deep(levels - 1)]);
  const entry = fc.record({
    input: fc.string({ maxLength: 20 }),
    body: fc.nat(300).map((length) => 'y'.repeat(length)),
    nested: fc.nat(6).map(deep),
  });
  fc.assert(
    fc.property(fc.array(entry, { minLength: 1, maxLength: 5 }), fc.constantFrom('...\n', ''), (entries, end) => {
      const texts = entries.map((one) => document(one).replace(/\.\.\.\n$/, end));
      writeFileSync(
        join(cwd, 'a.yaml'),
        `${document({ report_id: 'r', start_time: 0 })}${texts.join('')}---\nlast: 1\n...\n`,
      );
      const all = rows(cannery(['cat', 'a.yaml'], { cwd }).out);
      rmSync(join(cwd, 'rejects'), { force: true });
      const limits = ['--max-line', '300', '--max-depth', '4'];
      const some = rows(cannery(['cat', ...limits, '--rejects', 'rejects', 'a.yaml'], { cwd }).out);
      const again = cannery(['cat', '--format', 'rejects', 'rejects'], { cwd });
      t.equal(again.code, 0, again.err);
      const sorted = (list: unknown[]) => list.map((row) => JSON.stringify(row)).sort();
      t.same(sorted([...some, ...rows(again.out)]), sorted(all));
    }),
    { numRuns: 5 },
  );
  t.end();
});

t.test('files that only look like reports are told in a few words', (t) => {
  const cwd = folder(t);
  const files: [name: string, bytes: Buffer | string, err: RegExp][] = [
    ['html.yaml', '<html>\n<body>404</body>\n</html>\n', /html\.yaml:1: a header is a mapping, not a scalar/],
    ['zeros.yaml', Buffer.alloc(10_000), /zeros\.yaml:1: not YAML: null byte|cut off at byte 10000/],
    ['random.yaml', execFileSync('head', ['-c', '100000', '/dev/urandom']), /random\.yaml/],
    ['json.yaml', '{"a":1}\n', /a header without entries/],
    [
      'gzip.yaml',
      execFileSync('gzip', { input: execFileSync('gzip', { input: 'x' }) }),
      /gzip within gzip|not UTF-8|cut off/,
    ],
    ['spaces.yaml', ' '.repeat(100_000), /spaces\.yaml/],
  ];
  for (const [name, bytes, want] of files) {
    writeFileSync(join(cwd, name), bytes);
    const { out, err } = cannery(['cat', name], { cwd });
    t.equal(out, '');
    t.match(err, want);
    t.ok(err.length < 2000, name);
  }
  t.end();
});
