// What packing makes does not depend on the threads that make it, and what is read back is held to what went in, bit by bit.
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import { Crew } from '../../src/edge/crew.ts';
import { type BuiltCan, packCans } from '../../src/edge/pack.ts';
import { PACKING } from '../../src/edge/packtasks.ts';
import { DENSE, press } from '../../src/edge/press.ts';
import type { Program } from '../../src/edge/program.ts';
import { verifyCan } from '../../src/edge/verify.ts';
import { chance } from '../faults/place.ts';
import { noise } from '../faults/spools.ts';
import { canneryBytes, folder, putPost, shell, tree } from '../lib.ts';

/** Posts of 100 bytes to 300 KB in two hour folders, some of them no JSON: more than is packed without threads. */
function bigSpool(path: string): void {
  const random = chance(7);
  for (let n = 0, bytes = 0; bytes < 10_000_000; n++) {
    const size = Math.floor(100 * 3000 ** random());
    const content = `{"report_id":"r${n >> 3}","input":"http://${n}.example/","x":"${noise(random, size)}"}`;
    const post = Buffer.from(n % 50 === 0 ? `no JSON ${content}` : `{"format":"json","content":${content}}`);
    const cc = n % 2 ? 'IT' : 'IR';
    putPost(join(path, 'incoming'), post, {
      time: `202402011${n % 2}0000.${String(n).padStart(6, '0')}`,
      cc,
      test: 'ndt',
    });
    bytes += post.length;
  }
}

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

const digests = (path: string) =>
  Object.fromEntries(
    tree(join(path, 'outgoing/ready'))
      .filter((file) => file.endsWith('.gz') || file.endsWith('rows.jsonl'))
      .map((file) => [file, sha256(readFileSync(join(path, 'outgoing/ready', file)))]),
  );

t.test('the same posts give the same bytes on any number of threads', async (t) => {
  const path = folder(t);
  bigSpool(path);
  for (const how of ['', '--fast']) {
    const made = ['1', '2', '5'].map((threads) => {
      const cwd = folder(t);
      const line = `cp -rl ${path}/incoming . && cannery ls incoming | cannery postcan --spool incoming --to outgoing --host n0 --max-bytes 1M --threads ${threads} ${how}`;
      const { code, err } = shell(line, { cwd });
      t.equal(code, 3, `${threads} threads`);
      t.match(err, /packed, but without a line/);
      t.same(tree(join(cwd, 'incoming')), [], 'nothing is left in the spool');
      return { cans: digests(cwd), err: err.replaceAll(cwd, '') };
    });
    t.ok(Object.keys(made[0]!.cans).length > 9, `${Object.keys(made[0]!.cans).length} files`);
    t.same(made[1], made[0], 'two threads');
    t.same(made[2], made[0], 'five');
  }
});

t.test('rows too', async (t) => {
  const cwd = folder(t);
  const random = chance(8);
  const rows = Array.from({ length: 300 }, (_, n) => {
    const document = { report_id: `r${n}`, probe_cc: 'IT', test_name: 'ndt', x: noise(random, 50_000) };
    return JSON.stringify({ measurement_uid: null, bucket_date: '2024-02-01', report_filename: null, ...document });
  }).join('\n');
  const made = ['1', '3'].map((threads) => {
    const args = ['postcan', '--rows', '--no-end', '--to', `o${threads}`, '--threads', threads];
    const { code, err } = canneryBytes(args, { cwd, stdin: rows });
    t.equal(code, 0, err);
    const ready = join(cwd, `o${threads}/ready`);
    return readdirSync(ready).flatMap((can) =>
      readdirSync(join(ready, can))
        .filter((file) => file.endsWith('.gz'))
        .map((file) => readFileSync(join(ready, can, file)).toString('base64')),
    );
  });
  t.same(made[1], made[0]);
});

const GZIP: Program = ['gzip', '-3'];
const by = (program?: Program) => (program ? `, compressed by ${program.join(' ')}` : '');

