import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  type S3ServiceException,
} from '@aws-sdk/client-s3';
import { describe, Failure, Malformed } from '../stream/errors.ts';
import type { PutResult, Store, StoredFile, StoredObject, StoreOptions } from './store.ts';

/**
 * Connections that may fail one after the other before a request, and with it the run, ends. Each request
 * counts its own: of 64 under way at once, 20 fail in the first moment of a server's restart.
 */
const MAX_LOST_CONNECTIONS = 20;
const FIRST_WAIT_MS = 100;
const LONGEST_WAIT_MS = 5_000;
/** Silence on a connection after which it is given up. A slow one may take as long as it needs. */
const IDLE_MS = 60_000;

/** The SDK would write its own words to stderr, where every line is one of ours. */
const SILENT = { debug() {}, info() {}, warn() {}, error() {} };

/**
 * S3, or a server that speaks it. Credentials, region and endpoint come from the standard AWS environment
 * variables and profiles alone.
 */
export class S3Store implements Store {
  readonly name: string;
  protected client: S3Client;
  #bucket: string;
  #prefix: string;
  #options: StoreOptions;
  #idleMs: number;
  /** Where the server says that the bucket is, if not where the environment says. */
  #region: string | undefined;

  constructor(name: string, options: StoreOptions, idleMs = IDLE_MS) {
    process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= 'true';
    this.name = name;
    this.#options = options;
    this.#idleMs = idleMs;
    const [, bucket, prefix] = /^s3:\/\/([^/]+)\/?(.*)$/.exec(name)!;
    this.#bucket = bucket!;
    this.#prefix = prefix === '' ? '' : `${prefix}/`;
    const { AWS_REGION, AWS_DEFAULT_REGION } = process.env;
    if (AWS_REGION === undefined && AWS_DEFAULT_REGION) process.env.AWS_REGION = AWS_DEFAULT_REGION;
    this.client = this.connect();
  }

  protected connect(): S3Client {
    return new S3Client({
      ...(this.#region === undefined ? {} : { region: this.#region }),
      // Retries are ours, and so are redirects to another region: each needs the body opened anew.
      maxAttempts: 1,
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
      // Understood by AWS and by every other server; a name for each bucket in the DNS is not.
      forcePathStyle: true,
      requestHandler: { connectionTimeout: 10_000, socketTimeout: this.#idleMs },
      logger: SILENT,
    });
  }

  async put(key: string, file: StoredFile): Promise<PutResult> {
    try {
      await this.#retry('put', key, () => this.putOnce(key, file));
    } catch (error) {
      // Somebody's bytes are there: another's, or our own after an answer that was lost.
      if (statusOf(error) !== 412) throw error;
      return (await this.holds(key, file)) ? 'same' : 'other';
    }
    if (!(await this.holds(key, file)))
      throw new Failure(`${this.name}/${key}: the store holds other bytes than were put`);
    return 'stored';
  }

  protected async putOnce(key: string, file: StoredFile): Promise<void> {
    const body = createReadStream(file.path);
    // The SDK pipes the body and does not listen to it: its error would end the process, and a file that is
    // shorter than was said would leave the server waiting.
    const abort = new AbortController();
    let unread: Failure | undefined;
    const fail = (reason: string) => {
      unread = new Failure(reason);
      abort.abort();
    };
    body.once('error', (error) => fail(describe(error)));
    body.once('end', () => {
      if (body.bytesRead !== file.bytes) fail(`${file.path}: ${body.bytesRead} bytes, not ${file.bytes}`);
    });
    try {
      await this.client.send(
        new PutObjectCommand({
          ...this.at(key),
          Body: body,
          ContentLength: file.bytes,
          ContentMD5: Buffer.from(file.md5, 'hex').toString('base64'),
          ContentType: 'application/gzip',
          IfNoneMatch: '*',
        }),
        { abortSignal: abort.signal },
      );
    } catch (error) {
      throw unread ?? error;
    } finally {
      body.destroy(); // a request that ended early leaves it open
    }
  }

  /** An ETag is an MD5 for most single puts, but not for all: then the object is read back. */
  async holds(key: string, file: StoredFile): Promise<boolean> {
    const head = await this.#retry('head', key, () => this.client.send(new HeadObjectCommand(this.at(key))));
    if (head.ContentLength !== file.bytes) return false;
    if (head.ETag?.replaceAll('"', '') === file.md5) return true;
    const digest = await this.#retry('get', key, async () => {
      const { Body } = await this.client.send(new GetObjectCommand(this.at(key)));
      const hash = createHash('sha256');
      for await (const piece of Body as AsyncIterable<Uint8Array>) hash.update(piece);
      return hash.digest('hex');
    });
    return digest === file.sha256;
  }

