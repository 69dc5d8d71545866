// Whole processes over folders of bad files. Between them lie good ones, which must come through all verbs byte for byte;
// and whatever was made of the bad ones, store and index must agree in the end.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { sha256 } from '../../src/record/identity.ts';
import { read, tree } from '../lib.ts';
import { lz4Frame } from '../lz4frames.ts';
import { Box, fewest, type Judged } from './box.ts';
import { BRIDGES, jsonReports, packed, posts, rejects, yamlReports } from './corpus.ts';
import { fuzzTest } from './fuzz.ts';
import { type Chance, mutatedBytes, mutatedJson, mutatedTar, mutatedWithin, oneOf } from './mutate.ts';

interface Named {
  name: string;
  bytes: Buffer;
}

/** How a kind of file is called, and made bad. */
type Kind = (chance: Chance) => Named;

const FILES = 300;

/** Bad files a witness. */
const EVERY = 8;

const BUCKET = '2016-08-01';

const jsonOrBytes = (chance: Chance, input: Buffer, other: Buffer) =>
  chance() < 0.6 ? mutatedJson(chance, input) : mutatedBytes(chance, input, other);

/** A mutated one of some inputs, now and then within gzip or LZ4, under a name that ends so. */
function kind(
  ext: string,
  inputs: readonly Buffer[],
  mutate: (chance: Chance, input: Buffer, other: Buffer) => Buffer,
): Kind {
  return (chance) => {
    const bytes = mutate(chance, oneOf(chance, inputs), oneOf(chance, inputs));
    if (chance() < 0.8) return { name: ext, bytes };
    if (chance() < 0.6) return { name: oneOf(chance, [ext, `${ext}.gz`]), bytes: gzipSync(bytes, { level: 1 }) };
    const frame = lz4Frame(bytes, { linked: chance() < 0.7, block: oneOf(chance, [100, 5000, 65_536]) });
    return {
      name: oneOf(chance, [ext, `${ext}.lz4`]),
      bytes: chance() < 0.5 ? frame : mutatedBytes(chance, frame, bytes),
    };
  };
}

const witness = (n: number) =>
  `{"witness":"w${n}.","report_id":"20160801T000000Z_AS1_${'w'.repeat(50)}","test_name":"ndt","n":1.0}`;

const ROWS = ['outgoing', 'store', 'jsonl.sqlite', 'jsonl.sqlite-wal', 'jsonl.sqlite-shm', 'rejects', 'again'];

