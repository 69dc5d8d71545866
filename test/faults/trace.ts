// What strace writes, as system calls: their names, the paths they are about, and the bytes that were written.
import { spawnSync } from 'node:child_process';
import { isAbsolute, join } from 'node:path';

/** Calls that change something, and where their paths stand: of `d` a folder's descriptor and a path. */
const CHANGES: Record<string, string> = {
  openat: 'dp',
  open: 'p',
  creat: 'p',
  mkdir: 'p',
  mkdirat: 'dp',
  rmdir: 'p',
  unlink: 'p',
  unlinkat: 'dp',
  rename: 'pp',
  renameat: 'dpdp',
  renameat2: 'dpdp',
  link: 'pp',
  linkat: 'dpdp',
  symlink: 'pp',
  write: 'f',
  pwrite64: 'f',
  writev: 'f',
  pwritev: 'f',
  ftruncate: 'f',
  truncate: 'p',
  fallocate: 'f',
  copy_file_range: 'fxf',
  sendfile: 'f',
  fsync: 'f',
  fdatasync: 'f',
  sync_file_range: 'f',
  msync: 'x',
};

export const TRACED = Object.keys(CHANGES).join(',');

/** Calls by which a process talks to a server. What it reads of an answer, it reads before its next one of these. */
const TALKS: Record<string, string> = {
  socket: 'x',
  connect: 'f',
  sendto: 'f',
  sendmsg: 'f',
  write: 'f',
  writev: 'f',
};

export const TALKING = Object.keys(TALKS).join(',');

export interface Call {
  /** Lines of the log where it began and ended: between them it took effect. */
  began: number;
  ended: number;
  thread: string;
  name: string;
  args: string[];
  /** The paths it names or whose descriptors it has, absolute. */
  paths: string[];
  /** What it returned; undefined where it never did. */
  result: number | undefined;
}

/** True where a call is about a connection, as strace's -yy tells it. */
export function talks({ name, args }: Call): boolean {
  return name in TALKS && /^(?:AF_INET|\d+<TCP)/.test(args[0] ?? '');
}

/** True where a call opens a file that it may change, or is about one. */
export function changes({ name, args }: Call): boolean {
  return !name.startsWith('open') || /O_WRONLY|O_RDWR|O_CREAT|O_TRUNC/.test(args.join());
}

/** Calls of a log that `strace -f -y -o` wrote, in the order in which they ended. @param cwd the folder of all processes */
export function parseTrace(log: string, cwd: string): Call[] {
  const calls: Call[] = [];
  const open = new Map<string, { began: number; text: string }>();
  const lines = log.split('\n');
  for (const [at, line] of lines.entries()) {
    const [, thread, rest] = /^(\d+) +(.*)$/.exec(line) ?? [];
    if (thread === undefined || rest === undefined) continue;
    const unfinished = / *<unfinished \.\.\.>$/.exec(rest);
    if (unfinished) {
      open.set(thread, { began: at, text: rest.slice(0, unfinished.index) });
      continue;
    }
    const resumed = /^<\.\.\. \w+ resumed>/.exec(rest);
    const start = resumed ? open.get(thread) : undefined;
    open.delete(thread);
    const call = parseCall(start ? start.text + rest.slice(resumed![0].length) : rest, cwd);
    if (call) calls.push({ ...call, thread, began: start?.began ?? at, ended: at });
  }
  return calls;
}

function parseCall(text: string, cwd: string): Pick<Call, 'name' | 'args' | 'paths' | 'result'> | undefined {
  const name = /^(\w+)\(/.exec(text)?.[1];
  const form = name === undefined ? undefined : (CHANGES[name] ?? TALKS[name]);
  if (name === undefined || form === undefined) return undefined;
  const { args, end } = splitArgs(text, name.length + 1);
  const result = /^\) += (-?\d+)/.exec(text.slice(end))?.[1];
  return { name, args, paths: pathsOf(form, args, cwd), result: result === undefined ? undefined : Number(result) };
}

/** Arguments up to the closing bracket; commas in texts, lists and `<paths>` do not count. */
function splitArgs(text: string, from: number): { args: string[]; end: number } {
  const args: string[] = [];
  let depth = 0;
  let start = from;
  let at = from;
  for (; at < text.length; at++) {
    const c = text[at];
    if (c === '"') for (at++; at < text.length && text[at] !== '"'; at++) at += text[at] === '\\' ? 1 : 0;
    else if (c === '[' || c === '{' || c === '(') depth++;
    else if (depth > 0 && (c === ']' || c === '}' || c === ')')) depth--;
    else if (c === '<') at = Math.max(text.indexOf('>', at), at);
    else if (depth === 0 && c === ')') break;
    else if (depth === 0 && c === ',') {
      args.push(text.slice(start, at).trim());
      start = at + 1;
    }
  }
  if (at > start) args.push(text.slice(start, at).trim());
  return { args, end: at };
}

function pathsOf(form: string, args: string[], cwd: string): string[] {
  const paths: string[] = [];
  for (let n = 0; n < form.length; n++) {
    const arg = args[n] ?? '';
    if (form[n] === 'f') paths.push(pathOfDescriptor(arg));
    else if (form[n] === 'p') paths.push(absolute(textOf(arg).toString(), cwd));
    else if (form[n] === 'd') paths.push(join(pathOfDescriptor(arg), textOf(args[++n] ?? '').toString()));
  }
  // An absolute path beside a folder's descriptor stands for itself.
  return paths.map((path, n) =>
    form[0] === 'd' && textOf(args[n * 2 + 1] ?? '')[0] === 0x2f ? textOf(args[n * 2 + 1]!).toString() : path,
  );
}

function absolute(path: string, cwd: string): string {
  return isAbsolute(path) ? path : join(cwd, path);
}

function pathOfDescriptor(arg: string): string {
  return /<(.*)>$/s.exec(arg)?.[1] ?? '';
}

const LETTERS: Record<string, number> = { n: 10, t: 9, r: 13, v: 11, f: 12, b: 8, a: 7 };

/** The bytes of a text as strace writes it. */
export function textOf(arg: string): Buffer {
  const bytes: number[] = [];
  const inner = arg.slice(arg.indexOf('"') + 1, arg.lastIndexOf('"'));
  for (let at = 0; at < inner.length; at++) {
    if (inner[at] !== '\\') {
      bytes.push(inner.charCodeAt(at));
      continue;
    }
    const octal = /^[0-7]{1,3}/.exec(inner.slice(at + 1, at + 4))?.[0];
    const hex = /^x([0-9a-f]{2})/.exec(inner.slice(at + 1, at + 4))?.[1];
    if (octal !== undefined) bytes.push(Number.parseInt(octal, 8));
    else if (hex !== undefined) bytes.push(Number.parseInt(hex, 16));
    else bytes.push(LETTERS[inner[at + 1]!] ?? inner.charCodeAt(at + 1));
    at += octal?.length ?? (hex === undefined ? 1 : 3);
  }
  return Buffer.from(bytes);
}

/** Why no process can be traced here; undefined where one can. */
export function cannotTrace(): string | undefined {
  const tried = spawnSync('strace', [
    '-f',
    '-o',
    '/dev/null',
    '-e',
    'trace=openat',
    '-e',
    'inject=openat:error=EIO:when=60000',
    'true',
  ]);
  if (tried.error) return 'strace is not installed (make servers installs it)';
  return tried.status === 0 ? undefined : `strace cannot trace here: ${tried.stderr.toString().trim().split('\n')[0]}`;
}