/** A can of some small measurements, one that is shared, and one without a line. */
async function smallCan(t: Test, program?: Program): Promise<BuiltCan<null>> {
  const building = join(folder(t), 'building');
  mkdirSync(building);
  const head = '{"format":"json","content":';
  const items = [90, 2000, 60_000, 10].map((size, n) => {
    const line = Buffer.from(`{"n":${n},"x":"${noise(chance(n), size)}"}`);
    const post = Buffer.concat([Buffer.from(head), line, Buffer.from('}')]);
    const within = { start: head.length, end: head.length + line.length };
    const facts = { uid: null, report_id: `r${n}`, input: '', unreadable: false, origin: null };
    return { member: `2024020110_IT_ndt/${n}.post`, mtime: 1.7e12, post, line, within, ...facts };
  });
  const by = program && { words: program, room: join(building, 'program') };
  const pressed = { group: 'g', ...(await press(items, { ...DENSE, maxBytes: 1e6, program: by })), last: true };
  async function* source() {
    yield pressed;
  }
  const options = { maxBytes: 1e6, begin: () => '2024020110_IT_ndt.n0.0', inMembers: program !== undefined };
  for await (const built of packCans<null>(building, source(), options)) return built;
  throw new Error('no can');
}

t.test('a can is read back', async (t) => {
  const can = await smallCan(t);
  t.ok(
    can.batches.some(({ shared }) => shared !== null),
    'one line is shared',
  );
  t.ok(
    can.batches.some(({ items }) => items > 1),
    'others are in a group',
  );
  const [tar, jsonl] = can.files.map(({ name }) => readFileSync(join(can.dir, name))) as [Buffer, Buffer];
  t.same(await verifyCan(can), [tar, jsonl].map(sha256));
  t.equal(gunzipSync(jsonl).toString().split('\n').length, 5);
  t.equal(gunzipSync(tar).length % 512, 0);
});

for (const program of [undefined, GZIP])
  t.test(`any bit that is not as it was is found, or changes nothing for who reads it${by(program)}`, async (t) => {
    const can = await smallCan(t, program);
    const random = chance(9);
    for (const [n, file] of can.files.entries()) {
      const path = join(can.dir, file.name);
      const right = readFileSync(path);
      const text = gunzipSync(right);
      const places = Array.from({ length: 400 }, () => Math.floor(random() * right.length * 8));
      // Frames, and the ends of batches, are few bytes among many.
      for (let bit = 0; bit < 160; bit++) places.push(bit, right.length * 8 - 1 - bit);
      let at = n === 0 ? 10 : 0;
      for (const batch of can.batches) {
        at += n === 0 ? batch.tar : batch.jsonl;
        for (let bit = -100; bit < 100; bit++) places.push(at * 8 + bit);
      }
      let found = 0;
      for (const place of places.filter((place) => place < right.length * 8)) {
        const wrong = Buffer.from(right);
        wrong[place >> 3]! ^= 1 << (place & 7);
        writeFileSync(path, wrong);
        const told = await verifyCan(can).catch(() => undefined);
        if (told === undefined) found++;
        // Zeros copied from farther back are zeros still: who reads it must not see a difference.
        else if (!gunzipSync(wrong).equals(text) || told[n] !== sha256(wrong)) t.fail(`${file.name}: bit ${place}`);
      }
      t.ok(found > 500, `${found} in ${file.name}`);
      for (const wrong of [
        right.subarray(0, -1),
        right.subarray(0, 1000),
        Buffer.concat([right, Buffer.of(0)]),
        Buffer.alloc(0),
      ]) {
        writeFileSync(path, wrong);
        await t.rejects(verifyCan(can), `${wrong.length} bytes of ${right.length}`);
      }
      writeFileSync(path, right);
    }
  });

for (const program of [undefined, GZIP])
  t.test(`other posts than were packed are found${by(program)}`, async (t) => {
    const can = await smallCan(t, program);
    const [first, second, ...rest] = can.items;
    for (const items of [
      [second!, first!, ...rest],
      [first!, ...rest],
      [...can.items, first!],
      [{ ...first!, member: 'other.post' }, second!, ...rest],
      [{ ...first!, hash: '0123456789abcdef' }, second!, ...rest],
      [{ ...first!, sha256: second!.sha256 }, second!, ...rest],
    ])
      await t.rejects(verifyCan({ ...can, items }));
    await t.rejects(verifyCan({ ...can, batches: can.batches.slice(1) }));
  });

t.test('a crew on its own thread', async (t) => {
  const crew = new Crew(PACKING, 1);
  const can = await smallCan(t);
  await crew.run('verify', can, 1e9);
  await t.rejects(crew.run('verify', { ...can, items: [] }, 1e9));
  await crew.end();
});
