// The files that hold secrets: the bridge database, and the key for what stands in the place of unknown bridges.
import { createHash, createHmac } from 'node:crypto';
import { closeSync, existsSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { BridgeDatabase, readBridges } from '../record/bridges.ts';
import { describeAt, Failure } from '../stream/errors.ts';
import { replaceFile } from './files.ts';

/** A database of a million bridges has about 200 MB. */
const LARGEST = 512 * 1024 * 1024;
/** What a key must have at least: shorter ones can be guessed. */
const SHORTEST_KEY = 16;

export interface BridgeFile {
  database: BridgeDatabase;
  /** Of the file: its name without folders, its digest, its bridges. */
  told: { file: string; sha256: string; bridges: number };
}

/** @throws Failure where there is none to go by: nothing is published then */
export function readBridgeFile(path: string, mayBeEmpty: boolean): BridgeFile {
  const bytes = readWhole(path, () => undefined);
  let database: BridgeDatabase;
  try {
    database = new BridgeDatabase(readBridges(bytes));
  } catch (error) {
    throw new Failure(`${path}: ${(error as Error).message}`);
  }
  const bridges = database.bridges.length;
  if (bridges === 0 && !mayBeEmpty)
    throw new Failure(`${path}: holds no bridge (--allow-empty-bridge-db does with none)`);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  return { database, told: { file: basename(path), sha256, bridges } };
}

/** @throws Failure for a key that others can read, or could guess */
export function readKeyFile(path: string): Buffer {
  const bytes = readWhole(path, (mode) => {
    if ((mode & 0o077) !== 0) throw new Failure(`${path}: others than its owner have access: chmod 600`);
  });
  const end = bytes.at(-1) === 0x0a ? bytes.length - (bytes.at(-2) === 0x0d ? 2 : 1) : bytes.length;
  if (end < SHORTEST_KEY) throw new Failure(`${path}: a key has at least ${SHORTEST_KEY} bytes`);
  return bytes.subarray(0, end);
}

/** Tells one key from another, and nothing about it. */
export function keyId(key: Buffer): string {
  return createHmac('sha256', key).update('cannery: which key').digest('hex').slice(0, 8);
}

function readWhole(path: string, check: (mode: number) => void): Buffer {
  try {
    const fd = openSync(path, 'r');
    try {
      const stat = fstatSync(fd);
      if (!stat.isFile()) throw new Failure(`${path}: no file`);
      if (stat.size > LARGEST) throw new Failure(`${path}: ${stat.size} bytes, over the limit of ${LARGEST}`);
      check(stat.mode);
      return readFileSync(fd);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    throw error instanceof Failure ? error : new Failure(`${path}: ${describeAt(path, error)}`);
  }
}

const LIST_HEAD = 'bridge\tmeasurements\n';

/** Refuses a file that is no such list: it would be lost. @throws Failure */
export function checkUnknownList(path: string): void {
  if (!existsSync(path)) return;
  if (
    !readWhole(path, () => undefined)
      .subarray(0, LIST_HEAD.length)
      .equals(Buffer.from(LIST_HEAD))
  )
    throw new Failure(`${path}: is there, and is no list of unknown bridges`);
}

/** Writes what stands for each unknown bridge, and how many measurements it was in; takes the place of an earlier list. */
export function writeUnknownList(path: string, unknown: ReadonlyMap<string, number>): void {
  const lines = [...unknown].sort(([a], [b]) => (a < b ? -1 : 1)).map(([bridge, count]) => `${bridge}\t${count}\n`);
  replaceFile(path, LIST_HEAD + lines.join(''), `.${process.pid}`);
}
