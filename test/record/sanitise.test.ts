import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { BridgeDatabase, hashFingerprint, readBridges } from '../../src/record/bridges.ts';
import { type SanitiseOptions, Sanitiser } from '../../src/record/sanitise.ts';

const FP = '0123456789ABCDEF0123456789ABCDEF01234567';
const HASH = 'ef473bbc24024ac1d66b318ac96bb31a95fd9a7d';
const FP2 = 'AF9F66B7B04F8FF6F32D455F05135250A16543C9';
const HASH2 = '6ce1370edfe977e7a3124b7c1e543b533a1c6e9c';
const FP6 = '89E6C98D92887913CADF06B2ADB97F26CDE4849B';
const HASH6 = hashFingerprint(FP6);
const FP3 = 'BA61757846841D64A83EA2514C766CB92F1FB41F';
const HASH3 = hashFingerprint(FP3);
const LINE = `obfs3 192.0.2.7:443 ${FP}`;
const DATABASE = {
  [LINE]: { distributor: 'moat', transport: 'obfs3', fingerprint: FP },
  '192.0.2.8:443': { distributor: 'https', transport: null, fingerprint: FP2 },
  '192.0.2.8:80': { distributor: 'https', transport: null, fingerprint: FP3 },
  '[2001:db8::1]:9001': { distributor: null, transport: 'obfs4', fingerprint: FP6 },
  'meek bridge.example:443': { distributor: null, transport: 'meek', fingerprint: FP6 },
};

function sanitiser(options: Partial<SanitiseOptions> = {}, database: object = DATABASE): Sanitiser {
  return new Sanitiser(new BridgeDatabase(readBridges(Buffer.from(JSON.stringify(database)))), {
    unknown: 'redact',
    key: undefined,
    search: true,
    probeIp: true,
    resolver: false,
    scrubs: [],
    annotations: undefined,
    ...options,
  });
}
const usual = sanitiser();

/** What comes of a document, which is sanitised twice: the second time nothing happens. */
function twice(t: Test, document: string | object, one = usual): { text: string; removed: object; unknown?: string } {
  const given = Buffer.from(typeof document === 'string' ? document : JSON.stringify(document));
  const { document: done, removed, unknown } = one.sanitise(given);
  if (!done) return { text: 'dropped', removed, ...(unknown === undefined ? {} : { unknown }) };
  const again = one.sanitise(done);
  t.equal(again.document?.toString(), done.toString(), 'the second time nothing happens');
  t.same(again.removed, {}, 'and nothing is counted');
  return { text: done.toString(), removed, ...(unknown === undefined ? {} : { unknown }) };
}
const made = (t: Test, document: object, one = usual) => JSON.parse(twice(t, document, one).text);

t.test('nothing to take out: the same bytes', (t) => {
  for (const text of [
    '{}',
    '{ "a" : 1.0 ,"b":"\\u003c\\/x","b":[1e400,{"c":"\\ud800"}] }',
    '{"probe_ip":"127.0.0.1","x":"[scrubbed] 127.0.0.1 0.0.0.0 ::1"}',
    `{"x":"11.92.0.2.7 192.0.2.77 192.0.2.7.1 ${'a'.repeat(40)} ${FP.slice(1)} 2001:db8::2"}`,
  ]) {
    const given = Buffer.from(text);
    t.equal(usual.sanitise(given).document, given, text);
  }
  t.end();
});

t.test('no JSON object is no record', (t) => {
  for (const text of ['[]', '1', '"x"', '{', '', '{"a":1}{', '{"a":"\\x"}'])
    t.throws(() => usual.sanitise(Buffer.from(text)), text);
  for (const keys of ['[]', '"192.0.2.7"', '1', 'false'])
    t.throws(
      () => usual.sanitise(Buffer.from(`{"test_name":"bridge_reachability","input":"x","test_keys":${keys}}`)),
      /test_keys is no object/,
      keys,
    );
  t.end();
});

t.test('a bridge of the database', (t) => {
  const before = {
    test_name: 'bridge_reachability',
    input: LINE,
    test_keys: { bridge_address: null, tor_log: `Learned fingerprint ${FP} for bridge 192.0.2.7:443. ok` },
  };
  const after = {
    test_name: 'bridge_reachability',
    input: HASH,
    test_keys: {
      bridge_address: null,
      tor_log: '[REDACTED]. ok',
      distributor: 'moat',
      transport: 'obfs3',
      bridge_hashed_fingerprint: HASH,
    },
  };
  const { text, removed } = twice(t, before);
  t.equal(text, JSON.stringify(after));
  t.same(removed, { tor_log: 1, bridge: 1 });
  for (const [name, more] of Object.entries({
    'by its line': { input: `${LINE}\n` },
    'with the word of a torrc': { input: `Bridge ${LINE}` },
    'with other white space': { input: LINE.replaceAll(' ', '  ') },
    'by its address field': { input: null, test_keys: { bridge_address: LINE } },
    'by its fingerprint': { input: `obfs4 198.51.100.9:1 $${FP.toLowerCase()}~Nick` },
    'by address and port': { input: 'obfs3 192.0.2.7:443' },
    'by address': { input: '192.0.2.7:1' },
    'by address, written otherwise': { input: '[::ffff:192.0.2.7]:443' },
    'under an old name of the test': { test_name: 'bridgereachability' },
    'in a list': { input: [LINE] },
    'in a list of words': { input: LINE.split(' ') },
  })) {
    const { input, test_keys } = made(t, { ...before, ...more });
    t.equal(input, HASH, name);
    t.match(test_keys, { bridge_address: null, distributor: 'moat', bridge_hashed_fingerprint: HASH }, name);
  }
  t.end();
});

