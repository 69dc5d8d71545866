import { Fsck, ROW_CLASSES } from '../edge/fsck.ts';
import { openStore, storeName } from '../edge/store.ts';
import { UsageError } from '../stream/errors.ts';
import { choice, flag, number, type OptionSpec, text, verb } from '../stream/verb.ts';

const seed: OptionSpec<string> = {
  flags: '--seed <text>',
  text: 'which lines these are: another text, other lines',
  parse: (given) => given,
  initial: '0',
  shown: '0',
};

export default verb({
  summary: 'hold store, index and local cans against each other, and make the index anew from the cans',
  operands: '',
  options: {
    store: text('--store <store>', 'where the cans are: s3://bucket[/prefix] or a folder'),
    index: text('--index <db>', 'the index'),
    deep: flag('--deep', 'read every can, and compare every line with its row and its post'),
    sample: number('--sample <n>', 'without --deep: lines that are read of each can', 1, 0, 1_000_000),
    seed,
    outgoing: text('--outgoing <dir>', 'look at the cans of this outgoing folder too'),
    superseded: flag('--superseded', 'list the superseded cans that the store still has'),
    rebuild: text('--rebuild <db>', 'make a new index of what the store has; reads as --deep does'),
    rowClass: choice('--row-class <class>', 'in a new index, of row cans of which nothing else tells it', ROW_CLASSES),
    indexedAs: text('--indexed-as <store>', 'what the index calls the store (default: as in --store)'),
    after: text('--after <key>', 'only keys behind this one'),
    until: text('--until <key>', 'only keys up to this one'),
    maxDepth: number(
      '--max-depth <levels>',
      'deepest nesting of a post that has a line, as for postcan',
      500,
      1,
      100_000,
    ),
    jobs: number('--jobs <n>', 'cans under way at once', 2, 1, 64),
    attempts: number('--attempts <n>', 'tries of one request to the store', 20, 1, 1000),
  },
  async run(stage, _, { store: spec, indexedAs, attempts, after = '', ...options }) {
    if (spec === undefined) throw new UsageError('--store is missing');
    if (options.index === undefined && options.rebuild === undefined) throw new UsageError('--index is missing');
    const store = await openStore(spec, { attempts, onRetry: (message) => stage.say(message) });
    try {
      const endpoint = indexedAs === undefined ? (await store.place()).endpoint : undefined;
      await new Fsck(stage, { ...options, store, storeName: storeName(indexedAs ?? spec), endpoint, after }).run();
    } finally {
      store.close();
    }
  },
});
