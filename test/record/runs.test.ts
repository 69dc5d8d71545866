import fc from 'fast-check';
import t from 'tap';
import { CAPITAL, eachRun, HEX, kind, RunFinder, type Wanted } from '../../src/record/runs.ts';

const DOTTED = kind('0123456789.-_');
const WIDE = kind('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_');
const WANTED: Wanted[] = [
  { of: DOTTED, min: 7, needs: { of: kind('.-_'), count: 3 } },
  { of: HEX, min: 3 },
  { of: HEX, min: 17 },
  { of: kind('0123456789abcdefABCDEF '), min: 49 },
  { of: WIDE, min: 27, needs: { of: CAPITAL, count: 1 } },
];

/** What a person would write who has time. */
function plainly(bytes: Buffer, { of, min, needs }: Wanted): string[] {
  const found: string[] = [];
  for (let start = 0; start < bytes.length; start++) {
    let end = start;
    while (end < bytes.length && of[bytes[end]!] === 1) end++;
    const needed = [...bytes.subarray(start, end)].filter((c) => needs?.of[c] === 1).length;
    if (end - start >= min && needed >= (needs?.count ?? 0)) found.push(`${start}-${end}`);
    if (end > start) start = end;
  }
  return found;
}

function found(bytes: Buffer, finder: RunFinder, which: number): string[] {
  const finds = finder.find(bytes)!;
  const runs: string[] = [];
  for (let i = 0; i < finds.length; i += 3) if (finds[i] === which) runs.push(`${finds[i + 1]}-${finds[i + 2]}`);
  return runs;
}

/** Runs of one kind and another, of lengths about the limits, among anything. */
const texts = fc
  .array(
    fc.oneof(
      fc
        .tuple(fc.constantFrom(...'a0.A/ Z', 'é', '\\', '"'), fc.integer({ min: 1, max: 150 }))
        .map(([c, n]) => c.repeat(n)),
      fc.string({ unit: fc.constantFrom(...'0123456789.-_'), maxLength: 90 }),
      fc.string({ unit: fc.constantFrom(...'0123456789abcdefABCDEF '), maxLength: 90 }),
      fc.string({ unit: 'binary', maxLength: 20 }),
      fc.constantFrom('"probe_ip"', 'base64', '\\u003c', '\\u00e9', '\\n', '\\\\', 'u00', '\\u0026'),
    ),
    { maxLength: 30 },
  )
  .map((parts) => Buffer.from(parts.join('')));

t.test('both ways of looking find the same runs', (t) => {
  const finder = new RunFinder(WANTED, ['"probe_ip"', 'base64']);
  fc.assert(
    fc.property(texts, (bytes) => {
      for (const [i, wanted] of WANTED.entries()) {
        const runs: string[] = [];
        eachRun(bytes, wanted, (start, end) => runs.push(`${start}-${end}`));
        t.same(runs, plainly(bytes, wanted), `kind ${i}, one by one`);
        t.same(found(bytes, finder, i), runs, `kind ${i}, in one go`);
      }
    }),
    { numRuns: 200 },
  );
  t.end();
});

t.test('words are told of wherever they begin', (t) => {
  const finder = new RunFinder(WANTED, ['"probe_ip"', 'base64']);
  fc.assert(
    fc.property(texts, (bytes) => {
      for (const [i, word] of ['"probe_ip"', 'base64'].entries()) {
        const told = new Set(found(bytes, finder, WANTED.length + i).map((run) => Number(run.split('-')[0])));
        for (let at = bytes.indexOf(word); at !== -1; at = bytes.indexOf(word, at + 1)) t.ok(told.has(at), word);
      }
    }),
    { numRuns: 200 },
  );
  t.end();
});

t.test('what was found in one text is not found in the next', (t) => {
  const finder = new RunFinder(WANTED, []);
  const other = new RunFinder([{ of: HEX, min: 40 }], []);
  const long = Buffer.from('1.2.3.4.5.6.7.8.'.repeat(1000));
  t.same(found(long, finder, 0), ['0-16000']);
  t.same(found(Buffer.from('a'.repeat(40)), other, 0), ['0-40']);
  t.same(found(long.subarray(0, 100), finder, 0), ['0-100']);
  t.same(found(Buffer.from('no run'), finder, 0), []);
  t.same(found(Buffer.alloc(0), finder, 0), []);
  t.end();
});
