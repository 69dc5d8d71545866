// What must be true when a pipeline has come to its end, whatever happened on the way; and what must be true at
// any moment. Readers of other makes where there are any: node's gunzip, tar-stream, SQLite by its tables.
import { createHash } from 'node:crypto';
import { cpSync, existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import Database from 'better-sqlite3';
import { extract } from 'tar-stream';
import { canneryBytes, tree } from '../lib.ts';

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

/** Members of a postcan, in their order. */
export async function membersOf(file: string): Promise<[name: string, bytes: Buffer][]> {
  const members: [string, Buffer][] = [];
  const extractor = extract();
  extractor.end(gunzipSync(readFileSync(file)));
  for await (const entry of extractor) {
    const pieces: Buffer[] = [];
    for await (const piece of entry) pieces.push(piece as Buffer);
    members.push([entry.header.name, Buffer.concat(pieces)]);
  }
  return members;
}

/** Lines of a jsonl, without line feeds. */
export function linesOf(gzip: Buffer): Buffer[] {
  const text = gunzipSync(gzip);
  const lines: Buffer[] = [];
  for (let start = 0; start < text.length; ) {
    const end = text.indexOf(0x0a, start);
    lines.push(text.subarray(start, end === -1 ? text.length : end));
    start = end === -1 ? text.length : end + 1;
  }
  return lines;
}

interface StoredCan {
  /** Key of the jsonl. */
  key: string;
  /** Members of its postcan. */
  posts: [name: string, bytes: Buffer][];
  jsonl: Buffer;
  lines: Buffer[];
}

/** Cans of a folder store, and what is wrong with their files by themselves. */
async function storedCans(store: string, faults: string[]): Promise<StoredCan[]> {
  const keys = tree(store);
  const cans: StoredCan[] = [];
  for (const key of keys) {
    if (!/\.(?:tar|jsonl)\.gz$/.test(key) || basename(key).startsWith('.')) {
      faults.push(`store/${key}: not a file of a can`);
      continue;
    }
    if (!key.endsWith('.jsonl.gz')) continue;
    const tar = key.replace(/\.jsonl\.gz$/, '.tar.gz');
    if (!keys.includes(tar)) {
      faults.push(`store/${key}: without its postcan`);
      continue;
    }
    try {
      const jsonl = readFileSync(join(store, key));
      cans.push({ key, posts: await membersOf(join(store, tar)), jsonl, lines: linesOf(jsonl) });
    } catch (error) {
      faults.push(`store/${key}: ${(error as Error).message}`);
    }
  }
  const halves = keys.filter((key) => key.endsWith('.tar.gz'));
  for (const tar of halves)
    if (!keys.includes(tar.replace(/\.tar\.gz$/, '.jsonl.gz'))) faults.push(`store/${tar}: without its lines`);
  return cans;
}

/** The line that a post's measurement must have. */
function lineOf(post: Buffer): Buffer {
  const head = Buffer.from('{"format":"json","content":');
  return post.subarray(0, head.length).equals(head) ? post.subarray(head.length, -1) : Buffer.from('{}');
}

interface LineRow {
  store: string;
  s3path: string;
  linenum: number;
  hash: Buffer;
  unreadable: number;
  offset: number | null;
  length: number | null;
}

/**
 * Every row of the index against its line, by number, by hash and by the member that it names; and every line against
 * its row.
 * @returns the hashes of the lines that it leads to
 */
function indexFaults(path: string, storeName: string, cans: StoredCan[], faults: string[]): string[] {
  if (!existsSync(path)) {
    faults.push(`${basename(path)}: there is no index`);
    return [];
  }
  const db = new Database(path, { readonly: true });
  try {
    const sound = db.pragma('integrity_check', { simple: true });
    if (sound !== 'ok') faults.push(`${basename(path)}: ${sound}`);
    const rows = db
      .prepare(
        `SELECT store, s3path, line.id & 16777215 AS linenum, hash, unreadable,
           (SELECT offset FROM member m WHERE m.can = can.id AND first_line <= line.id & 16777215 ORDER BY first_line DESC LIMIT 1) AS offset,
           (SELECT length FROM member m WHERE m.can = can.id AND first_line <= line.id & 16777215 ORDER BY first_line DESC LIMIT 1) AS length
         FROM line JOIN can ON can.id = line.id >> 24 WHERE NOT superseded`,
      )
      .all() as LineRow[];
    const seen = new Set<string>();
    for (const row of rows) {
      const name = `${row.s3path}:${row.linenum}`;
      const can = cans.find(({ key }) => key === row.s3path);
      const line = can?.lines[row.linenum];
      if (row.store !== storeName) faults.push(`${name}: indexed in the store ${row.store}`);
      if (seen.has(name)) faults.push(`${name}: indexed twice`);
      seen.add(name);
      if (!can || !line) faults.push(`${name}: indexed, but not in the store`);
      else if (sha256(line).slice(0, 16) !== row.hash.toString('hex'))
        faults.push(`${name}: the index has another hash`);
      else if (!memberHolds(can.jsonl, row, line)) faults.push(`${name}: not in the member that the index names`);
    }
    const known = new Set(rows.map(({ s3path }) => s3path));
    for (const { key, lines } of cans)
      if (known.has(key) && lines.some((_, n) => !seen.has(`${key}:${n}`))) faults.push(`${key}: lines without a row`);
    const left = db
      .prepare('SELECT count(*) FROM line WHERE id >> 24 NOT IN (SELECT id FROM can WHERE NOT superseded)')
      .pluck()
      .get();
    if (left !== 0) faults.push(`${left} rows of the index belong to no can`);
    return rows.map(({ hash }) => hash.toString('hex'));
  } catch (error) {
    faults.push(`${basename(path)}: ${(error as Error).message}`);
    return [];
  } finally {
    db.close();
  }
}

function memberHolds(jsonl: Buffer, { offset, length }: LineRow, line: Buffer): boolean {
  if (offset === null || length === null) return false;
  try {
    return linesOf(jsonl.subarray(offset, offset + length)).some((each) => each.equals(line));
  } catch {
    return false;
  }
}

/** Keys of a store with the digest of what is there; a file that is being written is none. */
export function snapshot(store: string): Map<string, string> {
  const keys = tree(store).filter((key) => !basename(key).startsWith('.'));
  return new Map(keys.map((key) => [key, sha256(readFileSync(join(store, key)))]));
}

/** Keys that went or have other bytes than before. */
export function overwritten(before: Map<string, string>, after: Map<string, string>): string[] {
  return [...before]
    .filter(([key, digest]) => after.get(key) !== digest)
    .map(([key]) => `store/${key}: ${after.has(key) ? 'other bytes than before' : 'is gone'}`);
}

/** What may lie in an outgoing folder that has nothing to do. */
const AT_REST = /^(?:names\/\d{10}\.json|outgoing\.json|\.[a-z]+-lock|\.newest-upload)$/;

/**
 * What is wrong when all posts of a spool should be in store and index: each exactly once, byte for byte, in both
 * halves of its can; each row finds its line; nothing is left on the way.
 * @param posts path below the spool → bytes
 * @param url   of the store, where it is not the folder
 */
export async function finishedFaults(cwd: string, posts: Map<string, Buffer>, url?: string): Promise<string[]> {
  const faults: string[] = [];
  const store = join(cwd, 'store');
  const cans = await storedCans(store, faults);
  const found = new Map<string, number>();
  for (const { key, posts: members, lines } of cans) {
    if (members.length !== lines.length) faults.push(`${key}: ${lines.length} lines of ${members.length} posts`);
    for (const [n, [name, bytes]] of members.entries()) {
      found.set(name, (found.get(name) ?? 0) + 1);
      if (!posts.get(name)?.equals(bytes)) faults.push(`${name}: other bytes in ${key}, or never sent`);
      else if (!lines[n]?.equals(lineOf(bytes))) faults.push(`${name}: line ${n} of ${key} is another`);
    }
  }
  for (const name of posts.keys())
    if (found.get(name) !== 1) faults.push(`${name}: ${found.get(name) ?? 0} times in the store`);
  const indexed = indexFaults(join(cwd, 'jsonl.sqlite'), url ?? store, cans, faults);
  if (indexed.length !== posts.size) faults.push(`${indexed.length} rows in the index, of ${posts.size} posts`);
  for (const name of readdirSync(join(cwd, 'incoming'))) faults.push(`incoming/${name}: left in the spool`);
  faults.push(...outgoingFaults(join(cwd, 'outgoing')));
  return faults;
}

/** What is left of the way of a can. */
export function outgoingFaults(outgoing: string): string[] {
  const entries = readdirSync(outgoing, { recursive: true, withFileTypes: true }).map((entry) => ({
    name: join(entry.parentPath, entry.name).slice(outgoing.length + 1),
    folder: entry.isDirectory(),
  }));
  return entries
    .filter(({ name, folder }) =>
      folder ? !/^(?:building|ready|sent|indexed|held|names)$/.test(name) : !AT_REST.test(name),
    )
    .map(({ name }) => `${basename(outgoing)}/${name}: left there`);
}

/** Posts that are neither in the spool nor in a can that counts, at a moment when a run was broken off. */
export async function lostPosts(cwd: string, posts: Map<string, Buffer>): Promise<string[]> {
  const missing = new Map(
    [...posts].filter(([name, bytes]) => {
      const path = join(cwd, 'incoming', name);
      return !(existsSync(path) && readFileSync(path).equals(bytes));
    }),
  );
  const postcans = ['outgoing/ready', 'outgoing/sent', 'outgoing/indexed', 'store']
    .flatMap((folder) => tree(join(cwd, folder)).map((name) => join(cwd, folder, name)))
    .filter((path) => path.endsWith('.tar.gz') && !basename(path).startsWith('.'));
  for (const path of postcans) {
    if (missing.size === 0) break;
    try {
      const members = await membersOf(path);
      const lines = linesOf(readFileSync(path.replace(/\.tar\.gz$/, '.jsonl.gz')));
      if (lines.length !== members.length) continue;
      if (!path.startsWith(join(cwd, 'store'))) JSON.parse(readFileSync(join(dirname(path), 'can.json'), 'utf8'));
      for (const [name, bytes] of members) if (missing.get(name)?.equals(bytes)) missing.delete(name);
    } catch {
      // not whole: it holds nothing
    }
  }
  return [...missing.keys()].map((name) => `${name}: lost`);
}

/** What is wrong when row cans should be in store and index, and nothing on the way. @param lines hashes that the index has to lead to */
export async function rowFaults(cwd: string, lines: string[]): Promise<string[]> {
  const faults: string[] = [];
  const store = join(cwd, 'store');
  const indexed = indexFaults(join(cwd, 'jsonl.sqlite'), store, await storedCans(store, faults), faults);
  if (indexed.sort().join() !== [...lines].sort().join())
    faults.push(`the index leads to other lines than it should: ${indexed.length} of ${lines.length}`);
  return [...faults, ...outgoingFaults(join(cwd, 'outgoing'))];
}

/** Group of row cans (`20160801_IT_ndt`) → hashes of its lines, as an index has them at any moment. It is not changed. */
export function linesByGroup(index: string, aside: string): Map<string, string> {
  const copy = join(aside, 'index.sqlite');
  for (const end of ['', '-wal', '-journal']) {
    rmSync(copy + end, { force: true });
    if (existsSync(index + end)) cpSync(index + end, copy + end);
  }
  const db = new Database(copy);
  try {
    const sql =
      'SELECT grp, group_concat(hex(hash)) FROM (SELECT grp, hash FROM line JOIN can ON can.id = line.id >> 24 WHERE NOT superseded ORDER BY hash) GROUP BY grp';
    return new Map(db.prepare(sql).raw().all() as [string, string][]);
  } finally {
    db.close();
  }
}

/** What `get` gives for some of the rows, against the lines of the store. */
export function getFaults(cwd: string, count: number): string[] {
  const db = new Database(join(cwd, 'jsonl.sqlite'), { readonly: true });
  const rows = db.prepare('SELECT measurement_uid, s3path, linenum FROM jsonl LIMIT ?').all(count) as {
    measurement_uid: string;
    s3path: string;
    linenum: number;
  }[];
  db.close();
  const got = canneryBytes(['get', '--raw', '--index', 'jsonl.sqlite', '--store', 'store'], {
    cwd,
    stdin: rows.map((row) => row.measurement_uid).join('\n'),
  });
  const wanted = rows.map(({ s3path, linenum }) => linesOf(readFileSync(join(cwd, 'store', s3path)))[linenum]!);
  const same = got.out.equals(Buffer.concat(wanted.flatMap((line) => [line, Buffer.from('\n')])));
  return got.code === 0 && same ? [] : [`get: exit ${got.code}, ${same ? 'the lines' : 'other bytes'}: ${got.err}`];
}
