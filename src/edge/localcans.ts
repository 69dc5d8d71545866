// The cans of an outgoing folder as fsck sees them: where each is on its way, and whether its files are well.
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { compareKeys, JSONL_EXT, keyFolder, parseCanName } from '../record/names.ts';
import { describe, errno, Malformed } from '../stream/errors.ts';
import { lstatOf, sha256OfFile } from './files.ts';
import type { Findings } from './findings.ts';
import { type CanClass, type CanFile, CanFolder, type Outgoing, type State } from './outgoing.ts';

export interface LocalCan {
  /** Key of the `.jsonl.gz`. */
  key: string;
  can: string;
  state: State;
  class: CanClass;
  jsonl: CanFile;
  postcan: CanFile;
}

/** Cans by key; one whose manifest cannot be read is told. */
export function localCans(outgoing: Outgoing, found: Findings): LocalCan[] {
  const cans: LocalCan[] = [];
  for (const state of ['held', 'indexed', 'sent', 'ready'] as const) {
    for (const can of outgoing.cans(state)) {
      const key = keyOf(can);
      try {
        const known = outgoing.open(can);
        if (!known) continue; // cleared meanwhile
        const { files, class: zone } = known.manifest;
        const [postcan, jsonl] = files as [CanFile, CanFile];
        cans.push({
          key,
          can,
          state: known.folder.state,
          class: zone,
          jsonl,
          postcan,
        });
      } catch (error) {
        if (!(error instanceof Malformed) && errno(error) === undefined) throw error;
        found.add('outgoing', key, `${state}: ${describe(error)}`);
      }
    }
  }
  return cans.sort((a, b) => compareKeys(a.key, b.key));
}

function keyOf(can: string): string {
  return `${keyFolder(parseCanName(can)!)}/${can}${JSONL_EXT}`;
}

/** What a run that died left in `building/`; nothing is said while a packer is at work. */
export function leftovers(outgoing: Outgoing, found: Findings): void {
  const folder = outgoing.folder('building');
  const names = existsSync(folder) ? readdirSync(folder).sort() : [];
  if (names.length === 0) return;
  const lock = outgoing.lockPacker(0);
  if (!lock) return;
  lock.release();
  for (const name of names) {
    if (!lstatOf(join(folder, name))) continue;
    const reason = `${join(folder, name)}: left by a run that died; the next postcan throws it away`;
    found.add('outgoing', null, reason);
  }
}

/** A can's own files against its manifest. @param deep their bytes, not their sizes alone */
export async function checkLocal(outgoing: Outgoing, local: LocalCan, deep: boolean, found: Findings): Promise<void> {
  const { key, can, state } = local;
  const folder = new CanFolder(outgoing, can, state);
  const faults: string[] = [];
  for (const file of [local.postcan, local.jsonl]) {
    const fault = await faultOf(folder.file(file.name), file, deep);
    if (fault !== undefined) faults.push(fault);
  }
  if (outgoing.find(can)?.state !== state) return; // it moved on meanwhile, and was whole then
  if (state === 'held') faults.unshift('the store has other bytes under its name');
  for (const fault of faults) found.add('outgoing', key, `${state}: ${fault}`);
}

async function faultOf(path: string, { bytes, sha256 }: CanFile, deep: boolean): Promise<string | undefined> {
  const size = lstatOf(path)?.size;
  if (size === undefined) return `${path}: is gone`;
  if (size !== bytes) return `${path}: ${size} bytes, and its manifest tells of ${bytes}`;
  if (!deep) return undefined;
  try {
    return (await sha256OfFile(path)).sha256 === sha256 ? undefined : `${path}: not the bytes that were packed`;
  } catch (error) {
    return describe(error);
  }
}
