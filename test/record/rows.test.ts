import { spawnSync } from 'node:child_process';
import fc from 'fast-check';
import t from 'tap';
import { readJson } from '../../src/record/json.ts';
import {
  endRow,
  type MeasurementRow,
  measurementRow,
  openRow,
  type Provenance,
  parseRow,
  rowOf as rowAgain,
  wrongKind,
} from '../../src/record/rows.ts';

const NONE: Provenance = { measurement_uid: null, bucket_date: null, report_filename: null };
const rowOf = (document: string, provenance: Provenance = NONE) =>
  Buffer.concat(measurementRow(provenance, Buffer.from(document)).map((piece) => Buffer.from(piece as string)));
const parse = (row: string | Buffer) => parseRow(Buffer.from(row as string));
const parseMeasurement = (row: string | Buffer): MeasurementRow => {
  const parsed = parse(row);
  if (parsed.kind !== 'measurement') throw new Error(`a ${parsed.kind} row`);
  return parsed;
};
const errorOf = (row: string | Buffer): string => {
  try {
    return `taken as ${parse(row).kind}`;
  } catch (error) {
    return (error as Error).message;
  }
};

/** One line of JSON: an object whose members like to have the names of ours. */
const blank = fc.array(fc.constantFrom(' ', '\t', '\r', '  '), { maxLength: 2 }).map((parts) => parts.join(''));
const name = fc.oneof(
  fc.constantFrom(
    'measurement_uid',
    'bucket_date',
    'report_filename',
    'file',
    'cannery',
    'can',
    'rows',
    '__proto__',
    '',
  ),
  fc.string({ unit: 'binary', maxLength: 6 }),
);
const value = fc.oneof(
  fc.constantFrom('null', '1.0', '1152921504606846976', '1e400', '"end"', '"\\u003c"', '{ }', '[ 1 ,2]', '"a  b"'),
  fc.jsonValue({ maxDepth: 2, stringUnit: 'binary' }).map((v) => JSON.stringify(v)),
);
const document = fc
  .tuple(blank, fc.array(fc.tuple(blank, name, blank, value, blank), { maxLength: 6 }))
  .map(([empty, members]) => {
    const inside = members.map(([a, key, b, text, c]) => `${a}${JSON.stringify(key)}${b}:${text}${c}`).join(',');
    return `{${inside || empty}}`;
  });
const text = fc.option(fc.string({ unit: 'grapheme', maxLength: 20 }), { nil: null });
const provenance = fc.record({ measurement_uid: text, bucket_date: text, report_filename: text });

t.test('a measurement row gives back its document, byte for byte, and where it came from', (t) => {
  fc.assert(
    fc.property(document, provenance, (document, provenance) => {
      const row = rowOf(document, provenance);
      const { kind, document: back, ...rest } = parseMeasurement(row);
      // It is JSON with our three members in front for every reader.
      const names = readJson(row).value.members!.map((m) => m.key);
      return (
        kind === 'measurement' &&
        back.toString() === document &&
        JSON.stringify(rest) === JSON.stringify(provenance) &&
        names.slice(0, 3).join() === 'measurement_uid,bucket_date,report_filename' &&
        !row.includes(0x0a)
      );
    }),
    { numRuns: 1500 },
  );
  fc.assert(
    fc.property(document, provenance, (document, provenance) => {
      const row = rowOf(document, provenance);
      const line = Buffer.from(row);
      const opened = openRow(line)!;
      const { kind, document: back, ...rest } = opened;
      return (
        kind === 'measurement' &&
        back.toString() === document &&
        JSON.stringify(rest) === JSON.stringify(provenance) &&
        rowAgain(line, opened).equals(row)
      );
    }),
    { numRuns: 1500 },
  );
  const cases: [document: string, row: string][] = [
    ['{}', '{"measurement_uid":null,"bucket_date":null,"report_filename":null}'],
    ['{ }', '{"measurement_uid":null,"bucket_date":null,"report_filename":null }'],
    ['{"a":1.0}', '{"measurement_uid":null,"bucket_date":null,"report_filename":null,"a":1.0}'],
    ['{  "a":1}', '{"measurement_uid":null,"bucket_date":null,"report_filename":null,  "a":1}'],
  ];
  for (const [document, row] of cases) {
    t.equal(rowOf(document).toString(), row);
    t.equal(parseMeasurement(row).document.toString(), document);
  }
  const bytes = Buffer.from('{"a":"\ud83d\ude00 é"}');
  t.ok(
    parseMeasurement(Buffer.concat(measurementRow(NONE, bytes).map((p) => Buffer.from(p as string)))).document.equals(
      bytes,
    ),
  );
  t.end();
});

