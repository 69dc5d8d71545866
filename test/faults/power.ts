// What a disk may hold when power goes: the sequence of one run is played onto a model of a file system, which knows
// what was fsynced and may lose or keep the rest as a seed has it.
//
// The model promises less than most file systems do. What was written to a file is there after an fsync of it; a name
// (made, moved or taken away) is as it was left after an fsync of its folder. Whatever is not fsynced may be there or
// not, whatever came later: a file may be empty, torn, zeros or rubbish of its full length. A rename is one step, and
// durable when one of its two folders is fsynced.
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { type Call, textOf } from './trace.ts';

/** Something that a call did: from `at` on it is seen, from `durable` on it cannot be lost. Both are lines of the trace. */
interface Effect {
  at: number;
  durable: number;
}

interface Write extends Effect {
  offset: number;
  /** Undefined where the file was cut to `offset`. */
  bytes?: Buffer;
}

interface Entry extends Effect {
  inode: Inode;
  /** The name that went; undefined for a new one. */
  from?: Name;
  to?: Name;
}

interface Name {
  folder: Inode;
  name: string;
}

interface Inode {
  /** Of a folder: what is seen in it now. */
  names?: Map<string, Inode>;
  /** Of a file: what it held at the start. */
  base: Buffer;
  writes: Write[];
  /** Where its one writer stands. */
  position: number;
}

const NEVER = Number.POSITIVE_INFINITY;

/** What becomes of what was not fsynced. */
export interface Loss {
  /** True where a change of a name came through. */
  keepsName(): boolean;
  data(): 'nothing' | 'all' | 'some' | 'torn' | 'zeros' | 'rubbish';
  random: () => number;
}

/** A file or a folder (null) by its path below the place. */
export type Disk = Map<string, Buffer | null>;

export class Recording {
  /** Lines of the trace after which something had changed. */
  readonly moments: number[] = [];
  #top: string;
  #root: Inode;
  #entries: Entry[] = [];

  /** @param before the folder as it was when the run began, durable in all */
  constructor(calls: Call[], top: string, before: string) {
    this.#top = top;
    this.#root = readTree(before);
    for (const call of calls) {
      if (call.result === undefined || call.result < 0) continue;
      if (!call.paths.some((path) => path === top || path.startsWith(`${top}/`))) continue;
      this.#play(call);
    }
  }

  #play(call: Call): void {
    const { name, paths, args, ended: at } = call;
    const [one = '', two = ''] = paths;
    if (/^open|^creat/.test(name)) this.#open(one, args.join(), at);
    else if (/^(?:p?write|ftruncate)/.test(name)) this.#write(call);
    else if (/^f(?:data)?sync$/.test(name)) this.#fsync(one, call);
    else if (name.startsWith('mkdir')) this.#enter({ at, durable: NEVER, inode: newInode(true), to: this.#name(one)! });
    else if (/^(?:unlink|rmdir)/.test(name))
      this.#enter({ at, durable: NEVER, inode: this.#find(one)!, from: this.#name(one)! });
    else if (name.startsWith('rename'))
      this.#enter({ at, durable: NEVER, inode: this.#find(one)!, from: this.#name(one)!, to: this.#name(two)! });
    else if (name.startsWith('link'))
      this.#enter({ at, durable: NEVER, inode: this.#find(one)!, to: this.#name(two)! });
    else throw new Error(`${name}: the model does not know it`);
    this.moments.push(at);
  }

  #enter(entry: Entry): void {
    this.#entries.push(entry);
    entry.from?.folder.names?.delete(entry.from.name);
    entry.to?.folder.names?.set(entry.to.name, entry.inode);
  }

  #open(path: string, flags: string, at: number): void {
    let inode = this.#find(path);
    if (!inode && flags.includes('O_CREAT'))
      this.#enter({ at, durable: NEVER, inode: (inode = newInode(false)), to: this.#name(path)! });
    if (!inode || inode.names || !/O_WRONLY|O_RDWR/.test(flags)) return;
    const size = sizeOf(inode);
    if (flags.includes('O_TRUNC') && size > 0) inode.writes.push({ at, durable: NEVER, offset: 0 });
    inode.position = flags.includes('O_APPEND') ? size : 0;
  }

  #write({ name, paths, args, result, ended: at }: Call): void {
    const inode = this.#find(paths[0]!);
    if (!inode) return; // it has no name any more
    if (name === 'ftruncate') {
      inode.writes.push({ at, durable: NEVER, offset: Number(args[1]) });
      return;
    }
    const bytes = name.endsWith('v')
      ? Buffer.concat([...args[1]!.matchAll(/iov_base=("(?:[^"\\]|\\.)*")/g)].map(([, text]) => textOf(text!)))
      : textOf(args[1]!);
    const offset = name.startsWith('p') ? Number(args[3]) : inode.position;
    if (bytes.length < result!) throw new Error(`${paths[0]}: ${bytes.length} bytes in the trace, of ${result}`);
    inode.writes.push({ at, durable: NEVER, offset, bytes: bytes.subarray(0, result) });
    if (!name.startsWith('p')) inode.position += result!;
  }

  /** What had ended when the fsync began is durable when it has ended. */
  #fsync(path: string, { began, ended }: Call): void {
    const inode = this.#find(path);
    if (!inode) return;
    const effects: Effect[] = inode.names
      ? this.#entries.filter(({ from, to }) => from?.folder === inode || to?.folder === inode)
      : inode.writes;
    for (const effect of effects) if (effect.at < began) effect.durable = Math.min(effect.durable, ended);
  }

  #find(path: string): Inode | undefined {
    let inode: Inode | undefined = this.#root;
    for (const part of path.slice(this.#top.length + 1).split('/'))
      inode = part === '' ? inode : inode?.names?.get(part);
    return inode;
  }

  #name(path: string): Name | undefined {
    const folder = this.#find(dirname(path));
    return folder?.names ? { folder, name: basename(path) } : undefined;
  }

  /** The disk when power goes at a moment. */
  crash(moment: number, loss: Loss): Disk {
    const folders = new Map<Inode, Map<string, Inode>>();
    const namesOf = (folder: Inode) => {
      let names = folders.get(folder);
      if (!names) folders.set(folder, (names = new Map(startOf.get(folder) ?? [])));
      return names;
    };
    for (const { at, durable, inode, from, to } of this.#entries) {
      if (at > moment || (durable > moment && !loss.keepsName())) continue;
      if (from && namesOf(from.folder).get(from.name) === inode) namesOf(from.folder).delete(from.name);
      if (to) namesOf(to.folder).set(to.name, inode);
    }
    const disk: Disk = new Map();
    const walk = (folder: Inode, path: string) => {
      for (const [name, inode] of namesOf(folder)) {
        const below = join(path, name);
        if (name.endsWith('-shm')) continue; // memory that processes share, no file
        disk.set(below, inode.names ? null : contentOf(inode, moment, loss));
        if (inode.names) walk(inode, below);
      }
    };
    walk(this.#root, '');
    return disk;
  }
}