t.test('one address, two bridges: the port tells, else the order of the keys', (t) => {
  const input = (line: string) => made(t, { test_name: 'bridge_reachability', input: line, test_keys: {} }).input;
  t.equal(input('obfs4 192.0.2.8:443'), HASH2);
  t.equal(input('obfs4 192.0.2.8:80'), HASH3);
  t.equal(input('obfs4 192.0.2.8:1'), HASH2);
  const text = made(t, { x: '192.0.2.8:443 192.0.2.8:80 192.0.2.8:8080 192.0.2.8 192.0.2.8:4433' }).x;
  t.equal(text, `${HASH2} ${HASH3} ${HASH2}:8080 ${HASH2} ${HASH2}:4433`);
  t.end();
});

t.test('a bridge that the database does not have', (t) => {
  const fp = 'ABCDEF0123456789ABCDEF0123456789ABCDEF01';
  const hash = hashFingerprint(fp);
  const record = (line: string, address: string | null = null, more = {}) => ({
    test_name: 'bridge_reachability',
    input: line,
    test_keys: { bridge_address: address, tor_log: '', ...more },
  });
  const known = made(
    t,
    record(`obfs4 198.51.100.9:443 ${fp}`, '198.51.100.9:443', { log: `to 198.51.100.9:443, ${fp}` }),
  );
  t.same(known.input, hash);
  t.same(known.test_keys, {
    bridge_address: null,
    tor_log: '',
    log: `to ${hash}:443, ${hash}`,
    distributor: null,
    bridge_hashed_fingerprint: hash,
  });
  t.equal(twice(t, record(`obfs4 198.51.100.9:443 ${fp}`)).unknown, hash);

  const none = record('obfs4 198.51.100.9:443', null, { log: 'to 198-51-100-9.example' });
  const plain = twice(t, none);
  t.equal(plain.unknown, '[redacted]');
  t.match(JSON.parse(plain.text), {
    input: '[redacted]',
    test_keys: { log: 'to [redacted].example', bridge_hashed_fingerprint: null },
  });
  const key = Buffer.from('a key of thirty-two bytes, at all');
  const hmac = `hmac:${createHmac('sha256', key).update('obfs4 198.51.100.9:443').digest('hex').slice(0, 40)}`;
  const keyed = sanitiser({ key });
  t.match(made(t, none, keyed), { input: hmac, test_keys: { log: `to ${hmac}.example`, bridge_address: null } });
  t.equal(made(t, record(' obfs4 198.51.100.9:443\n'), keyed).input, hmac, 'of the line without white space around it');
  t.equal(made(t, record('obfs4 bridge.example.org:443')).input, '[redacted]', 'a name and a port');
  t.equal(made(t, record('nothing of the kind')).input, 'nothing of the kind');
  t.equal(
    made(t, record(`obfs4 198.51.100.9:1 ${'z'.repeat(40)}`)).input,
    '[redacted]',
    '40 characters that are not hex',
  );

  const drop = sanitiser({ unknown: 'drop' });
  t.equal(twice(t, record(`x 198.51.100.9:1 ${fp}`), drop).text, 'dropped');
  t.same(twice(t, record(`x 198.51.100.9:1 ${fp}`), drop).removed, { unknown_bridge: 1 });
  t.equal(made(t, record(LINE), drop).input, HASH, 'those of the database stay');

  const keep = sanitiser({ unknown: 'keep' });
  const kept = keep.sanitise(Buffer.from(JSON.stringify(record(`x 198.51.100.9:1 ${fp}`))));
  t.match(JSON.parse(kept.document!.toString()), {
    input: hash,
    test_keys: { bridge_address: `x 198.51.100.9:1 ${fp}`, bridge_hashed_fingerprint: hash, distributor: null },
  });
  const clear = keep.sanitise(Buffer.from(JSON.stringify(record('198.51.100.9:1', 'y 198.51.100.9:1'))));
  t.match(JSON.parse(clear.document!.toString()), {
    input: '198.51.100.9:1',
    test_keys: { bridge_address: 'y 198.51.100.9:1', bridge_hashed_fingerprint: null },
  });
  t.equal(keep.sanitise(clear.document!).document?.toString(), clear.document!.toString());
  t.end();
});