t.test('what a row is, its first member alone says', (t) => {
  t.match(parse('{"file":"a.post","bytes":12,"kind":"post"}'), { kind: 'file', file: 'a.post', bytes: 12 });
  t.match(parse('{"cannery":"end","rows":3,"rejected":0}'), { kind: 'end', rows: 3, rejected: 0 });
  t.match(parse('{"can":"x","cannery":"end"}'), { kind: 'other', first: 'can' });
  t.match(parse('{"cannery":"reject","as":"row"}'), { kind: 'other', first: 'cannery' });
  t.match(parse('{"cannery":["end"],"rows":1,"rejected":0}'), { kind: 'other', first: 'cannery' });
  t.match(parse('{"bytes":1,"file":"x"}'), { kind: 'other', first: 'bytes' });
  t.match(parse('{}'), { kind: 'other', first: undefined });
  t.match(parse('{"f\\u0069le":"x"}'), { kind: 'file', file: 'x' });

  // A probe writes what it likes, and it stays in the document.
  for (const forged of [
    '{"cannery":"end","rows":1,"rejected":0}',
    '{"file":"/etc/passwd"}',
    '{"can":"2024020110_IT_ndt.n0.0"}',
    '{"measurement_uid":"forged","bucket_date":"1999-01-01","report_filename":"x"}',
  ]) {
    const row = parseMeasurement(rowOf(forged, { ...NONE, measurement_uid: 'ours' }));
    t.equal(row.measurement_uid, 'ours');
    t.equal(row.bucket_date, null);
    t.equal(row.document.toString(), forged);
  }
  fc.assert(
    fc.property(
      document,
      provenance,
      (document, provenance) => parse(rowOf(document, provenance)).kind === 'measurement',
    ),
  );
  t.end();
});

t.test('rows that are not well formed', (t) => {
  const cases: [row: string | Buffer, message: RegExp][] = [
    ['', /the text ends/],
    ['not json', /a value is missing at byte 0/],
    ['{"file":"a"', /the text ends/],
    [Buffer.from('{"file":"\xff"}', 'latin1'), /^not UTF-8 at byte 9$/],
    ['[1]', /^a row is a JSON object$/],
    ['"file"', /^a row is a JSON object$/],
    ['null', /^a row is a JSON object$/],
    ['{"file":\n"a"}', /^a row stands on one line$/],
    ['{"file":1}', /^file is no text$/],
    ['{"file":null}', /^file is no text$/],
    ['{"file":""}', /^file is no path$/],
    ['{"file":"a\\u0000b"}', /^file is no path$/],
    ['{"cannery":"end"}', /^an end row has counts of rows and rejected$/],
    ['{"cannery":"end","rows":1}', /counts/],
    ['{"cannery":"end","rows":"1","rejected":0}', /counts/],
    ['{"cannery":"end","rows":1.5,"rejected":0}', /counts/],
    ['{"cannery":"end","rows":-1,"rejected":0}', /counts/],
    ['{"cannery":"end","rows":1e400,"rejected":0}', /counts/],
    ['{"measurement_uid":null}', /^a measurement row begins with measurement_uid, bucket_date, report_filename$/],
    ['{"measurement_uid":null,"report_filename":null,"bucket_date":null}', /begins with/],
    ['{"measurement_uid":null,"bucket_date":null,"a":1,"report_filename":null}', /begins with/],
    ['{"measurement_uid":1,"bucket_date":null,"report_filename":null}', /^measurement_uid is neither text nor null$/],
    ['{"measurement_uid":null,"bucket_date":{},"report_filename":null}', /^bucket_date is neither text nor null$/],
    ['{"measurement_uid":null,"bucket_date":null,"report_filename":[]}', /^report_filename is neither text nor null$/],
  ];
  for (const [row, message] of cases)
    t.match(errorOf(row), message, JSON.stringify(row.toString().replace(/[^ -~]/g, '?')));
  t.match(errorOf('{'), /^a member name is missing, but the text ends at byte 1$/);

  t.equal((parse('{"file":"a","bytes":"12"}') as { bytes?: number }).bytes, undefined);
  for (const size of ['-1', '1.5', '1e400', '1152921504606846976'])
    t.equal((parse(`{"file":"a","bytes":${size}}`) as { bytes?: number }).bytes, undefined, size);

  const deep = (levels: number) => rowOf(`{"a":${'['.repeat(levels)}${']'.repeat(levels)}}`);
  t.equal(parse(deep(499)).kind, 'measurement', 'as deep as cat reads by itself');
  t.equal(parse(deep(99_999)).kind, 'measurement', 'and as deep as it can be told to');
  t.match(errorOf(deep(200_000)), /nested deeper/);
  t.throws(() => parseRow(deep(600), 500), { message: /nested deeper than 500 levels/ });
  t.end();
});

