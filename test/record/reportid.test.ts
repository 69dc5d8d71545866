import t from 'tap';
import { epochOf, fabricateReportId, reportIdSource } from '../../src/record/reportid.ts';

const CITY = Buffer.from('Reykjav\xedk', 'latin1');

t.test('the id of a report that has none: what earlier pipelines made of these', (t) => {
  const cases: [header: Record<string, unknown>, id: string][] = [
    [{}, '19700101T000000Z_KWnRnnxAmNrJfoqrTxAKhVDgGkiuSYfGDSecYaayqhcqlfOXCX'],
    [
      { probe_cc: 'UK', test_name: 'web_connectivity' },
      '19700101T000000Z_LLWQMcPHNefGtRNzxcgKlXlSjKmRuyyKLycBDGwNiNEbMztVzb',
    ],
    [
      {
        probe_cc: 'IT',
        probe_asn: 'AS3269',
        test_name: 'bridge_reachability',
        software_version: '1.0.2',
        start_time: 1407420650.56,
      },
      '20140807T141050Z_bUQJSedkFNsmcPJTzPncLIdfXEdlDIvkPnKvtoWTdpJjIgOHsM',
    ],
    [
      {
        probe_cc: 'IT',
        probe_asn: 'AS30722',
        test_name: 'http_requests',
        software_version: '0.0.10',
        start_time: 1383307200,
      },
      '20131101T120000Z_HvgPpMdttKegMFDvnixHqeaGzsAJAJJCcRbakXuHswiAUCBAap',
    ],
    [{ probe_city: CITY }, '19700101T000000Z_qEueYycHnShysWDofStGFzVLUiMUHkfxYAplsahqVzVmEKbIJY'],
  ];
  for (const [header, id] of cases) t.equal(fabricateReportId(header), id);
  t.end();
});

t.test('the same parts, however they are given, give the same id', (t) => {
  const city = { format: 'base64', data: CITY.toString('base64') };
  t.equal(fabricateReportId({ probe_city: city }), fabricateReportId({ probe_city: CITY }));
  t.equal(fabricateReportId({ probe_city: CITY.toString('utf8') }) === fabricateReportId({ probe_city: CITY }), false);
  const none = { probe_cc: null, probe_asn: undefined, test_name: null, software_version: null, probe_city: null };
  t.equal(fabricateReportId(none), fabricateReportId({}));
  t.equal(fabricateReportId({ probe_city: 'None' }), fabricateReportId({}));
  t.not(fabricateReportId({ probe_cc: '' }), fabricateReportId({}), 'an empty text is a text');
  t.equal(fabricateReportId({ probe_asn: 3269 }), fabricateReportId({ probe_asn: '3269' }));
  t.equal(fabricateReportId({ probe_cc: true }), fabricateReportId({ probe_cc: 'true' }));
  t.equal(fabricateReportId({ probe_cc: ['a', 1] }), fabricateReportId({ probe_cc: '["a",1]' }));

  const json: Record<string, string> = {
    probe_cc: '"IT"',
    probe_asn: '3269',
    software_version: '1.0',
    probe_city: JSON.stringify(city),
    start_time: '1407420650.56',
  };
  t.equal(
    fabricateReportId(reportIdSource((name) => json[name])),
    fabricateReportId({
      probe_cc: 'IT',
      probe_asn: '3269',
      software_version: '1.0',
      probe_city: CITY,
      start_time: 1407420650,
    }),
    'from JSON text, numbers as they were written',
  );
  t.end();
});

t.test('its time', (t) => {
  const cases: [start: unknown, stamp: string][] = [
    [1383307200, '20131101T120000Z'],
    [1383307200.999, '20131101T120000Z'],
    ['1383307200.0', '20131101T120000Z'],
    ['1.3833072e9', '20131101T120000Z'],
    [0, '19700101T000000Z'],
    [-1, '19691231T235959Z'],
    [253402300799, '99991231T235959Z'],
    [253402300800, '19700101T000000Z'],
    [1383307200000, '19700101T000000Z'],
    [-62167219201, '19700101T000000Z'],
    [Number.NaN, '19700101T000000Z'],
    [Number.POSITIVE_INFINITY, '19700101T000000Z'],
    ['1e999', '19700101T000000Z'],
    ['', '19700101T000000Z'],
    ['soon', '19700101T000000Z'],
    ['0x10', '19700101T000000Z'],
    [null, '19700101T000000Z'],
    [true, '19700101T000000Z'],
    [[1383307200], '19700101T000000Z'],
    ['2013-11-01 12:00:00', '20131101T120000Z'],
    ['2013-11-01T12:00:00.5Z', '20131101T120000Z'],
    ['2013-02-30 12:00:00', '19700101T000000Z'],
  ];
  for (const [start_time, stamp] of cases)
    t.equal(fabricateReportId({ start_time }).split('_')[0], stamp, String(start_time));
  t.equal(epochOf('2013-02-30 12:00:00'), undefined);
  t.end();
});
