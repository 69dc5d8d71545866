import fc from 'fast-check';
import t from 'tap';
import { epochOf } from '../../src/record/reportid.ts';
import { ooniTime, ooniTimeOfEpoch } from '../../src/record/times.ts';

t.test('times in every form that probes and YAML have', (t) => {
  const cases: [given: string, time: string | undefined][] = [
    ['2013-11-01 12:00:00', '2013-11-01 12:00:00'],
    ['2013-11-01T12:00:00Z', '2013-11-01 12:00:00'],
    ['2013-11-01T12:00:00.999999Z', '2013-11-01 12:00:00'],
    ['2013-11-01 12:00:00.5', '2013-11-01 12:00:00'],
    ['2013-11-01 12:00:00 +02:00', '2013-11-01 10:00:00'],
    ['2013-11-01T12:00:00+0230', '2013-11-01 09:30:00'],
    ['2013-11-01T12:00:00-2', '2013-11-01 14:00:00'],
    ['2013-12-31t23:30:00-01:00', '2014-01-01 00:30:00'],
    ['2013-1-2 3:04:05', '2013-01-02 03:04:05'],
    ['2013-11-01', '2013-11-01 00:00:00'],
    ['2012-02-29 00:00:00', '2012-02-29 00:00:00'],
    ['2013-02-29 00:00:00', undefined],
    ['2013-11-31', undefined],
    ['2013-11-01 24:00:00', undefined],
    ['2013-11-01 12:60:00', undefined],
    ['2013-11-01 12:00:60', undefined],
    ['2013-11-01 12:00', undefined],
    ['2013-11-01 12:00:00 CET', undefined],
    ['2013-11-01 12:00:00\n', undefined],
    ['20131101T120000Z', undefined],
    ['1383307200', undefined],
    ['yesterday', undefined],
    ['', undefined],
  ];
  for (const [given, time] of cases) t.equal(ooniTime(given), time, JSON.stringify(given));
  t.end();
});

t.test('seconds since the epoch', (t) => {
  const cases: [seconds: number, time: string | undefined][] = [
    [0, '1970-01-01 00:00:00'],
    [1383307200, '2013-11-01 12:00:00'],
    [1407420650.56, '2014-08-07 14:10:50'],
    [1407420650.999, '2014-08-07 14:10:50'],
    [-0.5, '1969-12-31 23:59:59'],
    [253402300799, '9999-12-31 23:59:59'],
    [253402300800, undefined],
    [-62167219200, '0000-01-01 00:00:00'],
    [-62167219201, undefined],
    [1e300, undefined],
    [Number.POSITIVE_INFINITY, undefined],
    [Number.NaN, undefined],
  ];
  for (const [seconds, time] of cases) t.equal(ooniTimeOfEpoch(seconds), time, `${seconds}`);
  t.end();
});

t.test('a time that came out of one goes in again', (t) => {
  fc.assert(
    fc.property(fc.integer({ min: -59_000_000_000, max: 253_402_300_799 }), (seconds) => {
      const time = ooniTimeOfEpoch(seconds)!;
      return ooniTime(time) === time && epochOf(time) === seconds;
    }),
  );
  t.end();
});
