// Bundles main and every verb: shared code becomes chunks, so that a verb loads only what it needs.
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { build } from 'esbuild';
import { wasm } from './wasm.mjs';

const { version } = JSON.parse(readFileSync('package.json', 'utf8'));
const verbs = readdirSync('src/commands')
  .filter((file) => file.endsWith('.ts'))
  .map((file) => `src/commands/${file}`);

rmSync('dist', { recursive: true, force: true });
await build({
  entryPoints: ['src/main.ts', 'src/edge/packworker.ts', ...verbs],
  outdir: 'dist',
  outbase: 'src',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  plugins: [wasm],
  chunkNames: 'chunks/[name]-[hash]',
  external: ['better-sqlite3', 'lz4-napi', 'zlib-sync'], // native: node loads them from node_modules
  define: { __VERSION__: JSON.stringify(version) },
  // Bundled CommonJS packages call require for node's own modules.
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
  },
  legalComments: 'linked',
  logLevel: 'warning',
});
