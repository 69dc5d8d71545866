// Everything that `cat` opens, as documents one after the other. A bad one is told and the rest goes on. What reads posts, tar
// and YAML is loaded where there is some: most of what is read are lines.
import { basename, dirname } from 'node:path';
import {
  documentLimits,
  isBlank,
  looksLike,
  type ReadDocument,
  type Recorded,
  readDocument,
} from '../record/document.ts';
import { legacyUid, NO_LINE } from '../record/facts.ts';
import type { JsonLimits } from '../record/json.ts';
import { dayForPath, parseKey, parsePostName, uidOfMember } from '../record/names.ts';
import { type MeasurementRow, type Provenance, parseRow } from '../record/rows.ts';
import { describeAt, Malformed, UsageError } from '../stream/errors.ts';
import { type Line, readAll } from '../stream/lines.ts';
import type { RejectKind } from '../stream/rejects.ts';
import { isGzip } from './gzip.ts';
import { isLz4 } from './lz4.ts';
import { type Kept, parseReject } from './rejectrows.ts';
import { type Bytes, fileBytes, isTar, once, peek, peekBytes, unpacked } from './source.ts';
import type { ReportKernel, ReportLimits } from './yamldocuments.ts';

export const FORMATS = ['auto', 'post', 'json', 'jsonl', 'yaml', 'tar', 'rejects'] as const;
export type Format = (typeof FORMATS)[number];

export interface DocumentLimits {
  maxLine: number;
  maxDepth: number;
  /** Bytes after inflating, of one file. */
  maxInflated: number;
  /** Members that somebody will ask for: recorded as each document is validated. */
  recorded?: Recorded;
}

/** What a reader needs of the kernel. */
export interface DocumentKernel extends ReportKernel {
  /** @param from the number of the first */
  lines(source: Bytes, file: string | null, as: RejectKind, from?: number): AsyncIterable<Line>;
  count(source: Bytes): Bytes;
  took(count?: number): void;
  /** @throws where this is the file that rejects are written to */
  refuseRejects(path: string): void;
}

export interface OpenedDocument extends ReadDocument {
  provenance: Provenance;
}

/** What other threads made of many documents: rows, as they are to be written. */
export interface MadeRows {
  made: Buffer;
  out: number;
  leftOut: number;
}

/** Faults of the system that belong to one file. */
const ITS_OWN = new Set(['ENOENT', 'EACCES', 'EPERM', 'EISDIR', 'ENOTDIR', 'ELOOP', 'ENAMETOOLONG', 'EIO']);

const NO_PROVENANCE: Provenance = { measurement_uid: null, bucket_date: null, report_filename: null };

export class DocumentReader {
  /** True once an input could not be read to its end. */
  broken = false;
  #kernel: DocumentKernel;
  #limits: DocumentLimits;
  #recorded: JsonLimits;
  #bytesOf: (path: string) => Bytes;

  /** @param bytesOf opens what is named; a file, if nothing else is said */
  constructor(kernel: DocumentKernel, limits: DocumentLimits, bytesOf = fileBytes) {
    this.#kernel = kernel;
    this.#limits = limits;
    this.#bytesOf = bytesOf;
    this.#recorded = documentLimits(limits.maxDepth, limits.recorded);
  }

