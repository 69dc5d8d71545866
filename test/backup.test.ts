// What a case folder cannot hold of `backup` into a folder: runs that are killed, disks that fail or are full. The rest is
// in fixtures/backup/, S3 is in test/servers/backup-s3.test.ts.
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import {
  AS_NOBODY,
  cannery,
  folder,
  MOUNT,
  NO_MOUNT,
  NO_STRACE,
  type Ran,
  ROOT_DOES_ALL,
  rows,
  shell,
  tree,
  underStrace,
} from './lib.ts';

const DAY = '2024-02-01';
const RAW = `raw/${DAY}`;
const BACKUP = ['backup', RAW, 'store'];

/** A folder with a bucket of reports, as `bucket` makes it. */
function withBucket(t: Test, reports: Record<string, string>): string {
  const cwd = folder(t);
  mkdirSync(join(cwd, 'reports'));
  for (const [name, bytes] of Object.entries(reports)) {
    writeFileSync(join(cwd, 'reports', name), bytes);
    utimesSync(join(cwd, 'reports', name), 1.5e9, 1.5e9);
  }
  const filled = shell(`cannery ls reports | cannery bucket --to raw --date ${DAY}`, { cwd });
  if (filled.code !== 0) throw new Error(filled.err);
  return cwd;
}

/** Everything below a folder, with its bytes. */
function contents(path: string): Record<string, string> {
  return Object.fromEntries(tree(path).map((file) => [file, readFileSync(join(path, file), 'utf8')]));
}

/** That the store has the reports and the manifest, and nothing else. */
function complete(cwd: string, reports: Record<string, string>): boolean {
  const there = contents(join(cwd, 'store', DAY));
  const manifest = readFileSync(join(cwd, RAW, '.manifest.jsonl'), 'utf8');
  const copies = Object.keys(there).filter((name) => /^\.manifest\.[0-9a-f]{16}\.jsonl$/.test(name));
  return (
    copies.length === 1 &&
    there[copies[0]!] === manifest &&
    Object.keys(there).length === Object.keys(reports).length + 1 &&
    Object.entries(reports).every(([name, bytes]) => there[name] === bytes)
  );
}

/** Runs `backup` with a fault in what it does, one report at a time. */
function faulty(cwd: string, inject: string): Ran {
  const paths = inject.startsWith('fsync') ? ['store', `store/${DAY}`] : [];
  return underStrace([...BACKUP, '--jobs', '1'], inject, paths, { cwd });
}

t.test(
  'killed at any system call, the next run completes it, and the bucket is as it was',
  { skip: NO_STRACE },
  (t) => {
    const reports = { 'a.json': '{"n":1}\n', 'b.json': 'x'.repeat(200_000) };
    const from = withBucket(t, reports);
    let killed = 0;
    for (const call of ['link', 'unlink', 'fsync,fdatasync']) {
      for (let when = 1; ; when++) {
        const cwd = folder(t);
        cpSync(join(from, 'raw'), join(cwd, 'raw'), { recursive: true });
        const before = contents(join(cwd, 'raw'));
        const first = faulty(cwd, `${call}:signal=KILL:when=${when}`);
        const there = contents(join(cwd, 'store', DAY));
        for (const [name, bytes] of Object.entries(reports))
          if (there[name] !== undefined && there[name] !== bytes) t.fail(`${call} ${when}: half of ${name}`);
        const again = cannery(BACKUP, { cwd });
        if (again.code !== 0) t.fail(`${call} ${when}: ${again.err}`);
        if (!complete(cwd, reports)) t.fail(`${call} ${when}: ${tree(join(cwd, 'store'))}`);
        t.same(contents(join(cwd, 'raw')), before, `${call} ${when}`);
        if (first.code === 0) break;
        killed++;
      }
    }
    t.ok(killed > 8, `${killed} runs were killed`);
    t.end();
  },
);

t.test('a full disk: the run ends and names the file, and nothing half has a name there', { skip: NO_MOUNT }, (t) => {
  const cwd = withBucket(t, { 'a.json': '{"n":1}\n', 'b.json': 'x'.repeat(200_000), 'c.json': '{"n":3}\n' });
  mkdirSync(join(cwd, 'store'));
  const script = `mount -t tmpfs -o size=64k none store && cannery backup ${RAW} store --jobs 1; code=$?; find store -type f; exit $code`;
  const { code, out, err } = shell(`${MOUNT} bash -c '${script}'`, { cwd });
  t.equal(code, 1);
  t.match(err, /^cannery backup: [^\n]*no space left on device\n$/);
  const [row, ...files] = out.trim().split('\n');
  t.match(rows(row!), [{ backup: `${DAY}/a.json`, result: 'stored' }]);
  t.same(files, [`store/${DAY}/a.json`]);
  t.equal(cannery(BACKUP, { cwd }).code, 0);
  t.end();
});

