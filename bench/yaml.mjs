#!/usr/bin/env node
// CPU that reports in YAML cost, user and system of all processes: `cannery cat` alone and the pipe that makes them fit to be
// published, against PyYAML's C loader, which only loads. By turns, the median of the rounds.
//   make build && node bench/yaml.mjs [--mb N] [--runs N] [--seed N] [--only TEST]
//   node bench/yaml.mjs --memory     memory of `cat` for 10,000, 100,000 and 1,000,000 entries
// The reports are invented, the same for the same seed, in the shape that ooniprobe wrote from 2012 to 2016.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { document } from './pythonyaml.mjs';

const { values } = parseArgs({
  options: {
    mb: { type: 'string', default: '100' },
    runs: { type: 'string', default: '3' },
    seed: { type: 'string', default: '1' },
    only: { type: 'string' },
    memory: { type: 'boolean', default: false },
  },
});

const CANNERY = resolve('bin/cannery');
const PYTHON = `
import sys, yaml
for document in yaml.load_all(open(sys.argv[1], 'rb'), Loader=yaml.CSafeLoader):
    pass
`;

let state = Number(values.seed);
/** A whole number below `n` (mulberry32). */
function random(n) {
  state = (state + 0x6d2b79f5) | 0;
  let x = Math.imul(state ^ (state >>> 15), state | 1);
  x = (x + Math.imul(x ^ (x >>> 7), x | 61)) ^ x;
  return ((x ^ (x >>> 14)) >>> 0) % n;
}
const pick = (list) => list[random(list.length)];
const times = (n, make) => Array.from({ length: n }, (_, i) => make(i));
const WORDS =
  'time year people way day man thing woman life child world school state family student group country problem hand part place case week company system program question work government number night point home water room mother area money story fact month lot right study book eye job word business issue side kind head house service friend father power hour game line end member law car city community name'.split(
    ' ',
  );
const words = (n) => times(n, () => pick(WORDS)).join(' ');
const ip = () => times(4, () => random(256)).join('.');
const hex = (n) => times(n, () => random(16).toString(16)).join('');

/** Half of the pages are lines of plain ASCII, which need no escapes. */
function page(size) {
  if (random(2)) return plainPage(size);
  let text = '<!DOCTYPE html>\n<html>\n<head>\n\t<title>Page</title>\n</head>\n<body>\n';
  while (text.length < size) {
    const kind = random(20);
    if (kind < 8) text += `    <p>${words(10 + random(50))}</p>\n`;
    else if (kind < 13)
      text += `<a href="http://www.${pick(WORDS)}.com/${pick(WORDS)}?id=${random(99999)}">${words(4)}</a>\n`;
    else if (kind < 18) text += `<div class="${pick(WORDS)}" id='${pick(WORDS)}'>\r\n`;
    else text += '<p>текст, café</p>\n';
  }
  return `${text}</body>\n</html>\n`;
}

function plainPage(size) {
  let text =
    '<!DOCTYPE HTML PUBLIC "-//IETF//DTD HTML 2.0//EN">\n<html><head>\n<title>302 Found</title>\n</head><body>\n';
  while (text.length < size)
    text += random(3)
      ? `<p class="${pick(WORDS)}">${words(3 + random(40))}</p>\n`
      : `<a href='http://www.${pick(WORDS)}.com/${pick(WORDS)}?id=${random(99999)}'>${words(4)}</a>\n\n`;
  return `${text}</body>\n</html>\n`;
}

function torLog() {
  const lines = times(5 + random(30), (i) => {
    const time = `Nov 05 12:${String(random(60)).padStart(2, '0')}:00.000`;
    if (i === 0) return `${time} [notice] Tor 0.2.4.20 (git-3cddebeff1c5b7be) opening log file.`;
    if (random(2)) return `${time} [notice] Bootstrapped ${random(101)}%: ${words(4)}.`;
    return `${time} [warn] Problem bootstrapping. Stuck at 10%: '${words(2)}'. (${words(3)}; count ${random(99)}; recommendation warn)`;
  });
  return `${lines.join('\n')}\n`;
}