  /** Documents of a file, by its path. */
  file(path: string, format: Format): AsyncGenerator<OpenedDocument> {
    return this.bytes(this.#bytesOf(path), path, format);
  }

  /**
   * Documents of bytes. An input that cannot be read to its end is rejected by name; what was good before stands.
   * @param name path or null for standard input; with it comes what the name tells
   */
  bytes(source: Bytes, name: string | null, format: Format): AsyncGenerator<OpenedDocument> {
    return this.counted(this.#kernel.count(source), name, format);
  }

  /** The same, of bytes that were counted. */
  counted(source: Bytes, name: string | null, format: Format): AsyncGenerator<OpenedDocument> {
    return this.#telling(this.#open(source, name, format), name);
  }

  /** Documents of the lines of a file, from one with this number on. */
  lines(text: Bytes, name: string, from: number): AsyncGenerator<OpenedDocument> {
    return this.#telling(this.#jsonl(text, name, false, from), name);
  }

  async *#telling(documents: AsyncGenerator<OpenedDocument>, name: string | null): AsyncGenerator<OpenedDocument> {
    try {
      yield* documents;
    } catch (error) {
      // What is wrong with one input is told of it; a full disk or a lost reader is not.
      const itsOwn = error instanceof Malformed || ITS_OWN.has((error as NodeJS.ErrnoException).code ?? '');
      if (!itsOwn) throw error;
      const row = name === null ? null : Buffer.from(JSON.stringify({ file: name }));
      this.#kernel.reject({ as: 'file', file: name ?? '-', line: null, reason: describeAt(name, error) }, row);
      this.broken = true;
    }
  }

  async *#open(source: Bytes, name: string | null, format: Format): AsyncGenerator<OpenedDocument> {
    const inflated = unpacked(source, this.#limits.maxInflated);
    const { head, all } = await peekBytes(inflated, 512);
    const kind = format === 'auto' ? formatOf(name, head) : format;
    if (kind === 'post')
      yield* this.#post(await readAll(all, this.#limits.maxLine), name, name ? uidOfPost(name) : null);
    else if (kind === 'tar') yield* this.#tar(all, name);
    else if (kind === 'yaml') yield* this.#yaml(all, name);
    else if (kind === 'json') yield* this.#json(all, name);
    else if (kind === 'rejects') yield* this.#rejects(all, name);
    else yield* this.#jsonl(all, name, format === 'auto');
  }

  async *#post(bytes: Buffer, name: string | null, uid: string | null): AsyncGenerator<OpenedDocument> {
    const { readPost } = await import('../record/post.ts');
    this.#kernel.took();
    const post = readPost(bytes, { maxDepth: this.#limits.maxDepth, maxBytes: this.#limits.maxLine });
    if (post.readable) yield { provenance: { ...NO_PROVENANCE, measurement_uid: uid }, document: post.line };
    else this.#kernel.reject({ as: 'post', file: name, line: null, reason: post.reason }, bytes);
  }

  async *#yaml(
    source: Bytes,
    name: string | null,
    kernel: ReportKernel = this.#kernel,
    limits: ReportLimits = this.#limits,
  ): AsyncGenerator<OpenedDocument> {
    const { yamlRecords } = await import('./yamldocuments.ts');
    const provenance = fromPath(name);
    for await (const { document, measurement_uid } of yamlRecords(source, name, kernel, limits))
      yield { provenance: { ...provenance, measurement_uid }, document };
  }

  async *#tar(source: Bytes, name: string | null): AsyncGenerator<OpenedDocument> {
    const { tarMembers } = await import('./tar.ts');
    for await (const { name: path, type, size, body } of tarMembers(source)) {
      const where = `${name ?? '-'}(${path})`;
      const refuse = (reason: string) => this.#kernel.reject({ as: 'file', file: where, line: null, reason }, null);
      if (type === 'directory') continue;
      if (type === 'file' && isYamlName(path)) yield* this.#yaml(body, where);
      else if (type === 'file' && isJsonName(path)) yield* this.#json(body, where);
      else if (type !== 'file' || !path.endsWith('.post')) refuse(`neither a post nor a report, but a ${type}`);
      else if (size > this.#limits.maxLine)
        refuse(`${size} bytes, over the limit of ${this.#limits.maxLine} (--max-line)`);
      else yield* this.#post(await readAll(body, this.#limits.maxLine), where, uidOfMember(path));
    }
  }

  /** One document a line; or, where the first line is not one by itself, one document over many lines. */
  async *#json(source: Bytes, name: string | null): AsyncGenerator<OpenedDocument> {
    const { maxLine } = this.#limits;
    let begun = false;
    const first = await peek(source, (chunk, held) => {
      begun ||= chunk.some((c) => c > 0x20);
      return (begun && chunk.includes(0x0a)) || held > maxLine;
    });
    const line = firstLine(first.head.subarray(first.head.findIndex((c) => c > 0x20)));
    if (isBlank(line) || this.#parse(line)) return yield* this.#jsonl(first.all, name, false);
    const whole = await peek(first.all, (_, held) => held > maxLine);
    const document = whole.ended ? this.#parse(whole.head) : undefined;
    if (!document) return yield* this.#jsonl(whole.all, name, false); // its lines are bad one by one
    this.#kernel.took();
    yield this.#document(document, name);
  }

  async *#jsonl(source: Bytes, name: string | null, hints: boolean, from = 1): AsyncGenerator<OpenedDocument> {
    // In a can, {} holds the place of a post that nobody could read.
    const isCan = parseKey(keyOfPath(name)) !== undefined;
    for await (const { number, bytes, ended } of this.#kernel.lines(source, name, 'document', from)) {
      if (isBlank(bytes)) continue;
      const hint = hints && number === 1 ? looksLike(bytes) : undefined;
      if (hint) this.#kernel.say(`${name ?? '-'}: ${hint}`);
      let read: ReadDocument;
      try {
        read = readDocument(bytes, this.#recorded);
      } catch (error) {
        const cut = ended ? '' : ', in a last line without line feed';
        this.#kernel.reject(
          { as: 'document', file: name, line: number, reason: `${(error as Error).message}${cut}` },
          bytes,
        );
        continue;
      }
      if (isCan && read.document.equals(NO_LINE)) this.#kernel.tally('placeholders');
      else yield this.#document(read, name);
    }
  }

