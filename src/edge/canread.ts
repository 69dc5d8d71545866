// Reads a can of a store to its end: lines, posts, the rows that the index has and those that lie beside it, all
// in step, so that memory does not grow with the can.
import { createHash } from 'node:crypto';
import { KEY_NAMES, keyText, type LookupKeys, legacyUid, lookupKeys, NO_LINE } from '../record/facts.ts';
import { lineHash } from '../record/identity.ts';
import { readJson } from '../record/json.ts';
import { JSONL_EXT, POSTCAN_EXT, ROWS_EXT, uidOfMember } from '../record/names.ts';
import { readPost } from '../record/post.ts';
import { ROW_DEPTH } from '../record/rows.ts';
import { describe, errno, Malformed } from '../stream/errors.ts';
import { readAll } from '../stream/lines.ts';
import type { Stage } from '../stream/stage.ts';
import type { Findings } from './findings.ts';
import { PROGRAM_TEXT } from './gzip.ts';
import { type IndexAudit, IndexDamage, type IndexedCan, type IndexedLine } from './index-audit.ts';
import type { MemberPlace } from './index-db.ts';
import { LINES, type LineRow } from './linewriter.ts';
import { ByteReader, canLines, type Member, type Piece, wholeText } from './members.ts';
import type { IndexRow } from './outgoing.ts';
import type { Bytes } from './source.ts';
import type { Store } from './store.ts';
import type { Stored } from './storedcans.ts';
import { tarMembers } from './tar.ts';

/** Bytes of one request to the store. */
const STEP = 4 * 1024 * 1024;

/** Faults of the system that belong to one file. */
const ITS_OWN = new Set(['ENOENT', 'EACCES', 'EPERM', 'EISDIR', 'ENOTDIR', 'ELOOP', 'EIO']);

/** Why one file cannot be read; undefined for faults that are not its own. */
export function faultOfFile(error: unknown): string | undefined {
  if (error instanceof Malformed) return error.message;
  return ITS_OWN.has(errno(error) ?? '') ? describe(error) : undefined;
}

export interface ReadOptions {
  maxLine: number;
  /** Deepest post whose line is not `{}`. */
  maxDepth: number;
  /** Reads an object from its beginning, if not in ranges. */
  open?: (key: string) => Bytes;
  /**
   * Nothing but the can tells of its lines: one without a post has the id that `cat` gives it, and one that is not its post's has not
   * got that one's.
   */
  alone?: boolean;
}

/** Takes the rows of a can, in order. */
export interface RowSink {
  row(row: LineRow): void;
  /** Lines from this one on turned out not to be whole. */
  drop(from: number): void;
}

/** What reading a can has shown. */
export interface CanRead {
  /** SHA-256 of the files as they are in the store; undefined for one that is not there or was not read to its end. */
  jsonl: string | undefined;
  postcan: string | undefined;
  /** Those that are whole. */
  members: MemberPlace[];
  /** Headers and members are as we make them. */
  ours: boolean;
}

/** An object's bytes, hashed on their way. */
class HashedObject {
  #hash = createHash('sha256');
  #source: Bytes;
  #left: number;

  constructor(source: Bytes, size: number) {
    this.#source = source;
    this.#left = size;
  }

  async *read(): AsyncGenerator<Uint8Array> {
    for await (const chunk of this.#source) {
      this.#hash.update(chunk);
      this.#left -= chunk.length;
      yield chunk;
    }
  }

  /** Undefined where not all was read. */
  sha256(): string | undefined {
    return this.#left === 0 ? this.#hash.digest('hex') : undefined;
  }
}

export async function* objectBytes(store: Store, key: string, from: number, size: number): AsyncGenerator<Uint8Array> {
  for (let at = from; at < size; at += STEP) yield await store.read(key, at, Math.min(STEP, size - at));
}

/** What a line is found by in the index. */
export interface LineFacts {
  hash: string;
  /** Undefined for what is no JSON object. */
  keys: LookupKeys | undefined;
  /** It is `{}`, which may hold the place of a post that cannot be read. */
  empty: boolean;
}

export function factsOf(line: Buffer): LineFacts {
  return { hash: lineHash(line), keys: keysOfLine(line), empty: line.equals(NO_LINE) };
}

