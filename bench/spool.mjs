#!/usr/bin/env node
// Writes a big spool of invented posts, the same for the same seed and counts.
// Sizes and compressibility follow real spools; the text is made of made-up words.
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const USAGE = `usage: node bench/spool.mjs --to DIR [options]

Writes DIR/incoming/<hour>_<CC>_<test>/<uid>.post and prints one JSON line.

  --to DIR         where the spool goes; DIR/incoming must be empty or absent
  --posts N        how many posts (20000, about 1.1 GB)
  --seed N         another seed, another spool (1)
  --hours N        arrival hours from 2024-02-01 10:00, 1-336 (3)
  --countries N    1-24 (8)
  --tests N        1-6: web_connectivity and N-1 small tests (5)
  --help
`;

const CCS = [
  'IT',
  'US',
  'DE',
  'IR',
  'BR',
  'RU',
  'GB',
  'FR',
  'IN',
  'ID',
  'TR',
  'ES',
  'MY',
  'EG',
  'UA',
  'MX',
  'PK',
  'NG',
  'KE',
  'TH',
  'VN',
  'AR',
  'PL',
  'KZ',
];
const TESTS = ['web_connectivity', 'telegram', 'signal', 'ndt', 'whatsapp', 'facebook_messenger'];

function fail(code, message) {
  process.stderr.write(`spool.mjs: ${message}\n`);
  process.exit(code);
}

function options() {
  let v;
  try {
    v = parseArgs({
      options: {
        to: { type: 'string' },
        help: { type: 'boolean' },
        posts: { type: 'string', default: '20000' },
        seed: { type: 'string', default: '1' },
        hours: { type: 'string', default: '3' },
        countries: { type: 'string', default: '8' },
        tests: { type: 'string', default: '5' },
      },
    }).values;
  } catch (e) {
    fail(2, e.message);
  }
  if (v.help) {
    process.stdout.write(USAGE);
    process.exit(0);
  }
  const whole = (name, min, max) => {
    const n = /^\d{1,9}$/.test(v[name]) ? Number(v[name]) : NaN;
    if (!(n >= min && n <= max)) fail(2, `--${name}: a whole number from ${min} to ${max}`);
    return n;
  };
  if (!v.to) fail(2, '--to DIR is needed (see --help)');
  return {
    to: v.to,
    posts: whole('posts', 1, 5e6),
    seed: whole('seed', 0, 999999999),
    hours: whole('hours', 1, 336),
    countries: whole('countries', 1, CCS.length),
    tests: whole('tests', 1, TESTS.length),
  };
}

const opt = options();

// ---- chance (sfc32) ----------------------------------------------------------------------

const seeded = createHash('sha512').update(`spool ${opt.seed}`).digest();
let [sa, sb, sc, sd] = [0, 4, 8, 12].map((i) => seeded.readInt32LE(i));
function rand() {
  const t = (((sa + sb) | 0) + sd) | 0;
  sd = (sd + 1) | 0;
  sa = sb ^ (sb >>> 9);
  sb = (sc + (sc << 3)) | 0;
  sc = (((sc << 21) | (sc >>> 11)) + t) | 0;
  return t >>> 0;
}
for (let i = 0; i < 20; i++) rand();
const unit = () => rand() / 2 ** 32;
const int = (a, b) => a + Math.floor((b - a + 1) * unit());
const pick = (list) => list[int(0, list.length - 1)];
const between = (a, b) => Math.round((a + (b - a) * unit()) * 1e9) / 1e9;
const bytes = (n) => Buffer.from(Array.from({ length: n }, () => rand() & 255));
const id16 = () => bytes(12).toString('base64').replace(/[+/]/g, 'o');

// ---- sizes -------------------------------------------------------------------------------

/** Inverse of the normal distribution (Acklam's approximation). */
function probit(p) {
  const a = [
    -39.69683028665376, 220.9460984245205, -275.9285104469687, 138.357751867269, -30.66479806614716, 2.506628277459239,
  ];
  const b = [-54.47609879822406, 161.5858368580409, -155.6989798598866, 66.80131188771972, -13.28068155288572];
  const c = [
    -0.007784894002430293, -0.3223964580411365, -2.400758277161838, -2.549732539343734, 4.374664141464968,
    2.938163982698783,
  ];
  const d = [0.007784695709041462, 0.3224671290700398, 2.445134137142996, 3.754408661907416];
  const poly = (k, x) => k.reduce((s, q) => s * x + q, 0);
  if (p < 0.02425 || p > 1 - 0.02425) {
    const q = Math.sqrt(-2 * Math.log(Math.min(p, 1 - p)));
    return ((p < 0.5 ? 1 : -1) * poly(c, q)) / (poly(d, q) * q + 1);
  }
  const q = p - 0.5;
  const r = q * q;
  return (poly(a, r) * q) / (poly(b, r) * r + 1);
}

