// A store: `s3://bucket[/prefix]` or a plain folder, with the same keys in both.
import { resolve } from 'node:path';
import { UsageError } from '../stream/errors.ts';
import type { Purpose } from './outgoing.ts';

/** A local file with the digests that its copy in the store must have. */
export interface StoredFile {
  path: string;
  bytes: number;
  sha256: string;
  /** Hex. */
  md5: string;
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
  /** Exactly this range. @throws Malformed naming the key where the object is missing or short */
  read(key: string, offset: number, length: number): Promise<Buffer>;
  close(): void;
}

export interface StoreOptions {
  /** Tries of one request before it fails. */
  attempts: number;
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
  const [, bucket, prefix] = /^s3:\/\/([^/]*)\/*(.*?)\/*$/.exec(spec) ?? [];
  if (bucket === undefined) {
    if (/^[a-z][a-z0-9+.-]*:\/\//.test(spec))
      throw new UsageError(`${spec}: a store is s3://bucket[/prefix] or a folder`);
    return resolve(spec);
  }
  if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(bucket))
    throw new UsageError(`${spec}: '${bucket}' is no name of a bucket`);
  if (prefix!.split('/').some((part) => part === '..' || part === '.'))
    throw new UsageError(`${spec}: a prefix has no '.' or '..'`);
  return `s3://${bucket}${prefix ? `/${prefix}` : ''}`;
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
