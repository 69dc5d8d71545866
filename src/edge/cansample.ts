// Some lines of a can, instead of all: each in its gzip member, which is read whole.
import { createHash } from 'node:crypto';
import { Malformed } from '../stream/errors.ts';
import type { Stage } from '../stream/stage.ts';
import { checkRow, factsOf, faultOfFile, type Indexed, objectBytes } from './canread.ts';
import type { Findings } from './findings.ts';
import type { MemberPlace } from './index-db.ts';
import { canLines } from './members.ts';
import { once } from './source.ts';
import type { Store } from './store.ts';

export interface SampleOptions {
  /** Lines of each can. */
  lines: number;
  /** Which ones: the same text and can give the same lines. */
  seed: string;
  maxLine: number;
}

export class CanSampler {
  #stage: Stage;
  #store: Store;
  #options: SampleOptions;

  constructor(stage: Stage, store: Store, options: SampleOptions) {
    this.#stage = stage;
    this.#store = store;
    this.#options = options;
  }

  /** Compares the index's own account of a can with its size, and some lines with their rows. */
  async read({ audit, can }: Indexed, size: number, found: Findings): Promise<void> {
    const { key } = can;
    const { rows, last } = audit.extent(can.id);
    const members = audit.members(can.id);
    if (can.class === 'foreign' && members.length === 0) return this.#firstLine({ audit, can }, size, found);
    const expected = last === null ? 0 : last + 1;
    if (rows !== expected) found.add('unindexed', key, `${expected - rows} of its first ${expected} lines have no row`);
    const gap = gapIn(members, size);
    if (gap !== undefined) found.add('offset', key, gap);
    for (const [place, end] of this.#choose(key, members, expected)) {
      if (!(place.offset >= 0 && place.length > 0 && place.offset + place.length <= size)) continue; // told as a gap
      await this.#member({ audit, can }, place, end, found);
    }
  }

  /** Members of lines that the seed picks, each with the number of the line behind it. */
  #choose(key: string, members: MemberPlace[], lines: number): [MemberPlace, number][] {
    const chosen = new Set<number>();
    for (let n = 0; n < this.#options.lines && lines > 0; n++) {
      const digest = createHash('sha256').update(`${this.#options.seed}\n${key}\n${n}`).digest();
      const line = digest.readUIntBE(0, 6) % lines;
      chosen.add(members.findLastIndex(({ first_line }) => first_line <= line));
    }
    chosen.delete(-1);
    return [...chosen].sort((a, b) => a - b).map((n) => [members[n]!, members[n + 1]?.first_line ?? lines]);
  }

  async #member({ audit, can }: Indexed, place: MemberPlace, end: number, found: Findings): Promise<void> {
    const { key } = can;
    const { first_line: first, offset, length } = place;
    const rows = new Map([...audit.lines(can.id, first, end)].map((row) => [row.linenum, row]));
    let linenum = first;
    let whole = 0;
    try {
      const bytes = await this.#store.read(key, offset, length);
      this.#stage.tally('bytes_in', length);
      for await (const piece of canLines(once(bytes), { maxLine: this.#options.maxLine, gzip: true })) {
        if (piece.kind === 'member') whole++;
        if (piece.kind === 'break') throw new Malformed(piece.reason);
        if (piece.kind !== 'line') continue;
        const row = rows.get(linenum);
        if (row) checkRow(found, key, factsOf(piece.line), row);
        else found.line('unindexed', key, linenum, 'no row of the index tells of it');
        rows.delete(linenum++);
      }
    } catch (error) {
      const fault = faultOfFile(error);
      if (fault === undefined) throw error;
      found.line('broken', key, first, `${fault.replace(`${key}: `, '')} (gzip member at byte ${offset})`, end - first);
      return;
    }
    this.#stage.tally('lines', linenum - first);
    if (whole !== 1) found.line('offset', key, first, `no single gzip member at byte ${offset}`, end - first);
    for (const n of rows.keys()) found.line('dangling', key, n, 'a row of the index, and no such line');
  }

  /** Of a can that others made, the line of its first row: what lies before it has to be read. */
  async #firstLine({ audit, can }: Indexed, size: number, found: Findings): Promise<void> {
    const { value: row } = audit.lines(can.id).next();
    if (!row || this.#options.lines === 0) return;
    let linenum = 0;
    try {
      const source = this.#stage.count(objectBytes(this.#store, can.key, 0, size));
      for await (const piece of canLines(source, { maxLine: this.#options.maxLine, gzip: false })) {
        if (piece.kind === 'break') throw new Malformed(piece.reason);
        if (piece.kind !== 'line' || linenum++ < row.linenum) continue;
        checkRow(found, can.key, factsOf(piece.line), row);
        this.#stage.tally('lines');
        return;
      }
      found.line('dangling', can.key, row.linenum, 'a row of the index, and no such line');
    } catch (error) {
      const fault = faultOfFile(error);
      if (fault === undefined) throw error;
      found.line('broken', can.key, linenum, `from here on: ${fault.replace(`${can.key}: `, '')}`);
    }
  }
}

/** What is wrong with members that must follow each other from the first byte to the last. */
function gapIn(members: MemberPlace[], size: number): string | undefined {
  let at = 0;
  let line = -1;
  for (const { first_line, offset, length } of members) {
    if (offset !== at || first_line <= line || (line === -1 && first_line !== 0) || length <= 0)
      return `the index has a gzip member at byte ${offset}, where one at byte ${at} must follow`;
    at += length;
    line = first_line;
  }
  return at === size ? undefined : `the gzip members of the index end at byte ${at} of ${size}`;
}