  async *list(folder: string): AsyncGenerator<StoredObject> {
    const { Bucket, Key: Prefix } = this.at(`${folder}/`);
    for (let token: string | undefined, more = true; more; ) {
      const page = await this.#retry('list', folder, () =>
        this.client.send(new ListObjectsV2Command({ Bucket, Prefix, ...(token && { ContinuationToken: token }) })),
      );
      for (const { Key = '', Size = Number.NaN, ETag = '' } of page.Contents ?? [])
        yield { key: Key.slice(this.#prefix.length), bytes: Size, etag: ETag.replaceAll('"', '') };
      token = page.NextContinuationToken;
      more = page.IsTruncated === true && token !== undefined;
    }
  }

  async size(key: string): Promise<number | undefined> {
    try {
      const head = await this.#retry('head', key, () => this.client.send(new HeadObjectCommand(this.at(key))));
      return head.ContentLength;
    } catch (error) {
      if (statusOf(error) === 404) return undefined;
      throw error;
    }
  }

  async read(key: string, offset: number, length: number): Promise<Buffer> {
    let bytes: Buffer;
    try {
      bytes = await this.#retry('get', key, async () => {
        const Range = `bytes=${offset}-${offset + length - 1}`;
        const { Body } = await this.client.send(new GetObjectCommand({ ...this.at(key), Range }));
        return Buffer.from(await Body!.transformToByteArray());
      });
    } catch (error) {
      // The store is well, this one object is not: a fault of the item, after which others are read.
      if (statusOf(error) === 404) throw new Malformed(`${key}: not in the store`);
      if (statusOf(error) === 416) throw new Malformed(`${key}: ends before byte ${offset}`);
      throw error;
    }
    if (bytes.length !== length) throw new Malformed(`${key}: ${bytes.length} bytes at ${offset}, not ${length}`);
    return bytes;
  }

  protected at(key: string): { Bucket: string; Key: string } {
    return { Bucket: this.#bucket, Key: this.#prefix + key };
  }

  /** Tries again what may pass; waits longer each time, up to a bound. */
  async #retry<T>(what: string, key: string, request: () => Promise<T>): Promise<T> {
    let lost = 0;
    for (let n = 1; ; n++) {
      try {
        return await request();
      } catch (error) {
        if (error instanceof Failure || error instanceof Malformed) throw error;
        const fault = classify(error);
        lost = fault.kind === 'connection' ? lost + 1 : 0;
        const where = `${this.name}/${key}: ${what}: ${fault.reason}`;
        if (fault.kind === 'status') throw new StatusError(where, fault.status);
        if (fault.region !== undefined && fault.region !== this.#region) {
          this.#region = fault.region;
          this.client = this.connect();
        }
        if (fault.kind === 'final') throw new Failure(where);
        if (lost >= MAX_LOST_CONNECTIONS) throw new Failure(`${where} (${lost} times in a row)`);
        if (n >= this.#options.attempts) throw new Failure(`${where} (${n} tries)`);
        this.#options.onRetry?.(`${where}; trying again`);
        const longest = Math.min(FIRST_WAIT_MS * 2 ** (n - 1), LONGEST_WAIT_MS);
        await sleep(longest * (0.5 + Math.random() / 2)); // not all at the same moment
      }
    }
  }

  close(): void {
    this.client.destroy();
  }
}

/** An answer that the caller may know how to take: 404, 412. */
class StatusError extends Failure {
  readonly status: number;
  constructor(message: string, status: number) {
    super(message);
    this.status = status;
  }
}

function statusOf(error: unknown): number | undefined {
  return error instanceof StatusError ? error.status : undefined;
}

type Fault = { reason: string; region?: string | undefined } & (
  | { kind: 'connection' | 'again' | 'final' }
  | { kind: 'status'; status: number }
);

const PASSING = new Set([
  'SlowDown',
  'RequestTimeout',
  'ConditionalRequestConflict',
  'OperationAborted',
  'RequestTimeTooSkewed',
  'BadDigest',
  'IncompleteBody',
  'ServiceUnavailable',
  'InternalError',
  'ThrottlingException',
]);
const CONNECTION = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ERR_STREAM_PREMATURE_CLOSE',
]);

/** Only names and codes go into messages: a server's text may quote what was signed. */
function classify(error: unknown): Fault {
  const { name, code, message, $metadata, $response } = error as S3ServiceException & { code?: string };
  const status = $metadata?.httpStatusCode;
  if (status === undefined) {
    if (
      CONNECTION.has(code ?? '') ||
      name === 'TimeoutError' ||
      name === 'AbortError' ||
      /socket hang up|aborted/.test(message)
    ) {
      return { kind: 'connection', reason: `no answer (${code ?? name})` };
    }
    if (/[Rr]egion is missing/.test(message))
      return { kind: 'final', reason: 'no region: set AWS_REGION, or region in the profile' };
    if (/[Cc]redential/.test(name + message)) {
      return {
        kind: 'final',
        reason: 'no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE',
      };
    }
    return { kind: 'final', reason: code ?? `${name}: ${message}` };
  }
  const reason = name === 'Unknown' ? String(status) : `${status} ${name}`; // an answer without a body names nothing
  const region = $response?.headers['x-amz-bucket-region'];
  if ((status === 301 || status === 307) && region !== undefined)
    return { kind: 'again', reason: `the bucket is in region ${region}`, region };
  if (status === 501) return { kind: 'final', reason }; // the server will not learn it
  if (status >= 500 || status === 408 || status === 429 || status === 409 || PASSING.has(name))
    return { kind: 'again', reason };
  if (name === 'NoSuchBucket') return { kind: 'final', reason: 'no such bucket' };
  if (status === 404 || status === 412 || status === 416) return { kind: 'status', status, reason };
  if (status === 401 || status === 403) return { kind: 'final', reason: `access denied (${name})` };
  return { kind: 'final', reason };
}
