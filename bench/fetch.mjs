// What copying a part of a bucket costs, against the AWS CLI: the same objects from the same server on loopback. Both write
// every file under its key; `cannery fetch` also hashes what comes, compares it with what the server tells of it, and fsyncs each
// file and its line in the manifest.
//   make servers; bash -c '. ~/.cache/cannery-radosgw/env; node bench/fetch.mjs DIR [ROUNDS]'
import { createHash } from 'node:crypto';
import { mkdirSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import {
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { contest, has } from './contest.mjs';

const [dir, rounds = '3'] = process.argv.slice(2);
const { CANNERY_TEST_S3_ENDPOINT: endpoint } = process.env;
if (!dir || !endpoint)
  throw new Error('usage: node bench/fetch.mjs DIR [ROUNDS], with the environment of the S3 server');
const work = join(resolve(dir), 'fetch');
const cannery = `node ${resolve('bin/cannery')}`;
const credentials = {
  accessKeyId: process.env.CANNERY_TEST_S3_ACCESS_KEY,
  secretAccessKey: process.env.CANNERY_TEST_S3_SECRET_KEY,
};

/** Bytes that nothing makes smaller, as those of cans are. */
function noise(length, seed) {
  const piece = createHash('sha512').update(String(seed)).digest();
  const bytes = Buffer.alloc(length, piece);
  for (let at = 0; at < length; at += 64) bytes.writeUInt32LE(at, at);
  return bytes;
}

const s3 = new S3Client({ endpoint, credentials, region: 'us-east-1', forcePathStyle: true });
const Bucket = `bench-${process.pid}`;
await s3.send(new CreateBucketCommand({ Bucket }));
const keys = Array.from({ length: 150 }, (_, n) => {
  const hour = `202402${String(1 + Math.floor(n / 24)).padStart(2, '0')}${String(n % 24).padStart(2, '0')}`;
  return `raw/${hour.slice(0, 8)}/${hour.slice(8)}/IT/webconnectivity/${hour}_IT_webconnectivity.n0.0.jsonl.gz`;
});
try {
  for (const [n, Key] of keys.entries())
    await s3.send(new PutObjectCommand({ Bucket, Key, Body: noise(n % 10 === 0 ? 10_485_760 : 1_048_576, n) }));
  const environment = [
    `export AWS_ACCESS_KEY_ID=${credentials.accessKeyId} AWS_SECRET_ACCESS_KEY=${credentials.secretAccessKey}`,
    `AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1 AWS_ENDPOINT_URL_S3=${endpoint}`,
  ].join(' ');
  const before = () => {
    rmSync(work, { recursive: true, force: true });
    mkdirSync(work, { recursive: true });
  };
  const of = (name, line) => ({ name, line: `${environment}; ${line}`, cwd: work, before });
  await contest(
    'fetch, 290 MB in 150 files',
    [
      ...((await has('aws'))
        ? [of('aws s3 sync', `aws s3 sync --quiet --endpoint-url ${endpoint} s3://${Bucket} mirror`)]
        : []),
      of(
        'cannery ls | cannery fetch',
        `${cannery} ls s3://${Bucket} --test webconnectivity | ${cannery} fetch --to mirror > rows`,
      ),
    ],
    Number(rounds),
  );
} finally {
  for (const Key of keys) await s3.send(new DeleteObjectCommand({ Bucket, Key }));
  await s3.send(new DeleteBucketCommand({ Bucket }));
  rmSync(work, { recursive: true, force: true });
}
