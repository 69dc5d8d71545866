// The header of a report: its first JSON object, or its first YAML document. No more is read than tells it.
import { closeSync, constants, openSync, readSync } from 'node:fs';
import { JsonError } from '../record/json.ts';
import { FirstObject } from '../record/jsonhead.ts';
import { HEADER_NAMES, type Header } from '../record/reportheader.ts';
import type { ReportName } from '../record/reportnames.ts';
import { readYamlHeader } from '../record/yaml.ts';
import { errno, Malformed } from '../stream/errors.ts';
import { isGzip } from './gzip.ts';
import { inflate } from './inflate.ts';
import { type Bytes, peekBytes } from './source.ts';
import { yamlFrames } from './yamlframes.ts';

export type Head =
  | { outcome: 'header'; header: Header; ext: 'json' | 'yaml'; gz: boolean }
  | { outcome: 'empty' | 'failed'; reason: string };

/** A YAML header is read as a whole. */
const LONGEST_YAML_HEADER = 16 * 1024 * 1024;

const SPACE = 0x20;
const BRACE = 0x7b;
const PIECE = 64 * 1024;
const BOM = Buffer.from([0xef, 0xbb, 0xbf]);

/**
 * Reads the header of a report, which may be gzip. What it is, is told by its first bytes: names often say otherwise.
 * @param ext as its name says
 * @param max how far to look, in bytes after inflating
 * @throws errno errors
 */
export async function readHead(path: string, ext: ReportName['ext'], max: number): Promise<Head> {
  try {
    let gz = false;
    const { head, all } = await peekBytes(
      fromFirst(path, max, (is) => (gz = is)),
      1,
    );
    const first = head.find((c) => c > SPACE);
    if (first === undefined) return { outcome: 'empty', reason: 'nothing in it' };
    const json = first === BRACE ? await jsonHeader(all).catch((error: Error) => error) : undefined;
    if (json && !(json instanceof Error)) return { outcome: 'header', header: json, ext: 'json', gz };
    if (json && (ext === 'json' || errno(json))) throw json;
    // YAML may begin with a brace too: then it is read once more.
    const header = await yamlHeader(json ? fromFirst(path, max) : all);
    if (header) return { outcome: 'header', header, ext: 'yaml', gz };
    return { outcome: 'empty', reason: 'no header, or a header without an entry' };
  } catch (error) {
    if (errno(error)) throw error;
    return { outcome: 'failed', reason: (error as Error).message };
  }
}

/** What a file holds, inflated: from its first piece that is not all white space, without a byte order mark. */
async function* fromFirst(path: string, max: number, told?: (gz: boolean) => void): AsyncGenerator<Uint8Array> {
  const { head, all } = await peekBytes(pieces(path), 2);
  told?.(isGzip(head));
  let seen = 0;
  let mark = 0;
  let begun = false;
  for await (const chunk of isGzip(head) ? inflate(all, Number.POSITIVE_INFINITY) : all) {
    let from = 0;
    while (mark < BOM.length && from < chunk.length && chunk[from] === BOM[mark]) {
      mark++;
      from++;
    }
    if (from < chunk.length) mark = BOM.length;
    begun ||= chunk.subarray(from).some((c) => c > SPACE);
    if (begun) yield chunk.subarray(from);
    seen += chunk.length;
    if (seen > max) throw new Malformed(`no header in its first ${max} bytes (--max-line)`);
  }
}

/** A header stands in the first piece mostly, for which a stream would be a long way. Links are not followed. */
async function* pieces(path: string): AsyncGenerator<Uint8Array> {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    for (;;) {
      const piece = Buffer.allocUnsafe(PIECE);
      const length = readSync(fd, piece);
      if (length === 0) return;
      yield piece.subarray(0, length);
    }
  } finally {
    closeSync(fd);
  }
}

async function jsonHeader(source: Bytes): Promise<Header> {
  const reader = new FirstObject(HEADER_NAMES);
  try {
    for await (const chunk of source) {
      reader.push(chunk);
      if (reader.done) return reader.members;
    }
    reader.end();
  } catch (error) {
    if (error instanceof JsonError) throw new Error(`not JSON: ${error.message}`);
    throw error;
  }
  return reader.members;
}

/** @returns undefined where no header comes, or no entry after it */
async function yamlHeader(source: Bytes): Promise<Header | undefined> {
  let header: Header | undefined;
  const onLong = () => {
    throw new TooLong();
  };
  try {
    for await (const { text, line, offset, bare } of yamlFrames(source, { maxFrame: LONGEST_YAML_HEADER, onLong })) {
      if (isNothing(text)) continue;
      if (header) return header;
      header = readYamlHeader(text, { line, offset: offset + (bare ? 0 : 3) });
    }
  } catch (error) {
    if (!(error instanceof TooLong)) throw error;
    if (header) return header; // by its first entry
    throw new Error(`a YAML header of more than ${LONGEST_YAML_HEADER} bytes`);
  }
  return undefined;
}

class TooLong extends Error {}

/** A document that says nothing: blank, comments, null, or an empty mapping. */
function isNothing(text: Buffer): boolean {
  const said = text.toString('latin1').replace(/^[ \t]*#.*$/gm, '');
  return /^\s*(?:~|null|Null|NULL|\{\s*\})?\s*$/.test(said);
}