function keysOfLine(line: Buffer): LookupKeys | undefined {
  try {
    const { value } = readJson(line, { maxDepth: ROW_DEPTH, names: KEY_NAMES });
    return value.type === 'object' ? lookupKeys(line, value) : undefined;
  } catch {
    return undefined;
  }
}

/** A row of the index against its line. @returns true where this is the line that was indexed */
export function checkRow(found: Findings, key: string, { hash, keys, empty }: LineFacts, row: IndexedLine): boolean {
  const { linenum } = row;
  const tells = row.unreadable
    ? empty && row.report === null && row.input === null
    : keys !== undefined && isKey(row, 'report_id', keys) && isKey(row, 'input', keys);
  const is = row.hash === null ? tells : row.hash === hash;
  if (!is) found.line('line', key, linenum, 'not the one that was indexed');
  else if (row.report !== null && row.report_id === null)
    found.line('row', key, linenum, 'its row names a report that the index does not have');
  else if (!tells) found.line('row', key, linenum, 'its row has another report_id, input or state');
  return is;
}

/** What others indexed is not cut to a length as ours is. */
function isKey(row: IndexedLine, name: 'report_id' | 'input', keys: LookupKeys): boolean {
  const text = row[name];
  return text === keys[name] || (row.hash === null && typeof text === 'string' && keyText(text) === keys[name]);
}

export class CanReader {
  #stage: Stage;
  #store: Store;
  #options: ReadOptions;

  constructor(stage: Stage, store: Store, options: ReadOptions) {
    this.#stage = stage;
    this.#store = store;
    this.#options = options;
  }

