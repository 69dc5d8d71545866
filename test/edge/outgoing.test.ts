// Files of an outgoing folder as they are read by who does not need the whole of them.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { linesOf } from '../../src/edge/files.ts';
import { CanFolder, type Manifest, Outgoing } from '../../src/edge/outgoing.ts';
import { folder } from '../lib.ts';

const CAN = '2024020110_IT_webconnectivity.n0.0';

function manifestOf(more: object): Manifest {
  const file = (ext: string) => {
    const name = `${CAN}${ext}`;
    return { name, bytes: 1, sha256: 'a'.repeat(64), s3path: `raw/20240201/10/IT/webconnectivity/${name}` };
  };
  return {
    version: 1,
    can: CAN,
    class: 'as-received',
    measurements: 2,
    unreadable: 0,
    files: [file('.tar.gz'), file('.jsonl.gz')],
    spool: '/spool',
    posts: [1, 2].map((n) => ({
      file: `2024020110_IT_webconnectivity/20240201100000.00000${n}_IT_webconnectivity_${'0'.repeat(16)}.post`,
      bytes: 1,
      sha256: 'b'.repeat(64),
    })),
    ...more,
  };
}

t.test('a manifest without its posts is the same but for them', (t) => {
  const outgoing = new Outgoing(folder(t));
  const can = new CanFolder(outgoing, CAN, 'ready');
  mkdirSync(can.dir, { recursive: true });
  const texts: [string, string][] = [
    ['as it is written', JSON.stringify(manifestOf({}))],
    [
      'with more behind the posts',
      JSON.stringify(manifestOf({ sanitised: { rules: ['a', ']', '"posts":['], n: [[1]] } })),
    ],
    ['set out on lines', JSON.stringify(manifestOf({}), null, 2)],
    ['no posts', JSON.stringify(manifestOf({ measurements: 0, posts: [] }))],
    ['a bracket in a path', JSON.stringify(manifestOf({ spool: '/a"posts":[/b]c' }))],
  ];
  for (const [what, text] of texts) {
    writeFileSync(can.file('can.json'), text);
    const { posts, ...rest } = can.manifest();
    const { posts: _, ...brief } = can.brief() as Manifest;
    t.same(brief, rest, what);
  }
  for (const text of [
    '',
    '{}',
    '[]',
    '{"posts":[',
    JSON.stringify(manifestOf({})).slice(0, -1),
    JSON.stringify(manifestOf({ can: 'x' })),
  ]) {
    writeFileSync(can.file('can.json'), text);
    t.throws(() => can.brief(), /damaged: /, text.slice(0, 20));
  }
  t.end();
});

t.test('lines in pieces are all bytes of the file, cut behind a line feed', (t) => {
  const path = join(folder(t), 'lines');
  const long = 'é'.repeat(200_000);
  for (const text of ['', '\n', 'a', 'a\nb', `${long}\n`, long, `a\n${long}\nb\n`, 'line\n'.repeat(40_000)]) {
    writeFileSync(path, text);
    const pieces: string[] = [];
    for (const piece of linesOf(path)) pieces.push(piece.toString());
    t.ok(pieces.join('') === text, `${text.length} characters`);
    t.ok(pieces.slice(0, -1).every((piece) => piece.endsWith('\n')));
  }
  t.throws(() => [...linesOf(join(path, 'none'))], { code: 'ENOTDIR' });
  t.end();
});
