import t from 'tap';
import { eraOf, TwoLayouts } from '../../src/record/twolayouts.ts';

t.test('which files are of the days that both layouts have', (t) => {
  t.equal(eraOf('m/raw/20201020/10/IT/ndt/2020102010_IT_ndt.n1.0.jsonl.gz'), 'new');
  t.equal(eraOf('m/jsonl/ndt/IT/20201021/00/20201021_IT_ndt.l.0.jsonl.gz'), 'old');
  t.equal(eraOf('jsonl/ndt/IT/20201019/00/20201019_IT_ndt.l.0.jsonl.gz'), undefined);
  t.equal(eraOf('raw/20201022/10/IT/ndt/2020102210_IT_ndt.n1.0.jsonl.gz'), undefined);
  t.equal(eraOf('jsonl/ndt/IT/20201021/00/20201021_IT_ndt.x.0123456789abcdef.jsonl.gz'), undefined, 'rows of our own');
  t.equal(eraOf('2020102010_IT_ndt.n1.0.jsonl.gz'), undefined, 'without its key nobody knows');
  t.end();
});

t.test('a measurement comes once from two layouts, and as often as it is from one', (t) => {
  const one = (more: object) =>
    Buffer.from(JSON.stringify({ report_id: 'R', input: 'a', measurement_start_time: 'T', ...more }));
  const layouts = new TwoLayouts();
  t.ok(layouts.isNew('old', one({})));
  t.ok(layouts.isNew('old', one({})), 'twice in one layout: two of them');
  t.notOk(layouts.isNew('new', one({ other: 1 })));
  for (const other of [
    { report_id: 'S' },
    { input: 'b' },
    { input: null },
    { input: 'null ' },
    { measurement_start_time: 'U' },
    { input: undefined },
  ])
    t.ok(layouts.isNew('new', one(other)), JSON.stringify(other));
  t.notOk(layouts.isNew('old', one({ input: 'b' })), 'in either order');
  t.ok(layouts.isNew('old', Buffer.from('{}')));
  t.ok(layouts.isNew('new', Buffer.from('{}')), 'what has no report has no double');
  t.equal(layouts.doubles, 2);
  t.end();
});
