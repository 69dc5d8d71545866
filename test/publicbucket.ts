// A bucket laid out like the public one, for tests of `ls` and `fetch`: three days in the layout of today and, of 20 and
// 21 October 2020, in both; five countries, four tests.
import { gzipSync } from 'node:zlib';
import type { Test } from 'tap';
import { type CanName, canName, JSONL_EXT, keyFolder, POSTCAN_EXT } from '../src/record/names.ts';
import { FakeS3 } from './servers/fakes3.ts';
import { type Env, environmentFor } from './servers/s3.ts';

const COUNTRIES = ['BR', 'DE', 'IR', 'IT', 'US'];
export const TESTS = ['ndt', 'telegram', 'tor', 'webconnectivity'];
const DAYS = ['20201020', '20201021', '20240201'];
const HOURS = ['00', '11', '23'];

/** Key → bytes, in the order of the keys. */
export function publicBucket(): Map<string, Buffer> {
  const all: [string, Buffer][] = [];
  const put = (can: CanName, ext: string, bytes: Buffer) =>
    all.push([`${keyFolder(can)}/${canName(can)}${ext}`, bytes]);
  for (const cc of COUNTRIES)
    for (const test of TESTS) {
      for (const day of DAYS)
        for (const hour of HOURS) {
          const can: CanName = { kind: 'hour', hour: day + hour, cc, test, host: 'n1', counter: 0 };
          put(can, JSONL_EXT, lines(`${day}${hour}`, cc, test));
          put(can, POSTCAN_EXT, Buffer.from(`a postcan of ${canName(can)}`));
        }
      for (const day of ['20201019', ...DAYS.slice(0, 2)]) {
        const can: CanName = { kind: 'day', day, cc, test, mark: 'l', id: '0' };
        // What came at eleven is in both layouts, the rest in one.
        put(can, JSONL_EXT, Buffer.concat([lines(`${day}05`, cc, test), lines(`${day}11`, cc, test)]));
      }
    }
  all.push(['canned/2016-08-01/report.tar.lz4', Buffer.from('old')], ['README.txt', Buffer.from('hello')]);
  return new Map(all.sort(([a], [b]) => (a < b ? -1 : 1)));
}

export const NOBODY: Env = { AWS_ACCESS_KEY_ID: undefined, AWS_SECRET_ACCESS_KEY: undefined, AWS_REGION: undefined };

/** The environment that leads to a server, of somebody without credentials who does not know where the bucket is. */
export function asNobody(fake: FakeS3, endpoint = fake.endpoint): Env {
  return environmentFor({ ...fake, endpoint }, NOBODY);
}

/** A server of ours with a bucket that everybody may read. */
export async function publicServer(t: Test, bucket: string, objects: Map<string, Buffer>): Promise<FakeS3> {
  const fake = await FakeS3.make(t);
  fake.isPublic = true;
  for (const [key, bytes] of objects) fake.hold(bucket, key, bytes);
  return fake;
}

/** Three measurements of an hour; the same call gives the same. */
function lines(hour: string, cc: string, test: string): Buffer {
  const one = (n: number) =>
    JSON.stringify({
      report_id: `${hour.slice(0, 8)}T${hour.slice(8)}0000Z_${test}_${cc}_1_n1_abcdefghijklmnop`,
      input: n === 0 ? null : `https://example.org/${n}`,
      measurement_start_time: `${hour.slice(0, 4)}-${hour.slice(4, 6)}-${hour.slice(6, 8)} ${hour.slice(8)}:00:0${n}`,
      test_name: test,
      probe_cc: cc,
      filling: 'x'.repeat(2000 * n),
    });
  return gzipSync(`${[0, 1, 2].map(one).join('\n')}\n`);
}
