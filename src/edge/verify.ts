// Reads a can again from the disk and compares it with what went in.
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { lineHash } from '../record/identity.ts';
import { inflateMember } from './gzip.ts';
import { type CanFile, digestFile, type IndexRow, type PackedPost } from './outgoing.ts';
import { fileBytes, inflate } from './source.ts';
import { tarMembers } from './tar.ts';

/**
 * Checks both files against what was packed: file digests, every post's name and bytes, every
 * line in its member, member after member without a gap.
 * @throws Error naming what differs
 */
export async function verifyCan(dir: string, files: CanFile[], posts: PackedPost[], rows: IndexRow[]): Promise<void> {
  const [postcan, jsonl] = files;
  for (const file of [postcan!, jsonl!]) {
    const digest = await digestFile(join(dir, file.name));
    if (digest.sha256 !== file.sha256 || digest.bytes !== file.bytes)
      throw new Error(`${file.name}: read back other bytes than were written`);
  }
  await verifyPostcan(join(dir, postcan!.name), posts);
  await verifyJsonl(join(dir, jsonl!.name), jsonl!.bytes, rows);
  if (rows.length !== posts.length) throw new Error(`${dir}: ${posts.length} posts, but ${rows.length} lines`);
}

async function verifyPostcan(path: string, posts: PackedPost[]): Promise<void> {
  let n = 0;
  for await (const { name, size, body } of tarMembers(inflate(fileBytes(path), Number.POSITIVE_INFINITY))) {
    const post = posts[n++];
    const hash = createHash('sha256');
    for await (const piece of body) hash.update(piece);
    if (!post || name !== post.file || size !== post.bytes || hash.digest('hex') !== post.sha256) {
      throw new Error(`${path}: member ${n} (${name}) is not the post that was packed`);
    }
  }
  if (n !== posts.length) throw new Error(`${path}: ${n} members, but ${posts.length} posts`);
}

async function verifyJsonl(path: string, size: number, rows: IndexRow[]): Promise<void> {
  const file = await open(path, 'r');
  try {
    let at = 0;
    for (let first = 0; first < rows.length; ) {
      const { offset, length } = rows[first]!;
      let end = first;
      while (end < rows.length && rows[end]!.offset === offset) end++;
      if (offset !== at) throw new Error(`${path}: a gap before byte ${offset}`);
      at += length;
      const bytes = Buffer.allocUnsafe(length);
      const { bytesRead } = await file.read(bytes, 0, length, offset);
      if (bytesRead !== length) throw new Error(`${path}: ends before byte ${at}`);
      verifyLines(path, await inflateMember(bytes), rows.slice(first, end));
      first = end;
    }
    if (at !== size) throw new Error(`${path}: ${size} bytes, but members end at ${at}`);
  } finally {
    await file.close();
  }
}

function verifyLines(path: string, text: Buffer, rows: IndexRow[]): void {
  let start = 0;
  for (const row of rows) {
    const end = text.indexOf(0x0a, start);
    if (end === -1 || lineHash(text.subarray(start, end)) !== row.hash) {
      throw new Error(`${path}: line ${row.linenum} is not the one that was packed`);
    }
    start = end + 1;
  }
  if (start !== text.length) throw new Error(`${path}: lines without a row in the member at ${rows[0]!.offset}`);
}
