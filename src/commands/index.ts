import { addCans } from '../edge/canadder.ts';
import { canRows } from '../edge/canrows.ts';
import { IndexDb } from '../edge/index-db.ts';
import { Indexer } from '../edge/indexer.ts';
import type { CanRow } from '../edge/outgoing.ts';
import { accessOf, storeName } from '../edge/store.ts';
import { UsageError } from '../stream/errors.ts';
import type { Stage } from '../stream/stage.ts';
import { flag, list, number, text, verb } from '../stream/verb.ts';

export default verb({
  summary: 'record every line of uploaded cans in a SQLite index',
  operands: 'DB',
  options: {
    merge: list('--merge <files>', 'add the rows of these indexes, and read no can rows'),
    add: list('--add <stores>', "add the cans of these stores by reading them; '-' is what file rows name"),
    replace: flag('--replace', 'a new generation of a bucket may have fewer measurements than the old one'),
    store: text('--store <store>', 'with --merge: where the keys of a foreign table jsonl lie'),
    anonymous: flag('--anonymous', 'with --add, of S3: sign no request, whatever credentials there are'),
    attempts: number('--attempts <n>', 'with --add, of S3: tries of one request', 20, 1, 1000),
  },
  async run(stage, operands, options) {
    const [path, ...more] = operands;
    if (path === undefined || more.length > 0) throw new UsageError('one file: the index');
    if (options.store !== undefined && options.merge.length === 0) throw new UsageError('--store goes with --merge');
    if (options.add.length > 0 && (options.merge.length > 0 || options.replace))
      throw new UsageError('--add goes with neither --merge nor --replace');
    const index = new IndexDb(path, 'write');
    try {
      if (options.add.length > 0) await addCans(stage, index, options.add, accessOf(stage, options));
      else if (options.merge.length > 0) merge(stage, index, options.merge, options.store);
      else await indexRows(stage, index, options.replace);
    } finally {
      index.close();
    }
  },
});

function merge(stage: Stage, index: IndexDb, files: string[], store: string | undefined): void {
  for (const file of files) {
    const { cans, lines, unusable } = index.merge(file, store === undefined ? undefined : storeName(store));
    stage.tally('cans', cans);
    stage.tally('lines', lines);
    if (unusable > 0) stage.finding(file, `${unusable} rows without a key or a line number were left out`);
  }
}

async function indexRows(stage: Stage, index: IndexDb, replace: boolean): Promise<void> {
  const indexer = new Indexer(index, stage, replace);
  const waiting = new Map<string, Waiting[]>();
  // What an earlier run made of a part of a bucket: a later generation may come, and make it one of the past.
  const fewer: Waiting[] = [];
  const take = async ({ row, bytes }: Waiting, later: Waiting[] | undefined) => {
    const generation = await give(stage, indexer, row, bytes, waiting, later);
    // The last can of a generation lets the others go too.
    const others = generation === undefined ? [] : (waiting.get(generation) ?? []);
    if (generation !== undefined) waiting.delete(generation);
    for (const other of others) await give(stage, indexer, other.row, other.bytes, waiting, later);
    await stage.flush();
  };
  for await (const each of canRows(stage)) await take(each, fewer);
  for (const each of fewer) await take(each, undefined);
  for (const [first] of waiting.values()) {
    stage.finding(first!.row.can, 'waits for cans of its generation that are not in the store');
  }
}

interface Waiting {
  row: CanRow;
  bytes: Buffer;
}

/**
 * @param fewer takes what would take the place of more than it has; undefined where that is its end
 * @returns the generation of a can that was recorded
 */
async function give(
  stage: Stage,
  indexer: Indexer,
  row: CanRow,
  bytes: Buffer,
  waiting: Map<string, Waiting[]>,
  fewer: Waiting[] | undefined,
): Promise<string | undefined> {
  const done = await indexer.record(row);
  if (done === 'busy') stage.say(`${row.can}: another process is at it, passed over`);
  else if (done === 'gone') stage.say(`${row.can}: cleared meanwhile`);
  else if ('fewer' in done && fewer) fewer.push({ row, bytes });
  else if ('fewer' in done) stage.reject({ as: 'row', file: row.can, line: null, reason: done.fewer }, bytes);
  else if ('refused' in done) stage.reject({ as: 'row', file: row.can, line: null, reason: done.refused }, bytes);
  else if ('waits' in done) waiting.set(done.generation, [...(waiting.get(done.generation) ?? []), { row, bytes }]);
  else {
    await stage.receipt(done.receipt);
    return done.generation;
  }
  return undefined;
}