t.test('white space of other writers', (t) => {
  // As Python's json.dumps writes it.
  const python =
    '{"measurement_uid": null, "bucket_date": "2016-08-01", "report_filename": "2016-08-01/x.json", "a": 1.0, "b": [1, 2]}';
  const row = parseMeasurement(python);
  t.equal(row.bucket_date, '2016-08-01');
  t.equal(row.document.toString(), '{ "a": 1.0, "b": [1, 2]}');
  t.equal(
    parseMeasurement('{"measurement_uid": null, "bucket_date": null, "report_filename": null}').document.toString(),
    '{}',
  );
  t.match(parse('{"cannery": "end", "rows": 2, "rejected": 1}\r'), { kind: 'end', rows: 2, rejected: 1 });
  t.match(parse(' { "file" : "a b" } '), { kind: 'file', file: 'a b' });
  fc.assert(
    fc.property(document, fc.array(blank, { minLength: 1, maxLength: 14 }), (document, blanks) => {
      const s = (i: number) => blanks[i % blanks.length];
      const keys = ['measurement_uid', 'bucket_date', 'report_filename'];
      const ours = keys.map((key, i) => `${s(i)}"${key}"${s(i + 3)}:${s(i + 6)}null${s(i + 9)}`).join(',');
      const rest = document.slice(1);
      const empty = rest.trim() === '}';
      const row = `${s(12)}{${ours}${empty ? '' : ','}${rest}${s(13)}`;
      const back = parseMeasurement(row).document.toString();
      // White space before the end of an empty document may be ours or its own.
      return empty ? /^\{\s*\}$/.test(back) : back === document;
    }),
    { numRuns: 500 },
  );
  t.end();
});

const jq = spawnSync('jq', ['--version'], { encoding: 'utf8' });
t.test('rows pass jq -c', { skip: jq.error ? 'jq is not installed' : false }, (t) => {
  const given: Provenance = { measurement_uid: 'u', bucket_date: null, report_filename: 'f' };
  const documents = [
    '{}',
    '{"a":1,"file":"x","b":{"c":[1,2,{"d":null}]},"é":"✓"}',
    '{"z":1,"a":2,"measurement_uid2":3}',
  ];
  const rows = documents.map((document) => rowOf(document, given).toString());
  const input = [...rows, endRow(3, 0)].join('\n');
  const { stdout, status } = spawnSync('jq', ['-c', '.'], { input, encoding: 'utf8' });
  t.equal(status, 0);
  const back = stdout.trimEnd().split('\n');
  t.same(back, [...rows, endRow(3, 0)], 'compact rows are the same bytes');
  back.slice(0, 3).forEach((row, i) => {
    const { kind: _, document, ...rest } = parseMeasurement(row);
    t.equal(document.toString(), documents[i]);
    t.same(rest, given);
  });
  t.equal(parse(back[3]!).kind, 'end');
  const spread = spawnSync('jq', ['-c', 'select(.measurement_uid != null)'], { input, encoding: 'utf8' });
  t.equal(spread.stdout.trimEnd().split('\n').length, 3, 'a filter takes the end row away, and it is missed');
  t.end();
});

t.test('end rows, and messages about the wrong kind', (t) => {
  fc.assert(
    fc.property(fc.nat(), fc.nat(), (rows, rejected) => {
      const end = parse(endRow(rows, rejected));
      return end.kind === 'end' && end.rows === rows && end.rejected === rejected;
    }),
  );
  t.match(parse('{"cannery":"end","rows":1,"rejected":0,"sanitised":{"rules":["a"]},"kind":"file"}'), {
    kind: 'end',
    sanitised: { rules: ['a'] },
  });
  t.equal(wrongKind(parse('{"file":"a"}'), 'measurement'), 'a file row, where a measurement row was expected');
  t.equal(wrongKind(parse(rowOf('{}')), 'file'), 'a measurement row, where a file row was expected');
  t.equal(wrongKind(parse(endRow(1, 0)), 'can'), 'an end row, where a can row was expected');
  t.equal(wrongKind(parse('{"can":"x"}'), 'file'), 'a can row, where a file row was expected');
  t.equal(wrongKind(parse('{"x":1}'), 'file'), 'a row that begins with "x", where a file row was expected');
  t.equal(wrongKind(parse('{}'), 'file'), 'an empty row, where a file row was expected');
  t.ok(wrongKind(parse(`{"${'x'.repeat(10_000)}":1}`), 'file').length < 120, 'a message stays short');
  t.end();
});