// Log-normal by pieces: [share of posts below, bytes].
const KNOTS = [
  [0.15, 6000],
  [0.5, 33000],
  [0.9, 107000],
  [0.99, 515000],
  [0.99995, 1.7e6],
].map(([p, s]) => [probit(p), Math.log(s)]);

function sizeAt(share) {
  const z = probit(share);
  let i = 0;
  while (i < KNOTS.length - 2 && z > KNOTS[i + 1][0]) i++;
  const [[z0, l0], [z1, l1]] = [KNOTS[i], KNOTS[i + 1]];
  return Math.min(1.7e6, Math.max(2000, Math.round(Math.exp(l0 + ((z - z0) * (l1 - l0)) / (z1 - z0)))));
}

/** One size for each equal slice of the distribution, shuffled. */
function sizes(n) {
  const list = Float64Array.from({ length: n }, (_, i) => sizeAt((i + 0.5) / n));
  for (let i = n - 1; i > 0; i--) {
    const j = int(0, i);
    [list[i], list[j]] = [list[j], list[i]];
  }
  return list;
}

// ---- made-up languages -------------------------------------------------------------------

const SOUNDS = [
  ['b c d f g l m n p r s t v z st tr br gl qu ch', 'a e i o u ia io ei', ' n r l s'],
  ['b d f g h k l m n r s t w sch st kr ß', 'a e i o u ä ö ü ie ei', ' n r t ch ng st'],
  ['б в г д ж з к л м н п р с т х ч ш', 'а е и о у ы я ю', ' й н т л к'],
  ['ب پ ت ج د ر ز س ش ف ک گ ل م ن ه', 'ا و ی', ' ن ر م ت'],
].map((rows) => rows.map((row) => row.split(' ')));

/** Words by rank, packed; TABLE turns 16 random bits into a rank with Zipf's frequencies. */
function language(sounds) {
  const words = new Set();
  while (words.size < 7000) {
    let w = '';
    for (let n = Math.min(5, 1 + Math.floor(Math.log10(1 + words.size)) + int(0, 1)); n > 0; n--)
      w += pick(sounds[0]) + pick(sounds[1]) + (rand() & 1 ? pick(sounds[2]) : '');
    words.add(w);
  }
  const list = [...words];
  const from = new Uint32Array(list.length + 1);
  for (const [i, w] of list.entries()) from[i + 1] = from[i] + Buffer.byteLength(w);
  return { list, packed: Uint8Array.from(Buffer.from(list.join(''))), from };
}

const TABLE = new Uint16Array(65536);
{
  const weight = Array.from({ length: 7000 }, (_, i) => 1 / (i + 2.5));
  const total = weight.reduce((s, w) => s + w, 0);
  let at = 0;
  let sum = 0;
  weight.forEach((w, i) => {
    sum += w;
    while (at < Math.round((65536 * sum) / total)) TABLE[at++] = i;
  });
}

const LANGS = SOUNDS.map(language);
const word = (lang) => lang.list[TABLE[rand() >>> 16]];

// ---- pages, written straight in the form they have inside Go's JSON ----------------------

const ESCAPES = { '<': '\\u003c', '>': '\\u003e', '&': '\\u0026', '"': '\\"', '\n': '\\n', '\t': '\\t' };
const TEXT = 0,
  HEX = 1,
  NUMBER = 2,
  SLUG = 3,
  LITERAL = 4;

