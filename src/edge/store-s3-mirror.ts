import type { ReadStream } from 'node:fs';
import { AbortMultipartUploadCommand, type S3Client, type StorageClass } from '@aws-sdk/client-s3';
import { LocalObject, S3SyncClient, UploadLocalObjectsCommand } from 's3-sync-client';
import { describe, Malformed } from '../stream/errors.ts';
import type { MirrorOptions, StoredFile } from './store.ts';
import { contentMd5, S3Store } from './store-s3.ts';

/**
 * S3 for files of any size, put there by s3-sync-client, one at a time: by itself it compares sizes and times only,
 * writes over what differs, and tries nothing again. What is put, what is there already, the retries and the check
 * afterwards are those of `S3Store`.
 */
export class S3Mirror extends S3Store {
  #options: MirrorOptions;
  /** Key → upload in parts that is not complete. */
  #uploads = new Map<string, string>();

  constructor(name: string, options: MirrorOptions) {
    super(name, options);
    this.#options = options;
  }

  protected override connect(): S3Client {
    const client = super.connect();
    client.middlewareStack.add(
      (next, { commandName }) =>
        async (args) => {
          const input = args.input as { Key: string; IfNoneMatch?: string; Body?: ReadStream; ContentLength?: number };
          // The library has no way to say it: whoever was first under the key stays there.
          if (commandName === 'CompleteMultipartUploadCommand') input.IfNoneMatch = '*';
          try {
            const { Body: body, ContentLength: length } = input;
            const result = await (body ? Promise.race([next(args), shorter(body, length!)]) : next(args));
            const { UploadId } = result.output as { UploadId?: string };
            if (commandName === 'CreateMultipartUploadCommand') this.#uploads.set(input.Key, UploadId!);
            if (commandName === 'CompleteMultipartUploadCommand') this.#uploads.delete(input.Key);
            return result;
          } catch (error) {
            input.Body?.destroy(); // the library leaves it open
            throw error;
          }
        },
      { step: 'initialize' },
    );
    return client;
  }

  protected override async putOnce(key: string, file: StoredFile): Promise<void> {
    const { Bucket: bucket, Key: id } = this.at(key);
    const { partBytes: partSize, storageClass } = this.#options;
    const localObject = new LocalObject({ id, path: file.path, size: file.bytes, lastModified: 0 });
    const abort = new AbortController();
    const commandInput = {
      IfNoneMatch: '*',
      ContentMD5: contentMd5(file),
      ...(storageClass && { StorageClass: storageClass as StorageClass }),
    };
    const abortSignal = abort.signal as never; // the library's types know an older one
    const upload = { localObjects: [localObject], bucket, partSize, abortSignal };
    try {
      const sync = new S3SyncClient({ client: this.client });
      await sync.send(new UploadLocalObjectsCommand({ ...upload, commandInput }));
    } catch (error) {
      abort.abort(); // the library leaves the other requests of this file to themselves
      await this.#abandon(bucket, id);
      if ((error as NodeJS.ErrnoException).path === file.path) throw new Malformed(describe(error));
      throw error;
    }
  }

  /** Parts that nobody completes cost money for ever. */
  async #abandon(Bucket: string, Key: string): Promise<void> {
    const UploadId = this.#uploads.get(Key);
    if (UploadId === undefined) return;
    this.#uploads.delete(Key);
    const gone = new AbortMultipartUploadCommand({ Bucket, Key, UploadId });
    await this.client.send(gone).catch(() => undefined); // the error that led here is the one to tell
  }
}

/** Fails when a file ends before its length: the server would wait for the rest. */
function shorter(body: ReadStream, length: number): Promise<never> {
  return new Promise((_, reject) =>
    body.once('end', () => {
      if (body.bytesRead < length) reject(new Malformed(`${body.bytesRead} bytes, not ${length}: cut short meanwhile`));
    }),
  );
}
