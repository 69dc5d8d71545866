// The language of `select --where`, held to a plain evaluation of what was written.
import fc from 'fast-check';
import t from 'tap';
import { FieldReader } from '../../src/record/fields.ts';
import type { MeasurementRow } from '../../src/record/rows.ts';
import { compareVersions, glob, parseWhere, WhereError } from '../../src/record/where.ts';

const rowOf = (document: unknown): MeasurementRow => ({
  ...{ kind: 'measurement', measurement_uid: null, bucket_date: null, report_filename: null },
  document: Buffer.from(JSON.stringify(document)),
});

function holds(expression: string, document: unknown): boolean {
  const where = parseWhere(expression);
  return where.holds(new FieldReader(where.fields).read(rowOf(document)));
}

type Tree =
  | { kind: 'comparison'; path: string; operator: string; value: string | number | boolean | null }
  | { kind: 'in'; path: string; negated: boolean; values: string[] }
  | { kind: 'and'; left: Tree; right: Tree }
  | { kind: 'or'; left: Tree; right: Tree }
  | { kind: 'not'; inner: Tree };

const path = fc.constantFrom('a', 'b', 'a.b', 'a.b.c', 'none');
const text = fc.oneof(
  fc.constantFrom('x', '', "it's", '"', 'and', 'null', 'ä ö', '1', '\n'),
  fc.string({ maxLength: 4 }),
);
const tree: fc.Memo<Tree> = fc.memo((depth) => {
  const leaf = fc.oneof(
    fc.record({
      kind: fc.constant('comparison' as const),
      path,
      operator: fc.constantFrom('=', '!=', '<', '<=', '>', '>='),
      value: fc.oneof(text, fc.integer({ min: -3, max: 3 })),
    }),
    fc.record({
      kind: fc.constant('comparison' as const),
      path,
      operator: fc.constantFrom('=', '!='),
      value: fc.oneof(fc.boolean(), fc.constant(null)),
    }),
    fc.record({
      kind: fc.constant('in' as const),
      path,
      negated: fc.boolean(),
      values: fc.array(text, { minLength: 1, maxLength: 3 }),
    }),
  );
  if (depth <= 1) return leaf;
  return fc.oneof(
    leaf,
    fc.record({ kind: fc.constant('and' as const), left: tree(depth - 1), right: tree(depth - 1) }),
    fc.record({ kind: fc.constant('or' as const), left: tree(depth - 1), right: tree(depth - 1) }),
    fc.record({ kind: fc.constant('not' as const), inner: tree(depth - 1) }),
  );
});

const quoted = (value: string) => `'${value.replaceAll("'", "''")}'`;

function written(one: Tree): string {
  if (one.kind === 'not') return `not ${enclosed(one.inner)}`;
  if (one.kind === 'and') return `${enclosed(one.left)} and ${enclosed(one.right)}`;
  if (one.kind === 'or') return `${written(one.left)} or ${written(one.right)}`;
  if (one.kind === 'in') return `${one.path}${one.negated ? ' not' : ''} in (${one.values.map(quoted).join(',')})`;
  const { value } = one;
  return `${one.path}${one.operator} ${typeof value === 'string' ? quoted(value) : value}`;
}

function enclosed(one: Tree): string {
  return one.kind === 'or' || one.kind === 'and' ? `(${written(one)})` : written(one);
}

function valueAt(document: unknown, path: string): unknown {
  let value = document;
  for (const name of path.split('.')) {
    if (value === null || typeof value !== 'object' || Array.isArray(value) || !Object.hasOwn(value, name)) return null;
    value = (value as Record<string, unknown>)[name];
  }
  return value;
}

function compared(found: unknown, operator: string, value: string | number | boolean | null): boolean {
  if (value === null) return operator === '=' ? found === null : found !== null;
  if (found === null) return false;
  let order: number | undefined;
  const wanted = String(value);
  if (typeof found === 'string') order = found < wanted ? -1 : found > wanted ? 1 : 0;
  else if (typeof found === 'boolean') order = String(found) === wanted ? 0 : undefined;
  else if (JSON.stringify(found) === wanted) order = 0;
  else if (typeof found === 'number' && typeof value === 'number') order = found - value;
  switch (operator) {
    case '=':
      return order === 0;
    case '!=':
      return order !== 0;
    case '<':
      return order !== undefined && order < 0;
    case '<=':
      return order !== undefined && order <= 0;
    case '>':
      return order !== undefined && order > 0;
    default:
      return order !== undefined && order >= 0;
  }
}

