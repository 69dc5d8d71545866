import { IndexDb } from '../edge/index-db.ts';
import { type Answer, describeRequest, isUidText, Lookup, parseRequest, type Request } from '../edge/requests.ts';
import { giveRoom } from '../edge/rooms.ts';
import { accessOf, openSource, type Store } from '../edge/store.ts';
import { measurementRow } from '../record/rows.ts';
import { UsageError } from '../stream/errors.ts';
import { ahead, orderedMap } from '../stream/ordered.ts';
import type { Stage } from '../stream/stage.ts';
import { flag, number, text, verb } from '../stream/verb.ts';

/** Requests that are read before their turn, so that a can that is read from its beginning is read once for many. */
const AHEAD = 10_000;

/** A request, or why it is none, with the bytes that it came as, for the rejects. */
interface Asked {
  request: Request | Error;
  line: number | null;
  bytes: Buffer;
}

export default verb({
  summary: 'look up measurements by uid, or by report_id and input, in one small read each',
  operands: '[UID...]',
  options: {
    index: text('--index <db>', 'the index'),
    store: text('--store <store>', 'where the cans are (default: the store that the index names)'),
    reportId: text('--report-id <id>', 'all measurements of this report'),
    input: text('--input <input>', 'with --report-id: those of this input'),
    raw: flag('--raw', 'the documents alone, without the three members in front'),
    jobs: number('--jobs <n>', 'look-ups under way at once', 4, 1, 64),
    anonymous: flag('--anonymous', 'of S3: sign no request, whatever credentials there are'),
    attempts: number('--attempts <n>', 'tries of one request to the store', 20, 1, 1000),
  },
  async run(stage, uids, options) {
    const { reportId, input, store: given, jobs } = options;
    if (options.index === undefined) throw new UsageError('--index is missing');
    if (reportId !== undefined && uids.length > 0) throw new UsageError('uids or --report-id, not both');
    if (input !== undefined && reportId === undefined) throw new UsageError('--input goes with --report-id');
    for (const uid of uids) if (!isUidText(uid)) throw new UsageError(`'${uid}' is no uid`);
    const index = new IndexDb(options.index, 'read');
    const stores = new Map<string, Promise<Store>>();
    const storeOf = (name: string) => {
      const spec = given ?? name;
      if (!stores.has(spec)) stores.set(spec, openSource(spec, accessOf(stage, options)));
      return stores.get(spec)!;
    };
    const lookup = new Lookup(index, storeOf, stage.maxLine);
    try {
      const give = async (one: Asked, answer: Answer) => {
        if ('reason' in answer) {
          const { request, line, bytes } = one;
          const reason = request instanceof Error ? request.message : `${describeRequest(request)}: ${answer.reason}`;
          stage.reject({ as: 'request', file: null, line, reason }, bytes);
          return;
        }
        const { found, line } = answer;
        const { measurement_uid } = found;
        const provenance = { measurement_uid, bucket_date: null, report_filename: null };
        await stage.emit(...(options.raw ? [line] : measurementRow(provenance, line)));
        giveRoom(line);
      };
      const expect = ({ request }: Asked) => {
        if (!(request instanceof Error)) lookup.expect(request);
      };
      if (reportId !== undefined) {
        // A report may be large: each measurement is given as it is read.
        const request = { reportId, ...(input === undefined ? {} : { input }) };
        lookup.expect(request);
        for await (const answer of lookup.answers(request)) await give(ask(request), answer);
        return;
      }
      const asked = uids.length > 0 ? each(uids.map((uid) => ask({ uid }))) : requests(stage);
      const read = async (one: Asked) => {
        const { request } = one;
        return {
          one,
          answers: request instanceof Error ? [{ reason: request.message }] : await lookup.answer(request),
        };
      };
      type Read = Awaited<ReturnType<typeof read>>;
      for await (const { one, answers } of orderedMap<Asked, Read>(ahead(asked, AHEAD, expect), read, {
        concurrency: jobs,
      })) {
        for (const answer of answers) await give(one, answer);
      }
    } finally {
      index.close();
      for (const store of stores.values()) (await store).close();
    }
  },
});

function ask(request: Request): Asked {
  const row =
    'uid' in request ? { measurement_uid: request.uid } : { report_id: request.reportId, input: request.input };
  return { request, line: null, bytes: Buffer.from(JSON.stringify(row)) };
}

async function* each<T>(items: T[]): AsyncGenerator<T> {
  yield* items;
}

async function* requests(stage: Stage): AsyncGenerator<Asked> {
  for await (const { number: line, bytes } of stage.rows())
    yield { request: requestOf(bytes), line, bytes: Buffer.from(bytes) };
}

function requestOf(bytes: Buffer): Request | Error {
  try {
    return parseRequest(bytes);
  } catch (error) {
    return error as Error;
  }
}