fuzzTest('files that cat opens, and the way behind it', async (t) => {
  const box = new Box(t);
  const { jsonl, postcans, tars } = packed(t);
  const documents = jsonReports.map(({ bytes }) => bytes);
  const yaml = yamlReports.map(({ bytes }) => bytes);
  const kinds: readonly Kind[] = [
    kind('.post', posts, jsonOrBytes),
    kind('.json', documents, jsonOrBytes),
    kind('.jsonl', [...documents, ...jsonl.map((can) => gunzipSync(can))], jsonOrBytes),
    kind('.jsonl.gz', jsonl, mutatedBytes),
    kind('.jsonl.gz', jsonl, (chance, can) => mutatedWithin(chance, can, (c, text) => mutatedBytes(c, text, text))),
    kind('.yaml', yaml, mutatedBytes),
    kind('.yamloo', yaml, mutatedBytes),
    kind('.tar', tars, mutatedTar),
    kind('.tar.gz', postcans, mutatedBytes),
    kind('.tar.gz', tars, (chance, tar) => gzipSync(mutatedTar(chance, tar), { level: 1 })),
    kind('.rejects', [rejects(t)], jsonOrBytes),
    kind('.json', [...yaml, ...tars], mutatedBytes), // another than it says
  ];

  return ({ chance, tried, found }) => {
    box.empty();
    const files: Named[] = Array.from({ length: FILES }, (_, n) => {
      const { name, bytes } = oneOf(chance, kinds)(chance);
      return { name: `${BUCKET}/${oneOf(chance, ['', 'a b', 'ü(', '-', "'"])}${n}${name}`, bytes };
    });
    const paths: string[] = [];
    const witnesses: string[] = [];
    for (const [n, { name, bytes }] of files.entries()) {
      box.put(`work/${name}`, bytes);
      paths.push(name);
      if (n % EVERY > 0) continue;
      witnesses.push(witness(n));
      box.put(`work/${BUCKET}/w${n}.json`, `${witness(n)}\n`);
      paths.push(`${BUCKET}/w${n}.json`);
    }
    tried(FILES);
    const rowsOf = (some: readonly string[]) => some.map((file) => `${JSON.stringify({ file })}\n`).join('');

    // A fault is told with the fewest files that show it.
    const catAlone = (some: readonly string[]) => box.run(['cat', '--rejects', 'again'], { stdin: rowsOf(some) });
    const told = ({ faults }: Judged, shows: (some: readonly string[]) => Judged) => {
      if (faults.length === 0) return;
      const some = fewest(paths, (less) => shows(less).faults.length > 0);
      const first = files.find(({ name }) => name === some[0]);
      found(`${faults[0]} (${some.join(', ')})`, first?.bytes);
    };
    const lost = (where: string, isThere: (witness: string) => boolean, bytes?: Buffer) => {
      const gone = witnesses.filter((one) => !isThere(one));
      if (gone.length > 0) found(`${where}: ${gone.length} good neighbours are lost or changed: ${gone[0]}`, bytes);
    };
    const marked = (text: string) => (one: string) => text.includes(/"w\d+\."/.exec(one)![0]);

    box.watch(ROWS);
    const cat = box.run(['cat', '--end', '--rejects', 'rejects'], { stdin: rowsOf(paths) });
    told(cat, catAlone);
    const prefix = (document: string, uid: string) =>
      `{"measurement_uid":${uid},"bucket_date":"${BUCKET}","report_filename":"${BUCKET}/w${/w(\d+)/.exec(document)![1]}.json",`;
    const uidOf = (document: string) => {
      const at = cat.out.toString().indexOf(document.slice(1));
      const row = cat.out.toString().slice(cat.out.toString().lastIndexOf('\n', at) + 1, at);
      return /"measurement_uid":("\w+"|null)/.exec(row)?.[1] ?? 'null';
    };
    const lines = new Set(cat.out.toString().split('\n'));
    lost(`cat (${cat.code}: ${lastOf(cat.err)})`, (one) => lines.has(`${prefix(one, uidOf(one))}${one.slice(1)}`));

    const verbs: [string[], RegExp][] = [
      [['normalise'], /./],
      [['sanitise', '--bridges', BRIDGES], /./],
    ];
    let rows = cat.out;
    for (const [args] of verbs) {
      const ran = box.run([...args, '--rejects', 'rejects'], { stdin: rows });
      told(ran, (some) => {
        let less = catAlone(some).out;
        for (const [earlier] of verbs) {
          const done = box.run([...earlier, '--rejects', 'again'], { stdin: less });
          if (earlier === args) return done;
          less = done.out;
        }
        return ran;
      });
      lost(`${args[0]} (${ran.code}: ${lastOf(ran.err)})`, marked(ran.out.toString()), rows);
      rows = ran.out;
    }
    const pack = box.run(['postcan', '--rows', '--to', 'outgoing', '--rejects', 'rejects'], { stdin: rows });
    const upload = box.run(['upload', 'store'], { stdin: pack.out });
    const index = box.run(['index', 'jsonl.sqlite'], { stdin: upload.out });
    const clear = box.run(['clear'], { stdin: index.out });
    const fsck = box.run(['fsck', '--store', 'store', '--index', 'jsonl.sqlite', '--outgoing', 'outgoing', '--deep']);
    for (const ran of [pack, upload, index, clear, fsck]) if (ran.faults.length > 0) found(ran.faults[0]!, rows);
    if (fsck.code !== 0) found(`fsck: ${fsck.out.toString().slice(0, 500)}${fsck.err.slice(0, 500)}`, rows);
    const stored = tree(join(box.work, 'store')).filter((path) => path.endsWith('.jsonl.gz'));
    const text = stored.map((path) => gunzipSync(read(join(box.work, 'store', path))).toString()).join('');
    const measurements = rows.toString().split('\n').length - 2;
    const packedRows = text.split('\n').length - 1;
    const refused = pack.err.split('\n').length - 1;
    if (packedRows < measurements - refused)
      found(`${measurements} rows, ${refused} refused, ${packedRows} lines in cans`, rows);
    lost('store', marked(text), rows);

    // Others that read the same files, one a round.
    const more: (() => Judged)[] = [
      () => box.run(['cat', '--format', 'rejects', '--rejects', 'again', 'rejects']),
      () =>
        box.run([
          'cat',
          '--rejects',
          'again',
          '--format',
          oneOf(chance, ['post', 'json', 'jsonl', 'yaml', 'tar', 'rejects']),
          ...paths.map((path) => `./${path}`),
        ]),
      () => box.run(['sanitise', 'check', '--bridges', BRIDGES, BUCKET]),
      () => box.run(['ls', '--kind', 'all', BUCKET]),
      () => box.run(['cat', '--rejects', 'again', '-'], { stdin: oneOf(chance, files).bytes }),
    ];
    const ran = oneOf(chance, more)();
    if (ran.faults.length > 0) found(ran.faults[0]!);
    for (const fault of box.touched()) found(fault);
  };
});

