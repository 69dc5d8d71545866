// What reads bytes, in this process and so many times a second: whatever comes in, an answer or an error that it tells of.
import { deepStrictEqual } from 'node:assert';
import { isUtf8 } from 'node:buffer';
import { gunzipSync, gzipSync } from 'node:zlib';
import { decodeLz4 } from '../../src/edge/lz4.ts';
import { ByteReader, memberText } from '../../src/edge/members.ts';
import { parseReject } from '../../src/edge/rejectrows.ts';
import { parseRequest } from '../../src/edge/requests.ts';
import { once, unpacked } from '../../src/edge/source.ts';
import { tarMembers } from '../../src/edge/tar.ts';
import { yamlRecords } from '../../src/edge/yamldocuments.ts';
import { BridgeDatabase, readBridges } from '../../src/record/bridges.ts';
import { manifestLine, parseManifest } from '../../src/record/buckets.ts';
import { NO_LINE } from '../../src/record/facts.ts';
import { JsonError, readExactly, readJson } from '../../src/record/json.ts';
import {
  canName,
  hourFolder,
  keyFolder,
  parseCanName,
  parseHourFolder,
  parseKey,
  parsePostName,
} from '../../src/record/names.ts';
import { normalise } from '../../src/record/normalise.ts';
import { readPost } from '../../src/record/post.ts';
import { parseLogLine } from '../../src/record/renamelog.ts';
import { nameOfHeader } from '../../src/record/reportheader.ts';
import { parseReportName, reportName } from '../../src/record/reportnames.ts';
import { openRow, parseRow, rowOf } from '../../src/record/rows.ts';
import { Sanitiser } from '../../src/record/sanitise.ts';
import { readYaml, readYamlHeader } from '../../src/record/yaml.ts';
import { Malformed } from '../../src/stream/errors.ts';
import { read } from '../lib.ts';
import { lz4Frame } from '../lz4frames.ts';
import { BRIDGES, documents, packed, posts, rejects, yamlReports } from './corpus.ts';
import { fuzzTest, type Round } from './fuzz.ts';
import { type Chance, HOSTILE_TEXTS, mutatedBytes, mutatedJson, mutatedTar, mutatedWithin, oneOf } from './mutate.ts';

const A_ROUND = 100;

/** Milliseconds that one input may take. */
const SLOW = 5000;