  /** What a rejects file keeps, read as what it was when it was rejected. */
  async *#rejects(source: Bytes, name: string | null): AsyncGenerator<OpenedDocument> {
    for await (const { number, bytes } of this.#kernel.lines(source, name, 'row')) {
      if (isBlank(bytes)) continue;
      let kept: Kept;
      try {
        kept = parseReject(bytes);
      } catch (error) {
        this.#kernel.reject({ as: 'row', file: name, line: number, reason: (error as Error).message }, bytes);
        continue;
      }
      yield* this.#kept(kept, name, number);
    }
  }

  async *#kept(kept: Kept, name: string | null, number: number): AsyncGenerator<OpenedDocument> {
    const { as, file, line, data } = kept;
    // A second reject keeps the origin of the first, where that had one.
    const origin = file === null && line === null ? { file: name, line: number } : { file, line };
    const refuse = (reason: string) => this.#kernel.reject({ as, ...origin, reason }, data);
    if (data === null) return refuse('a reject without bytes');
    try {
      if (as === 'post')
        yield* this.#post(data, file, file ? (uidOfPost(file) ?? uidOfMember(file.replace(/\)$/, ''))) : null);
      else if (as === 'document') yield this.#document(readDocument(data, this.#recorded), file);
      else if (as === 'yaml') yield* this.#keptYaml(data, kept, refuse);
      else if (as === 'row') {
        const row = parseRow(data) as MeasurementRow;
        if (row.kind !== 'measurement') return refuse('no measurement row');
        const { measurement_uid, bucket_date, report_filename, document } = row;
        yield { provenance: { measurement_uid, bucket_date, report_filename }, document };
      } else if (as === 'file') {
        const row = parseRow(data);
        if (row.kind !== 'file') return refuse('no file row');
        this.#kernel.refuseRejects(row.file);
        yield* this.file(row.file, 'auto');
      } else refuse('a request for a measurement, which get can read');
    } catch (error) {
      if (error instanceof UsageError) throw error;
      refuse((error as Error).message);
    }
  }

  /** A document of a report, with the report's header before it. What is still wrong with it is told as of its origin. */
  async *#keptYaml(
    data: Buffer,
    { file, reason }: Kept,
    refuse: (reason: string) => void,
  ): AsyncGenerator<OpenedDocument> {
    const { CUT_OFF } = await import('./yamldocuments.ts');
    // Ended by another `---` it has no end of its own; cut off it must have got one.
    const limits = { ...this.#limits, whole: !reason.startsWith(CUT_OFF) };
    let refused = false;
    const again = (why: string) => {
      refused = true;
      refuse(why.startsWith(CUT_OFF) ? why : `in what was kept: ${why}`);
      return { write() {}, end() {} };
    };
    let found = false;
    const kernel: ReportKernel = {
      took: () => this.#kernel.took(),
      reject: (one) => again(one.reason),
      rejectInPieces: (one) => again(one.reason),
      say() {},
      tally: (counter, by) => this.#kernel.tally(counter, by),
    };
    for await (const opened of this.#yaml(once(data), file, kernel, limits)) {
      found = true;
      yield opened;
    }
    if (!found && !refused) refuse('a header without an entry');
  }

  #parse(bytes: Buffer): ReadDocument | undefined {
    try {
      return readDocument(bytes, this.#recorded);
    } catch {
      return undefined;
    }
  }

  #document(read: ReadDocument, name: string | null): OpenedDocument {
    return { provenance: { ...fromPath(name), measurement_uid: legacyUid(read.document, read.value) }, ...read };
  }
}

