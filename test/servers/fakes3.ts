// A small S3 of our own for machines without a real server: as much as `upload`, `get` and the tests' own client ask
// for, in memory. And a wire that breaks after so many bytes, for any server.
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, createServer as listen, type Socket } from 'node:net';
import type { Test } from 'tap';
import type { Server } from './s3.ts';

interface Stored {
  bytes: Buffer;
  /** Hex. */
  md5: string;
  /** Told with the object, over what is told otherwise: an ETag that is no MD5, a digest. */
  told?: Record<string, string>;
}

/** An answer; its body is XML or an object. */
interface Answer {
  status: number;
  headers?: Record<string, string | number>;
  body?: string | Buffer;
}

const SKEW_MS = 15 * 60_000;

export class FakeS3 implements Server {
  readonly accessKey = 'fake';
  readonly secretKey = 'fakefake';
  endpoint = '';
  requests = 0;
  /** Anybody may read without credentials. */
  isPublic = false;
  /** Most keys of a page. */
  pageSize = 1000;
  /** Prefixes of the listings that were asked for. */
  readonly listed: string[] = [];
  /** Told of each request with its key; an answer goes in the place of the server's own. */
  meanwhile: (method: string, key: string) => { status: number; body?: string } | undefined = () => undefined;
  /** Every put that succeeded: `bucket/key`, and the MD5 of its bytes. */
  readonly puts: [path: string, md5: string][] = [];
  /** Bucket → key → object. */
  #buckets = new Map<string, Map<string, Stored>>();

  /** A server on loopback; it goes when the test ends. */
  static async make(t: Test): Promise<FakeS3> {
    const fake = new FakeS3();
    const answer = (req: IncomingMessage, res: ServerResponse) => {
      if (req.headers.expect) res.writeContinue();
      fake.#receive(req, res).catch(() => req.destroy()); // a request that broke off has done nothing
    };
    const server = createServer(answer).on('checkContinue', answer);
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    fake.endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    t.teardown(async () => {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    });
    return fake;
  }

