// One can into the store: tar first, jsonl second, each verified there.
import { existsSync, readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { ROWS_EXT } from '../record/names.ts';
import type { Reporter } from './commit.ts';
import { replaceFile, sha256OfFile } from './files.ts';
import { type CanFile, type CanFolder, type CanRow, canRow, type Manifest } from './outgoing.ts';
import type { Offer, Store } from './store.ts';

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
): Promise<CanRow | { refused: string }> {
  const manifest = folder.manifest();
  const { state } = folder;
  if (state === 'held') return { refused: 'held: the store has other bytes under its name' };
  if (manifest.class === 'unsanitised' && !options.private)
    return { refused: 'unsanitised: it may go to a private store only (--private)' };
  const files = state === 'ready' ? [...manifest.files] : [];
  if (options.withRows) {
    if (!existsSync(folder.file('rows.jsonl'))) return { refused: `${folder.file('rows.jsonl')}: is gone` };
    files.push(await rowsFile(folder, manifest));
  }
  const taken = await putAll(report, store, folder, files);
  if (taken) {
    const reason = `${taken}: the store has other bytes under this key`;
    if (state !== 'ready') return { refused: reason }; // the rows alone: the can itself is well
    folder.move('held');
    return { refused: `${reason}; the can is held in ${folder.dir}` };
  }
  if (state === 'ready') {
    // Only now: a mistyped bucket must not bind this folder for good.
    folder.outgoing.dedicate(await store.place());
    folder.move('sent');
    folder.outgoing.noteUpload();
  }
  return { ...row, ...canRow(folder, manifest), uploaded: store.name };
}

/**
 * What the local disk lost since the can was made is a fault of this can and not of the store: said before the
 * first byte can be seen there, so that half a can is not stored, and the cans behind it go on.
 * @returns the key under which the store has other bytes
 * @throws Malformed where a file is not the one that was packed
 */
async function putAll(
  report: Reporter,
  store: Store,
  folder: CanFolder,
  files: CanFile[],
): Promise<string | undefined> {
  const offers: [key: string, offer: Offer][] = [];
  try {
    for (const file of files) {
      const { s3path: key } = file;
      offers.push([key, await store.offer(key, { ...file, path: folder.file(file.name) })]);
    }
    for (const [key, offer] of offers) {
      const result = await offer.accept();
      report.tally(result);
      if (result === 'other') return key;
    }
    return undefined;
  } finally {
    for (const [, offer] of offers) offer.drop();
  }
}

/** The rows of the index, compressed once and kept, so that every try puts the same bytes. */
async function rowsFile(folder: CanFolder, manifest: Manifest): Promise<CanFile> {
  const name = `${folder.can}${ROWS_EXT}`;
  const path = folder.file(name);
  if (!existsSync(path)) replaceFile(path, gzipSync(readFileSync(folder.file('rows.jsonl'))));
  const { s3path } = manifest.files[0]!;
  return { name, s3path: s3path.replace(/[^/]+$/, name), ...(await sha256OfFile(path)) };
}
