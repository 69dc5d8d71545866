// A selection that another person can make again: what was asked, of which inputs, and what came out.
import { createHash } from 'node:crypto';
import { createReadStream, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Field, fieldOf } from '../record/fields.ts';
import { keyFault } from '../record/mirror.ts';
import { parseKey } from '../record/names.ts';
import type { Partition } from '../record/partitions.ts';
import { isUrl, objectAt } from '../record/storeurls.ts';
import { type Digest, type InputRow, type OutputFile, parseSubset, type Query, subsetText } from '../record/subset.ts';
import { Failure, Malformed, UsageError } from '../stream/errors.ts';
import type { Stage } from '../stream/stage.ts';
import { longOf, type OptionSpec } from '../stream/verb.ts';
import { fileRows } from './filerows.ts';
import { failAt } from './files.ts';
import { FileWriter, NewPlace } from './newfile.ts';
import { OPENING } from './operands.ts';
import type { RowsInto } from './rowfilter.ts';
import { SELECT } from './selectoptions.ts';
import type { Bytes } from './source.ts';

declare const __VERSION__: string;

/** The options that the output depends on, besides the inputs and their order. */
const { out: _, ...SELECTION } = SELECT;
const { format, maxDepth, maxInflated } = OPENING;
const QUERY = { ...SELECTION, format, maxDepth, maxInflated };
type QueryOptions = {
  [K in keyof typeof QUERY]: (typeof QUERY)[K] extends OptionSpec<infer T> ? T : never;
};
const SPECS = Object.entries<OptionSpec<unknown>>(QUERY as never);

const textOf = (item: string | Field | Partition): string => {
  if (typeof item === 'string') return item;
  if ('by' in item) return item.by;
  return item.kind === fieldOf(item.name).kind ? item.name : `${item.name}:${item.kind}`;
};

/** Option → value, of those that are not as they are without being given. */
function queryOf(options: QueryOptions): Query {
  const query: Query = {};
  for (const [key, { flags, initial }] of SPECS) {
    const value = options[key as keyof QueryOptions];
    const name = longOf(flags).slice(2);
    if (Array.isArray(value)) {
      if (value.length > 0) query[name] = (value as (string | Field | Partition)[]).map(textOf);
    } else if (value !== initial && value !== undefined) query[name] = typeof value === 'boolean' ? true : value;
  }
  return query;
}

/** The options again. @throws UsageError, Failure */
function optionsOf(query: Query): QueryOptions {
  const options: Record<string, unknown> = {};
  const strange = new Set(Object.keys(query));
  for (const [key, { flags, parse, initial }] of SPECS) {
    const name = longOf(flags).slice(2);
    strange.delete(name);
    const given = query[name];
    if (given === undefined) options[key] = initial;
    else if (typeof initial === 'boolean') options[key] = !initial;
    else options[key] = [given].flat().reduce<unknown>((before, one) => parse(`${one}`, before), initial);
  }
  if (strange.size > 0) throw new Failure(`its query has '${[...strange][0]}', which this program does not know`);
  return options as QueryOptions;
}

/** What a manifest is made of while the inputs are read, or held against. */
export class Subset {
  readonly #stage: Stage;
  readonly #digests = new Map<string, Digest | undefined>();
  /** File → what its row told of it. */
  readonly #told = new Map<string, { s3path?: string; from?: string }>();
  readonly #place: NewPlace | undefined;
  readonly #check: { path: string; manifest: ReturnType<typeof parseSubset>; root: string } | undefined;

  /**
   * @param manifest the file to write
   * @param check the one to hold the selection against
   */
  constructor(stage: Stage, manifest: string | undefined, check: string | undefined, operands: string[]) {
    this.#stage = stage;
    this.#place = manifest === undefined ? undefined : new NewPlace(manifest, false);
    if (check === undefined) return;
    const [root, ...more] = operands;
    if (root === undefined || more.length > 0)
      throw new UsageError('--check takes one operand: the folder or store that has the inputs');
    this.#check = { path: check, manifest: readManifest(check), root: root.replace(/(?<=.)\/+$/, '') };
  }

