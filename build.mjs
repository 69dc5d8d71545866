// Bundles each verb whole, with all of our code that it needs: node starts one CommonJS file sooner than the same in
// modules. Packages of others that not every run of a verb needs are files of their own, loaded when they are asked for.
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { build } from 'esbuild';
import { warm } from './warm.mjs';
import { wasm } from './wasm.mjs';

const { version } = JSON.parse(readFileSync('package.json', 'utf8'));
const verbs = readdirSync('src/commands')
  .filter((file) => file.endsWith('.ts'))
  .map((file) => file.slice(0, -3))
  .sort();

const SQLITE = 'better-sqlite3/build/Release/better_sqlite3.node';
const NATIVE = [SQLITE, 'lz4-napi', 'zlib-sync']; // node loads them from node_modules
const LATER = [
  '@aws-sdk/client-s3',
  'cli-progress',
  'hyparquet-writer',
  'js-yaml',
  'ndjson',
  's3-sync-client',
  'tar-stream',
];
const nameOf = (pack) => pack.replace(/^@/, '').replace('/', '-');

/** A bundle's entry: main, and the verb that it has of its own. */
const entries = {
  name: 'entries',
  setup(build) {
    build.onResolve({ filter: /^verb:/ }, ({ path }) => ({ path: path.slice(5), namespace: 'verb' }));
    build.onLoad({ filter: /./, namespace: 'verb' }, ({ path: name }) => ({
      contents: `import verb from './commands/${name}.ts';
        import { main as run } from './main.ts';
        const main = (argv: string[]) => run(argv, '${name}', verb);
        export { main, verb };`,
      loader: 'ts',
      resolveDir: 'src',
    }));
  },
};

/** better-sqlite3 would look for its native part in a dozen places. */
const sqlite = {
  name: 'sqlite',
  setup(build) {
    build.onResolve({ filter: /^bindings$/ }, ({ path }) => ({ path, namespace: 'sqlite' }));
    build.onLoad({ filter: /./, namespace: 'sqlite' }, () => ({
      contents: `module.exports = () => require('${SQLITE}')`,
      resolveDir: '.',
    }));
  },
};

/** commander loads what starts commands of other files, which ours has none of, and that takes as long as all of its own. */
const alone = {
  name: 'alone',
  setup(build) {
    build.onResolve({ filter: /^node:child_process$/ }, ({ path, importer }) =>
      importer.includes('/commander/') ? { path, namespace: 'alone' } : undefined,
    );
    build.onLoad({ filter: /./, namespace: 'alone' }, () => ({ contents: 'module.exports = {}' }));
  },
};

/** Packages that are loaded later, as they are seen from a folder of dist. */
const later = (folder) => ({
  name: 'later',
  setup(build) {
    build.onResolve({ filter: /^[@a-z]/ }, ({ path, kind }) =>
      kind !== 'entry-point' && LATER.includes(path)
        ? { path: `${folder}/${nameOf(path)}.cjs`, external: true }
        : undefined,
    );
  },
});

const common = {
  outdir: 'dist',
  bundle: true,
  format: 'cjs',
  outExtension: { '.js': '.cjs' },
  platform: 'node',
  target: 'node20',
  supported: { 'dynamic-import': false }, // require() loads the same, with no second loader to start
  external: NATIVE,
  define: { __VERSION__: JSON.stringify(version), __VERBS__: JSON.stringify(verbs) },
  legalComments: 'linked',
  logLevel: 'warning',
};

rmSync('dist', { recursive: true, force: true });
await Promise.all([
  build({
    ...common,
    entryPoints: [
      { in: 'src/main.ts', out: 'main' },
      ...['packworker', 'lineworker', 'digestworker'].map((name) => ({ in: `src/edge/${name}.ts`, out: name })),
      ...verbs.map((name) => ({ in: `verb:${name}`, out: name })),
    ],
    plugins: [entries, sqlite, alone, later('./packages'), wasm],
  }),
  build({
    ...common,
    entryPoints: LATER.map((name) => ({ in: name, out: `packages/${nameOf(name)}` })),
    plugins: [later('.')],
  }),
]);
warm(verbs);