t.test('records with nothing in the usual places', (t) => {
  const name = { test_name: 'bridge_reachability' };
  for (const record of [
    {},
    { input: null },
    { input: null, test_keys: null },
    { input: [], test_keys: {} },
    { input: 5 },
  ])
    t.same(made(t, { ...name, ...record }), { ...name, ...record });
  const keys = {
    tor_log: '',
    bridge_address: null,
    distributor: 'moat',
    transport: 'obfs3',
    bridge_hashed_fingerprint: HASH,
  };
  t.same(made(t, { ...name, input: LINE }), { ...name, input: HASH, test_keys: keys });
  t.same(made(t, { ...name, input: LINE, test_keys: null }), { ...name, input: HASH, test_keys: keys });
  t.same(made(t, { ...name, test_keys: { bridge_address: LINE } }).input, HASH);
  // Of a member that stands twice readers take the last; neither may tell.
  const doubled = `{"input":"${LINE}","test_keys":{"bridge_address":"${LINE}","bridge_address":"192.0.2.8:80"},"test_name":"bridge_reachability","input":"192.0.2.8:80","test_keys":{"x":"192.0.2.8"}}`;
  const { text } = twice(t, doubled);
  t.notMatch(text, /192\.0\.2/);
  t.end();
});

t.test('a record that was sanitised before, by pipeline v2 too', (t) => {
  const fp = 'ABCDEF0123456789ABCDEF0123456789ABCDEF01';
  const record = (input: string, keys: object) => ({ test_name: 'bridge_reachability', input, test_keys: keys });
  const done = { bridge_address: null, tor_log: '', distributor: 'tbb', bridge_hashed_fingerprint: HASH };
  t.same(made(t, record(HASH, done)), record(HASH, done));
  // It left the line of a bridge that it did not know in clear.
  const left = made(
    t,
    record(hashFingerprint(fp), {
      ...done,
      bridge_address: `x 198.51.100.9:1 ${fp}`,
      bridge_hashed_fingerprint: hashFingerprint(fp),
    }),
  );
  t.match(left, {
    input: hashFingerprint(fp),
    test_keys: { bridge_address: null, bridge_hashed_fingerprint: hashFingerprint(fp) },
  });
  const bare = made(t, record(HASH, { ...done, bridge_address: '198.51.100.9:1' }));
  t.match(bare, { input: HASH, test_keys: { bridge_address: null, bridge_hashed_fingerprint: HASH } });
  t.end();
});

t.test('tor_log', (t) => {
  const log = (text: unknown) => {
    const record = { test_name: 'bridge_reachability', input: LINE, test_keys: { tor_log: text } };
    return made(t, record).test_keys.tor_log;
  };
  const phrases = [
    `Learned fingerprint ${FP2} for bridge 203.0.113.9:443`,
    `Learned fingerprint $${FP2.toLowerCase()} for bridge 203.0.113.9:443`,
    `learned fingerprint ${FP2}  for bridge [2001:db8::9]:443`,
    `Learned fingerprint ${FP2} for bridge 2001:db8::9`,
    `Learned fingerprint ${FP2} for bridge [scrubbed]:443`,
    `new bridge descriptor 'Nick' (fresh): $${FP2}~Nick at 203.0.113.9`,
    `new bridge descriptor 'Nick' (cached): $${FP2}~Nick [ed25519] at 203.0.113.9:443`,
    `new bridge descriptor 'Nick' (fresh): $${FP2}~Nick at 203.0.113.9 and [2001:db8::9]`,
  ];
  for (const phrase of phrases)
    t.equal(log(`[notice] ${phrase}. \n"${phrase}" ok`), '[notice] [REDACTED]. \n"[REDACTED]" ok', phrase);
  t.equal(log(null), '');
  t.equal(log(''), '');
  t.equal(log(undefined), '', 'none at all');
  t.same(log([`a ${phrases[0]}`, 1]), ['a [REDACTED]', 1]);
  const dict = log({ format: 'base64', data: Buffer.from(`\xff ${phrases[0]}. ok`, 'latin1').toString('base64') });
  t.equal(Buffer.from(dict.data, 'base64').toString('latin1'), '\xff [REDACTED]. ok');
  t.equal(
    log('Learned fingerprint of nobody; new bridge descriptor at nowhere'),
    'Learned fingerprint of nobody; new bridge descriptor at nowhere',
  );
  // Only what is taken out changes, in the bytes of the probe.
  const bytes = `{"test_name":"bridge_reachability","input":"x","test_keys":{"tor_log":"\\u0041\\/ ${phrases[0]}\\u003c"}}`;
  t.match(twice(t, bytes).text, '"tor_log":"\\u0041\\/ [REDACTED]\\u003c"');
  t.end();
});

