// ARCHITECTURE.md's rules, where a test can hold them: who imports whom, and that every package has its reason.
import { readdirSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { build } from 'esbuild';
import t from 'tap';

const files = readdirSync('src', { recursive: true })
  .map((file) => `src/${file}`)
  .filter((file) => file.endsWith('.ts') && !/\.(?:as|d)\.ts$/.test(file));

/** Folder → the folders of ours that it may import, itself always included. */
const MAY: Record<string, string[]> = {
  main: ['stream', 'record'],
  commands: ['stream', 'record', 'edge'],
  edge: ['stream', 'record'],
  stream: [],
  record: [],
};

const place = (file: string) => /^src\/(?:(\w+)\/|(main)\.ts)/.exec(file)?.slice(1).find(Boolean) ?? '?';

t.test('imports go one way', async (t) => {
  const { metafile } = await build({
    entryPoints: files,
    bundle: true,
    write: false,
    outdir: 'nowhere',
    metafile: true,
    platform: 'node',
    format: 'esm',
    packages: 'external',
    external: ['*.wasm'],
  });
  const wrong: string[] = [];
  let seen = 0;
  for (const [file, { imports }] of Object.entries(metafile.inputs)) {
    for (const { path, external } of imports) {
      if (external) continue;
      seen++;
      const [from, to] = [place(file), place(path)];
      const allowed = from === to ? from !== 'commands' : MAY[from]?.includes(to);
      if (!allowed) wrong.push(`${file} → ${path}`);
    }
  }
  t.same(wrong, []);
  t.ok(seen > 50, `${seen} imports were looked at`);
});

t.test('record is pure: no files, no network, no clock', (t) => {
  const impure = /from 'node:(?!buffer|crypto)|Date\.now|new Date\(\)|process\.|performance|Math\.random/;
  const wrong = files.filter((file) => place(file) === 'record' && impure.test(readFileSync(file, 'utf8')));
  t.same(wrong, []);
  t.end();
});

t.test('only main ends the process', (t) => {
  const wrong = files.filter((file) => file !== 'src/main.ts' && /process\.exit\b/.test(readFileSync(file, 'utf8')));
  t.same(wrong, []);
  t.end();
});

t.test('every dependency is pinned, used, and has its reason', (t) => {
  const { dependencies, devDependencies } = JSON.parse(readFileSync('package.json', 'utf8'));
  const reasons = readFileSync('ARCHITECTURE.md', 'utf8').split('## Dependencies')[1] ?? '';
  const used = new Set(
    files.flatMap((file) =>
      [...readFileSync(file, 'utf8').matchAll(/(?:from |import\()'((?:@[^/']+\/)?[^/'.][^/']*)/g)].map((m) => m[1]),
    ),
  );
  for (const [name, version] of Object.entries<string>({ ...dependencies, ...devDependencies })) {
    t.match(version, /^\d+\.\d+\.\d+$/, `${name} is pinned`);
    const row = name.startsWith('@types/') ? '@types/*' : name;
    t.ok(reasons.includes(`| ${row} |`), `${name} has its reason in ARCHITECTURE.md`);
  }
  for (const name of Object.keys(dependencies)) t.ok(used.has(name), `${name} is used in src`);
  for (const name of used) {
    const ours = name === undefined || name.startsWith('node:') || builtinModules.includes(name);
    t.ok(ours || dependencies[name] !== undefined, `${name} is a dependency`);
  }
  t.end();
});

t.test('the lock file has no download addresses', (t) => {
  t.notMatch(readFileSync('package-lock.json', 'utf8'), /https?:\/\/[^"]*\.tgz|"resolved"/);
  t.end();
});

t.test('every verb has a page, a case, and a line in README and cannery(1)', (t) => {
  const readme = readFileSync('README.md', 'utf8');
  const manual = readFileSync('man/cannery.1', 'utf8');
  for (const file of readdirSync('src/commands')) {
    const verb = file.replace('.ts', '');
    t.ok(readFileSync(`man/cannery-${verb}.1`, 'utf8').length > 0, `man/cannery-${verb}.1`);
    t.ok(readdirSync(`fixtures/${verb}`).length > 0, `fixtures/${verb}`);
    t.match(readme, `\`${verb}\``, `README tells of ${verb}`);
    t.match(manual, verb, `cannery(1) tells of ${verb}`);
  }
  t.end();
});
