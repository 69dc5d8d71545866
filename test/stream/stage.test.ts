import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import {
  describe,
  EXIT,
  exitCodeOf,
  Failure,
  Malformed,
  printable,
  ReaderGone,
  UsageError,
} from '../../src/stream/errors.ts';
import { humanBytes } from '../../src/stream/progress.ts';
import { bytes, flag, list, number, text } from '../../src/stream/verb.ts';
import { cannery, folder, putPost, ROOT, rows, shell } from '../lib.ts';

t.test('exit codes', (t) => {
  const dir = folder(t);
  writeFileSync(join(dir, 'good.jsonl'), '{"a":1}\n');
  writeFileSync(join(dir, 'mixed.jsonl'), '{"a":1}\nbad\n');
  putPost(join(dir, 'incoming'), '{"format":"json","content":{}}');
  const cases: [args: string[], code: number, err: RegExp][] = [
    [['cat', 'good.jsonl'], 0, /^$/],
    [['cat', 'mixed.jsonl'], 3, /^cannery cat: mixed\.jsonl:2: not JSON: .*\n$/],
    [['cat', 'missing.jsonl', 'good.jsonl'], 3, /^cannery cat: missing\.jsonl: no such file or folder\n$/],
    [['cat', '.'], 3, /^cannery cat: \.: is a folder\n$/],
    [['ls', 'incoming'], 0, /^$/],
    [['ls', 'missing'], 3, /^cannery ls: missing: no such file or folder\n$/],
    [
      ['postcan', '--spool', 'missing', '--to', 'outgoing', '--host', 'n0'],
      1,
      /^cannery postcan: missing: no such folder\n$/,
    ],
    [['cat', 'good.jsonl', '--rejects', 'good.jsonl/r'], 1, /^cannery cat: --rejects: .*: not a folder\n$/],
    [['cat', '--raw', '--end'], 2, /^cannery cat: --raw has no end row: leave --end out\n$/],
  ];
  for (const [args, code, err] of cases) {
    const ran = cannery(args, { cwd: dir });
    t.equal(ran.code, code, args.join(' '));
    t.match(ran.err, err);
  }
  t.equal(
    rows(cannery(['cat', 'missing.jsonl', 'mixed.jsonl', 'good.jsonl'], { cwd: dir }).out).length,
    2,
    'the rest goes on',
  );

  t.equal(exitCodeOf(new UsageError('x')), EXIT.usage);
  t.equal(exitCodeOf(new Malformed('x')), EXIT.rejects);
  t.equal(exitCodeOf(new ReaderGone('x')), EXIT.ok);
  t.equal(exitCodeOf(new Failure('x')), EXIT.failed);
  t.equal(exitCodeOf(new TypeError('x')), EXIT.failed);
  t.equal(exitCodeOf('x'), EXIT.failed);
  t.end();
});

