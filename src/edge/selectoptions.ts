// The options of `select`, and what they mean.
import { columnOf, type Field, USUAL_NAMES } from '../record/fields.ts';
import { PARTITIONS, type Partition, partitionBy } from '../record/partitions.ts';
import { parseWhere, type Where, WhereError } from '../record/where.ts';
import { UsageError } from '../stream/errors.ts';
import { choice, flag, list, longOf, number, type OptionSpec, text } from '../stream/verb.ts';
import { TABLES } from './tables.ts';

const where: OptionSpec<string[]> = {
  flags: '--where <expression>',
  text: 'only measurements of which this holds, as "cc = IT and time >= 2024-02-01"',
  parse: (given, before) => [...before, given],
  initial: [],
};

/** Names, separated by commas, of which none may come twice. */
function distinct<T>(
  flags: string,
  help: string,
  of: (name: string) => T,
  nameOf: (one: T) => string,
  choices: readonly string[],
): OptionSpec<T[]> {
  const names = list(flags, help);
  const parse = (given: string, before: T[]) => {
    const all = [...before, ...names.parse(given, []).map(of)];
    const twice = all.find((one, i) => all.findIndex((other) => nameOf(other) === nameOf(one)) < i);
    if (twice) throw new UsageError(`${longOf(flags)}: '${nameOf(twice)}' comes twice`);
    return all;
  };
  return { ...names, parse, initial: [], choices: () => choices };
}

function fieldNamed(name: string): Field {
  try {
    return columnOf(name);
  } catch (error) {
    throw new UsageError(`--fields: ${(error as Error).message}`);
  }
}

function partitionNamed(name: string): Partition {
  const by = PARTITIONS.find((known) => known === name);
  if (!by) throw new UsageError(`--partition: of ${PARTITIONS.join(', ')}, not '${name}'`);
  return partitionBy(by);
}

export const SELECT = {
  where,
  anyName: flag('--any-name', 'in --where: take countries, tests and fields that nobody knows'),
  fields: distinct(
    '--fields <names>',
    'of a table: its columns, as cc,asn,test_keys.blocking',
    fieldNamed,
    ({ name }) => name,
    USUAL_NAMES,
  ),
  to: choice('--to <format>', 'a table in the place of rows', TABLES),
  out: text('--out <path>', 'a new file for the table, or with --partition a new folder'),
  partition: distinct(
    '--partition <names>',
    `a file for each: ${PARTITIONS.join(', ')}`,
    partitionNamed,
    ({ by }) => by,
    PARTITIONS,
  ),
  guard: {
    ...flag('--no-guard', 'in csv: leave texts that a spreadsheet takes for formulas as they are'),
    initial: true,
  },
  dropBodies: flag('--drop-bodies', 'take the bodies of requests and responses out'),
  keepHash: flag('--keep-hash', 'leave SHA-256 and length where a body was'),
  sample: { ...number('--sample <n>', 'so many of the measurements, by chance', 0, 1, 1_000_000), shown: 'all' },
  seed: { ...number('--seed <n>', 'another sample', 0, 0, 2 ** 32), initial: undefined, shown: '0' } as OptionSpec<
    number | undefined
  >,
  end: flag('--end', 'close rows of files with an end row, for postcan --rows'),
};

/** @throws UsageError */
export function whereOf(expression: string, anyName: boolean): Where {
  try {
    return parseWhere(expression, anyName);
  } catch (error) {
    if (error instanceof WhereError) throw new UsageError(`--where: ${error.message}`);
    throw error;
  }
}

/** What `refuseMisfits` looks at. */
interface Given {
  to: string | undefined;
  out: string | undefined;
  fields: unknown[];
  partition: unknown[];
  sample: number;
  seed: number | undefined;
  guard: boolean;
  dropBodies: boolean;
  keepHash: boolean;
  end: boolean;
}

/**
 * @param fromFiles the measurements come from files, not as rows
 * @throws UsageError for an option without the one that it belongs to
 */
export function refuseMisfits(options: Given, fromFiles: boolean): void {
  const { to, out, fields, partition, sample, seed, guard, dropBodies, keepHash, end } = options;
  const needs = (given: boolean, name: string, wanted: boolean, other: string) => {
    if (given && !wanted) throw new UsageError(`${name} goes with ${other}`);
  };
  needs(fields.length > 0, '--fields', to !== undefined, '--to csv, jsonl or parquet');
  needs(out !== undefined, '--out', to !== undefined, '--to csv, jsonl or parquet');
  needs(partition.length > 0, '--partition', out !== undefined, '--out, which names a folder then');
  needs(keepHash, '--keep-hash', dropBodies, '--drop-bodies');
  needs(seed !== undefined, '--seed', sample > 0, '--sample');
  needs(end, '--end', to === undefined && fromFiles, 'files, and without --to');
  needs(!guard, '--no-guard', to === 'csv', '--to csv');
}
