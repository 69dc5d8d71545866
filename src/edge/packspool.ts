// One run over a spool: what an interrupted run left, then the posts that the rows name, then the strays.

import { statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { describeAt } from '../stream/errors.ts';
import type { Stage } from '../stream/stage.ts';
import { fileRows } from './filerows.ts';
import { HourPacker, type PostGroup } from './hourcans.ts';
import type { CanRow, Outgoing } from './outgoing.ts';
import type { PackCrew } from './packtasks.ts';
import type { PressOptions } from './press.ts';
import { postOfPath, sweepStrays } from './spool.ts';

export interface SpoolPackSettings extends PressOptions {
  maxDepth: number;
  host: string;
  /** Another packer was at work after the posts were listed. */
  waited: boolean;
}

/** Packs the posts that the rows of standard input name. */
export async function packSpool(
  stage: Stage,
  outgoing: Outgoing,
  spool: string,
  settings: SpoolPackSettings,
  crew: PackCrew,
): Promise<void> {
  outgoing.dedicate({ host: settings.host, class: 'as-received' });
  const packer = new HourPacker(outgoing, spool, { ...settings, maxPost: stage.maxLine }, stage, crew);
  try {
    await giveCans(stage, packer.recover());
    await giveCans(stage, packer.pack(groupPosts(stage, spool)));
  } catch (error) {
    outgoing.cleanBuilding(true);
    throw error;
  }
  if (packer.missed > 0)
    stage.say(`${packer.missed} posts are gone since they were listed, while another postcan was at work here`);
  const failed = (path: string, error: unknown) => stage.finding(path, describeAt(path, error));
  const { moved, to } = sweepStrays(spool, failed);
  for (const stray of moved) stage.finding(`${spool}/${stray}`, `looks like a post and is none, moved to ${to}`);
}

/** Hands receipts on at once: the upload begins while the next can is packed. */
export async function giveCans(stage: Stage, rows: AsyncIterable<CanRow> | CanRow[]): Promise<void> {
  for await (const row of rows) {
    await stage.receipt(row);
    await stage.flush();
  }
}

/** Posts of the rows, hour folder by hour folder, as the rows come. */
async function* groupPosts(stage: Stage, spool: string): AsyncGenerator<PostGroup> {
  const isSpool = memo((path: string) => isSameFolder(path, spool));
  let group: PostGroup | undefined;
  // What is not listed stays where it is for the next run, so that a part of a list does no harm.
  const hint = (kind: string) => (kind === 'measurement' ? ' (--rows packs those)' : '');
  for await (const { row, line, bytes } of fileRows(stage, { whole: false, hint })) {
    try {
      const post = postOfPath(row.file);
      if (!post) throw new Error(`${row.file}: not <hour>_<cc>_<test>/<uid>.post`);
      if (!isSpool(dirname(dirname(row.file)))) throw new Error(`${row.file}: not in --spool ${spool}`);
      if (group && group.folder !== post.folder) {
        yield group;
        group = undefined;
      }
      group ??= { folder: post.folder, posts: [] };
      group.posts.push(post.name);
    } catch (error) {
      stage.reject({ as: 'row', file: null, line, reason: (error as Error).message }, bytes);
    }
  }
  if (group) yield group;
}

function isSameFolder(a: string, b: string): boolean {
  const [one, other] = [a, b].map((path) => statSync(path, { throwIfNoEntry: false }));
  // The row's folder may be gone by now, with its last post; its name still tells.
  return one && other ? one.dev === other.dev && one.ino === other.ino : resolve(a) === resolve(b);
}

function memo<R>(question: (key: string) => R): (key: string) => R {
  const known = new Map<string, R>();
  return (key) => {
    if (!known.has(key)) known.set(key, question(key));
    return known.get(key)!;
  };
}
