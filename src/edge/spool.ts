// The collector's spool: `<hour>_<cc>_<test>/<uid>.post`, one folder level, one file level.
import { isUtf8 } from 'node:buffer';
import { readdirSync, rmdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type HourGroup, looksLikePost, parseHourFolder, parsePostName, type Uid } from '../record/names.ts';
import { errno } from '../stream/errors.ts';
import { exists, fsyncFolder, lstatOf, makeFolder, moveWithoutClobber } from './files.ts';

export interface SpoolPost {
  folder: string;
  name: string;
  uid: Uid;
  bytes: number;
}

export interface SpoolFolder extends HourGroup {
  name: string;
}

/** What lies in a spool and is no post: left alone by readers. */
export interface Strangers {
  /** `.post.tmp`: the collector is writing it. */
  unfinished: number;
  other: number;
  /** A few names, for a message. */
  examples: string[];
}

export function noStrangers(): Strangers {
  return { unfinished: 0, other: 0, examples: [] };
}

function note(strangers: Strangers, path: string): void {
  if (path.endsWith('.post.tmp')) strangers.unfinished++;
  else {
    strangers.other++;
    if (strangers.examples.length < 3) strangers.examples.push(path);
  }
}

/** Hour folders by name. */
export function spoolFolders(spool: string, strangers: Strangers): SpoolFolder[] {
  const folders: SpoolFolder[] = [];
  for (const entry of readdirSync(spool, { withFileTypes: true })) {
    const group = entry.isDirectory() ? parseHourFolder(entry.name) : undefined;
    if (group) folders.push({ ...group, name: entry.name });
    else note(strangers, entry.name);
  }
  return folders.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Posts of an hour folder by name, which is the order of arrival. */
export function* spoolPosts(spool: string, folder: string, strangers: Strangers): Generator<SpoolPost> {
  let entries: string[];
  try {
    entries = readdirSync(join(spool, folder)).sort();
  } catch (error) {
    if (errno(error) === 'ENOENT') return; // the packer was here meanwhile
    throw error;
  }
  for (const name of entries) {
    const uid = parsePostName(name);
    const stat = uid ? lstatOf(join(spool, folder, name)) : undefined;
    if (uid && stat?.isFile()) yield { folder, name, uid, bytes: stat.size };
    else if (!uid || stat) note(strangers, `${folder}/${name}`);
  }
}

/** A row's path → the post that it names under this spool, from its last two parts alone; undefined otherwise. */
export function postOfPath(path: string): { folder: string; name: string; uid: Uid } | undefined {
  const parts = path.split('/');
  const name = parts.pop() ?? '';
  const folder = parts.pop() ?? '';
  const uid = parsePostName(name);
  return uid && parseHourFolder(folder) ? { folder, name, uid } : undefined;
}

/**
 * Moves what claims to be a post and is none (a bad name, a name that is not UTF-8, a link, a folder)
 * from every hour folder to `strays/` beside the spool, where a person looks at it.
 * @param failed is told of folders that cannot be read and of strays that cannot be moved
 * @returns the moved paths, as text
 */
export function sweepStrays(
  spool: string,
  failed: (folder: string, error: unknown) => void,
): { moved: string[]; to: string } {
  const to = join(spool, '..', 'strays');
  const moved: string[] = [];
  for (const folder of spoolFolders(spool, noStrangers())) {
    const path = join(spool, folder.name);
    let found = 0;
    let names: Buffer[];
    try {
      names = readdirSync(path, { encoding: 'buffer' });
    } catch (error) {
      failed(path, error);
      continue;
    }
    if (names.length === 0 && isOld(path)) removeIfEmpty(spool, folder.name);
    for (const name of names) {
      const text = name.toString();
      if (!looksLikePost(text)) continue;
      const full = Buffer.concat([Buffer.from(`${path}/`), name]);
      const isPost = isUtf8(name) && parsePostName(text) !== undefined && (lstatOf(full)?.isFile() ?? true);
      if (isPost) continue;
      try {
        makeFolder(join(to, folder.name));
        moveWithoutClobber(full, join(to, folder.name), name);
      } catch (error) {
        failed(`${path}/${text}`, error);
        continue;
      }
      moved.push(`${folder.name}/${text}`);
      found++;
    }
    if (found > 0) {
      fsyncFolder(path);
      removeIfEmpty(spool, folder.name);
    }
  }
  return { moved, to };
}

/** A collector that has just made a folder is about to write into it. */
function isOld(path: string): boolean {
  return Date.now() - (lstatOf(path)?.mtimeMs ?? Date.now()) > 3_600_000;
}

/** Removes an hour folder that holds nothing any more. */
export function removeIfEmpty(spool: string, folder: string): void {
  try {
    rmdirSync(join(spool, folder));
  } catch (error) {
    if (['ENOTEMPTY', 'ENOENT', 'EEXIST'].includes(errno(error) ?? '')) return;
    throw error;
  }
  if (exists(spool)) fsyncFolder(spool);
}

/** A spool is told by its hour folders; an empty folder named `incoming` is one too. */
export function looksLikeSpool(path: string): boolean {
  if (basename(path) === 'incoming') return true;
  return readdirSync(path, { withFileTypes: true }).some(
    (e) => e.isDirectory() && parseHourFolder(e.name) !== undefined,
  );
}
