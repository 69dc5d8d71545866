// Posts of one hour folder as they lie in the spool, read for packing.
import { join } from 'node:path';
import { NO_LINE } from '../record/facts.ts';
import { uidHash } from '../record/identity.ts';
import { parsePostName } from '../record/names.ts';
import { readPost } from '../record/post.ts';
import { describeAt, errno } from '../stream/errors.ts';
import { type FileIdentity, type FileRead, readRegularFile } from './files.ts';
import type { Item } from './press.ts';

export interface PostsToRead {
  spool: string;
  folder: string;
  names: string[];
  /** Largest post, bytes. */
  maxPost: number;
  maxDepth: number;
}

/** Where a packed post came from. */
export interface PostOrigin {
  name: string;
  identity: FileIdentity;
}

/** What is to be told of a post. */
export type PostNote = { path: string; name: string } & (
  | { what: 'hash_mismatch' }
  | { what: 'misfiled' }
  | { what: 'empty' }
  | { what: 'unread'; code: string | undefined; reason: string }
  | { what: 'unreadable'; reason: string; bytes: Uint8Array }
);

export interface PostsRead {
  items: Item<PostOrigin>[];
  /** In the order of the posts. */
  notes: PostNote[];
}

/** Reads posts in order; what is amiss with one is noted, and the others go on. @param room see readRegularFile */
export function readPosts(
  { spool, folder, names, maxPost, maxDepth }: PostsToRead,
  room?: (bytes: number) => Buffer,
): PostsRead {
  const items: Item<PostOrigin>[] = [];
  const notes: PostNote[] = [];
  for (const name of names) {
    const path = join(spool, folder, name);
    const about = { path, name };
    let read: FileRead;
    try {
      read = readRegularFile(path, maxPost, room);
    } catch (error) {
      notes.push({ ...about, what: 'unread', code: errno(error), reason: describeAt(path, error) });
      continue;
    }
    const { bytes, identity } = read;
    if (bytes.length === 0) {
      notes.push({ ...about, what: 'empty' });
      continue;
    }
    const uid = parsePostName(name)!;
    if (uidHash(bytes) !== uid.hash) notes.push({ ...about, what: 'hash_mismatch' });
    if (`${uid.hour}_${uid.cc}_${uid.test}` !== folder) notes.push({ ...about, what: 'misfiled' });
    const post = readPost(bytes, { maxDepth, maxBytes: maxPost });
    const { readable } = post;
    if (!readable) notes.push({ ...about, what: 'unreadable', reason: post.reason, bytes: Buffer.from(bytes) });
    items.push({
      member: `${folder}/${name}`,
      mtime: uid.time,
      post: bytes,
      line: readable ? post.line : NO_LINE,
      within: readable ? post.within : null,
      uid: uid.uid,
      report_id: readable ? post.keys.report_id : '',
      input: readable ? post.keys.input : '',
      unreadable: !readable,
      origin: { name, identity },
    });
  }
  return { items, notes };
}
