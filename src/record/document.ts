// A line or a file that is one document.
import { FACT_NAMES } from './facts.ts';
import { type JsonError, type JsonLimits, onOneLine, readJson, type Value } from './json.ts';

/** Members that somebody will ask for. */
export type Recorded = Pick<JsonLimits, 'keep' | 'names' | 'items'>;

export interface ReadDocument {
  /** On one line. */
  document: Buffer;
  /** The document with what was to be recorded, where its bytes are those that were read. */
  value?: Value;
}

/** To read documents with: what is asked for, and what their ids are made of. */
export function documentLimits(maxDepth: number, recorded: Recorded = {}): JsonLimits {
  return { ...recorded, maxDepth, names: [...FACT_NAMES, ...(recorded.names ?? [])] };
}

/** The document of a text. @throws Error */
export function readDocument(bytes: Buffer, limits: JsonLimits): ReadDocument {
  let read: ReturnType<typeof readJson>;
  try {
    read = readJson(bytes, limits);
  } catch (error) {
    throw new Error(`not JSON: ${(error as JsonError).message}`);
  }
  const { value, lineFeed } = read;
  if (value.type !== 'object') throw new Error(`not an object, but ${value.type}`);
  const document = onOneLine(bytes, value, lineFeed);
  // The places of members are those in the bytes that were read.
  return value.start > 0 || lineFeed ? { document } : { document, value };
}

/** True for a line of white space. */
export function isBlank(bytes: Buffer): boolean {
  for (const c of bytes) if (c !== 0x20 && c !== 0x09 && c !== 0x0d) return false;
  return true;
}

/** What a first line says of a file that is read as lines of documents: it is never guessed, but told. */
export function looksLike(line: Buffer): string | undefined {
  const start = line.toString('latin1', 0, 20);
  if (start === '{"cannery":"reject",') return 'looks like rejects: --format rejects reads what is in them';
  return /^\{"(?:format|content)":/.test(start) ? 'looks like a post: --format post reads its content' : undefined;
}
