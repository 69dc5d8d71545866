// What fsck may find, gathered so that lines that follow each other with the same fault are told once.
import type { Stage } from '../stream/stage.ts';

export type FindingKind =
  /** A can of the index that the store does not have. */
  | 'missing'
  /** A can of the store that the index does not know. */
  | 'surplus'
  /** One of a can's two files is not there. */
  | 'half'
  /** A file of another size than was recorded. */
  | 'size'
  /** A file of other bytes than were recorded. */
  | 'checksum'
  /** Gzip or tar that cannot be read. */
  | 'broken'
  /** A line that is not the one that was indexed. */
  | 'line'
  /** A line without a row. */
  | 'unindexed'
  /** A row without a line. */
  | 'dangling'
  /** A row that does not tell what its line tells. */
  | 'row'
  /** A gzip member that is not where the index has it. */
  | 'offset'
  /** A post that is not what its line is made of, or too many or too few of them. */
  | 'post'
  /** A file of rows in the store that does not tell what the lines are. */
  | 'rows'
  /** A can in the outgoing folder that is not as its state tells, or waits for a person. */
  | 'outgoing'
  /** The SQLite file itself. */
  | 'index'
  /** A folder of the store that cannot be listed. */
  | 'folder'
  /** Row cans of which nothing tells whether they may be published. */
  | 'class'
  /** Row cans of one group with the same measurements: nothing tells which of them take the others' place. */
  | 'generation';

/** A row of standard output. */
export interface Finding {
  finding: FindingKind;
  /** Key of the file, without the prefix of the store; null where it is none of the store's. */
  s3path: string | null;
  /** First line that it is about, from 0. */
  linenum: number | null;
  /** How many lines. */
  lines: number | null;
  reason: string;
}

export class Findings {
  list: Finding[] = [];
  /** The last finding of lines, by all that is the same in them. */
  #last = new Map<string, Finding & { linenum: number; lines: number }>();

  add(finding: FindingKind, s3path: string | null, reason: string): void {
    this.list.push({ finding, s3path, linenum: null, lines: null, reason });
  }

  /** About lines; it may follow what was told of the lines before. */
  line(finding: FindingKind, s3path: string, linenum: number, reason: string, lines = 1): void {
    const key = `${finding} ${s3path} ${reason}`;
    const last = this.#last.get(key);
    if (last && last.linenum + last.lines === linenum) {
      last.lines += lines;
      return;
    }
    const found = { finding, s3path, linenum, lines, reason };
    this.list.push(found);
    this.#last.set(key, found);
  }

  forget(...kinds: FindingKind[]): void {
    this.list = this.list.filter(({ finding }) => !kinds.includes(finding));
    this.#last.clear();
  }

  has(...kinds: FindingKind[]): boolean {
    return this.list.some(({ finding }) => kinds.includes(finding));
  }
}

/** Writes findings out, as rows and for people. */
export async function tell(stage: Stage, found: Iterable<Finding>): Promise<void> {
  let any = false;
  for (const finding of found) {
    any = true;
    stage.finding(finding.s3path, reasonAt(finding));
    await stage.receipt(finding);
  }
  if (any) await stage.flush();
}

/** The reason, with the lines that it is about before it. */
export function reasonAt({ linenum, lines, reason }: Finding): string {
  if (linenum === null) return reason;
  return `${lines === 1 ? `line ${linenum}` : `lines ${linenum}-${linenum + lines! - 1}`}: ${reason}`;
}
