// Documents under change: what nobody touched keeps its bytes, white space and doubles included.
import fc from 'fast-check';
import t from 'tap';
import {
  arrayOf,
  bytesOfDict,
  isTruthy,
  jsonOf,
  type Node,
  nodeOfBytes,
  Obj,
  objectOf,
  readDocument,
  textOf,
} from '../../src/record/nodes.ts';

const objOf = (text: string) => objectOf(readDocument(Buffer.from(text)))!;
const written = (node: Node) => jsonOf(node).toString();

t.test('members added, changed and removed, and the bytes between them', (t) => {
  const drop =
    (...keys: string[]) =>
    (obj: Obj) => {
      for (const key of keys) obj.delete(key);
    };
  const put = (members: Record<string, Node>) => (obj: Obj) => {
    for (const [key, node] of Object.entries(members)) obj.set(key, node);
  };
  const both =
    (...steps: ((obj: Obj) => void)[]) =>
    (obj: Obj) => {
      for (const step of steps) step(obj);
    };
  const cases: [what: string, before: string, change: (obj: Obj) => void, after: string][] = [
    ['nothing', '{ "a" : 1 ,\t"b":[ 1, 2 ] }', () => {}, '{ "a" : 1 ,\t"b":[ 1, 2 ] }'],
    ['nothing, empty', '{ }', () => {}, '{ }'],
    ['looked at', '{ "a" : {"b":1.0} }', (obj) => obj.entries(), '{ "a" : {"b":1.0} }'],
    ['removed at the beginning', '{ "a" : 1 , "b" : 2 , "c" : 3 }', drop('a'), '{ "b" : 2 , "c" : 3 }'],
    ['in the middle', '{ "a" : 1 , "b" : 2 , "c" : 3 }', drop('b'), '{ "a" : 1 , "c" : 3 }'],
    ['at the end', '{ "a" : 1 , "b" : 2 , "c" : 3 }', drop('c'), '{ "a" : 1 , "b" : 2 }'],
    ['first and last', '{ "a" : 1 , "b" : 2 , "c" : 3 }', drop('a', 'c'), '{ "b" : 2 }'],
    ['all but the last', '{"a":1, "b":2, "c":3}', drop('a', 'b'), '{"c":3}'],
    ['all', '{"a":1,"b":2}', drop('a', 'b'), '{}'],
    ['all, spaced', '{ "a":1,"b":2 }', drop('a', 'b'), '{  }'],
    ['one that is not there', '{"a":1}', drop('b'), '{"a":1}'],
    ['added to none', '{}', put({ x: 'y' }), '{"x":"y"}'],
    ['added to none, spaced', '{ }', put({ x: true, y: null }), '{"x":true,"y":null}'],
    ['added', '{ "a" : 1 }', put({ x: 'y', z: [] }), '{ "a" : 1,"x":"y","z":[] }'],
    ['changed', '{ "a" : 1 , "b" : 2 }', put({ a: 'x' }), '{ "a" : "x" , "b" : 2 }'],
    ['changed at the end', '{ "a" : 1 , "b" : 2 }', put({ b: [true, null] }), '{ "a" : 1 , "b" : [true,null] }'],
    ['changed twice', '{"a":1}', both(put({ a: 'x' }), put({ a: 'y' })), '{"a":"y"}'],
    ['removed and added again', '{"a":1,"b":2}', both(drop('a'), put({ a: 'x' })), '{"b":2,"a":"x"}'],
    ['added and removed again', '{"a":1}', both(put({ x: 'y' }), drop('x')), '{"a":1}'],
    ['all removed, one added', '{ "a":1,"b":2 }', both(drop('a', 'b'), put({ x: 'y' })), '{ "x":"y" }'],
    ['last removed, one added', '{"a":1 , "b":2 }', both(drop('b'), put({ x: 'y' })), '{"a":1,"x":"y" }'],
    ['first removed, last changed', '{"a":1, "b":2}', both(drop('a'), put({ b: 'x' })), '{"b":"x"}'],
    ['a double looked at', '{"a":1,"b":2,"a":3}', (obj) => obj.get('a'), '{"a":1,"b":2,"a":3}'],
    ['a double changed', '{"a":1,"b":2,"a":3}', put({ a: 'x' }), '{"b":2,"a":"x"}'],
    ['a double removed', '{"a":1, "b":2, "a":3}', drop('a'), '{"b":2}'],
    ['a name with escapes changed', '{"\\u0061":1}', put({ a: 'x' }), '{"\\u0061":"x"}'],
    ['names that are not plain', '{}', put({ '"\ud800\n': 'x' }), '{"\\"\\ud800\\n":"x"}'],
    ['the same text', '{"a":"\\u0062"}', put({ a: 'b' }), '{"a":"\\u0062"}'],
    ['the same list', '{"a":[ "x" ]}', put({ a: ['x'] }), '{"a":[ "x" ]}'],
    ['another list', '{"a":[ "x" ]}', put({ a: ['x', 'y'] }), '{"a":["x","y"]}'],
    ['null for null', '{"a": null}', put({ a: null }), '{"a": null}'],
    ['true for true', '{"a": true}', put({ a: true }), '{"a": true}'],
    ['true for false', '{"a": false}', put({ a: true }), '{"a": true}'],
    ['an object made', '{"a":1}', put({ b: Obj.of({ c: Obj.of({}) }) }), '{"a":1,"b":{"c":{}}}'],
    [
      '__proto__ and constructor',
      '{"__proto__":{"x":1},"constructor":2}',
      both(put({ constructor: 'c' }), (obj) => obj.set('__proto__', [obj.get('__proto__')!])),
      '{"__proto__":[{"x":1}],"constructor":"c"}',
    ],
  ];
  for (const [what, before, change, after] of cases) {
    const obj = objOf(before);
    change(obj);
    t.equal(written(obj), after, what);
  }
  t.end();
});

