#!/usr/bin/env node
// Bytes per CPU-second on reports in YAML: `cannery cat` against PyYAML's C loader with json.dumps, by turns.
//   make build && node bench/yaml.mjs [--mb N] [--runs N] [--seed N]
// The reports are invented, the same for the same seed, in the shape that ooniprobe wrote from 2012 to 2016.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { document } from './pythonyaml.mjs';

const { values } = parseArgs({
  options: {
    mb: { type: 'string', default: '30' },
    runs: { type: 'string', default: '5' },
    seed: { type: 'string', default: '1' },
  },
});

const PYTHON = `
import json, sys, yaml
def default(value):
    return sorted(value) if isinstance(value, set) else value.decode('latin-1')
for document in yaml.load_all(open(sys.argv[1], 'rb'), Loader=yaml.CSafeLoader):
    sys.stdout.write(json.dumps(document, default=default) + '\\n')
`;
const has = spawnSync('python3', ['-c', 'import yaml; yaml.CSafeLoader']);
if (has.status !== 0) {
  console.log("skipped: no python3 with yaml and libyaml (Debian's python3-yaml has both)");
  process.exit(0);
}

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

function page(size) {
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
    tor_log: null,
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

/** User and system seconds of a command, its output thrown away. */
function cpu(command) {
  const script = 'TIMEFORMAT="%U %S"; time "$@" >/dev/null';
  const { status, stderr } = spawnSync('bash', ['-c', script, 'time', ...command]);
  if (status !== 0) throw new Error(`${command[0]} failed: ${stderr}`);
  const [user, system] = stderr.toString().trim().split('\n').at(-1).split(' ').map(Number);
  return user + system;
}

const dir = mkdtempSync(join(tmpdir(), 'cannery-bench-yaml-'));
try {
  const total = { bytes: 0, cannery: 0, pyyaml: 0 };
  for (const test of Object.keys(ENTRIES)) {
    const path = join(dir, `${test}.yaml`);
    writeFileSync(path, report(test, Number(values.mb) * 1e6));
    const commands = { cannery: [resolve('bin/cannery'), 'cat', path], pyyaml: ['python3', '-c', PYTHON, path] };
    const seconds = { cannery: [], pyyaml: [] };
    for (let run = 0; run < Number(values.runs); run++)
      for (const name of ['cannery', 'pyyaml']) seconds[name].push(cpu(commands[name]));
    // The least of each: what else ran on the machine only ever adds.
    const [cannery, pyyaml] = [Math.min(...seconds.cannery), Math.min(...seconds.pyyaml)];
    const bytes = statSync(path).size;
    total.bytes += bytes;
    total.cannery += cannery;
    total.pyyaml += pyyaml;
    print(test, bytes, cannery, pyyaml);
  }
  print('all', total.bytes, total.cannery, total.pyyaml);
} finally {
  rmSync(dir, { recursive: true, force: true });
}

function print(report, bytes, cannery, pyyaml) {
  const rate = (seconds) => Number((bytes / 1e6 / seconds).toFixed(1));
  const ratio = Number((pyyaml / cannery).toFixed(2));
  console.log(
    JSON.stringify({ report, mb: bytes / 1e6, cannery_mb_s: rate(cannery), pyyaml_mb_s: rate(pyyaml), ratio }),
  );
}
