// Cans that are in the store into the index, each in one transaction.
import { resolve } from 'node:path';
import { JSONL_EXT, keyFolder, parseCanName } from '../record/names.ts';
import { describe, Malformed } from '../stream/errors.ts';
import { withCan } from './canrows.ts';
import type { Reporter } from './commit.ts';
import { linesOf } from './files.ts';
import { FewerMeasurements, type IndexDb, type Inserted } from './index-db.ts';
import { type BriefManifest, CanFolder, type CanRow, canRow, type IndexRow, locate } from './outgoing.ts';
import { isIndexRow } from './ownfiles.ts';

export type Recorded =
  | { refused: string }
  | { fewer: string }
  | { waits: true; generation: string }
  | { receipt: CanRow; generation: string };

export class Indexer {
  #index: IndexDb;
  #replace: boolean;
  #report: Reporter;
  #dedicated = new Set<string>();

  /** @param replace a generation may have fewer measurements than the one before */
  constructor(index: IndexDb, report: Reporter, replace = false) {
    this.#replace = replace;
    this.#index = index;
    this.#report = report;
  }

  /** Records one can; of a row can its whole generation, as soon as the last of its cans is in the store. */
  async record(row: CanRow): Promise<Recorded | 'busy' | 'gone'> {
    const { outgoing } = locate(row);
    if (!this.#dedicated.has(outgoing.path)) outgoing.dedicate({ index: resolve(this.#index.path) });
    this.#dedicated.add(outgoing.path);
    return withCan(row, async (folder) => this.#step(row, folder));
  }

  #step(row: CanRow, folder: CanFolder): Recorded {
    const manifest = folder.brief();
    const { store } = folder.outgoing.purpose();
    const generation = manifest.generation?.id ?? folder.can;
    if (folder.state === 'ready') return { refused: 'not in a store yet: upload comes before index' };
    if (folder.state === 'held') return { refused: 'held: the store has other bytes under its name' };
    if (store === undefined) return { refused: 'outgoing.json tells no store' };
    if (folder.state === 'indexed') return { generation, receipt: this.#receipt(row, folder, manifest) };

    const siblings = this.#siblings(folder, manifest, store);
    if (!siblings) return { generation, waits: true };
    const cans = [folder, ...siblings].map((each) => {
      const own = each === folder ? manifest : each.brief();
      return { manifest: own, rows: () => rowsOf(each, own) };
    });
    const inserted = this.#insert(store, cans);
    if ('fewer' in inserted) return inserted;
    const { superseded, outdated } = inserted;
    if (outdated !== undefined)
      this.#report.say(`${folder.can}: the index has a later generation of it (${outdated}): left out`);
    for (const key of superseded)
      this.#report.say(`${key}: superseded, its rows are gone from the index; the store keeps it`);
    this.#report.tally('lines', manifest.measurements);
    // The siblings are moved when their own rows come, under their own locks; the index knows them already.
    folder.move('indexed');
    const receipt = this.#receipt(row, folder, manifest);
    return { generation, receipt: superseded.length > 0 ? { ...receipt, superseded } : receipt };
  }

  #insert(store: string, cans: Parameters<IndexDb['insertCans']>[1]): Inserted | { fewer: string } {
    try {
      return this.#index.insertCans(store, cans, this.#replace);
    } catch (error) {
      if (error instanceof FewerMeasurements) return { fewer: error.message };
      throw error;
    }
  }

  /** The other cans of the generation that are sent; undefined while one is neither sent nor in the index. */
  #siblings(folder: CanFolder, manifest: BriefManifest, store: string): CanFolder[] | undefined {
    const siblings: CanFolder[] = [];
    for (const can of manifest.generation?.cans ?? []) {
      if (can === folder.can) continue;
      const state = folder.outgoing.find(can)?.state;
      if (state === 'sent') siblings.push(new CanFolder(folder.outgoing, can, 'sent'));
      else if (!this.#index.holds(store, `${keyFolder(parseCanName(can)!)}/${can}${JSONL_EXT}`)) return undefined;
    }
    return siblings;
  }

  #receipt(row: CanRow, folder: CanFolder, manifest: BriefManifest): CanRow {
    return { ...row, ...canRow(folder, manifest), indexed: resolve(this.#index.path) };
  }
}

/** @throws Malformed where they are not all there: such a can must not count as indexed */
function* rowsOf(folder: CanFolder, { measurements }: BriefManifest): Generator<IndexRow[]> {
  let done = 0;
  try {
    for (const lines of linesOf(folder.file('rows.jsonl'))) {
      const rows = parseRows(lines.toString());
      const wrong = rows.findIndex((row, n) => !isIndexRow(row, done + n));
      if (wrong !== -1) throw new Malformed(`damaged: rows.jsonl:${done + wrong + 1}: not the row of a line`);
      yield rows as IndexRow[];
      done += rows.length;
    }
  } catch (error) {
    throw error instanceof Malformed ? error : new Malformed(`damaged: rows.jsonl: ${describe(error)}`);
  }
  if (done !== measurements)
    throw new Malformed(`damaged: rows.jsonl has ${done} rows of ${measurements} measurements`);
}

/** Of whole lines, far quicker than line by line. @throws SyntaxError */
function parseRows(lines: string): unknown[] {
  const end = lines.endsWith('\n') ? -1 : undefined;
  return JSON.parse(`[${lines.slice(0, end).replaceAll('\n', ',')}]`) as unknown[];
}
