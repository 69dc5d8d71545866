// A compressor of the user's: it reads text and writes gzip, as tar's -I has it. What it gives is taken only as one
// whole gzip member of just that text, and gets our header, so that a name or a time of its own is not in the can.
import { spawn } from 'node:child_process';
import { Readable } from 'node:stream';
import { crc32 } from 'node:zlib';
import { describe, UsageError } from '../stream/errors.ts';
import { HEADER, memberEnd } from './gzip.ts';
import { ByteReader, readHeader } from './members.ts';

/** Words of the command; no shell reads them. */
export type Program = readonly [string, ...string[]];

/** @throws UsageError for a command without words */
export function programOf(command: string): Program {
  const [name, ...rest] = command.split(/\s+/).filter(Boolean);
  if (name === undefined) throw new UsageError('--compress-program: no program is named');
  return [name, ...rest];
}

/**
 * A text as a gzip member that a program made.
 * @throws Error for a program that cannot be run, fails, or gives something else
 */
export async function memberBy(program: Program, text: Uint8Array): Promise<Buffer> {
  const gzip = await filtered(program, text);
  const fail = (what: string): never => {
    throw new Error(`--compress-program ${program.join(' ')}: ${what}`);
  };
  const reader = new ByteReader(Readable.from([gzip]));
  await readHeader(reader).catch((error) => fail(describe(error)));
  const trailer = memberEnd({ crc: crc32(text), length: text.length }).subarray(-8);
  if (gzip.length < reader.position + trailer.length) fail('gives gzip that is cut short');
  // Which is also what several members look like.
  if (!gzip.subarray(-trailer.length).equals(trailer))
    fail('gives something else than one gzip member of the text that it was given');
  return Buffer.concat([HEADER, gzip.subarray(reader.position)]);
}

/** What a program writes, given this. */
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
      if (code === 0) return resolve(Buffer.concat(out));
      const [first] = said.trim().split('\n');
      reject(new Error(`${command}: ${signal ? `killed by ${signal}` : `exit ${code}`}${first ? `: ${first}` : ''}`));
    });
  });
}
