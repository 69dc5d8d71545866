// Runs each verb once, the main job on a few posts, and has bin/cannery keep what V8 made of it: a start takes a tenth less.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const JOB = `
  cp -r "$ROOT/fixtures/spool/incoming" incoming
  find incoming -name '*.post' | sed 's,.*/,,; s,.post$,,' > uids
  cannery ls incoming | cannery postcan --spool incoming --to outgoing --host n0 | cannery upload store |
    cannery index jsonl.sqlite | cannery clear > receipts
  cannery ls store | cannery cat > rows
  cannery get --index jsonl.sqlite < uids > found
  cannery select --to csv --fields input rows > table`;

/** @param verbs that were built */
export function warm(verbs) {
  if (!existsSync('fixtures/spool')) return;
  const folder = mkdtempSync(join(tmpdir(), 'cannery-warm-'));
  const root = resolve('.');
  const env = { ...process.env, CANNERY_KEEP_CODE: '1', ROOT: root, PATH: `${join(root, 'bin')}:${process.env.PATH}` };
  const run = (lines) =>
    execFileSync('bash', ['-e', '-o', 'pipefail', '-c', lines], {
      cwd: folder,
      env,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
  try {
    for (const verb of verbs.filter((name) => !JOB.includes(`cannery ${name} `))) run(`cannery ${verb} --help`);
    run(JOB);
  } catch (error) {
    console.warn(`what V8 makes of the verbs is not kept: ${error.message}`); // they run without it
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
