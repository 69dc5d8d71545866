import { statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { HourPacker, type ListedPost } from '../edge/hourcans.ts';
import { type Lock, tryLock } from '../edge/lock.ts';
import { type CanRow, Outgoing } from '../edge/outgoing.ts';
import { RowPacker } from '../edge/rowcans.ts';
import { postOfPath, SPOOL_LOCK, sweepStrays } from '../edge/spool.ts';
import { isHostId } from '../record/names.ts';
import { type EndRow, parseRow, wrongKind } from '../record/rows.ts';
import { describe, Failure, UsageError } from '../stream/errors.ts';
import type { Stage } from '../stream/stage.ts';
import { bytes, flag, number, text, verb } from '../stream/verb.ts';

export default verb({
  summary: 'pack posts, or measurement rows, into cans, and remove the posts that are safe inside',
  operands: '',
  options: {
    spool: text('--spool <dir>', 'the folder of the posts; nothing outside is opened or removed'),
    to: text('--to <dir>', 'the outgoing folder'),
    host: text('--host <id>', "this machine's part in the names of cans, as n0"),
    maxBytes: bytes('--max-bytes <bytes>', 'largest can, compressed', 20_000_000),
    level: number('--level <n>', 'of compression, 1 to 9', 6, 1, 9),
    maxDepth: number('--max-depth <levels>', 'deepest nesting of a post', 500, 1, 100_000),
    wait: number('--wait <seconds>', 'how long to wait for another postcan to end', 0, 0, 86_400),
    rows: flag('--rows', 'pack measurement rows of standard input, and no posts'),
    end: { ...flag('--no-end', 'with --rows: the stream has no end row'), initial: true },
  },
  async run(stage, _, options) {
    const { to, spool, host, rows } = options;
    if (to === undefined) throw new UsageError('--to is missing');
    if (rows && (spool !== undefined || host !== undefined))
      throw new UsageError('--rows takes no posts: leave --spool and --host out');
    if (!rows && spool === undefined) throw new UsageError('--spool is missing (or --rows, to pack measurement rows)');
    if (!rows && (host === undefined || !isHostId(host)))
      throw new UsageError("--host: letters, digits and '-', as n0");
    const outgoing = new Outgoing(to);
    const locks: (Lock | undefined)[] = [];
    try {
      const wait = options.wait * 1000;
      outgoing.prepare();
      locks.push(outgoing.lockPacker(wait) ?? busy(outgoing.path));
      if (rows) await packRows(stage, outgoing, options);
      else {
        const folder = spoolFolder(spool!);
        locks.push(tryLock(`${folder}/${SPOOL_LOCK}`, wait) ?? busy(folder));
        await packPosts(stage, outgoing, folder, { ...options, host: host! });
      }
    } finally {
      for (const lock of locks) lock?.release();
    }
  },
});

function busy(path: string): never {
  throw new Failure(`${path}: another postcan is at work here (--wait SECONDS waits for it)`);
}

function spoolFolder(path: string): string {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat?.isDirectory()) throw new Failure(`${path}: no such folder`);
  return resolve(path);
}

interface PackSettings {
  maxBytes: number;
  level: number;
  maxDepth: number;
}

async function give(stage: Stage, rows: AsyncIterable<CanRow> | CanRow[]): Promise<void> {
  for await (const row of rows) {
    await stage.emit(JSON.stringify(row));
    await stage.flush(); // the upload begins while the next can is packed
  }
}

async function packPosts(
  stage: Stage,
  outgoing: Outgoing,
  spool: string,
  options: PackSettings & { host: string },
): Promise<void> {
  const { host, maxBytes, level, maxDepth } = options;
  outgoing.dedicate({ host, class: 'as-received' });
  const packer = new HourPacker(outgoing, spool, { host, maxBytes, level, maxDepth, maxPost: stage.maxLine }, stage);
  await give(stage, await packer.recover());
  for await (const { folder, posts } of groups(stage, spool)) await give(stage, packer.pack(folder, posts));
  const failed = (path: string, error: unknown) => stage.finding(path, describe(error).replace(`${path}: `, ''));
  const { moved, to } = sweepStrays(spool, failed);
  for (const stray of moved) stage.finding(`${spool}/${stray}`, `looks like a post and is none, moved to ${to}`);
}

/** Posts of the rows, hour folder by hour folder, as the rows come. */
async function* groups(stage: Stage, spool: string): AsyncGenerator<{ folder: string; posts: ListedPost[] }> {
  const isSpool = memo((path: string) => isSameFolder(path, spool));
  let group: { folder: string; posts: ListedPost[] } | undefined;
  for await (const { number: line, bytes } of stage.rows()) {
    try {
      const row = parseRow(bytes);
      if (row.kind !== 'file')
        throw new Error(`${wrongKind(row, 'file')}${row.kind === 'measurement' ? ' (--rows packs those)' : ''}`);
      const post = postOfPath(row.file);
      if (!post) throw new Error(`${row.file}: not <hour>_<cc>_<test>/<uid>.post`);
      if (!isSpool(dirname(dirname(row.file)))) throw new Error(`${row.file}: not in --spool ${spool}`);
      if (group && group.folder !== post.folder) {
        yield group;
        group = undefined;
      }
      group ??= { folder: post.folder, posts: [] };
      group.posts.push({ name: post.name, bytes: row.bytes ?? 0 });
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

async function packRows(stage: Stage, outgoing: Outgoing, options: PackSettings & { end: boolean }): Promise<void> {
  const packer = new RowPacker(outgoing);
  await give(stage, await packer.recover());
  let taken = 0;
  let end: EndRow | undefined;
  try {
    for await (const { number: line, bytes } of stage.rows()) {
      try {
        const row = parseRow(bytes);
        if (end) throw new Error('a row after the end row');
        if (row.kind === 'end') end = row;
        else if (row.kind === 'measurement') {
          packer.add(row, bytes);
          taken++;
        } else throw new Error(wrongKind(row, 'measurement'));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).syscall) throw error;
        stage.reject({ as: 'row', file: null, line, reason: (error as Error).message }, bytes);
      }
    }
    if (!end && options.end) {
      throw new Failure(
        'the stream has no end row, so its producer may have died: no can was made (cat --end writes one; --no-end does without)',
      );
    }
    if (end && end.rows !== taken)
      stage.say(`the end row tells of ${end.rows} rows, ${taken} came: a filter stands in between?`);
    const zone = end?.sanitised === undefined ? 'unsanitised' : 'sanitised';
    outgoing.dedicate({ class: zone });
    const { maxBytes, level } = options;
    await give(
      stage,
      packer.pack({
        maxBytes,
        level,
        class: zone,
        ...(end?.sanitised === undefined ? {} : { sanitised: end.sanitised }),
      }),
    );
  } finally {
    packer.abandon();
  }
}