/** A template: {w3-9} words, {x12} hex digits, {n} a number, {s2-5} words for a path. */
function template(text) {
  return text
    .split(/(\{[wxns][\d-]*\})/)
    .filter(Boolean)
    .map((part) => {
      const m = /^\{([wxns])(\d*)-?(\d*)\}$/.exec(part);
      if (!m) {
        const data = Uint8Array.from(Buffer.from(part.replace(/[<>&"\n\t]/g, (c) => ESCAPES[c])));
        return { op: LITERAL, data, spare: data.length - Buffer.byteLength(part) };
      }
      const min = Number(m[2] || 0);
      return { op: { w: TEXT, x: HEX, n: NUMBER, s: SLUG }[m[1]], min, span: Number(m[3] || min) - min + 1 };
    });
}

const page = Buffer.allocUnsafe(1 << 22);
let pos = 0;
let spare = 0; // bytes that escaping has added

function writeWords(lang, n, gap) {
  const { packed, from } = lang;
  for (; n > 0; n--) {
    const r = rand();
    const w = TABLE[r >>> 16];
    for (let i = from[w], end = from[w + 1]; i < end; i++) page[pos++] = packed[i];
    if (n === 1) return;
    if (gap === 32 && (r & 15) === 0) page[pos++] = r & 16 ? 44 : 46;
    page[pos++] = gap;
  }
}

function writeBlock(ops, lang) {
  for (const o of ops) {
    if (o.op === LITERAL) {
      page.set(o.data, pos);
      pos += o.data.length;
      spare += o.spare;
    } else if (o.op === TEXT) {
      writeWords(lang, o.min + (rand() % o.span), 32);
    } else if (o.op === SLUG) {
      writeWords(lang, o.min + (rand() % o.span), 45);
    } else if (o.op === HEX) {
      for (let n = o.min; n > 0; n -= 8)
        pos += page.write((rand() + 2 ** 32).toString(16).slice(-Math.min(8, n)), pos, 'latin1');
    } else {
      pos += page.write(String(rand() % 900000), pos, 'latin1');
    }
  }
}

const B64 = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/');

/** A body of about `size` bytes in the JSON; says how long it is for the server. */
function writeBody(site, size, binary) {
  const start = pos;
  spare = 0;
  if (binary) {
    pos += page.write('{"data":"', pos, 'latin1');
    for (let n = Math.floor((size - 28) / 4); n > 0; n--) {
      for (let r = rand(), k = 0; k < 4; k++, r >>>= 6) page[pos++] = B64[r & 63];
    }
    pos += page.write('","format":"base64"}', pos, 'latin1');
    return Math.floor(((pos - start) * 3) / 4);
  }
  page[pos++] = 34;
  const end = start + size - 60;
  writeBlock(site.head, site.lang);
  let k = 0;
  while (pos < end - 700) writeBlock(site.blocks[k++ % 9 === 8 ? 3 : rand() % 3], site.lang);
  while (pos < end) writeWords(site.lang, 2, 32);
  writeBlock(CLOSE, site.lang);
  page[pos++] = 34;
  return pos - start - 2 - spare;
}

const CLOSE = template('</p>\n</main>\n</body>\n</html>\n');

// ---- sites -------------------------------------------------------------------------------

const cert = (n) => ({
  data: Buffer.concat([Buffer.from('308204', 'hex'), bytes(n)]).toString('base64'),
  format: 'base64',
});
const CAS = Array.from({ length: 6 }, () => cert(1000));

function site(i) {
  const lang = LANGS[[0, 0, 1, 0, 2, 1, 0, 3][i % 8]];
  const latin = LANGS[0];
  const name = () => word(latin) + word(latin);
  const [a, b, c] = [name(), name(), name()];
  const deep = `\n${'\t'.repeat(int(1, 5))}`;
  const ips = Array.from({ length: int(1, 3) }, () => `${pick(['192.0.2', '198.51.100', '203.0.113'])}.${int(1, 254)}`);
  if (i % 3 === 0) ips.push(`2001:db8:${i.toString(16)}::${int(1, 99)}`);
  const style = Array.from(
    { length: int(3, 30) },
    () => `.${a}__${word(latin)}{margin:${int(0, 4)}px ${int(0, 30)}px;color:#${bytes(3).toString('hex')}}`,
  ).join('\n');
  const host = `${i % 2 ? 'www.' : ''}${a}-${i}.example`;
  return {
    host,
    lang,
    ips,
    https: i % 5 !== 0,
    certs: [cert(int(700, 1300)), CAS[i % 6]],
    title: `${word(lang)} ${word(lang)}`,
    server: pick(['nginx', 'Apache', 'cloud-edge', 'openresty']),
    asn: 64496 + (i % 16),
    head: template(
      `<!DOCTYPE html>\n<html lang="x-${i % 4}">\n<head>\n<meta charset="utf-8">\n<meta name="viewport" content="width=device-width, initial-scale=1">\n` +
        `<title>{w2-6}</title>\n<meta name="description" content="{w9-20}">\n<link rel="stylesheet" href="/static/{x20}.css?v={n}&t=1">\n<style>${style}</style>\n` +
        `<script nonce="{x16}">window.__${a}={"build":"{x40}","user":null,"ab":[{n},{n}]};</script>\n</head>\n<body class="${b} page-{n}">\n<main id="${c}">\n<p>`,
    ),
    blocks: [
      `${deep}<div class="${a}__item ${a}__item--${b}" data-id="{n}">${deep}\t<a href="/${b}/2024/{s3-7}-{n}" class="${a}__link" title="{w3-7}">${deep}\t\t` +
        `<img src="https://img.${host}/${c}/{x12}.jpg?w=320&h=180&q=75" alt="{w2-6}" width="320" height="180" loading="lazy">${deep}\t\t<h3 class="${a}__title">{w4-10}</h3>${deep}\t</a>${deep}\t<p class="${a}__text">{w10-26}</p>${deep}</div>`,
      `${deep}<p class="${c}-body">{w14-40}</p>${deep}<p class="${c}-body">{w6-26} <a href="https://${host}/${c}/{s2-4}" rel="nofollow">{w1-4}</a> {w4-16}</p>`,
      `${deep}<li class="nav-${b}__entry"><a class="nav-${b}__link nav-${b}__link--level-2" href="/${c}/{s1-3}/" data-track="menu|{s1-2}|{n}"><span class="nav-${b}__label">{w1-3}</span></a></li>`.repeat(
        3,
      ),
      `${deep}<script type="application/json" class="${b}-state">{"id":"{x32}","kind":"${c}","count":{n},"items":[{"k":"{x8}","label":"{w2-4}"},{"k":"{x8}","label":"{w2-4}"}],"ok":true}</script>`,
    ].map(template),
  };
}

const SITES = Array.from({ length: 400 }, (_, i) => site(i));

// ---- documents ---------------------------------------------------------------------------

const goJson = (v) => JSON.stringify(v).replace(/[<>&]/g, (c) => ESCAPES[c]);
const time = (s) => new Date(s * 1000).toISOString().slice(0, 19).replace('T', ' ');
const stamp = (s) => new Date(s * 1000).toISOString().slice(0, 19).replace(/\D/g, '');
const compact = (test) => test.replaceAll('_', '');
const endpoint = (ip, port) => (ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`);
const UA =
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36';
const ACCEPT = 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8';
const ENGINES = [
  ['ooniprobe-android-unattended', '3.8.6', 'android', 'arm64'],
  ['ooniprobe-desktop-unattended', '3.9.4', 'windows', 'amd64'],
  ['ooniprobe-cli-unattended', '3.20.1', 'linux', 'amd64'],
];
const NETWORKS = Array.from(
  { length: 16 },
  () => `${word(LANGS[0])} ${pick(['Telecom', 'Net & Co', 'Mobile', 'Fiber'])}`,
);

function open(test, cc, at) {
  const asn = 64496 + int(0, 15);
  const id = `${stamp(at).slice(0, 8)}T${stamp(at).slice(8)}Z_${compact(test)}_${cc}_${asn}_n1_${id16()}`;
  return { test, cc, asn, id, opened: at, at, app: pick(ENGINES), resolver: `192.0.2.${int(1, 254)}` };
}

function measurement(run, input, began, runtime, version, testKeys) {
  const [name, softwareVersion, platform, architecture] = run.app;
  return {
    format: 'json',
    content: {
      annotations: { architecture, engine_name: 'ooniprobe-engine', engine_version: '3.20.1', platform },
      data_format_version: '0.2.0',
      input,
      measurement_start_time: time(began),
      probe_asn: `AS${run.asn}`,
      probe_cc: run.cc,
      probe_ip: '127.0.0.1',
      probe_network_name: NETWORKS[run.asn - 64496],
      report_id: run.id,
      resolver_asn: `AS${run.asn}`,
      resolver_ip: run.resolver,
      resolver_network_name: NETWORKS[run.asn - 64496],
      software_name: name,
      software_version: softwareVersion,
      test_keys: testKeys,
      test_name: run.test,
      test_runtime: runtime,
      test_start_time: time(run.opened - 1),
      test_version: version,
    },
  };
}

const OPERATIONS = ['read', 'write', 'read', 'read', 'tls_handshake_start', 'read', 'tls_handshake_done', 'write'];

function events(n, address, tags) {
  let t = between(0.01, 0.2);
  return Array.from({ length: n }, (_, i) => {
    t = Math.round((t + 0.04 * unit()) * 1e9) / 1e9;
    const operation = i === 0 ? 'connect' : OPERATIONS[i % 8];
    if (i === 0) return { address, failure: null, operation, proto: 'tcp', t, tags };
    return operation.length < 6
      ? { failure: null, num_bytes: int(24, 5200), operation, t, tags }
      : { failure: null, operation, t, tags };
  });
}

const query = (site, type, failure) => ({
  answers: failure
    ? null
    : site.ips
        .filter((ip) => ip.includes(':') === (type === 'AAAA'))
        .map((ip) => ({
          asn: site.asn,
          as_org_name: NETWORKS[site.asn - 64496],
          answer_type: type,
          [type === 'A' ? 'ipv4' : 'ipv6']: ip,
          ttl: null,
        })),
  engine: 'system',
  failure,
  hostname: site.host,
  query_type: type,
  resolver_hostname: null,
  resolver_port: null,
  resolver_address: '',
  t: between(0.01, 0.2),
});

const connect = (ip, port, failure) => ({
  ip,
  port,
  status: { blocked: failure !== null, failure, success: failure === null },
  t: between(0.05, 0.4),
});

const handshake = (site, ip, certs, tags) => ({
  address: endpoint(ip, 443),
  cipher_suite: 'TLS_AES_128_GCM_SHA256',
  failure: null,
  negotiated_protocol: 'h2',
  no_tls_verify: false,
  peer_certificates: certs,
  server_name: site.host,
  t: between(0.2, 0.6),
  tags,
  tls_version: 'TLSv1.3',
});

function request(url, host, failure, response) {
  const headers = { Accept: ACCEPT, 'Accept-Language': 'en-US,en;q=0.9', Host: host, Referer: '', 'User-Agent': UA };
  return {
    failure,
    request: {
      body: '',
      body_is_truncated: false,
      headers_list: Object.entries(headers),
      headers,
      method: 'GET',
      tor: { exit_ip: null, exit_name: null, is_tor: false },
      x_transport: 'tcp',
      url,
    },
    response: response ?? { body: '', body_is_truncated: false, code: 0, headers_list: null, headers: null },
    t: between(0.2, 0.8),
  };
}

const FAILURES = ['dns_nxdomain_error', 'connection_reset', 'generic_timeout_error', 'connection_refused'];
const MAX_BODY = 560000; // probes keep no more than 512 KiB of a body

/** The document with @B0@, @B1@ … for bodies and @L0@, @N0@ … for their lengths. */
function webFrame(run, site, input, size, failure, padding) {
  const port = site.https ? 443 : 80;
  const ips = site.ips.slice(0, Math.max(1, Math.floor(size / 9000)));
  const tags = ['tcptls_experiment'];
  const bodies = failure ? 0 : Math.max(1, Math.ceil((size - 9000) / MAX_BODY));
  const headers = {
    'Cache-Control': `max-age=${site.asn}`,
    'Content-Length': '@L0@',
    'Content-Type': 'text/html; charset=utf-8',
    Date: `${new Date(run.at * 1000).toUTCString()}`,
    Etag: `W/"${bytes(8).toString('hex')}"`,
    Server: site.server,
    'Set-Cookie': `sid=${id16()}; path=/; domain=.${site.host}; Secure`,
    'Strict-Transport-Security': 'max-age=31536000; includeSubDomains',
    Vary: 'Accept-Encoding',
    'X-Content-Type-Options': 'nosniff',
  };
  const requests = failure
    ? [request(input, site.host, failure)]
    : Array.from({ length: bodies }, (_, i) => {
        const own = { ...headers, 'Content-Length': `@L${i}@` };
        return request(i ? `${input}?step=${i}` : input, site.host, null, {
          body: `@B${i}@`,
          body_is_truncated: size / bodies > 500000,
          code: i ? 302 : 200,
          headers_list: Object.entries(own),
          headers: own,
        });
      });
  const dns = failure === 'dns_nxdomain_error';
  const connected = dns ? [] : ips;
  return measurement(run, input, run.at - 3, between(0.4, 3), '0.4.3', {
    agent: 'redirect',
    client_resolver: run.resolver,
    retries: null,
    socksproxy: null,
    network_events: connected.flatMap((ip, i) => events(i ? int(6, 10) : 8 + padding, endpoint(ip, port), tags)),
    tls_handshakes: failure || !site.https ? [] : ips.map((ip) => handshake(site, ip, site.certs, tags)),
    queries: [query(site, 'A', dns ? failure : null), query(site, 'AAAA', dns ? failure : null)],
    dns_experiment_failure: dns ? failure : null,
    dns_consistency: dns ? 'inconsistent' : 'consistent',
    control_failure: null,
    control: {
      tcp_connect: Object.fromEntries(connected.map((ip) => [endpoint(ip, port), { status: true, failure: null }])),
      http_request: { body_length: '@N0@', failure: null, title: site.title, headers, status_code: 200 },
      dns: { failure: null, addrs: site.ips },
    },
    tcp_connect: connected.map((ip) => connect(ip, port, failure)),
    requests,
    http_experiment_failure: failure,
    body_length_match: failure ? null : true,
    body_proportion: failure ? 0 : 1,
    status_code_match: failure ? null : true,
    headers_match: failure ? null : true,
    title_match: failure ? null : true,
    accessible: !failure,
    blocking: dns ? 'dns' : failure ? 'http-failure' : false,
    x_status: failure ? 8224 : 1,
  });
}

/** Fills `page` with a web_connectivity post of about `size` bytes. */
function writeWeb(run, size) {
  const site = SITES[run.next++ % SITES.length];
  const path = run.next % 3 ? '/' : `/${bytes(4).toString('hex')}/?from=home&page=${run.next}`;
  const input = `http${site.https ? 's' : ''}://${site.host}${path}`;
  const failure = size < 9000 || (int(1, 12) === 1 && size < 14000) ? pick(FAILURES) : null;
  if (failure) {
    const plain = goJson(webFrame(run, site, input, size, failure, 0)).length;
    const padding = Math.max(0, Math.round((size - plain) / 105));
    const text = goJson(webFrame(run, site, input, size, failure, padding))
      .replace(/"@N0@"/g, '41200')
      .replace(/@L0@/g, '41200');
    pos = page.write(text, 0);
    return;
  }
  const parts = goJson(webFrame(run, site, input, size, null, 0)).split(/"@B\d@"/);
  const frame = parts.reduce((n, p) => n + Buffer.byteLength(p), 0);
  const share = Math.max(700, Math.floor((size - frame) / (parts.length - 1)));
  const binary = int(1, 60) === 1 && size < 150000;

  // bodies first, for their lengths; then everything in order
  pos = 0;
  const lengths = [];
  const cuts = [0];
  for (let i = 1; i < parts.length; i++) {
    lengths.push(writeBody(site, share, binary));
    cuts.push(pos);
  }
  const bodies = Buffer.from(page.subarray(0, pos));
  const fill = (text) => text.replace(/"@N(\d)@"/g, (_, i) => lengths[i]).replace(/@L(\d)@/g, (_, i) => lengths[i]);
  pos = 0;
  parts.forEach((part, i) => {
    pos += page.write(fill(part), pos);
    if (i + 1 < parts.length) pos += bodies.copy(page, pos, cuts[i], cuts[i + 1]);
  });
}

const OWN_KEYS = {
  telegram: () => ({
    telegram_http_blocking: false,
    telegram_tcp_blocking: false,
    telegram_web_failure: null,
    telegram_web_status: 'ok',
  }),
  signal: () => ({ signal_backend_status: 'ok', signal_backend_failure: null }),
  whatsapp: () => ({
    registration_server_failure: null,
    registration_server_status: 'ok',
    whatsapp_endpoints_blocked: [],
    whatsapp_endpoints_dns_inconsistent: [],
    whatsapp_endpoints_status: 'ok',
    whatsapp_web_failure: null,
    whatsapp_web_status: 'ok',
  }),
  facebook_messenger: () => ({
    facebook_dns_blocking: false,
    facebook_tcp_blocking: false,
    facebook_edge_dns_consistent: true,
    facebook_edge_reachable: true,
  }),
};

const flow = (Test, n) => {
  let sum = 0;
  return Array.from({ length: n }, (_, i) => ({
    AppInfo: { NumBytes: (sum += int(90000, 4000000)), ElapsedTime: 250000 * (i + 1) + int(0, 1400) },
    Origin: 'client',
    Test,
  }));
};

/** A post of one of the small tests, 2 to 6 KB. */
function writeSmall(run, size) {
  const began = run.opened;
  const site = { host: `${run.test.slice(0, 8)}.example.net`, ips: [`198.51.100.${int(1, 250)}`], asn: 64511 };
  const ip = site.ips[0];
  const document = (n) =>
    goJson(
      run.test === 'ndt'
        ? measurement(run, null, began, between(18, 24), '0.10.2', {
            download: flow('download', Math.ceil(n * 0.6)),
            failure: null,
            protocol: 7,
            server: { hostname: 'ndt-mlab1-abc00.example.net', site: 'abc00' },
            summary: {
              avg_rtt: int(9000, 90000) / 1000,
              download: between(900, 200000),
              mss: 1448,
              max_rtt: int(90000, 300000) / 1000,
              min_rtt: int(4000, 9000) / 1000,
              ping: int(4000, 9000) / 1000,
              retransmit_rate: unit() / 100,
              upload: between(300, 50000),
            },
            upload: flow('upload', Math.floor(n * 0.4)),
          })
        : measurement(run, null, began, between(0.3, 9), '0.3.1', {
            agent: 'redirect',
            failed_operation: null,
            failure: null,
            network_events: events(n, endpoint(ip, 443), null),
            queries: [query(site, 'A', null)],
            requests:
              size < 3000
                ? []
                : [
                    request(`https://${site.host}/`, site.host, null, {
                      body: '',
                      body_is_truncated: false,
                      code: 200,
                      headers_list: [],
                      headers: {},
                    }),
                  ],
            tcp_connect: [connect(ip, 443, null)],
            tls_handshakes: [],
            ...OWN_KEYS[run.test](),
          }),
    );
  const least = document(0).length;
  pos = page.write(document(Math.max(1, Math.round((size - least) / (run.test === 'ndt' ? 95 : 78)))), 0);
}

// ---- the spool ---------------------------------------------------------------------------

const START = Date.UTC(2024, 1, 1, 10) / 1000;
const END = START + opt.hours * 3600;
const incoming = join(opt.to, 'incoming');

try {
  mkdirSync(incoming, { recursive: true });
  if (readdirSync(incoming).length) fail(1, `${incoming} is not empty`);
} catch (e) {
  fail(1, e.message);
}

/** A country, the first ones more often. */
const country = () => CCS[Math.floor(opt.countries * unit() ** 1.6)];

/** A web_connectivity run over many inputs; 40 of them go on side by side. */
const runs = [];
function webRun() {
  const k = int(0, 39);
  const old = runs[k];
  if (old) old.at += int(2, 9);
  if (!old || old.left-- === 0 || old.at >= END) {
    const from = int(START, END - 60);
    runs[k] = {
      ...open(TESTS[0], country(), from),
      at: from + int(5, 30),
      left: int(4, 120),
      next: int(0, SITES.length - 1),
    };
  }
  return runs[k];
}

const folders = new Set();
const written = new Float64Array(opt.posts);
let total = 0;
sizes(opt.posts).forEach((size, i) => {
  let run;
  if (size < 6000 && opt.tests > 1) {
    run = open(TESTS[int(1, opt.tests - 1)], country(), int(START, END - 60));
    run.at += int(25, 59);
    writeSmall(run, size);
  } else {
    run = webRun();
    writeWeb(run, size);
  }
  const data = page.subarray(0, pos);
  const h = createHash('sha512').update(data).digest('hex').slice(0, 16);
  const arrival = stamp(run.at);
  const folder = `${arrival.slice(0, 10)}_${run.cc}_${compact(run.test)}`;
  if (!folders.has(folder)) {
    mkdirSync(join(incoming, folder), { recursive: true });
    folders.add(folder);
  }
  const uid = `${arrival}.${String(int(0, 999999)).padStart(6, '0')}_${run.cc}_${compact(run.test)}_${h}`;
  writeFileSync(join(incoming, folder, `${uid}.post`), data);
  written[i] = data.length;
  total += data.length;
});

written.sort();
const at = (share) => written[Math.max(0, Math.ceil(share * opt.posts) - 1)];
process.stdout.write(
  `${JSON.stringify({ posts: opt.posts, bytes: total, folders: folders.size, p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1) })}\n`,
);