t.test('what tor_log tells of a bridge is a secret in the rest of its record too', (t) => {
  const phrase = `new bridge descriptor 'Nick' (fresh): $${FP2}~Nick at 203.0.113.9 and [2001:db8::9]`;
  const other = 'ABCDEF0123456789ABCDEF0123456789ABCDEF01';
  const of = (tor_log: unknown, one = usual) =>
    made(
      t,
      {
        test_name: 'bridge_reachability',
        input: LINE,
        test_keys: { tor_log, x: `to 203.0.113.9:443, 2001:DB8::9 and 192.0.2.8:443, ${other}` },
      },
      one,
    ).test_keys;
  const learned = `Learned fingerprint ${other} for bridge 203.0.113.9:443`;
  t.match(of(`${phrase}\n${learned}\nto 203.0.113.9`), {
    tor_log: '[REDACTED]\n[REDACTED]\nto [REDACTED]',
    x: `to [REDACTED]:443, [REDACTED] and ${HASH2}, ${hashFingerprint(other)}`,
  });
  const base64 = Buffer.from(`\xff${learned}`, 'latin1').toString('base64');
  t.match(of({ format: 'base64', data: base64 }).x, 'to [REDACTED]:443, 2001:DB8::9');
  const known = of(`Learned fingerprint ${FP2} for bridge 192.0.2.8:443`);
  t.match(known.x, HASH2, 'a bridge of the database has its hash');
  t.match(of(phrase, sanitiser({ unknown: 'keep' })).x, '203.0.113.9:443', 'kept where unknown bridges are');
  const alone = { test_name: 'bridge_reachability', input: null, test_keys: { tor_log: learned, x: '203.0.113.9' } };
  t.match(made(t, alone).test_keys, { tor_log: '[REDACTED]', x: '[REDACTED]' });
  t.end();
});

t.test('tcp_connect', (t) => {
  const made1 = (input: unknown, ...keys: unknown[]) =>
    made(t, { test_name: 'tcp_connect', input, test_keys: keys.length > 0 ? keys[0] : { connection: 'success' } });
  const after = {
    test_name: 'tcp_connect',
    input: HASH2,
    test_keys: { connection: 'success', bridge_hashed_fingerprint: HASH2 },
  };
  t.same(made1('192.0.2.8:443'), after);
  t.same(made1('192.0.2.8:443\n'), after);
  t.same(made1('192.000.002.008:443'), after, 'written otherwise');
  t.same(made1(LINE), {
    test_name: 'tcp_connect',
    input: HASH,
    test_keys: { connection: 'success', bridge_hashed_fingerprint: HASH },
  });
  t.same(made1('192.0.2.8:443', null).test_keys, { bridge_hashed_fingerprint: HASH2 });
  t.same(made1('192.0.2.8:443', undefined).test_keys, { bridge_hashed_fingerprint: HASH2 });
  t.same(made1('192.0.2.8:1').test_keys, { connection: 'success' }, 'another port');
  t.same(made1('192.0.2.8:1').input, `${HASH2}:1`);
  for (const input of [null, 5, [], '198.51.100.9:443', 'torproject.org:80'])
    t.same(made1(input), { test_name: 'tcp_connect', input, test_keys: { connection: 'success' } });
  t.same(made1(['192.0.2.8:443']).input, [HASH2]);
  t.equal(made(t, { test_name: 'TCP Connect', input: '192.0.2.8:443' }).input, HASH2, 'under its old name');
  t.equal(made(t, { test_name: 'tcp_connect', input: '192.0.2.8:443' }, sanitiser({ search: false })).input, HASH2);
  t.end();
});

