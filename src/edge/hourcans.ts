// Posts of the spool into cans of their hour. A post goes only when the can that holds it is ready:
// durable, read back and compared.
import { unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { sha256, uidHash } from '../record/identity.ts';
import { canName, parseHourFolder, parsePostName } from '../record/names.ts';
import { NO_LINE, readPost } from '../record/post.ts';
import { describeAt, errno } from '../stream/errors.ts';
import { orderedMap } from '../stream/ordered.ts';
import { commitCan, leftCans, postsOf, type Reporter, sealCan } from './commit.ts';
import { type FileIdentity, type FileRead, fsyncFolder, isSameFile, lstatOf, readRegularFile } from './files.ts';
import { type CanRow, canRow, type Manifest, type Outgoing } from './outgoing.ts';
import { type Item, type PackOptions, packCans } from './pack.ts';
import { removeIfEmpty } from './spool.ts';

export interface HourPackOptions extends PackOptions {
  host: string;
  /** Largest post, bytes. */
  maxPost: number;
  maxDepth: number;
  /** Another packer was at work after the posts were listed: those that are gone are no finding. */
  waited: boolean;
}

/** Where a packed post came from. */
interface PostOrigin {
  name: string;
  identity: FileIdentity;
}

export interface ListedPost {
  name: string;
  /** As the row says; a guess for memory's sake alone. */
  bytes: number;
}

export class HourPacker {
  #outgoing: Outgoing;
  #spool: string;
  #options: HourPackOptions;
  #report: Reporter;
  /** Posts that recovery removed; a row of theirs may still come. */
  #finished = new Set<string>();
  /** Hour folders with a can whose manifest is damaged. */
  #blocked = new Set<string>();
  /** Posts that are in a can and could not be removed: they must not be packed again. */
  #stuck = new Set<string>();
  /** Posts that were gone when this packer had waited for another. */
  missed = 0;

  constructor(outgoing: Outgoing, spool: string, options: HourPackOptions, report: Reporter) {
    this.#outgoing = outgoing;
    this.#spool = spool;
    this.#options = options;
    this.#report = report;
  }

  /**
   * Finishes what an interrupted run left: posts that lie in a can already are removed, and cans that
   * wait are given again. Must come to its end before anything is packed, or posts would be packed twice.
   */
  async recover(): Promise<CanRow[]> {
    this.#outgoing.cleanBuilding();
    const rows: CanRow[] = [];
    // Which posts a damaged can holds, nobody knows: those of its group stay until a person has looked.
    const damaged = (can: string, reason: string) => {
      const folder = can.slice(0, can.indexOf('.'));
      this.#blocked.add(folder);
      this.#report.finding(can, `${reason}; the posts of ${folder} stay until it is mended`);
    };
    for (const { folder, manifest } of leftCans(this.#outgoing, this.#report, damaged)) {
      await this.#finishPosts(manifest);
      if (folder.state !== 'held') rows.push(canRow(folder, manifest));
    }
    return rows;
  }

  async #finishPosts(manifest: Manifest): Promise<void> {
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
        const { bytes: post } = await readRegularFile(path, this.#options.maxPost);
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

  /** Packs posts of one hour folder; every can is given when it is ready and its posts are gone. */
  async *pack(folder: string, posts: ListedPost[]): AsyncGenerator<CanRow> {
    if (this.#blocked.has(folder)) return this.#report.tally('skipped', posts.length);
    const path = join(this.#spool, folder);
    if (lstatOf(path)?.isDirectory() === false) {
      const reason = 'a link or a file, where a folder of posts was expected: not followed';
      return this.#report.reject({ as: 'file', file: path, line: null, reason }, fileRow(path));
    }
    const group = parseHourFolder(folder)!;
    const { host } = this.#options;
    // Names sort by arrival. A post that is listed twice is one post.
    const sorted = [...new Map(posts.map((post) => [post.name, post])).values()].sort((a, b) =>
      a.name < b.name ? -1 : 1,
    );
    const begin = () => canName({ kind: 'hour', ...group, host, counter: this.#outgoing.nextCounter(group, host) });
    const building = this.#outgoing.folder('building');
    for await (const built of packCans(building, this.#items(folder, sorted), this.#options, begin)) {
      await sealCan(built);
      const { can, files } = built;
      const measurements = built.items.length;
      const unreadable = built.items.filter((item) => item.unreadable).length;
      const manifest: Manifest = {
        ...{ version: 1, can, class: 'as-received', measurements, unreadable, files },
        ...{ spool: this.#spool, posts: postsOf(built) },
      };
      this.#outgoing.useName(group.hour, built.can);
      const row = commitCan(this.#outgoing, manifest);
      this.#removePosts(
        folder,
        built.items.map((item) => item.origin),
      );
      this.#report.tally('posts', manifest.measurements);
      removeIfEmpty(this.#spool, folder);
      yield row;
    }
  }

  async *#items(folder: string, posts: ListedPost[]): AsyncGenerator<Item<PostOrigin>> {
    const read = async ({ name }: ListedPost) => {
      const path = join(this.#spool, folder, name);
      try {
        return { name, path, ...(await readRegularFile(path, this.#options.maxPost)) };
      } catch (error) {
        return { name, path, error };
      }
    };
    const flow = { concurrency: 4, weigh: (post: ListedPost) => post.bytes, maxWeight: 16 * 1024 * 1024 };
    const open = posts.filter(({ name }) => !this.#stuck.has(`${folder}/${name}`));
    for await (const result of orderedMap(open, read, flow)) {
      if ('error' in result) this.#unread(folder, result.name, result.path, result.error);
      else if (result.bytes.length === 0) {
        this.#report.reject(
          { as: 'file', file: result.path, line: null, reason: 'empty post, left in the spool' },
          fileRow(result.path),
        );
      } else yield this.#item(folder, result);
    }
  }

  #unread(folder: string, name: string, path: string, error: unknown): void {
    if (errno(error) === 'ENOENT') {
      const finished = this.#finished.has(`${folder}/${name}`);
      if (!finished && this.#options.waited) this.missed++;
      if (finished || this.#options.waited) {
        this.#report.tally('skipped');
        return;
      }
    }
    // Out of descriptors or of disk is no fault of the post.
    if (['EMFILE', 'ENFILE', 'ENOMEM', 'EIO'].includes(errno(error) ?? '')) throw error;
    const reason =
      errno(error) === 'ENOENT' ? 'vanished before it was read' : `left in the spool: ${describeAt(path, error)}`;
    this.#report.reject({ as: 'file', file: path, line: null, reason }, fileRow(path));
  }

  #item(folder: string, { name, path, bytes, identity }: FileRead & { name: string; path: string }): Item<PostOrigin> {
    const uid = parsePostName(name)!;
    if (uidHash(bytes) !== uid.hash) {
      this.#report.tally('hash_mismatch');
      this.#report.finding(path, 'the uid does not match the bytes; packed as it is');
    }
    if (`${uid.hour}_${uid.cc}_${uid.test}` !== folder) {
      this.#report.tally('misfiled');
      this.#report.finding(path, 'the uid belongs to another folder; packed as it lies');
    }
    const post = readPost(bytes, { maxDepth: this.#options.maxDepth, maxBytes: this.#options.maxPost });
    const { readable } = post;
    if (!readable) {
      this.#report.tally('unreadable');
      this.#report.reject(
        { as: 'post', file: path, line: null, reason: `packed, but without a line: ${post.reason}` },
        bytes,
      );
    }
    return {
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
    };
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
