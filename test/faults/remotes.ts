// Stores on a server, outside of the place and of everything that is traced there, so that they outlive what is killed.
import type { Test } from 'tap';
import { FakeS3 } from '../servers/fakes3.ts';
import { Bucket, type Env, environmentFor, runningServer } from '../servers/s3.ts';

export interface Remote {
  url: string;
  /** What leads cannery there. */
  env: Env;
  empty(): Promise<void>;
  objects(): Promise<Map<string, Buffer>>;
  put(key: string, bytes: Buffer): Promise<void>;
  /** Keys that were written with different bytes, as far as the server knows. */
  overwritten(): string[];
}

/** A small S3 of our own, in this process. */
export async function fakeRemote(t: Test): Promise<Remote> {
  const fake = await FakeS3.make(t);
  const name = 'cannery';
  fake.begin(name);
  return {
    url: `s3://${name}`,
    env: environmentFor(fake),
    empty: async () => fake.begin(name),
    objects: async () => fake.objects(name),
    put: async (key, bytes) => fake.hold(name, key, bytes),
    overwritten() {
      const first = new Map<string, string>();
      const others = fake.puts.filter(([path, md5]) => {
        if (!first.has(path)) first.set(path, md5);
        return first.get(path) !== md5;
      });
      return others.map(([path]) => `${path}: written over with other bytes`);
    },
  };
}

/** A bucket on the real server; undefined where none runs. */
export async function realRemote(t: Test): Promise<Remote | undefined> {
  const server = runningServer();
  if (!server) return undefined;
  const bucket = await Bucket.make(t, server);
  return {
    url: bucket.url,
    env: bucket.env(),
    async empty() {
      for (const key of await bucket.keys()) await bucket.remove(key);
    },
    async objects() {
      const keys = await bucket.keys();
      return new Map(await Promise.all(keys.map(async (key) => [key, await bucket.get(key)] as const)));
    },
    put: (key, bytes) => bucket.put(key, bytes),
    overwritten: () => [],
  };
}
