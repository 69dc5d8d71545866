// Reports of an archive to their names. For a batch of reports at a time: first the lines of the log are durable, then
// every report has its new name, durably, and only then the old names go. A run that was killed anywhere is finished
// by the next one, which finds a report under its old name, or under both.
import { lstatSync, realpathSync, statSync, unlinkSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { ERRORED, OUTCOMES, type Outcome } from '../record/renamelog.ts';
import { nameOfHeader, type Substituted } from '../record/reportheader.ts';
import { type Layout, numberedName, reportExtension, reportName } from '../record/reportnames.ts';
import { describeAt, errno, Failure, Malformed } from '../stream/errors.ts';
import type { Stage } from '../stream/stage.ts';
import { archiveFiles, type LeftAlone } from './archive.ts';
import {
  digestRegularFile,
  exists,
  type FileDigest,
  type FileIdentity,
  failAt,
  fsyncFolder,
  isSameFile,
  makeFolder,
  unlinkIfThere,
} from './files.ts';
import { describeFile } from './listing.ts';
import { begunMoves, RenameLog } from './renamelog.ts';
import { readHead } from './reporthead.ts';
import { fsyncFile, giveName, isOneName, sweepParts } from './secondname.ts';
import { noStrangers } from './spool.ts';

export interface RenameSettings {
  layout: Layout;
  /** Milliseconds since the epoch: a report that was written then or later is left for another run. */
  before: number;
  dryRun: boolean;
}

/**
 * Renames every report of an archive, which is a folder or a single report. Unless this is a dry run, the lock of
 * `to` is held.
 */
export async function renameArchive(
  stage: Stage,
  archive: string,
  to: string,
  settings: RenameSettings,
): Promise<void> {
  for (const count of [...OUTCOMES, 'substituted', 'unsettled', 'strangers', 'lz4']) stage.tally(count, 0);
  const strangers = noStrangers();
  const left: LeftAlone = {
    stranger(path) {
      if (strangers.examples.length < 3) strangers.examples.push(path);
      stage.tally('strangers');
    },
    lz4: () => stage.tally('lz4'),
    failed: (path, reason) => stage.reject({ as: 'file', file: path, line: null, reason }, fileRow(path)),
  };
  const isFolder = statSync(archive).isDirectory();
  const renamer = new Renamer(stage, isFolder ? archive : dirname(archive), to, settings);
  try {
    const found = isFolder ? archiveFiles(archive, statSync(to, { throwIfNoEntry: false }), left) : [archive];
    for (const path of found) {
      if (reportExtension(basename(path))) await renamer.take(path);
      else left.stranger(path);
    }
    await renamer.commit();
  } finally {
    renamer.close();
  }
  const { strangers: others, lz4, unsettled } = stage.counts;
  if (unsettled) stage.say(`${archive}: ${unsettled} written too lately (--settle, --before), left for another run`);
  if (lz4) stage.say(`${archive}: ${lz4} in lz4, which is not read, left alone`);
  if (others)
    stage.say(
      `${archive}: ${others} that are no reports, left alone (${strangers.examples.join(', ')}${others > 3 ? ', …' : ''})`,
    );
}

/** What the content of a report makes of it. */
interface Named {
  outcome: 'renamed' | 'failed' | 'empty' | 'invalid';
  /** Below the folder of the targets. */
  folder: string;
  name: string;
  substituted: Substituted;
  reason?: string;
}

/** A report on its way. */
interface Move {
  source: string;
  /** Below the folder of the targets. */
  target: string;
  outcome: Outcome;
  named: Named;
  digest: FileDigest;
  /** `same`: a run that was killed gave the report this name; `duplicate`: another report with these bytes has it. */
  by: 'name' | 'same' | 'duplicate';
  /** The file that has the name already. */
  there?: FileIdentity;
}

/** So many reports share an fsync. */
const BATCH = 64;

class Renamer {
  #stage: Stage;
  #archive: string;
  #root: string;
  #to: string;
  #settings: RenameSettings;
  #log: RenameLog | undefined;
  #batch: Move[] = [];
  /** Targets that are spoken for, and by whom: in this batch, or in all of a dry run. */
  #taken = new Map<string, string>();
  /** Of runs before this one: a report that is under both of these names still is on its way. */
  #begun: Map<string, string>;

  constructor(stage: Stage, archive: string, to: string, settings: RenameSettings) {
    this.#stage = stage;
    this.#archive = archive;
    this.#root = realpathSync(archive);
    this.#to = to;
    this.#settings = settings;
    this.#begun = begunMoves(to);
    if (settings.dryRun) return;
    this.#log = new RenameLog(to);
    for (const folder of ['', ...OUTCOMES.map((outcome) => join(ERRORED, outcome))])
      if (exists(join(to, folder))) sweepParts(join(to, folder));
  }

  close(): void {
    this.#log?.close();
  }

  /** Finds a report's place; it goes there with its batch. @throws Failure where nothing can go on */
  async take(source: string): Promise<void> {
    this.#stage.took();
    let move = await this.#find(source);
    if (move === 'waits') {
      await this.commit();
      move = await this.#find(source);
    }
    if (move && move !== 'waits') await this.#add(move);
  }

  /** @returns 'waits' where its name is spoken for by a report of the batch; nothing where it stays */
  async #find(source: string): Promise<Move | 'waits' | undefined> {
    try {
      const before = identityOf(source);
      if (before === 'link') throw new Malformed('a link or no regular file, left alone');
      if (!before) this.#stage.tally('vanished');
      else if (Number(before.mtimeNs) / 1e6 >= this.#settings.before) this.#stage.tally('unsettled');
      else return await this.#place(source, before, await this.#nameOf(source));
    } catch (error) {
      this.#refuse(source, error);
    }
    return undefined;
  }

  async #nameOf(source: string): Promise<Named> {
    const own = basename(source);
    const aside = (outcome: 'failed' | 'empty' | 'invalid', reason: string): Named => {
      return { outcome, folder: join(ERRORED, outcome), name: own, substituted: {}, reason };
    };
    const head = await readHead(source, reportExtension(own)!.ext, this.#stage.maxLine);
    if (head.outcome !== 'header') return aside(head.outcome, head.reason);
    const naming = nameOfHeader(head.header, head.ext, head.gz);
    if (naming.outcome !== 'named') return aside(naming.outcome, naming.reason);
    try {
      const name = reportName(naming.parts, this.#settings.layout);
      return { outcome: 'renamed', folder: '', name, substituted: naming.substituted };
    } catch (error) {
      return aside('failed', (error as Error).message);
    }
  }

  async #place(source: string, before: FileIdentity, named: Named): Promise<Move | 'waits'> {
    const digest = await digestRegularFile(source, async (piece) => this.#stage.tally('bytes_in', piece.length));
    if (!isSameIdentity(digest.identity, before)) throw new Malformed('changed while it was read');
    for (let n = 0; ; n++) {
      const target = join(named.folder, n === 0 ? named.name : numberedName(named.name, n));
      if (this.#taken.has(target) && !this.#settings.dryRun) return 'waits';
      const path = this.#taken.get(target) ?? join(this.#to, target);
      if (isOneName(path, source))
        throw new Malformed(`${named.reason ?? 'has its name already'}; it stays where it is`);
      const there = identityOf(path);
      if (there === 'link' || (there && there.size !== digest.identity.size)) continue;
      const outcome: Outcome = n > 0 && named.outcome === 'renamed' ? 'collision' : named.outcome;
      const move = { source, target, outcome, named, digest };
      if (!there) return { ...move, by: 'name' };
      if ((await digestRegularFile(path)).sha256 !== digest.sha256) continue;
      if (this.#begun.get(target) === this.#absolute(source)) return { ...move, by: 'same', there };
      return { ...move, outcome: 'duplicate', by: 'duplicate', there };
    }
  }

  async #add(move: Move): Promise<void> {
    this.#begun.delete(move.target); // what comes now with these bytes is another
    if (move.by === 'name') this.#taken.set(move.target, move.source);
    if (this.#settings.dryRun) return this.#tell(move);
    this.#batch.push(move);
    if (this.#batch.length >= BATCH) await this.commit();
  }

  /** Moves what waits. @throws Failure where nothing can go on; what could be moved was moved */
  async commit(): Promise<void> {
    const batch = this.#batch;
    this.#batch = [];
    if (batch.length === 0) return;
    this.#taken.clear();
    this.#log!.add(batch.map((move) => this.#entry(move)));
    const named: Move[] = [];
    let broken: Failure | undefined;
    for (const move of batch) {
      try {
        await this.#give(move);
        named.push(move);
      } catch (error) {
        broken = error instanceof Failure ? new Failure(`${move.source}: not renamed: ${error.message}`) : undefined;
        if (broken) break;
        this.#refuse(move.source, error);
      }
    }
    syncFolders(named.map(({ target }) => join(this.#to, target)));
    const done = named.filter((move) => this.#release(move));
    syncFolders(done.map(({ source }) => source));
    for (const move of done) await this.#tell(move);
    if (broken) throw broken;
  }

  #absolute(source: string): string {
    return join(this.#root, relative(this.#archive, source));
  }

  #entry({ source, target, outcome, named, digest }: Move) {
    const { substituted, reason } = named;
    return {
      ...{ target, source: this.#absolute(source), outcome, at: new Date().toISOString() },
      ...{ bytes: digest.bytes, sha256: digest.sha256 },
      ...(Object.keys(substituted).length > 0 ? { substituted } : {}),
      ...(reason === undefined ? {} : { reason }),
    };
  }

  /** Gives a report its new name, beside the old one. */
  async #give({ source, target, named, digest, there }: Move): Promise<void> {
    const path = join(this.#to, target);
    if (there) {
      if (!isSameFile(path, there)) throw new Malformed(`changed: ${path} is another now`);
      return fsyncFile(path); // who put it there may have died before it was durable
    }
    try {
      makeFolder(join(this.#to, named.folder));
    } catch (error) {
      failAt(dirname(path), error);
    }
    await giveName(source, path, digest);
  }

  /** Takes the old name away. @returns false where the report keeps it, and the new one was taken back */
  #release({ source, target, digest, by }: Move): boolean {
    const path = join(this.#to, target);
    const takeBack = () => {
      if (by !== 'duplicate') unlinkIfThere(path);
    };
    const now = identityOf(source);
    if (now === undefined) return true; // somebody else removed it
    if (now === 'link' || now.ino !== digest.identity.ino || now.dev !== digest.identity.dev) return by !== 'duplicate';
    if (!isSameIdentity(now, digest.identity)) {
      takeBack();
      this.#refuse(source, new Malformed('changed while it was renamed'));
      return false;
    }
    try {
      unlinkSync(source);
    } catch (error) {
      if (!exists(source)) return true;
      takeBack(); // under two names it would be published twice
      this.#refuse(source, error);
      return false;
    }
    return true;
  }

  #refuse(source: string, error: unknown): void {
    if (error instanceof Failure) throw error;
    if (errno(error) === 'ENOENT' && !exists(source)) this.#stage.tally('vanished');
    else if (error instanceof Malformed && error.message.startsWith('changed')) {
      this.#stage.say(`${source}: ${error.message}, left for another run`);
      this.#stage.tally('unsettled');
    } else {
      const reason = `not renamed: ${describeAt(source, error)}`;
      this.#stage.reject({ as: 'file', file: source, line: null, reason }, fileRow(source));
    }
  }

  /** Counts a report, and gives its row where it has a name. */
  async #tell({ source, target, outcome, named, digest }: Move): Promise<void> {
    const path = join(this.#to, target);
    this.#stage.tally(outcome);
    if (Object.keys(named.substituted).length > 0) this.#stage.tally('substituted');
    if (outcome === 'duplicate') return this.#stage.say(`${source}: duplicate: ${path} has the same bytes`);
    if (named.reason !== undefined) {
      const reason = `${outcome}: ${named.reason}; goes to ${path}`;
      return this.#stage.reject({ as: 'file', file: source, line: null, reason }, fileRow(path));
    }
    if (outcome === 'collision') this.#stage.say(`${source}: collision: another report has its name, goes to ${path}`);
    await this.#stage.receipt({ ...describeFile(path, digest.bytes), from: source, outcome });
  }
}

function fileRow(path: string): Buffer {
  return Buffer.from(JSON.stringify({ file: path }));
}

/** What is under a path now; `link` for what is no regular file. */
function identityOf(path: string): FileIdentity | 'link' | undefined {
  const stat = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  if (!stat) return undefined;
  const { dev, ino, size, mtimeNs } = stat;
  return stat.isFile() ? { dev, ino, size, mtimeNs } : 'link';
}

function isSameIdentity(a: FileIdentity, b: FileIdentity): boolean {
  return a.dev === b.dev && a.ino === b.ino && a.size === b.size && a.mtimeNs === b.mtimeNs;
}

/** @throws Failure: after a failed fsync nobody knows what is durable */
function syncFolders(paths: string[]): void {
  for (const folder of new Set(paths.map((path) => dirname(path)))) {
    try {
      fsyncFolder(folder);
    } catch (error) {
      if (errno(error) !== 'ENOENT') failAt(folder, error);
    }
  }
}
