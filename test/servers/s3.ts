// What the tests of S3 share: buckets on the real server, cans to send there, and a proxy on loopback that
// counts requests and breaks them on purpose.
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { cpSync, readdirSync } from 'node:fs';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { finished } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import t, { type Test } from 'tap';
import { folder, putPost, type Ran, rows, shell, shellAsync, uidFor } from '../lib.ts';

process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = 'true';

export interface Server {
  endpoint: string;
  accessKey: string;
  secretKey: string;
}

/** The server that test/run.sh found running. */
export function runningServer(): Server | undefined {
  const {
    CANNERY_TEST_S3_ENDPOINT: endpoint,
    CANNERY_TEST_S3_ACCESS_KEY: accessKey,
    CANNERY_TEST_S3_SECRET_KEY: secretKey,
  } = process.env;
  return endpoint && accessKey && secretKey ? { endpoint, accessKey, secretKey } : undefined;
}

/** The tests of one file: each is skipped, with the reason, where no server runs. */
export function suite() {
  const found = runningServer();
  const skip = found ? false : 'no S3 server is running (make servers starts one)';
  let three: ReturnType<typeof makeCans> | undefined;
  return {
    test: (name: string, run: (t: Test) => Promise<void>) => t.test(name, { skip }, run),
    running: found !== undefined,
    /** For tests that are not skipped. */
    server: () => found!,
    /** Three cans of one post each, packed once a file. */
    threeCans: (own: Test) => copyOf(own, (three ??= makeCans(t, 3))),
  };
}

export type Env = Record<string, string | undefined>;

/** The environment that leads cannery to a server, and to no other: what the caller has set is taken out. */
export function environmentFor(server: Server, more: Env = {}): Env {
  return {
    ...NO_AWS,
    AWS_ACCESS_KEY_ID: server.accessKey,
    AWS_SECRET_ACCESS_KEY: server.secretKey,
    AWS_REGION: 'us-east-1',
    AWS_ENDPOINT_URL_S3: server.endpoint,
    ...more,
  };
}

const NO_AWS: Env = {
  AWS_ACCESS_KEY_ID: undefined,
  AWS_SECRET_ACCESS_KEY: undefined,
  AWS_SESSION_TOKEN: undefined,
  AWS_PROFILE: undefined,
  AWS_REGION: undefined,
  AWS_DEFAULT_REGION: undefined,
  AWS_ENDPOINT_URL: undefined,
  AWS_ENDPOINT_URL_S3: undefined,
  AWS_CONFIG_FILE: '/dev/null',
  AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
};

// --- buckets

/** A new bucket on a server; it goes with what is in it when the test ends. */
export class Bucket {
  readonly name = `cannery-${process.pid}-${randomBytes(4).toString('hex')}`;
  readonly url = `s3://${this.name}`;
  readonly server: Server;
  readonly client: S3Client;

  static async make(t: Test, server: Server): Promise<Bucket> {
    const bucket = Bucket.later(t, server);
    await bucket.create();
    return bucket;
  }