t.test('the command line', (t) => {
  const dir = folder(t);
  const verbs = readdirSync(join(ROOT, 'src/commands'))
    .filter((file) => file.endsWith('.ts'))
    .map((file) => file.slice(0, -3));
  const near = cannery(['lss']);
  t.equal(near.code, 2);
  t.equal(near.err, "cannery lss: no verb 'lss'; near: ls\n");
  const unknown = cannery(['xyzzy']);
  t.equal(unknown.code, 2);
  for (const verb of verbs) t.ok(unknown.err.includes(verb), `the list of verbs has ${verb}`);
  t.match(unknown.err, /^cannery xyzzy: no verb 'xyzzy'; there are: [a-z, ]+\n$/);

  const cases: [args: string[], err: RegExp][] = [
    [[], /^cannery: a verb is missing: see cannery --help\n$/],
    [['../x'], /^cannery: no verb '\.\.\/x'; there are: /],
    [['constructor'], /no verb 'constructor'/],
    [['help', 'nothing'], /no verb 'nothing'/],
    [['--nothing'], /no verb '--nothing'/],
    [['ls'], /^cannery ls: a path is missing: see cannery ls --help\n$/],
    [['ls', '--nothing', '.'], /^cannery ls: unknown option '--nothing'.*; see cannery ls --help\n$/],
    [['ls', '--cc'], /^cannery ls: option '--cc <countries>' argument missing; see cannery ls --help\n$/],
    [['ls', '--cc', 'ITA', '.'], /^cannery ls: --cc: two letters, not 'ITA'\n$/],
    [['ls', '--cc', 'IT,', '.'], /^cannery ls: --cc: an empty name in 'IT,'\n$/],
    [['ls', '--test', '', '.'], /^cannery ls: --test: an empty name in ''\n$/],
    [['ls', '--from', '2024-02-30', '.'], /'2024-02-30' is neither a day/],
    [['cat', '--max-line', '64X', '-'], /^cannery cat: --max-line: a size such as 20000000 or 20M, not '64X'\n$/],
    [['cat', '--max-line', '-1', '-'], /--max-line/],
    [['cat', '--max-depth', 'many', '-'], /^cannery cat: --max-depth: a number from 1 to 100000, not 'many'\n$/],
    [['cat', '--format', 'xml', '-'], /^cannery cat: --format: one of .*, not 'xml'\n$/],
    [['postcan', 'x'], /^cannery postcan: unexpected 'x': no operands here\n$/],
    [['postcan'], /^cannery postcan: --to is missing\n$/],
  ];
  for (const [args, err] of cases) {
    const ran = cannery(args, { cwd: dir });
    t.equal(ran.code, 2, args.join(' '));
    t.match(ran.err, err);
    t.equal(ran.out, '');
  }
  t.same(readdirSync(dir), [], 'nothing was made');

  for (const args of [['--help'], ['-h'], ['help']]) {
    const { code, out, err } = cannery(args);
    t.equal(code, 0, args.join(' '));
    t.equal(err, '');
    for (const verb of verbs) t.match(out, new RegExp(`^  ${verb} +\\S`, 'm'));
  }
  for (const args of [
    ['cat', '--help'],
    ['cat', '-h'],
    ['help', 'cat'],
  ]) {
    const { code, out, err } = cannery(args);
    t.equal(code, 0, args.join(' '));
    t.equal(err, '');
    t.match(out, /^Usage: cannery cat \[options\] \[FILE\.\.\.\|-\]/);
    for (const option of ['--raw', '--max-line <bytes>', '--rejects <file>', '--stats', '--quiet'])
      t.ok(out.includes(option));
  }
  t.match(cannery(['--version']).out, /^cannery \d+\.\d+\.\d+\n$/);
  t.end();
});

t.test('kinds of option', (t) => {
  const size = bytes('--size <bytes>', 'help', 5);
  const sizes: [given: string, bytes: number][] = [
    ['1', 1],
    ['20000000', 20_000_000],
    ['64K', 65_536],
    ['64k', 64_000],
    ['20M', 20_000_000],
    ['3G', 3_000_000_000],
  ];
  for (const [given, expected] of sizes) t.equal(size.parse(given, 0), expected, given);
  for (const bad of ['', '0', '0K', '-1', '1.5M', '1e3', '0x10', '20MB', '20 M', 'M', '٣', '9'.repeat(16), ' 1', '1\n'])
    t.throws(() => size.parse(bad, 0), { message: /^--size: a size/ }, JSON.stringify(bad));
  t.equal(size.shown, '5');

  const count = number('--count <n>', 'help', 2, 1, 9);
  t.equal(count.parse('1', 0), 1);
  t.equal(count.parse('9', 0), 9);
  for (const bad of ['2.5', '', '0', '10', '-1', '1e0', '0x1', 'NaN', 'Infinity', '1,5', ' 1', '1 ', '.5', '5.'])
    t.throws(() => count.parse(bad, 0), { message: /^--count: a number from 1 to 9, not / }, JSON.stringify(bad));

  const names = list('--names <names>', 'help', (name) => name.toUpperCase());
  t.same(names.parse('a, b', []), ['A', 'B']);
  t.same(names.parse('c', ['A', 'B']), ['A', 'B', 'C'], 'given several times');
  for (const bad of ['', ',', 'a,', ',a', 'a,,b', ' '])
    t.throws(() => names.parse(bad, []), { message: /^--names: an empty name/ });

  t.equal(flag('--on', 'help').initial, false);
  t.equal(text('--text <text>', 'help').parse('', undefined), '');
  t.end();
});