fuzzTest('archives of reports', async (t) => {
  const box = new Box(t);
  const reports = [...jsonReports, ...yamlReports];
  return ({ chance, tried, found }) => {
    box.empty();
    const bytes = reports.map((report) => report.bytes);
    for (let n = 0; n < FILES; n++) {
      const { name, bytes: good } = oneOf(chance, reports);
      const bad = name.endsWith('.json')
        ? jsonOrBytes(chance, good, oneOf(chance, bytes))
        : mutatedBytes(chance, good, oneOf(chance, bytes));
      const called = oneOf(chance, [
        name,
        name,
        mutatedBytes(chance, Buffer.from(name), Buffer.from('x'))
          .toString()
          .replace(/[\0/\ufffd]/g, '_')
          .slice(0, 80),
      ]);
      const ext = oneOf(chance, ['.json', '.yaml', '.yamloo', '.json.gz', '']);
      box.put(
        `work/archive/${oneOf(chance, ['', 'a/', 'a/b c/'])}${n}-${called}${ext}`,
        chance() < 0.2 ? gzipSync(bad) : bad,
      );
    }
    tried(FILES);
    // What is there twice may become one.
    const digests = () => new Set(['archive', 'reports', 'raw'].flatMap((folder) => reportsIn(join(box.work, folder))));
    const before = digests();
    const lost = (verb: string, input?: Buffer) => {
      const now = digests();
      const gone = [...before].filter((digest) => !now.has(digest)).length;
      if (gone > 0) found(`${verb}: ${gone} of ${before.size} reports are lost`, input);
    };
    mkdirSync(join(box.work, 'reports'));
    const mine = ['archive', 'reports', 'raw', 'backup'];
    box.watch(mine);
    const fault = (ran: Judged) => {
      if (ran.faults.length > 0) found(ran.faults[0]!);
      return ran;
    };
    fault(box.run(['rename', 'archive', '--to', 'reports', '--settle', '0', '--dry-run']));
    fault(
      box.run([
        'rename',
        'archive',
        '--to',
        'reports',
        '--settle',
        '0',
        '--layout',
        oneOf(chance, ['seed', 'pipeline']),
      ]),
    );
    lost('rename');
    if (chance() < 0.3) {
      const log = join('reports', 'rename.log');
      const text = read(join(box.work, log));
      if (chance() < 0.5) box.put(`work/${log}`, mutatedBytes(chance, text, text));
      fault(box.run(['rename', 'archive', '--to', 'reports', '--settle', '0', '--undo', log]));
      lost('undo', read(join(box.work, log)));
    }
    const list = fault(box.run(['ls', 'reports', '--kind', 'report']));
    fault(box.run(['bucket', '--to', 'raw', '--date', BUCKET, '--settle', '0'], { stdin: list.out }));
    lost('bucket');
    const manifest = `work/raw/${BUCKET}/.manifest.jsonl`;
    if (chance() < 0.5 && tree(join(box.work, 'raw', BUCKET)).length > 0) {
      const good = read(join(box.top, manifest));
      box.put(manifest, oneOf(chance, [mutatedJson, (c: Chance, b: Buffer) => mutatedBytes(c, b, b)])(chance, good));
    }
    fault(box.run(['bucket', 'verify', `raw/${BUCKET}`]));
    if (chance() < 0.5) fault(box.run(['backup', `raw/${BUCKET}`, 'backup']));
    for (const touched of box.touched()) found(touched);
  };
});

const lastOf = (err: string) => err.trimEnd().split('\n').at(-1)!.slice(0, 300);

/** Digests of the reports in a folder, and of what else is there. */
const reportsIn = (folder: string) => tree(folder).map((path) => sha256(read(join(folder, path))));
