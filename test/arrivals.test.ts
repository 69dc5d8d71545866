// Posts that come, change and go while cans are made of their hour. What a single run does with one that arrives is in
// badinput.test.ts too.
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';
import Database from 'better-sqlite3';
import t, { type Test } from 'tap';
import { extract } from 'tar-stream';
import { cannery, folder, PIPELINE, putPost, rows, shell, shellAsync, tree, uidFor } from './lib.ts';

const HOUR = '2024020110_IT_webconnectivity';
const LIST = 'cannery ls incoming/';
const PACK = 'cannery postcan --spool incoming/ --to outgoing/ --host n0';

function text(n: number): string {
  return `{"format":"json","content":{"n":${n}}}`;
}

function put(cwd: string, n: number): string {
  return putPost(join(cwd, 'incoming'), text(n), { time: `20240201100000.${String(n).padStart(6, '0')}` });
}

/** Can, without the hour → `n` of its lines. */
function store(cwd: string): Record<string, number[]> {
  const cans = tree(join(cwd, 'store')).filter((path) => path.endsWith('.jsonl.gz'));
  return Object.fromEntries(
    cans.map((path) => {
      const lines = gunzipSync(readFileSync(join(cwd, 'store', path))).toString();
      return [basename(path, '.jsonl.gz').slice(HOUR.length + 1), rows<{ n: number }>(lines).map(({ n }) => n)];
    }),
  );
}

/** The oracle's other half: every line of the store has one row, and nothing else has. */
function indexed(t: Test, cwd: string): void {
  const db = new Database(join(cwd, 'jsonl.sqlite'), { readonly: true });
  const uids = db.prepare('SELECT measurement_uid FROM jsonl').pluck().all() as string[];
  db.close();
  const lines = Object.values(store(cwd)).flat();
  t.equal(uids.length, lines.length);
  const got = cannery(['get', '--raw', '--index', 'jsonl.sqlite', '--store', 'store', ...new Set(uids)], { cwd });
  t.equal(got.code, 0, got.err);
  t.same(
    rows<{ n: number }>(got.out)
      .map(({ n }) => n)
      .sort(),
    lines.sort(),
  );
}

function left(cwd: string): string[] {
  return existsSync(join(cwd, 'incoming')) ? tree(join(cwd, 'incoming')) : [];
}

t.test('a post that comes when the can of its hour is on its way, or gone: the next counter', async (t) => {
  const steps = [PACK, 'cannery upload store', 'cannery index jsonl.sqlite', 'cannery clear'];
  for (let done = 1; done <= steps.length; done++) {
    const cwd = folder(t);
    put(cwd, 0);
    t.equal(shell([LIST, ...steps.slice(0, done)].join(' | '), { cwd }).code, 0);
    put(cwd, 1);
    for (const again of [1, 2]) {
      const { code, err } = shell(PIPELINE, { cwd });
      t.same([code, err], [0, ''], `after ${steps[done - 1]}, ${again}`);
      t.same(store(cwd), { 'n0.0': [0], 'n0.1': [1] });
    }
    put(cwd, 2);
    t.equal(shell(PIPELINE, { cwd }).code, 0);
    t.same(store(cwd), { 'n0.0': [0], 'n0.1': [1], 'n0.2': [2] });
    indexed(t, cwd);
    t.same(left(cwd), []);
  }
});

t.test('a post of an old name and other bytes, when its can is gone', (t) => {
  const cwd = folder(t);
  const path = put(cwd, 0);
  t.equal(shell(PIPELINE, { cwd }).code, 0);
  mkdirSync(join(cwd, 'incoming', HOUR), { recursive: true });
  writeFileSync(join(cwd, 'incoming', path), text(1));
  const { code, err } = shell(PIPELINE, { cwd });
  t.equal(code, 3);
  t.match(err, /the uid does not match the bytes; packed as it is\n$/);
  t.same(store(cwd), { 'n0.0': [0], 'n0.1': [1] }, 'it is a post of its own');
  t.end();
});

