// Every case under fixtures/VERB/CASE: `cmd` is run by a shell in a folder with a copy of `in`; what it
// must print is in `out` and `err`, its exit code in `code` (0 where there is none), and what must lie in
// the folder afterwards in `after`, one path a line.
import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { folder, ROOT, shell, tree } from './lib.ts';

const REWRITE = process.env.CANNERY_REWRITE_FIXTURES === '1';

const fixtures = join(ROOT, 'fixtures');
const cases = readdirSync(fixtures, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && entry.name !== 'spool')
  .flatMap((verb) => readdirSync(join(fixtures, verb.name)).map((name) => `${verb.name}/${name}`))
  .filter((name) => existsSync(join(fixtures, name, 'cmd')));

for (const name of cases) {
  t.test(name, (t) => {
    const from = join(fixtures, name);
    const cwd = folder(t);
    if (existsSync(join(from, 'in'))) cpSync(join(from, 'in'), cwd, { recursive: true, preserveTimestamps: true });
    const env = { FIXTURES: fixtures, CASE: from };
    const { code, out, err } = shell(readFileSync(join(from, 'cmd'), 'utf8'), { cwd, env });
    // Temporary folders have a new name each time.
    const plain = (text: string) => text.replaceAll(cwd, '$DIR');
    check(t, from, 'out', plain(out));
    check(t, from, 'err', plain(err));
    check(t, from, 'code', `${code}\n`, '0\n');
    if (existsSync(join(from, 'after')))
      check(
        t,
        from,
        'after',
        tree(cwd)
          .map((path) => `${path}\n`)
          .join(''),
      );
    t.end();
  });
}
t.ok(cases.length > 0, 'there are cases');

function check(t: Test, from: string, file: string, got: string, usual = ''): void {
  const path = join(from, file);
  if (REWRITE && (got !== usual || existsSync(path))) writeFileSync(path, got);
  t.equal(got, existsSync(path) ? readFileSync(path, 'utf8') : usual, file);
}
