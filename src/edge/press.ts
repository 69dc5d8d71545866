// Measurements into the compressed pieces of a can. A large one is deflated once and its bytes stand in both files;
// small ones are deflated in groups. What comes of it depends on the measurements alone.
import { crc32 } from 'node:zlib';
import { lineHash, sha256 } from '../record/identity.ts';
import { joined, type Level, MEMBER_TEXT, memberOf, PROGRAM_TEXT, type Segment, segment } from './gzip.ts';
import { memberBy, type Program } from './program.ts';
import { TarFrame } from './tar.ts';

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
  extends Pick<Item<O>, 'member' | 'uid' | 'report_id' | 'input' | 'unreadable' | 'origin'> {
  bytes: number;
  sha256: string;
  /** Of the line. */
  hash: string;
}

/** Measurements compressed together: a member of the lines, and a stretch of the tar. It may go from thread to thread. */
export interface Batch<O> {
  items: PackedItem<O>[];
  /** A whole gzip member. */
  jsonl: Uint8Array;
  /** Length of its text. */
  lines: number;
  /** Of what a program made, its deflated bytes are a whole gzip member. */
  tar: Segment;
  shared: Shared | null;
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
  /** Compresses in the place of all that. */
  program?: Program | undefined;
}

/** These alone, as they go from thread to thread. */
export function pressOptions({ maxBytes, level, sharedFrom, program }: PressOptions): PressOptions {
  return { maxBytes, level, sharedFrom, program };
}

// Chosen from the table of bench/levels.mjs: two files no more than 5 % larger than gzip -6 makes them, and as fast as
// may be at no more than 20 %.
export const DENSE = { level: 'dense', sharedFrom: 48 * 1024 } as const;
export const FAST = { level: 'fast', sharedFrom: 8 * 1024 } as const;

interface FramedItem<O> extends Item<O> {
  /** Tar header of the post. */
  header: Buffer;
  /** Zeros after it. */
  padding: Buffer;
}

/** Compresses measurements, in order. */
export async function press<O>(items: Iterable<Item<O>>, options: PressOptions): Promise<Batch<O>[]> {
  const batches: Batch<O>[] = [];
  for await (const group of inGroups(items, options)) batches.push(...(await fitting(group, options)));
  return batches;
}

/** Groups lines up to the text of a member; one that both files can share stands alone. */
async function* inGroups<O>(
  items: Iterable<Item<O>>,
  { sharedFrom, program }: PressOptions,
): AsyncGenerator<FramedItem<O>[]> {
  const enough = program ? PROGRAM_TEXT : MEMBER_TEXT;
  const frame = new TarFrame();
  let group: FramedItem<O>[] = [];
  let text = 0;
  for (const item of items) {
    const large = !program && Math.max(item.line.length, item.post.length) >= sharedFrom;
    if (large && group.length > 0) {
      yield group;
      group = [];
      text = 0;
    }
    group.push({ ...item, ...(await frame.around(item.member, item.post, item.mtime)) });
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

async function fitting<O>(group: FramedItem<O>[], options: PressOptions): Promise<Batch<O>[]> {
  const batch = await compress(group, options);
  const size = Math.max(batch.tar.deflated.length + END_ROOM, batch.jsonl.length);
  if (group.length === 1 || size <= options.maxBytes) return [batch];
  const half = group.length >> 1;
  return [...(await fitting(group.slice(0, half), options)), ...(await fitting(group.slice(half), options))];
}

const LF = Buffer.from('\n');
const lineFeed = segment(LF, 9);

async function compress<O>(group: FramedItem<O>[], options: PressOptions): Promise<Batch<O>> {
  const { level, sharedFrom, program } = options;
  const { post, line, within, header, padding } = group[0]!;
  const items = group.map(packed);
  if (!program && group.length === 1 && within && line.length >= sharedFrom) {
    const content = segment(line, level);
    const before = segment(Buffer.concat([header, post.subarray(0, within.start)]), level);
    const after = segment(Buffer.concat([post.subarray(within.end), padding]), level);
    const jsonl = memberOf(joined([content, lineFeed]));
    const shared = {
      ...{ at: before.deflated.length, length: content.deflated.length },
      ...{ from: before.length, to: before.length + line.length },
    };
    return { items, jsonl, lines: line.length + 1, tar: joined([before, content, after]), shared };
  }
  const lines = Buffer.concat(group.flatMap((item) => [item.line, LF]));
  const posts = Buffer.concat(group.flatMap((item) => [item.header, item.post, item.padding]));
  const common = { items, lines: lines.length, shared: null };
  if (!program) return { ...common, jsonl: memberOf(segment(lines, level)), tar: segment(posts, level) };
  const [jsonl, deflated] = await Promise.all([lines, posts].map((text) => memberBy(program, text)));
  return { ...common, jsonl: jsonl!, tar: { deflated: deflated!, crc: crc32(posts), length: posts.length } };
}

function packed<O>({ member, uid, report_id, input, unreadable, origin, post, line }: Item<O>): PackedItem<O> {
  const digests = { bytes: post.length, sha256: sha256(post), hash: lineHash(line) };
  return { member, uid, report_id, input, unreadable, origin, ...digests };
}
