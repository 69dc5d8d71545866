// Spools to break things on: small, with several cans, of posts that do not compress away.
import { join } from 'node:path';
import { putPost, read, tree } from '../lib.ts';
import { chance } from './place.ts';

/** Hex of chance, so that cans are as large as their posts. */
export function noise(random: () => number, bytes: number): string {
  let text = '';
  while (text.length < bytes)
    text += Math.floor(random() * 2 ** 32)
      .toString(16)
      .padStart(8, '0');
  return text.slice(0, bytes);
}

export interface PostSpec {
  /** `YYYYMMDDHH` */
  hour: string;
  cc: string;
  test: string;
  bytes: number;
}

/** A post as a probe would send it, its number making it one of its kind. */
export function postOf({ hour, cc, test, bytes }: PostSpec, n: number): Buffer {
  const content =
    `{"report_id":"${hour.slice(0, 8)}T${hour.slice(8)}0000Z_${test}_${cc}_1_n1_${String(n).padStart(16, '0')}",` +
    `"input":"https://example.org/${n}","probe_cc":"${cc}","test_name":"${test}","n":${n}.0,"x":"${noise(chance(n), bytes)}"}`;
  return Buffer.from(`{"format":"json","content":${content}}`);
}

/** Puts posts into a spool. */
export function fill(spool: string, specs: PostSpec[]): void {
  for (const [n, spec] of specs.entries()) {
    const time = `${spec.hour}${String(n % 60).padStart(2, '0')}00.${String(n).padStart(6, '0')}`;
    putPost(spool, postOf(spec, n), { time, cc: spec.cc, test: spec.test });
  }
}

/** What lies in a spool: path below it → bytes. */
export function postsIn(cwd: string): Map<string, Buffer> {
  const spool = join(cwd, 'incoming');
  return new Map(tree(spool).map((path) => [path, read(join(spool, path))]));
}

const WEB = { hour: '2024020110', cc: 'IT', test: 'webconnectivity' };

/** Two groups, three cans. */
export const SMALL: PostSpec[] = [
  { ...WEB, bytes: 1500 },
  { ...WEB, bytes: 1500 },
  { ...WEB, bytes: 2500 },
  { hour: '2024020111', cc: 'IR', test: 'telegram', bytes: 900 },
];

/** Many groups and cans, and posts that are compressed by themselves. */
export function large(random: () => number): PostSpec[] {
  const groups = ['IT', 'IR', 'DE', 'BR'].flatMap((cc) =>
    ['webconnectivity', 'ndt', 'tor'].map((test, n) => ({ hour: `20240201${10 + n}`, cc, test })),
  );
  return groups.flatMap((group) =>
    Array.from({ length: 3 + Math.floor(random() * 5) }, () => ({
      ...group,
      bytes: random() < 0.1 ? 70_000 : 300 + Math.floor(random() * 4000),
    })),
  );
}
