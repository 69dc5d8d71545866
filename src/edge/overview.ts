// What `status` tells: how far everything is, and what a person must look at.
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Failure } from '../stream/errors.ts';
import { Outgoing, STATES } from './outgoing.ts';
import { noStrangers, spoolFolders, spoolPosts } from './spool.ts';

export interface Overview {
  spool?: {
    path: string;
    posts: number;
    bytes: number;
    folders: number;
    /** `YYYYMMDDHH`; null when nothing waits. */
    oldest_hour: string | null;
    unfinished: number;
    strangers: number;
    /** Moved away beside the spool. */
    strays: number;
  };
  outgoing: {
    path: string;
    host: string | null;
    store: string | null;
    index: string | null;
    cans: Record<string, { cans: number; bytes: number }>;
    held: string[];
    /** When the last can came into the store; null when none has yet. */
    newest_upload: string | null;
  };
}

/** @throws Failure where a folder is not there: a mistyped path must not look healthy */
export function overview(spool: string | undefined, to: string): Overview {
  for (const path of spool === undefined ? [to] : [spool, to]) {
    if (!existsSync(path)) throw new Failure(`${path}: no such folder`);
  }
  return {
    ...(spool === undefined ? {} : { spool: spoolOverview(spool) }),
    outgoing: outgoingOverview(new Outgoing(to)),
  };
}

function spoolOverview(path: string): NonNullable<Overview['spool']> {
  const strangers = noStrangers();
  const folders = spoolFolders(path, strangers);
  let posts = 0;
  let bytes = 0;
  let oldest: string | null = null;
  for (const folder of folders) {
    for (const post of spoolPosts(path, folder.name, strangers)) {
      posts++;
      bytes += post.bytes;
      oldest ??= folder.hour;
    }
  }
  const { unfinished, other } = strangers;
  const strays = countFiles(join(path, '..', 'strays'));
  return { path, posts, bytes, folders: folders.length, oldest_hour: oldest, unfinished, strangers: other, strays };
}

function countFiles(folder: string): number {
  if (!existsSync(folder)) return 0;
  return readdirSync(folder, { withFileTypes: true, recursive: true }).filter((entry) => !entry.isDirectory()).length;
}

function outgoingOverview(outgoing: Outgoing): Overview['outgoing'] {
  const cans: Overview['outgoing']['cans'] = {};
  for (const state of STATES) {
    const names = outgoing.cans(state);
    let bytes = 0;
    for (const name of names) bytes += folderBytes(join(outgoing.folder(state), name));
    cans[state] = { cans: names.length, bytes };
  }
  const { host, store, index } = outgoing.purpose();
  const uploaded = outgoing.newestUpload()?.toISOString() ?? null;
  return {
    ...{ path: outgoing.path, host: host ?? null, store: store ?? null, index: index ?? null },
    ...{ cans, held: outgoing.cans('held'), newest_upload: uploaded },
  };
}

function folderBytes(folder: string): number {
  try {
    return readdirSync(folder).reduce(
      (sum, name) => sum + (statSync(join(folder, name), { throwIfNoEntry: false })?.size ?? 0),
      0,
    );
  } catch {
    return 0; // it moved on meanwhile
  }
}
