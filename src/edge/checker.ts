// Searches files for what may not be published, whatever they hold: lines of JSON, cans, or any other bytes.
import { type Dirent, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Removed } from '../record/removed.ts';
import { describeAt, Malformed } from '../stream/errors.ts';
import type { Stage } from '../stream/stage.ts';
import { isGzip } from './gzip.ts';
import { inflate } from './inflate.ts';
import { type Bytes, fileBytes, isTar, peekBytes } from './source.ts';
import { tarMembers } from './tar.ts';

/** Archives in archives. */
const DEEPEST = 4;

/** Forms that are not looked into, by their first bytes. */
const CLOSED: [string, string][] = [
  ['xz', 'fd377a585a00'],
  ['zstd', '28b52ffd'],
  ['lz4', '04224d18'],
  ['bzip2', '425a68'],
  ['zip', '504b0304'],
  ['7z', '377abcaf271c'],
];

export interface Finding {
  cannery: 'finding';
  file: string;
  /** From 1. */
  line: number;
  rule: string;
  count: number;
}

/** Searches files and folders; findings go out as rows, and what cannot be searched is rejected. */
export async function checkPaths(stage: Stage, paths: string[], search: (line: Buffer) => Removed): Promise<void> {
  for (const path of paths) {
    try {
      if (statSync(path).isDirectory()) {
        for (const file of filesBelow(stage, path)) await checkFile(stage, file, search);
      } else await checkFile(stage, path, search);
    } catch (error) {
      rejectFile(stage, path, error);
    }
  }
}

/** Regular files, however deep, in order of their names. Links are not followed, and told. */
function* filesBelow(stage: Stage, folder: string): Generator<string> {
  let entries: Dirent[];
  try {
    entries = readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch (error) {
    return rejectFile(stage, folder, error);
  }
  for (const entry of entries) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* filesBelow(stage, path);
    else if (entry.isFile()) yield path;
    else stage.reject({ as: 'file', file: path, line: null, reason: 'neither file nor folder: not searched' }, null);
  }
}

async function checkFile(stage: Stage, file: string, search: (line: Buffer) => Removed): Promise<void> {
  stage.refuseRejects(file);
  let lines = 0;
  const found = async (name: string, line: number, removed: Removed) => {
    const rules = Object.entries(removed);
    if (rules.length > 0) lines++;
    for (const [rule, count] of rules) {
      const finding: Finding = { cannery: 'finding', file: name, line, rule, count };
      await stage.receipt(finding);
    }
  };
  try {
    await checkBytes(stage, stage.count(fileBytes(file)), file, 0, search, found);
  } catch (error) {
    rejectFile(stage, file, error);
  }
  if (lines > 0)
    stage.finding(file, `${lines === 1 ? 'a line holds' : `${lines} lines hold`} what may not be published`);
}

async function checkBytes(
  stage: Stage,
  source: Bytes,
  name: string,
  depth: number,
  search: (line: Buffer) => Removed,
  found: (name: string, line: number, removed: Removed) => Promise<void>,
): Promise<void> {
  const { head, all } = await peekBytes(source, 512);
  const closed = CLOSED.find(([, magic]) => head.toString('hex', 0, magic.length / 2) === magic)?.[0];
  if (closed) throw new Malformed(`${closed}: not searched`);
  const within = isGzip(head) || isTar(head);
  if (within && depth === DEEPEST) throw new Malformed('too many archives in one another: not searched');
  if (isGzip(head)) return checkBytes(stage, inflate(all, Number.POSITIVE_INFINITY), name, depth + 1, search, found);
  if (isTar(head)) {
    // Whatever type a member says it is, its bytes are published.
    for await (const { name: member, body } of tarMembers(all))
      await checkBytes(stage, body, `${name}(${member})`, depth + 1, search, found);
    return;
  }
  for await (const { number, bytes } of stage.lines(all, name, 'document')) await found(name, number, search(bytes));
}

function rejectFile(stage: Stage, file: string, error: unknown): void {
  const itsOwn = error instanceof Malformed || (error as NodeJS.ErrnoException).syscall !== undefined;
  if (!itsOwn) throw error;
  const row = Buffer.from(JSON.stringify({ file }));
  stage.reject({ as: 'file', file, line: null, reason: describeAt(file, error) }, row);
}
