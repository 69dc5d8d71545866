// The folder in which a collector leaves its reports: what may be renamed there, and what is left alone.
import { isUtf8 } from 'node:buffer';
import { type Dirent, readdirSync, type Stats } from 'node:fs';
import { join } from 'node:path';
import { reportExtension } from '../record/reportnames.ts';
import { describeAt, errno } from '../stream/errors.ts';
import { lstatOf } from './files.ts';

/** Who hears of what is left alone. */
export interface LeftAlone {
  /** Not a report: another extension, hidden, a link, a device. */
  stranger(path: string): void;
  /** A report in lz4, which is not read. */
  lz4(path: string): void;
  /** A report, or a folder, that cannot be reached. */
  failed(path: string, reason: string): void;
}

/**
 * Files that may be reports, folder by folder, by name. Links are not followed.
 * @param except a folder that is passed over
 */
export function* archiveFiles(folder: string, except: Stats | undefined, left: LeftAlone): Generator<string> {
  let entries: (Omit<Dirent, 'name'> & { name: Buffer })[];
  try {
    entries = readdirSync(folder, { withFileTypes: true, encoding: 'buffer' }) as unknown as typeof entries;
  } catch (error) {
    if (errno(error) !== 'ENOENT') left.failed(folder, describeAt(folder, error));
    return;
  }
  for (const entry of entries.sort((a, b) => Buffer.compare(a.name, b.name))) {
    const name = entry.name.toString();
    const path = join(folder, name);
    const extension = entry.isFile() ? reportExtension(name) : undefined;
    if (name.startsWith('.') || !(entry.isDirectory() || extension)) left.stranger(path);
    else if (!isUtf8(entry.name)) left.failed(path, 'its name is not UTF-8: left where it is');
    else if (extension?.packed === 'lz4') left.lz4(path);
    else if (extension) yield path;
    else if (!isSame(path, except)) yield* archiveFiles(path, except, left);
  }
}

function isSame(path: string, other: Stats | undefined): boolean {
  const stat = lstatOf(path);
  return other !== undefined && stat?.dev === other.dev && stat.ino === other.ino;
}