t.test('a store that may not be written, and reports that may not be read', { skip: ROOT_DOES_ALL }, (t) => {
  const reports = { 'a.json': '{"n":1}\n', 'b.json': '{"n":2}\n' };
  const cwd = withBucket(t, reports);
  mkdirSync(join(cwd, 'store'));
  chmodSync(join(cwd, 'store'), 0o500);
  t.teardown(() => chmodSync(join(cwd, 'store'), 0o700));
  const run = () => shell(`${AS_NOBODY} cannery ${BACKUP.join(' ')}`, { cwd });
  const refused = run();
  t.equal(refused.code, 1);
  t.match(refused.err, /^cannery backup: [^\n]*store\/2024-02-01: permission denied\n$/);
  chmodSync(join(cwd, 'store'), 0o700);
  chmodSync(join(cwd, RAW, 'a.json'), 0);
  const partly = run();
  t.equal(partly.code, 3);
  t.match(partly.err, `${RAW}/a.json: not copied: permission denied`);
  t.match(partly.err, 'the manifest is not copied');
  t.same(readdirSync(join(cwd, 'store', DAY)), ['b.json']);
  chmodSync(join(cwd, RAW, 'a.json'), 0o600);
  t.equal(run().code, 0);
  t.ok(complete(cwd, reports));
  t.end();
});

t.test('the longest names, a link to the bucket, and a neighbour in the store', (t) => {
  const names = [`${'x'.repeat(250)}.json`, `${'€'.repeat(83)}.json`, `${'y'.repeat(95)}.json`];
  const reports = Object.fromEntries(names.map((name) => [name, name]));
  const cwd = withBucket(t, reports);
  mkdirSync(join(cwd, 'links'));
  symlinkSync(`../${RAW}`, join(cwd, 'links', DAY));
  mkdirSync(join(cwd, 'store', '2024-02-01x'), { recursive: true });
  writeFileSync(join(cwd, 'store', '2024-02-01x', names[0]!), 'other');
  const { code, err } = cannery(['backup', `links/${DAY}`, 'store'], { cwd });
  t.same([code, err], [0, '']);
  t.ok(complete(cwd, reports));
  t.equal(readFileSync(join(cwd, 'store', '2024-02-01x', names[0]!), 'utf8'), 'other');
  t.notOk(existsSync(join(cwd, RAW, DAY)));
  t.end();
});

t.test('what comes into the store after it was listed is compared too', async (t) => {
  const { FolderStore } = await import('../src/edge/store-folder.ts');
  const cwd = withBucket(t, { 'a.json': '{"n":1}\n', 'b.json': '{"n":2}\n' });
  const store = new FolderStore(join(cwd, 'store'));
  const listed: string[] = [];
  for await (const { key } of store.list(DAY)) listed.push(key);
  t.same(listed, [], 'a store that is not there is empty');
  mkdirSync(join(cwd, 'store', DAY), { recursive: true });
  writeFileSync(join(cwd, 'store', DAY, 'a.json'), '{"n":7}\n');
  const sums = rows<{ name: string; size: number; sha256: string }>(
    readFileSync(join(cwd, RAW, '.manifest.jsonl'), 'utf8'),
  );
  const put = (name: string) => {
    const { size, sha256 } = sums.find((one) => one.name === name)!;
    return store.put(`${DAY}/${name}`, { path: join(cwd, RAW, name), bytes: size, sha256, md5: '' });
  };
  t.equal(await put('a.json'), 'other');
  t.equal(await put('b.json'), 'stored');
  t.equal(await put('b.json'), 'same');
  for await (const { key, bytes } of store.list(DAY)) listed.push(`${key} ${bytes}`);
  t.same(listed.sort(), [`${DAY}/a.json 8`, `${DAY}/b.json 8`]);
});

t.test(
  'where a folder takes no new one, the run ends and names it',
  { skip: !existsSync('/proc/self') && 'there is no /proc' },
  (t) => {
    const cwd = withBucket(t, { 'a.json': '{"n":1}\n' });
    const { code, err } = shell(`timeout --signal=KILL 20 cannery backup ${RAW} /proc/nothing/store`, { cwd });
    t.equal(code, 1);
    t.match(err, /^cannery backup: [^\n]*\/proc\/nothing: no such file or folder\n$/);
    t.end();
  },
);
