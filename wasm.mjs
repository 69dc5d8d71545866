// esbuild's way to `import code from './NAME.wasm'`: NAME.as.ts is AssemblyScript, compiled on the spot, and
// its code becomes a part of the bundle.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import asc from 'assemblyscript/asc';

const OPTIONS = ['-O3', '--runtime', 'stub', '--noAssert', '--enable', 'simd', '--use', 'abort='];

export const wasm = {
  name: 'assemblyscript',
  setup(build) {
    build.onResolve({ filter: /\.wasm$/ }, ({ path, importer }) => ({
      path: resolve(dirname(importer), path.replace(/\.wasm$/, '.as.ts')),
      namespace: 'assemblyscript',
    }));
    build.onLoad({ filter: /\.as\.ts$/, namespace: 'assemblyscript' }, async ({ path }) => {
      const folder = mkdtempSync(join(tmpdir(), 'cannery-wasm-'));
      try {
        const out = join(folder, 'code.wasm');
        const { error, stderr } = await asc.main([path, '--outFile', out, ...OPTIONS, '--baseDir', '/']);
        if (error) return { errors: [{ text: `${error.message}\n${stderr}` }] };
        return { contents: readFileSync(out), loader: 'binary', watchFiles: [path] };
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    });
  },
};
