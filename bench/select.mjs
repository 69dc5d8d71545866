// What choosing fields of a can costs, against zcat and jq.
//   node bench/spool.mjs --to DIR && node bench/select.mjs DIR [ROUNDS]
// Both read the same file, the lines of all cans of the spool; both may use every core.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { contest } from './contest.mjs';

const [dir, rounds = '3'] = process.argv.slice(2);
if (!dir) throw new Error('usage: node bench/select.mjs DIR [ROUNDS]');
const cwd = resolve(dir);
const cannery = `node ${resolve('bin/cannery')}`;
const file = 'select.jsonl.gz';
if (!existsSync(`${cwd}/${file}`)) {
  const lines = [
    'mkdir packed && cp -rl incoming packed/incoming && cd packed',
    `${cannery} ls incoming | ${cannery} postcan --spool incoming --to outgoing --host n0 > rows`,
    `cat outgoing/ready/*/*.jsonl.gz > ../${file}`,
    'cd .. && rm -r packed',
  ];
  execFileSync('bash', ['-o', 'pipefail', '-e', '-c', lines.join('\n')], { cwd });
}

const of = (name, line) => ({ name, line, cwd });
const THREE = 'report_id,input,probe_cc';
const TEN = `${THREE},probe_asn,test_name,measurement_start_time,software_name,software_version,test_keys.blocking,test_keys.accessible`;
const paths = (names) => names.split(',').map((name) => `.${name}`);
const object = paths(THREE)
  .map((path) => path.slice(1))
  .join(',');

await contest(
  'select, three fields as JSON lines',
  [
    of('zcat | jq -c', `zcat ${file} | jq -c '{${object}}' > select.jq`),
    of('cannery select', `${cannery} select ${file} --fields ${THREE} --to jsonl > select.jsonl`),
  ],
  Number(rounds),
);
await contest(
  'select, ten fields as a table',
  [
    of('zcat | jq -r @csv', `zcat ${file} | jq -r '[${paths(TEN)}] | @csv' > select.jq`),
    of('cannery select --to csv', `${cannery} select ${file} --fields ${TEN} --to csv > select.csv`),
    of(
      'cannery select --to parquet',
      `rm -f t.parquet; ${cannery} select ${file} --fields ${TEN} --to parquet --out t.parquet`,
    ),
    of('zcat alone', `zcat ${file} > /dev/null`),
  ],
  Number(rounds),
);
await contest(
  'select, one country of eight, as rows',
  [
    of('zcat | jq -c', `zcat ${file} | jq -c 'select(.probe_cc == "IT")' > select.jq`),
    of('cannery select', `${cannery} select ${file} --where 'cc = IT' > select.jsonl`),
  ],
  Number(rounds),
);
