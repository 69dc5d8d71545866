// A folder on another host. rsync copies, over ssh or what stands in its place; a few lines of POSIX shell there
// compare and remove. File names go over standard input alone, where no shell reads them.
import { spawn } from 'node:child_process';
import { Failure, UsageError } from '../stream/errors.ts';

export interface Place {
  host: string;
  dir: string;
}

const NAME = '[A-Za-z0-9_][A-Za-z0-9._-]*';
const PLACE = new RegExp(`^((?:${NAME}@)?(?:${NAME}|\\[[0-9A-Fa-f:.%]+\\])):(.+)$`, 's');

/** `HOST:DIR` → its parts. @throws UsageError where rsync, ssh or a shell would read anything else into it */
export function parsePlace(given: string): Place {
  const [, host, dir] = PLACE.exec(given) ?? [];
  if (host === undefined)
    throw new UsageError(`--from: a host and a folder, as n0.example.org:/srv/reports, not '${given}'`);
  if (/^(?:[-:~]|\/\/)|[\u0000-\u001f\u007f*?[\]\\]/.test(dir!))
    throw new UsageError(
      `--from: '${dir}': begins with - : ~ or //, or has wildcards, a backslash or control characters`,
    );
  return { host, dir: dir!.length > 1 ? dir!.replace(/\/+$/, '') : dir! };
}

/** A command line → its words, as rsync splits the value of --rsh. @throws UsageError */
export function splitCommand(text: string): [string, ...string[]] {
  const word = /(?:[^ '"]|'(?:[^']|'')*'|"(?:[^"]|"")*")+/g;
  const unquoted = (found: string) =>
    found.replace(/'((?:[^']|'')*)'|"((?:[^"]|"")*)"/g, (_, one?: string, two?: string) =>
      one === undefined ? two!.replaceAll('""', '"') : one.replaceAll("''", "'"),
    );
  const [program, ...words] = (text.match(word) ?? []).map(unquoted);
  if (program === undefined || text.replace(word, '').trim() !== '')
    throw new UsageError(`--ssh: a command, as 'ssh -p 2222', not '${text}'`);
  return [program, ...words];
}

export interface RemoteFile {
  name: string;
  bytes: number;
  /** Milliseconds since the epoch. */
  mtime: number;
}

interface Ended {
  code: number | null;
  out: Buffer;
  err: string;
}

/** What every line of a list begins with: rsync writes other lines too. */
const MARK = 'cannery ';
/** Some files were not brought, or have vanished: the files tell which. */
const PARTIAL = [23, 24];
/** Seconds without a byte after which rsync gives up. */
const SILENCE = 300;

export class Remote {
  readonly place: Place;
  #shell: string;

  /** @param shell of rsync's form: `ssh -p 2222 -i key` */
  constructor(place: Place, shell: string) {
    this.place = place;
    this.#shell = shell;
    splitCommand(shell);
  }

  /** How a file is named to people. */
  path(name: string): string {
    const { host, dir } = this.place;
    return `${host}:${dir === '/' ? '' : dir}/${name}`;
  }

  /**
   * Regular files of the folder, hidden ones left out; and how many others there are.
   * @param nowhere a path where nothing is: as if they were to be brought there
   * @throws Failure
   */
  async list(nowhere: string): Promise<{ files: RemoteFile[]; others: number }> {
    const form = `--out-format=${MARK}%i %l %M %n`;
    const args = ['--dry-run', '--dirs', '--no-motd', '--exclude=.*', form];
    const ended = await this.#rsync(args, nowhere);
    const files: RemoteFile[] = [];
    let others = 0;
    for (const line of ended.out.toString('latin1').split('\n')) {
      const file = line.startsWith(`${MARK}>f`) ? parseListed(line) : undefined;
      if (file) files.push(file);
      else if (/^cannery cd(?!.* \.\/$)|^skipping non-regular file/.test(line)) others++;
    }
    if (ended.code !== 0 && (files.length === 0 || !PARTIAL.includes(ended.code!))) this.#fail('rsync', ended);
    return { files, others };
  }

  /** Brings files; one that cannot be read, or has vanished, is not there then. @throws Failure @returns what rsync said */
  async bring(names: string[], to: string): Promise<string> {
    const args = ['--times', '--perms', '--chmod=Fu+r,Fug-s', '--whole-file', '--files-from=-', '--from0'];
    const ended = await this.#rsync(args, to, names.map((name) => `./${name}\0`).join(''));
    if (ended.code !== 0 && !PARTIAL.includes(ended.code!)) this.#fail('rsync', ended);
    return reasonIn(ended.err);
  }

