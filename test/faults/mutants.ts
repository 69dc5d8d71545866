// Cannery made wrong on purpose: the harness must catch each of these orders. Built from a copy of the sources in
// which one passage is another, so that the program itself has no hook for tests.
import { spawnSync } from 'node:child_process';
import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { folder, ROOT } from '../lib.ts';

/** One passage of a source file in the place of another. */
export type Change = [file: string, passage: string, other: string];

const KEEPS_NAMES = 'for (const name of this.#ledger(group.hour)) see(name);';

export const MUTANTS = {
  'posts are removed before their can is ready': [
    [
      'edge/hourcans.ts',
      'this.#outgoing.useName(parseHourFolder(folder)!.hour, can);',
      'this.#removePosts(folder, built.items.map((item) => item.origin)); this.#outgoing.useName(parseHourFolder(folder)!.hour, can);',
    ],
  ],
  'counters begin again': [['edge/outgoing.ts', KEEPS_NAMES, '']],
  'counters begin again, and the store is written over': [
    ['edge/outgoing.ts', KEEPS_NAMES, ''],
    [
      'edge/store-folder.ts',
      'linkSync(temporary, target);',
      "(await import('node:fs')).renameSync(temporary, target);",
    ],
  ],
  'counters begin again, and a server is asked without a condition': [
    ['edge/outgoing.ts', KEEPS_NAMES, ''],
    ['edge/store-s3.ts', "IfNoneMatch: '*',", ''],
  ],
  'the files of a can are not fsynced': [['edge/pack.ts', 'await this.#handle.sync();', '']],
  'the move to ready is not fsynced': [
    ['edge/outgoing.ts', 'fsyncFolder(this.folder(to));\n    fsyncFolder(this.folder(from));', ''],
  ],
  'posts of a can that was ready are not looked for': [['edge/hourcans.ts', 'this.#finishPosts(manifest);', '']],
  'a can is sent before it is in the store': [
    ['edge/sender.ts', 'const taken =', "if (state === 'ready') folder.move('sent');\n  const taken ="],
    ['edge/sender.ts', "folder.move('sent');\n    folder.outgoing.noteUpload();", ''],
  ],
  'the store is not fsynced': [['edge/files.ts', 'await fsyncSoon(copy);', '']],
  'a can is indexed before its rows are': [
    [
      'edge/indexer.ts',
      'const inserted = this.#insert(',
      "folder.move('indexed');\n    const inserted = this.#insert(",
    ],
    ['edge/indexer.ts', "their own locks; the index knows them already.\n    folder.move('indexed');", ''],
  ],
  'the index is not fsynced': [['edge/index-db.ts', 'synchronous = FULL', 'synchronous = OFF']],
} satisfies Record<string, Change[]>;

export type Mutant = keyof typeof MUTANTS;

/** @throws Error where the sources have no such passage any more */
export function changed(text: string, [file, passage, other]: Change): string {
  const at = text.indexOf(passage);
  if (at === -1) throw new Error(`${file} has no longer: ${passage}`);
  return text.slice(0, at) + other + text.slice(at + passage.length);
}

/** Builds a mutant. @returns the folder of the program */
export function build(t: Test, mutant: Mutant): string {
  return buildChanged(t, mutant, MUTANTS[mutant]);
}

/** Builds a program whose sources are changed. @returns its folder */
export function buildChanged(t: Test, name: string, changes: readonly Change[]): string {
  const program = folder(t);
  for (const part of ['bin', 'src', 'build.mjs', 'warm.mjs', 'wasm.mjs', 'package.json'])
    cpSync(join(ROOT, part), join(program, part), { recursive: true });
  symlinkSync(join(ROOT, 'node_modules'), join(program, 'node_modules'));
  for (const change of changes) {
    const path = join(program, 'src', change[0]);
    writeFileSync(path, changed(readFileSync(path, 'utf8'), change));
  }
  const built = spawnSync(process.execPath, ['build.mjs'], { cwd: program });
  if (built.status !== 0) throw new Error(`${name}: ${built.stderr}`);
  return program;
}
