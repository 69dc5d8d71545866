// A compressor of the user's: what it gives is a member of ours, or nothing is taken of it.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import { HEADER } from '../../src/edge/gzip.ts';
import { memberBy, type Program, programOf, Starter } from '../../src/edge/program.ts';
import { chance } from '../faults/place.ts';
import { noise } from '../faults/spools.ts';
import { folder } from '../lib.ts';

const text = Buffer.from(noise(chance(1), 1_500_000));
/** A program that does this with its input, as `text`. */
const node = (code: string): Program => [
  process.execPath,
  '-e',
  `const zlib=require('zlib'),fs=require('fs');const text=fs.readFileSync(0);const write=(...b)=>process.stdout.write(Buffer.concat(b));${code}`,
];

t.test('words of a command', (t) => {
  t.same(programOf('igzip -3'), ['igzip', '-3']);
  t.same(programOf('  pigz  -11 -p 1 '), ['pigz', '-11', '-p', '1']);
  t.throws(() => programOf(' '), 'no program is named');
  t.end();
});

t.test('a member with our header, whatever the program writes before the text', async (t) => {
  const made = await memberBy(['gzip', '-3'], text);
  t.ok(made.subarray(0, HEADER.length).equals(HEADER));
  t.ok(gunzipSync(made).equals(text));
  t.same(await memberBy(['gzip', '-3'], text), made, 'twice the same');
  // A name, a comment, an extra field and a sum of the header.
  const frame = `const raw=zlib.deflateRawSync(text);const end=Buffer.alloc(8);
    end.writeUInt32LE(zlib.crc32(text));end.writeUInt32LE(text.length,4);
    write(Buffer.from([31,139,8,30,1,2,3,4,0,3,2,0,65,66]),Buffer.from('name\\0comment\\0'),Buffer.from([7,7]),raw,end)`;
  const framed = await memberBy(node(frame), text);
  t.ok(framed.subarray(0, HEADER.length).equals(HEADER));
  t.ok(gunzipSync(framed).equals(text));
  t.ok(gunzipSync(await memberBy(['gzip'], Buffer.alloc(0))).equals(Buffer.alloc(0)));
});

/** By way of a shell, as threads do. */
function startedBy(t: Test, program: Program): Starter {
  return new Starter(program, join(folder(t), "it's a $room;"));
}

t.test('the same by way of a shell, several texts at once, and nothing is left of them', async (t) => {
  const starter = startedBy(t, ['gzip', '-3']);
  const texts = Array.from({ length: 20 }, (_, n) => text.subarray(n * 1000, n * 70_000));
  const made = await Promise.all(texts.map((text) => memberBy(['gzip', '-3'], text, starter.filtered)));
  for (const [n, text] of texts.entries()) t.same(made[n], await memberBy(['gzip', '-3'], text));
  t.same(readdirSync(starter.room), []);
});

t.test('words are not for the shell', async (t) => {
  const program = node('if(process.argv[1]!=="a b;$HOME`id`")process.exit(9);write(zlib.gzipSync(text))');
  const words: Program = [...program, 'a b;$HOME`id`'];
  t.ok(gunzipSync(await memberBy(words, text, startedBy(t, words).filtered)).equals(text));
});

t.test('a shell that has ended is told', async (t) => {
  // The shell is the parent of what it starts.
  const program: Program = ['sh', '-c', 'kill -9 $PPID; sleep 1'];
  const starter = startedBy(t, program);
  const ended = { message: /^--compress-program sh -c .*: the shell that starts it has ended$/ };
  await t.rejects(Promise.all([starter.filtered(text), starter.filtered(text)]), ended);
  await t.rejects(starter.filtered(text), ended);
});

/** What a shell adds, or says in other words. */
const BY_SHELL: Record<string, RegExp> = {
  'is not there': /no-such-compressor -3: exit 127: .*not found$/,
  'is killed': /: killed by SIGKILL(?:: Killed)?$/,
};

for (const [name, program, message] of [
  ['is not there', ['no-such-compressor', '-3'], /no-such-compressor -3: cannot be run: .*no such file/],
  ['fails', node('process.stderr.write("no room\\nmore\\n");process.exit(7)'), /: exit 7: no room$/],
  ['is killed', node('process.kill(process.pid, "SIGKILL")'), /: killed by SIGKILL$/],
  ['does not read', ['true'], /: (gzip cut short|no gzip member begins here)$/],
  ['gives the text', ['cat'], /: no gzip member begins here$/],
  ['gives half', node('write(zlib.gzipSync(text).subarray(0,-9))'), /something else than one gzip member/],
  ['gives a header alone', node('write(zlib.gzipSync(text).subarray(0,12))'), /cut short/],
  ['gives another text', node('write(zlib.gzipSync("x"))'), /something else than one gzip member/],
  [
    'gives two members',
    node('const n=text.length>>1;write(zlib.gzipSync(text.subarray(0,n)),zlib.gzipSync(text.subarray(n)))'),
    /something else than one gzip member/,
  ],
  ['gives something behind', node('write(zlib.gzipSync(text),Buffer.from("more bytes"))'), /something else/],
] as [string, Program, RegExp][])
  t.test(`a program that ${name}`, async (t) => {
    await t.rejects(memberBy(program, text), { message });
    const starter = startedBy(t, program);
    await t.rejects(memberBy(program, text, starter.filtered), { message: BY_SHELL[name] ?? message });
    // The next text is none the worse for it.
    await t.rejects(memberBy(program, text, starter.filtered));
  });

t.test('what gzip makes is what zlib reads', async (t) => {
  t.ok(gunzipSync(await memberBy(['gzip', '-9'], gzipSync(text))).equals(gzipSync(text)));
});
