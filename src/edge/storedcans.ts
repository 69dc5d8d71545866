// The keys of a store, of the index and of local cans side by side, in one pass and in their common order: what
// is held in memory does not grow with their number.
import { type CanName, compareKeys, JSONL_EXT, keyFolder, parseCanName, parseKey } from '../record/names.ts';
import { Failure } from '../stream/errors.ts';
import type { StoredObject } from './store.ts';

/** Files of one can in the store; or a key that is none of a can's. */
export interface Stored {
  /** Key of the `.jsonl.gz`, whether it is there or not. */
  key: string;
  can: CanName | undefined;
  /** Sizes of what is there. */
  jsonl?: number;
  postcan?: number;
  rows?: number;
}

/** Gathers the files of each can. @param objects in the order of their keys */
export async function* storedCans(objects: AsyncIterable<StoredObject>): AsyncGenerator<Stored> {
  let group: Group | undefined;
  let last = '';
  for await (const object of objects) {
    if (last !== '' && compareKeys(object.key, last) <= 0)
      throw new Failure(`the store does not list its keys in order: ${object.key} comes after ${last}`);
    last = object.key;
    if (group && !object.key.startsWith(group.prefix)) {
      yield* group.members();
      group = undefined;
    }
    group ??= Group.of(object.key);
    if (group) group.add(object);
    else yield { key: object.key, can: undefined, jsonl: object.bytes };
  }
  if (group) yield* group.members();
}

/** Keys that begin with the same can's name: they stand together in every listing. */
class Group {
  readonly prefix: string;
  #can: Stored;
  #others: Stored[] = [];

  /** @returns undefined for a key that does not begin as one of a can's */
  static of(key: string): Group | undefined {
    const slash = key.lastIndexOf('/');
    const name = key
      .slice(slash + 1)
      .split('.')
      .slice(0, 3)
      .join('.');
    const can = parseCanName(name);
    const path = `${key.slice(0, slash + 1)}${name}`;
    return can && path === `${keyFolder(can)}/${name}` && key.startsWith(`${path}.`) ? new Group(path, can) : undefined;
  }

  private constructor(path: string, can: CanName) {
    this.prefix = `${path}.`;
    this.#can = { key: path + JSONL_EXT, can };
  }

  add({ key, bytes }: StoredObject): void {
    const kind = parseKey(key)?.kind;
    if (kind === undefined || Number.isNaN(bytes)) this.#others.push({ key, can: undefined, jsonl: bytes });
    else this.#can[kind] = bytes;
  }

  members(): Stored[] {
    const { jsonl, postcan, rows } = this.#can;
    const isThere = jsonl !== undefined || postcan !== undefined || rows !== undefined;
    return [...(isThere ? [this.#can] : []), ...this.#others].sort((a, b) => compareKeys(a.key, b.key));
  }
}

export interface Keyed {
  key: string;
}

type Sources = Record<string, AsyncIterable<Keyed> | Iterable<Keyed>>;
type ItemOf<S> = S extends AsyncIterable<infer T> | Iterable<infer T> ? T : never;

/** Joins sources that are in the order of their keys. */
export async function* joined<S extends Sources>(
  sources: S,
): AsyncGenerator<{ key: string } & { [K in keyof S]?: ItemOf<S[K]> }> {
  const heads: { name: string; iterator: AsyncIterator<Keyed>; item: Keyed | undefined }[] = [];
  try {
    for (const [name, source] of Object.entries(sources)) {
      const iterator = each(source);
      heads.push({ name, iterator, item: (await iterator.next()).value });
    }
    for (;;) {
      let key: string | undefined;
      for (const { item } of heads) if (item && (key === undefined || compareKeys(item.key, key) < 0)) key = item.key;
      if (key === undefined) return;
      const found: Record<string, unknown> = { key };
      for (const head of heads) {
        if (head.item?.key !== key) continue;
        found[head.name] = head.item;
        head.item = (await head.iterator.next()).value;
      }
      yield found as { key: string } & { [K in keyof S]?: ItemOf<S[K]> };
    }
  } finally {
    for (const { iterator } of heads) await iterator.return?.();
  }
}

async function* each<T>(source: AsyncIterable<T> | Iterable<T>): AsyncGenerator<T> {
  yield* source;
}

/** Those behind one key, and up to another, where that is given. */
export async function* within<T extends Keyed>(
  source: AsyncIterable<T> | Iterable<T>,
  after: string,
  until: string | undefined,
): AsyncGenerator<T> {
  for await (const item of source) {
    if (until !== undefined && compareKeys(item.key, until) > 0) return;
    if (compareKeys(item.key, after) > 0) yield item;
  }
}