t.test('bridges in any string', (t) => {
  const binary = Buffer.concat([Buffer.from(FP, 'hex'), Buffer.alloc(32, 7)]);
  const hashed = Buffer.concat([Buffer.from(HASH, 'hex'), Buffer.alloc(32, 7)]);
  const base64 = (text: string | Buffer) => Buffer.from(text as string).toString('base64');
  const url = (text: string) => Buffer.from(text).toString('base64url');
  const long = (text: string) => `a text that is long enough to be found by itself: ${text}; and so on`;
  const cases: [string, string][] = [
    [`x ${LINE} cert=x`, `x ${HASH} cert=x`],
    [`Bridge ${LINE}`, `Bridge ${HASH}`],
    [`x${LINE}`, `xobfs3 ${HASH} ${HASH}`],
    [`${LINE}0`, `obfs3 ${HASH} ${HASH}0`],
    ['tcp://192.0.2.8:443/x', `tcp://${HASH2}/x`],
    ['host=192.0.2.8%3A443&', `host=${HASH2}&`],
    ['http://[2001:DB8::1]:9001/', `http://${HASH6}/`],
    ['http://[2001:db8::1]:80/', `http://${HASH6}:80/`],
    ['2001:db8::1', HASH6],
    [`${FP} ${FP.toLowerCase()} ${FP.slice(0, 20)}${FP.slice(20).toLowerCase()}`, `${HASH} ${HASH} ${HASH}`],
    [`$${FP}~Nick,${FP}=Nick`, `${HASH}~Nick,${HASH}=Nick`],
    [`id ${FP}${FP2}`, `id ${HASH}${HASH2}`],
    [`fp ${FP.match(/.{4}/g)!.join(' ')}.`, `fp ${HASH}.`],
    [`0000 ${FP.toLowerCase().match(/.{4}/g)!.join(' ')} 0000`, `0000 ${HASH} 0000`],
    [`r Nick ${base64(Buffer.from(FP, 'hex'))} x`, `r Nick ${HASH} x`],
    [`r Nick ${base64(Buffer.from(FP, 'hex')).replace('=', '')} x`, `r Nick ${HASH} x`],
    [`cert=${base64(binary).replaceAll('=', '')} iat-mode=0`, `cert=${base64(hashed).replaceAll('=', '')} iat-mode=0`],
    [`/p/q-${base64(binary)}`, `/p/q-${base64(hashed)}`],
    [`x.bridge.example:443 BRIDGE.EXAMPLE. bridge.example.org`, `x.${HASH6} ${HASH6}. bridge.example.org`],
    [base64(long('192.0.2.8')), base64(long(HASH2))],
    [`"${base64(long('192.0.2.8:443'))}"`, `"${base64(long(HASH2))}"`],
    [url(long('ÿÿÿÿÿÿ??>>192.0.2.8')), url(long(`ÿÿÿÿÿÿ??>>${HASH2}`))],
    [base64(base64(long('192.0.2.8'))), base64(base64(long(HASH2)))],
    [
      base64(`{"format":"base64","data":"${base64(long(FP))}"}`),
      base64(`{"format":"base64","data":"${base64(long(HASH))}"}`),
    ],
    [`data:text/plain;base64,${base64('192.0.2.8')}`, `data:text/plain;base64,${base64(HASH2)}`],
    [
      `-----BEGIN X-----\n${base64(long(`${FP}, 192.0.2.8`))
        .match(/.{1,64}/g)!
        .join('\n')}\n-----END X-----`,
      `-----BEGIN X-----\n${base64(long(`${HASH}, ${HASH2}`))
        .match(/.{1,64}/g)!
        .join('\n')}\n-----END X-----`,
    ],
  ];
  for (const [before, after] of cases) {
    t.same(made(t, { a: [{ b: before }] }), { a: [{ b: after }] }, before);
    t.same(made(t, { [before]: 1 }), { [after]: 1 }, 'as a name');
    const hidden = `{"a":"${[...before].map((c) => (c < '\x80' ? `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}` : c)).join('')}"}`;
    t.same(JSON.parse(twice(t, hidden).text), { a: after }, 'hidden by escapes');
  }
  t.same(made(t, { body: { format: 'base64', data: base64('192.0.2.8') } }), {
    body: { format: 'base64', data: base64(HASH2) },
  });
  t.same(made(t, { body: { data: base64('192.0.2.8:443'), format: 'base64' } }), {
    body: { data: base64(HASH2), format: 'base64' },
  });
  for (const body of [
    '{"data":"DATA","x":1,"format":"base64"}',
    '{"data":"DATA","x":"y","format":"base64"}',
    '{"format":"base64","x":"a \\"b","data" : "DATA"}',
    '{ "data" : "DATA" , "format" : "base64" }',
    '{"data":"x\\"y","format":"base64","data":"DATA"}',
    '{"data":"DATA","data":"x\\"y","format":"base64"}',
  ]) {
    const { text } = twice(t, `{"pad":"${'é'.repeat(60)}","body":${body.replace('DATA', base64('192.0.2.8'))}}`);
    t.equal(text, `{"pad":"${'é'.repeat(60)}","body":${body.replace('DATA', base64(HASH2))}}`, body);
  }
  t.equal(twice(t, '{"a":"192.0.2.8","a":"192.0.2.7"}').text, `{"a":"${HASH2}","a":"${HASH}"}`, 'both of doubles');
  const slashes = `{"a":"${base64(long('???>>>192.0.2.8')).replaceAll('/', '\\/')}"}`;
  t.equal(JSON.parse(twice(t, slashes).text).a, base64(long(`???>>>${HASH2}`)));
  t.equal(made(t, { a: '192.0.2.8' }, sanitiser({ search: false })).a, '192.0.2.8', 'unless nobody looks');
  t.end();
});

t.test('the rest of a document keeps its bytes', (t) => {
  const text =
    '{ "a":1.0,"b" : "\\u00e9\\/ 192.0.2.8\\n", "192\\u002e0.2.8":-0.0e-1, "c":"\\ud83d\\ude00192.0.2.8\\u003c" }';
  const after = `{ "a":1.0,"b" : "\\u00e9\\/ ${HASH2}\\n", "${HASH2}":-0.0e-1, "c":"\\ud83d\\ude00${HASH2}\\u003c" }`;
  t.equal(twice(t, text).text, after);
  t.end();
});

