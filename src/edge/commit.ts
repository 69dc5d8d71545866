// From a built can to a can that is ready: verified, its name written down, moved by one rename.

import { renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { JSONL_EXT, keyFolder, POSTCAN_EXT, parseCanName } from '../record/names.ts';
import { describe, Failure, Malformed } from '../stream/errors.ts';
import { fsyncFolder, writeFileDurably } from './files.ts';
import {
  type CanFile,
  CanFolder,
  type CanRow,
  canRow,
  type Manifest,
  makeCanLock,
  type Outgoing,
  type PackedPost,
} from './outgoing.ts';
import type { BuiltCan } from './pack.ts';
import type { PackCrew } from './packtasks.ts';

/** What the kernel hears of a packer; `Stage` has the same names. */
export interface Reporter {
  reject(
    reject: { as: 'post' | 'row' | 'file'; file: string | null; line: number | null; reason: string },
    bytes: Uint8Array | null,
  ): void;
  finding(file: string | null, reason: string): void;
  say(message: string): void;
  tally(name: string, by?: number): void;
}

/**
 * Cans that an earlier run left, with their manifests; held ones are told as findings.
 * @param damaged told of cans whose manifest cannot be read
 */
export function* leftCans(
  outgoing: Outgoing,
  report: Reporter,
  damaged: (can: string, reason: string) => void,
): Generator<{ folder: CanFolder; manifest: Manifest }> {
  for (const state of ['held', 'indexed', 'sent', 'ready'] as const) {
    for (const can of outgoing.cans(state)) {
      let known: ReturnType<Outgoing['open']>;
      try {
        known = outgoing.open(can);
      } catch (error) {
        if (!(error instanceof Malformed)) throw error;
        damaged(can, error.message);
      }
      if (!known) continue; // cleared meanwhile, or damaged
      if (known.folder.state === 'held') {
        report.finding(can, `held: the store has other bytes under its name; see ${known.folder.dir}`);
      }
      yield known;
    }
  }
}

/** The posts of a can, for its manifest. */
export function postsOf<O>(built: BuiltCan<O>): PackedPost[] {
  return built.items.map(({ member: file, bytes, sha256 }) => ({ file, bytes, sha256 }));
}

/** A can whose files were read back and are right. */
export interface SealedCan {
  can: string;
  /** The postcan and the lines. */
  files: CanFile[];
}

/**
 * Writes the rows, reads everything back, and gives the can its name. A can that fails is thrown away: its posts are where
 * they were.
 * @param nameOf names a can that has none from the SHA-256 of its files
 */
export async function sealCan<O>(
  built: BuiltCan<O>,
  crew: PackCrew,
  nameOf: (sha256: string[]) => string = () => '',
): Promise<SealedCan> {
  let { dir } = built;
  try {
    writeFileDurably(join(dir, 'rows.jsonl'), built.rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
    makeCanLock(dir);
    const { files, batches, inMembers } = built;
    const items = built.items.map(({ member, mtime, bytes, sha256, hash }) => ({ member, mtime, bytes, sha256, hash }));
    const text = batches.reduce((sum, batch) => sum + batch.text, 0);
    const digests = await crew.run('verify', { dir, files, items, batches, inMembers }, text, true);
    const can = built.can ?? nameOf(digests);
    const names = [POSTCAN_EXT, JSONL_EXT].map((ext) => can + ext);
    if (built.can === undefined) {
      for (const [n, name] of names.entries()) renameSync(join(dir, files[n]!.name), join(dir, name));
      renameSync(dir, join(dirname(dir), can));
      dir = join(dirname(dir), can);
    }
    const key = keyFolder(parseCanName(can)!);
    const sealed = names.map((name, n) => {
      return { name, bytes: files[n]!.bytes, sha256: digests[n]!, s3path: `${key}/${name}` };
    });
    return { can, files: sealed };
  } catch (error) {
    rmSync(dir, { recursive: true, force: true });
    throw new Failure(`${built.can ?? built.group}: not packed: ${describe(error)}`);
  }
}

/** The commit: manifest, then one rename. When this returns, the can is durable and its posts may go. */
export function commitCan(outgoing: Outgoing, manifest: Manifest): CanRow {
  const folder = new CanFolder(outgoing, manifest.can, 'building');
  writeFileDurably(folder.file('can.json'), `${JSON.stringify(manifest)}\n`);
  fsyncFolder(folder.dir);
  folder.move('ready');
  return canRow(folder, manifest);
}
