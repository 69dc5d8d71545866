// fsck of a store in S3: the same findings as of a folder with the same objects, the same index made anew, listings
// of more than a page, and servers that break off.
import { cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import Database from 'better-sqlite3';
import type { Finding } from '../../src/edge/findings.ts';
import { type Ran, read, rows, shell, shellAsync, shippedSpool, tree } from '../lib.ts';
import { Bucket, type Env, type Fate, Relay, stats, suite } from './s3.ts';

const { test, server } = suite();

const FATES: Fate[] = ['pass', 'reset', 'cut', 'pass', 'lose'];

const DE = 'raw/20240201/10/DE/ndt/2024020110_DE_ndt.n0.0';
const PACK =
  'cannery ls incoming/ | cannery postcan --spool incoming/ --to outgoing/ --host n0 | cannery upload STORE | cannery index jsonl.sqlite';

const fsck = (cwd: string, store: string, args: string, env: Env = {}): Promise<Ran> =>
  shellAsync(`cannery fsck --store '${store}' ${args}`, { cwd, env });

const lines = (cwd: string, name: string) => {
  const db = new Database(join(cwd, name), { readonly: true });
  try {
    return db.prepare('SELECT * FROM jsonl ORDER BY s3path, linenum').all();
  } finally {
    db.close();
  }
};

for (const prefix of ['', '/some/pre fix']) {
  test(`a store in s3://bucket${prefix}`, async (t) => {
    const bucket = await Bucket.make(t, server());
    const store = bucket.url + prefix;
    const env = bucket.env();
    const cwd = shippedSpool(t);
    const packed = shell(PACK.replace('STORE', `'${store}'`), { cwd, env });
    t.equal(packed.code, 0, packed.err);
    // What lies beside the prefix is not the store's.
    if (prefix) await bucket.put('some/pre fix.jsonl.gz', Buffer.from('x'));

    const well = await fsck(cwd, store, '--index jsonl.sqlite --outgoing outgoing --deep --stats', env);
    t.match({ code: well.code, out: well.out, ...stats(well) }, { code: 0, out: '', in: 8, lines: 24, posts: 24 });
    const usual = await fsck(cwd, store, '--index jsonl.sqlite', env);
    t.same([usual.code, usual.out, usual.err], [0, '', '']);

    const anew = await fsck(cwd, store, '--rebuild new.sqlite', env);
    t.same([anew.code, anew.out, anew.err], [0, '', '']);
    t.same(lines(cwd, 'new.sqlite'), lines(cwd, 'jsonl.sqlite'), 'the index made anew');

    // The same objects in a folder, and the same damage in both.
    const at = (key: string) => `${prefix.slice(1)}${prefix && '/'}${key}`;
    const mirror = join(cwd, 'mirror');
    for (const key of await bucket.keys()) {
      if (!key.startsWith(at(''))) continue;
      const path = join(mirror, key.slice(at('').length));
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, await bucket.get(key));
    }
    const put = async (key: string, bytes: Buffer) => {
      writeFileSync(join(mirror, key), bytes);
      await bucket.put(at(key), bytes);
    };
    const jsonl = read(join(mirror, `${DE}.jsonl.gz`));
    jsonl[300]! ^= 0x10;
    await put(`${DE}.jsonl.gz`, jsonl);
    const [gone, cut] = tree(mirror).filter((path) => !path.startsWith(DE)) as [string, string];
    rmSync(join(mirror, gone));
    await bucket.remove(at(gone));
    await put(cut, read(join(mirror, cut)).subarray(0, 100));
    await put(`${DE.replace('n0.0', 'n0.10')}.tar.gz`, read(join(mirror, `${DE}.tar.gz`)));
    await put('README', Buffer.from('none of a can'));
    for (const args of ['', '--deep', `--deep --after ${DE}`, `--until ${DE}.jsonl.gz`]) {
      const [s3, local] = [
        await fsck(cwd, store, `--index jsonl.sqlite ${args}`, env),
        await fsck(cwd, 'mirror', `--index jsonl.sqlite --indexed-as '${store}' ${args}`),
      ];
      t.equal(s3.code, 3, s3.err);
      t.same(rows<Finding>(s3.out), rows<Finding>(local.out), `as of a folder: ${args}`);
      t.ok(rows(s3.out).length > 0, `${rows(s3.out).length} findings`);
    }
  });
}

test('more objects than a page of a listing, and a server that breaks off', async (t) => {
  const bucket = await Bucket.make(t, server());
  const cwd = shippedSpool(t);
  t.equal(shell(PACK.replace('STORE', 'store'), { cwd }).code, 0);
  const keys = Array.from({ length: 1100 }, (_, n) => `raw/20240201/10/DE/ndt/${String(n).padStart(4, '0')}.other`);
  const objects = tree(join(cwd, 'store')).map((key) => ({ key, bytes: read(join(cwd, 'store', key)) }));
  const all = [...objects, ...keys.map((key) => ({ key, bytes: Buffer.from('x') }))];
  while (all.length > 0) await Promise.all(all.splice(0, 16).map(({ key, bytes }) => bucket.put(key, bytes)));

  let n = 0;
  const relay = await Relay.make(t, server().endpoint, () => FATES[n++ % FATES.length]!);
  const env = bucket.env({ AWS_ENDPOINT_URL_S3: relay.endpoint });
  const args = `--index jsonl.sqlite --indexed-as store --stats`;
  const well = await fsck(cwd, bucket.url, `${args} --deep`, env);
  t.match({ code: well.code, out: well.out, ...stats(well) }, { code: 0, out: '', in: 8, strangers: 1100 });
  t.match(well.err, /trying again/);

  // Past the bound of tries it ends, tells where to go on, and what it had told stands.
  cpSync(join(cwd, 'jsonl.sqlite'), join(cwd, 'worn.sqlite'));
  const db = new Database(join(cwd, 'worn.sqlite'));
  db.exec('DELETE FROM line WHERE id & 16777215 = 0');
  db.close();
  const worn = args.replace('jsonl', 'worn');
  const whole = await fsck(cwd, bucket.url, worn, bucket.env());
  t.equal(whole.code, 3);
  let seen = 0;
  const dying = await Relay.make(t, server().endpoint, () => (seen++ < 6 ? 'pass' : 'reset'));
  const cut = bucket.env({ AWS_ENDPOINT_URL_S3: dying.endpoint });
  const first = await fsck(cwd, bucket.url, `${worn} --jobs 1 --attempts 2`, cut);
  t.equal(first.code, 1, first.err);
  const [, after] = /stopped: --after '(.*)' goes on\n/.exec(first.err) ?? [];
  t.ok(after, first.err);
  const second = await fsck(cwd, bucket.url, `${worn} --after '${after}'`, bucket.env());
  t.ok(second.out.length < whole.out.length, 'it had not begun anew');
  t.equal(first.out + second.out, whole.out, 'both together tell what the whole does');
});
