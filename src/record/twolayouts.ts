// 20 and 21 October 2020 are in both layouts of the public bucket: some measurements twice, others once.
import { createHash } from 'node:crypto';
import { member, readJson, stringOf } from './json.ts';
import { parseKey } from './names.ts';
import { ROW_DEPTH } from './rows.ts';

const DAYS = new Set(['20201020', '20201021']);

export type LayoutEra = 'old' | 'new';

/** Of a file of those days, which layout it is in. @param path ends with its key */
export function eraOf(path: string): LayoutEra | undefined {
  const can = parseKey(path.split('/').slice(-6).join('/'))?.can;
  if (can?.kind === 'hour') return DAYS.has(can.hour.slice(0, 8)) ? 'new' : undefined;
  return can?.mark === 'l' && DAYS.has(can.day) ? 'old' : undefined;
}

const NAMES = ['report_id', 'input', 'measurement_start_time'] as const;

/** Tells what has come from the one layout from what comes from the other. */
export class TwoLayouts {
  doubles = 0;
  #came: Record<LayoutEra, Set<string>> = { old: new Set(), new: new Set() };

  /** True for a document that has not come from the other layout. What comes twice within one is two measurements. */
  isNew(era: LayoutEra, document: Buffer): boolean {
    const id = identity(document);
    if (id === undefined) return true;
    const isDouble = this.#came[era === 'old' ? 'new' : 'old'].has(id);
    if (isDouble) this.doubles++;
    else this.#came[era].add(id);
    return !isDouble;
  }
}

/** Of report, input and time; 16 bytes, for there are a million in a day. Undefined without a report. */
function identity(document: Buffer): string | undefined {
  const { value } = readJson(document, { maxDepth: ROW_DEPTH, names: NAMES });
  const [report, input, time] = NAMES.map((name) => {
    const found = member(value, name);
    if (found === undefined || found.type === 'null') return null;
    return stringOf(document, found) ?? { json: document.toString('latin1', found.start, found.end) };
  });
  if (!report) return undefined;
  const text = JSON.stringify([report, input, time]);
  return createHash('sha256').update(text).digest().toString('latin1', 0, 16);
}
