import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  GetObjectCommand,
  type GetObjectCommandOutput,
  HeadBucketCommand,
  HeadObjectCommand,
  type HeadObjectCommandOutput,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  type S3ServiceException,
} from '@aws-sdk/client-s3';
import type { KeyRange } from '../record/keyplan.ts';
import { compareKeys } from '../record/names.ts';
import { type StorePlace, storePlace } from '../record/storeurls.ts';
import { describe, Failure, Malformed } from '../stream/errors.ts';
import {
  Changed,
  type ObjectFacts,
  type Offer,
  type PutResult,
  packedDigests,
  type Store,
  type StoredFile,
  type StoredObject,
  type StoreOptions,
  type Taker,
} from './store.ts';

/**
 * Connections that may fail one after the other before a request, and with it the run, ends. Each request
 * counts its own: of 64 under way at once, 20 fail in the first moment of a server's restart.
 */
const MAX_LOST_CONNECTIONS = 20;
const FIRST_WAIT_MS = 100;
const LONGEST_WAIT_MS = 5_000;
/** Silence on a connection after which it is given up. A slow one may take as long as it needs. */
const IDLE_MS = 60_000;

/** Where Amazon's servers are asked in which region a bucket is. */
const GUESS = 'us-east-1';

/** A signer that does not sign is how the library leaves it out. */
const UNSIGNED = {
  credentials: { accessKeyId: '', secretAccessKey: '' },
  signer: { sign: async <T>(request: T) => request },
};

/** The SDK would write its own words to stderr, where every line is one of ours. */
const SILENT = { debug() {}, info() {}, warn() {}, error() {} };

/** What a listing answers: objects, folders, and whether more is to come. */
export interface Page {
  objects: StoredObject[];
  /** Keys with the slash. */
  folders: string[];
  next: string | undefined;
}

/** The header that a server holds the bytes of a put to. */
export function contentMd5({ path, md5 }: StoredFile): string {
  if (md5 === undefined) throw new Error(`${path}: sent without its MD5`);
  return Buffer.from(md5, 'hex').toString('base64');
}

/**
 * S3, or a server that speaks it. Credentials, region and endpoint come from the standard AWS environment
 * variables and profiles alone; of an address of the web, from that address.
 */
export class S3Store implements Store {
  readonly name: string;
  /** Listings that were answered. */
  listCalls = 0;
  protected client: S3Client;
  #bucket: string;
  #prefix: string;
  #web: StorePlace['web'];
  #anonymous: boolean;
  #options: StoreOptions;
  #idleMs: number;
  /** Where the server says that the bucket is, if not where the environment says. */
  #region: string | undefined;
  #endpoint: string | undefined;

  constructor(name: string, options: StoreOptions, idleMs = IDLE_MS) {
    process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= 'true';
    this.name = name;
    this.#options = options;
    this.#idleMs = idleMs;
    const { bucket, prefix, web } = storePlace(name) as StorePlace;
    this.#bucket = bucket;
    this.#prefix = prefix === '' ? '' : `${prefix}/`;
    this.#web = web;
    this.#region = web && (web.region ?? GUESS);
    this.#anonymous = options.anonymous === 'always';
    const { AWS_REGION, AWS_DEFAULT_REGION } = process.env;
    if (AWS_REGION === undefined && AWS_DEFAULT_REGION) process.env.AWS_REGION = AWS_DEFAULT_REGION;
    this.client = this.connect();
  }