const headers = () => [
  ['Content-Length', [String(random(99999))]],
  ['Server', ['Apache/2.2.22 (Ubuntu)']],
  ['Connection', ['close']],
  ['Date', ['Thu, 29 Nov 2012 12:20:25 GMT']],
  ['Content-Type', ['text/html; charset=UTF-8']],
  ['Set-Cookie', [`PHPSESSID=${hex(32)}; path=/`]],
];

const ENTRIES = {
  http_requests: () => {
    const url = `http://www.${pick(WORDS)}${random(1000)}.com/`;
    const agent = 'Mozilla/5.0 (Windows; U; Windows NT 6.1; en-US) AppleWebKit/525.19 (KHTML, like Gecko)';
    const body = page(500 + random(1 << random(15)));
    const pair = (is_tor) => ({
      request: { body: null, headers: [['User-Agent', [agent]]], method: 'GET', tor: { is_tor }, url },
      response: { body, code: 200, headers: headers() },
    });
    return {
      agent: 'agent',
      body_length_match: true,
      body_proportion: random(1e6) / 1e6,
      control_failure: null,
      experiment_failure: null,
      factor: 0.8,
      headers_diff: new Set(random(2) ? ['Set-Cookie', 'Via'] : []),
      headers_match: true,
      input: url,
      requests: [pair(true), pair(false)],
      socksproxy: '127.0.0.1:9050',
      test_runtime: random(1e6) / 1e5,
      test_start_time: 1383307200 + random(1e6),
    };
  },
  dns_consistency: () => {
    const host = `${pick(WORDS)}.com`;
    const resolvers = times(12, ip);
    return {
      control_resolver: '8.8.8.8:53',
      input: host,
      queries: resolvers.map((resolver) => ({
        addrs: [ip()],
        answers: [
          [
            `<RR name=${host} type=A class=IN ttl=${random(300)}s auth=False>`,
            `<A address=${ip()} ttl=${random(300)}>`,
          ],
        ],
        failure: null,
        query: `[Query('${host}', 1, 1)]`,
        query_type: 'A',
        resolver: [resolver, 53],
      })),
      tampering: Object.fromEntries(resolvers.map((resolver) => [resolver, random(10) === 0])),
      test_resolvers: resolvers,
      test_runtime: random(1e6) / 1e5,
      test_start_time: 1383307200 + random(1e6),
    };
  },
  http_invalid_request_line: () => {
    const lines = times(4, () => `${hex(5 + random(1000))} / HTTP/1.1\n\r`);
    return {
      input: null,
      received: [...lines.slice(1), Buffer.from(times(40, () => random(256)))],
      sent: lines,
      tampering: random(2) === 0,
      test_runtime: random(1e6) / 1e5,
      test_start_time: 1383307200 + random(1e6),
    };
  },
  bridge_reachability: () => ({
    bridge_address: `${ip()}:${random(65536)}`,
    bridge_hashed_fingerprint: hex(40),
    distributor: pick(['tbb', 'bridgedb']),
    error: null,
    input: `obfs3 ${ip()}:${random(65536)} ${hex(40).toUpperCase()}`,
    success: random(2) === 0,
    timeout: 120,
    tor_log: random(2) ? torLog() : null,
    tor_progress: random(101),
    tor_progress_summary: 'Done',
    tor_progress_tag: 'done',
    tor_version: '0.2.4.20',
    transport_name: 'obfs3',
  }),
};

function report(test_name, bytes) {
  const pieces = [
    document({
      data_format_version: '0.1.0',
      input_hashes: [hex(64)],
      options: ['-f', 'urls.txt'],
      probe_asn: 'AS64496',
      probe_cc: 'IT',
      probe_city: null,
      probe_ip: '127.0.0.1',
      report_id: null,
      software_name: 'ooniprobe',
      software_version: '1.3.1',
      start_time: 1383307200,
      test_helpers: {},
      test_name,
      test_version: '0.2.4',
    }),
  ];
  for (let size = 0; size < bytes; size += pieces.at(-1).length) pieces.push(document(ENTRIES[test_name]()));
  return pieces.join('');
}

/** A database of made-up bridges. */
function bridges() {
  const lines = times(10, (n) => {
    const fingerprint = createHash('sha1').update(`bridge ${n}`).digest('hex').toUpperCase();
    return [`obfs4 198.18.0.${n}:${1024 + n} ${fingerprint}`, { distributor: 'moat', transport: 'obfs4', fingerprint }];
  });
  return JSON.stringify(Object.fromEntries(lines));
}

