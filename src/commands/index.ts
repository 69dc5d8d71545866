import { canRows } from '../edge/canrows.ts';
import { IndexDb } from '../edge/index-db.ts';
import { Indexer } from '../edge/indexer.ts';
import type { CanRow } from '../edge/outgoing.ts';
import { storeName } from '../edge/store.ts';
import { UsageError } from '../stream/errors.ts';
import type { Stage } from '../stream/stage.ts';
import { list, text, verb } from '../stream/verb.ts';

export default verb({
  summary: 'record every line of uploaded cans in a SQLite index',
  operands: 'DB',
  options: {
    merge: list('--merge <files>', 'add the rows of these indexes, and read no can rows'),
    store: text('--store <store>', 'with --merge: where the keys of a foreign table jsonl lie'),
  },
  async run(stage, operands, options) {
    const [path, ...more] = operands;
    if (path === undefined || more.length > 0) throw new UsageError('one file: the index');
    if (options.store !== undefined && options.merge.length === 0) throw new UsageError('--store goes with --merge');
    const index = new IndexDb(path, 'write');
    try {
      if (options.merge.length > 0) merge(stage, index, options.merge, options.store);
      else await indexRows(stage, index);
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

async function indexRows(stage: Stage, index: IndexDb): Promise<void> {
  const indexer = new Indexer(index, stage);
  const waiting = new Map<string, CanRow[]>();
  for await (const { row, bytes } of canRows(stage)) {
    const done = await indexer.record(row);
    if (done === 'busy') stage.say(`${row.can}: another process is at it, passed over`);
    else if (done === 'gone') stage.say(`${row.can}: cleared meanwhile`);
    else if ('refused' in done) stage.reject({ as: 'row', file: row.can, line: null, reason: done.refused }, bytes);
    else if ('waits' in done) waiting.set(done.generation, [...(waiting.get(done.generation) ?? []), row]);
    else {
      await stage.receipt(done.receipt);
      // The last can of a generation lets the others go too.
      const others = waiting.get(done.generation) ?? [];
      waiting.delete(done.generation);
      for (const other of others) {
        const again = await indexer.record(other);
        if (typeof again === 'object' && 'receipt' in again) await stage.receipt(again.receipt);
      }
      await stage.flush();
    }
  }
  for (const [first] of waiting.values())
    stage.say(`${first!.can}: waits for cans of its generation that are not in the store yet`);
}
