import fc from 'fast-check';
import t from 'tap';
import {
  addressOf,
  BridgeDatabase,
  endpointsIn,
  fingerprintIn,
  hashFingerprint,
  plainLine,
  readBridges,
} from '../../src/record/bridges.ts';

const FINGERPRINT = '0123456789ABCDEF0123456789ABCDEF01234567';
const OTHER = 'AF9F66B7B04F8FF6F32D455F05135250A16543C9';
const bridge = (fingerprint = FINGERPRINT) => ({ distributor: 'moat', transport: 'obfs3', fingerprint });

function errorOf(text: string): string {
  try {
    readBridges(Buffer.from(text));
    return 'none';
  } catch (error) {
    return (error as Error).message;
  }
}

t.test('the hash is of the bytes of a fingerprint', (t) => {
  t.equal(hashFingerprint(FINGERPRINT), 'ef473bbc24024ac1d66b318ac96bb31a95fd9a7d');
  t.equal(hashFingerprint(OTHER.toLowerCase()), '6ce1370edfe977e7a3124b7c1e543b533a1c6e9c');
  t.end();
});

t.test('a database', (t) => {
  const text = JSON.stringify({
    [` obfs3 192.0.2.7:443 ${FINGERPRINT}\n`]: bridge(),
    '198.51.100.1:80': { fingerprint: OTHER.toLowerCase(), distributor: null },
  });
  const bridges = readBridges(Buffer.from(text));
  t.match(bridges, [
    { key: `obfs3 192.0.2.7:443 ${FINGERPRINT}`, fingerprint: FINGERPRINT.toLowerCase(), distributor: 'moat' },
    { key: '198.51.100.1:80', fingerprint: OTHER.toLowerCase(), distributor: null, transport: null },
  ]);
  const database = new BridgeDatabase(bridges);
  for (const line of [
    `obfs3 192.0.2.7:443 ${FINGERPRINT}`,
    ` Bridge obfs3  192.0.2.7:443\t${FINGERPRINT}\n`,
    `bridge obfs3 192.0.2.7:443 ${FINGERPRINT}`,
  ])
    t.equal(database.ofLine(line)?.distributor, 'moat', JSON.stringify(line));
  t.equal(database.ofLine('192.0.2.7:443'), undefined);
  t.equal(database.ofFingerprint(OTHER.toLowerCase())?.key, '198.51.100.1:80');
  t.end();
});

t.test('what is wrong with a database is told by the number of the key', (t) => {
  const secret = '192.0.2.7:443';
  const one = (value: unknown) => JSON.stringify({ 'a.example:1': bridge(), [secret]: value });
  const wrong: [string, string][] = [
    ['', 'not JSON, at byte 0'],
    [`{"${secret}":`, 'not JSON, at byte 17'],
    ['[]', 'not an object, but array'],
    [one('x'), 'key 2: its value is no object, but string'],
    [one({}), 'key 2: its fingerprint is not 40 hex digits'],
    [one({ fingerprint: FINGERPRINT.slice(1) }), 'key 2: its fingerprint is not 40 hex digits'],
    [one({ fingerprint: `$${FINGERPRINT}` }), 'key 2: its fingerprint is not 40 hex digits'],
    [one({ fingerprint: 'g'.repeat(40) }), 'key 2: its fingerprint is not 40 hex digits'],
    [one({ fingerprint: 1 }), 'key 2: its fingerprint is not 40 hex digits'],
    [one({ ...bridge(), distributor: 1 }), 'key 2: its distributor is neither text nor null'],
    [one({ ...bridge(), transport: [] }), 'key 2: its transport is neither text nor null'],
    [JSON.stringify({ '': bridge() }), 'key 1: empty'],
    [JSON.stringify({ ' \n': bridge() }), 'key 1: empty'],
    [
      JSON.stringify({ [secret]: bridge(), [`${secret}\n`]: bridge(OTHER) }),
      'key 2: the same as key 1, with another fingerprint',
    ],
    [
      `{"${secret}":${JSON.stringify(bridge())},"x":${JSON.stringify(bridge())},"${secret}":${JSON.stringify(bridge(OTHER))}}`,
      'key 3: the same as key 1, with another fingerprint',
    ],
  ];
  for (const [text, message] of wrong) t.equal(errorOf(text), message, text.slice(0, 60));
  const doubled = `{"${secret}":${JSON.stringify(bridge())},"${secret} ":${JSON.stringify(bridge(FINGERPRINT.toLowerCase()))}}`;
  t.equal(readBridges(Buffer.from(doubled)).length, 1, 'the same twice is one');
  t.end();
});