t.test("the probe's own address", (t) => {
  const own = (address: unknown, text = '') => made(t, { probe_ip: address, x: text });
  t.same(
    own(
      '203.0.113.5',
      'at 203.0.113.5:1, 203-0-113-5.isp.example, 5.113.0.203.in-addr.arpa, ::ffff:cb00:7105, 203.0.113.55',
    ),
    {
      probe_ip: '127.0.0.1',
      x: 'at [scrubbed]:1, [scrubbed].isp.example, [scrubbed].in-addr.arpa, [scrubbed], 203.0.113.55',
    },
  );
  t.same(own('2001:DB8:0::5', 'http://[2001:db8::5]/ 2001:db8::6'), {
    probe_ip: '127.0.0.1',
    x: 'http://[scrubbed]/ 2001:db8::6',
  });
  t.same(own('192.168.1.5', '192.168.1.5'), { probe_ip: '127.0.0.1', x: '[scrubbed]' }, 'a private one too');
  t.same(own('::ffff:203.0.113.5', '203.0.113.5'), { probe_ip: '127.0.0.1', x: '[scrubbed]' });
  for (const address of [null, '', '127.0.0.1', '[scrubbed]', '0.0.0.0', '::1'])
    t.same(own(address, '127.0.0.1 0.0.0.0 ::1'), { probe_ip: address, x: '127.0.0.1 0.0.0.0 ::1' });
  for (const odd of ['unknown', 5, false, [], { a: 1 }]) t.same(own(odd).probe_ip, '127.0.0.1', JSON.stringify(odd));
  t.same(own(['203.0.113.5', '203.0.113.6'], '203.0.113.6'), { probe_ip: '127.0.0.1', x: '[scrubbed]' });
  t.equal(
    twice(t, '{"probe_ip":"203.0.113.5","x":"203.0.113.5","probe_ip":"127.0.0.1"}').text,
    '{"probe_ip":"127.0.0.1","x":"[scrubbed]","probe_ip":"127.0.0.1"}',
  );
  t.equal(twice(t, '{"probe\\u005fip" : "203.0.113.5"}').text, '{"probe\\u005fip" : "127.0.0.1"}');
  t.equal(
    twice(t, '{"a":{"probe_ip":"203.0.113.5"},"b":"203.0.113.5"}').text,
    '{"a":{"probe_ip":"127.0.0.1"},"b":"[scrubbed]"}',
  );
  t.same(
    made(t, { probe_ip: '192.0.2.8', x: '192.0.2.8:443' }).x,
    '[scrubbed]:443',
    'its own, though a bridge has it too',
  );
  const b64 = (text: string) => Buffer.from(text).toString('base64');
  t.same(
    own('203.0.113.5', b64('long enough to be found by itself 203.0.113.5')).x,
    b64('long enough to be found by itself [scrubbed]'),
  );
  t.same(own('203.0.113.5', '203.0.113.5 a').x, '[scrubbed] a');
  t.same(made(t, { probe_ip: '203.0.113.5', x: '203.0.113.5' }, sanitiser({ probeIp: false })), {
    probe_ip: '203.0.113.5',
    x: '203.0.113.5',
  });
  const dash = (real: string) => ({
    test_name: 'dash',
    test_keys: { receiver_data: [{ real_address: real, internal_address: '' }] },
    x: '203.0.113.5',
  });
  t.same(made(t, dash('203.0.113.5')), { ...dash('[scrubbed]'), x: '[scrubbed]' }, 'what the server of dash tells');
  t.same(made(t, dash('[scrubbed]')), dash('[scrubbed]'));
  t.end();
});

t.test('packets', (t) => {
  const ip = (address: string) => Buffer.from(address.split('.').map(Number));
  const packet = (protocol: number, source: Buffer, target: Buffer, payload: Buffer) => {
    const header = Buffer.from('450000000001000040000000', 'hex');
    header.writeUInt16BE(20 + payload.length, 2);
    header[9] = protocol;
    header.writeUInt16BE(0xbeef, 10);
    return Buffer.concat([header, source, target, payload]);
  };
  const zero = Buffer.alloc(4);
  const [own, router, site] = [ip('203.0.113.5'), ip('198.51.100.1'), ip('198.51.100.80')];
  const tcp = Buffer.alloc(20, 0x11);
  const through = (bytes: Buffer, probe_ip = '203.0.113.5') =>
    Buffer.from(
      made(t, { probe_ip, raw_packet: { format: 'base64', data: bytes.toString('base64') } }).raw_packet.data,
      'base64',
    );
  const sent = through(packet(6, own, site, tcp));
  t.same(sent.subarray(12, 20), Buffer.concat([zero, site]));
  t.same([sent.readUInt16BE(10), sent.readUInt16BE(36)], [0, 0], 'no sum tells it');
  t.same(through(packet(17, site, own, tcp)).subarray(12, 20), Buffer.concat([site, zero]));
  t.same(through(packet(6, ip('192.0.2.8'), site, tcp), '127.0.0.1').subarray(12, 16), zero, 'of a bridge');
  const quote = Buffer.concat([Buffer.from('0b00aaaa00000000', 'hex'), packet(17, own, site, Buffer.alloc(8, 0x11))]);
  const exceeded = through(packet(1, router, own, quote));
  t.notOk(exceeded.includes(own), 'nor in what ICMP quotes');
  t.equal(exceeded.readUInt16BE(22), 0);
  const v6 = Buffer.concat([
    Buffer.from('6000000000143aff', 'hex'),
    Buffer.from('20010db8000000000000000000000001', 'hex'),
    Buffer.from('20010db8000000000000000000000099', 'hex'),
    Buffer.from('8000aaaa', 'hex'),
    Buffer.alloc(16, 1),
  ]);
  const six = through(v6, '127.0.0.1');
  t.same(six.subarray(8, 24), Buffer.alloc(16));
  t.equal(six.readUInt16BE(42), 0);
  const other = packet(6, router, site, tcp);
  t.same(through(other), other, 'others stay');
  t.end();
});

