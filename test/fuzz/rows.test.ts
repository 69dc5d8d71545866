// Rows with forged members on the standard input of every verb that reads rows, good ones between them.
import { cpSync } from 'node:fs';
import { basename, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { Test } from 'tap';
import { cannery, read, shippedSpool, tree } from '../lib.ts';
import { Box, type Judged } from './box.ts';
import { BRIDGES, documents, posts } from './corpus.ts';
import { fuzzTest, type Round } from './fuzz.ts';
import { type Chance, mutatedBytes, mutatedJson, oneOf } from './mutate.ts';

const ROWS = 300;

/** Good rows among them. */
const GOOD = 0.2;

const LIST_AND_PACK = ['postcan', '--spool', 'incoming', '--to', 'outgoing', '--host', 'n0'];

const forged = (chance: Chance, row: string, other: string) =>
  chance() < 0.8 ? mutatedJson(chance, Buffer.from(row)) : mutatedBytes(chance, Buffer.from(row), Buffer.from(other));

/** Bad rows with good ones between them, one a line. */
function mixed(chance: Chance, inputs: readonly string[], good: (n: number) => string | undefined): Buffer {
  const lines: Buffer[] = [];
  for (let n = 0; n < ROWS; n++) {
    const kept = chance() < GOOD ? good(n) : undefined;
    lines.push(kept !== undefined ? Buffer.from(kept) : forged(chance, oneOf(chance, inputs), oneOf(chance, inputs)));
    lines.push(Buffer.from('\n'));
  }
  return Buffer.concat(lines);
}

const linesOf = (bytes: Buffer) => bytes.toString().split('\n').slice(0, -1);

/** Lines in the cans of a store. */
const storedLines = (box: Box): string[] =>
  tree(join(box.work, 'store'))
    .filter((path) => path.endsWith('.jsonl.gz'))
    .flatMap((path) => linesOf(gunzipSync(read(join(box.work, 'store', path)))));

const INDEX = ['jsonl.sqlite', 'jsonl.sqlite-wal', 'jsonl.sqlite-shm'];

/** What a pipeline of its own may write. */
const MINE = ['outgoing', 'store', 'strays', '.incoming.cannery-lock', 'rejects', ...INDEX];

interface Stock {
  box: Box;
  /** The spool, and one in which all posts are in cans that are ready. */
  spool: string;
  ready: string;
  canRows: string[];
  documents: string[];
}

function stock(t: Test): Stock {
  const spool = shippedSpool(t);
  const ready = shippedSpool(t);
  const list = cannery(['ls', 'incoming'], { cwd: ready }).out;
  const { out } = cannery(LIST_AND_PACK, { cwd: ready, stdin: list });
  return { box: new Box(t), spool, ready, canRows: linesOf(Buffer.from(out)), documents: documents().map(String) };
}

/** What is done in a round: a verb that reads rows, and what must be true after it. */
type Trial = (stock: Stock, round: Round) => void;

const judge = (ran: Judged, { found }: Round, input?: Uint8Array) => {
  for (const fault of ran.faults.slice(0, 3)) found(fault, input);
  return ran;
};

/** Runs the rest of the pipeline without anything bad, and holds it to what there was. */
function finish({ box }: Stock, round: Round, input: Buffer, wanted: number): void {
  const list = box.run(['ls', 'incoming']);
  const pack = judge(box.run(LIST_AND_PACK, { stdin: list.out }), round, input);
  const upload = judge(box.run(['upload', 'store'], { stdin: pack.out }), round, input);
  const index = judge(box.run(['index', 'jsonl.sqlite'], { stdin: upload.out }), round, input);
  judge(box.run(['clear'], { stdin: index.out }), round, input);
  const fsck = judge(
    box.run(['fsck', '--store', 'store', '--index', 'jsonl.sqlite', '--outgoing', 'outgoing', '--deep']),
    round,
    input,
  );
  if (fsck.code !== 0) round.found(`fsck: ${fsck.err.slice(0, 500)}`, input);
  const lines = storedLines(box).length;
  if (lines !== wanted) round.found(`${lines} lines in the store, of ${wanted} posts`, input);
  const left = tree(join(box.work, 'incoming')).length;
  if (left > 0) round.found(`${left} posts left in the spool`, input);
}

const measurementRows =
  (args: string[]): Trial =>
  ({ box, documents }, round) => {
    const prefix = '{"measurement_uid":null,"bucket_date":"2016-08-01","report_filename":"2016-08-01/a.json",';
    const inputs = documents.map((document) => prefix + document.slice(1));
    const good = (n: number) => `${prefix}"witness":"w${n}.","report_id":"r","test_name":"ndt","n":1.0}`;
    const rows = mixed(round.chance, inputs, good);
    const end = '{"cannery":"end","rows":300,"rejected":0,"whole":["2016-08-01"],"left_out":{"2016-08-01":1}}';
    const isWhole = round.chance() < 0.7;
    const last = isWhole ? Buffer.from(end) : forged(round.chance, end, end);
    const input = Buffer.concat([rows, last, Buffer.from('\n')]);
    box.watch(MINE);
    const ran = judge(box.run([...args, '--rejects', 'rejects'], { stdin: input }), round, input);
    let text = ran.out.toString();
    if (args[0] === 'postcan' && (ran.code === 0 || ran.code === 3)) {
      const upload = judge(box.run(['upload', '--private', 'store'], { stdin: ran.out }), round, input);
      judge(box.run(['index', 'jsonl.sqlite'], { stdin: upload.out }), round, input);
      const fsck = judge(box.run(['fsck', '--store', 'store', '--index', 'jsonl.sqlite', '--deep']), round, input);
      if (fsck.code !== 0) round.found(`fsck: ${fsck.err.slice(0, 500)}`, input);
      text = storedLines(box).join('\n');
    } else if (args[0] === 'postcan') {
      if (isWhole) round.found(`exit code ${ran.code}: ${ran.err.slice(-300)}`, input);
      return;
    }
    const lost = [...rows.toString().matchAll(/"witness":("w\d+\.")/g)].filter(
      ([row, mark], n, all) => row !== '' && all.findIndex((one) => one[1] === mark) === n && !text.includes(mark!),
    );
    if (lost.length > 0) round.found(`${lost.length} good rows are lost: ${lost[0]![0]}`, input);
  };

const postsOfSpool: Trial = (one, round) => {
  const { box, spool } = one;
  cpSync(spool, box.work, { recursive: true, preserveTimestamps: true });
  cpSync(join(spool, 'incoming'), join(box.decoy, 'incoming'), { recursive: true, preserveTimestamps: true });
  const rows = linesOf(box.run(['ls', 'incoming']).out);
  const leading = rows.map((row) =>
    row.replace(
      'incoming/',
      oneOf(round.chance, ['../decoy/incoming/', 'incoming/../../decoy/incoming/', `${box.decoy}/incoming/`]),
    ),
  );
  const input = mixed(round.chance, [...rows, ...leading], () => oneOf(round.chance, [...rows, ...leading]));
  box.watch(['incoming', ...MINE]);
  judge(box.run(LIST_AND_PACK, { stdin: input }), round, input);
  finish(one, round, input, posts.length);
};

const files: Trial = ({ box, spool }, round) => {
  cpSync(spool, box.work, { recursive: true, preserveTimestamps: true });
  box.put('work/2016-08-01/w.json', '{"witness":"w0."}\n');
  const rows = [...linesOf(box.run(['ls', 'incoming']).out), '{"file":"2016-08-01/w.json","bytes":17,"kind":"report"}'];
  const input = mixed(round.chance, rows, () => rows.at(-1)!);
  const bucket = round.chance() < 0.5;
  const args = bucket ? ['bucket', '--to', 'raw', '--copy', '--settle', '0'] : ['cat', '--rejects', 'rejects'];
  box.watch(['raw', ...MINE]);
  const { out } = judge(box.run(args, { stdin: input }), round, input);
  if (!out.includes(bucket ? 'w.json' : '"w0."')) round.found('the good rows are lost', input);
};

const cans: Trial = (one, round) => {
  const { box, ready, canRows } = one;
  cpSync(ready, box.work, { recursive: true, preserveTimestamps: true });
  // An outgoing folder of somebody else's, which a row may name.
  cpSync(join(ready, 'outgoing'), join(box.decoy, 'outgoing'), { recursive: true, preserveTimestamps: true });
  const here = canRows.map((row) => row.replaceAll(ready, box.work));
  const elsewhere = here.map((row) =>
    row.replace(
      `${box.work}/outgoing`,
      oneOf(round.chance, ['../decoy', `${box.work}/outgoing/../../decoy`, `${box.decoy}/x`]),
    ),
  );
  const input = mixed(round.chance, [...here, ...elsewhere], () => undefined);
  const mine = ['incoming', ...MINE];
  box.watch(mine);
  const verbs = [['upload', 'store'], ['index', 'jsonl.sqlite'], ['clear']];
  for (const args of verbs) {
    judge(box.run(args, { stdin: input }), round, input);
    if (round.chance() < 0.5) judge(box.run(args, { stdin: here.map((row) => `${row}\n`).join('') }), round);
  }
  finish(one, round, input, posts.length);
};

const requests: Trial = (one, round) => {
  const { box, ready, canRows } = one;
  cpSync(ready, box.work, { recursive: true, preserveTimestamps: true });
  const rows = canRows.map((row) => `${row.replaceAll(ready, box.work)}\n`).join('');
  box.run(['index', 'jsonl.sqlite'], { stdin: box.run(['upload', 'store'], { stdin: rows }).out });
  const uids = posts
    .flatMap((_, n) => tree(join(one.spool, 'incoming'))[n] ?? [])
    .map((path) => basename(path, '.post'));
  const asked = [
    '{"report_id":"20240201T101506Z_webconnectivity_IT_1_n1_x","input":"https://example.org/"}',
    ...uids,
    ...uids.map((uid) => `{"measurement_uid":"${uid}"}`),
  ];
  const good = uids.find((uid) => /webconnectivity/.test(uid))!;
  const input = mixed(round.chance, asked, () => good);
  box.watch(MINE);
  const { out } = judge(
    box.run(['get', '--index', 'jsonl.sqlite', '--rejects', 'rejects'], { stdin: input }),
    round,
    input,
  );
  if (!out.includes(`{"measurement_uid":"${good}"`)) round.found('a good request is not answered', input);
};

const TRIALS: readonly Trial[] = [
  measurementRows(['normalise']),
  measurementRows(['sanitise', '--bridges', BRIDGES]),
  measurementRows(['postcan', '--rows', '--to', 'outgoing']),
  postsOfSpool,
  files,
  cans,
  requests,
];

fuzzTest('rows of standard input', async (t) => {
  const one = stock(t);
  return (round) => {
    one.box.empty();
    TRIALS[round.number % TRIALS.length]!(one, round);
    round.tried(ROWS);
    for (const fault of one.box.touched()) round.found(fault);
  };
});
