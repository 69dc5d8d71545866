// Which keys of a store can be meant by a selection, so that no others are listed. A bucket of ten years has tens of
// millions, a thousand to a request; a country's day lies under a few prefixes.
import { compareKeys, parseCanName, timeOf } from './names.ts';

/** What is asked for, as far as a can's key tells it. */
export interface KeyFilter {
  /** None is any. */
  cc: string[];
  /** Compact names, none is any. */
  tests: string[];
  /** Milliseconds since the epoch, of the hour or day in the key; the end is exclusive. */
  from?: number | undefined;
  to?: number | undefined;
  /** What ended its hour or day at this time or before is left out: nothing is measured after it has come. */
  measuredFrom?: number | undefined;
}

/** Keys that begin with `prefix`, stand behind `after`, and before `until` where there is an end. */
export interface KeyRange {
  prefix: string;
  after: string;
  until?: string;
}

/** A folder of a layout, told by the parts of its path. */
export interface Branch {
  layout: Layout;
  parts: string[];
}

type Layout = 'jsonl' | 'raw';
type Level = 'day' | 'hour' | 'cc' | 'test' | '00';

/** In the order of their keys. */
const LEVELS: Record<Layout, Level[]> = {
  jsonl: ['test', 'cc', 'day', '00'],
  raw: ['day', 'hour', 'cc', 'test'],
};

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** From so many countries on, an hour of the public bucket takes fewer requests as a whole: it has some 3,000 keys. */
const MANY = 4;

/** What to do with a branch: go into others, ask which folders it has, or list it. */
export type Step = { into: Branch[] } | { folders: KeyRange } | { objects: KeyRange };

/** Both layouts, from their roots. */
export function wholeLayouts(): Branch[] {
  return [
    { layout: 'jsonl', parts: [] },
    { layout: 'raw', parts: [] },
  ];
}

/** A path that ends within a layout (`mirror/raw/20240201/10`) → what lies before it, and the branch. */
export function branchOfPath(path: string): { root: string; branch: Branch } | undefined {
  const all = path.split('/');
  for (let at = all.length - 1; at >= 0; at--) {
    const layout = all[at];
    if (layout !== 'jsonl' && layout !== 'raw') continue;
    const parts = all.slice(at + 1);
    const levels = LEVELS[layout];
    const fits = parts.every((part, i) => (i < levels.length ? isOf(levels[i]!, part) : isFileName(part)));
    if (fits && parts.length <= levels.length + 1)
      return { root: all.slice(0, at).join('/'), branch: { layout, parts } };
  }
  return undefined;
}

function isFileName(part: string): boolean {
  return parseCanName(part.split('.').slice(0, 3).join('.')) !== undefined;
}

/** True where a folder of this name can stand on a level. */
function isOf(level: Level, name: string): boolean {
  switch (level) {
    case 'day':
      return /^\d{8}$/.test(name) && timeOf(name) !== undefined;
    case 'hour':
      return /^(?:[01]\d|2[0-3])$/.test(name);
    case 'cc':
      return /^[A-Z]{2}$/.test(name);
    case 'test':
      return /^[a-zA-Z0-9]{2,30}$/.test(name);
    case '00':
      return name === '00';
  }
}

/** How far down it is worth to go before listing. */
function depthOf({ cc, tests, ...times }: KeyFilter, layout: Layout): number {
  const bounded = times.from !== undefined || times.to !== undefined || times.measuredFrom !== undefined;
  if (layout === 'jsonl') return cc.length > 0 || bounded ? 2 : tests.length > 0 ? 1 : 0;
  // All tests of one country and hour are a single request, as one of them is.
  if (cc.length > 0 && cc.length <= MANY) return tests.length === 1 ? 4 : 3;
  return bounded ? 1 : 0;
}

/** The next step of a branch; a branch that the filter does not admit has nothing to list. */
export function stepOf(filter: KeyFilter, { layout, parts }: Branch): Step {
  const levels = LEVELS[layout];
  if (!parts.slice(0, levels.length).every((part, i) => admits(filter, layout, parts, i, part))) return { into: [] };
  const level = levels[parts.length];
  if (level === undefined || parts.length >= depthOf(filter, layout))
    return { objects: rangeOf(filter, { layout, parts }) };
  const known = valuesOf(filter, level);
  if (known === undefined) return { folders: rangeOf(filter, { layout, parts }) };
  return { into: known.map((value) => ({ layout, parts: [...parts, value] })) };
}

