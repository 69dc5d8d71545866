// A raw bucket into a private store. Nothing is changed here, and nothing there is changed or removed.
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { manifestCopyName } from '../record/buckets.ts';
import { describeAt, Malformed, UsageError } from '../stream/errors.ts';
import { orderedMap } from '../stream/ordered.ts';
import type { Stage } from '../stream/stage.ts';
import type { BucketView } from './buckets.ts';
import { digestFile, exists } from './files.ts';
import type { PutResult, Store, StoredFile, StoredObject } from './store.ts';

/** @throws UsageError where a folder store and the bucket are one, or one lies in the other */
export function refuseOverlap(bucket: string, store: string): void {
  const [one, other] = [realPath(bucket), realPath(store)];
  if (`${one}/`.startsWith(`${other}/`) || `${other}/`.startsWith(`${one}/`))
    throw new UsageError(`${store}: the store and the bucket ${bucket} are not apart from each other`);
}

/** The path without links, as far as it is there. */
function realPath(path: string): string {
  const whole = resolve(path);
  if (dirname(whole) === whole) return '';
  return exists(whole) ? realpathSync(whole) : join(realPath(dirname(whole)) || '/', basename(whole));
}

interface Copied {
  name: string;
  /** What became of it; or why it was not looked for in the store. */
  result: PutResult | { fault: string };
  key: string;
  file?: StoredFile;
}

/** Puts every report of a bucket into a store, and last, when all that it lists are there, the manifest. */
export async function backUp(stage: Stage, view: BucketView, store: Store, jobs: number): Promise<void> {
  const { name: day, path, manifest, names } = view;
  const there = new Map<string, StoredObject>();
  for await (const object of store.list(day)) there.set(object.key, object);
  for (const { name, reason } of view.strangers) {
    stage.tally('skipped');
    stage.say(`${join(path, name)}: ${reason}, skipped`);
  }
  const safe = new Set<string>();
  const one = (name: string) => copyReport(view, store, there, name);
  for await (const { name, result, key, file } of orderedMap(names, one, { concurrency: jobs })) {
    stage.took();
    if (typeof result === 'object') {
      stage.finding(join(path, name), `not copied: ${result.fault}`);
      continue;
    }
    stage.tally('bytes_in', file!.bytes);
    await give(stage, store, join(path, name), key, file!, result);
    if (result !== 'other') safe.add(name);
    if (view.manifestBytes && !manifest.entries.has(name)) stage.finding(join(path, name), 'not in the manifest');
  }
  const lost = [...manifest.entries.keys()].filter((name) => !safe.has(name));
  const here = new Set(names);
  for (const name of lost) if (!here.has(name)) stage.finding(join(path, name), 'in the manifest, and gone');
  if (view.manifestBytes === undefined) stage.say(`${path}: has no manifest`);
  else if (lost.length > 0)
    stage.say(`${path}: the manifest is not copied: ${lost.length} of its reports are not in the store`);
  else await copyManifest(stage, view, store, there);
}

async function copyReport(
  { path, name: day, manifest }: BucketView,
  store: Store,
  there: Map<string, StoredObject>,
  name: string,
): Promise<Copied> {
  const key = `${day}/${name}`;
  const local = join(path, name);
  const lost = (fault: string): Copied => ({ name, key, result: { fault } });
  let file: StoredFile;
  try {
    file = { path: local, ...(await digestFile(local)) };
  } catch (error) {
    return lost(describeAt(local, error));
  }
  const entry = manifest.entries.get(name);
  if (entry && (entry.size !== file.bytes || entry.sha256 !== file.sha256))
    return lost('it is not what the manifest tells');
  try {
    return { name, key, file, result: await copy(store, there.get(key), key, file) };
  } catch (error) {
    const ofFile = error instanceof Malformed || (error as NodeJS.ErrnoException).path === local;
    if (!ofFile) throw error; // of the store, and of all that comes behind
    return lost(describeAt(local, error));
  }
}

/** What is there is compared, and only what is not is put. */
async function copy(store: Store, there: StoredObject | undefined, key: string, file: StoredFile): Promise<PutResult> {
  if (!there) return await store.put(key, file);
  if (there.bytes !== file.bytes) return 'other';
  return there.etag === file.md5 || (await store.holds(key, file)) ? 'same' : 'other';
}

async function give(
  stage: Stage,
  store: Store,
  path: string,
  key: string,
  file: StoredFile,
  result: PutResult,
): Promise<void> {
  stage.tally(result);
  if (result === 'other') stage.finding(path, `${store.name}/${key} has other bytes, and keeps them`);
  else await stage.receipt({ backup: key, store: store.name, bytes: file.bytes, sha256: file.sha256, result });
}

/** From a copy of what was read: the bucket may have grown since. */
async function copyManifest(
  stage: Stage,
  { name: day, path, manifestBytes }: BucketView,
  store: Store,
  there: Map<string, StoredObject>,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'cannery-manifest-'));
  try {
    const local = join(folder, 'manifest.jsonl');
    writeFileSync(local, manifestBytes!); // in a folder that only we enter
    const file = { path: local, ...(await digestFile(local)) };
    const key = `${day}/${manifestCopyName(file.sha256)}`;
    await give(stage, store, path, key, file, await copy(store, there.get(key), key, file));
  } finally {
    rmSync(folder, { recursive: true });
  }
}