t.test('no error tells a secret', (t) => {
  fc.assert(
    fc.property(fc.nat(200), fc.constantFrom('"', '{', '}', ',', 'x', '\0', '\\'), (at, put) => {
      const text = JSON.stringify({ [`obfs4 192.0.2.7:443 ${FINGERPRINT}`]: bridge() });
      const message = errorOf(text.slice(0, at) + put + text.slice(at + 1));
      t.notMatch(message, /192\.0|0123456/);
    }),
  );
  t.end();
});

t.test('bridge lines', (t) => {
  t.equal(plainLine(' Bridge  obfs4\t192.0.2.7:443 \n'), 'obfs4 192.0.2.7:443');
  t.equal(fingerprintIn(`obfs4 192.0.2.7:443 ${FINGERPRINT} cert=abc iat-mode=0`), FINGERPRINT.toLowerCase());
  for (const line of [`192.0.2.7:443  ${OTHER.toLowerCase()}`, `x $${OTHER}`, `x $${OTHER}~Unnamed`, `${OTHER}=Nick`])
    t.equal(fingerprintIn(line), OTHER.toLowerCase(), line);
  t.equal(fingerprintIn(`obfs4 192.0.2.7:443 ${'z'.repeat(40)}`), undefined, 'forty characters that are not hex');
  t.equal(fingerprintIn(`obfs4 192.0.2.7:443 ${FINGERPRINT}0`), undefined);
  const places = (line: string) =>
    endpointsIn(line).map(({ host, port, start, end }) => [
      'name' in host ? host.name : 'address',
      port,
      Buffer.from(line).toString('utf8', start, end),
    ]);
  t.same(places(`obfs4 192.0.2.7:443 ${FINGERPRINT} cert=a+b iat-mode=0`), [['address', 443, '192.0.2.7']]);
  t.same(places('Bridge é [2001:db8::1]:9001'), [['address', 9001, '2001:db8::1']]);
  t.same(places('2001:db8::1'), [['address', undefined, '2001:db8::1']]);
  t.same(places('192.0.2.7'), [['address', undefined, '192.0.2.7']]);
  t.same(places('192.0.2.7:443,[2001:db8::1]:443'), [
    ['address', 443, '192.0.2.7'],
    ['address', 443, '2001:db8::1'],
  ]);
  t.same(places('meek Bridge.Example:443 url=https://cdn.example/ front=a.example'), [
    ['bridge.example', 443, 'Bridge.Example'],
  ]);
  t.same(places('obfs4 iat-mode=0 1.2.3'), []);
  t.end();
});

t.test('bridges at one address', (t) => {
  const text = JSON.stringify({
    '192.0.2.7:80': bridge(OTHER),
    '192.0.2.7:443': bridge(),
    '[::ffff:192.0.2.9]:1': bridge(),
  });
  const database = new BridgeDatabase(readBridges(Buffer.from(text)));
  const at = (address: string) => database.atAddress(addressOf(address)!).map(({ key }) => key);
  t.same(at('192.0.2.7'), ['192.0.2.7:443', '192.0.2.7:80'], 'in order of their keys');
  t.same(at('192.0.2.9'), ['[::ffff:192.0.2.9]:1'], 'also what an IPv6 address carries');
  t.same(at('192.0.2.8'), []);
  t.end();
});
