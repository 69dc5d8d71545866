// What is released is gone at once, and nothing else.
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { release } from '../../src/edge/release.ts';

t.test('buffers that are whole are empty afterwards, and their memory is given back', async (t) => {
  await sleep(50); // by then the port is closed
  const before = process.memoryUsage().arrayBuffers;
  for (let n = 0; n < 200; n++) {
    const bytes = Buffer.alloc(1_000_000, n);
    release(bytes);
    if (bytes.length !== 0) t.fail(`${bytes.length} bytes`);
  }
  const held = process.memoryUsage().arrayBuffers - before;
  t.ok(held < 20_000_000, `${held} of 200,000,000 bytes are held`);
});

t.test('parts of others are left, and so is what is small', async (t) => {
  const whole = Buffer.from('a'.repeat(20_000));
  const part = whole.subarray(0, 10_000);
  const small = Buffer.from('small');
  const own = Buffer.alloc(100, 1);
  release(part, small, own);
  t.equal(`${part}`, 'a'.repeat(10_000));
  t.equal(`${small}`, 'small');
  t.equal(own.length, 100);
  release(Buffer.alloc(0));
});
