// Posts of the spool into cans of their hour. A post goes only when the can that holds it is ready:
// durable, read back and compared.

import { unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { sha256 } from '../record/identity.ts';
import { canName, parseHourFolder, parsePostName } from '../record/names.ts';
import { describeAt, Failure } from '../stream/errors.ts';
import { orderedMap } from '../stream/ordered.ts';
import { commitCan, leftCans, postsOf, type Reporter, sealCan } from './commit.ts';
import { fsyncFolder, isSameFile, lstatOf, readRegularFile } from './files.ts';
import { type CanRow, canRow, type Manifest, type Outgoing } from './outgoing.ts';
import { type BuiltCan, type Pressed, packCans } from './pack.ts';
import type { PackCrew } from './packtasks.ts';
import { type PressOptions, pressOptions } from './press.ts';
import type { PostNote, PostOrigin } from './readposts.ts';
import { removeIfEmpty } from './spool.ts';

export interface HourPackOptions extends PressOptions {
  host: string;
  /** Largest post, bytes. */
  maxPost: number;
  maxDepth: number;
  /** Another packer was at work after the posts were listed: those that are gone are no finding. */
  waited: boolean;
}

/** Posts of one hour folder, by name. */
export interface PostGroup {
  folder: string;
  posts: string[];
}

/** Bytes, and posts, that one task reads and compresses. */
const CHUNK = 1024 * 1024;
const CHUNK_POSTS = 1000;

interface Chunk {
  folder: string;
  names: string[];
  bytes: number;
  /** The last of its folder. */
  last: boolean;
}

interface PressedPosts extends Pressed<PostOrigin> {
  notes: PostNote[];
}

export class HourPacker {
  #outgoing: Outgoing;
  #spool: string;
  #options: HourPackOptions;
  #report: Reporter;
  #crew: PackCrew;
  /** Posts that recovery removed; a row of theirs may still come. */
  #finished = new Set<string>();
  /** Hour folders with a can whose manifest is damaged. */
  #blocked = new Set<string>();
  /** Posts that are in a can and could not be removed: they must not be packed again. */
  #stuck = new Set<string>();
  /** Posts that were gone when this packer had waited for another. */
  missed = 0;

  constructor(outgoing: Outgoing, spool: string, options: HourPackOptions, report: Reporter, crew: PackCrew) {
    this.#outgoing = outgoing;
    this.#spool = spool;
    this.#options = options;
    this.#report = report;
    this.#crew = crew;
  }

  /**
   * Finishes what an interrupted run left: posts that lie in a can already are removed, and cans that
   * wait are given again. Must come to its end before anything is packed, or posts would be packed twice.
   */
  recover(): CanRow[] {
    this.#outgoing.cleanBuilding();
    const rows: CanRow[] = [];
    // Which posts a damaged can holds, nobody knows: those of its group stay until a person has looked.
    const damaged = (can: string, reason: string) => {
      const folder = can.slice(0, can.indexOf('.'));
      this.#blocked.add(folder);
      this.#report.finding(can, `${reason}; the posts of ${folder} stay until it is mended`);
    };
    for (const { folder, manifest } of leftCans(this.#outgoing, this.#report, damaged)) {
      this.#finishPosts(manifest);
      if (folder.state !== 'held') rows.push(canRow(folder, manifest));
    }
    return rows;
  }

  #finishPosts(manifest: Manifest): void {
    const touched = new Set<string>();
    for (const { file, bytes, sha256: digest } of manifest.posts) {
      const [folder = '', name = '', ...more] = file.split('/');
      // A row can: its posts never were in a spool.
      if (!parseHourFolder(folder) || !parsePostName(name) || more.length > 0) continue;
      touched.add(folder);
      if (!lstatOf(join(this.#spool, folder))?.isDirectory()) continue;
      const path = join(this.#spool, file);
      const stat = lstatOf(path);
      if (!stat?.isFile() || stat.size !== bytes) continue;
      try {
        const { bytes: post } = readRegularFile(path, this.#options.maxPost);
        if (sha256(post) !== digest) continue; // another post under the name of an old one: it will be packed
        unlinkSync(path);
      } catch (error) {
        this.#report.finding(path, `packed already, and cannot be removed: ${describeAt(path, error)}`);
        this.#stuck.add(file);
        continue;
      }
      this.#finished.add(file);
      this.#report.tally('finished');
    }
    for (const folder of touched) this.#tidy(folder);
  }

  #tidy(folder: string): void {
    const path = join(this.#spool, folder);
    if (!lstatOf(path)) return;
    fsyncFolder(path);
    removeIfEmpty(this.#spool, folder);
  }

  /**
   * Packs posts of hour folders; every can is given when it is ready and its posts are gone. A folder that comes again
   * waits for the end of all before it: its posts must not be read a second time while they are packed.
   */
  async *pack(groups: AsyncIterable<PostGroup>): AsyncGenerator<CanRow> {
    const source = groups[Symbol.asyncIterator]();
    let next = await source.next();
    async function* untilOneComesAgain() {
      const seen = new Set<string>();
      for (; !next.done && !seen.has(next.value.folder); next = await source.next()) {
        seen.add(next.value.folder);
        yield next.value as PostGroup;
      }
    }
    while (!next.done) yield* this.#packSideBySide(untilOneComesAgain());
  }

  async *#packSideBySide(groups: AsyncIterable<PostGroup>): AsyncGenerator<CanRow> {
    const { maxBytes, host, program } = this.#options;
    const { threads } = this.#crew;
    const begin = (folder: string) => {
      const group = parseHourFolder(folder)!;
      return canName({ kind: 'hour', ...group, host, counter: this.#outgoing.nextCounter(group, host) });
    };
    const flow = { concurrency: 6 * threads, weigh: ({ bytes }: Chunk) => bytes, maxWeight: 16 * CHUNK * threads };
    const pressed = orderedMap(this.#chunks(groups), (chunk) => this.#press(chunk), flow);
    const built = packCans(this.#outgoing.folder('building'), this.#told(pressed), {
      maxBytes,
      begin,
      inMembers: program !== undefined,
    });
    // While one can is made durable and read back, the next are packed.
    yield* orderedMap(built, (can) => this.#finish(can), { concurrency: 4 * threads });
  }

  async #finish(built: BuiltCan<PostOrigin>): Promise<CanRow> {
    const { can, files } = await sealCan(built, this.#crew);
    const { group: folder } = built;
    const measurements = built.items.length;
    const unreadable = built.items.filter((item) => item.unreadable).length;
    const manifest: Manifest = {
      ...{ version: 1, can, class: 'as-received', measurements, unreadable, files },
      ...{ spool: this.#spool, posts: postsOf(built) },
    };
    this.#outgoing.useName(parseHourFolder(folder)!.hour, can);
    const row = commitCan(this.#outgoing, manifest);
    this.#removePosts(
      folder,
      built.items.map((item) => item.origin),
    );
    this.#report.tally('posts', manifest.measurements);
    removeIfEmpty(this.#spool, folder);
    return row;
  }

  /** Posts that are read and compressed together. What they are depends on the posts alone, not on who lists them. */
  async *#chunks(groups: AsyncIterable<PostGroup>): AsyncGenerator<Chunk> {
    for await (const { folder, posts } of groups) {
      if (!this.#mayPack(folder, posts.length)) continue;
      // Names sort by arrival. A post that is listed twice is one post.
      const names = [...new Set(posts)].filter((name) => !this.#stuck.has(`${folder}/${name}`)).sort();
      let chunk: Chunk = { folder, names: [], bytes: 0, last: false };
      for (const [n, name] of names.entries()) {
        chunk.names.push(name);
        chunk.bytes += lstatOf(join(this.#spool, folder, name))?.size ?? 0;
        chunk.last = n === names.length - 1;
        if (chunk.bytes < CHUNK && chunk.names.length < CHUNK_POSTS && !chunk.last) continue;
        yield chunk;
        chunk = { folder, names: [], bytes: 0, last: false };
      }
    }
  }

  #mayPack(folder: string, posts: number): boolean {
    if (this.#blocked.has(folder)) {
      this.#report.tally('skipped', posts);
      return false;
    }
    const path = join(this.#spool, folder);
    if (lstatOf(path)?.isDirectory() !== false) return true;
    const reason = 'a link or a file, where a folder of posts was expected: not followed';
    this.#report.reject({ as: 'file', file: path, line: null, reason }, fileRow(path));
    return false;
  }

  async #press({ folder, names, bytes, last }: Chunk): Promise<PressedPosts> {
    const { maxPost, maxDepth } = this.#options;
    const task = { spool: this.#spool, folder, names, maxPost, maxDepth, ...pressOptions(this.#options) };
    return { group: folder, last, ...(await this.#crew.run('posts', task, bytes)) };
  }

  /** Tells of posts in their order. */
  async *#told(pressed: AsyncIterable<PressedPosts>): AsyncGenerator<PressedPosts> {
    for await (const one of pressed) {
      for (const note of one.notes) this.#tell(one.group, note);
      yield one;
    }
  }

  #tell(folder: string, note: PostNote): void {
    const { path } = note;
    const refuse = (reason: string) =>
      this.#report.reject({ as: 'file', file: path, line: null, reason }, fileRow(path));
    if (note.what !== 'unread' && note.what !== 'empty') this.#report.tally(note.what);
    if (note.what === 'unread') this.#unread(folder, note, refuse);
    else if (note.what === 'empty') refuse('empty post, left in the spool');
    else if (note.what === 'hash_mismatch')
      this.#report.finding(path, 'the uid does not match the bytes; packed as it is');
    else if (note.what === 'misfiled')
      this.#report.finding(path, 'the uid belongs to another folder; packed as it lies');
    else {
      const reason = `packed, but without a line: ${note.reason}`;
      this.#report.reject({ as: 'post', file: path, line: null, reason }, note.bytes);
    }
  }

  #unread(folder: string, note: PostNote & { what: 'unread' }, refuse: (reason: string) => void): void {
    const { path, name, code, reason } = note;
    if (code === 'ENOENT') {
      const finished = this.#finished.has(`${folder}/${name}`);
      if (!finished && this.#options.waited) this.missed++;
      if (finished || this.#options.waited) this.#report.tally('skipped');
      else refuse('vanished before it was read');
      return;
    }
    // Out of descriptors or of disk is no fault of the post.
    if (['EMFILE', 'ENFILE', 'ENOMEM', 'EIO'].includes(code ?? '')) throw new Failure(`${path}: ${reason}`);
    refuse(`left in the spool: ${reason}`);
  }

  #removePosts(folder: string, origins: PostOrigin[]): void {
    const path = join(this.#spool, folder);
    for (const { name, identity } of origins) {
      const post = join(path, name);
      if (isSameFile(post, identity)) this.#unlink(post);
      else if (lstatOf(post))
        this.#report.finding(post, 'changed after it was packed: kept, and packed again by the next run');
    }
    if (lstatOf(path)) fsyncFolder(path);
  }

  #unlink(post: string): void {
    try {
      unlinkSync(post);
    } catch (error) {
      this.#report.finding(post, `packed, and cannot be removed: ${describeAt(post, error)}`);
    }
  }
}

function fileRow(path: string): Buffer {
  return Buffer.from(JSON.stringify({ file: path }));
}