  /** One that is not there yet. */
  static later(t: Test, server: Server): Bucket {
    const bucket = new Bucket(server);
    t.teardown(() => bucket.#remove());
    return bucket;
  }

  async create(): Promise<void> {
    await this.client.send(new CreateBucketCommand({ Bucket: this.name }));
  }

  private constructor(server: Server) {
    this.server = server;
    this.client = new S3Client({
      endpoint: server.endpoint,
      region: 'us-east-1',
      credentials: { accessKeyId: server.accessKey, secretAccessKey: server.secretKey },
      forcePathStyle: true,
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
      maxAttempts: 6,
    });
  }

  env(more: Env = {}): Env {
    return environmentFor(this.server, more);
  }

  /** Every key with its ETag, by name, listed in pages as a server gives them. */
  async list(): Promise<{ key: string; etag: string }[]> {
    const found: { key: string; etag: string }[] = [];
    for (let token: string | undefined, more = true; more; ) {
      const page = await this.client.send(
        new ListObjectsV2Command({ Bucket: this.name, ...(token === undefined ? {} : { ContinuationToken: token }) }),
      );
      for (const { Key, ETag } of page.Contents ?? []) found.push({ key: Key!, etag: ETag!.replaceAll('"', '') });
      token = page.NextContinuationToken;
      more = page.IsTruncated === true;
    }
    return found.sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  async keys(): Promise<string[]> {
    return (await this.list()).map(({ key }) => key);
  }

  async get(key: string): Promise<Buffer> {
    const { Body } = await this.client.send(new GetObjectCommand({ Bucket: this.name, Key: key }));
    return Buffer.from(await Body!.transformToByteArray());
  }

  /** Puts an object over whatever is there. */
  async put(key: string, bytes: Uint8Array): Promise<void> {
    await this.client.send(new PutObjectCommand({ Bucket: this.name, Key: key, Body: Buffer.from(bytes) }));
  }

  async remove(key: string): Promise<void> {
    await this.client.send(new DeleteObjectCommand({ Bucket: this.name, Key: key }));
  }

  async #remove(): Promise<void> {
    try {
      for (let keys = await this.keys(); keys.length > 0; keys = keys.slice(1000)) {
        const Objects = keys.slice(0, 1000).map((Key) => ({ Key }));
        await this.client.send(new DeleteObjectsCommand({ Bucket: this.name, Delete: { Objects, Quiet: true } }));
      }
      await this.client.send(new DeleteBucketCommand({ Bucket: this.name }));
    } catch (error) {
      if ((error as Error).name !== 'NoSuchBucket') throw error;
    } finally {
      this.client.destroy();
    }
  }
}

// --- cans

export interface CanFile {
  name: string;
  bytes: number;
  sha256: string;
  s3path: string;
}

export interface Can {
  can: string;
  dir: string;
  files: [CanFile, CanFile];
}

/** An `outgoing` folder with cans, and the rows that name them. */
export interface Packed {
  cwd: string;
  /** Can rows, as postcan gave them. */
  text: string;
  cans: Can[];
}

/** A document as the only one of its post: what `get` must give back, byte for byte. */
export interface Sent {
  uid: string;
  document: string;
  reportId: string;
  input: string;
}

/** A post in a folder's `incoming`. */
export function send(
  cwd: string,
  n: number,
  { time = '20240201100000', cc = 'IT', test = 'webconnectivity', more = '' } = {},
): Sent {
  const reportId = `${time.slice(0, 8)}T${time.slice(8)}Z_${test}_${cc}_3269_n1_${'x'.repeat(16)}`;
  const input = `https://example.org/${n}?a=\\u003cb\\u003e&π`;
  // Numbers, escapes, order and spaces that no parser would give back as they are.
  const document =
    `{"zzz": 1.0, "big":1152921504606846976,"report_id":"${reportId}","input":"${input}",` +
    `"probe_cc":"${cc}","test_name":"${test}","measurement_start_time":"2024-02-01 09:59:59","n":${n},"t":1e-07,"text":"\\u003c\\/\\ud83d\\ude00"${more}}`;
  const post = `{"format":"json","content":${document}}`;
  const where = { time: `${time}.${String(n).padStart(6, '0')}`, cc, test };
  putPost(join(cwd, 'incoming'), post, where);
  return { uid: uidFor(Buffer.from(post), where), document, reportId, input: JSON.parse(`"${input}"`) as string };
}

/** Packs what lies in a folder's `incoming`. */
export function pack(cwd: string, options = ''): Packed {
  const done = shell(
    `cannery ls incoming/ --due | cannery postcan --spool incoming/ --to outgoing/ --host n0 ${options}`,
    { cwd },
  );
  if (done.code !== 0) throw new Error(`postcan: ${done.code}: ${done.err}`);
  return { cwd, text: done.out, cans: rows<Can>(done.out) };
}

/** Cans of one post each, in as many countries (up to 676). */
export function makeCans(t: Test, count: number, more = ''): Packed & { sent: Sent[] } {
  const cwd = folder(t);
  const sent: Sent[] = [];
  for (let n = 0; n < count; n++) sent.push(send(cwd, n, { cc: country(n), more }));
  return { ...pack(cwd), sent };
}

export function country(n: number): string {
  return String.fromCharCode(65 + Math.floor(n / 26), 65 + (n % 26));
}

/** The same cans in a folder of their own, as if another machine of the same name had packed them. */
export function copyOf<P extends Packed>(t: Test, packed: P): P {
  const cwd = folder(t);
  cpSync(join(packed.cwd, 'outgoing'), join(cwd, 'outgoing'), { recursive: true });
  const text = packed.text.replaceAll(packed.cwd, cwd);
  return { ...packed, cwd, text, cans: rows<Can>(text) };
}

/** Names of the cans in a state. */
export function inState(cwd: string, state: 'ready' | 'sent' | 'indexed' | 'held'): string[] {
  return readdirSync(join(cwd, 'outgoing', state)).sort();
}

export function keysOf({ cans }: Packed): string[] {
  return cans.flatMap(({ files }) => files.map(({ s3path }) => s3path)).sort();
}

/** `cannery upload` of cans, with statistics as the last line of stderr. */
export async function upload(packed: Packed, store: string, env: Env, options = ''): Promise<Ran & Timed> {
  return timed(() =>
    shellAsync(`cannery upload ${store} --stats ${options}`, { cwd: packed.cwd, stdin: packed.text, env }),
  );
}

interface Timed {
  seconds: number;
}

export async function timed(run: () => Promise<Ran>): Promise<Ran & Timed> {
  const started = performance.now();
  const ran = await run();
  return { ...ran, seconds: (performance.now() - started) / 1000 };
}

/** The counts of `--stats`. */
export function stats({ err }: Ran): Record<string, number> {
  const line = err.split('\n').findLast((one) => one.startsWith('{"stage"'));
  return JSON.parse(line ?? '{}') as Record<string, number>;
}

/** What a person reads on stderr. */
export function messages({ err }: Ran): string {
  return err
    .split('\n')
    .filter((line) => !line.startsWith('{"stage"'))
    .join('\n');
}

/** Checks an exit code, and shows on a failure what was said. */
export function exits(t: Test, ran: Ran, code: number): void {
  if (!t.equal(ran.code, code, `exit ${code}`)) t.comment(messages(ran));
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Every object of the cans is in the bucket with the cans' own bytes, and nothing else is. */
export async function checkObjects(t: Test, bucket: Bucket, cans: Can[], prefix = ''): Promise<void> {
  const files = cans.flatMap((can) => can.files);
  t.same(await bucket.keys(), files.map(({ s3path }) => prefix + s3path).sort(), 'these keys and no others');
  const wrong: string[] = [];
  const check = async ({ s3path, bytes, sha256: digest }: CanFile) => {
    const object = await bucket.get(prefix + s3path);
    if (object.length !== bytes || sha256(object) !== digest) wrong.push(s3path);
  };
  for (let n = 0; n < files.length; n += 32) await Promise.all(files.slice(n, n + 32).map(check));
  t.same(wrong, [], 'byte for byte');
}

// --- a proxy that breaks things

/** What becomes of one request. */
export type Fate =
  /** Forwarded, and the answer given. */
  | 'pass'
  /** Not forwarded: the connection is cut. */
  | 'reset'
  /** Forwarded; the connection is cut instead of an answer. */
  | 'lose'
  /** Forwarded; the connection is cut in the middle of the answer's body. */
  | 'cut'
  /** Forwarded; the answer's body stands still in its middle. */
  | 'stall'
  /** Forwarded; the answer's body comes in parts, half a second between them. */
  | 'slow'
  /** Forwarded; an answer's ETag is no MD5. */
  | 'etag'
  /** Forwarded; an answer's ETag is an MD5, of other bytes. */
  | 'md5'
  /** Forwarded; half of the answer's body comes, and as much is announced. */
  | 'short'
  /** Forwarded with a byte changed, and without the digest that would tell. */
  | 'spoil'
  /** Neither read nor answered. */
  | 'deaf'
  /** An answer of the proxy's own. */
  | { status: number; body?: string; headers?: Record<string, string> };

export interface Seen {
  method: string;
  /** Key in the bucket. */
  key: string;
  range: string | undefined;
  /** The region that it was signed for. */
  region: string | undefined;
  /** How many requests of this method and key came before. */
  nth: number;
  /** Of the answer; 0 where there was none. */
  status: number;
  /** Bytes of the answer's body. */
  bytes: number;
}

export class Relay {
  readonly seen: Seen[] = [];
  endpoint = '';
  #target: URL;
  #fate: (request: Seen) => Fate | Promise<Fate>;

  /** A server on loopback before another; it goes when the test ends. */
  static async make(t: Test, target: string, fate: (request: Seen) => Fate | Promise<Fate>): Promise<Relay> {
    const relay = new Relay(target, fate);
    const answer = (req: IncomingMessage, res: ServerResponse) => {
      relay.#answer(req, res).catch(() => req.destroy());
    };
    const server = createServer(answer).on('checkContinue', answer);
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    relay.endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    t.teardown(async () => {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    });
    return relay;
  }

  private constructor(target: string, fate: (request: Seen) => Fate | Promise<Fate>) {
    this.#target = new URL(target);
    this.#fate = fate;
  }

  /** Requests of a method. */
  of(method: string): Seen[] {
    return this.seen.filter((one) => one.method === method);
  }

  async #answer(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const method = req.method!;
    const key = decodeURIComponent(new URL(req.url!, 'http://relay').pathname.split('/').slice(2).join('/'));
    const nth = this.seen.filter((one) => one.method === method && one.key === key).length;
    const region = /Credential=[^,]*?\/\d{8}\/([^/]+)\//.exec(req.headers.authorization ?? '')?.[1];
    const seen: Seen = { method, key, range: req.headers.range, region, nth, status: 0, bytes: 0 };
    this.seen.push(seen);
    const fate = await this.#fate(seen);
    if (fate === 'deaf') return;
    if (fate === 'reset') return void req.socket.resetAndDestroy();
    if (typeof fate === 'object') {
      seen.status = fate.status;
      res.writeHead(fate.status, fate.headers).end(method === 'HEAD' ? undefined : fate.body);
      req.resume(); // a client that is still sending must be let finish
      return;
    }
    if (req.headers.expect) res.writeContinue();
    const answer = await this.#forward(req, fate === 'spoil');
    if (fate === 'lose') {
      answer.resume();
      await once(answer, 'end');
      return void req.socket.resetAndDestroy();
    }
    seen.status = answer.statusCode!;
    const { etag, ...headers } = answer.headers;
    if (fate === 'short' && method === 'GET') headers['content-length'] = String(halfOf(answer));
    res.writeHead(seen.status, { ...headers, ...(etag && { etag: ETAGS.get(fate) ?? etag }) });
    await this.#pass(answer, res, seen, fate);
  }

  async #pass(answer: IncomingMessage, res: ServerResponse, seen: Seen, fate: Fate): Promise<void> {
    const length = Number(answer.headers['content-length'] ?? 0);
    const half = fate === 'cut' || fate === 'stall' || fate === 'short' ? halfOf(answer) : Number.POSITIVE_INFINITY;
    for await (const piece of answer as AsyncIterable<Buffer>) {
      const part = piece.subarray(0, half - seen.bytes);
      if (!res.write(part)) await once(res, 'drain');
      const quarters = Math.floor((seen.bytes / length) * 4);
      seen.bytes += part.length;
      if (fate === 'slow' && Math.floor((seen.bytes / length) * 4) > quarters) await sleep(500);
      if (seen.bytes < half) continue;
      await sleep(20 + half / 5000); // so that the first half arrives: a reset takes what was not read yet
      if (fate === 'cut') res.socket?.resetAndDestroy();
      if (fate === 'short') res.end();
      return;
    }
    res.end();
  }

