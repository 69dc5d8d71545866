import { basename, resolve } from 'node:path';
import { backUp, refuseOverlap } from '../edge/backup.ts';
import { viewBucket } from '../edge/buckets.ts';
import { openMirror, storeName } from '../edge/store.ts';
import { isBucketName } from '../record/buckets.ts';
import { UsageError } from '../stream/errors.ts';
import { bytes, number, type OptionSpec, seconds, verb } from '../stream/verb.ts';

const MiB = 1024 * 1024;

const storageClass: OptionSpec<string | undefined> = {
  flags: '--class <name>',
  text: 'storage class of S3, as STANDARD_IA',
  parse: (given) => {
    if (!/^[A-Z][A-Z0-9_]{0,63}$/.test(given))
      throw new UsageError(`--class: capitals, as STANDARD_IA, not '${given}'`);
    return given;
  },
  initial: undefined,
};

export default verb({
  summary: 'copy a raw bucket into a private store, verified, and delete nothing there',
  operands: 'BUCKET STORE',
  options: {
    class: storageClass,
    jobs: number('--jobs <n>', 'reports under way at once', 4, 1, 64),
    attempts: number('--attempts <n>', 'tries of one request', 20, 1, 1000),
    partSize: bytes('--part-size <bytes>', 'to S3, larger reports go up in parts of this size', 5_000_000_000),
    wait: seconds('--wait <seconds>', 'how long to wait for a process that fills the bucket', 0, 86_400),
  },
  async run(stage, operands, options) {
    const [bucket, spec, ...more] = operands;
    if (bucket === undefined || spec === undefined || more.length > 0)
      throw new UsageError('a bucket and a store: DIR/2016-08-01 and s3://bucket[/prefix] or a folder');
    if (!isBucketName(basename(resolve(bucket)))) throw new UsageError(`${bucket}: its name is no day, as 2016-08-01`);
    const name = storeName(spec);
    const isFolder = !name.startsWith('s3://');
    if (isFolder) refuseOverlap(bucket, name);
    if (isFolder && options.class !== undefined) throw new UsageError('--class goes with s3://');
    if (options.partSize < 5 * MiB || options.partSize > 5 * 1024 * MiB)
      throw new UsageError('--part-size: from 5 MiB (5242880) to 5 GiB, as S3 has it');
    const view = viewBucket(bucket, options.wait * 1000);
    const { attempts, partSize: partBytes, jobs } = options;
    const onRetry = (message: string) => stage.say(message);
    const store = await openMirror(spec, { attempts, partBytes, storageClass: options.class, onRetry });
    try {
      await backUp(stage, view, store, jobs);
    } finally {
      store.close();
    }
  },
});
