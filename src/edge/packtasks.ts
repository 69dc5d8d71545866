// What is done beside the main thread: all that costs time. Tasks and results are plain data, so that they can go from
// thread to thread.
import type { Crew, Perform, Trade } from './crew.ts';
import { type Item, type Pressing, type PressOptions, press } from './press.ts';
import { type PostNote, type PostOrigin, type PostsToRead, readPosts } from './readposts.ts';
import { type Expected, verifyCan } from './verify.ts';

/** A measurement whose post stands in a buffer with others, for those would be copied whole with each of them. */
export type HeldItem = Pick<Item<null>, 'member' | 'mtime' | 'uid' | 'report_id' | 'input'> & {
  bytes: number;
  within: { start: number; end: number };
};

export interface HeldItems {
  items: HeldItem[];
  /** On end. */
  posts: Uint8Array;
}

export interface Tasks {
  /** Reads posts and compresses them. */
  posts: { task: PostsToRead & PressOptions; result: { notes: PostNote[] } & Pressing<PostOrigin> };
  /** Compresses what was read already. */
  items: { task: HeldItems & PressOptions; result: Pressing<null> };
  /** Reads a can back, and tells the SHA-256 of its files. */
  verify: { task: Expected; result: string[] };
}

type Workers = { [T in keyof Tasks]: (task: Tasks[T]['task']) => Promise<Tasks[T]['result']> };

const WORKERS: Workers = {
  async posts(task) {
    used = 0;
    const { items, notes } = readPosts(task, room);
    return { notes, ...(await press(items, task)) };
  },
  async items({ items, posts, ...options }) {
    return await press(withBytes(items, posts), options);
  },
  verify: verifyCan,
};

function* withBytes(items: HeldItem[], posts: Uint8Array): Generator<Item<null>> {
  let at = 0;
  for (const item of items) {
    const post = Buffer.from(posts.buffer, posts.byteOffset + at, item.bytes);
    at += item.bytes;
    yield { ...item, post, line: post.subarray(item.within.start, item.within.end), unreadable: false, origin: null };
  }
}

/** Where the posts of one task lie. It is used again for the next: the memory of many would be freed too late. */
let held: Buffer = Buffer.alloc(0);
let used = 0;
const ROOM = 2 * 1024 * 1024;

function room(bytes: number): Buffer {
  if (used + bytes > held.length) {
    held = Buffer.allocUnsafeSlow(Math.max(ROOM, bytes));
    used = 0;
  }
  used += bytes;
  return held.subarray(used - bytes, used);
}

let last: Promise<unknown> = Promise.resolve();

/** Does a task on the thread that calls, after those before it. */
const perform: Perform<Tasks> = (name, task) => {
  const done = last.then(() => WORKERS[name](task));
  last = done.catch(() => undefined);
  return done;
};

export const PACKING: Trade<Tasks> = {
  script: 'packworker.cjs',
  perform,
  lends: (result) => ('batches' in result ? [result.tar, result.jsonl] : []),
};
export type PackCrew = Crew<Tasks>;