  /** The query of the manifest in the place of the options. @throws UsageError where they ask for something too */
  options<O extends QueryOptions>(given: O): O {
    if (!this.#check) return given;
    const [own] = Object.keys(queryOf(given));
    if (own !== undefined) throw new UsageError(`--check takes the query of the manifest: leave --${own} out`);
    try {
      return { ...given, ...optionsOf(this.#check.manifest.query) };
    } catch (error) {
      throw new Failure(`${this.#check.path}: ${(error as Error).message}`);
    }
  }

  /** The inputs of the manifest, in its order; undefined where they are given otherwise. */
  get files(): string[] | undefined {
    const { manifest, root } = this.#check ?? {};
    return manifest?.inputs.map(({ s3path }) => (root === '/' ? `/${s3path}` : `${root}/${s3path}`));
  }

  /** Files named by the rows of standard input. */
  async *rows(): AsyncGenerator<string> {
    for await (const { row } of fileRows(this.#stage, { whole: true, hint: () => ', with --files' })) {
      this.#told.set(row.file, row);
      yield row.file;
    }
  }

  /** The bytes of an input, all of them counted, however many its reader takes. */
  async *through(file: string, source: Bytes): AsyncGenerator<Uint8Array> {
    if (this.#place) this.#nameOf(file);
    if (this.#digests.has(file)) throw new Failure(`${file} comes twice`);
    this.#digests.set(file, undefined);
    const hash = createHash('sha256');
    let bytes = 0;
    let state: 'open' | 'ended' | 'failed' = 'failed';
    const iterator = source[Symbol.asyncIterator]();
    const take = async () => {
      state = 'failed';
      const next = await iterator.next();
      state = next.done ? 'ended' : 'open';
      if (!next.done) {
        hash.update(next.value);
        bytes += next.value.length;
      }
      return next;
    };
    try {
      for (let next = await take(); !next.done; next = await take()) yield next.value;
    } finally {
      // A reader may stop before the end: behind a tar's last member, or where it cannot go on.
      while ((state as string) === 'open') await take();
      if ((state as string) === 'ended') this.#digests.set(file, { bytes, sha256: hash.digest('hex') });
    }
  }

  /** Rows go on as they did; they have their end only where the inputs are what they should be. */
  guard(into: RowsInto): RowsInto {
    const end = async () => {
      this.#inputsAreGood();
      await into.end();
    };
    const { isRows, wants = [], lines } = into;
    return { isRows, wants, lines, add: into.add.bind(into), end };
  }

  #inputsAreGood(): void {
    const unread = [...this.#digests].find(([, digest]) => !digest)?.[0];
    if (!this.#check && unread !== undefined)
      throw new Failure(`${unread} was not read to its end: there can be no manifest`);
    if (!this.#check) return void this.#inputs();
    const { manifest, path } = this.#check;
    let others = 0;
    for (const [n, file] of this.files!.entries()) {
      const wanted = manifest.inputs[n]!;
      const digest = this.#digests.get(file);
      if (digest?.sha256 === wanted.sha256) continue;
      others++;
      if (digest) this.#stage.finding(file, `other bytes than the manifest tells of (SHA-256 ${digest.sha256})`);
    }
    if (others > 0) throw new Malformed(`${path}: ${others} of its ${manifest.inputs.length} inputs are others here`);
  }

  /** By which others find it. @throws UsageError where it has no such name */
  #nameOf(file: string): string {
    const s3path = this.#told.get(file)?.s3path ?? keyOf(file);
    const fault = keyFault(s3path);
    if (fault !== undefined) throw new UsageError(`--manifest: ${file}: give its path below this folder (${fault})`);
    return s3path;
  }

  /** @throws UsageError where two would be found by one name */
  #inputs(): InputRow[] {
    const names = new Set<string>();
    return [...this.#digests].map(([file, digest]) => {
      const s3path = this.#nameOf(file);
      if (names.has(s3path)) throw new UsageError(`--manifest: two inputs are ${s3path}`);
      names.add(s3path);
      return { file: this.#told.get(file)?.from ?? (isUrl(file) ? file : s3path), s3path, ...digest! };
    });
  }

  /** What came out, written or held against. @param out the file or folder of the table; undefined for standard output */
  async end(options: QueryOptions, out: string | undefined): Promise<void> {
    const stage = this.#stage;
    const output = out === undefined ? [await stage.digest()] : await outputOf(out, options.partition.length > 0);
    if (this.#check) {
      const { path, manifest } = this.#check;
      const isSame = JSON.stringify(output) === JSON.stringify(manifest.output.map(inOrder));
      const by =
        manifest.tool === __VERSION__ ? '' : `: it was made by cannery ${manifest.tool}, and this is ${__VERSION__}`;
      if (!isSame) stage.finding(path, `the same inputs gave another output here${by}`);
      else stage.say(`${path}: the same: ${manifest.inputs.length} inputs, ${stage.counts.out} measurements`);
    }
    if (!this.#place) return;
    const { out: selected, left_out = 0, rejected } = stage.counts;
    const counts = { selected: selected!, left_out, rejected: rejected! };
    const manifest = { tool: __VERSION__, query: queryOf(options), counts, output, inputs: this.#inputs() };
    const file = new FileWriter(this.#place.temporary);
    file.write(Buffer.from(subsetText(manifest)));
    file.close();
    this.#place.commit();
  }

  abandon(): void {
    this.#place?.abandon();
  }
}

const inOrder = ({ file, bytes, sha256 }: OutputFile): OutputFile => ({
  ...(file !== undefined && { file }),
  bytes,
  sha256,
});

function readManifest(path: string) {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    return failAt(path, error);
  }
  try {
    return parseSubset(text);
  } catch (error) {
    throw new Failure(`${path}: ${(error as Error).message}`);
  }
}

/** By which others find an input: its key in a store, or its path below this folder. */
function keyOf(file: string): string {
  if (isUrl(file)) {
    const object = objectAt(file);
    return 'fault' in object ? file : object.key;
  }
  const key = file.split('/').slice(-6).join('/');
  return parseKey(key) ? key : file;
}

async function outputOf(path: string, isFolder: boolean): Promise<OutputFile[]> {
  if (!isFolder) return [await digestOf(path)];
  const files = readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(join(path, '/').length))
    .sort();
  const found: OutputFile[] = [];
  for (const file of files) found.push({ file, ...(await digestOf(join(path, file))) });
  return found;
}

async function digestOf(path: string): Promise<Digest> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of createReadStream(path)) {
    hash.update(chunk);
    bytes += (chunk as Buffer).length;
  }
  return { bytes, sha256: hash.digest('hex') };
}
