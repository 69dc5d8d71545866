// The project's own modules for a bench that measures a part of them: TypeScript, bundled when it is asked for.
import { basename, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import { wasm } from '../wasm.mjs';

/** @param path of a module, `src/edge/gzip.ts` */
export async function ours(path) {
  // In the project, where its packages are found.
  const outfile = resolve(`build/bench-${basename(path, '.ts')}.mjs`);
  const usual = { bundle: true, platform: 'node', format: 'esm', target: 'node20', packages: 'external' };
  await build({ ...usual, entryPoints: [path], outfile, plugins: [wasm] });
  return await import(pathToFileURL(outfile).href);
}