  /**
   * Reads both files and compares.
   * @param indexed what the index knows of it, if it does
   * @param sink    told of every line's row
   */
  async read(stored: Stored, indexed: Indexed | undefined, found: Findings, sink?: RowSink): Promise<CanRead> {
    const { key } = stored;
    const known = indexed && !indexed.can.superseded ? indexed : undefined;
    const jsonl = this.#open(key, stored.jsonl);
    const postcanKey = besideKey(key, POSTCAN_EXT);
    const postcan = this.#open(postcanKey, stored.postcan);
    const posts = new Posts(postcan?.read(), this.#options.maxLine);
    const beside = new RowsBeside(this.#bytes(besideKey(key, ROWS_EXT), stored.rows), this.#options.maxLine);
    const lines = new CanLines({ key, known, found, posts, beside, sink, options: this.#options, stage: this.#stage });
    if (jsonl) await lines.read(jsonl.read(), (offset) => this.#bytes(key, stored.jsonl, offset)!);
    await posts.drain();
    if (jsonl && lines.complete) await beside.end(lines.count);
    this.#stage.tally('lines', lines.count);
    this.#stage.tally('posts', posts.count);
    if (posts.broken !== undefined) found.add('broken', postcanKey, posts.broken);
    else if (jsonl && postcan && lines.complete && posts.count !== lines.count)
      found.add('post', postcanKey, `${posts.count} posts, but ${lines.count} lines`);
    if (beside.fault !== undefined) found.add('rows', besideKey(key, ROWS_EXT), beside.fault);
    const { members, ours } = lines;
    return { jsonl: jsonl?.sha256(), postcan: postcan?.sha256(), members, ours: ours && posts.ours };
  }

  #bytes(key: string, size: number | undefined, from = 0): Bytes | undefined {
    if (size === undefined) return undefined;
    const opened = from === 0 ? this.#options.open?.(key) : undefined;
    return this.#stage.count(opened ?? objectBytes(this.#store, key, from, size));
  }

  #open(key: string, size: number | undefined): HashedObject | undefined {
    const bytes = this.#bytes(key, size);
    return bytes && new HashedObject(bytes, size!);
  }
}

/** Another file of the can whose lines lie under a key. */
export function besideKey(key: string, ext: string): string {
  return key.slice(0, -JSONL_EXT.length) + ext;
}

/** A can that the index knows. */
export interface Indexed {
  audit: IndexAudit;
  can: IndexedCan;
}

interface LineContext {
  key: string;
  known: Indexed | undefined;
  found: Findings;
  posts: Posts;
  beside: RowsBeside;
  sink: RowSink | undefined;
  options: ReadOptions;
  stage: Stage;
}

/** The lines of one can, each with its post and its row. */
class CanLines {
  count = 0;
  /** Every line was read. */
  complete = true;
  readonly members: MemberPlace[] = [];
  #ours = true;
  #context: LineContext;
  #rows: IndexedRows | undefined;
  #indexed: MemberPlace[];
  #current: { member: Member; first: number; text: number; lastLine: number } | undefined;
  #broken = new Set<number>();

  constructor(context: LineContext) {
    this.#context = context;
    const { known, found, key } = context;
    this.#indexed = [];
    if (!known) return;
    this.#rows = new IndexedRows(known.audit.lines(known.can.id), found, key);
    try {
      this.#indexed = known.audit.members(known.can.id);
    } catch (error) {
      if (!(error instanceof IndexDamage)) throw error;
      found.add('index', key, error.message);
    }
  }

  /** Its members are as we make them. */
  get ours(): boolean {
    return this.#ours && this.members.length > 0;
  }

  async read(source: Bytes, reopen: (offset: number) => Bytes): Promise<void> {
    const { key, options, known } = this.#context;
    const gzip = known !== undefined && known.can.class !== 'foreign';
    const after = (offset: number) => this.#indexed.find((place) => place.offset > offset);
    try {
      for await (const piece of canLines(source, { maxLine: options.maxLine, gzip, reopen, after })) {
        if (piece.kind === 'line') await this.#line(piece.line, piece.ended);
        else if (piece.kind === 'member') this.#begin(piece.member, piece.aligned);
        else await this.#break(piece);
      }
    } catch (error) {
      const fault = faultOfFile(error);
      if (fault === undefined) throw error;
      this.#lose(fault.replace(`${key}: `, ''));
    }
    this.#end();
    if (!this.complete) return;
    this.#rows?.rest();
    this.#compareMembers();
  }

  #begin(member: Member, aligned: boolean): void {
    this.#end();
    this.#current = { member, first: this.count, text: 0, lastLine: 0 };
    this.#ours &&= aligned;
  }

  /** The member that was read is whole. */
  #end(): void {
    if (!this.#current) return;
    const { member, first, text, lastLine } = this.#current;
    this.#current = undefined;
    const lines = this.count - first;
    // We close a member with the line that brings it over a size.
    this.#ours &&= member.plainHeader && (lines === 1 || text - lastLine < PROGRAM_TEXT);
    this.members.push({ first_line: first, offset: member.offset, length: member.length });
  }

  async #break({ reason, offset, resume }: Extract<Piece, { kind: 'break' }>): Promise<void> {
    const { key, found, posts, beside, sink } = this.#context;
    const place = `${reason} (gzip member at byte ${offset})`;
    if (!resume || resume.first_line < this.count) return this.#lose(place);
    const first = this.#current?.first ?? this.count;
    this.#current = undefined;
    this.#broken.add(offset);
    sink?.drop(first);
    found.line('broken', key, first, place, resume.first_line - first);
    for (; this.count < resume.first_line; this.count++) {
      await posts.next();
      await beside.next();
      this.#rows?.take(this.count);
    }
  }

  /** Nothing more can be read. */
  #lose(reason: string): void {
    const { key, found, sink } = this.#context;
    const first = this.#current?.first ?? this.count;
    this.#current = undefined;
    this.complete = false;
    sink?.drop(first);
    found.line('broken', key, first, `from here on: ${reason}`);
  }

  async #line(line: Buffer, ended: boolean): Promise<void> {
    const { key, found, posts, beside, sink, known, options } = this.#context;
    const linenum = this.count++;
    if (linenum >= LINES) throw new Malformed(`more lines than the index can number (${LINES})`);
    if (this.#current) {
      this.#current.text += line.length + 1;
      this.#current.lastLine = line.length + 1;
    }
    const facts = factsOf(line);
    const post = await posts.next();
    const row = this.#rows?.take(linenum);
    const there = await beside.next();
    const plain = this.#ours && this.#current?.member.plainHeader === true;
    const strict = known ? known.can.class !== 'foreign' : plain;
    if (!ended && strict) found.line('line', key, linenum, 'no line feed ends it');
    const is = row !== undefined && checkRow(found, key, facts, row);
    if (!row && known && (strict || !facts.empty))
      found.line('unindexed', key, linenum, 'no row of the index tells of it');
    if (!row && !facts.keys) found.line('line', key, linenum, 'no JSON object');

