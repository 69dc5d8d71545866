// What reading cans costs, all of every line (`cat` checks each, and puts three members in front) and some fields (`select`),
// against zcat with jq, and Python. All read the same file; all may use every core.
//   node bench/spool.mjs --to DIR && node bench/read.mjs DIR [ROUNDS]
import { execFileSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { contest, has } from './contest.mjs';

const [dir, rounds = '3'] = process.argv.slice(2);
if (!dir) throw new Error('usage: node bench/read.mjs DIR [ROUNDS]');
const cwd = resolve(dir);
const cannery = `node ${resolve('bin/cannery')}`;
const file = 'read.jsonl.gz';
if (!existsSync(`${cwd}/${file}`)) {
  const lines = [
    // Each on a line of its own: bash goes on behind a list that fails before its last command.
    'mkdir packed',
    'cp -rl incoming/ packed/incoming',
    'cd packed',
    `${cannery} ls incoming | ${cannery} postcan --spool incoming --to outgoing --host n0 > rows`,
    `cat outgoing/ready/*11_*/*.jsonl.gz > ../${file}`, // of an hour, every country and test: 400 MB of text
    'cd ..',
    'rm -r packed',
  ];
  execFileSync('bash', ['-o', 'pipefail', '-e', '-c', lines.join('\n')], { cwd });
}

const of = (name, line) => ({ name, line, cwd });
await contest(
  'reading, all of every line',
  [
    of('zcat | jq -c .', `zcat ${file} | jq -c . > out.jq`),
    of('cannery cat', `${cannery} cat ${file} > out.cat`),
    of('zcat alone', `zcat ${file} > /dev/null`),
  ],
  Number(rounds),
);

const THREE = ['report_id', 'input', 'probe_cc'];
const TEN = [
  ...THREE,
  ...['probe_asn', 'test_name', 'measurement_start_time', 'software_name', 'software_version'],
  ...['test_keys.blocking', 'test_keys.accessible'],
];
const paths = (names) => names.map((name) => `.${name}`);
const python = [
  'import gzip, json, sys',
  `for line in gzip.open('${file}'):`,
  '    row = json.loads(line)',
  `    sys.stdout.write(json.dumps({name: row.get(name) for name in ${JSON.stringify(THREE)}}) + chr(10))`,
];
writeFileSync(`${cwd}/read.py`, `${python.join('\n')}\n`);
await contest(
  'select, three fields as JSON lines',
  [
    of('zcat | jq -c', `zcat ${file} | jq -c '{${THREE}}' > select.jq`),
    of('cannery select', `${cannery} select ${file} --fields ${THREE} --to jsonl > select.jsonl`),
    ...((await has('python3')) ? [of('python: gzip, json', 'python3 read.py > out.python')] : []),
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
