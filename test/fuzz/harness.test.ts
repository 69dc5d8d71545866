// The fuzzer itself: programs that are weak on purpose must be caught by it soon, or what it finds nothing in proves
// nothing.
import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { count } from '../faults/campaign.ts';
import { buildChanged, type Change } from '../faults/mutants.ts';
import { cannery, ROOT, read, shippedSpool, tree } from '../lib.ts';
import { Box } from './box.ts';
import { packed } from './corpus.ts';
import { rounds } from './fuzz.ts';
import { mutatedBytes, mutatedTar, oneOf } from './mutate.ts';

/** Seconds in which a weakness must show. */
const SOON = 120;

t.test('a reader that trusts what it reads', async (t) => {
  const good = Buffer.from('{"as":"post","data":{"format":"base64","data":"AA=="}}');
  const { finds } = await rounds('trusts', 10, ({ chance, tried, found }) => {
    const input = mutatedBytes(chance, good, good);
    tried(1);
    let row: { data: { data: string } };
    try {
      row = JSON.parse(input.toString());
    } catch {
      return;
    }
    try {
      Buffer.from(row.data.data, 'base64');
    } catch (error) {
      found((error as Error).message);
    }
  });
  t.ok(finds.length > 0, finds[0] ?? 'nothing was found');
});

t.test('a bad tar that ends the run', async (t) => {
  const changes: Change[] = [['edge/tar.ts', 'error === ofSource ? error :', 'true ? error :']];
  const { tars } = packed(t);
  const box = new Box(t);
  const program = buildChanged(t, 'tar', changes);
  const witness = '{"good":1.0}';
  const trial = (run: string, seconds: number) =>
    rounds('tar', seconds, ({ chance, tried, found }) => {
      box.empty();
      for (let n = 0; n < 50; n++) box.put(`work/${n}.tar`, mutatedTar(chance, oneOf(chance, tars)));
      box.put('work/good.jsonl', `${witness}\n`);
      tried(50);
      const files = [...tree(box.work).filter((name) => name.endsWith('.tar')), 'good.jsonl'];
      const ran = box.run(['cat', '--raw', ...files], { program: run });
      for (const fault of ran.faults) found(fault);
      if (!ran.out.toString().split('\n').includes(witness))
        for (let n = 0; n < 5; n++) found(`lost: ${ran.err.slice(-200)}`);
    });
  const { finds } = await trial(program, SOON);
  t.ok(finds.length > 0, finds[0] ?? 'nothing was found');
  t.same((await trial(ROOT, 0)).finds, [], 'the right one is not caught');
  if (finds.length > 0) count('mutants_caught', 1);
});

/** Takes a post outside of the spool into a manifest, and packs. @returns what was touched that may not be */
function leads(t: Test, program: string): string[] {
  const box = new Box(t);
  const from = shippedSpool(t);
  cpSync(join(from, 'incoming'), join(box.decoy, 'incoming'), { recursive: true });
  cpSync(join(from, 'incoming'), join(box.work, 'incoming'), { recursive: true });
  const args = ['postcan', '--spool', 'incoming', '--to', 'outgoing', '--host', 'n0'];
  const list = cannery(['ls', 'incoming'], { cwd: box.work });
  const [can] = cannery(args, { cwd: box.work, stdin: list.out }).out.split('\n');
  const path = `outgoing/ready/${(JSON.parse(can!) as { can: string }).can}/can.json`;
  const manifest = JSON.parse(read(join(box.work, path)).toString()) as { posts: { file: string }[] };
  const [post] = manifest.posts as [{ file: string }];
  rmSync(join(box.work, 'incoming'), { recursive: true });
  box.put(`work/incoming/${post.file.split('/')[0]}/new`, '');
  post.file = `${post.file}/../../../../decoy/incoming/${post.file}`;
  box.put(`work/${path}`, JSON.stringify(manifest));
  box.watch(['outgoing', 'incoming', '.incoming.cannery-lock']);
  const ran = box.run(args, { program });
  return [...box.touched(), ...ran.faults];
}

t.test('a manifest that is believed, and leads to posts outside of the spool', (t) => {
  const changes: Change[] = [
    ['edge/ownfiles.ts', 'if (!isBrief(value, can)) return false;', 'if (isObject(value)) return true;'],
    ['edge/hourcans.ts', ' || more.length > 0', ''],
  ];
  const [touched] = leads(t, buildChanged(t, 'manifest', changes));
  t.match(touched, /^changed: .*decoy/, touched ?? 'nothing was found');
  t.same(leads(t, ROOT), [], 'the right one is not caught');
  if (touched !== undefined) count('mutants_caught', 1);
  t.end();
});
