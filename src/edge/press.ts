// Measurements into the compressed pieces of a can. A large one is deflated once and its bytes stand in both files;
// small ones are deflated in groups. What comes of it depends on the measurements alone.
import { crc32 } from 'node:zlib';
import { lineHash, sha256 } from '../record/identity.ts';
import { Gathered } from './gathered.ts';
import { deflateTo, HEADER, type Level, MEMBER_TEXT, memberEnd, PROGRAM_TEXT, Sum, segment } from './gzip.ts';
import { memberBy, type Program, Starter } from './program.ts';
import { release } from './release.ts';
import { paddingOf, tarHeader } from './tar.ts';

/** One measurement on its way into a can; `origin` is the caller's own. */
export interface Item<O> {
  /** Name in the tar: `<folder>/<uid>.post`. */
  member: string;
  /** Milliseconds since the epoch. */
  mtime: number;
  /** Bytes of the post. */
  post: Buffer;
  /** Its line, without line feed; `{}` when unreadable. */
  line: Buffer;
  /** Where the line's very bytes stand in the post. */
  within: { start: number; end: number } | null;
  uid: string | null;
  report_id: string;
  input: string;
  unreadable: boolean;
  origin: O;
}

/** What is kept of an item once its bytes are compressed. */
export interface PackedItem<O>
  extends Pick<Item<O>, 'member' | 'mtime' | 'uid' | 'report_id' | 'input' | 'unreadable' | 'origin'> {
  bytes: number;
  sha256: string;
  /** Of the line. */
  hash: string;
}

/** Measurements compressed together: a member of the lines, and a stretch of the tar. */
export interface Batch<O> {
  items: PackedItem<O>[];
  /** Bytes of a whole gzip member. */
  jsonl: number;
  /** Length of its text. */
  lines: number;
  /** Deflated bytes; of what a program made, they are a whole gzip member. */
  tar: number;
  /** Length of their text, and its CRC. */
  text: number;
  crc: number;
  shared: Shared | null;
}

/** Batches on end, which may go from thread to thread. */
export interface Pressing<O> {
  batches: Batch<O>[];
  jsonl: Uint8Array;
  tar: Uint8Array;
}

/** Where a line that both files share stands in the stretch of the tar. */
export interface Shared {
  /** Its deflated bytes. */
  at: number;
  length: number;
  /** In the text, from and to. */
  from: number;
  to: number;
}

export interface PressOptions {
  /** Compressed size of a can: a group that is larger is halved until it fits, or is one measurement. */
  maxBytes: number;
  level: Level;
  /** Size from which a measurement is deflated alone, once for both files. */
  sharedFrom: number;
  /** Compresses in the place of all that; what goes in and out has a folder. */
  program?: { words: Program; room: string } | undefined;
}

/** These alone, as they go from thread to thread. */
export function pressOptions({ maxBytes, level, sharedFrom, program }: PressOptions): PressOptions {
  return { maxBytes, level, sharedFrom, program };
}

// Chosen from the table of bench/levels.mjs: two files no more than 5 % larger than gzip -6 makes them, and as fast as
// may be at no more than 20 %.
export const DENSE = { level: 'dense', sharedFrom: 48 * 1024 } as const;
export const FAST = { level: 'fast', sharedFrom: 8 * 1024 } as const;

let starter: Starter | undefined;
const ROOM = 1024 * 1024;
const tar = new Gathered(ROOM);
const jsonl = new Gathered(ROOM);

/** Compresses measurements, in order. One call at a time. */
export async function press<O>(items: Iterable<Item<O>>, options: PressOptions): Promise<Pressing<O>> {
  tar.cutTo(0);
  jsonl.cutTo(0);
  const batches: Batch<O>[] = [];
  for (const group of inGroups(items, options)) await fit(group, options, batches);
  return { batches, jsonl: jsonl.taken(), tar: tar.taken() };
}

/** Groups lines up to the text of a member; one that both files can share stands alone. */
function* inGroups<O>(items: Iterable<Item<O>>, { sharedFrom, program }: PressOptions): Generator<Item<O>[]> {
  const enough = program ? PROGRAM_TEXT : MEMBER_TEXT;
  let group: Item<O>[] = [];
  let text = 0;
  for (const item of items) {
    const large = !program && Math.max(item.line.length, item.post.length) >= sharedFrom;
    if (large && group.length > 0) {
      yield group;
      group = [];
      text = 0;
    }
    group.push(item);
    text += item.line.length + 1;
    if (!large && text < enough) continue;
    yield group;
    group = [];
    text = 0;
  }
  if (group.length > 0) yield group;
}