  /** Puts an object as if somebody had. */
  hold(bucket: string, key: string, bytes: Buffer, told?: Record<string, string>): void {
    const md5 = createHash('md5').update(bytes).digest('hex');
    if (!this.#buckets.has(bucket)) this.#buckets.set(bucket, new Map());
    this.#buckets.get(bucket)!.set(key, { bytes, md5, ...(told && { told }) });
  }

  /** Takes an object away. */
  drop(bucket: string, key: string): void {
    this.#buckets.get(bucket)?.delete(key);
  }

  /** A bucket that is there, with nothing in it, and nothing ever put. */
  begin(name: string): void {
    this.#buckets.set(name, new Map());
    this.puts.length = 0;
  }

  /** Key → bytes. */
  objects(name: string): Map<string, Buffer> {
    return new Map([...this.#buckets.get(name)!].map(([key, { bytes }]) => [key, bytes]));
  }

  async #receive(req: IncomingMessage, res: ServerResponse): Promise<void> {
    this.requests++;
    const pieces: Buffer[] = [];
    for await (const piece of req) pieces.push(piece as Buffer);
    const { status, headers, body = '' } = this.#answer(req, Buffer.concat(pieces));
    const length = Buffer.byteLength(body);
    res.writeHead(status, { 'content-length': length, ...headers });
    res.end(req.method === 'HEAD' ? undefined : body);
  }

  #answer(req: IncomingMessage, body: Buffer): Answer {
    const { pathname, searchParams } = new URL(req.url!, 'http://fake');
    const [, name = '', ...parts] = pathname.split('/');
    const key = decodeURIComponent(parts.join('/'));
    const isOpen = this.isPublic && req.headers.authorization === undefined && /^(?:GET|HEAD)$/.test(req.method!);
    const refused = isOpen ? undefined : refusal(req.headers);
    if (refused) return refused;
    if (searchParams.has('list-type')) this.listed.push(searchParams.get('prefix') ?? '');
    const instead = this.meanwhile(req.method!, key);
    if (instead) return instead;
    if (key === '') return this.#onBucket(req.method!, name, searchParams, body);
    const bucket = this.#buckets.get(name);
    if (!bucket) return fault(404, 'NoSuchBucket');
    const answer = onObject(req, bucket, key, body);
    if (req.method === 'PUT' && answer.status === 200) this.puts.push([`${name}/${key}`, bucket.get(key)!.md5]);
    return answer;
  }

  #onBucket(method: string, name: string, query: URLSearchParams, body: Buffer): Answer {
    if (method === 'PUT') {
      if (!this.#buckets.has(name)) this.#buckets.set(name, new Map());
      return { status: 200 };
    }
    const bucket = this.#buckets.get(name);
    if (!bucket) return fault(404, 'NoSuchBucket');
    if (method === 'DELETE') {
      if (bucket.size > 0) return fault(409, 'BucketNotEmpty');
      this.#buckets.delete(name);
      return { status: 204 };
    }
    if (method === 'POST' && query.has('delete')) {
      for (const [, key] of body.toString().matchAll(/<Key>(.*?)<\/Key>/gs)) bucket.delete(plain(key!));
      return { status: 200, body: '<DeleteResult/>' };
    }
    if (method === 'GET' && query.get('list-type') === '2') return listing(bucket, query, this.pageSize);
    return fault(501, 'NotImplemented');
  }
}

/** What a server says before it looks at the request: who asks, and when. Signatures are not checked. */
function refusal(headers: IncomingMessage['headers']): Answer | undefined {
  if (!headers.authorization?.includes('Credential=fake/')) return fault(403, 'InvalidAccessKeyId');
  const [, ...parts] = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(String(headers['x-amz-date'])) ?? [];
  const [year, month, day, hour, minute, second] = parts.map(Number);
  const said = Date.UTC(year!, month! - 1, day, hour, minute, second);
  if (!(Math.abs(said - Date.now()) < SKEW_MS)) return fault(403, 'RequestTimeTooSkewed');
  return undefined;
}

function onObject(
  { method, headers }: IncomingMessage,
  bucket: Map<string, Stored>,
  key: string,
  body: Buffer,
): Answer {
  const there = bucket.get(key);
  if (method === 'PUT') {
    const md5 = createHash('md5').update(body).digest();
    const claimed = headers['content-md5'];
    if (claimed !== undefined && claimed !== md5.toString('base64')) return fault(400, 'BadDigest');
    if (headers['if-none-match'] === '*' && there) return fault(412, 'PreconditionFailed');
    bucket.set(key, { bytes: body, md5: md5.toString('hex') });
    return { status: 200, headers: { etag: `"${md5.toString('hex')}"` } };
  }
  if (method === 'DELETE') {
    bucket.delete(key);
    return { status: 204 };
  }
  if (!there) return fault(404, 'NoSuchKey');
  const { bytes, md5, told } = there;
  const { etag, ...more } = {
    etag: `"${md5}"`,
    ...(headers['x-amz-checksum-mode'] ? told : told && { etag: told.etag }),
  };
  const wanted = headers['if-match'];
  if (wanted !== undefined && wanted !== etag) return fault(412, 'PreconditionFailed');
  const about = { etag: etag!, ...more } as Record<string, string>;
  if (method === 'HEAD') return { status: 200, headers: { ...about, 'content-length': bytes.length } };
  const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(headers.range ?? '') ?? [];
  if (from === undefined) return { status: 200, headers: about, body: bytes };
  if (Number(from) >= bytes.length) return fault(416, 'InvalidRange');
  const part = bytes.subarray(Number(from), to === '' ? bytes.length : Number(to) + 1);
  const range = `bytes ${from}-${Number(from) + part.length - 1}/${bytes.length}`;
  return { status: 206, headers: { ...about, 'content-range': range }, body: part };
}

function listing(bucket: Map<string, Stored>, query: URLSearchParams, pageSize: number): Answer {
  const prefix = query.get('prefix') ?? '';
  const delimiter = query.get('delimiter');
  const after = query.get('continuation-token') ?? query.get('start-after') ?? '';
  /** A key, or the folder that stands for it. */
  const shown = (key: string) => {
    const end = delimiter ? key.indexOf(delimiter, prefix.length) : -1;
    return end === -1 ? key : key.slice(0, end + 1);
  };
  const keys = [...bucket.keys()].filter((key) => key.startsWith(prefix) && key > after).sort();
  const all = [...new Set(keys.map(shown))].filter((one) => one > after);
  const page = all.slice(0, pageSize);
  const more = all.length > page.length;
  const entries = page.map((one) => {
    const object = bucket.get(one);
    if (!object) return `<CommonPrefixes><Prefix>${escaped(one)}</Prefix></CommonPrefixes>`;
    const etag = object.told?.etag ?? `"${object.md5}"`;
    return `<Contents><Key>${escaped(one)}</Key><Size>${object.bytes.length}</Size><ETag>${etag}</ETag></Contents>`;
  });
  const next = more ? `<NextContinuationToken>${escaped(page.at(-1)!)}</NextContinuationToken>` : '';
  const body = `<ListBucketResult><IsTruncated>${more}</IsTruncated>${next}${entries.join('')}</ListBucketResult>`;
  return { status: 200, body };
}

/** An answer that names a fault as S3 does. */
export function fault(status: number, code: string): { status: number; body: string } {
  return { status, body: `<?xml version="1.0"?><Error><Code>${code}</Code><Message>${code}</Message></Error>` };
}

const ENTITIES: [string, string][] = [
  ['&', '&amp;'],
  ['<', '&lt;'],
  ['>', '&gt;'],
];

function escaped(text: string): string {
  return ENTITIES.reduce((all, [one, entity]) => all.replaceAll(one, entity), text);
}

function plain(text: string): string {
  return ENTITIES.reduceRight((all, [one, entity]) => all.replaceAll(entity, one), text);
}

// --- a wire that breaks

/** After how many bytes of a connection it is reset: of the requests, of the answers. Infinity is never. */
export interface Cut {
  up: number;
  down: number;
}

export const WHOLE: Cut = { up: Number.POSITIVE_INFINITY, down: Number.POSITIVE_INFINITY };

export class Wire {
  endpoint = '';
  /** Bytes that each connection carried. */
  readonly carried: Cut[] = [];
  #cut: (nth: number) => Cut;

