// What is done with the lines of a can where that is the same for each: a part of the can at a time, on any thread.
import { documentLimits, isBlank, looksLike, readDocument } from '../record/document.ts';
import { legacyUid, NO_LINE } from '../record/facts.ts';
import type { JsonLimits } from '../record/json.ts';
import { type MeasurementRow, measurementRow, type Provenance } from '../record/rows.ts';
import { type Bodies, Selector } from '../record/selection.ts';
import { type TextTableOptions, tableRow } from '../record/texttable.ts';
import { parseWhere } from '../record/where.ts';
import type { Crew, Perform, Trade } from './crew.ts';
import { LARGEST_SLICE, LARGEST_TEXT, wholeTextNow } from './inflate.ts';
import { TextRoom } from './textroom.ts';

const LF = 0x0a;

export type LineKind = 'rows' | TextTableOptions;

/** What is to be made of every line. */
export interface LineJob {
  /** Expressions that can be parsed. */
  where: readonly string[];
  anyName: boolean;
  bodies: Bodies;
  /** Rows of measurements, or of a table. */
  into: LineKind;
}

interface Limits {
  maxLine: number;
  maxDepth: number;
}

export interface LineTask {
  /** Whole gzip members. */
  slice: Uint8Array;
  /** Of what it was cut from. */
  origin: Pick<Provenance, 'bucket_date' | 'report_filename'>;
  /** `{}` holds the place of a post. */
  isCan: boolean;
}

export type LineResult =
  | {
      kind: 'made';
      /** Rows, as they are to be written. */
      made: Uint8Array;
      out: number;
      leftOut: number;
      placeholders: number;
      lines: number;
      /** Bytes that the slice inflates to. */
      length: number;
    }
  /** Whole lines, of one of which something is to be told: they are read in the usual way. */
  | { kind: 'text'; text: Uint8Array; length: number }
  /** No whole members, or no whole lines. */
  | { kind: 'none' };

export interface LineTasks {
  lines: { task: LineTask; result: LineResult };
}
export type LineCrew = Crew<LineTasks>;

export function lineTrade(job: LineJob & Limits): Trade<LineTasks> {
  return { script: 'lineworker.cjs', told: job, perform: performer(job), joins: true, sent, lends };
}

/** A slice stands in a buffer with others. */
function sent(task: LineTask) {
  const slice = new Uint8Array(task.slice);
  return { task: { ...task, slice }, lent: [slice.buffer] };
}

function lends(result: LineResult): Uint8Array[] {
  const bytes = result.kind === 'made' ? result.made : result.kind === 'text' ? result.text : undefined;
  // A small one stands in a buffer with others.
  return bytes && bytes.length === bytes.buffer.byteLength ? [bytes] : [];
}

function performer(job: LineJob & Limits): Perform<LineTasks> {
  let maker: LineMaker | undefined;
  return async (_, task) => (maker ??= new LineMaker(job)).make(task);
}

class LineMaker {
  readonly #job: LineJob & Limits;
  readonly #selector: Selector;
  readonly #limits: JsonLimits;
  readonly #room = new TextRoom(2 * LARGEST_SLICE, LARGEST_TEXT);

  constructor(job: LineJob & Limits) {
    this.#job = job;
    const where = job.where.map((text) => parseWhere(text, job.anyName));
    this.#selector = new Selector({ where, bodies: job.bodies }, typeof job.into === 'object' ? job.into.fields : []);
    this.#limits = documentLimits(job.maxDepth, this.#selector.recorded);
  }

  make(task: LineTask): LineResult {
    const text = this.#room.inflate(task.slice) ?? wholeTextNow(task.slice);
    if (text?.at(-1) !== LF) return { kind: 'none' };
    try {
      const made = this.#made(text, task);
      if (made) return made;
    } catch {
      // The usual way says what it is.
    }
    return { kind: 'text', text: Buffer.from(text), length: text.length }; // the room is used again
  }

  #made(text: Buffer, { origin, isCan }: LineTask): LineResult | undefined {
    const { maxLine, into } = this.#job;
    const counts = { out: 0, leftOut: 0, placeholders: 0, lines: 0, length: text.length };
    const rows: Buffer[] = [];
    let table = '';
    for (let start = 0, end = 0; start < text.length; start = end + 1) {
      end = text.indexOf(LF, start);
      const line = text.subarray(start, end);
      if (line.length > maxLine || isBlank(line) || (start === 0 && looksLike(line))) return undefined;
      const { document, value } = readDocument(line, this.#limits);
      counts.lines++;
      if (isCan && document.equals(NO_LINE)) {
        counts.placeholders++;
        continue;
      }
      const row: MeasurementRow = {
        ...{ kind: 'measurement', measurement_uid: legacyUid(document, value), ...origin },
        document,
      };
      const selected = this.#selector.select(row, value);
      if (!selected) {
        counts.leftOut++;
        continue;
      }
      counts.out++;
      if (typeof into === 'object')
        table += tableRow(into, selected.fields ?? this.#selector.fieldsOf(row, selected.document));
      else {
        const [front, rest] = measurementRow(row, selected.document);
        rows.push(Buffer.from(front), rest, LINE_END);
      }
    }
    return { kind: 'made', made: rows.length > 0 ? Buffer.concat(rows) : Buffer.from(table), ...counts };
  }
}

const LINE_END = Buffer.from('\n');
