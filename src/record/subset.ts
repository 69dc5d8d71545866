// The manifest of a selection: a first line with what was asked and what came out, and a file row for each input.
import { keyFault } from './mirror.ts';

export interface Digest {
  bytes: number;
  sha256: string;
}

/** An input; its `s3path` is its key in a store, or its path below a folder. */
export interface InputRow extends Digest {
  /** Where it was read, or where its copy came from. */
  file: string;
  s3path: string;
}

/** `file` is a path in the folder of the output, where that is one. */
export type OutputFile = Digest & { file?: string };

/** Option → what was given; those that were not are left out. */
export type Query = Record<string, string | number | boolean | string[]>;

export interface SubsetManifest {
  /** Of the program that made it. */
  tool: string;
  query: Query;
  counts: Record<string, number>;
  output: OutputFile[];
  inputs: InputRow[];
}

/** The same selection of the same inputs gives the same text. */
export function subsetText({ tool, query, counts, output, inputs }: SubsetManifest): string {
  const head = { cannery: 'manifest', version: 1, tool, query, counts, output, inputs: inputs.length };
  const rows = inputs.map(({ file, bytes, s3path, sha256 }) => ({ file, bytes, s3path, sha256 }));
  return [head, ...rows].map((row) => `${JSON.stringify(row)}\n`).join('');
}

/** @throws Error */
export function parseSubset(text: string): SubsetManifest {
  const [first, ...others] = text.split('\n').map((line, n, { length }) => {
    if (n === length - 1 && line === '') return undefined;
    try {
      return JSON.parse(line) as unknown;
    } catch (error) {
      throw new Error(`line ${n + 1}: not JSON: ${(error as Error).message}`);
    }
  });
  const head = objectOf(first);
  const { cannery, version, tool, query, counts, output, inputs: count } = head;
  if (cannery !== 'manifest') throw new Error('no manifest of a selection');
  if (version !== 1)
    throw new Error(`a manifest of version ${JSON.stringify(version)}, which this program does not know`);
  if (others.pop() !== undefined || others.length !== count) throw new Error('the manifest was cut short');
  const files = Array.isArray(output) ? output.map(objectOf) : [];
  if (files.length === 0 || !files.every(({ file, ...digest }) => isDigest(digest) && (file ?? '') === `${file ?? ''}`))
    throw new Error('line 1: no digest of the output');
  const inputs = others.map((row, n) => {
    const input = objectOf(row);
    const { file, s3path } = input;
    const isPath = typeof s3path === 'string' && keyFault(s3path) === undefined;
    if (typeof file !== 'string' || !isPath || !isDigest(input)) throw new Error(`line ${n + 2}: no input`);
    return input as unknown as InputRow;
  });
  return {
    ...{ tool: `${tool}`, query: objectOf(query) as Query, counts: objectOf(counts) as Record<string, number> },
    ...{ output: files as unknown as OutputFile[], inputs },
  };
}

function objectOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function isDigest({ bytes, sha256 }: Record<string, unknown>): boolean {
  return Number.isSafeInteger(bytes) && typeof sha256 === 'string' && /^[0-9a-f]{64}$/.test(sha256);
}