  /**
   * A port of loopback that leads to a server, byte by byte; it goes when the test ends.
   * @param cut where the n-th connection breaks
   */
  static async make(t: Test, target: string, cut: (nth: number) => Cut): Promise<Wire> {
    const wire = new Wire(cut);
    const { hostname, port } = new URL(target);
    const open = new Set<Socket>();
    const server = listen((near) => {
      const far = connect(Number(port), hostname);
      for (const socket of [near, far]) open.add(socket.on('close', () => open.delete(socket)));
      wire.#join(near, far);
    });
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    wire.endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    t.teardown(async () => {
      for (const socket of open) socket.destroy();
      await new Promise((done) => server.close(done));
    });
    return wire;
  }

  private constructor(cut: (nth: number) => Cut) {
    this.#cut = cut;
  }

  #join(near: Socket, far: Socket): void {
    const { up, down } = this.#cut(this.carried.length);
    const carried = { up: 0, down: 0 };
    this.carried.push(carried);
    const end = () => {
      near.resetAndDestroy();
      far.destroy();
    };
    const carry = (from: Socket, to: Socket, way: keyof Cut, limit: number) => {
      from.on('data', (piece) => {
        const part = piece.subarray(0, limit - carried[way]);
        carried[way] += part.length;
        if (part.length > 0) to.write(part);
        // What was written before the reset must be on its way, or the cut would be an earlier one.
        if (carried[way] >= limit) setTimeout(end, 5);
      });
      from.on('error', end).on('end', () => to.end());
    };
    if (up === 0 || down === 0) end();
    else {
      carry(near, far, 'up', up);
      carry(far, near, 'down', down);
    }
  }
}
