// Reads TAP: shows failures, skips with their reasons and what tests remark, and ends with `N passed, N failed`.
import { existsSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

let file = '';
let detail = false;
let summary = '';
let notOk = 0;

for await (const line of createInterface({ input: process.stdin })) {
  if (line.startsWith('# Subtest: ')) file = line.slice(11).replace(/^build\//, '');
  if (line.startsWith('# { total:')) summary = line;
  const [, remark] = /^\s*# (?!Subtest: |No coverage|\{ total|time=)(.*)$/.exec(detail ? '' : line) ?? [];
  if (remark !== undefined) console.log(`note: ${file}: ${remark}`);
  const [, indent, not, text] = /^(\s*)(not )?ok \d+ - (.*)$/.exec(line) ?? [];
  if (text === undefined) {
    if (detail && line.trim() !== '') console.log(line);
    if (/^\s*\.\.\.$/.test(line)) detail = false;
    continue;
  }
  const [name, skip] = text.split(/ # SKIP ?/);
  detail = not !== undefined;
  if (not) notOk++;
  if (not) console.log(`not ok: ${file}: ${text}`);
  else if (skip !== undefined) console.log(`skipped: ${file}: ${name}: ${skip || 'no reason given'}`);
  else if (indent === '') console.log(`ok: ${text.replace(/^build\//, '').replace(/ # time=(.*)$/, ' ($1)')}`);
}

// What the tests in test/faults tried, in one line for machines.
if (existsSync('build/faults/counts')) {
  const counts = { seed: Number(process.env.CANNERY_FAULTS_SEED) };
  for (const line of readFileSync('build/faults/counts', 'utf8').trim().split('\n')) {
    const [, by, what] = /^(\d+) (.*)$/.exec(line);
    counts[what] = (counts[what] ?? 0) + Number(by);
  }
  console.log(`faults: ${JSON.stringify(counts)}`);
}

// tap counts every assertion in its last comment; a file that dies before its first counts as failed.
const count = (name) => Number(new RegExp(`\\b${name}: (\\d+)`).exec(summary)?.[1] ?? 0);
// A subtest can fail without a failed assertion of its own.
const failed = summary === '' ? 1 : Math.max(count('fail'), notOk > 0 ? 1 : 0);
const skipped = count('skip');
console.log(`${count('pass')} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
process.exit(failed === 0 && count('pass') > 0 ? 0 : 1);