t.test('a post that is still written, and gets its name in between', async (t) => {
  const cwd = folder(t);
  put(cwd, 0);
  const name = basename(put(cwd, 1));
  const at = (name: string) => join(cwd, 'incoming', HOUR, name);
  renameSync(at(name), at(`${name}.tmp`));
  writeFileSync(at(`${name}.tmp`), text(1).slice(0, 9));

  const first = shell(PIPELINE, { cwd });
  t.same([first.code, first.err], [0, ''], 'it is nobody’s business');
  t.same(left(cwd), [`${HOUR}/${name}.tmp`]);
  t.equal(readFileSync(at(`${name}.tmp`), 'utf8'), text(1).slice(0, 9));

  put(cwd, 2);
  shell(`${LIST} > rows`, { cwd });
  writeFileSync(at(`${name}.tmp`), text(1));
  renameSync(at(`${name}.tmp`), at(name)); // between the look and the packing
  const second = shell(`${PACK} < rows`, { cwd });
  t.same([second.code, second.err], [0, '']);
  t.same(left(cwd), [`${HOUR}/${name}`], 'who was not listed stays, under its new name');

  put(cwd, 3);
  const third = shell(PIPELINE, { cwd });
  t.same([third.code, third.err], [0, '']);
  t.same(store(cwd), { 'n0.0': [0], 'n0.1': [2], 'n0.2': [1, 3] });
  t.same(left(cwd), []);
  indexed(t, cwd);
});

t.test('posts and folders that are gone between the look and the packing', async (t) => {
  const cwd = folder(t);
  const gone = put(cwd, 0);
  put(cwd, 1);
  shell(`${LIST} > rows`, { cwd });
  unlinkSync(join(cwd, 'incoming', gone));
  const first = shell(`${PACK} < rows`, { cwd });
  t.equal(first.code, 3);
  t.equal(first.err, `cannery postcan: ${cwd}/incoming/${gone}: vanished before it was read\n`);
  rmSync(join(cwd, 'incoming', HOUR), { recursive: true, force: true });
  const second = shell(`${PACK} < rows`, { cwd });
  t.equal(second.code, 3);
  t.equal(rows(second.out).length, 1, 'the can that waits');
  t.equal(shell(PIPELINE, { cwd }).code, 0);
  t.same(store(cwd), { 'n0.0': [1] });
});

t.test('an hour folder that goes while it is packed', async (t) => {
  const cwd = folder(t);
  for (let n = 0; n < 3; n++) put(cwd, n);
  const large = JSON.stringify({ format: 'json', content: { n: 3, body: 'x'.repeat(20e6) } });
  putPost(join(cwd, 'incoming'), large, { time: '20240201100000.900000' });
  const packing = shellAsync(`${LIST} | ${PACK}`, { cwd });
  const building = join(cwd, 'outgoing/building');
  for (let n = 0; n < 2000 && !(existsSync(building) && readdirSync(building).length > 0); n++) await sleep(2);
  rmSync(join(cwd, 'incoming', HOUR), { recursive: true });
  const { code, out, err } = await packing;
  // The large one was read before, or was not.
  t.ok(code === 0 || (code === 3 && /vanished before it was read\n$/.test(err)), `${code} ${err}`);
  t.equal(rows(out).length, 1);
  t.equal(shell(PIPELINE, { cwd }).code, 0);
  const [lines] = Object.values(store(cwd));
  t.same(lines!.slice(0, 3), [0, 1, 2]);
});

/** Numbers that are the same for the same seed. */
function dice(seed: number): (sides: number) => number {
  let state = seed;
  return (sides) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * sides);
  };
}

/** Members of all postcans of the store: name → what it held, each time. */
async function packedPosts(cwd: string): Promise<Map<string, string[]>> {
  const found = new Map<string, string[]>();
  for (const path of tree(join(cwd, 'store')).filter((one) => one.endsWith('.tar.gz'))) {
    const extractor = extract();
    extractor.end(gunzipSync(readFileSync(join(cwd, 'store', path))));
    for await (const entry of extractor) {
      const pieces: Buffer[] = [];
      for await (const piece of entry) pieces.push(piece as Buffer);
      found.set(entry.header.name, [...(found.get(entry.header.name) ?? []), Buffer.concat(pieces).toString()]);
    }
  }
  return found;
}

