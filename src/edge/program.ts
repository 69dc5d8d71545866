// A compressor of the user's: it reads text and writes gzip, as tar's -I has it. What it gives is taken only as one
// whole gzip member of just that text, and gets our header, so that a name or a time of its own is not in the can.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { constants } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { threadId } from 'node:worker_threads';
import { crc32 } from 'node:zlib';
import { describe, UsageError } from '../stream/errors.ts';
import { HEADER, memberEnd, TRAILER } from './gzip.ts';
import { ByteReader, readHeader } from './members.ts';
import { release } from './release.ts';

/** Words of the command; no shell reads them. */
export type Program = readonly [string, ...string[]];

/** @throws UsageError for a command without words */
export function programOf(command: string): Program {
  const [name, ...rest] = command.split(/\s+/).filter(Boolean);
  if (name === undefined) throw new UsageError('--compress-program: no program is named');
  return [name, ...rest];
}

/** What a program writes, given this. @throws Error for one that cannot be run, or fails */
type Filter = (text: Uint8Array) => Promise<Buffer>;

/**
 * A text as a gzip member that a program made.
 * @throws Error for a program that cannot be run, fails, or gives something else
 */
export async function memberBy(
  program: Program,
  text: Uint8Array,
  filter: Filter = (text) => filtered(program, text),
): Promise<Buffer> {
  const gzip = await filter(text);
  const fail = (what: string): never => {
    throw new Error(`--compress-program ${program.join(' ')}: ${what}`);
  };
  const reader = new ByteReader(Readable.from([gzip]));
  await readHeader(reader).catch((error) => fail(describe(error)));
  const trailer = memberEnd({ crc: crc32(text), length: text.length }).subarray(-TRAILER);
  if (gzip.length < reader.position + trailer.length) fail('gives gzip that is cut short');
  // Which is also what several members look like.
  if (!gzip.subarray(-trailer.length).equals(trailer))
    fail('gives something else than one gzip member of the text that it was given');
  const member = Buffer.concat([HEADER, gzip.subarray(reader.position)]);
  release(gzip);
  return member;
}

function filtered(program: Program, input: Uint8Array): Promise<Buffer> {
  const [name, ...args] = program;
  const command = `--compress-program ${program.join(' ')}`;
  return new Promise((resolve, reject) => {
    const child = spawn(name, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    const out: Buffer[] = [];
    let said = '';
    child.on('error', (error) => reject(new Error(`${command}: cannot be run: ${describe(error)}`)));
    child.stdout.on('data', (piece: Buffer) => out.push(piece));
    child.stderr.on('data', (piece: Buffer) => {
      if (said.length < 1000) said += piece;
    });
    child.stdin.on('error', () => undefined); // its end tells more
    child.stdin.end(input);
    child.on('close', (code, signal) => {
      if (code === 0) resolve(Buffer.concat(out));
      else reject(failed(program, signal ?? code, said));
    });
  });
}

function failed(program: Program, how: string | number | null, said: string): Error {
  const [first] = said.trim().split('\n');
  const end = typeof how === 'string' ? `killed by ${how}` : `exit ${how}`;
  return new Error(`--compress-program ${program.join(' ')}: ${end}${first ? `: ${first}` : ''}`);
}

/** Of numbers that come it takes the files, and tells how the program ended. No text of ours is read by the shell. */
const SCRIPT = `while IFS= read -r n; do "$@" <"$0/$n.in" >"$0/$n.out" 2>"$0/$n.err"; echo "$n $?"; done`;

/**
 * Starts a program again and again, by way of a shell: that is small and takes 1 ms for it, where a process of 150 MB takes 8.
 * Texts come and go in files of a folder that is the caller's.
 */
export class Starter {
  readonly #program: Program;
  readonly room: string;
  readonly #shell: ChildProcess;
  #waiting = new Map<string, { resolve: (code: number) => void; reject: (error: Error) => void }>();
  #lost: Error | undefined;
  #count = 0;

  constructor(program: Program, room: string) {
    this.#program = program;
    this.room = room;
    mkdirSync(room, { recursive: true, mode: 0o700 });
    this.#shell = spawn('sh', ['-c', SCRIPT, room, ...program], { stdio: ['pipe', 'pipe', 'ignore'] });
    const lose = (reason: string) => {
      this.#lost ??= new Error(`--compress-program ${program.join(' ')}: the shell that starts it ${reason}`);
      for (const { reject } of this.#waiting.values()) reject(this.#lost);
      this.#waiting.clear();
    };
    this.#hold(false);
    this.#shell.on('error', (error) => lose(`cannot be run: ${describe(error)}`));
    this.#shell.on('close', () => lose('has ended'));
    this.#shell.stdin!.on('error', () => undefined); // its end tells more
    createInterface({ input: this.#shell.stdout! }).on('line', (line) => {
      const [name = '', code] = line.split(' ');
      this.#waiting.get(name)?.resolve(Number(code));
      this.#waiting.delete(name);
      this.#hold(this.#waiting.size > 0);
    });
  }

  /** A thread ends when it has nothing else to do, unless it waits for a text. */
  #hold(waits: boolean): void {
    for (const one of [this.#shell, this.#shell.stdin as Socket, this.#shell.stdout as Socket])
      one[waits ? 'ref' : 'unref']();
  }

  readonly filtered: Filter = async (text) => {
    if (this.#lost) throw this.#lost;
    const name = `${threadId}-${this.#count++}`;
    const file = (ext: string) => join(this.room, `${name}.${ext}`);
    writeFileSync(file('in'), text);
    try {
      const code = await new Promise<number>((resolve, reject) => {
        this.#waiting.set(name, { resolve, reject });
        this.#hold(true);
        this.#shell.stdin!.write(`${name}\n`);
      });
      if (code === 0) return readFileSync(file('out'));
      const signal = Object.entries(constants.signals).find(([, number]) => number === code - 128)?.[0];
      throw failed(this.#program, signal ?? code, readFileSync(file('err'), 'utf8').slice(0, 1000));
    } finally {
      for (const ext of ['in', 'out', 'err']) rmSync(file(ext), { force: true });
    }
  };
}