    // Where the post cannot be asked, a row that tells of this very line can.
    const witness = is ? row : there?.hash === facts.hash ? there : undefined;
    let uid = typeof witness?.measurement_uid === 'string' ? witness.measurement_uid : null;
    let unreadable = facts.keys === undefined || (facts.empty && (witness ? Boolean(witness.unreadable) : true));
    if (post) {
      const compared = this.#compare(linenum, line, facts, post, strict, is);
      unreadable = compared === 'unread' && facts.empty;
      uid = options.alone && compared === 'other' ? null : (uidOfMember(post.name) ?? (strict ? null : uid));
      if (is && strict && row.measurement_uid !== uid)
        found.line('row', key, linenum, 'its row has another measurement_uid than its post');
      if (is && strict && facts.empty && Boolean(row.unreadable) !== unreadable)
        found.line('row', key, linenum, 'its row does not tell whether its post can be read');
    } else if (options.alone && !unreadable) uid ??= legacyUid(line);
    const { report_id, input } = unreadable || !facts.keys ? NO_KEYS : facts.keys;
    const made: LineRow = { measurement_uid: uid, report_id, input, linenum, hash: facts.hash };
    if (unreadable) made.unreadable = true;
    if (there) beside.compare(made, this.#current?.member.offset ?? 0, there);
    sink?.row(made);
  }

  /** @returns whether the line is what can be read of the post, or something else; or that nothing of it can be */
  #compare(
    linenum: number,
    line: Buffer,
    facts: LineFacts,
    post: Post,
    strict: boolean,
    is: boolean,
  ): 'same' | 'other' | 'unread' {
    const { key, found, options, stage } = this.#context;
    const { maxDepth, maxLine: maxBytes } = options;
    if (post.bytes === null) {
      found.line('post', key, linenum, `its post is over the limit of ${maxBytes} bytes (--max-line)`);
      return 'unread';
    }
    const read = (depth: number) => readPost(post.bytes!, { maxDepth: depth, maxBytes });
    const usual = read(maxDepth);
    // Whoever packed it may have let deeper posts through.
    const given = usual.readable || facts.empty ? usual : read(ROW_DEPTH);
    if (!given.readable) {
      if (!facts.empty) found.line('post', key, linenum, 'its post cannot be read');
      return 'unread';
    }
    const { report_id, input } = given.keys;
    // Others write the content anew, and have no line for YAML.
    const alike = facts.empty || (report_id === facts.keys?.report_id && input === facts.keys.input);
    const same = strict ? given.line.equals(line) : alike;
    if (same) return strict || !facts.empty || given.line.equals(NO_LINE) ? 'same' : 'unread';
    // How YAML is written as JSON may change from version to version; the index vouches for the line then.
    if (is && isYaml(post.bytes)) stage.tally('yaml_differs');
    else found.line('post', key, linenum, 'not the content of its post');
    return 'other';
  }

  /** Members as they are against those of the index. */
  #compareMembers(): void {
    const { key, found, known } = this.#context;
    // Of cans that others made the index may know none.
    if (!known || (known.can.class === 'foreign' && this.#indexed.length === 0)) return;
    const there = new Map(this.members.map((member) => [member.offset, member]));
    for (const { first_line, offset, length } of this.#indexed) {
      const member = there.get(offset);
      there.delete(offset);
      const same = member ? member.first_line === first_line && member.length === length : this.#broken.has(offset);
      if (!same)
        found.line('offset', key, first_line, `the index has a gzip member at byte ${offset} that is not there`);
    }
    for (const { first_line, offset } of there.values())
      found.line('offset', key, first_line, `the index does not have the gzip member at byte ${offset}`);
  }
}

/** Rows of the index in step with lines. */
class IndexedRows {
  #rows: Iterator<IndexedLine>;
  #next: IndexedLine | undefined;
  #found: Findings;
  #key: string;

  constructor(rows: Iterator<IndexedLine>, found: Findings, key: string) {
    this.#rows = rows;
    this.#found = found;
    this.#key = key;
    this.#advance();
  }

  #advance(): void {
    try {
      const next = this.#rows.next();
      this.#next = next.done ? undefined : next.value;
    } catch (error) {
      if (!(error instanceof IndexDamage)) throw error;
      this.#found.add('index', this.#key, error.message);
      this.#next = undefined;
    }
  }

  take(linenum: number): IndexedLine | undefined {
    const row = this.#next;
    if (row?.linenum !== linenum) return undefined;
    this.#advance();
    return row;
  }

  /** What is left has no line. */
  rest(): void {
    for (; this.#next; this.#advance())
      this.#found.line('dangling', this.#key, this.#next.linenum, 'a row of the index, and no such line');
  }
}

