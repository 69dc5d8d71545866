import t from 'tap';
import { readJson } from '../../src/record/json.ts';
t.test('reads', (t) => {
  t.equal(readJson(Buffer.from('{"a":1}')).value.end, 7);
  t.end();
});