  /** SHA-256 of each file as it is now, `gone`, or `unreadable`. @throws Failure */
  digests(names: string[]): Promise<string[]> {
    return this.#ask(
      'IFS= read -r n',
      'echo "$1"',
      names.map((name) => `${name}\n`),
      /^(?:[0-9a-f]{64}|gone|unreadable)$/,
    );
  }

  /** Removes each file that still has these bytes: `removed`, `gone`, `changed` or `denied`. @throws Failure */
  remove(files: { name: string; sha256: string }[]): Promise<string[]> {
    const each =
      'if [ "$1" != "$want" ]; then echo changed; elif rm -f -- "./$n" && [ ! -e "./$n" ]; then echo removed; else echo denied; fi';
    const items = files.map(({ name, sha256 }) => `${sha256}\n${name}\n`);
    return this.#ask('IFS= read -r want && IFS= read -r n', each, items, /^(?:removed|gone|changed|denied)$/);
  }

  /** Does something to each file there, and reads one word for each. */
  async #ask(read: string, each: string, items: string[], answer: RegExp): Promise<string[]> {
    if (items.length === 0) return [];
    const script =
      'unset CDPATH; command -v sha256sum >/dev/null || { echo "no sha256sum" >&2; exit 8; }; cd -- "$1" || exit 9; ' +
      `while ${read}; do if [ ! -f "./$n" ] || [ -L "./$n" ]; then echo gone; continue; fi; ` +
      `set -- $(sha256sum <"./$n") unreadable; ${each}; done`;
    const [program, ...args] = splitCommand(this.#shell);
    const { host, dir } = this.place;
    // The login shell there may be any: it reads three words in single quotes, and sh the script.
    const command = `exec sh -c '${script}' sh '${dir.replaceAll("'", `'\\''`)}'`;
    const ended = await run(program, [...args, host.replace(/[[\]]/g, ''), command], items.join(''));
    const answers = ended.out.toString('latin1').split('\n').slice(0, -1);
    if (ended.code !== 0) this.#fail(program, ended);
    if (answers.length !== items.length || !answers.every((one) => answer.test(one)))
      throw new Failure(`${this.place.host}: not the answers that were asked for: does its shell print a greeting?`);
    return answers;
  }

  #rsync(args: string[], to: string, stdin = ''): Promise<Ended> {
    const { host, dir } = this.place;
    const common = ['--secluded-args', `--timeout=${SILENCE}`, `--rsh=${this.#shell}`];
    return run('rsync', [...common, ...args, '--', `${host}:${dir}/`, `${to}/`], stdin);
  }

  #fail(program: string, { code, err }: Ended): never {
    throw new Failure(`${this.place.host}: ${program}: ${reasonIn(err) || 'no message'} (code ${code})`);
  }
}

/** `cannery >f+++++++++ 2 2024/02/01-10:00:00 NAME`: bytes that are no printable ASCII come as `\#ooo`. */
function parseListed(line: string): RemoteFile | undefined {
  const [, bytes, date, time, escaped] = /^cannery \S+ (\d+) (\d+\/\d\d\/\d\d)-(\d\d:\d\d:\d\d) (.*)$/.exec(line) ?? [];
  if (escaped === undefined) return undefined;
  const name = escaped.replace(/\\#([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
  const mtime = Date.parse(`${date!.replaceAll('/', '-')}T${time}Z`);
  return { name: Buffer.from(name, 'latin1').toString(), bytes: Number(bytes), mtime };
}

/** What tells most of a program's messages: the last one that is not only the end of what came before. */
function reasonIn(text: string): string {
  const lines = text.trim().split(/\r?\n/);
  return (
    lines.findLast((line) => !/^rsync error:|connection unexpectedly closed|Broken pipe/.test(line)) ?? lines.at(-1)!
  );
}

/** Runs a program without a shell, in a plain environment. @throws Failure where it is not installed */
function run(program: string, args: string[], stdin: string): Promise<Ended> {
  const { RSYNC_OLD_ARGS: _, RSYNC_PROTECT_ARGS: __, RSYNC_ICONV: ___, ...rest } = process.env;
  const env = { ...rest, LC_ALL: 'C', TZ: 'UTC' };
  return new Promise((done, failed) => {
    const child = spawn(program, args, { env });
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    child.stdout.on('data', (piece: Buffer) => out.push(piece));
    child.stderr.on('data', (piece: Buffer) => err.push(piece));
    child.stdin.on('error', () => undefined); // it ended early, and tells why
    child.on('error', (error: NodeJS.ErrnoException) =>
      failed(new Failure(error.code === 'ENOENT' ? `${program}: not installed here` : `${program}: ${error.message}`)),
    );
    child.on('close', (code) => done({ code, out: Buffer.concat(out), err: Buffer.concat(err).toString() }));
    child.stdin.end(stdin);
  });
}
