// Headers of members, against those that tar-stream writes and reads.
import { buffer } from 'node:stream/consumers';
import fc from 'fast-check';
import t from 'tap';
import { pack } from 'tar-stream';
import { paddingOf, TAR_END, tarHeader, tarMembers } from '../../src/edge/tar.ts';

/** A whole tar of one member. */
async function whole(name: string, body: Buffer, seconds: number): Promise<Buffer> {
  const one = pack();
  one.entry({ name, mode: 0o644, uid: 0, gid: 0, mtime: new Date(seconds * 1000), type: 'file' }, body);
  one.finalize();
  return await buffer(one as unknown as NodeJS.ReadableStream);
}

const part = fc.stringMatching(/^[A-Za-z0-9._~-]{1,70}$/);
const name = fc.oneof(
  fc.tuple(part, part).map(([folder, file]) => `${folder}/${file}.post`),
  part,
  fc.string({ minLength: 1, maxLength: 300, unit: 'grapheme' }).filter((text) => !/[\0/\\]/.test(text)),
);

t.test('the same bytes as tar-stream, for any name', async (t) => {
  let long = 0;
  await fc.assert(
    fc.asyncProperty(name, fc.integer({ min: 1, max: 3000 }), fc.nat(2 ** 31 - 1), async (name, bytes, seconds) => {
      const body = Buffer.alloc(bytes, 'x');
      const header = await tarHeader({ name, bytes, mtime: seconds * 1000 + 999 });
      if (header.length > 512) long++;
      const own = Buffer.concat([header, body, paddingOf(bytes), TAR_END]);
      return own.equals(await whole(name, body, seconds));
    }),
    { numRuns: 500 },
  );
  t.ok(long > 50 && long < 450, `${long} of 500 take more than one block`);
});

t.test('forged times become the nearest that can be written', async (t) => {
  for (const [mtime, seconds] of [
    [-1e12, 0],
    [1e15, 2 ** 31 - 1],
  ] as const) {
    const header = await tarHeader({ name: 'a', bytes: 1, mtime });
    t.ok(header.equals((await whole('a', Buffer.of(1), seconds)).subarray(0, 512)));
  }
});

t.test('what a reader of tar sees', async (t) => {
  const names = ['2024020110_IT_ndt/a.post', `${'f'.repeat(80)}/${'n'.repeat(90)}.post`, 'x'.repeat(250)];
  const bytes: Buffer[] = [];
  for (const [n, name] of names.entries())
    bytes.push(await tarHeader({ name, bytes: n + 1, mtime: 1.7e12 }), Buffer.alloc(n + 1, 'b'), paddingOf(n + 1));
  async function* source() {
    yield Buffer.concat([...bytes, TAR_END]);
  }
  const seen: unknown[] = [];
  for await (const { name, type, size, body } of tarMembers(source()))
    seen.push([name, type, size, (await buffer(body as AsyncIterable<Buffer>)).toString()]);
  t.same(
    seen,
    names.map((name, n) => [name, 'file', n + 1, 'b'.repeat(n + 1)]),
  );
});