t.test('a collector that does not stop: posts come, change and go through six runs', async (t) => {
  const seed = Number(process.env.CANNERY_SEED ?? Date.now() % 2 ** 31);
  t.comment(`seed ${seed} (CANNERY_SEED)`);
  const roll = dice(seed);
  const cwd = folder(t);
  const spool = join(cwd, 'incoming');
  mkdirSync(spool);
  const aside = mkdtempSync(join(cwd, 'aside-'));
  /** Member → every content that it had, the last one last, and whether it was taken away. */
  const written = new Map<string, { versions: string[]; taken: boolean }>();
  let n = 0;
  const write = (path: string, content: string) => {
    for (;;) {
      try {
        mkdirSync(join(spool, dirname(path)), { recursive: true });
        writeFileSync(join(spool, `${path}.tmp`), content);
        renameSync(join(spool, `${path}.tmp`), join(spool, path));
        return;
      } catch (error) {
        // The packer takes an empty folder away, and a collector makes it anew.
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      }
    }
  };
  const step = () => {
    const paths = [...written.keys()];
    const what = roll(10);
    const path = paths[roll(Math.max(paths.length, 1))];
    if (what < 8 || path === undefined) {
      const content = text(n);
      const time = `202402011${roll(3)}0000.${String(n++).padStart(6, '0')}`;
      const uid = uidFor(Buffer.from(content), { time });
      const fresh = `${time.slice(0, 10)}_IT_webconnectivity/${uid}.post`;
      written.set(fresh, { versions: [content], taken: false });
      write(fresh, content);
    } else if (what === 8) {
      const content = text(n++);
      const post = written.get(path)!;
      post.versions.push(content);
      post.taken = false;
      write(path, content);
    } else {
      try {
        renameSync(join(spool, path), join(aside, `${n++}`));
        written.get(path)!.taken = true;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error; // packed by now
      }
    }
  };
  let stop = false;
  const collector = (async () => {
    while (!stop) {
      for (let i = 0; i < 3; i++) step();
      await sleep(2);
    }
  })();
  for (let run = 0; run < 6; run++) {
    const { code, err } = await shellAsync(PIPELINE, { cwd });
    const odd = err
      .split('\n')
      .filter(
        (line) =>
          !/: (vanished before it was read|changed after it was packed: kept.*|left in the spool: changed while it was read|the uid does not match the bytes; packed as it is)$|^$/.test(
            line,
          ),
      );
    t.same(odd, [], `run ${run}`);
    t.equal(code, err === '' ? 0 : 3);
  }
  stop = true;
  await collector;
  for (const _ of [1, 2]) shell(PIPELINE, { cwd });
  t.same(left(cwd), [], 'the spool is empty');

  const found = await packedPosts(cwd);
  const wrong: string[] = [];
  for (const [path, { versions, taken }] of written) {
    const packed = found.get(path) ?? [];
    const last = versions.at(-1)!;
    if (!taken && packed.filter((one) => one === last).length !== 1) wrong.push(`${path}: lost, or there twice`);
    if (new Set(packed).size !== packed.length) wrong.push(`${path}: packed twice`);
    if (packed.some((one) => !versions.includes(one))) wrong.push(`${path}: bytes that nobody wrote`);
  }
  t.same(wrong, []);
  t.ok([...found.keys()].every((path) => written.has(path)));
  const cans = tree(join(cwd, 'store')).filter((path) => path.endsWith('.tar.gz'));
  t.ok(cans.length > 6, `${written.size} posts, ${cans.length} cans`);
  t.comment(`${written.size} posts, ${cans.length} cans`);
  for (const hour of ['10', '11', '12']) {
    const counters = cans
      .map((path) => new RegExp(`20240201${hour}_IT_webconnectivity\\.n0\\.(\\d+)\\.`).exec(path)?.[1])
      .filter((one) => one !== undefined)
      .map(Number)
      .sort((a, b) => a - b);
    t.same(counters, [...counters.keys()], 'counters without a gap');
  }
  const db = new Database(join(cwd, 'jsonl.sqlite'), { readonly: true });
  t.equal(db.prepare('SELECT count(*) FROM jsonl').pluck().get(), [...found.values()].flat().length, 'a row a post');
  db.close();
});
