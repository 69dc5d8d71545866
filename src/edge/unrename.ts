// Takes back what a rename.log tells of, newest first. What was taken back is told by the files themselves, so that a
// run that was killed can be run again; its line in the log comes last.
import { realpathSync, unlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type LogEntry, parseLogLine, standingMoves } from '../record/renamelog.ts';
import { describeAt, errno, Failure, Malformed } from '../stream/errors.ts';
import type { Stage } from '../stream/stage.ts';
import { digestRegularFile, exists, type FileDigest, failAt, fsyncFolder, isSameFile, makeFolder } from './files.ts';
import { describeFile } from './listing.ts';
import { RenameLog } from './renamelog.ts';
import { giveName, isOneName, sweepParts } from './secondname.ts';
import { fileBytes } from './source.ts';

/**
 * Gives reports of `to` back to the archive that they came from. Unless this is a dry run, the lock of `to` is held.
 * @param log a rename.log, or some lines of one
 */
export async function undoRenames(
  stage: Stage,
  archive: string,
  to: string,
  log: string,
  dryRun: boolean,
): Promise<void> {
  for (const count of ['undone', 'already', 'others']) stage.tally(count, 0);
  const undoing = new Undoing(stage, archive, to, dryRun);
  try {
    for (const move of standingMoves(await readLog(stage, log))) await undoing.take(move);
  } finally {
    undoing.close();
  }
  if (stage.counts.others) stage.say(`${log}: ${stage.counts.others} moves from other archives, left alone`);
}

async function readLog(stage: Stage, log: string): Promise<LogEntry[]> {
  stage.refuseRejects(log);
  const entries: LogEntry[] = [];
  for await (const { number: line, bytes } of stage.lines(fileBytes(log), log, 'row')) {
    const entry = parseLogLine(bytes.toString());
    if (entry) entries.push(entry);
    else stage.reject({ as: 'row', file: log, line, reason: 'no line of a rename.log' }, bytes);
  }
  return entries;
}

class Undoing {
  #stage: Stage;
  #archive: string;
  #root: string;
  #to: string;
  #realTo: string;
  #log: RenameLog | undefined;
  #swept = new Set<string>();

  constructor(stage: Stage, archive: string, to: string, dryRun: boolean) {
    this.#stage = stage;
    this.#archive = archive;
    this.#root = realpathSync(archive);
    this.#to = to;
    this.#realTo = realpathSync(to);
    if (!dryRun) this.#log = new RenameLog(to);
  }

  close(): void {
    this.#log?.close();
  }

  /** @throws Failure where nothing can go on */
  async take(move: LogEntry): Promise<void> {
    if (!move.source.startsWith(`${this.#root}/`)) return this.#stage.tally('others');
    const target = join(this.#to, move.target);
    let bytes: number | undefined;
    try {
      bytes = await this.#undo(move, join(this.#realTo, move.target));
    } catch (error) {
      if (error instanceof Failure) throw error;
      const row = Buffer.from(JSON.stringify({ file: target }));
      const reason = `not taken back: ${describeAt(join(this.#realTo, move.target), error)}`;
      this.#stage.reject({ as: 'file', file: target, line: null, reason }, row);
    }
    if (bytes === undefined) return;
    this.#stage.tally('undone');
    const file = join(this.#archive, move.source.slice(this.#root.length));
    const row = describeFile(file, bytes) ?? { file, bytes, kind: 'report' };
    await this.#stage.receipt({ ...row, from: target, outcome: 'undone' });
  }

  /** @returns the size of the report, where it was taken back now */
  async #undo(move: LogEntry, target: string): Promise<number | undefined> {
    const { source } = move;
    leadsNowhereElse(source);
    leadsNowhereElse(target);
    if (exists(source)) return this.#finish(move, target);
    if (!exists(target)) throw new Malformed('no longer there');
    const digest = await digestOf(target, move);
    if (this.#log) {
      makeFolder(dirname(source));
      this.#sweep(dirname(source));
      // A duplicate was given up for another report, which has a name of its own to go back to.
      await giveName(target, source, digest, move.outcome === 'duplicate');
      syncFolder(dirname(source));
      if (move.outcome !== 'duplicate') this.#remove(target, digest);
      this.#note(move);
    }
    return digest.bytes;
  }

  /** The report is back, or never went; a run that was killed may have left its new name. */
  async #finish(move: LogEntry, target: string): Promise<undefined> {
    await digestOf(move.source, move).catch((error) => {
      throw error instanceof Malformed ? new Malformed(`${move.source} is there, and is another`) : error;
    });
    if (move.outcome !== 'duplicate' && exists(target) && !isOneName(target, move.source)) {
      const digest = await digestOf(target, move);
      if (this.#log) {
        syncFolder(dirname(move.source));
        this.#remove(target, digest);
      }
    }
    if (this.#log) this.#note(move);
    this.#stage.tally('already');
  }

  #remove(target: string, { identity }: FileDigest): void {
    if (!isSameFile(target, identity)) throw new Malformed('changed while it was taken back: it has both names');
    unlinkSync(target);
    syncFolder(dirname(target));
  }

  #note({ target, source, bytes, sha256 }: LogEntry): void {
    this.#log!.add([{ target, source, outcome: 'undone', at: new Date().toISOString(), bytes, sha256 }]);
  }

  #sweep(folder: string): void {
    if (this.#swept.has(folder)) return;
    sweepParts(folder);
    this.#swept.add(folder);
  }
}

/** @throws Malformed where the file is not what the log tells */
async function digestOf(path: string, { bytes, sha256 }: LogEntry): Promise<FileDigest> {
  const digest = await digestRegularFile(path);
  if (digest.bytes !== bytes || digest.sha256 !== sha256) throw new Malformed('not the bytes that the log tells');
  return digest;
}

/** A folder on the way may have become a link since. @throws Malformed where one has */
function leadsNowhereElse(path: string): void {
  for (let folder = dirname(path); ; folder = dirname(folder)) {
    try {
      if (realpathSync(folder) !== folder) throw new Malformed(`${folder} is a link, not followed`);
      return;
    } catch (error) {
      if (errno(error) !== 'ENOENT' || folder === '/') throw error;
    }
  }
}

function syncFolder(folder: string): void {
  try {
    fsyncFolder(folder);
  } catch (error) {
    failAt(folder, error);
  }
}
