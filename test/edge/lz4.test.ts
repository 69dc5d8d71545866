import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { decodeLz4, isLz4 } from '../../src/edge/lz4.ts';
import { Malformed } from '../../src/stream/errors.ts';
import { lz4Frame, skippable, word } from '../lz4frames.ts';

/** Text of what comes in pieces; with what was told, where that is not all of it. */
async function decoded(bytes: Buffer, piece = 1000, max = 1e9): Promise<{ text: Buffer; fault?: string }> {
  async function* source() {
    for (let at = 0; at < bytes.length; at += piece) yield bytes.subarray(at, at + piece);
  }
  const text: Buffer[] = [];
  try {
    for await (const one of decodeLz4(source(), max)) text.push(Buffer.from(one));
    return { text: Buffer.concat(text) };
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    return { text: Buffer.concat(text), fault: error.message };
  }
}

/** Text that repeats itself from far and near. */
const texts = fc
  .array(fc.tuple(fc.constantFrom('{"a":1}\n', 'x', 'report_id', '\0\xff'), fc.nat({ max: 9000 })), { maxLength: 8 })
  .map((parts) => Buffer.from(parts.map(([part, times]) => part.repeat(times)).join(''), 'latin1'));

const forms = fc.record({
  code: fc.constantFrom(4, 5, 6, 7),
  block: fc.constantFrom(50, 100, 60_000, 65_536, 300_000),
  linked: fc.boolean(),
  blockSums: fc.boolean(),
  textSum: fc.boolean(),
  size: fc.boolean(),
  plain: fc.boolean(),
});

t.test('frames of every form, on end and with what is to be skipped between them, in pieces of any size', async (t) => {
  const frames = fc.array(fc.tuple(texts, forms), { maxLength: 3 });
  await fc.assert(
    fc.asyncProperty(frames, fc.integer({ min: 1, max: 70_000 }), fc.nat({ max: 15 }), async (all, piece, n) => {
      const bytes = Buffer.concat(all.flatMap(([text, form]) => [skippable(text, n), lz4Frame(text, form)]));
      const { text, fault } = await decoded(bytes, Math.max(piece, Math.ceil(bytes.length / 5000)));
      return fault === undefined && text.equals(Buffer.concat(all.map(([one]) => one)));
    }),
    { numRuns: 60 },
  );
  t.end();
});

t.test('a frame that was cut or changed anywhere is told', async (t) => {
  const text = Buffer.from(Array.from({ length: 40 }, (_, n) => `{"n":${n},"input":"http://a.example/"}\n`).join(''));
  const bytes = lz4Frame(text, { block: 300 });
  for (let end = 1; end < bytes.length; end++) {
    const { text: some, fault } = await decoded(bytes.subarray(0, end));
    if (fault === undefined || !text.subarray(0, some.length).equals(some)) t.fail(`cut at ${end}: ${fault}`);
  }
  for (let at = 0; at < bytes.length; at++)
    for (const bit of [1, 0x80]) {
      const changed = Buffer.from(bytes);
      changed[at]! ^= bit;
      if (!isLz4(changed)) continue; // what does not begin so is not taken for lz4
      const { text: some, fault } = await decoded(changed);
      // Whether a block is packed is in no block's checksum: that of the text has to tell.
      const isAsItWas = text.subarray(0, some.length).equals(some) || /the text is not/.test(fault ?? '');
      if (fault === undefined || !isAsItWas) t.fail(`bit at ${at}: ${fault}`);
    }
  t.end();
});

t.test('what is not read is said', async (t) => {
  const frame = lz4Frame(Buffer.from('text'));
  const withFlag = (flag: number) => {
    const told = Buffer.from([frame[4]! | flag, ...frame.subarray(5, 14), 1, 0, 0, 0]);
    return Buffer.concat([frame.subarray(0, 4), told, Buffer.from([0])]);
  };
  t.match((await decoded(Buffer.concat([word(0x184c2102), word(3), Buffer.from('abc')]))).fault, /legacy format/);
  t.match((await decoded(withFlag(1))).fault, /header is not what its checksum tells/);
  t.match((await decoded(Buffer.concat([frame, Buffer.from('rubbish')]))).fault, /something else behind a frame/);
  t.match((await decoded(Buffer.concat([frame, word(0x184c2102)]))).fault, /legacy/);
  t.match((await decoded(skippable(Buffer.from('abc')).subarray(0, 9))).fault, /cut short/);
  t.equal((await decoded(skippable(Buffer.from('abc')))).fault, undefined);
  t.equal(isLz4(Buffer.from('\x04\x22\x4d')), false, 'too short');
  t.equal(isLz4(frame), true);
  t.end();
});

t.test('a bomb ends at its limit, in little memory', async (t) => {
  const bomb = lz4Frame(Buffer.alloc(64 * 1024 * 1024), { code: 7, size: false });
  t.ok(bomb.length < 300_000, `${bomb.length} bytes`);
  const { text, fault } = await decoded(bomb, 64 * 1024, 10_000_000);
  t.equal(fault, 'inflates to more than 10000000 bytes (--max-inflated)');
  t.ok(text.length <= 10_000_000);
  const forged = Buffer.concat([lz4Frame(Buffer.alloc(0)).subarray(0, 15), word(0x7fffffff), Buffer.alloc(100)]);
  t.match((await decoded(forged)).fault, /a block of 2147483647 bytes, and the most is 65536/);
  t.end();
});

const TOOL = spawnSync('lz4', ['--version']).status === 0;

t.test('what the lz4 tool writes', { skip: !TOOL && 'no lz4 here' }, async (t) => {
  const line = () => `{"report_id":"${randomBytes(9).toString('hex')}","body":"${'<p>text</p>'.repeat(30)}"}\n`;
  const text = Buffer.from(Array.from({ length: 12_000 }, line).join(''));
  const pack = (...options: string[]) =>
    spawnSync('lz4', ['-q', '-c', ...options], { input: text, maxBuffer: 1e9 }).stdout;
  for (const options of [
    ['-B4', '-BD'],
    ['-B5', '-BI', '-BX'],
    ['-B6', '-BD', '-9', '--content-size'],
    ['-B7', '-BI', '--no-frame-crc'],
    ['-B7', '-BD', '--fast=9'],
  ]) {
    const { text: back, fault } = await decoded(pack(...options), 65_536);
    t.equal(fault, undefined, options.join(' '));
    t.ok(back.equals(text), options.join(' '));
  }
  t.match((await decoded(pack('-l'))).fault, /legacy format/);
  t.end();
});
