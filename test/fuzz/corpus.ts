// Valid inputs of every kind, from what is shipped in fixtures/.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { Test } from 'tap';
import { cannery, folder, PIPELINE, ROOT, read, shell, shippedSpool, tree } from '../lib.ts';

export const ARCHIVE = join(ROOT, 'fixtures/reports/archive');
export const BRIDGES = join(ROOT, 'fixtures/reports/bridge_db.json');

const SPOOL = join(ROOT, 'fixtures/spool/incoming');

export const posts: readonly Buffer[] = tree(SPOOL).map((path) => read(join(SPOOL, path)));

const archive = (ext: RegExp) =>
  readdirSync(ARCHIVE)
    .filter((name) => ext.test(name))
    .map((name) => ({ name, bytes: read(join(ARCHIVE, name)) }));

export const jsonReports = archive(/\.json$/);
export const yamlReports = archive(/\.yaml(?:oo)?$/);

/** Documents of all times, one a line: as posts hold them, and as `cat` reads them out of reports. */
export function documents(): Buffer[] {
  const reports = readdirSync(ARCHIVE).map((name) => join(ARCHIVE, name));
  const { out } = cannery(['cat', '--raw', ...reports]);
  const lines = out.split('\n').filter((line) => line !== '');
  const contents = posts.flatMap((post) => {
    const [, content] = /^\{"format":"json","content":(\{.*\})\}$/.exec(post.toString()) ?? [];
    return content === undefined ? [] : [content];
  });
  return [...lines, ...contents].map((line) => Buffer.from(line));
}

export interface Packed {
  /** With `store`, `jsonl.sqlite` and an empty `outgoing`. */
  folder: string;
  jsonl: Buffer[];
  postcans: Buffer[];
  tars: Buffer[];
}

/** The cans of the shipped spool. */
export function packed(t: Test): Packed {
  const path = shippedSpool(t);
  const { code, err } = shell(PIPELINE, { cwd: path });
  if (code !== 0 && code !== 3) throw new Error(err);
  const store = join(path, 'store');
  const files = (ext: string) =>
    tree(store)
      .filter((name) => name.endsWith(ext))
      .map((name) => read(join(store, name)));
  const postcans = files('.tar.gz');
  return { folder: path, jsonl: files('.jsonl.gz'), postcans, tars: postcans.map((can) => gunzipSync(can)) };
}

/** A rejects file with what is wrong of each kind. */
export function rejects(t: Test): Buffer {
  const path = join(folder(t), 'rejects');
  const yaml = yamlReports[0]!.bytes.toString('latin1').replace(/^input:/m, 'input: [');
  cannery(['cat', '--rejects', path, '-'], { stdin: '{"a":1\n{"n":"\xff"}\n' });
  const kept = [read(path)];
  cannery(['cat', '--rejects', path, '--format', 'yaml', '-'], { stdin: Buffer.from(yaml, 'latin1') });
  kept.push(read(path));
  cannery(['cat', '--rejects', path, '--format', 'post', '-'], { stdin: '{"format":"json","content":7}' });
  kept.push(read(path));
  cannery(['normalise', '--rejects', path], { stdin: '{"measurement_uid":null}\n{"file":"x"}\n' });
  kept.push(read(path));
  return Buffer.concat(kept);
}
