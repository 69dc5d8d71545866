// Fields of documents, the cells of tables, and documents without bodies.
import fc from 'fast-check';
import t from 'tap';
import { dropBodies } from '../../src/record/bodies.ts';
import { csvRow } from '../../src/record/csv.ts';
import {
  asnOf,
  type Cell,
  columnOf,
  DEFAULT_FIELDS,
  domainOf,
  FieldReader,
  Literal,
  Moment,
  USUAL_NAMES,
} from '../../src/record/fields.ts';
import type { MeasurementRow } from '../../src/record/rows.ts';

const rowOf = (document: Buffer | string): MeasurementRow => ({
  ...{ kind: 'measurement', measurement_uid: null, bucket_date: null, report_filename: null },
  document: Buffer.from(document),
});

t.test('a member by its path is what a reader of JSON finds there', (t) => {
  const name = fc.constantFrom('a', 'b', '0', '1');
  const { value } = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { depthSize: 'small' },
      fc.constantFrom(null, true, 1.5, 'x', ''),
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(name, tie('value'), { maxKeys: 3 }),
    ),
  }));
  const paths = fc.uniqueArray(
    fc.array(name, { minLength: 1, maxLength: 4 }).map((list) => list.join('.')),
    { minLength: 1, maxLength: 4 },
  );
  fc.assert(
    fc.property(fc.dictionary(name, value), paths, (document, paths) => {
      const columns = paths.map(columnOf);
      const fields = new FieldReader(columns).read(rowOf(JSON.stringify(document)));
      for (const column of columns) {
        let found: unknown = document;
        for (const step of column.path) {
          const isHere = found !== null && typeof found === 'object' && Object.hasOwn(found, step);
          found = isHere ? (found as Record<string, unknown>)[step] : undefined;
        }
        t.same(JSON.parse(fields.json(column)), found ?? null, `${column.name} of ${JSON.stringify(document)}`);
      }
    }),
    { numRuns: 500 },
  );
  t.end();
});

t.test('a forged document costs no memory for what nobody asked for', (t) => {
  const zeros = `{"test_keys":[${'0,'.repeat(3_000_000)}0],"probe_cc":"IT"}`;
  const reader = new FieldReader(['cc', 'test_keys.2.a', 'test_keys.5'].map(columnOf));
  const before = process.memoryUsage().heapUsed;
  const fields = reader.read(rowOf(zeros));
  t.ok(process.memoryUsage().heapUsed - before < 20e6, 'not an object for each of three million');
  t.equal(fields.cell(columnOf('cc')), 'IT');
  t.same(fields.cell(columnOf('test_keys.5')), new Literal('0', true));
  t.equal(fields.cell(columnOf('test_keys.6')), null, 'which nobody said would be asked for');
  t.end();
});

t.test('usual fields', (t) => {
  t.ok(DEFAULT_FIELDS.every((name) => USUAL_NAMES.includes(name)));
  for (const [input, domain] of [
    ['https://www.Example.org/path?x=@y', 'www.example.org'],
    ['http://user:pw@example.org:8080', 'example.org'],
    ['https://[2001:DB8::1]:443/', '2001:db8::1'],
    ['example.org', 'example.org'],
    ['192.0.2.1:443', '192.0.2.1'],
    ['dot://dns.example/', 'dns.example'],
    ['http://пример.example./', 'пример.example'],
    ['obfs4 192.0.2.1:443 0123', null],
    ['', null],
    ['https:///x', null],
    [`https://${'a'.repeat(300)}/`, null],
  ] as const)
    t.equal(domainOf(input), domain, input);
  for (const [text, asn] of [
    ['AS0', '0'],
    ['as00123', '123'],
    ['4294967295', '4294967295'],
    ['4294967296', undefined],
    ['AS', undefined],
    ['AS-1', undefined],
  ] as const)
    t.equal(asnOf(text)?.json, asn, text);
  t.end();
});

