// The hourly pipeline beside `postcan` alone, and to a server whose every put takes a second longer: while one stage waits
// or works, the others go on.
//   node bench/spool.mjs --to DIR && node bench/slowputs.mjs DIR [ROUNDS]
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { join, resolve } from 'node:path';
import { contest } from './contest.mjs';
import { ours } from './ours.mjs';

const [dir, rounds = '3'] = process.argv.slice(2);
if (!dir) throw new Error('usage: node bench/slowputs.mjs DIR [ROUNDS]');
const root = resolve(dir);
const work = join(root, 'slowputs');
const cannery = `node ${resolve('bin/cannery')}`;

// The small S3 of the tests, in this process.
const { FakeS3 } = await ours('test/servers/fakes3.ts');
const fake = await FakeS3.make({ teardown() {} });

/** Hands each request on; a put waits first. */
function slow(ms) {
  const server = createServer((req, res) => {
    const { port } = new URL(fake.endpoint);
    const hand = () => {
      const on = request({ host: '127.0.0.1', port, method: req.method, path: req.url, headers: req.headers });
      on.on('response', (answer) => {
        res.writeHead(answer.statusCode, answer.headers);
        answer.pipe(res);
      });
      on.on('error', () => res.destroy());
      req.pipe(on);
    };
    if (req.method === 'PUT' && ms > 0) setTimeout(hand, ms);
    else hand();
  });
  return new Promise((done) => server.listen(0, '127.0.0.1', () => done(`http://127.0.0.1:${server.address().port}`)));
}
const endpoints = { quick: await slow(0), slow: await slow(1000) };

const before = () => {
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work);
  spawnSync('cp', ['-rl', join(root, 'incoming/'), work]);
  fake.begin('cannery');
};
const environment = (endpoint) =>
  `AWS_ACCESS_KEY_ID=${fake.accessKey} AWS_SECRET_ACCESS_KEY=${fake.secretKey} AWS_REGION=us-east-1 AWS_ENDPOINT_URL_S3=${endpoint}`;
const packed = `${cannery} ls incoming | ${cannery} postcan --spool incoming --to outgoing --host n0`;
const pipeline = (name, store, env = '') => ({
  name,
  line: `export ${env} LC_ALL=C; ${packed} | ${cannery} upload ${store} | ${cannery} index jsonl.sqlite | ${cannery} clear > receipts`,
  cwd: work,
  before,
});
await contest(
  'the whole pipeline',
  [
    { name: 'postcan alone', line: `${packed} > receipts`, cwd: work, before },
    pipeline('into a folder', 'store'),
    pipeline('to a server', 's3://cannery', environment(endpoints.quick)),
    pipeline('to a server, puts 1 s slower', 's3://cannery', environment(endpoints.slow)),
  ],
  Number(rounds),
);
rmSync(work, { recursive: true, force: true });
process.exit(0);