t.test('what is taken out only where it is asked for', (t) => {
  const record = {
    resolver_ip: '198.51.100.53',
    test_keys: {
      client_resolver: '198.51.100.53',
      failure: 'dial tcp 198.51.100.1:443: from [2001:db8::99]:1, refused',
    },
    annotations: { platform: 'linux', ssid: 'home' },
    x: 'Jo.Doe+x@mail.example.org 02:00:5e:10:00:01 0200.5e10.0001 a@b 198.51.100.1 198.51.100.53',
  };
  t.same(made(t, record), record, 'nothing of it otherwise');
  const resolver = made(t, record, sanitiser({ resolver: true }));
  t.match(resolver, { resolver_ip: '[scrubbed]', test_keys: { client_resolver: '[scrubbed]' } });
  t.match(resolver.x, /198\.51\.100\.1 \[scrubbed\]$/);
  t.same(made(t, { resolver_ip: '127.0.0.2' }, sanitiser({ resolver: true })), { resolver_ip: '127.0.0.2' });
  const scrubbed = made(t, record, sanitiser({ scrubs: ['endpoint', 'mail', 'mac'] }));
  t.equal(scrubbed.test_keys.failure, 'dial tcp [scrubbed]: from [scrubbed], refused');
  t.equal(scrubbed.x, '[scrubbed] [scrubbed] 0200.5e10.0001 a@b 198.51.100.1 198.51.100.53');
  t.same(made(t, record, sanitiser({ annotations: ['platform'] })).annotations, { platform: 'linux' });
  t.same(made(t, { test_keys: { annotations: { a: 1 } } }, sanitiser({ annotations: ['b'] })), {
    test_keys: { annotations: {} },
  });
  t.end();
});

t.test('what would be taken out of a line that is no document', (t) => {
  t.same(usual.find(Buffer.from('no JSON, but 192.0.2.8:443 is in it')), { bridge_line: 1 });
  t.same(usual.find(Buffer.from('{"cut":"192\\u002e0.2.8')), { bridge_address: 1 });
  t.same(usual.find(Buffer.from(`["${FP}"]`)), { bridge_fingerprint: 1 });
  t.same(usual.find(Buffer.from([0xff, ...Buffer.from(' 192.0.2.7 '), 0, 0x5c, 0x75, 0x7a])), { bridge_address: 1 });
  t.same(usual.find(Buffer.from('{"a":"clean"}')), {});
  t.end();
});

// --- any record

const HEX_BYTES = (n: number) => fc.uint8Array({ minLength: n, maxLength: n });
/** A database, and what its bridges are written with. */
const databases = fc
  .array(fc.tuple(fc.nat(255), fc.nat(65535), HEX_BYTES(20), fc.constantFrom('v4', 'v6', 'line')), {
    minLength: 1,
    maxLength: 4,
  })
  .map((bridges) =>
    [...new Map(bridges.map((bridge) => [bridge[0], bridge])).values()].map(([n, port, bytes, form]) => {
      const fingerprint = Buffer.from(bytes).toString('hex').toUpperCase();
      const address = form === 'v6' ? `2001:db8::${n.toString(16)}:a` : `203.0.113.${n}`;
      const place = form === 'v6' ? `[${address}]:${port}` : `${address}:${port}`;
      return { key: form === 'line' ? `obfs4 ${place} ${fingerprint}` : place, address, place, fingerprint };
    }),
  );
const SPELL: ((bridge: { key: string; address: string; place: string; fingerprint: string }) => string)[] = [
  ({ key }) => key,
  ({ place }) => place,
  ({ address }) => address,
  ({ address }) => address.toUpperCase(),
  ({ address }) => (address.includes(':') ? address : address.replaceAll('.', '-')),
  ({ address }) => (address.includes(':') ? address.replaceAll(':', '%3A') : `::ffff:${address}`),
  ({ fingerprint }) => fingerprint,
  ({ fingerprint }) => `$${fingerprint.toLowerCase()}`,
  ({ fingerprint }) => fingerprint.match(/.{4}/g)!.join(' '),
  ({ fingerprint }) => Buffer.from(fingerprint, 'hex').toString('base64'),
];
/** What stands between secrets: it does not go on with them. */
const between = fc
  .tuple(
    fc.constantFrom(' ', '"', ', ', '<', '|', '\n', ' (', '\u2028', '😀 '),
    fc.string({ unit: fc.constantFrom(...'ghijk ,;!(é<>&"\\\n\t/', '\u0000', '\ud800', '😀'), maxLength: 12 }),
    fc.constantFrom(' ', '"', ',', '>', '|', '\n', '('),
  )
  .map((parts) => parts.join(''));
/** A text as a JSON string, some characters escaped though they need not be. */
const written = (text: string, hidden: (c: string) => boolean) =>
  Array.from(text, (c) =>
    hidden(c)
      ? [...c]
          .flatMap((one) =>
            Array.from({ length: one.length }, (_, i) => `\\u${one.charCodeAt(i).toString(16).padStart(4, '0')}`),
          )
          .join('')
      : JSON.stringify(c).slice(1, -1),
  ).join('');

