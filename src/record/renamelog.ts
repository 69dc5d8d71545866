// Lines of rename.log: `TARGET<tab>SOURCE<tab>{…}`. The first two are for people and for cut(1); a name may hold
// tabs and line feeds, so those are escaped.

export const OUTCOMES = ['renamed', 'collision', 'duplicate', 'failed', 'empty', 'invalid'] as const;
/** What became of a report; the last three lie aside, for they have no name. */
export type Outcome = (typeof OUTCOMES)[number];

export interface LogEntry {
  /** Below the folder of the log, as `NAME` or `.errored/failed/NAME`. */
  target: string;
  /** Absolute path. */
  source: string;
  /** `undone`: a move that an earlier line tells of was taken back. */
  outcome: Outcome | 'undone';
  /** ISO 8601, UTC. */
  at: string;
  bytes: number;
  sha256: string;
  /** Parts of the name that the header does not say. */
  substituted?: Record<string, string>;
  /** Why it has no name. */
  reason?: string;
}

const ESCAPED: Record<string, string> = { '\\': '\\\\', '\t': '\\t', '\n': '\\n', '\r': '\\r' };
const PLAIN = Object.fromEntries(Object.entries(ESCAPED).map(([plain, escaped]) => [escaped, plain]));

export function logLine({ target, source, ...details }: LogEntry): string {
  const escaped = [target, source].map((path) => path.replace(/[\\\t\n\r]/g, (c) => ESCAPED[c]!));
  return `${escaped.join('\t')}\t${JSON.stringify(details)}\n`;
}

/** @param line without its line feed. @returns undefined for what is no line of a log */
export function parseLogLine(line: string): LogEntry | undefined {
  const [, ...fields] = /^([^\t]+)\t([^\t]+)\t(\{.*\})$/.exec(line) ?? [];
  if (fields.length === 0) return undefined;
  const [target, source] = fields.slice(0, 2).map((text) => text.replace(/\\[\\tnr]/g, (c) => PLAIN[c]!));
  try {
    const { outcome, at, bytes, sha256 } = JSON.parse(fields[2]!) as LogEntry;
    const good =
      (outcome === 'undone' || OUTCOMES.includes(outcome)) &&
      Number.isSafeInteger(bytes) &&
      /^[0-9a-f]{64}$/.test(sha256) &&
      isTarget(target!) &&
      isAbsolute(source!);
    return good ? { target: target!, source: source!, outcome, at, bytes, sha256 } : undefined;
  } catch {
    return undefined;
  }
}

/** Where reports without a name lie; hidden, so that nothing that lists reports takes them for good ones. */
export const ERRORED = '.errored';

const isName = (part: string) => part !== '' && part !== '.' && part !== '..' && !part.includes('\0');

/** A path that leads nowhere but into the folder of the log. */
function isTarget(path: string): boolean {
  const parts = path.split('/');
  const aside = parts.length === 3 && parts[0] === ERRORED && (OUTCOMES as readonly string[]).includes(parts[1]!);
  return (parts.length === 1 || aside) && parts.every(isName);
}

function isAbsolute(path: string): boolean {
  return path.startsWith('/') && path.slice(1).split('/').every(isName);
}

/** The moves that stand, newest first: what was undone since does not. */
export function standingMoves(entries: LogEntry[]): LogEntry[] {
  const standing = new Map<string, LogEntry>();
  for (const entry of entries) {
    const key = `${entry.target}\0${entry.source}`;
    standing.delete(key); // a map keeps its order: the newest move stands last
    if (entry.outcome !== 'undone') standing.set(key, entry);
  }
  return [...standing.values()].reverse();
}
