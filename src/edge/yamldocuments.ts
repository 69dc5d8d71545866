// Records of a YAML report, one at a time: its header is kept, each entry is read, merged and forgotten.
import { readYaml, type YamlDocument } from '../record/yaml.ts';
import { ReportHeader } from '../record/yamlreport.ts';
import { Malformed } from '../stream/errors.ts';
import type { LongLine } from '../stream/lines.ts';
import type { Reject } from '../stream/rejects.ts';
import type { DocumentLimits, OpenedDocument } from './documents.ts';
import type { Bytes } from './source.ts';
import { type Frame, yamlFrames } from './yamlframes.ts';

/** How the reason begins where a document is not whole. */
export const CUT_OFF = 'cut off';

/** What a reader of reports needs of the kernel. */
export interface ReportKernel {
  took(): void;
  reject(reject: Reject, bytes: Uint8Array | null): void;
  /** As `reject`, for bytes that come in pieces. */
  rejectInPieces(reject: Reject): LongLine;
  say(message: string): void;
  tally(name: string, by?: number): void;
}

export interface ReportLimits extends DocumentLimits {
  whole?: boolean;
}

/** Members of the header that hide what an entry has of its own, which is told. */
const TELLING = ['input', 'id', 'measurement_start_time', 'report', 'test_keys'];

/**
 * Records of a report. Documents that are none are rejected, each by itself, with the header before it, so that what
 * was rejected is a small report that can be read again.
 * @param name path or null for standard input
 * @param limits with `whole`, the end of the source is known to be that of its last document
 */
export async function* yamlRecords(
  source: Bytes,
  name: string | null,
  kernel: ReportKernel,
  limits: ReportLimits,
): AsyncGenerator<Pick<OpenedDocument, 'document'> & { measurement_uid: string }> {
  const report = new Report(name, kernel, limits);
  for await (const frame of yamlFrames(source, report.frameLimits())) {
    const record = report.take(frame);
    if (record) yield record;
  }
  report.finish();
}

class Report {
  #name: string | null;
  #kernel: ReportKernel;
  #limits: ReportLimits;
  #header: ReportHeader | undefined;
  #records = 0;
  #refused = 0;
  #closed = 0;
  /** Frames that another `---` ended. */
  #reopened = 0;
  #firstReopened: number | undefined;

  constructor(name: string | null, kernel: ReportKernel, limits: ReportLimits) {
    this.#name = name;
    this.#kernel = kernel;
    this.#limits = limits;
  }

  frameLimits() {
    const { maxLine } = this.#limits;
    return {
      maxFrame: maxLine,
      onLong: (line: number, offset: number): LongLine => {
        this.#kernel.took();
        this.#refused++;
        const reason = `document at byte ${offset} is longer than the limit of ${maxLine} bytes (--max-line)`;
        const pieces = this.#kernel.rejectInPieces({ as: 'yaml', file: this.#name, line, reason });
        if (this.#header) pieces.write(this.#header.frame);
        return pieces;
      },
    };
  }

  /** @returns the record of an entry; undefined for the header and for what is none */
  take(frame: Frame): { document: Buffer; measurement_uid: string } | undefined {
    this.#kernel.took();
    if (frame.end === 'closed') this.#closed++;
    else if (frame.end === 'reopened' && !(frame.bare && this.#header)) {
      this.#reopened++;
      this.#firstReopened ??= frame.line;
    }
    try {
      return this.#read(frame);
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      this.#refused++;
      const reason = `${error.message} (size ${frame.bytes.length} at byte ${frame.offset})`;
      const bytes = this.#header ? Buffer.concat([this.#header.frame, frame.bytes]) : frame.bytes;
      this.#kernel.reject({ as: 'yaml', file: this.#name, line: frame.line, reason }, bytes);
      return undefined;
    }
  }

  /** @throws Malformed */
  #read(frame: Frame) {
    if (frame.bare && this.#header) throw new Malformed('text outside of documents');
    if (frame.end === 'cut' && !this.#endsWithFile(frame))
      throw new Malformed(
        `${CUT_OFF} at byte ${frame.offset + frame.bytes.length}: no '...' before the end of the file`,
      );
    const document = this.#document(frame);
    if (document.kind === 'mapping') {
      if (this.#header) {
        const record = this.#header.record(frame.bytes, document);
        const { maxLine } = this.#limits;
        if (record.document.length > maxLine)
          throw new Malformed(`with its header longer than the limit of ${maxLine} bytes (--max-line)`);
        this.#records++;
        return record;
      }
      this.#header = new ReportHeader(frame.bytes, document);
    } else if (!this.#header) throw new Malformed(`a header is a mapping, not ${document.what}`);
    else if (document.kind === 'other') throw new Malformed(`an entry is a mapping, not ${document.what}`);
    else this.#kernel.tally('skipped'); // it says nothing
    return undefined;
  }

  #document(frame: Frame): YamlDocument {
    const { maxLine: maxBytes, maxDepth } = this.#limits;
    const unknownTag = (times: number) => this.#kernel.tally('unknown_tags', times);
    try {
      const origin = { line: frame.line, offset: frame.offset + (frame.bare ? 0 : 3) };
      return readYaml(frame.text, { maxBytes, maxDepth, origin }, unknownTag);
    } catch (error) {
      throw new Malformed((error as Error).message);
    }
  }

  /** Some writers use no `...` at all; then the end of the file, after a whole line, ends the last document. */
  #endsWithFile(frame: Frame): boolean {
    if (this.#limits.whole) return true;
    return this.#closed === 0 && (this.#reopened > 0 || frame.bare) && frame.bytes.at(-1) === 0x0a;
  }

  /** What is said of the whole report. */
  finish(): void {
    const say = (message: string) => this.#kernel.say(`${this.#name ?? '-'}: ${message}`);
    if (this.#reopened > 0 && this.#closed === 0)
      say("no '...' ends a document here: each ends where the next begins, the last with the file");
    else if (this.#reopened > 0)
      say(`documents ended by '---' without '...': ${this.#reopened}, first that of line ${this.#firstReopened}`);
    const hidden = TELLING.filter((member) => this.#header?.overridden.has(member));
    if (hidden.length > 0) say(`the header's ${hidden.join(', ')} stands in place of that of entries`);
    if (this.#records > 0 || this.#refused > 0) return;
    this.#kernel.tally('empty');
    say(this.#header ? 'a header without entries' : 'no documents');
  }
}
