import fc from 'fast-check';
import t from 'tap';
import { distance, isKnownCountry, isKnownTest, nearCountries, nearTests } from '../../src/record/near.ts';
import { objectAt, storePlace } from '../../src/record/storeurls.ts';
import { Summary } from '../../src/record/summary.ts';

t.test('countries', (t) => {
  for (const code of ['IT', 'IR', 'ZZ', 'XK', 'TW', 'PS']) t.ok(isKnownCountry(code), code);
  for (const code of ['UK', 'XX', 'QQ', 'XA']) t.notOk(isKnownCountry(code), code);
  t.same(nearCountries('UK'), ['GB (United Kingdom)']);
  t.same(nearCountries('italy'), ['IT (Italy)']);
  t.same(nearCountries('Irann'), ['IR (Iran)']);
  t.match(nearCountries('TI').join(), 'IT (Italy)', 'letters swapped');
  t.same(nearCountries('nowhere at all'), []);
  t.end();
});

t.test('tests', (t) => {
  for (const name of ['webconnectivity', 'tor', 'httpinvalidrequestline']) t.ok(isKnownTest(name), name);
  t.notOk(isKnownTest('web_connectivity'), 'compact names alone');
  t.equal(nearTests('webconectivity')[0], 'web_connectivity');
  t.equal(nearTests('teleram')[0], 'telegram');
  t.same(nearTests('xyzzy'), []);
  t.end();
});

t.test('distance', (t) => {
  t.equal(distance('signal', 'singal'), 1);
  t.equal(distance('', 'abc'), 3);
  fc.assert(
    fc.property(fc.string({ maxLength: 8 }), fc.string({ maxLength: 8 }), (a, b) => {
      t.equal(distance(a, b), distance(b, a));
      t.equal(distance(a, b) === 0, a === b);
    }),
  );
  t.end();
});

t.test('addresses of stores', (t) => {
  t.same(storePlace('s3://ooni-data-eu-fra/'), {
    name: 's3://ooni-data-eu-fra',
    bucket: 'ooni-data-eu-fra',
    prefix: '',
  });
  t.same(storePlace('s3://bucket//a/b//'), { name: 's3://bucket/a/b', bucket: 'bucket', prefix: 'a/b' });
  t.match(storePlace('s3://bucket/pre fix+/ü%20/'), { prefix: 'pre fix+/ü%20' });
  const amazon = 'https://ooni-data-eu-fra.s3.eu-central-1.amazonaws.com';
  t.match(storePlace(`${amazon}/raw/`), {
    name: `${amazon}/raw`,
    bucket: 'ooni-data-eu-fra',
    prefix: 'raw',
    web: { region: 'eu-central-1' },
  });
  t.match(storePlace('https://ooni-data-eu-fra.s3.amazonaws.com'), { bucket: 'ooni-data-eu-fra', prefix: '', web: {} });
  t.match(storePlace('https://s3-eu-west-1.amazonaws.com/bucket/a'), {
    bucket: 'bucket',
    prefix: 'a',
    web: { region: 'eu-west-1' },
  });
  t.match(storePlace('http://127.0.0.1:7480/bucket/a/b'), {
    bucket: 'bucket',
    prefix: 'a/b',
    web: { endpoint: 'http://127.0.0.1:7480' },
  });
  const faulty = [
    's3://',
    's3://B',
    's3://bucket/../x',
    'https://host',
    'https://host/bucket/a?b',
    'https://u@host/bucket',
    'ftp://host/bucket',
    's3://bucket/a/./b',
  ];
  for (const url of faulty) t.ok('fault' in storePlace(url), url);
  t.end();
});

t.test('the address of an object', (t) => {
  t.same(objectAt('s3://bucket/a/b.gz'), { store: 's3://bucket', key: 'a/b.gz' });
  t.same(objectAt('http://127.0.0.1:7480/bucket/a/b'), { store: 'http://127.0.0.1:7480/bucket', key: 'a/b' });
  const amazon = 'https://bucket.s3.eu-central-1.amazonaws.com';
  t.same(objectAt(`${amazon}/a`), { store: amazon, key: 'a' });
  for (const url of ['s3://bucket', 's3://bucket/', 's3://bucket/a/', amazon, 'https://host/bucket', 's3://b/../x'])
    t.ok('fault' in objectAt(url), url);
  t.end();
});

t.test('a summary', (t) => {
  const summary = new Summary();
  summary.add({ bytes: 10, hour: '2024020110', cc: 'IT', test: 'webconnectivity' });
  summary.add({ bytes: 5, hour: '2024020111', cc: 'IT', test: 'webconnectivity' });
  summary.add({ bytes: 1_000_000_000_000, day: '20201020', cc: 'DE', test: 'ndt' });
  summary.add({ bytes: 1, bucket: '2016-08-01' });
  t.same(summary.lines(), [
    'day        cc test            files         bytes',
    '2016-08-01 -  -                   1             1',
    '2020-10-20 DE ndt                 1 1000000000000',
    '2024-02-01 IT webconnectivity     2            15',
    'total                             4 1000000000016',
  ]);
  t.end();
});
