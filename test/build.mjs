// Bundles each test file, so that none pays for a compiler when it runs.
import { readdirSync, rmSync } from 'node:fs';
import { build } from 'esbuild';
import { wasm } from '../wasm.mjs';

const entryPoints = readdirSync('test', { recursive: true })
  .filter((file) => file.endsWith('.test.ts'))
  .map((file) => `test/${file}`);

rmSync('build/test', { recursive: true, force: true });
await build({
  entryPoints,
  outdir: 'build/test',
  outbase: 'test',
  bundle: true,
  packages: 'external',
  format: 'esm',
  platform: 'node',
  target: 'node20',
  plugins: [wasm],
  sourcemap: 'inline',
  logLevel: 'warning',
});