/** About what gzip's frame and the end of a tar take. */
export const END_ROOM = 64;

async function fit<O>(group: Item<O>[], options: PressOptions, batches: Batch<O>[]): Promise<void> {
  const before = { tar: tar.length, jsonl: jsonl.length };
  const batch = await compress(group, options);
  if (group.length === 1 || Math.max(batch.tar + END_ROOM, batch.jsonl) <= options.maxBytes) {
    batches.push(batch);
    return;
  }
  tar.cutTo(before.tar);
  jsonl.cutTo(before.jsonl);
  const half = group.length >> 1;
  await fit(group.slice(0, half), options, batches);
  await fit(group.slice(half), options, batches);
}

const LF = Buffer.from('\n');
/** What stands behind a shared line. */
export const LINE_END = segment(LF, 9).deflated;

async function compress<O>(group: Item<O>[], options: PressOptions): Promise<Batch<O>> {
  const from = { tar: tar.length, jsonl: jsonl.length };
  const text = await compressed(group, options);
  return { items: group.map(packed), jsonl: jsonl.length - from.jsonl, tar: tar.length - from.tar, ...text };
}

/** What is told of text that was compressed. */
type Texts = Pick<Batch<unknown>, 'lines' | 'text' | 'crc' | 'shared'>;

async function compressed<O>(group: Item<O>[], { level, sharedFrom, program }: PressOptions): Promise<Texts> {
  const framed: Buffer[] = [];
  for (const { member: name, post, mtime } of group)
    framed.push(await tarHeader({ name, bytes: post.length, mtime }), post, paddingOf(post.length));
  const [{ post, line, within }] = group as [Item<O>];
  if (!program && group.length === 1 && within && line.length >= sharedFrom) {
    const before = Buffer.concat([framed[0]!, post.subarray(0, within.start)]);
    const after = Buffer.concat([post.subarray(within.end), framed[2]!]);
    return share(before, line, after, level);
  }
  const lines = Buffer.concat(group.flatMap((item) => [item.line, LF]));
  const posts = Buffer.concat(framed);
  if (program) {
    if (starter?.room !== program.room) starter = new Starter(program.words, program.room);
    const { filtered } = starter;
    const [ofLines, ofPosts] = await Promise.all([lines, posts].map((text) => memberBy(program.words, text, filtered)));
    jsonl.add(ofLines!);
    tar.add(ofPosts!);
    release(ofLines!, ofPosts!);
  } else {
    jsonl.add(HEADER);
    deflateTo(jsonl, lines, level);
    jsonl.add(memberEnd({ crc: crc32(lines), length: lines.length }));
    deflateTo(tar, posts, level);
  }
  const texts = { lines: lines.length, text: posts.length, crc: crc32(posts), shared: null };
  release(lines, posts);
  return texts;
}

/** Deflates a line once for both files. @param before what the tar has around it */
function share(before: Buffer, line: Buffer, after: Buffer, level: Level): Texts {
  const start = tar.length;
  deflateTo(tar, before, level);
  const from = tar.length;
  deflateTo(tar, line, level);
  const length = tar.length - from;
  const crc = crc32(line);
  jsonl.add(HEADER);
  jsonl.add(tar.from(from));
  jsonl.add(LINE_END);
  jsonl.add(memberEnd({ crc: crc32(LF, crc), length: line.length + 1 }));
  deflateTo(tar, after, level);
  const sum = new Sum();
  sum.addText(before);
  sum.add({ crc, length: line.length });
  sum.addText(after);
  const shared = { at: from - start, length, from: before.length, to: before.length + line.length };
  return { lines: line.length + 1, text: sum.length, crc: sum.crc, shared };
}

function packed<O>(item: Item<O>): PackedItem<O> {
  const { member, mtime, uid, report_id, input, unreadable, origin, post, line } = item;
  const digests = { bytes: post.length, sha256: sha256(post), hash: lineHash(line) };
  return { member, mtime, uid, report_id, input, unreadable, origin, ...digests };
}
