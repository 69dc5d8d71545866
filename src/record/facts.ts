// What a document says of itself: what it is looked up by, and its time, place and test.
import { createHash } from 'node:crypto';
import { isModernReportId, trivialId } from './identity.ts';
import { member, readJson, stringOf, type Value } from './json.ts';
import { compactTest, dayForPath } from './names.ts';
import { ROW_DEPTH } from './rows.ts';

/** What `{}` in a can stands for: a post whose bytes are in the postcan alone. */
export const NO_LINE = Buffer.from('{}');

/** What the index looks a measurement up by: `""` where the document has none. */
export interface LookupKeys {
  report_id: string;
  input: string;
}

/** Members that look-ups need, for readers of documents. */
export const KEY_NAMES = ['report_id', 'input'];
/** Members that tell of a document's time, place and test. */
export const FACT_NAMES = ['report_id', 'measurement_start_time', 'probe_cc', 'test_name'];

/** report_id and input of a document whose members were kept, as the index has them. */
export function lookupKeys(bytes: Buffer, document: Value): LookupKeys {
  return {
    report_id: keyText(stringOf(bytes, member(document, 'report_id')) ?? ''),
    input: keyText(inputText(bytes, member(document, 'input'))),
  };
}

/**
 * A key as the index has it. A probe may send megabytes for an input: past 2,048 characters its first 1,024 and
 * its SHA-256 stand for it. So they do for one with half a character (a lone surrogate), which a database has no bytes
 * for. Who looks one up passes it through here too.
 */
export function keyText(text: string): string {
  const isWhole = text.isWellFormed();
  if (isWhole && text.length <= 2048) return text;
  // In UTF-8 all halves are the same.
  const bytes = Buffer.from(text, isWhole ? 'utf8' : 'utf16le');
  return `${text.slice(0, 1024).toWellFormed()} sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/** A list of inputs is joined with colons, as the index has always had it; any other value is its JSON text. */
function inputText(bytes: Buffer, value: Value | undefined): string {
  if (!value || value.type === 'null') return '';
  if (value.type === 'string') return stringOf(bytes, value)!;
  const text = bytes.toString('utf8', value.start, value.end);
  if (value.type !== 'array') return text;
  // Cut out, not parsed and written again: 1.0 stays 1.0, and however deep a list is, it is no stack of ours.
  const list = bytes.subarray(value.start, value.end);
  const { items } = readJson(list, { maxDepth: Number.POSITIVE_INFINITY }).value;
  return items!.map((item) => stringOf(list, item) ?? list.toString('utf8', item.start, item.end)).join(':');
}

/** What a document says of its own time, place and test; all of it may be forged. */
export interface DocumentFacts {
  report_id: string | undefined;
  measurement_start_time: string | undefined;
  probe_cc: string | undefined;
  /** Compact. */
  test: string | undefined;
}

export function documentFacts(bytes: Buffer, document: Value): DocumentFacts {
  const text = (key: string) => stringOf(bytes, member(document, key));
  const test = text('test_name');
  return {
    report_id: text('report_id'),
    measurement_start_time: text('measurement_start_time'),
    probe_cc: text('probe_cc'),
    test: test === undefined ? undefined : compactTest(test),
  };
}

/**
 * A legacy record has the trivial id of its raw bytes; a modern line without its postcan has none.
 * @param value the document read, with its facts, where that was done
 */
export function legacyUid(
  document: Buffer,
  value = readJson(document, { maxDepth: ROW_DEPTH, names: FACT_NAMES }).value,
): string | null {
  const text = (key: string) => stringOf(document, member(value, key));
  const report_id = text('report_id');
  return report_id !== undefined && isModernReportId(report_id)
    ? null
    : trivialId(document, dayForPath(text('measurement_start_time')));
}
