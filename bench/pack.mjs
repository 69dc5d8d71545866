// What packing costs, against what compresses alone: `tar | pigz` makes one of the two files, and reads nothing back.
//   node bench/spool.mjs --to DIR && node bench/pack.mjs DIR [ROUNDS]
// Cannery makes both files, rows and manifest, hashed, fsynced and read back; sizes are held to two files of gzip -6.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { contest, has } from './contest.mjs';

const [dir, rounds = '3'] = process.argv.slice(2);
if (!dir) throw new Error('usage: node bench/pack.mjs DIR [ROUNDS]');
const root = resolve(dir);
const work = join(root, 'pack');
const cannery = `node ${resolve('bin/cannery')}`;
const pigz = await has('pigz');
if (!pigz) console.log('no pigz here: held to GNU gzip instead');

/** Megabytes of files whose names end so. */
function megabytes(...ends) {
  const files = readdirSync(work, { recursive: true, withFileTypes: true }).filter(
    (file) => file.isFile() && ends.some((end) => file.name.endsWith(end)),
  );
  return {
    mb: files.reduce((sum, file) => sum + statSync(join(file.parentPath ?? file.path, file.name)).size, 0) / 1e6,
  };
}

const fresh = () => {
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work);
};
const linked = () => {
  fresh();
  spawnSync('cp', ['-rl', join(root, 'incoming'), work]);
  const rows = spawnSync('bash', ['-c', `${cannery} ls incoming`], { cwd: work, maxBuffer: 1e9 }).stdout;
  writeFileSync(join(work, 'rows'), rows);
};
const postcan = (name, options) => ({
  name,
  line: `${cannery} postcan --spool incoming --to outgoing --host n0 ${options} < rows`,
  cwd: work,
  before: linked,
  after: () => megabytes('.tar.gz', '.jsonl.gz'),
});
const alone = (name, line) => ({ name, line, cwd: work, before: fresh, after: () => megabytes('.gz') });

const contestants = [
  ...(pigz ? [alone('tar | pigz -6', 'tar -C .. -cf - incoming | pigz -6 > t.tar.gz')] : []),
  alone('tar | gzip -6', 'tar -C .. -cf - incoming | gzip -6 > t.tar.gz'),
  postcan('cannery postcan', ''),
  postcan('cannery postcan --fast', '--fast'),
  ...((await has('python3'))
    ? [alone('python: tarfile, gzip, json', `python3 ${resolve('bench/pack.py')} ../incoming out`)]
    : []),
];
await contest('pack', contestants, Number(rounds));
rmSync(work, { recursive: true, force: true });