/** A report in a bucket folder `YYYY-MM-DD` has both of the others, also in a tar there: `TAR(MEMBER)`. */
export function fromPath(name: string | null): Provenance {
  const [, tar, member] = /^(.*?)\((.*)\)$/s.exec(name ?? '') ?? [];
  const bucket = basename(dirname(tar ?? name ?? ''));
  if (!/^\d{4}-\d{2}-\d{2}$/.test(bucket) || dayForPath(bucket) === undefined) return NO_PROVENANCE;
  const base = basename(member ?? name!)
    .replace(PACKED, '')
    .replace(/\.(?:jsonl?|njson|ya?ml(?:oo)?)$/, '');
  return { measurement_uid: null, bucket_date: bucket, report_filename: `${bucket}/${base}.json` };
}

function uidOfPost(path: string): string | null {
  return parsePostName(basename(path).replace(/\.gz$/, ''))?.uid ?? null;
}

/** The last six parts of a path, which are the key of a can's file in a store. */
export function keyOfPath(path: string | null): string {
  return (path ?? '').split('/').slice(-6).join('/');
}

/** By magic bytes where there are any, else by name; standard input without magic is JSON lines. */
function formatOf(name: string | null, head: Buffer): Format {
  if (isTar(head)) return 'tar';
  const base = (name ?? '').replace(PACKED, '');
  if (base.endsWith('.post')) return 'post';
  if (base.endsWith('.tar')) return 'tar';
  if (base.endsWith('.rejects')) return 'rejects';
  if (parseKey(keyOfPath(name))?.kind === 'rows') throw new Malformed('rows of an index, no measurements');
  if (isYamlName(base)) return 'yaml';
  if (isGzip(head)) throw new Malformed('gzip within gzip or lz4');
  if (isLz4(head)) throw new Malformed('lz4 within gzip or lz4');
  return /\.json(?:\.pretty)?$/.test(base) ? 'json' : 'jsonl';
}

const PACKED = /\.(?:gz|lz4)$/;

function isJsonName(path: string): boolean {
  return /\.(?:jsonl?|njson)$/.test(path);
}

function isYamlName(path: string): boolean {
  return /\.ya?ml(?:oo)?$/.test(path);
}

function firstLine(bytes: Buffer): Buffer {
  const end = bytes.indexOf(0x0a);
  return end === -1 ? bytes : bytes.subarray(0, end);
}