/** The branch of a folder that was found in another; undefined for strangers and what is not asked for. */
export function branchInto(filter: KeyFilter, { layout, parts }: Branch, folder: string): Branch | undefined {
  const level = LEVELS[layout][parts.length];
  if (level === undefined || !isOf(level, folder)) return undefined;
  const into = { layout, parts: [...parts, folder] };
  return admits(filter, layout, into.parts, parts.length, folder) ? into : undefined;
}

function valuesOf({ cc, tests }: KeyFilter, level: Level): string[] | undefined {
  const sorted = (names: string[]) => [...new Set(names)].sort(compareKeys);
  if (level === 'cc' && cc.length > 0) return sorted(cc);
  if (level === 'test' && tests.length > 0) return sorted(tests);
  // Every hour of a day mostly has something; which days there are is better asked.
  if (level === 'hour') return Array.from({ length: 24 }, (_, hour) => String(hour).padStart(2, '0'));
  return undefined;
}

function admits(filter: KeyFilter, layout: Layout, parts: string[], at: number, part: string): boolean {
  switch (LEVELS[layout][at]) {
    case 'cc':
      return filter.cc.length === 0 || filter.cc.includes(part);
    case 'test':
      return filter.tests.length === 0 || filter.tests.includes(part);
    case 'day': {
      const [first, end] = daysOf(filter, layout);
      return part >= first && (end === undefined || part < end);
    }
    case 'hour': {
      const time = timeOf(`${parts[at - 1]}${part}`);
      return time !== undefined && time >= startOf(filter, HOUR_MS) && time < (filter.to ?? -NEVER);
    }
    default:
      return true;
  }
}

/** The first time that a key of this grain can have. */
function startOf({ from = NEVER, measuredFrom = NEVER }: KeyFilter, grain: number): number {
  return Math.max(from, measuredFrom - grain + 1);
}

const NEVER = Number.NEGATIVE_INFINITY;

/** The first day that keys can have ('' for any), and the first behind those. */
function daysOf(filter: KeyFilter, layout: Layout): [first: string, end: string | undefined] {
  const { to } = filter;
  // A day of cans by hour begins before some of its hours; a row can has its day alone.
  const first = layout === 'raw' ? dayOf(startOf(filter, HOUR_MS)) : dayOf(startOf(filter, DAY_MS) + DAY_MS - 1);
  return [first, to === undefined ? undefined : dayOf(to + DAY_MS - 1)];
}

const FIRST = Date.UTC(100, 0, 1);
const LAST = Date.UTC(9999, 11, 31);
/** Behind every day. */
const NO_END = '99999999';

/** `YYYYMMDD` of a time, with text that sorts before or behind where a key cannot have that day. */
function dayOf(time: number): string {
  if (time < FIRST) return '';
  return time >= LAST + DAY_MS ? NO_END : new Date(time).toISOString().slice(0, 10).replaceAll('-', '');
}

function rangeOf(filter: KeyFilter, branch: Branch): KeyRange {
  const { layout, parts } = branch;
  const levels = LEVELS[layout];
  const prefix = `${[layout, ...parts].join('/')}${parts.length > levels.length ? '' : '/'}`;
  const level = levels[parts.length];
  if (level === 'hour') return hoursOf(filter, prefix, timeOf(parts[0]!)!);
  if (level !== 'day') return { prefix, after: '' };
  const [first, end] = daysOf(filter, layout);
  const after = first === '' ? '' : prefix + first;
  if (end === undefined) return { prefix, after };
  if (end <= first) return { prefix, after, until: after };
  // What all days have in common narrows a listing that would run over its end.
  const last = end === NO_END ? end : dayOf(timeOf(end)! - DAY_MS);
  let common = 0;
  while (common < last.length && first[common] === last[common]) common++;
  return { prefix: prefix + first.slice(0, common), after, until: prefix + end };
}

/** A day of which the first and last hours may not be asked for. */
function hoursOf(filter: KeyFilter, prefix: string, day: number): KeyRange {
  const hour = (time: number) => String(Math.ceil((time - day) / HOUR_MS)).padStart(2, '0');
  const start = startOf(filter, HOUR_MS);
  const after = start > day ? prefix + hour(start) : '';
  const { to } = filter;
  return to === undefined || to >= day + DAY_MS ? { prefix, after } : { prefix, after, until: prefix + hour(to) };
}