  protected connect(): S3Client {
    return new S3Client({
      ...(this.#region === undefined ? {} : { region: this.#region }),
      ...(this.#web && { endpoint: this.#web.endpoint ?? `https://s3.${this.#region}.amazonaws.com` }),
      ...(this.#anonymous && UNSIGNED),
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

  /** The server is asked of the library alone, by a request that is not sent. */
  async place(): Promise<{ store: string; endpoint?: string }> {
    this.#endpoint ??= await this.#findEndpoint();
    return { store: this.name, ...(this.#endpoint !== undefined && { endpoint: this.#endpoint }) };
  }

  async #findEndpoint(): Promise<string | undefined> {
    let endpoint: string | undefined;
    const command = new HeadBucketCommand({ Bucket: this.#bucket });
    command.middlewareStack.add(
      () =>
        async ({ request }) => {
          const { protocol, hostname, port } = request as { protocol: string; hostname: string; port?: number };
          // Of Amazon's, one region knows the buckets of all.
          const amazon = /(^|\.)amazonaws\.com(\.cn)?$/.test(hostname);
          endpoint = amazon ? 'aws' : `${protocol}//${hostname}${port === undefined ? '' : `:${port}`}`;
          return { response: {}, output: { $metadata: {} } };
        },
      { step: 'build', priority: 'high' },
    );
    try {
      await this.client.send(command);
    } catch {
      // What is missing, the first request will tell.
    }
    return endpoint;
  }

  async offer(key: string, file: StoredFile): Promise<Offer> {
    const { md5 } = await packedDigests(file);
    return { accept: () => this.put(key, { ...file, md5 }), drop() {} };
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
          ContentMD5: contentMd5(file),
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
    const head = await this.#head(key);
    if (head.ContentLength !== file.bytes) return false;
    if (head.ETag?.replaceAll('"', '') === file.md5) return true;
    const digest = await this.#retry('get', key, async () => {
      const { Body } = await this.client.send(new GetObjectCommand(this.at(key)));
      const hash = createHash('sha256');
      let bytes = 0;
      for await (const piece of Body as AsyncIterable<Uint8Array>) {
        hash.update(piece);
        bytes += piece.length;
      }
      // Or half an answer would make somebody else's bytes of our own.
      if (bytes < file.bytes) throw new CutShort();
      return hash.digest('hex');
    });
    return digest === file.sha256;
  }

  async *list(folder: string): AsyncGenerator<StoredObject> {
    yield* this.#objects(folder, '');
  }

  /** An answer to HEAD has no body to name its fault; one to GET has. */
  async #head(key: string): Promise<HeadObjectCommandOutput> {
    return this.#retry('head', key, async () => {
      const head = () => this.client.send(new HeadObjectCommand(this.at(key)));
      try {
        return await head();
      } catch (error) {
        const status = (error as S3ServiceException).$metadata?.httpStatusCode;
        if (status !== 400 && status !== 403) throw error;
        const { Body } = await this.client.send(new GetObjectCommand({ ...this.at(key), Range: 'bytes=0-0' }));
        await Body!.transformToByteArray();
        return await head(); // the answer told the library the time, say
      }
    });
  }

  async size(key: string): Promise<number | undefined> {
    try {
      return (await this.#head(key)).ContentLength;
    } catch (error) {
      if (statusOf(error) === 404) return undefined;
      throw error;
    }
  }

  async *walk(after: string): AsyncGenerator<StoredObject> {
    yield* this.#objects('', after);
  }

  /** Keys in a folder, or '' for all, in order, behind one of them. */
  async *#objects(folder: string, after: string): AsyncGenerator<StoredObject> {
    const range = { prefix: folder && `${folder}/`, after };
    for (let token: string | undefined, more = true; more; ) {
      const { objects, next } = await this.page(range, false, token);
      yield* objects;
      token = next;
      more = next !== undefined;
    }
  }

  /**
   * A page of a range, of what stands before its end.
   * @param byFolder what has a slash behind the prefix as folders
   * @param token    of the page before
   */
  async page({ prefix, after, until }: KeyRange, byFolder: boolean, token?: string): Promise<Page> {
    const { Bucket, Key: Prefix } = this.at(prefix);
    const place =
      token !== undefined ? { ContinuationToken: token } : after === '' ? {} : { StartAfter: this.at(after).Key };
    const command = { Bucket, Prefix, ...place, ...(byFolder && { Delimiter: '/' }) };
    const page = await this.#retry('list', prefix.replace(/\/$/, '') || after, () =>
      this.client.send(new ListObjectsV2Command(command)),
    );
    this.listCalls++;
    const own = (key = '') => key.slice(this.#prefix.length);
    const isBefore = (key: string) => until === undefined || compareKeys(key, until) < 0;
    const all = (page.Contents ?? []).map(({ Key, Size = Number.NaN, ETag = '' }) => ({
      key: own(Key),
      bytes: Size,
      etag: ETag.replaceAll('"', ''),
    }));
    const objects = all.filter(({ key }) => isBefore(key));
    const asked = (page.CommonPrefixes ?? []).map((one) => own(one.Prefix));
    const folders = asked.filter(isBefore);
    const isAtEnd = objects.length < all.length || folders.length < asked.length;
    const next = page.IsTruncated === true && !isAtEnd ? page.NextContinuationToken : undefined;
    if (page.IsTruncated === true && !isAtEnd && next === undefined)
      throw new Failure(`${this.name}: the server cut its listing short`);
    return { objects, folders, next };
  }

  async send(key: string, taker: Taker): Promise<void> {
    try {
      await this.#retry(
        'get',
        key,
        () => this.#sendOnce(key, taker),
        () => taker.held,
      );
    } catch (error) {
      const status = statusOf(error);
      if (status === undefined && !(error instanceof Refusal)) throw error;
      const { message } = error as Failure;
      // It is another object now, or there is less of it.
      if (status === 412 || (status === 416 && taker.held > 0)) throw new Changed(message);
      if (status !== 404) throw new Malformed(message);
      throw new Malformed(taker.etag === undefined ? 'not in the store' : 'not in the store any more');
    }
  }

  async firstPart(key: string, etag: string): Promise<number | undefined> {
    const command = new HeadObjectCommand({ ...this.at(key), IfMatch: `"${etag}"`, PartNumber: 1 });
    try {
      const { ContentLength, PartsCount } = await this.#retry('head', key, () => this.client.send(command));
      return PartsCount === undefined ? undefined : ContentLength;
    } catch (error) {
      if (statusOf(error) !== undefined || error instanceof Refusal) return undefined; // it does not tell
      throw error;
    }
  }

  async #sendOnce(key: string, taker: Taker): Promise<void> {
    const { held, etag } = taker;
    const command = new GetObjectCommand({
      ...this.at(key),
      ...(etag !== undefined && { IfMatch: `"${etag}"` }),
      ...(held > 0 && { Range: `bytes=${held}-` }),
    });
    // Not by the library's own option: it would check as it reads, and tell of it as a fault of the run.
    command.middlewareStack.add(
      (next) => (args) => {
        (args.request as { headers: Record<string, string> }).headers['x-amz-checksum-mode'] = 'ENABLED';
        return next(args);
      },
      { step: 'build' },
    );
    const answer = await this.client.send(command);
    const body = answer.Body as AsyncIterable<Uint8Array> & { destroy(): void };
    try {
      const facts = factsOf(answer);
      // A server that passes over a condition, or over the range, has said what it gives.
      if (etag !== undefined && facts.etag !== etag) throw new Changed(`${key}: has changed`);
      const [, at = '0'] = /^bytes (\d+)-/.exec(answer.ContentRange ?? '') ?? [];
      if (Number(at) !== 0 && Number(at) !== held) throw new Changed(`${key}: another range than was asked for`);
      await taker.begin(facts, Number(at));
      for await (const piece of body) await taker.take(piece);
      if (taker.held < facts.bytes) throw new CutShort();
    } finally {
      body.destroy();
    }
  }

  async read(key: string, offset: number, length: number): Promise<Buffer> {
    let bytes: Buffer;
    try {
      bytes = await this.#retry('get', key, async () => {
        const Range = `bytes=${offset}-${offset + length - 1}`;
        const { Body, ContentRange } = await this.client.send(new GetObjectCommand({ ...this.at(key), Range }));
        const part = Buffer.from(await Body!.transformToByteArray());
        // Unlike an object that ends earlier, of which a shorter range is announced.
        if (part.length < length && ContentRange?.startsWith(`bytes ${offset}-${offset + length - 1}/`))
          throw new CutShort();
        return part;
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

  /**
   * Tries again what may pass; waits longer each time, up to a bound.
   * @param gained tells how far a request has come, which counts anew while it comes further
   */
  async #retry<T>(what: string, key: string, request: () => Promise<T>, gained = () => 0): Promise<T> {
    let lost = 0;
    let before = gained();
    for (let n = 1; ; n++) {
      const client = this.client;
      try {
        return await request();
      } catch (error) {
        if (error instanceof Failure || error instanceof Malformed || error instanceof Changed) throw error;
        const fault = classify(error);
        if (this.#learns(fault, client)) continue;
        if (gained() > before) n = lost = 0;
        before = gained();
        lost = fault.kind === 'connection' ? lost + 1 : 0;
        const where = `${this.name}/${key}: ${what}: ${fault.reason}${this.#whoAsked(fault)}`;
        if (fault.kind === 'status') throw new StatusError(where, fault.status);
        if (fault.region !== undefined && fault.region !== this.#region) {
          this.#region = fault.region;
          this.client = this.connect();
        }
        if (fault.kind === 'final') throw faultOf(where, fault);
        if (lost >= MAX_LOST_CONNECTIONS) throw new Failure(`${where} (${lost} times in a row)`);
        if (n >= this.#options.attempts) throw faultOf(`${where} (${n} tries)`, fault);
        this.#options.onRetry?.(`${where}; trying again`);
        const longest = Math.min(FIRST_WAIT_MS * 2 ** (n - 1), LONGEST_WAIT_MS);
        await sleep(longest * (0.5 + Math.random() / 2)); // not all at the same moment
      }
    }
  }

  /**
   * For reading, the environment need not say where a bucket is or who asks: the server tells the one, and needs not know the
   * other. @returns true where the request can go again, by what is known now
   */
  #learns(fault: Fault, client: S3Client): boolean {
    if (this.#options.anonymous === undefined) return false;
    if (fault.kind === 'final' && fault.missing === undefined) return false;
    if (client !== this.client) return fault.missing !== undefined || fault.region === this.#region; // by another request
    const { AWS_PROFILE, AWS_ACCESS_KEY_ID } = process.env;
    if (fault.missing === 'region' && this.#region === undefined) this.#region = GUESS;
    else if (fault.missing === 'credentials' && !this.#anonymous && !AWS_PROFILE && !AWS_ACCESS_KEY_ID)
      this.#anonymous = true;
    else if (fault.region !== undefined && fault.region !== this.#region) this.#region = fault.region;
    else return false;
    this.client = this.connect();
    return true;
  }

  #whoAsked({ code }: Fault): string {
    const isDenied = code === 401 || code === 403;
    return isDenied && this.#anonymous && this.#options.anonymous === 'fallback' ? '; there are no credentials' : '';
  }

  close(): void {
    this.client.destroy();
  }
}

function factsOf(answer: GetObjectCommandOutput): ObjectFacts {
  const whole = /\/(\d+)$/.exec(answer.ContentRange ?? '')?.[1];
  const { ChecksumCRC32: crc32, ChecksumCRC32C: crc32c, ChecksumSHA1: sha1, ChecksumSHA256: sha256 } = answer;
  const checksums: Record<string, string> = {};
  for (const [name, value] of Object.entries({ sha256, sha1, crc32c, crc32 })) if (value) checksums[name] = value;
  return {
    bytes: whole === undefined ? (answer.ContentLength ?? 0) : Number(whole),
    etag: (answer.ETag ?? '').replaceAll('"', ''),
    checksums,
    plain: !answer.ServerSideEncryption?.startsWith('aws:kms') && answer.SSECustomerAlgorithm === undefined,
  };
}

/** What an answer said, and not the way to it: where it was about an object, others may be had. */
class Refusal extends Failure {}

function faultOf(message: string, fault: Fault): Failure {
  return fault.code === undefined ? new Failure(message) : new Refusal(message);
}

/** Less of an object than the answer itself told. */
class CutShort extends Error {}

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

type Fault = {
  reason: string;
  region?: string | undefined;
  /** What the environment does not tell. */
  missing?: 'region' | 'credentials';
  /** HTTP's status, of an answer. */
  code?: number;
} & ({ kind: 'connection' | 'again' | 'final' } | { kind: 'status'; status: number });

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

const EXPIRED = new Set(['ExpiredToken', 'ExpiredTokenException', 'TokenRefreshRequired', 'RequestExpired']);

/** Only names and codes go into messages: a server's text may quote what was signed. */
function classify(error: unknown): Fault {
  if (error instanceof CutShort) return { kind: 'again', reason: 'the answer is cut short' };
  const { name, code, message, $metadata } = error as S3ServiceException & { code?: string };
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
      return { kind: 'final', missing: 'region', reason: 'no region: set AWS_REGION, or region in the profile' };
    if (/[Cc]redential/.test(name + message)) {
      return {
        kind: 'final',
        missing: 'credentials',
        reason: 'no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE',
      };
    }
    return {
      kind: 'final',
      reason: code === undefined ? `${name}: ${message}` : describe(Object.assign(new Error(code), { code })),
    };
  }
  return { ...ofAnswer(status, error as S3ServiceException), code: status };
}

function ofAnswer(status: number, { name, $response, ...error }: S3ServiceException): Fault {
  const reason = name === 'Unknown' ? String(status) : `${status} ${name}`; // an answer without a body names nothing
  // Who asks in the wrong region is sent to the right one, or, having signed for the wrong one, told of it.
  const told = name === 'AuthorizationHeaderMalformed' ? (error as { Region?: string }).Region : undefined;
  const region = $response?.headers['x-amz-bucket-region'] ?? told;
  if ((status === 301 || status === 307 || told !== undefined) && region !== undefined)
    return { kind: 'again', reason: `the bucket is in region ${region}`, region };
  if (status === 501) return { kind: 'final', reason }; // the server will not learn it
  if (status >= 500 || status === 408 || status === 429 || status === 409 || PASSING.has(name))
    return { kind: 'again', reason };
  if (name === 'NoSuchBucket') return { kind: 'final', reason: 'no such bucket' };
  if (status === 404 || status === 412 || status === 416) return { kind: 'status', status, reason };
  if (EXPIRED.has(name)) return { kind: 'final', reason: `access denied (${name}): new credentials are needed` };
  if (status === 401 || status === 403) return { kind: 'final', reason: `access denied (${name})` };
  return { kind: 'final', reason };
}
