// Holds a bucket to its manifest.
import { chmodSync, readdirSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { bucketFingerprint, isBucketName, MANIFEST } from '../record/buckets.ts';
import { describeAt, Failure } from '../stream/errors.ts';
import type { Stage } from '../stream/stage.ts';
import { type BucketView, isFrozen, viewBucket } from './buckets.ts';
import { digestRegularFile, fsyncFolder } from './files.ts';

/** What may be wrong with a report in a bucket, or with the manifest itself. */
export type FindingKind = 'missing' | 'changed' | 'unlisted' | 'stranger' | 'torn' | 'damaged';

/** Buckets that operands name: a bucket itself, or a folder of buckets, of which what is no day is passed over. */
export function* bucketsOf(stage: Stage, paths: string[]): Generator<string> {
  for (const path of paths) {
    if (isBucketName(basename(resolve(path)))) yield path;
    else {
      let names: string[] = [];
      try {
        names = readdirSync(path, { withFileTypes: true })
          .filter((entry) => entry.isDirectory() && isBucketName(entry.name))
          .map((entry) => entry.name);
        if (names.length === 0) throw new Error('neither a bucket (its name is no day) nor a folder of buckets');
      } catch (error) {
        stage.reject({ as: 'file', file: path, line: null, reason: describeAt(path, error) }, null);
      }
      for (const name of names.sort()) yield join(path, name);
    }
  }
}

/** Reads every report of a bucket, tells what is not as its manifest has it, and gives the bucket's row. */
export async function checkBucket(stage: Stage, path: string, waitMs: number, freeze: boolean): Promise<void> {
  let view: BucketView;
  try {
    view = viewBucket(path, waitMs);
  } catch (error) {
    if (error instanceof Failure) throw error;
    stage.reject({ as: 'file', file: path, line: null, reason: describeAt(path, error) }, null);
    return;
  }
  let findings = 0;
  const find = async (kind: FindingKind, name: string, reason: string) => {
    findings++;
    const file = join(path, name);
    stage.finding(file, reason);
    await stage.receipt({ finding: kind, file, bucket: view.name, reason });
  };
  const { manifest, names } = view;
  if (view.torn) await find('torn', MANIFEST, 'its last line is cut short (the next run of bucket mends it)');
  for (const line of manifest.damaged) await find('damaged', MANIFEST, `line ${line} is no line of a manifest`);
  for (const { name, reason } of view.strangers) await find('stranger', name, reason);
  const reports: { name: string; size: number }[] = [];
  for (const name of names) {
    stage.took();
    const entry = manifest.entries.get(name);
    try {
      const { bytes: size, sha256 } = await digestRegularFile(join(path, name));
      stage.tally('bytes_in', size);
      reports.push({ name, size });
      if (!entry) await find('unlisted', name, 'not in the manifest');
      else if (entry.size !== size)
        await find('changed', name, `has ${size} bytes, its manifest tells of ${entry.size}`);
      else if (entry.sha256 !== sha256) await find('changed', name, 'has other bytes than its manifest tells');
    } catch (error) {
      await find('changed', name, describeAt(join(path, name), error));
    }
  }
  const there = new Set(names);
  for (const name of manifest.entries.keys()) if (!there.has(name)) await find('missing', name, 'is gone');
  if (freeze && findings === 0 && !isFrozen(path)) freezeBucket(path);
  else if (freeze && findings > 0) stage.say(`${path}: not frozen`);
  const bytes = reports.reduce((sum, { size }) => sum + size, 0);
  const [fingerprint, frozen] = [bucketFingerprint(reports), isFrozen(path)];
  await stage.receipt({ bucket: view.name, path, files: reports.length, bytes, fingerprint, findings, frozen });
}

/** Takes everybody's right to write away: no report comes in, none goes, and `bucket` refuses it. */
function freezeBucket(path: string): void {
  chmodSync(path, 0o555);
  fsyncFolder(path);
}
