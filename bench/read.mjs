// What reading cans costs: `cat` checks every line and puts three members in front; jq and Python parse what they are given.
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
    'mkdir packed && cp -rl incoming/ packed/incoming && cd packed',
    `${cannery} ls incoming | ${cannery} postcan --spool incoming --to outgoing --host n0 > rows`,
    `cat $(ls -S outgoing/ready/*/*.jsonl.gz | head -n 5) > ../${file}`, // 400 MB of text
    'cd .. && rm -r packed',
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

const FIELDS = ['report_id', 'input', 'probe_cc'];
const python = [
  'import gzip, json, sys',
  `for line in gzip.open('${file}'):`,
  '    row = json.loads(line)',
  `    sys.stdout.write(json.dumps([row.get(name) for name in ${JSON.stringify(FIELDS)}]) + chr(10))`,
];
writeFileSync(`${cwd}/read.py`, `${python.join('\n')}\n`);
await contest(
  'reading, three fields',
  [
    of('zcat | jq -c', `zcat ${file} | jq -c '[${FIELDS.map((name) => `.${name}`)}]' > out.jq`),
    of('cannery select', `${cannery} select ${file} --fields ${FIELDS} --to jsonl > out.select`),
    ...((await has('python3')) ? [of('python: gzip, json', 'python3 read.py > out.python')] : []),
  ],
  Number(rounds),
);
