import fc from 'fast-check';
import t from 'tap';
import { Pieces } from '../../src/record/pieces.ts';

t.test('the pieces are the parts in their order, also of texts put together at one time', (t) => {
  const part = fc.oneof(
    fc.string({ unit: 'grapheme', maxLength: 80 }),
    fc.string({ maxLength: 80 }),
    fc.integer({ min: 1, max: 9000 }).map((n) => Buffer.alloc(n, `${n} é`)),
    fc.constant('x'.repeat(70_000)),
  );
  const steps = fc.array(fc.tuple(fc.nat(2), part), { maxLength: 60 });
  const kept: [Buffer[], Buffer][] = [];
  fc.assert(
    fc.property(steps, (list) => {
      const texts = [new Pieces(), new Pieces(), new Pieces()];
      const wanted: Buffer[][] = [[], [], []];
      for (const [n, one] of list) {
        if (typeof one === 'string') texts[n]!.text(one);
        else texts[n]!.bytes(Buffer.concat([Buffer.from('>'), one, Buffer.from('<')]), 1, one.length + 1);
        wanted[n]!.push(Buffer.from(one as string));
      }
      for (const [n, text] of texts.entries()) kept.push([text.done(), Buffer.concat(wanted[n]!)]);
      return kept.slice(-30).every(([pieces, bytes]) => Buffer.concat(pieces).equals(bytes));
    }),
    { numRuns: 200 },
  );
  t.ok(
    kept.every(([pieces, bytes]) => Buffer.concat(pieces).equals(bytes)),
    'and stay so',
  );
  t.end();
});
