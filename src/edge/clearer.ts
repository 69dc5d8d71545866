// The end of a local can: it is in the store, in the index, and none of its posts is left in the spool.
import { rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { sha256 } from '../record/identity.ts';
import { errno } from '../stream/errors.ts';
import { lstatOf } from './files.ts';
import type { CanFolder } from './outgoing.ts';

/** A collector may take a post away between two looks. */
function noneIfGone(error: unknown): undefined {
  if (errno(error) !== 'ENOENT') throw error;
}

/** Takes away an indexed can, and only such a one. */
export async function clearCan(folder: CanFolder): Promise<'cleared' | { refused: string }> {
  if (folder.state !== 'indexed') return { refused: `${folder.state}, not indexed: only indexed cans are cleared` };
  const { spool, posts } = folder.manifest();
  const areThere = new Map<string, boolean>();
  for (const { file, bytes, sha256: digest } of spool === undefined ? [] : posts) {
    const hour = dirname(file);
    if (!areThere.has(hour)) areThere.set(hour, lstatOf(join(spool!, hour))?.isDirectory() === true);
    if (!areThere.get(hour)) continue; // gone, or a link
    const path = join(spool!, file);
    const stat = lstatOf(path);
    if (!stat?.isFile() || stat.size !== bytes) continue;
    const content = await readFile(path).catch(noneIfGone);
    if (!content || sha256(content) !== digest) continue;
    // Without the manifest nobody would know that this post is packed, and it would be packed again.
    return { refused: `${path} is in this can and still in the spool: postcan has to finish first` };
  }
  const gone = folder.retire();
  try {
    rmSync(gone, { recursive: true, force: true });
  } catch (error) {
    // A packer that starts now throws it away too; what nobody could remove, the next packer will.
    if (!['ENOENT', 'ENOTEMPTY'].includes(errno(error) ?? '')) throw error;
  }
  return 'cleared';
}
