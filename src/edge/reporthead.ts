// The header of a report: its first JSON object, or its first YAML document. No more is read than tells it.
import { JsonError } from '../record/json.ts';
import { FirstObject } from '../record/jsonhead.ts';
import { HEADER_NAMES, type Header } from '../record/reportheader.ts';
import type { ReportName } from '../record/reportnames.ts';
import { readYamlHeader } from '../record/yaml.ts';
import { errno, Malformed } from '../stream/errors.ts';
import { isGzip } from './gzip.ts';
import { type Bytes, fileBytes, inflate, peekBytes } from './source.ts';
import { yamlFrames } from './yamlframes.ts';

export type Head =
  | { outcome: 'header'; header: Header; ext: 'json' | 'yaml'; gz: boolean }
  | { outcome: 'empty' | 'failed'; reason: string };

/** A YAML header is read as a whole. */
const LONGEST_YAML_HEADER = 16 * 1024 * 1024;

const BOM = Buffer.from([0xef, 0xbb, 0xbf]);

/**
 * Reads the header of a report, which may be gzip. What it is, is told by its first bytes: names often say otherwise.
 * @param ext as its name says
 * @param max how far to look, in bytes after inflating
 * @throws errno errors
 */
export async function readHead(path: string, ext: ReportName['ext'], max: number): Promise<Head> {
  try {
    const { first, gz } = await firstOf(path, max);
    if (first === undefined) return { outcome: 'empty', reason: 'nothing in it' };
    if (first === 0x7b) {
      const header = await jsonHeader(path, max).catch((error: Error) => {
        if (ext === 'json' || errno(error)) throw error;
        return undefined; // YAML may begin with a brace too
      });
      if (header) return { outcome: 'header', header, ext: 'json', gz };
    }
    const header = await yamlHeader(path, max);
    if (header) return { outcome: 'header', header, ext: 'yaml', gz };
    return { outcome: 'empty', reason: 'no header, or a header without an entry' };
  } catch (error) {
    if (errno(error)) throw error;
    return { outcome: 'failed', reason: (error as Error).message };
  }
}

async function* decoded(path: string, max: number, told?: (gz: boolean) => void): AsyncGenerator<Uint8Array> {
  const { head, all } = await peekBytes(fileBytes(path), 2);
  told?.(isGzip(head));
  let seen = 0;
  for await (const chunk of isGzip(head) ? inflate(all, Number.POSITIVE_INFINITY) : all) {
    yield chunk;
    seen += chunk.length;
    if (seen > max) throw new Malformed(`no header in its first ${max} bytes (--max-line)`);
  }
}

/** The first byte that is neither white space nor byte order mark; undefined where there is none. */
async function firstOf(path: string, max: number): Promise<{ first: number | undefined; gz: boolean }> {
  let gz = false;
  for await (const chunk of withoutMark(decoded(path, max, (is) => (gz = is)))) {
    const first = chunk.find((c) => c > 0x20);
    if (first !== undefined) return { first, gz };
  }
  return { first: undefined, gz };
}

async function* withoutMark(source: Bytes): AsyncGenerator<Uint8Array> {
  let at = 0;
  for await (const chunk of source) {
    let from = 0;
    while (at < BOM.length && from < chunk.length && chunk[from] === BOM[at]) {
      at++;
      from++;
    }
    if (from < chunk.length) at = BOM.length;
    yield chunk.subarray(from);
  }
}

async function jsonHeader(path: string, max: number): Promise<Header> {
  const reader = new FirstObject(HEADER_NAMES);
  try {
    for await (const chunk of withoutMark(decoded(path, max))) {
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
async function yamlHeader(path: string, max: number): Promise<Header | undefined> {
  let header: Header | undefined;
  const onLong = () => {
    throw new TooLong();
  };
  try {
    for await (const { text } of yamlFrames(decoded(path, max), { maxFrame: LONGEST_YAML_HEADER, onLong })) {
      if (isNothing(text)) continue;
      if (header) return header;
      header = readYamlHeader(text);
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
