// Locks held by the kernel, so that a dead process keeps none. Node has no flock, but SQLite locks its
// file: an empty one under BEGIN EXCLUSIVE is a lock that goes with the process, also by SIGKILL.
import { basename, dirname, join } from 'node:path';
import Database from 'better-sqlite3';
import { Malformed } from '../stream/errors.ts';
import { exists } from './files.ts';

export interface Lock {
  release(): void;
}

/**
 * @param path   a file of ours, made where it is missing unless `mustExist`
 * @param waitMs how long to wait for another holder
 * @returns undefined where another process (or this one) holds it, or where it must exist and does not
 * @throws Malformed where it must exist, and something else was written to it
 */
export function tryLock(path: string, waitMs = 0, mustExist = false): Lock | undefined {
  let db: Database.Database;
  try {
    db = new Database(path, { timeout: waitMs, fileMustExist: mustExist });
  } catch (error) {
    if (mustExist && !exists(path)) return undefined;
    throw new Error(`${path}: cannot be opened as a lock: ${(error as Error).message}`);
  }
  try {
    db.pragma('journal_mode = MEMORY'); // no file beside the lock, which may move with its folder
    db.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    db.close();
    if (String((error as { code?: string }).code).startsWith('SQLITE_BUSY')) return undefined;
    const isDamaged = /^SQLITE_(?:NOTADB|CORRUPT)/.test(String((error as { code?: string }).code));
    const reason = `${path}: cannot be locked: ${(error as Error).message}`;
    throw mustExist && isDamaged ? new Malformed(reason) : new Error(reason);
  }
  return { release: () => void db.close() };
}

/**
 * The packer's lock on a spool, so that two `outgoing` folders cannot empty one spool at a time. It lies beside
 * the spool, whose folder stays the collector's own.
 */
export function lockSpool(spool: string, waitMs: number): Lock | undefined {
  return tryLock(join(dirname(spool), `.${basename(spool)}.cannery-lock`), waitMs);
}
