import { type Overview, overview } from '../edge/overview.ts';
import { UsageError } from '../stream/errors.ts';
import { humanBytes } from '../stream/progress.ts';
import { flag, text, verb } from '../stream/verb.ts';

export default verb({
  summary: 'show on one page what waits, what is under way and what a person must look at',
  operands: '',
  options: {
    spool: text('--spool <dir>', 'the folder of the posts'),
    to: text('--to <dir>', 'the outgoing folder'),
    json: flag('--json', 'as one row'),
  },
  async run(stage, _, { spool, to, json }) {
    if (to === undefined) throw new UsageError('--to is missing');
    const seen = overview(spool, to);
    if (json) await stage.receipt(seen);
    else for (const line of page(seen, Date.now())) await stage.emit(line);
    for (const can of seen.outgoing.held)
      stage.finding(
        can,
        `held: the store has other bytes under its name, so this may be the only copy; when the object is the wrong one, take it away, move ${to}/held/${can} to ${to}/ready/, and run again`,
      );
    if (seen.spool && seen.spool.strays > 0)
      stage.finding(spool!, `${seen.spool.strays} in ${spool}/../strays, which only look like posts`);
  },
});

/** The page, line by line. */
export function page({ spool, outgoing }: Overview, now: number): string[] {
  const lines: [string, string][] = [];
  if (spool) {
    lines.push(['spool', spool.path]);
    lines.push(['  posts', `${spool.posts} in ${spool.folders} hour folders, ${humanBytes(spool.bytes)}`]);
    lines.push(['  oldest hour', spool.oldest_hour ?? 'nothing waits']);
    lines.push([
      '  others',
      `${spool.unfinished} being written, ${spool.strangers} strangers, ${spool.strays} moved to strays`,
    ]);
  }
  lines.push(
    ['outgoing', outgoing.path],
    ['  host', outgoing.host ?? '-'],
    ['  store', outgoing.store ?? '-'],
    ['  index', outgoing.index ?? '-'],
  );
  for (const [state, { cans, bytes }] of Object.entries(outgoing.cans)) {
    lines.push([`  ${state}`, `${cans} cans${cans > 0 ? `, ${humanBytes(bytes)}` : ''}`]);
  }
  const age =
    outgoing.newest_upload === null
      ? 'none yet'
      : `${duration(now - Date.parse(outgoing.newest_upload))} ago (${outgoing.newest_upload})`;
  lines.push(['  newest upload', age]);
  return lines.map(([name, value]) => `${name.padEnd(16)} ${value}`);
}

function duration(ms: number): string {
  const minutes = Math.max(Math.floor(ms / 60_000), 0);
  if (minutes < 60) return `${minutes} min`;
  return minutes < 48 * 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${Math.floor(minutes / 1440)} days`;
}
