// What a person may have meant by a name that nobody knows.
import { compactTest } from './names.ts';
import { KNOWN_TESTS } from './testnames.ts';

let names: Intl.DisplayNames | undefined;

/** Name of a country, or the code again. The table takes longer to load than node takes to start. */
function nameOf(code: string): string {
  names ??= new Intl.DisplayNames(['en'], { type: 'region' });
  return names.of(code)!;
}

/** Code → name of every country that has one today; names like UK, which mean another's, are none. */
function countries(): Map<string, string> {
  const found = new Map<string, string>();
  for (let n = 0; n < 26 * 26; n++) {
    const code = String.fromCharCode(65 + Math.floor(n / 26), 65 + (n % 26));
    if (isKnownCountry(code)) found.set(code, nameOf(code));
  }
  return found;
}

/** Of every country that has one today. */
export function countryCodes(): string[] {
  return [...countries().keys()];
}

/** Two capitals → true for a country of today, and ZZ, which is unknown. XA and XB are of the tables' own tests. */
export function isKnownCountry(code: string): boolean {
  return !/^X[AB]$/.test(code) && nameOf(code) !== code && Intl.getCanonicalLocales(`und-${code}`)[0] === `und-${code}`;
}

/** Countries that a text may mean, as `GB (United Kingdom)`: by an older code, by name, or by one letter. */
export function nearCountries(given: string): string[] {
  const all = countries();
  const told = (code: string) => `${code} (${all.get(code)})`;
  if (/^[A-Za-z]{2}$/.test(given)) {
    const [, meant = ''] = Intl.getCanonicalLocales(`und-${given}`)[0]!.split('-');
    if (all.has(meant)) return [told(meant)];
    const [first, second] = given.toUpperCase();
    return [...all.keys()]
      .filter(
        (code) => code === `${second}${first}` || (code[0] === first && distance(code, given.toUpperCase()) === 1),
      )
      .map(told)
      .slice(0, 8);
  }
  const plain = (text: string) => text.toLowerCase().replace(/[^\p{L}]/gu, '');
  const wanted = plain(given);
  if (wanted.length < 4) return [];
  return [...all.entries()]
    .filter(([, name]) => plain(name).startsWith(wanted) || distance(plain(name), wanted) <= wanted.length / 4)
    .map(([code]) => told(code));
}

/** True for a compact name that a test is known to have had. */
export function isKnownTest(compact: string): boolean {
  return COMPACT.has(compact);
}

const COMPACT = new Map(KNOWN_TESTS.map((name) => [compactTest(name), name]));

/** Known tests that a compact name may mean, the nearest first. */
export function nearTests(compact: string): string[] {
  return [...COMPACT.entries()]
    .map(([known, name]) => ({ name, far: known.includes(compact) ? 1 : distance(known, compact) }))
    .filter(({ name, far }) => far <= Math.max(1, Math.floor(name.length / 4)))
    .sort((a, b) => a.far - b.far)
    .map(({ name }) => name)
    .slice(0, 3);
}

/** Names that another may mean, the nearest first. */
export function nearNames(given: string, names: readonly string[]): string[] {
  return names
    .map((name) => ({ name, far: distance(name, given) }))
    .filter(({ name, far }) => far <= Math.max(1, Math.floor(name.length / 3)))
    .sort((a, b) => a.far - b.far)
    .map(({ name }) => name)
    .slice(0, 3);
}

/** How many letters must be put in, taken out, changed, or swapped with the next, to make one text of the other. */
export function distance(a: string, b: string): number {
  let older: number[] = [];
  let old = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = old[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      let least = Math.min(change, old[j]! + 1, row[j - 1]! + 1);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) least = Math.min(least, older[j - 2]! + 1);
      row.push(least);
    }
    older = old;
    old = row;
  }
  return old[b.length]!;
}