t.test('an object within is put back, changed or not', (t) => {
  const before = '{ "in" : { "a" : 1.0 , "b" : [ {"c" : "\\u0064"} ] } , "z":0 }';
  const unchanged = objOf(before);
  t.notOk(unchanged.set('in', objectOf(unchanged.get('in'))!), 'nothing was changed');
  t.equal(written(unchanged), before);

  const changed = objOf(before);
  const inner = objectOf(changed.get('in'))!;
  inner.delete('a');
  t.ok(changed.set('in', inner));
  t.equal(written(changed), '{ "in" : { "b" : [ {"c" : "\\u0064"} ] } , "z":0 }');

  const moved = objOf(before);
  moved.set('out', moved.take('in')!);
  t.equal(written(moved), '{ "z":0,"out":{ "a" : 1.0 , "b" : [ {"c" : "\\u0064"} ] } }');
  t.end();
});

t.test('values lie as deep as they like', (t) => {
  const depth = 40;
  const text = `${'{"a":['.repeat(depth)} 1.50 ${']}'.repeat(depth)}`;
  let node: Node = readDocument(Buffer.from(text), 1);
  for (let i = 0; i < depth; i++) node = arrayOf(objectOf(node)!.get('a'))![0]!;
  t.equal(written(node), '1.50');
  const root = objOf(text);
  let deepest: Node = root;
  const way: Obj[] = [];
  for (let i = 0; i < depth; i++) {
    way.push(objectOf(deepest)!);
    deepest = arrayOf(way.at(-1)!.get('a'))![0]!;
  }
  for (const obj of way.reverse()) {
    obj.set('a', [deepest]);
    deepest = obj;
  }
  t.equal(written(deepest), text, 'lists of the same things are the same lists');
  t.end();
});

t.test('true as Python has it', (t) => {
  for (const text of ['1', '-1', '0.5', '1e-5', '"0"', '[0]', '{"a":null}', 'true'])
    t.ok(isTruthy(readDocument(Buffer.from(text))), text);
  for (const text of ['0', '-0', '0.0', '0e5', '""', '[]', '{}', '{ }', 'null', 'false'])
    t.notOk(isTruthy(readDocument(Buffer.from(text))), text);
  t.notOk(isTruthy(undefined));
  t.end();
});

t.test('bytes in JSON', (t) => {
  const dict = objOf('{"data":"iVBORw0K","format":"base64"}');
  t.same(bytesOfDict(dict), Buffer.from('89504E470D0A', 'hex'));
  for (const text of ['{"format":"base64"}', '{"format":"base64","data":1}', '{"format":"hex","data":""}', '"base64"'])
    t.equal(bytesOfDict(readDocument(Buffer.from(text))), undefined, text);
  t.equal(bytesOfDict(objOf('{"format":"base64","data":"","more":1}')), undefined, 'a member more');
  t.equal(textOf(nodeOfBytes(Buffer.from('é'))), 'é');
  t.equal(written(nodeOfBytes(Buffer.from([0xff]))), '{"format":"base64","data":"/w=="}');
  t.end();
});

const space = fc.constantFrom('', '', ' ', '\t', ' \r ');
const name = fc.constantFrom('a', 'b', 'c', '\\u0061', '__proto__', 'd');
const value = fc.constantFrom(
  '1.0',
  '"\\u0062"',
  '[ 1 , 2 ]',
  '{ "x" : 1e400 }',
  'null',
  'true',
  '1152921504606846976',
);
const members = fc.array(fc.tuple(space, name, space, space, value, space), { maxLength: 6 });
const object = fc
  .tuple(members, space)
  .map(([given, s]) => `{${given.map(([a, k, b, c, v, d]) => `${a}"${k}"${b}:${c}${v}${d}`).join(',') || s}}`);
const steps = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant('set' as const), key: fc.constantFrom('a', 'b', 'd', 'new', '__proto__') }),
    fc.record({ kind: fc.constant('delete' as const), key: fc.constantFrom('a', 'b', 'c', '__proto__') }),
    fc.record({ kind: fc.constant('same' as const), key: fc.constantFrom('a', 'b', 'c') }),
  ),
  { maxLength: 5 },
);

t.test('generated objects and changes: the members that are meant, and the bytes of all others', (t) => {
  /** Name → its value as it is written there. */
  const read = (text: string) => {
    const obj = objOf(text);
    return new Map(obj.entries().map(([key, node]) => [key, written(node)]));
  };
  fc.assert(
    fc.property(object, steps, (text, steps) => {
      const obj = objOf(text);
      const wanted = read(text);
      let changed = false;
      for (const { kind, key } of steps) {
        if (kind === 'delete') {
          changed = wanted.delete(key) || changed;
          obj.delete(key);
        } else if (kind === 'set') {
          obj.set(key, ['new']);
          wanted.set(key, '["new"]');
          changed = true;
        } else if (obj.has(key) && obj.set(key, obj.get(key)!)) return false;
      }
      const out = written(obj);
      if (!changed) return out === text;
      JSON.parse(out);
      const got = read(out);
      return got.size === wanted.size && [...wanted].every(([key, value]) => got.get(key) === value);
    }),
    { numRuns: 2000 },
  );
  t.end();
});

t.test('generated objects: what is added stands between the last member and what follows it', (t) => {
  fc.assert(
    fc.property(object, (text) => {
      const obj = objOf(text);
      if (obj.size === 0) return true;
      obj.set('new', 'x');
      const [before, after] = written(obj).split(',"new":"x"') as [string, string];
      return before + after === text && /^\s*\}$/.test(after);
    }),
  );
  t.end();
});