  async #forward(req: IncomingMessage, spoil: boolean): Promise<IncomingMessage> {
    const { hostname, port } = this.#target;
    const { method, url: path, headers } = req;
    const { expect: _, ...rest } = headers; // answered here
    if (spoil) {
      delete rest['content-md5'];
      req.once('data', (piece: Buffer) => piece.writeUInt8(piece.readUInt8(0) ^ 1));
      req.pause(); // until it is piped
    }
    return new Promise((done, failed) => {
      const onward = request({ hostname, port, method, path, headers: rest }, done);
      onward.on('error', failed);
      finished(req, (gone) => gone && onward.destroy()); // the server would wait for the rest
      req.pipe(onward);
    });
  }
}

const ETAGS = new Map<Fate, string>([
  ['etag', '"0-2"'],
  ['md5', `"${'0'.repeat(32)}"`],
]);

function halfOf({ headers }: IncomingMessage): number {
  return Math.floor(Number(headers['content-length'] ?? 0) / 2);
}

/** A port of loopback on which nobody listens. */
export async function closedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  await new Promise((done) => server.close(done));
  return port;
}

export function md5(bytes: Uint8Array): string {
  return createHash('md5').update(bytes).digest('hex');
}

/** Runs with other environment variables in this process. */
export async function inEnvironment(env: Env, run: () => Promise<void>): Promise<void> {
  const before = Object.keys(env).map((name) => [name, process.env[name]] as const);
  const set = (entries: readonly (readonly [string, string | undefined])[]) => {
    for (const [name, value] of entries) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  };
  set(Object.entries(env));
  try {
    await run();
  } finally {
    set(before);
  }
}
