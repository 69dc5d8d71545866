import { realpathSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Crew, usualThreads } from '../edge/crew.ts';
import { type Lock, lockSpool } from '../edge/lock.ts';
import { Outgoing } from '../edge/outgoing.ts';
import { packRows } from '../edge/packrows.ts';
import { packSpool } from '../edge/packspool.ts';
import { PACKING } from '../edge/packtasks.ts';
import { DENSE, FAST } from '../edge/press.ts';
import { memberBy, programOf } from '../edge/program.ts';
import { isHostId } from '../record/names.ts';
import { Failure, UsageError } from '../stream/errors.ts';
import { bytes, flag, number, seconds, text, verb } from '../stream/verb.ts';

export default verb({
  summary: 'pack posts, or measurement rows, into cans, and remove the posts that are safe inside',
  operands: '',
  options: {
    spool: text('--spool <dir>', 'the folder of the posts; nothing outside is opened or removed'),
    to: text('--to <dir>', 'the outgoing folder'),
    host: text('--host <id>', "this machine's part in the names of cans, as n0"),
    maxBytes: bytes('--max-bytes <bytes>', 'largest can, compressed', 20_000_000),
    level: { ...number('--level <n>', 'have zlib compress, at this level, 1 to 9', 0, 1, 9), shown: 'no zlib' },
    fast: flag('--fast', 'larger cans in less time: nearly every measurement is compressed once for both files'),
    compressProgram: text('--compress-program <command>', 'compress with this program instead, as: igzip -3'),
    threads: number('--threads <n>', 'that compress; 0: one for each core, at most 4', 0, 0, 64),
    maxDepth: number('--max-depth <levels>', 'deepest nesting of a post', 500, 1, 100_000),
    wait: seconds('--wait <seconds>', 'how long to wait for another postcan to end', 0, 86_400),
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
    const { compressProgram, fast, level } = options;
    if (compressProgram !== undefined && (fast || level > 0))
      throw new UsageError('--compress-program has a level of its own: leave --fast and --level out');
    if (!rows && !options.end) throw new UsageError('--no-end goes with --rows');
    const outgoing = new Outgoing(to);
    const words = compressProgram === undefined ? undefined : programOf(compressProgram);
    if (words) await memberBy(words, Buffer.from('a trial, before anything is done'));
    const program = words && { words, room: join(outgoing.folder('building'), `program.${process.pid}`) };
    const how = { ...options, ...(fast ? FAST : DENSE), ...(level > 0 && { level }), program };
    const crew = new Crew(PACKING, options.threads || usualThreads());
    const locks: Lock[] = [];
    let waited = false;
    const take = (path: string, lock: (waitMs: number) => Lock | undefined) => {
      let taken = lock(0);
      if (!taken && options.wait > 0) {
        waited = true;
        taken = lock(options.wait * 1000);
      }
      locks.push(taken ?? busy(path));
    };
    try {
      outgoing.prepare();
      take(outgoing.path, (waitMs) => outgoing.lockPacker(waitMs));
      if (rows) await packRows(stage, outgoing, how, crew);
      else {
        const folder = spoolFolder(spool!);
        take(folder, (waitMs) => lockSpool(folder, waitMs));
        await packSpool(stage, outgoing, folder, { ...how, host: host!, waited }, crew);
      }
    } finally {
      await crew.end();
      if (program) rmSync(program.room, { recursive: true, force: true });
      for (const lock of locks) lock.release();
    }
  },
});

function busy(path: string): never {
  throw new Failure(`${path}: another postcan is at work here (--wait SECONDS waits for it)`);
}

function spoolFolder(path: string): string {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat?.isDirectory()) throw new Failure(`${path}: no such folder`);
  return realpathSync(path); // one spool, one lock, by whatever way it is reached
}