function evaluated(one: Tree, document: unknown): boolean {
  if (one.kind === 'not') return !evaluated(one.inner, document);
  if (one.kind === 'and') return evaluated(one.left, document) && evaluated(one.right, document);
  if (one.kind === 'or') return evaluated(one.left, document) || evaluated(one.right, document);
  const found = valueAt(document, one.path);
  if (one.kind === 'comparison') return compared(found, one.operator, one.value);
  if (found === null) return false;
  return one.values.some((value) => compared(found, '=', value)) !== one.negated;
}

const leafValue = fc.oneof(text, fc.integer({ min: -3, max: 3 }), fc.boolean(), fc.constant(null));
const document = fc.record(
  {
    a: fc.oneof(leafValue, fc.record({ b: fc.oneof(leafValue, fc.record({ c: leafValue }), fc.array(leafValue)) })),
    b: leafValue,
  },
  { requiredKeys: [] },
);

t.test('expressions hold where a plain evaluation says so', (t) => {
  fc.assert(
    fc.property(tree(3), document, (one, given) => {
      t.equal(holds(written(one), given), evaluated(one, given), `${written(one)} of ${JSON.stringify(given)}`);
    }),
    { numRuns: 400 },
  );
  t.end();
});

t.test('whatever is written is an expression, or told with a column of it', (t) => {
  const words = fc.constantFrom(
    'cc',
    'a.b',
    '=',
    '!=',
    '~',
    '(',
    ')',
    ',',
    'in',
    'not',
    'and',
    'or',
    'null',
    "'x'",
    'IT',
    '"',
    '\\',
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.array(words).map((list) => list.join(' ')),
      ),
      (written) => {
        try {
          parseWhere(written);
        } catch (error) {
          if (!(error instanceof WhereError)) throw error;
          t.ok(error.column >= 1 && error.column <= written.length + 1, error.message);
        }
      },
    ),
    { numRuns: 1000 },
  );
  for (const deep of ['('.repeat(10_000), 'not '.repeat(10_000)])
    t.throws(() => parseWhere(`${deep}a = 1`), { message: /nested deeper than 200 levels/ });
  const many = Array.from({ length: 20_000 }, (_, n) => `a = ${n}`).join(' or ');
  t.ok(holds(many, { a: 19_999 }), 'a long one is none that is nested deep');
  t.end();
});

t.test('patterns', (t) => {
  const sign = fc.constantFrom('a', 'b', '*', '?');
  const pattern = fc.array(sign, { maxLength: 8 }).map((list) => list.join(''));
  const given = fc.array(fc.constantFrom('a', 'b', '\n'), { maxLength: 10 }).map((list) => list.join(''));
  fc.assert(
    fc.property(pattern, given, (pattern, given) => {
      const same = new RegExp(`^${pattern.replaceAll('*', '.*').replaceAll('?', '.')}$`, 's').test(given);
      t.equal(glob(pattern)(given), same, `${pattern} ${JSON.stringify(given)}`);
    }),
    { numRuns: 2000 },
  );
  t.end();
});

t.test('a text of a probe takes no more time than it has bytes', (t) => {
  const started = performance.now();
  glob('*a*a*a*a*a*a*a*a*a*b')('a'.repeat(2_000_000));
  glob(`*${'?'.repeat(20)}b`)('a'.repeat(1_000_000));
  t.ok(performance.now() - started < 10_000);
  t.end();
});

t.test('versions', (t) => {
  const rising = ['', '0.1', '1.2.3-alpha', '1.2.3-beta.2', '1.2.3-beta.11', '1.2.3', '1.2.4', '1.10.0', '2', '10.0'];
  for (const [i, a] of rising.entries())
    for (const [j, b] of rising.entries()) t.equal(Math.sign(compareVersions(a, b)), Math.sign(i - j), `${a} and ${b}`);
  t.equal(compareVersions('3.0', '3'), 0);
  t.end();
});