/** User and system seconds of a line of shell, all its processes together, its output thrown away. */
function cpu(line) {
  const { status, stderr } = spawnSync('bash', [
    '-o',
    'pipefail',
    '-c',
    `TIMEFORMAT='%U %S'; time ( ${line} ) >/dev/null`,
  ]);
  if (status !== 0) throw new Error(`${line}: ${stderr}`);
  const [user, system] = stderr.toString().trim().split('\n').at(-1).split(' ').map(Number);
  return user + system;
}

const median = (list) => list.toSorted((a, b) => a - b)[list.length >> 1];
const rounded = (number) => Number(number.toFixed(2));

function speed(dir) {
  const has = spawnSync('python3', ['-c', 'import yaml; yaml.CSafeLoader']);
  if (has.status !== 0) {
    console.log("skipped: no python3 with yaml and libyaml (Debian's python3-yaml has both)");
    return;
  }
  console.log(`${values.runs} rounds, ${cpus().length} CPUs (${cpus()[0].model}), node ${process.version}`);
  writeFileSync(join(dir, 'load.py'), PYTHON);
  writeFileSync(join(dir, 'bridges.json'), bridges());
  const total = { mb: 0, pyyaml: 0, cat: 0, pipe: 0 };
  for (const test of values.only ? [values.only] : Object.keys(ENTRIES)) {
    const path = join(dir, `${test}.yaml`);
    writeFileSync(path, report(test, Number(values.mb) * 1e6));
    const lines = {
      pyyaml: `python3 ${dir}/load.py ${path}`,
      cat: `${CANNERY} cat ${path}`,
      pipe: `${CANNERY} cat ${path} | ${CANNERY} normalise | ${CANNERY} sanitise --bridges ${dir}/bridges.json`,
    };
    const seconds = Object.fromEntries(Object.keys(lines).map((name) => [name, []]));
    for (let run = 0; run < Number(values.runs); run++)
      for (const [name, line] of Object.entries(lines)) seconds[name].push(cpu(line));
    const found = { mb: statSync(path).size / 1e6 };
    for (const [name, list] of Object.entries(seconds)) found[name] = median(list);
    for (const name of Object.keys(total)) total[name] += found[name];
    print(test, found);
    rmSync(path);
  }
  print('all', total);
}

/** CPU-seconds, and how many times the bytes of PyYAML each handles in one. */
function print(report, { mb, pyyaml, cat, pipe }) {
  const seconds = { pyyaml: rounded(pyyaml), cat: rounded(cat), pipe: rounded(pipe) };
  const ratio = { cat: rounded(pyyaml / cat), pipe: rounded(pyyaml / pipe) };
  console.log(JSON.stringify({ report, mb: Math.round(mb), seconds, ratio }));
}

/** The most memory in MB that a `cat` of so many entries took, which never stand in a file. */
async function memory(entries) {
  const told = "process.on('exit', () => console.error(process.resourceUsage().maxRSS))";
  const args = ['--import', `data:text/javascript,${told}`, CANNERY, 'cat', '--format', 'yaml', '-'];
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'ignore', 'pipe'] });
  let err = '';
  child.stderr.on('data', (text) => {
    err += text;
  });
  const end = once(child, 'close');
  const some = times(100, () => document(ENTRIES.bridge_reachability())).join('');
  child.stdin.write(report('bridge_reachability', 0));
  for (let i = 0; i < entries; i += 100) if (!child.stdin.write(some)) await once(child.stdin, 'drain');
  child.stdin.end();
  const [code] = await end;
  if (code !== 0) throw new Error(err);
  const mb = rounded((entries * some.length) / 100 / 1e6);
  console.log(JSON.stringify({ entries, mb, max_rss_mb: Math.round(Number(err) / 1024) }));
}

const dir = mkdtempSync(join(tmpdir(), 'cannery-bench-yaml-'));
try {
  if (values.memory) for (const entries of [10_000, 100_000, 1_000_000]) await memory(entries);
  else speed(dir);
} finally {
  rmSync(dir, { recursive: true, force: true });
}