/** RFC 4180, with what it means that a cell is quoted. */
function parsed(csv: string): { text: string; quoted: boolean }[][] {
  const rows: { text: string; quoted: boolean }[][] = [];
  const row: { text: string; quoted: boolean }[] = [];
  for (let at = 0; at < csv.length; ) {
    const quoted = csv[at] === '"';
    const match = (quoted ? /"((?:[^"]|"")*)"(,|\r\n)/y : /([^",\r\n]*)(,|\r\n)/y) as RegExp;
    match.lastIndex = at;
    const [all, text, end] = match.exec(csv)!;
    row.push({ text: text!.replaceAll('""', '"'), quoted });
    if (end !== ',') rows.push(row.splice(0));
    at += all.length;
  }
  return rows;
}

t.test('csv is read back cell by cell', (t) => {
  const text = fc.oneof(fc.constantFrom('', '=1', '-1', '"', '\r\n', ',', "'", '＋', '\t', 'ä\u2028'), fc.string());
  const cell: fc.Arbitrary<Cell> = fc.oneof(
    text,
    fc.constantFrom(null, true, false, new Moment(0)),
    fc.integer().map((n) => new Literal(String(n), true)),
    text.map((s) => new Literal(JSON.stringify([s]), false)),
  );
  fc.assert(
    fc.property(fc.array(fc.array(cell, { minLength: 2, maxLength: 2 })), fc.boolean(), (table, guard) => {
      const back = parsed(table.map((row) => `${csvRow(row, guard)}\r\n`).join(''));
      t.equal(back.length, table.length);
      for (const [i, row] of table.entries())
        for (const [j, cell] of row.entries()) {
          const { text, quoted } = back[i]![j]!;
          if (cell === null) t.same({ text, quoted }, { text: '', quoted: false });
          else {
            const said = cell instanceof Literal ? cell.json : String(cell);
            if (said === '') t.ok(quoted, 'the empty text is no null');
            const isNumber = cell instanceof Literal && cell.isNumber;
            const isFormula = !isNumber && /^[=+\-@\t\r\n＝＋－＠]/.test(said);
            t.equal(text, guard && isFormula ? `'${said}` : said);
            if (guard && !isNumber) t.notMatch(text, /^[=+\-@\t\r\n]/);
          }
        }
    }),
    { numRuns: 300 },
  );
  t.end();
});

const BODIES = new Set(['body', 'request_body', 'response_body']);

function without(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(without);
  if (value === null || typeof value !== 'object') return value;
  const kept = Object.entries(value).filter(([name, inner]) => !BODIES.has(name) || inner === null);
  return Object.fromEntries(kept.map(([name, inner]) => [name, without(inner)]));
}

/** JSON as odd writers have it: white space anywhere, names with escapes. */
function oddly(value: unknown, chance: () => number): string {
  const space = () => (chance() < 0.3 ? [' ', '\t', '  '][Math.floor(chance() * 3)]! : '');
  const around = (text: string) => `${space()}${text}${space()}`;
  if (Array.isArray(value)) return `[${value.map((item) => around(oddly(item, chance))).join(',')}]`;
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  const name = (text: string) => {
    const json = JSON.stringify(text);
    return chance() < 0.1 ? json.replace('o', '\\u006f') : json;
  };
  return `{${Object.entries(value)
    .map(([key, inner]) => `${around(name(key))}:${around(oddly(inner, chance))}`)
    .join(',')}${space()}}`;
}

t.test('bodies go, and all else stays', (t) => {
  const name = fc.constantFrom('body', 'request_body', 'response_body', 'somebody', 'a', 'body"', '\\"body');
  const { value } = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { depthSize: 'small' },
      fc.constantFrom(null, 1, 'x', '"body":"x"', '\\', 'body', '{"body":1}'),
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(name, tie('value'), { maxKeys: 4 }),
    ),
  }));
  fc.assert(
    fc.property(
      fc.dictionary(name, value),
      fc.infiniteStream(fc.double({ min: 0, max: 0.999, noNaN: true })),
      (document, stream) => {
        const json = oddly(document, () => stream.next().value);
        const done = dropBodies(Buffer.from(json), false).toString();
        t.same(JSON.parse(done), without(document), json);
        const hashed = JSON.parse(dropBodies(Buffer.from(json), true).toString());
        t.same(without(hashed), hashed, 'those with their hash have gone too');
      },
    ),
    { numRuns: 500 },
  );
  t.end();
});