/** Errors that a reader tells of bad input; any other is a fault of its own. */
const isTold = (error: unknown) =>
  error instanceof Error &&
  (error.constructor === Error || error instanceof JsonError || error instanceof Malformed) &&
  error.message !== '' &&
  !/\bundefined\b|\[object/.test(error.message);

/** Gives mutated inputs to a task, which throws an error of its own kind for what is a fault. */
async function tryAll(
  { chance, tried, found }: Round,
  mutated: (chance: Chance) => Buffer,
  task: (input: Buffer) => Promise<void> | void,
): Promise<void> {
  for (let n = 0; n < A_ROUND; n++) {
    const input = mutated(chance);
    const started = performance.now();
    try {
      await inTime(task(input));
    } catch (error) {
      if (!isTold(error)) found(String((error as Error).stack ?? error).slice(0, 800), input);
    }
    if (performance.now() - started > SLOW) found(`took ${performance.now() - started} ms`, input);
  }
  tried(A_ROUND);
}

/** What waits for ever would end a process without a word. */
async function inTime(task: Promise<void> | void): Promise<void> {
  if (task === undefined) return;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((_, fail) => {
    timer = setTimeout(() => fail(new Wrong('never came to its end')), SLOW);
  });
  await Promise.race([task, late]).finally(() => clearTimeout(timer));
}

/** What a reader makes of an input; the message of what it refuses. */
function outcome<T>(task: () => T): T | string {
  try {
    return task();
  } catch (error) {
    if (!isTold(error)) throw error;
    return (error as Error).message;
  }
}

const either = (chance: Chance, inputs: readonly Buffer[]) =>
  chance() < 0.6
    ? mutatedJson(chance, oneOf(chance, inputs))
    : mutatedBytes(chance, oneOf(chance, inputs), oneOf(chance, inputs));

/** A document alone, on one line. */
const asDocument = (bytes: Buffer): Buffer | undefined => {
  try {
    const { value, lineFeed } = readJson(bytes, { maxDepth: 500 });
    return value.type === 'object' && !lineFeed ? bytes : undefined;
  } catch {
    return undefined;
  }
};

/** Thrown for a fault, so that it is never taken for an answer. */
class Wrong extends Error {}

function must(what: boolean, otherwise: string): void {
  if (!what) throw new Wrong(otherwise);
}

fuzzTest('parsers of JSON, posts and rows', async () => {
  const lines = documents();
  const rows = lines.map((line) =>
    Buffer.concat([
      Buffer.from('{"measurement_uid":null,"bucket_date":"2016-08-01","report_filename":"x",'),
      line.subarray(1),
    ]),
  );
  return async (round) => {
    await tryAll(
      round,
      (chance) => either(chance, lines),
      (input) => {
        const limits = { maxDepth: 100, names: ['test_keys', 'report_id'], keep: 2 };
        const [fast, exact] = [readJson, readExactly].map((reader) =>
          outcome(() => reader(Buffer.from(input), limits)),
        );
        if (isUtf8(input)) deepStrictEqual(fast, exact);
      },
    );
    await tryAll(
      round,
      (chance) => either(chance, posts),
      (input) => {
        const post = readPost(input, { maxDepth: 500, maxBytes: 1e6 });
        if (!post.readable) return must(post.reason !== '', 'no reason');
        must(!post.line.includes(0x0a), 'a line of two');
        JSON.parse(post.line.toString());
        if (post.within) must(input.subarray(post.within.start, post.within.end).equals(post.line), 'not within');
        must(post.line.equals(NO_LINE) || post.line[0] === 0x7b, 'no object');
      },
    );
    await tryAll(
      round,
      (chance) => either(chance, rows),
      (input) => {
        if (input.includes(0x0a)) return;
        const kept = Buffer.from(input);
        const row = outcome(() => parseRow(input));
        const opened = openRow(input);
        if (opened) {
          const { document } = opened;
          const isValid = asDocument(document) !== undefined;
          // What was opened quickly is what the reader of all rows finds, or no document.
          if (isValid && typeof row === 'object') {
            must(
              row.kind === 'measurement' && row.document.toString().trim() === document.toString().trim(),
              'another document',
            );
          }
          rowOf(input, opened);
        }
        must(input.equals(kept), 'a row is not put back as it came');
      },
    );
  };
});

fuzzTest('parsers of YAML', async () => {
  const reports = yamlReports.map(({ bytes }) => bytes);
  const frames = reports.flatMap((report) =>
    report
      .toString('latin1')
      .split(/^(?:---|\.\.\.)$/m)
      .filter((text) => text.trim() !== '')
      .map((text) => Buffer.from(text, 'latin1')),
  );
  const PIECES = [
    '&a ',
    '*a',
    '!!binary ',
    '!!python/object:os.system ',
    '!!set {',
    '<<: ',
    '? ',
    '- ',
    '{',
    '[',
    '|\n',
    '>-\n',
    '"',
    "'",
    '#',
    '%TAG ! x\n',
    '---\n',
    '...\n',
    '\t',
    ': ',
    '!!timestamp ',
    '!!float .nan',
    '0o7',
    '.inf',
    '1:30:00',
    '2013-02-30T25:61:61Z',
    '\n  ',
    '&a [*a, *a]',
  ];
  const mutated = (chance: Chance, inputs: readonly Buffer[]) => {
    const input = mutatedBytes(chance, oneOf(chance, inputs), oneOf(chance, inputs));
    if (chance() < 0.5) return input;
    const at = Math.floor(chance() * (input.length + 1));
    return Buffer.concat([input.subarray(0, at), Buffer.from(oneOf(chance, PIECES)), input.subarray(at)]);
  };
  const kernel = { took() {}, reject() {}, rejectInPieces: () => ({ write() {}, end() {} }), say() {}, tally() {} };
  return async (round) => {
    await tryAll(
      round,
      (chance) => mutated(chance, frames),
      (input) => {
        const limits = { maxBytes: 1e6, maxDepth: 100 };
        const textOf = (text: Buffer) =>
          outcome(() => {
            const document = readYaml(text, limits);
            return document.kind === 'mapping' ? document.json.toString() : `${document.kind}: ${document.what}`;
          });
        const fast = textOf(input);
        if (fast.startsWith('{')) JSON.parse(fast);
        // A comment is for the reader of all YAML alone, and changes nothing.
        if (/\n$/.test(input.toString('latin1')) && fast.startsWith('{'))
          must(fast === textOf(Buffer.concat([input, Buffer.from('#\n')])), 'the two readers differ');
        outcome(() => nameOfHeader(readYamlHeader(input), 'yaml', false));
      },
    );
    await tryAll(
      round,
      (chance) => mutated(chance, reports),
      async (input) => {
        for await (const { document } of yamlRecords(once(input), 'x.yaml', kernel, {
          maxLine: 1e6,
          maxDepth: 100,
          maxInflated: 1e8,
        })) {
          must(!document.includes(0x0a), 'a record of two lines');
          JSON.parse(document.toString());
        }
      },
    );
  };
});

fuzzTest('rules of records', async () => {
  const lines = documents();
  const bridges = new BridgeDatabase(readBridges(read(BRIDGES)));
  const sanitisers = [
    new Sanitiser(bridges, {
      ...{
        unknown: 'redact',
        key: undefined,
        search: true,
        probeIp: true,
        resolver: false,
        scrubs: [],
        annotations: undefined,
      },
    }),
    new Sanitiser(bridges, {
      ...{ unknown: 'drop', key: Buffer.alloc(16, 1), search: true, probeIp: true, resolver: true },
      ...{ scrubs: ['endpoint', 'mail', 'mac'], annotations: ['platform'] },
    }),
  ];
  return (round) =>
    tryAll(
      round,
      (chance) => mutatedJson(chance, oneOf(chance, lines)),
      (input) => {
        const document = asDocument(input);
        if (!document) return;
        for (const compat of [false, true]) {
          const { document: pieces } = normalise(
            Buffer.from(document),
            { bucket_date: null, report_filename: null },
            { compat, now: '2026-01-01 00:00:00' },
          );
          const text = Buffer.concat(pieces);
          must(asDocument(text) !== undefined, 'what is normalised is no document on one line');
        }
        for (const sanitiser of sanitisers) {
          const { document: clean } = sanitiser.sanitise(Buffer.from(document));
          if (!clean) continue;
          must(asDocument(clean) !== undefined, 'what is sanitised is no document on one line');
          const again = sanitiser.sanitise(Buffer.from(clean));
          must(again.document?.equals(clean) === true, 'not done the first time');
        }
      },
    );
});

fuzzTest('gzip and tar', async (t) => {
  const { jsonl, postcans, tars } = packed(t);
  return async (round) => {
    await tryAll(
      round,
      (chance) =>
        chance() < 0.7
          ? mutatedBytes(chance, oneOf(chance, jsonl), oneOf(chance, postcans))
          : mutatedWithin(chance, oneOf(chance, jsonl), (c, text) => mutatedBytes(c, text, text)),
      async (input) => {
        const reader = new ByteReader(once(input));
        const pieces: Buffer[] = [];
        try {
          while ((await reader.peek(1)).length > 0)
            for await (const text of memberText(reader, { offset: 0, length: 0, plainHeader: false }))
              pieces.push(text);
        } catch (error) {
          if (!isTold(error)) throw error;
          return;
        }
        // What is whole to one reader is the same to the other.
        must(
          Buffer.concat(pieces).equals(input.length === 0 ? input : gunzipSync(input)),
          'other text than zlib reads',
        );
      },
    );
    await tryAll(
      round,
      (chance) => {
        const frame = lz4Frame(oneOf(chance, tars), { blockSums: chance() < 0.3, linked: chance() < 0.7 });
        return mutatedBytes(chance, frame, oneOf(chance, jsonl));
      },
      async (input) => {
        let bytes = 0;
        for await (const text of decodeLz4(once(input), 1e7)) bytes += text.length;
        must(bytes <= 1e7, 'more than the limit');
      },
    );
    await tryAll(
      round,
      (chance) => {
        const tar = oneOf(chance, tars);
        const bad = chance() < 0.6 ? mutatedTar(chance, tar) : mutatedBytes(chance, tar, oneOf(chance, tars));
        return chance() < 0.3 ? gzipSync(bad, { level: 1 }) : bad;
      },
      async (input) => {
        let bytes = 0;
        for await (const { name, body, size } of tarMembers(unpacked(once(input), 1e8))) {
          must(typeof name === 'string' && Number.isFinite(size), 'a member without a name or size');
          if (name.length % 2 === 0) continue; // some are left unread
          for await (const piece of body) bytes += piece.length;
        }
        must(bytes <= 1e8, 'more than there is');
      },
    );
  };
});

fuzzTest('names, logs and requests', async (t) => {
  const database = read(BRIDGES);
  const kept = rejects(t)
    .toString()
    .trim()
    .split('\n')
    .map((line) => Buffer.from(line));
  const sha256 = 'a'.repeat(64);
  const manifest = Buffer.from(
    ['a.json', 'b c.yaml', 'ü.json']
      .map((name) => manifestLine({ name, size: 7, sha256, from: `/x/${name}`, at: '2024-02-01T12:00:00.000Z' }))
      .join(''),
  );
  const log = Buffer.from(
    `a.json\t/x/b.json\t{"outcome":"renamed","at":"2024-02-01T12:00:00.000Z","bytes":7,"sha256":"${sha256}"}`,
  );
  const requests = [
    '20240201101506.402117_IT_webconnectivity_ce0ee03a1183bac2',
    '{"report_id":"r","input":"i"}',
    '{"measurement_uid":null,"bucket_date":null,"report_filename":null,"report_id":"r"}',
  ].map((text) => Buffer.from(text));
  const names = [
    '2021081715_US_webconnectivity.n0.0',
    '20160801_IT_ndt.x.0123456789abcdef',
    '2021081715_US_webconnectivity',
    'raw/20210817/15/US/webconnectivity/2021081715_US_webconnectivity.n0.0.tar.gz',
    'jsonl/ndt/IT/20160801/00/20160801_IT_ndt.x.0123456789abcdef.jsonl.gz',
    '20210208220710.181572_MA_ndt_7888edc7748936bf.post',
    '20160801T010000Z-tcp_connect-20160801T010000Z_AS3269_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWX-AS3269-IT-probe-0.2.0.json',
    'http_requests-2013-11-01T120000Z-AS30722-probe.yamloo',
  ].map((text) => Buffer.from(text));
  return async (round) => {
    await tryAll(
      round,
      (chance) =>
        mutatedBytes(
          chance,
          oneOf(chance, names),
          chance() < 0.5 ? oneOf(chance, names) : Buffer.from(oneOf(chance, HOSTILE_TEXTS)),
        ),
      (input) => {
        const name = input.toString();
        const can = parseCanName(name);
        if (can) must(canName(can) === name && isSafe(keyFolder(can)) && isSafe(name), 'a can of another name');
        const hour = parseHourFolder(name);
        if (hour) must(hourFolder(hour) === name && isSafe(name), 'an hour folder of another name');
        const key = parseKey(name);
        if (key) must(name.split('/').every(isSafe), 'a key that leads elsewhere');
        if (parsePostName(name)) must(isSafe(name), 'a post that lies elsewhere');
        parseReportName(name);
      },
    );
    const readers: [readonly Buffer[], (input: Buffer) => unknown][] = [
      [[database], readBridges],
      [kept, parseReject],
      [[manifest], parseManifest],
      [requests, parseRequest],
      [[log], (input) => parseLogLine(input.toString())],
    ];
    for (const [inputs, reader] of readers)
      await tryAll(
        round,
        (chance) => either(chance, inputs),
        (input) => void reader(input),
      );
    await tryAll(
      round,
      () => Buffer.alloc(0),
      () => {
        const text = () => oneOf(round.chance, [...HOSTILE_TEXTS, 'IT', 'AS1', 'ndt', '0.1', '2016-08-01 00:00:00']);
        const header = Object.fromEntries(
          [
            'test_name',
            'probe_cc',
            'probe_asn',
            'report_id',
            'start_time',
            'test_start_time',
            'software_version',
            'data_format_version',
            'format_version',
          ].map((key) => [
            key,
            oneOf(round.chance, [text(), text(), null, 7, true, 1e300, Buffer.from([255]), [], {}]),
          ]),
        );
        const naming = nameOfHeader(header, 'json', false);
        if (!('parts' in naming)) return;
        for (const layout of ['seed', 'pipeline'] as const) {
          const name = reportName(naming.parts, layout);
          must(isSafe(name) && Buffer.byteLength(name) <= 255, `a name that leads elsewhere: ${name}`);
        }
      },
    );
  };
});

/** A part of a path that leads nowhere else. */
const isSafe = (name: string) =>
  /^[A-Za-z0-9._/~+-]+$/.test(name) &&
  !name.split('/').includes('..') &&
  !name.startsWith('/') &&
  !name.startsWith('.');
