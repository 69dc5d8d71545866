import { IndexDb } from '../edge/index-db.ts';
import { describeRequest, type Hit, isUidText, Lookup, parseRequest, type Request } from '../edge/requests.ts';
import { once } from '../edge/source.ts';
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
    const give = async ({ found, line }: Hit) => {
      const { measurement_uid } = found;
      const provenance = { measurement_uid, bucket_date: null, report_filename: null };
      await stage.emit(...(options.raw ? [line] : measurementRow(provenance, line)));
    };
    const refuse = ({ line, bytes }: Asked, reason: string) =>
      stage.reject({ as: 'request', file: null, line, reason }, bytes);
    const expect = ({ request }: Asked) => {
      if (!(request instanceof Error)) lookup.expect(request);
    };
    const bring = async (one: Asked) => {
      if (!(one.request instanceof Error)) await lookup.prefetch(one.request);
      return one;
    };
    const report = reportId === undefined ? undefined : { reportId, ...(input === undefined ? {} : { input }) };
    const named = report ? [report] : uids.map((uid) => ({ uid }));
    const asked = named.length > 0 ? once(named.map(ask)) : requests(stage);
    try {
      for await (const one of orderedMap(ahead(asked, AHEAD, expect), bring, { concurrency: jobs })) {
        const { request } = one;
        if (request instanceof Error) {
          refuse(one, request.message);
          continue;
        }
        // A report may be large: each measurement is given as it is read.
        for await (const answer of lookup.answers(request)) {
          if ('reason' in answer) refuse(one, `${describeRequest(request)}: ${answer.reason}`);
          else await give(answer);
        }
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

async function* requests(stage: Stage): AsyncGenerator<Asked[]> {
  for await (const rows of stage.rowsAtOnce())
    yield rows.map(({ number: line, bytes }) => ({ request: requestOf(bytes), line, bytes: Buffer.from(bytes) }));
}

function requestOf(bytes: Buffer): Request | Error {
  try {
    return parseRequest(bytes);
  } catch (error) {
    return error as Error;
  }
}
