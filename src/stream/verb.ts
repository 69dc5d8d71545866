import { UsageError } from './errors.ts';
import type { Stage } from './stage.ts';

/** One option, declared once: help, parsing and the man page's test read it here. */
export interface OptionSpec<T> {
  /** commander's form, e.g. `--max-bytes <bytes>`; its camel-cased name is the key in `options`. */
  flags: string;
  text: string;
  parse: (given: string, before: T) => T;
  initial: T;
  /** Shown in help after the text. */
  shown?: string;
  /** What a shell offers. */
  choices?: () => readonly string[];
  /** Several may be given, separated by commas. */
  many?: boolean;
}

type Values<O> = { [K in keyof O]: O[K] extends OptionSpec<infer T> ? T : never };

// biome-ignore lint/suspicious/noExplicitAny: each option has a type of its own
export type Options = Record<string, OptionSpec<any>>;

export interface Verb<O extends Options = Options> {
  /** One line, for `cannery --help` and the man page's NAME. */
  summary: string;
  /** Operands as in the SYNOPSIS, e.g. `PATH...`, `[FILE...]`; empty where there are none. */
  operands: string;
  options: O;
  run(stage: Stage, operands: string[], options: Values<O>): Promise<void>;
}

/** Gives `run` the types of the declared options. */
export function verb<O extends Options>(definition: Verb<O>): Verb<O> {
  return definition;
}

// --- kinds of option

export function flag(flags: string, text: string): OptionSpec<boolean> {
  return { flags, text, parse: () => true, initial: false };
}

export function text(flags: string, help: string): OptionSpec<string | undefined> {
  return { flags, text: help, parse: (given) => given, initial: undefined };
}

/** One of some names. */
export function choice<T extends string>(flags: string, help: string, choices: readonly T[]): OptionSpec<T | undefined>;
export function choice<T extends string>(flags: string, help: string, choices: readonly T[], initial: T): OptionSpec<T>;
export function choice<T extends string>(
  flags: string,
  help: string,
  choices: readonly T[],
  initial?: T,
): OptionSpec<T | undefined> {
  const parse = (given: string) => {
    const known = choices.find((name) => name === given);
    if (known === undefined) throw new UsageError(`${longOf(flags)}: one of ${choices.join(', ')}, not '${given}'`);
    return known;
  };
  const shown = initial === undefined ? {} : { shown: initial };
  return { flags, text: `${help}: ${choices.join(', ')}`, parse, initial, choices: () => choices, ...shown };
}

/**
 * Given several times, or separated by commas.
 * @param choices what a shell offers; others are for `check` to refuse
 */
export function list(
  flags: string,
  help: string,
  check: (item: string) => string = (s) => s,
  choices?: () => readonly string[],
): OptionSpec<string[]> {
  const parse = (given: string, before: string[]) => {
    const items = given.split(',').map((item) => item.trim());
    if (items.includes('')) throw new UsageError(`${longOf(flags)}: an empty name in '${given}'`);
    return [...before, ...items.map(check)];
  };
  return { flags, text: help, parse, initial: [], many: true, ...(choices && { choices }) };
}

/** An option's name as it is typed. */
export function longOf(flags: string): string {
  return flags.split(' ')[0]!;
}

/** A whole number. */
export function number(flags: string, help: string, initial: number, min: number, max: number): OptionSpec<number> {
  return numeric(/^[0-9]+$/, flags, help, initial, min, max);
}

/** A time in seconds, with a fraction or without. */
export function seconds(flags: string, help: string, initial: number, max: number): OptionSpec<number> {
  return numeric(/^[0-9]+(?:\.[0-9]+)?$/, flags, help, initial, 0, max);
}

function numeric(
  form: RegExp,
  flags: string,
  help: string,
  initial: number,
  min: number,
  max: number,
): OptionSpec<number> {
  const parse = (given: string) => {
    const n = form.test(given) ? Number(given) : Number.NaN;
    if (!(n >= min && n <= max))
      throw new UsageError(`${longOf(flags)}: a number from ${min} to ${max}, not '${given}'`);
    return n;
  };
  return { flags, text: help, parse, initial, shown: String(initial) };
}

const UNITS: Record<string, number> = { '': 1, k: 1e3, K: 1024, M: 1e6, G: 1e9 };

/** A size: `20000000`, `20M`, `64K` (K is 1024, k is 1000). */
export function bytes(flags: string, help: string, initial: number): OptionSpec<number> {
  const parse = (given: string) => {
    const [, digits, unit] = /^([0-9]{1,15})([kKMG]?)$/.exec(given) ?? [];
    const n = Number(digits) * (UNITS[unit ?? ''] ?? Number.NaN);
    if (!(n >= 1)) throw new UsageError(`${longOf(flags)}: a size such as 20000000 or 20M, not '${given}'`);
    return n;
  };
  return { flags, text: help, parse, initial, shown: String(initial) };
}

/** Options of every verb. */
export const COMMON = {
  quiet: flag('--quiet', 'no progress bar'),
  progress: flag('--progress', 'draw the progress bar here, though stdout is a pipe'),
  stats: flag('--stats', 'one JSON line of counts on stderr at the end'),
  rejects: text('--rejects <file>', 'append what could not go on to FILE, one row each'),
  maxLine: bytes('--max-line <bytes>', 'longest line or document', 268435456),
};
