// How cost grows: once, twice, four and eight times the data, and one, ten and a hundred times the groups of it. Prints a
// table and JSON lines, and draws both lines into an SVG.
//   node bench/growth.mjs DIR [POSTS OF THE SMALLEST, default 2000]
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { machine, measure } from './contest.mjs';

const [dir, smallest = '2000'] = process.argv.slice(2);
if (!dir) throw new Error('usage: node bench/growth.mjs DIR [POSTS]');
const root = resolve(dir);
const work = join(root, 'growth');
const cannery = `node ${resolve('bin/cannery')}`;
const pipeline = [
  'ls incoming --due',
  'postcan --spool incoming --to outgoing --host n0',
  'upload store',
  'index jsonl.sqlite',
  'clear',
]
  .map((stage) => `${cannery} ${stage}`)
  .join(' | ');

async function run(series, factor, posts, groups) {
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  const spool = Object.entries({ to: work, posts, ...groups }).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const { bytes } = JSON.parse(execFileSync('node', [resolve('bench/spool.mjs'), ...spool]).toString());
  const figures = await measure(`${pipeline} > receipts`, work);
  const row = { series, factor, posts, mb: Math.round(bytes / 1e6), ...figures };
  console.log(
    `  ${series.padEnd(7)}${String(factor).padStart(4)}${String(posts).padStart(8)} posts${String(row.mb).padStart(6)} MB` +
      `${figures.seconds.toFixed(1).padStart(8)} s${figures.cpu.toFixed(1).padStart(8)} CPU-s${figures.peak_mb.toFixed(0).padStart(6)} MB of memory`,
  );
  return row;
}

console.log(`growth of the hourly pipeline; ${machine()}`);
const FEW = { hours: 1, countries: 4, tests: 1 };
const rows = [];
for (const factor of [1, 2, 4, 8]) rows.push(await run('data', factor, factor * Number(smallest), FEW));
const GROUPS = {
  1: { hours: 1, countries: 4, tests: 1 },
  10: { hours: 2, countries: 20, tests: 1 },
  100: { hours: 20, countries: 20, tests: 1 },
};
for (const [factor, groups] of Object.entries(GROUPS))
  rows.push(await run('groups', Number(factor), 2 * Number(smallest), groups));
for (const row of rows) console.log(JSON.stringify({ bench: 'growth', ...row }));

/** A panel: a dot a run, and the straight line from the first of them through the mean of the rest. */
function panel(series, title, left, xOf) {
  const own = rows.filter((row) => row.series === series);
  const [width, height] = [320, 220];
  const [xMax, yMax] = [Math.max(...own.map(xOf)), Math.max(...rows.map(({ seconds }) => seconds)) * 1.1];
  const x = (value) => left + (value / xMax) * width;
  const y = (value) => 20 + height - (value / yMax) * height;
  const points = own.map((row) => `${x(xOf(row)).toFixed(1)},${y(row.seconds).toFixed(1)}`);
  return [
    `<path d="M${left} 20V${20 + height}H${left + width}" fill="none" stroke="black"/>`,
    `<polyline points="${points.join(' ')}" fill="none" stroke="steelblue"/>`,
    ...points.map(
      (point) => `<circle cx="${point.split(',')[0]}" cy="${point.split(',')[1]}" r="3" fill="steelblue"/>`,
    ),
    ...own.map(
      (row) =>
        `<text x="${x(xOf(row)).toFixed(1)}" y="${(y(row.seconds) - 7).toFixed(1)}" text-anchor="middle">${row.seconds.toFixed(1)} s</text>`,
    ),
    ...own.map(
      (row) => `<text x="${x(xOf(row)).toFixed(1)}" y="${height + 36}" text-anchor="middle">${xOf(row)}</text>`,
    ),
    `<text x="${left + width / 2}" y="${height + 56}" text-anchor="middle">${title}</text>`,
  ].join('\n');
}
const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="800" height="290" font-family="sans-serif" font-size="11">
<title>How the cost of the hourly pipeline grows</title>
<rect width="100%" height="100%" fill="white"/>
${panel('data', 'MB of posts, in the same groups', 50, ({ mb }) => mb)}
${panel('groups', 'groups of the same number of posts', 440, ({ factor }) => factor * 4)}
</svg>
`;
writeFileSync(join(root, 'growth.svg'), svg);
console.log(`drawn: ${join(root, 'growth.svg')}`);
rmSync(work, { recursive: true, force: true });
