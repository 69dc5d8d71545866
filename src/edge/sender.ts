// One can into the store: tar first, jsonl second, each verified there.
import { existsSync, readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { ROWS_EXT } from '../record/names.ts';
import { Failure } from '../stream/errors.ts';
import type { Reporter } from './commit.ts';
import { replaceFile } from './files.ts';
import { type CanFile, type CanFolder, type CanRow, canRow, digestFile } from './outgoing.ts';
import type { Store } from './store.ts';

export interface SendOptions {
  /** Unsanitised cans may go too. */
  private: boolean;
  withRows: boolean;
}

/** @returns the receipt, or why the can cannot go */
export async function sendCan(
  report: Reporter,
  store: Store,
  folder: CanFolder,
  row: CanRow,
  options: SendOptions,
): Promise<CanRow | string> {
  const manifest = folder.manifest();
  const { state } = folder;
  if (state === 'held') return 'held: the store has other bytes under its name';
  if (manifest.class === 'unsanitised' && !options.private)
    return 'unsanitised: it may go to a private store only (--private)';
  if (state === 'ready') {
    const files = options.withRows ? [...manifest.files, await rowsFile(folder)] : manifest.files;
    for (const file of files) {
      const result = await store.put(file.s3path, { ...file, path: folder.file(file.name) });
      report.tally(result);
      if (result === 'other') {
        folder.move('held');
        return `${file.s3path}: the store has other bytes under this key; the can is held in ${folder.dir}`;
      }
    }
    folder.move('sent');
    folder.outgoing.noteUpload();
  }
  return { ...row, ...canRow(folder, manifest), uploaded: store.name };
}

/** The rows of the index, compressed once and kept, so that every try puts the same bytes. */
async function rowsFile(folder: CanFolder): Promise<CanFile> {
  const name = `${folder.can}${ROWS_EXT}`;
  const path = folder.file(name);
  if (!existsSync(path)) replaceFile(path, gzipSync(readFileSync(folder.file('rows.jsonl'))));
  const { s3path } = folder.manifest().files[0] ?? {};
  if (s3path === undefined) throw new Failure(`${folder.dir}: a can without files`);
  return { name, s3path: s3path.replace(/[^/]+$/, name), ...(await digestFile(path)) };
}