t.test('--stats is one line of JSON on stderr', (t) => {
  const dir = folder(t);
  writeFileSync(join(dir, 'in.jsonl'), '{"a":1}\nbad\n{"b":2}\n');
  const { code, out, err } = cannery(['cat', '--raw', 'in.jsonl', '--stats'], { cwd: dir });
  t.equal(code, 3);
  const lines = err.trimEnd().split('\n');
  t.equal(lines.length, 2);
  const { seconds, ...counts } = JSON.parse(lines[1]!);
  t.same(counts, { stage: 'cat', in: 3, out: 2, skipped: 0, rejected: 1, bytes_in: 20, bytes_out: out.length });
  t.ok(seconds >= 0 && seconds < 60);

  const failed = cannery(['cat', 'in.jsonl', 'r', '--rejects', 'r', '--stats'], { cwd: dir });
  t.equal(failed.code, 2);
  t.ok(
    failed.err.split('\n').some((line) => line.startsWith('{"stage":"cat"')),
    'also of a run that fails',
  );
  const gone = shell('cannery cat in.jsonl --stats | true', { cwd: dir });
  t.equal(rows(gone.err.replace(/^cannery.*\n/gm, '')).length, 1, 'and where the reader has gone');
  t.end();
});

t.test('messages stay on one line and off the terminal', (t) => {
  const dir = folder(t);
  const name = 'a\nb\u001b[31m\u009b.jsonl';
  writeFileSync(join(dir, name), 'bad\n');
  const { err } = cannery(['cat', name, 'no\nsuch'], { cwd: dir });
  t.match(
    err,
    /^cannery cat: a\\nb\\x1b\[31m\\x9b\.jsonl:1: not JSON: .*\ncannery cat: no\\nsuch: no such file or folder\n$/,
  );
  t.equal(printable('é✓😀 \t\r\n\0\u2028\ud800x'), 'é✓😀 \\x09\\x0d\\n\\x00\\x2028\\xd800x');

  const system = (code: string, path?: string) => describe(Object.assign(new Error('raw'), { code, path }));
  t.equal(system('ENOSPC'), 'no space left on device');
  t.equal(system('EACCES', 'a\nb'), 'a\nb: permission denied');
  t.equal(system('EWHATEVER'), 'raw');
  t.equal(describe(new Error('')), 'Error');
  t.equal(describe('text'), 'text');

  t.equal(humanBytes(0), '0 B');
  t.equal(humanBytes(999), '999 B');
  t.equal(humanBytes(1536), '1.5 kB');
  t.equal(humanBytes(20_000_000), '20.0 MB');
  t.equal(humanBytes(3e15), '3000.0 TB');
  t.end();
});

// --- on a terminal

const script = spawnSync('script', ['--version'], { encoding: 'utf8' });
const skip = /util-linux/.test(script.stdout ?? '') ? false : 'script of util-linux is not there';
/** Runs a line of shell on a terminal of its own; what stands on it is in the file `screen` meanwhile. */
function onTerminal(line: string, cwd: string): { code: number | null; out: string } {
  writeFileSync(join(cwd, 'run.sh'), `${line}\n`);
  const options = { cwd, env: { TERM: 'xterm' } };
  const { code } = shell("script -qefc 'bash -o pipefail run.sh' screen < /dev/null", options);
  const out = readFileSync(join(cwd, 'screen'), 'utf8');
  return { code, out: out.replace(/^Script started.*\n|\n?Script done.*\n$/g, '') };
}
/** Until the bar is drawn, or in vain. */
const DRAWN = 'for _ in $(seq 100); do grep -aq " rows " screen && break; sleep 0.1; done';
const WAITS = 'sleep 1.2';

t.test('standard input that is a terminal is refused where rows are read', { skip }, (t) => {
  for (const verb of ['cat', 'upload store', 'clear', 'postcan --rows --to outgoing']) {
    const { code, out } = onTerminal(`cannery ${verb}`, folder(t));
    t.equal(code, 2, verb);
    t.match(out, /rows are read from standard input: put a pipe or a file there/);
  }
  t.end();
});

t.test('the progress bar', { skip }, (t) => {
  const dir = folder(t);
  const bar = /cannery cat .*\d rows .*B\/s/;
  const cases: [line: string, drawn: boolean][] = [
    ['cannery cat - > /dev/null', true],
    ['cannery cat - > file', true],
    ['cannery cat - --progress | wc -c', true],
    ['cannery cat - --quiet > /dev/null', false],
    ['cannery cat - 2> err > /dev/null', false],
    ['cannery cat - | wc -c', false], // the terminal is that of the last stage
    ['cannery cat - --progress --quiet | wc -c', false],
  ];
  for (const [line, drawn] of cases) {
    const { code, out } = onTerminal(`{ echo '{}'; ${drawn ? DRAWN : WAITS}; echo '{}'; } | ${line}`, dir);
    t.equal(code, 0, line);
    t.equal(bar.test(out), drawn, drawn ? 'drawn' : 'not drawn');
  }

  const { out } = onTerminal(`{ echo '{}'; ${DRAWN}; echo bad; ${WAITS}; } | cannery cat - > /dev/null`, dir);
  t.match(out, /\r\u001b\[Kcannery cat: line 2: not JSON/, 'a message has its line for itself');

  // Where the size is known there is an end to it.
  writeFileSync(join(dir, 'in.jsonl'), `{"x":"${'x'.repeat(100_000)}"}\n`.repeat(800));
  const known = onTerminal('cannery cat in.jsonl > /dev/null', dir);
  t.match(known.out, /\[.*\] +\d+% \d+ rows .*B\/s ETA/);

  const hung = 'mkfifo hung; exec 3<>hung; cannery cat - > /dev/null <&3 &';
  const killed = onTerminal(`${hung}\n${DRAWN}; kill -TERM $!; wait $!`, dir);
  t.equal(killed.code, 143, 'a bar keeps no run alive');
  t.notMatch(killed.out, /\u001b\[\?(?:7|25)l/, 'and leaves the terminal as it was');

  const piped = shell(`{ echo '{}'; ${WAITS}; echo '{}'; } | cannery cat - > /dev/null`, { cwd: dir });
  t.equal(piped.err, '', 'none where stderr is no terminal');
  t.end();
});

// --- memory

t.test('300 MB of JSON lines pass through in constant memory', (t) => {
  const dir = folder(t);
  mkdirSync(join(dir, 'tmp'));
  writeFileSync(
    join(dir, 'probe.cjs'),
    "process.on('exit', () => require('fs').writeFileSync(process.env.PEAK, String(process.resourceUsage().maxRSS)));",
  );
  writeFileSync(
    join(dir, 'lines.mjs'),
    `import { once } from 'node:events';
const body = 'x'.repeat(4000);
for (let n = 0; n < 75000; ) {
  let lines = '';
  for (const end = n + 100; n < end; n++) lines += '{"report_id":"r","input":"http://e/' + n + '","test_keys":{"body":"' + body + '"}}\\n';
  if (!process.stdout.write(lines)) await once(process.stdout, 'drain');
}`,
  );
  const { code, out, err } = shell(
    `node lines.mjs | NODE_OPTIONS=--require=${dir}/probe.cjs PEAK=${dir}/peak cannery cat - --stats | tail -n 1 | cut -c 1-60`,
    { cwd: dir },
  );
  t.equal(code, 0, err);
  t.match(out, /^\{"measurement_uid":"01/);
  const stats = JSON.parse(err);
  t.equal(stats.out, 75_000);
  t.ok(stats.bytes_in > 300_000_000, `${stats.bytes_in} bytes`);
  const peak = Number(readFileSync(join(dir, 'peak')));
  t.ok(peak > 10_000 && peak < 200_000, `${peak} kB at most`);
  t.end();
});
