// A store: `s3://bucket[/prefix]` or a plain folder, with the same keys in both.
import { resolve } from 'node:path';
import { isUrl, storePlace } from '../record/storeurls.ts';
import { Malformed, UsageError } from '../stream/errors.ts';
import type { Stage } from '../stream/stage.ts';
import { type Digests, digestFile, exists, type Room } from './files.ts';
import type { Purpose } from './outgoing.ts';

/** A local file with the digests that its copy in the store must have. */
export interface StoredFile {
  path: string;
  bytes: number;
  sha256: string;
  /** Hex; for a store that asks for it. */
  md5?: string;
}

/** A file that may go into a store: it was found to be well there or here, and nobody sees it yet. */
export interface Offer {
  /** Gives it its key, never over other bytes. */
  accept(): Promise<PutResult>;
  /** Takes back what was not accepted. */
  drop(): void;
}

/** `stored` now; the `same` bytes were there; `other` bytes are there and stay there. */
export type PutResult = 'stored' | 'same' | 'other';

export interface StoredObject {
  key: string;
  /** NaN for what is no file. */
  bytes: number;
  /** Of S3: the MD5 in hex for most objects, but not for all. */
  etag?: string;
}

export interface Store {
  /** Canonical name, kept in the index and in outgoing.json. */
  readonly name: string;
  /** What an outgoing folder is kept for when its cans go here. */
  place(): Promise<Pick<Purpose, 'store' | 'endpoint'>>;
  /**
   * Prepares a put, so that of files that belong together none is put where one is not well.
   * @throws Malformed where the local file is not the one that was packed
   */
  offer(key: string, file: StoredFile): Promise<Offer>;
  /** Puts a file under a key, never over other bytes, and verifies it there. */
  put(key: string, file: StoredFile): Promise<PutResult>;
  /** True where the object under a key has exactly these bytes; one must be there. */
  holds(key: string, file: StoredFile): Promise<boolean>;
  /** What lies right under a folder of keys, `2016-08-01`. */
  list(folder: string): AsyncGenerator<StoredObject>;
  /** Size in bytes; undefined where the key does not exist. */
  size(key: string): Promise<number | undefined>;
  /**
   * Every object, however deep, in the order of `compareKeys`.
   * @param after  only keys behind this one; '' for all
   * @param failed told of folders that cannot be read; their objects are left out
   */
  walk(after: string, failed: (folder: string, error: unknown) => void): AsyncGenerator<StoredObject>;
  /**
   * Exactly this range.
   * @param room for it; a store that has no use for one leaves it
   * @throws Malformed naming the key where the object is missing or short
   */
  read(key: string, offset: number, length: number, room?: Room): Promise<Buffer>;
  /**
   * Gives an object to a taker, from where that stands on, until it has the whole.
   * @throws Malformed where the object cannot be had, and others can; Changed where it is no longer the one that was
   * begun; Failure where the store cannot be read
   */
  send(key: string, taker: Taker): Promise<void>;
  /** Bytes of the first of the parts that an object was put in, where the store tells. */
  firstPart(key: string, etag: string): Promise<number | undefined>;
  close(): void;
}

/** Digests of a file that was packed. @throws Malformed where the local disk lost some of it since */
export async function packedDigests({ path, bytes, sha256 }: StoredFile): Promise<Digests> {
  if (!exists(path)) throw new Malformed(`${path}: is gone`);
  const digests = await digestFile(path);
  if (digests.bytes === bytes && digests.sha256 === sha256) return digests;
  throw new Malformed(`${path}: not the bytes that were packed`);
}

/** What a store says of an object that it gives. */
export interface ObjectFacts {
  bytes: number;
  /** Without quotes; of a folder, what tells one state of a file from another. */
  etag: string;
  /** Digests that it tells besides, by name as `sha256` and `crc32`, in base64; of parts where they end in `-N`. */
  checksums: Record<string, string>;
  /** False where an ETag may be an MD5 in form only. */
  plain: boolean;
}

/** Takes an object, piece by piece. */
export interface Taker {
  /** Bytes that it has. */
  readonly held: number;
  /** ETag of the object that these are of; undefined where it takes any. */
  readonly etag: string | undefined;
  /** Told before the bytes of each answer, which may begin at 0 again: the taker must let go of what it has. */
  begin(facts: ObjectFacts, at: number): Promise<void>;
  take(piece: Uint8Array): Promise<void>;
}

/** An object is not the one that was begun. */
export class Changed extends Error {}

export interface StoreOptions {
  /** Tries of one request before it fails. */
  attempts: number;
  /** For reading: without credentials, and without a region, goes what everybody may. `always` looks for none. */
  anonymous?: 'fallback' | 'always';
  /** Told of every try that failed and comes again. */
  onRetry?: (message: string) => void;
}

export interface MirrorOptions extends StoreOptions {
  /** Files over this go up in parts of it. */
  partBytes: number;
  /** Of S3, as STANDARD_IA. */
  storageClass?: string | undefined;
}

/** Canonical name of a store, without touching it. @throws UsageError */
export function storeName(spec: string): string {
  if (!isUrl(spec)) return resolve(spec);
  const place = storePlace(spec);
  if ('fault' in place) throw new UsageError(`${spec}: ${place.fault}`);
  if (place.web) throw new UsageError(`${spec}: a store is s3://bucket[/prefix] or a folder`);
  return place.name;
}

/** The same of a store to read from, which may be on the web. @throws UsageError */
export function storeNameToRead(spec: string): string {
  const place = isUrl(spec) ? storePlace(spec) : undefined;
  return place && !('fault' in place) ? place.name : storeName(spec);
}

/** Opens a store; the S3 library is loaded only for S3. */
export async function openStore(spec: string, options: StoreOptions): Promise<Store> {
  const name = storeName(spec);
  if (!name.startsWith('s3://')) return new (await import('./store-folder.ts')).FolderStore(name);
  return new (await import('./store-s3.ts')).S3Store(name, options);
}

/** As `openStore`, for private files of any size: S3 is filled by its mirroring library, in a folder they keep their rights. */
export async function openMirror(spec: string, options: MirrorOptions): Promise<Store> {
  const name = storeName(spec);
  if (!name.startsWith('s3://')) return new (await import('./store-folder.ts')).FolderStore(name, true);
  return new (await import('./store-s3-mirror.ts')).S3Mirror(name, options);
}

/** How a store is read, by the options of a verb; what is tried again is said. */
export function accessOf(
  stage: Pick<Stage, 'say'>,
  { attempts, anonymous }: { attempts: number; anonymous: boolean },
): StoreOptions {
  return { attempts, onRetry: stage.say.bind(stage), ...(anonymous && { anonymous: 'always' }) };
}

/** Opens a store to read from: also one on the web, and one that is open to everybody. */
export async function openSource(spec: string, options: StoreOptions): Promise<Store> {
  if (!isUrl(spec)) return openStore(spec, options);
  return openBucket(spec, options);
}

/** Loads what a bucket is read by, which takes a tenth of a second, before one is asked for. */
export async function prepareForBuckets(): Promise<void> {
  await import('./store-s3.ts').catch(() => undefined); // who asks for one will be told
}

/** A bucket of S3, to read from. @throws UsageError */
export async function openBucket(spec: string, options: StoreOptions): Promise<import('./store-s3.ts').S3Store> {
  const place = storePlace(spec);
  if ('fault' in place) throw new UsageError(`${spec}: ${place.fault}`);
  const { S3Store } = await import('./store-s3.ts');
  return new S3Store(place.name, { anonymous: place.web ? 'always' : 'fallback', ...options });
}
