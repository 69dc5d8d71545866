import { isIPv6 } from 'node:net';
import fc from 'fast-check';
import t from 'tap';
import { type Address, findAddresses, isLocal, shortestText, withEmbedded } from '../../src/record/addresses.ts';
import { addressOf } from '../../src/record/bridges.ts';

function textOf(address: Address): string {
  if (typeof address === 'number')
    return Buffer.from(new Int32Array([address]).buffer)
      .reverse()
      .join('.');
  return [...address].map((c) => c.charCodeAt(0).toString(16)).join(':');
}

/** `address@what-of-the-text` of everything that is found, and of what is searched for alone. */
function found(text: string, only?: Address): string[] {
  const bytes = Buffer.from(text);
  const places: string[] = [];
  findAddresses(bytes, (address, start, end) => {
    if (only !== undefined && address !== only) return false;
    places.push(`${textOf(address)}@${bytes.toString('utf8', start, end)}`);
    return true;
  });
  return places;
}

const IPV4 = 0xc0000207 | 0; // 192.0.2.7
const IPV6 = addressOf('2001:db8::1')!;

t.test('an address in every way it is written', (t) => {
  const spellings: [string, string][] = [
    ['at 192.0.2.7.', '192.0.2.7'],
    ['192.0.2.7:443', '192.0.2.7'],
    ['192.000.002.007', '192.000.002.007'],
    ['ip-192-0-2-7.isp.example', '192-0-2-7'],
    ['host_192_0_2_7', '192_0_2_7'],
    ['7.2.0.192.in-addr.arpa', '7.2.0.192'],
    ['7-2-0-192.dyn.example', '7-2-0-192'],
    ['v192.0.2.7', '192.0.2.7'],
    ['192.0.2.7-192.0.2.9', '192.0.2.7'],
    ['192.0.2.1-192.0.2.7', '192.0.2.7'],
    ['a%20192.0.2.7%3A443', '192.0.2.7'],
    ['a%2520192.0.2.7', '192.0.2.7'],
    ['%e1192.0.2.7', '192.0.2.7'],
    ['\\u0020192.0.2.7', '192.0.2.7'],
    ['\\u00e9192.0.2.7', '192.0.2.7'],
    ['\\x20192.0.2.7', '192.0.2.7'],
    ['1-2-192-0-2-7-9', '192-0-2-7'],
    ['http%3A%2F%2F192%2E0%2e2%2E7%3A443', '192%2E0%2e2%2E7'],
    ['192%2E0.2%2E7', '192%2E0.2%2E7'],
  ];
  for (const [text, place] of spellings) t.same(found(text, IPV4), [`192.0.2.7@${place}`], text);
  const within: [string, string][] = [
    ['::ffff:192.0.2.7', '::ffff:192.0.2.7'],
    ['[::FFFF:c000:0207]:443', '::FFFF:c000:0207'],
    ['0:0:0:0:0:ffff:192.0.2.7', '0:0:0:0:0:ffff:192.0.2.7'],
    ['64:ff9b::c000:207', '64:ff9b::c000:207'],
    ['2002:c000:207::1', '2002:c000:207::1'],
  ];
  for (const [text, place] of within) t.equal(found(text, IPV4)[0], `192.0.2.7@${place}`, text);
  t.end();
});

t.test('an IPv6 address in every way it is written', (t) => {
  const spellings: [string, string][] = [
    ['2001:db8::1', '2001:db8::1'],
    ['[2001:DB8::1]:443', '2001:DB8::1'],
    ['2001:db8:0:0:0:0:0:1', '2001:db8:0:0:0:0:0:1'],
    ['2001:0db8:0000:0000:0000:0000:0000:0001', '2001:0db8:0000:0000:0000:0000:0000:0001'],
    ['2001:db8:0:0::1', '2001:db8:0:0::1'],
    ['2001:db8::0.0.0.1', '2001:db8::0.0.0.1'],
    ['2001:db8::1%eth0', '2001:db8::1'],
    ['2001:db8::1%25eth0', '2001:db8::1'],
    ['2001%3Adb8%3a%3A1', '2001%3Adb8%3a%3A1'],
    ['addr:2001:db8::1', '2001:db8::1'],
    ['face:2001:db8::1', '2001:db8::1'],
    ['2001:db8::1:443', '2001:db8::1'],
    ['2001:db8:0:0:0:0:0:1:443', '2001:db8:0:0:0:0:0:1'],
    ['2001-db8--1.ip6.example', '2001-db8--1'],
    ['x-2001:db8::1', '2001:db8::1'],
    ['\\u003c2001:db8::1', '2001:db8::1'],
    ['\\b2001:db8::1', '2001:db8::1'],
    ['\\f2001:db8::1', '2001:db8::1'],
    ['%5B2001:db8::1%5D', '2001:db8::1'],
  ];
  for (const [text, place] of spellings) t.same(found(text, IPV6), [`2001:db8:0:0:0:0:0:1@${place}`], text);
  const nibbles = '1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2';
  for (const text of [`${nibbles}.ip6.arpa`, `ab.${nibbles.toUpperCase()}.ip6.arpa.`, `b._dns-sd._udp.0.${nibbles}.x`])
    t.same(
      found(text, IPV6).map((place) => place.toLowerCase()),
      [`2001:db8:0:0:0:0:0:1@${nibbles}`],
      text,
    );
  t.end();
});

