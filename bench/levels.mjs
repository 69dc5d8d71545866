// Where the strengths (`dense`, `fast`; numbers are zlib's levels), the size from which a measurement is compressed once
// for both files, and the size of a member come from: size of both files against two of gzip -6, and CPU-seconds of
// deflate for a gigabyte of posts.
//   node bench/spool.mjs --to DIR && node bench/levels.mjs DIR [FOLDERS, default 12]
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import zlib from 'node:zlib';
import { machine } from './contest.mjs';
import { ours } from './ours.mjs';

const { segment } = await ours('src/edge/gzip.ts');
const [dir, count = '12'] = process.argv.slice(2);
if (!dir) throw new Error('usage: node bench/levels.mjs DIR [FOLDERS]');
const root = join(dir, 'incoming');
// By chance, but always the same: every tenth folder may be of one test.
const chance = (folder) => createHash('sha256').update(folder).digest('hex');
const folders = readdirSync(root)
  .sort((a, b) => (chance(a) < chance(b) ? -1 : 1))
  .slice(0, Number(count));
const groups = folders.map((folder) =>
  readdirSync(join(root, folder))
    .sort()
    .map((name) => readFileSync(join(root, folder, name))),
);
const bytes = groups.flat().reduce((sum, post) => sum + post.length, 0);

// About what surrounds a post in a tar, and its content in the post.
const header = Buffer.alloc(512);
header.write('2024020110_IT_webconnectivity/20240201100000.000000_IT_webconnectivity_0123456789abcdef.post 0000644');
const padding = (post) => Buffer.alloc((512 - (post.length % 512)) % 512);
const HEAD = '{"format":"json","content":'.length;
const line = (post) => post.subarray(HEAD, -1);
const LF = Buffer.from('\n');

const text = (posts, lines) =>
  Buffer.concat(posts.flatMap((post) => (lines ? [line(post), LF] : [header, post, padding(post)])));
const gzip = (posts) =>
  [true, false].reduce((sum, lines) => sum + zlib.gzipSync(text(posts, lines), { level: 6 }).length, 0);
const base = groups.reduce((sum, posts) => sum + gzip(posts), 0);

function size(posts, level, sharedFrom, member) {
  const deflate = (piece) => segment(piece, level).deflated.length;
  let sum = 0;
  let group = [];
  let held = 0;
  const close = () => {
    if (held > 0) sum += deflate(text(group, true)) + 20 + deflate(text(group, false));
    group = [];
    held = 0;
  };
  for (const post of posts) {
    if (post.length >= sharedFrom) {
      close();
      const around =
        deflate(Buffer.concat([header, post.subarray(0, HEAD)])) +
        deflate(Buffer.concat([post.subarray(-1), padding(post)]));
      sum += 2 * deflate(line(post)) + 27 + around;
    } else {
      group.push(post);
      held += post.length;
      if (held >= member) close();
    }
  }
  close();
  return sum;
}

const cpu = () => Object.values(process.cpuUsage()).reduce((sum, micros) => sum + micros / 1e6, 0);
console.log(
  `${(bytes / 1e6).toFixed(0)} MB of posts, two files of gzip -6 are ${(base / 1e6).toFixed(1)} MB; ${machine()}`,
);
console.log('level  shared from  member   size      CPU-seconds a GB');
const show = (level, shared, member) => {
  const started = cpu();
  const sum = groups.reduce((total, posts) => total + size(posts, level, shared * 1024, member * 1024), 0);
  const seconds = ((cpu() - started) * 1e9) / bytes;
  const cells = [String(level).padEnd(5), `${shared} KB`.padStart(10), `${member} KB`.padStart(8)];
  console.log(
    `${cells.join('  ')}  ${`+${((sum / base - 1) * 100).toFixed(1)} %`.padStart(8)}  ${seconds.toFixed(1).padStart(8)}`,
  );
};
for (const level of ['dense', 4, 5, 6])
  for (const shared of [32, 48, 64, 96]) for (const member of [64, 128]) show(level, shared, member);
for (const level of ['fast', 1, 2, 3]) for (const shared of [1, 8, 16]) show(level, shared, 128);
