// README's examples, run in its own order in one folder. `sh` blocks run as they stand; `s3` blocks against the
// real server, or against a folder in the place of the bucket where none is here; the crontab line as cron would.
import { cpSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { BIN, folder, type Ran, ROOT, rows, shell, shellAsync, tree } from './lib.ts';
import { asNobody, publicBucket, publicServer } from './publicbucket.ts';

const readme = readFileSync('README.md', 'utf8');
const blocks = [...readme.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].map(([, kind, text]) => ({
  kind: kind!,
  text: text!,
}));

const UID = '20240201101506.402117_IT_webconnectivity_ce0ee03a1183bac2';

function document(): { report_id: string; input: string } {
  const post = readFileSync(join(ROOT, `fixtures/spool/incoming/2024020110_IT_webconnectivity/${UID}.post`), 'utf8');
  return JSON.parse(post).content;
}

/** What a reader would put in the place of capitals and dots. */
function filledIn(text: string): string {
  const { report_id, input } = document();
  return text.replace('REPORT_ID', `'${report_id}'`).replace(/ INPUT$/m, ` '${input}'`);
}

function run(t: Test, text: string, cwd: string): Ran {
  const ran = shell(filledIn(text), { cwd, env: { OLDPWD: ROOT } });
  t.equal(ran.code, 0, text.trim());
  t.equal(ran.err, '', 'quiet on stderr');
  return ran;
}

t.test('the sh blocks, from top to bottom', (t) => {
  const cwd = folder(t);
  cpSync('fixtures/spool/incoming', join(cwd, 'incoming'), { recursive: true });
  const [path, ...others] = blocks.filter(({ kind }) => kind === 'sh');
  t.match(path!.text, /export PATH=.*bin/);
  t.equal(shell(path!.text.replaceAll('/tmp/try', join(cwd, 'elsewhere')), { cwd: ROOT }).code, 0);
  t.equal(tree(join(cwd, 'elsewhere/incoming')).length, 24);
  const outs = others.map(({ text }) => run(t, text, cwd).out);
  t.equal(outs.length, 8);
  t.same(readdirSync(join(cwd, 'incoming')), []);
  t.same(
    rows(outs[1]!).map((row) => row.measurement_uid),
    [UID, UID],
    'by uid and by report and input',
  );
  t.match(outs[2]!, /oldest hour +nothing waits/);
  t.equal(outs[3]!.split('\n')[1], `2024020110_IT_webconnectivity/${UID}.post`);
  t.equal(outs[4], '10\n', 'all measurements of Italy and one test');
  t.match(tree(join(cwd, 'store-private')), [
    /^jsonl\/facebookmessenger\/IT\/20240201\/00\/20240201_IT_facebookmessenger\.x\.[0-9a-f]{16}\.jsonl\.gz$/,
  ]);
  t.same(readdirSync(join(cwd, 'archive')), [], 'old reports have left their archive');
  t.equal(tree(join(cwd, 'reports-raw')).filter((file) => /\.(?:json|yaml)$/.test(file)).length, 6);
  t.equal(tree(join(cwd, 'store-public')).filter((file) => file.endsWith('.jsonl.gz')).length, 6);
  t.end();
});

t.test('the crontab line', (t) => {
  const cwd = folder(t);
  cpSync('fixtures/spool/incoming', join(cwd, 'incoming'), { recursive: true });
  const crontab = blocks.find(({ kind }) => kind === 'crontab')!.text;
  const line = /^7 \* \* \* \* +(.*)$/m.exec(crontab)![1]!;
  t.match(crontab, /^SHELL=\/bin\/bash$/m);
  const { code, err } = shell(line.replace('/srv/ooni', cwd).replace('s3://bucket', 'store'), {
    env: { PATH: `${BIN}:${process.env.PATH}` },
  });
  t.equal(code, 0, err);
  t.same(readdirSync(join(cwd, 'incoming')), []);
  t.equal(tree(join(cwd, 'store')).length, 16);
  t.end();
});

t.test('the SQL', async (t) => {
  const cwd = folder(t);
  cpSync('fixtures/spool/incoming', join(cwd, 'incoming'), { recursive: true });
  run(t, blocks.filter(({ kind }) => kind === 'sh')[1]!.text, cwd);
  const { default: Database } = await import('better-sqlite3');
  const db = new Database(join(cwd, 'jsonl.sqlite'), { readonly: true });
  const sql = blocks.find(({ kind }) => kind === 'sql')!.text;
  const shown = /'(.*)…'/.exec(sql)![1]!;
  const full = db.prepare('SELECT DISTINCT report_id FROM jsonl WHERE report_id LIKE ?').pluck().get(`${shown}%`);
  t.ok(full, 'the report of the example is one of the shipped ones');
  t.equal(db.prepare(sql.replace(`${shown}…`, full as string)).all().length, 7);
  t.same(
    db
      .prepare('SELECT * FROM jsonl')
      .columns()
      .map(({ name }) => name),
    ['report_id', 'input', 's3path', 'linenum', 'measurement_uid'],
  );
  db.close();
  t.end();
});

t.test('the S3 block', async (t) => {
  const cwd = folder(t);
  cpSync('fixtures/spool/incoming', join(cwd, 'incoming'), { recursive: true });
  const {
    CANNERY_TEST_S3_ENDPOINT: endpoint,
    CANNERY_TEST_S3_ACCESS_KEY: key,
    CANNERY_TEST_S3_SECRET_KEY: secret,
  } = process.env;
  let text = blocks.find(({ kind }) => kind === 's3')!.text;
  if (endpoint) {
    const { CreateBucketCommand, S3Client } = await import('@aws-sdk/client-s3');
    const Bucket = `readme-${process.pid}-${Date.now()}`;
    const credentials = { accessKeyId: key!, secretAccessKey: secret! };
    await new S3Client({ endpoint, region: 'us-east-1', forcePathStyle: true, credentials }).send(
      new CreateBucketCommand({ Bucket }),
    );
    text = text
      .replaceAll('s3://bucket', `s3://${Bucket}`)
      .replace('KEY_ID=…', `KEY_ID=${key}`)
      .replace('ACCESS_KEY=…', `ACCESS_KEY=${secret}`);
    text = `export AWS_ENDPOINT_URL_S3=${endpoint}\n${text.replace('eu-central-1', 'us-east-1')}`;
  } else {
    t.comment('no S3 server here: a folder stands in the place of the bucket (make servers starts one)');
    mkdirSync(join(cwd, 'bucket'));
    text = text.replaceAll('s3://bucket', 'bucket');
  }
  t.equal(rows(run(t, text, cwd).out)[0]?.measurement_uid, UID);
  t.end();
});

t.test('the blocks for researchers, on a bucket like the public one', async (t) => {
  const env = asNobody(await publicServer(t, 'ooni-data-eu-fra', publicBucket()));
  const cwd = folder(t);
  const outs: string[] = [];
  for (const { text } of blocks.filter(({ kind }) => kind === 'researcher')) {
    const ran = await shellAsync(text.replace(' | head -n 1', ''), { cwd, env });
    t.equal(ran.code, 0, text.trim());
    t.equal(ran.err, '', 'quiet on stderr');
    outs.push(ran.out);
  }
  t.match(outs[0], /\n2024-02-01 IT webconnectivity +3 +\d+\ntotal/);
  t.equal(rows(readFileSync(join(cwd, 'fetched.jsonl'), 'utf8')).length, 3);
  t.equal(outs[2]!.split('\n').length, 10);
  for (const { probe_cc } of rows<{ probe_cc: string }>(outs[2]!)) t.equal(probe_cc, 'IT');
});

t.test('every option, verb and file that README names exists', (t) => {
  const help = shell(
    'for v in $(cannery --help | sed -n "s/^  \\([a-z]*\\) .*/\\1/p"); do cannery $v --help; done',
  ).out;
  for (const [, option] of readme.matchAll(/`?(--[a-z][a-z-]+)/g)) t.ok(help.includes(option!), `${option}`);
  for (const [, file] of readme.matchAll(/\]\(([A-Z]+(?:\.md)?)\)/g)) t.ok(readFileSync(file!).length > 0, `${file}`);
  t.end();
});