t.test('what only looks like one is none', (t) => {
  for (const text of [
    '11.2.3.45',
    '1.2.3.4.5',
    '0.1.2.3.4',
    '1.2.3.4.',
    '1.2.3',
    '1.2.3.256',
    '1.2.3.0004',
    '1..2.3.4',
    '1%2E2%2E3%2E4%2E5',
    '1%2E2%2E3%2E45',
    '1%2F2%2F3%2F4',
  ])
    t.same(
      found(text).filter((place) => place.startsWith('1.2.3.4@') && text !== '1.2.3.4.'),
      [],
      text,
    );
  t.same(found('1.2.3.4.'), ['1.2.3.4@1.2.3.4']);
  t.same(found('111.2.3.4', 0x01020304), [], 'a longer number');
  for (const text of ['12:34:56', 'a:b', 'std:x', '1:2:3:4:5:6:7', '2001:db8', '12345::1:g'])
    t.same(
      found(text).filter((place) => /^\S+@\S{4,}$/.test(place)),
      [],
      text,
    );
  t.end();
});

const v4 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const v6 = fc
  .array(fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff })), { minLength: 8, maxLength: 8 })
  .map((groups) => String.fromCharCode(...groups));
/** Neither a letter of hex nor what addresses are joined with. */
const edges = fc.constantFrom('', ' ', '"', '(', 'z', '\n', ',', '=', '/', 'é', '\\n', '<');

t.test('any IPv4 address is found, whole', (t) => {
  fc.assert(
    fc.property(v4, fc.constantFrom('.', '-', '_'), fc.nat(3), edges, edges, (address, by, zeros, before, after) => {
      const text = textOf(address)
        .split('.')
        .map((octet) => octet.padStart(zeros, '0'))
        .join(by);
      t.ok(found(`${before}${text}${after}`, address).includes(`${textOf(address)}@${text}`), text);
      t.ok(text.length >= shortestText(address));
    }),
  );
  t.end();
});

t.test('any IPv6 address is found, however many of its zeros are left out', (t) => {
  fc.assert(
    fc.property(v6, fc.nat(7), fc.nat(8), fc.boolean(), edges, edges, (address, from, length, upper, before, after) => {
      const groups = textOf(address).split(':');
      const zeros = groups.slice(from, from + length);
      const short = zeros.length > 0 && zeros.every((group) => group === '0');
      const text = short
        ? `${groups.slice(0, from).join(':')}::${groups.slice(from + length).join(':')}`
        : groups.join(':');
      t.ok(isIPv6(text), `node takes ${text} too`);
      const written = upper ? text.toUpperCase() : text;
      if (isLocal(address)) return;
      t.ok(found(`${before}${written}${after}`, address).includes(`${textOf(address)}@${written}`), written);
      t.ok(written.length >= shortestText(address), 'none is shorter than the shortest');
      t.equal(addressOf(written), address);
    }),
  );
  t.end();
});

t.test('addresses that are nobody’s', (t) => {
  for (const text of ['0.0.0.0', '127.0.0.1', '0:0:0:0:0:0:0:0', '::1', '::ffff:127.0.0.1', '::ffff:0:0'])
    t.equal(isLocal(addressOf(text)!), true, text);
  for (const text of ['127.0.0.2', '10.0.0.1', '::2', '192.0.2.7']) t.equal(isLocal(addressOf(text)!), false, text);
  t.same(withEmbedded(addressOf('::ffff:192.0.2.7')!), [addressOf('::ffff:192.0.2.7'), IPV4]);
  t.same(withEmbedded(IPV4), [IPV4]);
  t.same(withEmbedded(IPV6), [IPV6]);
  t.end();
});
