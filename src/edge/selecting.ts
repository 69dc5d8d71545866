// The options that select files, declared once for the verbs that have them.
import { dayOrHour } from '../record/moments.ts';
import { compactTest } from '../record/names.ts';
import { countryCodes, isKnownCountry, isKnownTest, nearCountries, nearTests } from '../record/near.ts';
import { KNOWN_TESTS } from '../record/testnames.ts';
import { UsageError } from '../stream/errors.ts';
import { flag, list, type OptionSpec } from '../stream/verb.ts';
import { KINDS, type Kind } from './listing.ts';

/** Without --kind, each measurement once: posts, lines of cans and reports, but no postcans. */
const USUAL: Kind[] = ['post', 'jsonl', 'report'];
/** In a bucket reports could lie under every key. */
const USUAL_OF_BUCKET: Kind[] = ['jsonl'];

function parseMoment(given: string): number {
  const time = dayOrHour(given);
  if (time === undefined) throw new UsageError(`'${given}' is neither a day (2024-02-01) nor an hour (2024-02-01T10)`);
  return time;
}

const moment = (flags: string, text: string): OptionSpec<number | undefined> => ({
  flags,
  text,
  parse: parseMoment,
  initial: undefined,
});

function country(given: string): string {
  if (/^[A-Za-z]{2}$/.test(given)) return given.toUpperCase();
  throw new UsageError(`--cc: two letters, not '${given}'${near(nearCountries(given))}`);
}

/** As --kind names them. */
const KIND_NAMES: readonly string[] = [...KINDS, 'can', 'all'];

function kindsOf(given: string): string {
  if (KIND_NAMES.includes(given)) return given;
  throw new UsageError(`--kind: one of ${KIND_NAMES.join(', ')}, not '${given}'`);
}

export const SELECTING = {
  cc: list('--cc <countries>', 'only these countries, as IT,IR', country, countryCodes),
  test: list(
    '--test <names>',
    'only these tests, as web_connectivity or webconnectivity',
    (name) => compactTest(name).toLowerCase(),
    () => KNOWN_TESTS,
  ),
  from: moment('--from <time>', 'from this day or hour on (arrival or upload, UTC)'),
  to: moment('--to <time>', 'up to this day or hour, which is not in it'),
  measuredFrom: moment('--measured-from <time>', 'what can have been measured from this day or hour on'),
  measuredTo: moment('--measured-to <time>', 'what can have been measured before this day or hour'),
  kind: list(
    '--kind <kinds>',
    `only these: ${KIND_NAMES.join(', ')} (default: ${USUAL.join(',')})`,
    kindsOf,
    () => KIND_NAMES,
  ),
  anyName: flag('--any-name', 'in a bucket: take names of countries and tests that nobody knows'),
};

/** Names of --kind → kinds; `can` is both halves. */
export function expandKinds(names: string[], ofBucket: boolean): Kind[] {
  if (names.length === 0) return ofBucket ? USUAL_OF_BUCKET : USUAL;
  return names.flatMap((name): Kind[] =>
    name === 'all' ? [...KINDS] : name === 'can' ? ['jsonl', 'postcan'] : [name as Kind],
  );
}

/** A bucket has no list of what is in it: a name that is written wrong would be looked for in vain, for minutes. @throws UsageError */
export function refuseUnknown({ cc, test }: { cc: string[]; test: string[] }): void {
  const refuse = (what: string, names: string[]) => {
    throw new UsageError(`${what} is known${near(names)} (--any-name looks for it as it is)`);
  };
  for (const code of cc) if (!isKnownCountry(code)) refuse(`--cc: no country '${code}'`, nearCountries(code));
  for (const name of test) if (!isKnownTest(name)) refuse(`--test: no test '${name}'`, nearTests(name));
}

function near(names: string[]): string {
  return names.length === 0 ? '' : `; near: ${names.join(', ')}`;
}