const NO_KEYS: LookupKeys = { report_id: '', input: '' };

interface Post {
  name: string;
  /** Null for a post that is over the limit. */
  bytes: Buffer | null;
}

/** Posts of a postcan, one after the other. */
class Posts {
  count = 0;
  /** Why it could not be read to its end. */
  broken: string | undefined;
  /** It is one gzip member as we write it, and holds nothing but posts. */
  ours = true;
  #reader: ByteReader | undefined;
  #posts: AsyncIterator<Post> | undefined;
  #max: number;

  constructor(source: Bytes | undefined, max: number) {
    this.#max = max;
    if (!source) return;
    this.#reader = new ByteReader(source);
    this.#posts = this.#read(this.#reader);
  }

  async next(): Promise<Post | undefined> {
    if (!this.#posts || this.broken !== undefined) return undefined;
    try {
      const { value, done } = await this.#posts.next();
      if (done) return undefined;
      this.count++;
      return value;
    } catch (error) {
      const fault = faultOfFile(error);
      if (fault === undefined) throw error;
      this.broken = `after ${this.count} posts: ${fault}`;
      return undefined;
    }
  }

  /** Reads what is left: it counts, and its bytes are hashed. */
  async drain(): Promise<void> {
    while (await this.next());
    try {
      await this.#reader?.drain();
    } catch (error) {
      this.broken ??= faultOfFile(error);
      if (this.broken === undefined) throw error;
    }
  }

  async *#read(reader: ByteReader): AsyncGenerator<Post> {
    const members: Member[] = [];
    for await (const { name, type, size, body } of tarMembers(wholeText(reader, (member) => members.push(member)))) {
      if (type !== 'file' || !name.endsWith('.post')) this.ours = false;
      else yield { name, bytes: size > this.#max ? null : await readAll(body, this.#max) };
    }
    this.ours &&= members.every(({ plainHeader }) => plainHeader);
  }
}

/** `CAN.rows.jsonl.gz`, which the store may have beside a can: what the index has of it. */
class RowsBeside {
  fault: string | undefined;
  #rows: AsyncIterator<IndexRow> | undefined;
  #count = 0;

  constructor(source: Bytes | undefined, maxLine: number) {
    if (source) this.#rows = rowsIn(source, maxLine);
  }

  /** The next row, where there is a file and it can be read. */
  async next(): Promise<IndexRow | undefined> {
    if (!this.#rows || this.fault !== undefined) return undefined;
    try {
      const { value, done } = await this.#rows.next();
      if (!done) {
        this.#count++;
        return value;
      }
      this.fault = `ends after ${this.#count} rows`;
    } catch (error) {
      this.fault = faultOfFile(error) ?? (error instanceof SyntaxError ? `row ${this.#count}: no JSON` : undefined);
      if (this.fault === undefined) throw error;
    }
    return undefined;
  }

  compare(row: LineRow, offset: number, there: IndexRow): void {
    const names = ['measurement_uid', 'report_id', 'input', 'linenum', 'hash', 'unreadable'] as const;
    const differs = names.find((name) => row[name] !== there[name]) ?? (there.offset === offset ? undefined : 'offset');
    if (differs !== undefined) this.fault ??= `row ${row.linenum}: its ${differs} is not the line's`;
  }

  /** @param lines of the can */
  async end(lines: number): Promise<void> {
    if (!this.#rows || this.fault !== undefined) return;
    const one = await this.next();
    if (one) this.fault ??= `more rows than the can has lines (${lines})`;
    else if (this.fault === `ends after ${lines} rows`) this.fault = undefined;
  }
}

async function* rowsIn(source: Bytes, maxLine: number): AsyncGenerator<IndexRow> {
  for await (const piece of canLines(source, { maxLine, gzip: true })) {
    if (piece.kind === 'break') throw new Malformed(piece.reason);
    if (piece.kind !== 'line') continue;
    const row = JSON.parse(piece.line.toString()) as IndexRow;
    if (typeof row !== 'object' || row === null) throw new SyntaxError('no object');
    yield row;
  }
}

function isYaml(post: Buffer): boolean {
  try {
    return (JSON.parse(post.toString()) as { format?: unknown } | null)?.format === 'yaml';
  } catch {
    return false;
  }
}