/** What folders held at the start. */
const startOf = new WeakMap<Inode, Map<string, Inode>>();

function newInode(folder: boolean): Inode {
  const inode: Inode = { base: Buffer.alloc(0), writes: [], position: 0 };
  if (folder) inode.names = new Map();
  return inode;
}

function readTree(path: string): Inode {
  const folder = newInode(true);
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    const below = join(path, entry.name);
    const inode = entry.isDirectory() ? readTree(below) : { ...newInode(false), base: readFileSync(below) };
    folder.names!.set(entry.name, inode);
  }
  startOf.set(folder, new Map(folder.names));
  return folder;
}

function sizeOf({ base, writes }: Inode): number {
  return writes.reduce(
    (size, { offset, bytes }) => (bytes ? Math.max(size, offset + bytes.length) : offset),
    base.length,
  );
}

function contentOf({ base, writes }: Inode, moment: number, loss: Loss): Buffer {
  let content = Buffer.from(base);
  const put = (offset: number, bytes: Uint8Array) => {
    if (offset + bytes.length > content.length) {
      const longer = Buffer.alloc(offset + bytes.length);
      content.copy(longer);
      content = longer;
    }
    content.set(bytes, offset);
  };
  const fate = loss.data();
  const seen = writes.filter(({ at }) => at <= moment);
  const lastOpen = seen.findLast(({ durable }) => durable > moment);
  for (const write of seen) {
    const { offset, bytes, durable } = write;
    let kept = bytes;
    if (durable > moment) {
      if (fate === 'nothing' || (fate === 'some' && loss.random() < 0.5)) continue;
      if (fate === 'torn' && write === lastOpen) kept = bytes?.subarray(0, Math.floor(loss.random() * bytes.length));
      if (fate === 'zeros') kept = bytes && Buffer.alloc(bytes.length);
      if (fate === 'rubbish') kept = bytes && Buffer.from(bytes.map(() => Math.floor(loss.random() * 256)));
    }
    if (kept) put(offset, kept);
    else if (!bytes) {
      const cut = Buffer.alloc(offset);
      content.copy(cut, 0, 0, Math.min(offset, content.length));
      content = cut;
    }
  }
  return content;
}

/** Everything that was not fsynced is gone. */
export function forgetful(random: () => number): Loss {
  return { keepsName: () => false, data: () => 'nothing', random };
}

/** Names outlive what is in the files: the usual surprise after a crash. */
export function hollow(random: () => number): Loss {
  return { keepsName: () => true, data: () => 'nothing', random };
}

const FATES = ['nothing', 'all', 'some', 'torn', 'zeros', 'rubbish'] as const;

/** Each thing as chance has it. */
export function fickle(random: () => number): Loss {
  return {
    keepsName: () => random() < 0.5,
    data: () => FATES[Math.floor(random() * FATES.length)]!,
    random,
  };
}

export function digestOf(disk: Disk): string {
  const hash = createHash('sha256');
  for (const [path, bytes] of [...disk].sort(([a], [b]) => (a < b ? -1 : 1)))
    hash.update(`${path}\0${bytes === null ? '/' : createHash('sha256').update(bytes).digest('hex')}\n`);
  return hash.digest('hex');
}

/** Makes a folder that holds what is on a disk. */
export function writeDisk(disk: Disk, top: string): void {
  rmSync(top, { recursive: true, force: true });
  mkdirSync(top);
  for (const [path, bytes] of disk) {
    if (bytes === null) mkdirSync(join(top, path));
    else writeFileSync(join(top, path), bytes);
  }
}