t.test('any record: every secret goes, and nothing else', (t) => {
  fc.assert(
    fc.property(
      databases,
      fc.array(fc.tuple(between, fc.nat(3), fc.nat(SPELL.length - 1)), { maxLength: 5 }),
      between,
      fc.constantFrom('value', 'name', 'deep', 'base64'),
      fc.func(fc.integer({ min: 0, max: 7 }).map((n) => n === 0)),
      (bridges, parts, last, where, hides) => {
        const one = sanitiser(
          {},
          Object.fromEntries(
            bridges.map(({ key, fingerprint }) => [key, { fingerprint, distributor: null, transport: null }]),
          ),
        );
        const texts = parts.flatMap(([text, n, spelling]) => {
          const bridge = bridges[n % bridges.length]!;
          return [
            { text, instead: text },
            { text: SPELL[spelling]!(bridge), instead: hashFingerprint(bridge.fingerprint) },
          ];
        });
        texts.push({ text: last, instead: last });
        const join = (which: 'text' | 'instead') => {
          if (where !== 'base64')
            return texts
              .map((piece) =>
                piece.text === piece[which] || which === 'text' ? written(piece.text, hides) : piece.instead,
              )
              .join('');
          return Buffer.from(`${'long enough '.repeat(4)}${texts.map((piece) => piece[which]).join('')}`).toString(
            'base64',
          );
        };
        const document = (text: string) =>
          where === 'name'
            ? `{"a":1.0,"${text}": null}`
            : where === 'deep'
              ? `{"a":[[{"b":["${text}"]}]] }`
              : `{"x":"\\u003c","y":"${text}"}`;
        const { text } = twice(t, document(join('text')), one);
        t.equal(text, document(join('instead')));
      },
    ),
    { numRuns: 300 },
  );
  t.end();
});

t.test('a line that is one of a bridge only when a secret is taken out of it', (t) => {
  const { removed } = twice(t, `{"test_name":"bridge_reachability","input":"192.0.2.8\\u0031${FP}","test_keys":{}}`);
  t.same(removed, { unknown_bridge: 1, bridge_fingerprint: 1 });
  t.end();
});

t.test('any bytes in a record: it stays JSON, and is done the first time', (t) => {
  const scraps = fc.constantFrom(
    ...[
      '192.0.2.8',
      ':443',
      FP,
      LINE,
      '2001:db8::1',
      '[',
      ']',
      ':',
      '.',
      '-',
      '%3A',
      '$',
      '=',
      ' ',
      '0',
      'f',
      '\\n',
      '\\u0031',
      '\\u003c',
      'base64,',
      'MTkyLjAuMi44',
    ],
  );
  const text = fc
    .array(
      fc.oneof(
        { weight: 3, arbitrary: scraps },
        fc.string({ maxLength: 5 }).map((s) => JSON.stringify(s).slice(1, -1)),
      ),
      { maxLength: 12 },
    )
    .map((parts) => parts.join(''));
  const name = fc.constantFrom('input', 'bridge_address', 'tor_log', 'probe_ip', 'data', 'x');
  fc.assert(
    fc.property(
      fc.constantFrom('bridge_reachability', 'tcp_connect', 'x'),
      fc.array(fc.tuple(name, text), { maxLength: 4 }),
      fc.array(fc.tuple(name, text), { maxLength: 4 }),
      (test, top, keys) => {
        const members = (list: [string, string][]) => list.map(([key, value]) => `"${key}":"${value}"`).join(',');
        const document = `{"test_name":"${test}","test_keys":{${members(keys)}}${top.length > 0 ? ',' : ''}${members(top)}}`;
        const { text: done } = twice(t, document);
        t.ok(JSON.parse(done));
        const read = done.replace(/\\u([0-9a-f]{4})/g, (_, code) => String.fromCharCode(Number.parseInt(code, 16)));
        t.notMatch(read, /(?<![0-9.-])192\.0\.2\.[78](?![0-9]|\.[0-9])/);
      },
    ),
    { numRuns: 400 },
  );
  t.end();
});

t.test('as many look-ups whatever the number of bridges', (t) => {
  const database = (count: number) =>
    sanitiser(
      {},
      Object.fromEntries(
        Array.from({ length: count }, (_, n) => [
          `203.0.113.1${10 + (n % 90)}:${1000 + n}`,
          { fingerprint: hashFingerprint(String(n).padStart(40, '0')) },
        ]),
      ),
    );
  const text = {
    a: `1.2.3.4 198.51.100.100 2001:db8::1 ${'ab'.repeat(60)} ${Buffer.alloc(900, 'x 198.51.100.9 y').toString('base64')}`.repeat(
      20,
    ),
  };
  const document = Buffer.from(JSON.stringify(text));
  const lookups = (one: Sanitiser) => {
    const { get, has } = Map.prototype;
    let count = 0;
    Map.prototype.get = function (key) {
      count++;
      return get.call(this, key);
    };
    Map.prototype.has = function (key) {
      count++;
      return has.call(this, key);
    };
    try {
      one.sanitise(document);
    } finally {
      Object.assign(Map.prototype, { get, has });
    }
    return count;
  };
  const [few, many] = [lookups(database(90)), lookups(database(9000))];
  t.ok(few > 20, `${few} look-ups`);
  t.ok(many <= few * 1.2, `${many} with a hundred times as many bridges`);
  t.end();
});
