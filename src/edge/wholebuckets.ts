// Whether every report of a bucket was read: only then may what was made of it take the place of all that was
// made of it before. It is looked up on the disk and not believed: a listing may have been cut short.
import { readdirSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { dayForPath } from '../record/names.ts';
import { isUrl } from '../record/storeurls.ts';
import { describeFile } from './listing.ts';

export class WholeBuckets {
  /** Folder → names of reports that were read. */
  #read = new Map<string, Set<string>>();
  /** Folders with a report that could not be read to its end. */
  #broken = new Set<string>();

  /** A report is being read. */
  took(path: string): void {
    if (isUrl(path)) return; // what else lies there would have to be listed
    const folder = dirname(resolve(path));
    if (!isBucket(basename(folder))) return;
    let names = this.#read.get(folder);
    if (!names) this.#read.set(folder, (names = new Set()));
    names.add(basename(path));
  }

  /** A report could not be read to its end. */
  failed(path: string): void {
    this.#broken.add(dirname(resolve(path)));
  }

  /** Buckets (`YYYY-MM-DD`) of which every report was read; one that lies in two places is not told from its parts. */
  whole(): string[] {
    const folders = [...this.#read.keys()];
    const places = folders.map((folder) => basename(folder));
    return folders
      .filter((folder) => !this.#broken.has(folder) && this.#isWhole(folder))
      .map((folder) => basename(folder))
      .filter((bucket) => places.indexOf(bucket) === places.lastIndexOf(bucket))
      .sort();
  }

  #isWhole(folder: string): boolean {
    const names = this.#read.get(folder)!;
    const entries = readdirSync(folder, { withFileTypes: true });
    return entries.every(({ name }) => names.has(name) || describeFile(`${folder}/${name}`, 0)?.kind !== 'report');
  }
}

function isBucket(name: string): boolean {
  return name.length === 10 && dayForPath(name) !== undefined;
}
