// Members that tell the probe's own addresses.
import { type Address, findAddresses, isLocal, withEmbedded } from './addresses.ts';
import { type Edit, eachString, edited, isSpace, readString, valueEnd } from './jsontext.ts';
import { count, type Removed } from './removed.ts';
import type { Own, Rule } from './secrets.ts';

/** What probes write in the place of their own address. */
export const SCRUBBED = '[scrubbed]';

/** A member that holds an address of the probe's, and what it holds where nobody is to know it. */
export interface OwnMember {
  rule: 'probe_ip' | 'resolver';
  found: Rule;
  text: string;
  /** JSON of values that tell of nobody. */
  harmless: readonly string[];
}

const HARMLESS = ['null', '""', '"127.0.0.1"', '"[scrubbed]"', '"0.0.0.0"', '"::1"', '"::"'];
const PROBE = { rule: 'probe_ip', found: 'probe_address', harmless: HARMLESS } as const;
const RESOLVER: OwnMember = {
  rule: 'resolver',
  found: 'resolver_address',
  text: SCRUBBED,
  harmless: [...HARMLESS, '"127.0.0.2"'],
};

/** By name: in every test, and in `dash`, whose server tells the probe its addresses. */
export interface OwnMembers {
  usual: ReadonlyMap<string, OwnMember>;
  dash: ReadonlyMap<string, OwnMember>;
}

export function ownMembers(probeIp: boolean, resolver: boolean): OwnMembers {
  const usual = new Map<string, OwnMember>();
  if (probeIp) usual.set('probe_ip', { ...PROBE, text: '127.0.0.1' });
  if (resolver) for (const name of ['client_resolver', 'resolver_ip']) usual.set(name, RESOLVER);
  const dash = new Map(usual);
  if (probeIp) for (const name of ['real_address', 'internal_address']) dash.set(name, { ...PROBE, text: SCRUBBED });
  return { usual, dash };
}

/** Takes note of the addresses that members tell, and makes them tell none. */
export function takeOwnAddresses(
  document: Buffer,
  members: ReadonlyMap<string, OwnMember>,
  own: Own,
  removed: Removed,
): Buffer {
  if (members.size === 0) return document;
  const edits: Edit[] = [];
  let done = 0;
  eachString(document, 0, document.length, (start, end, isName) => {
    if (!isName || start < done) return;
    const one = members.get(readString(document, start, end).bytes.toString());
    if (!one) return;
    let at = document.indexOf(0x3a, end) + 1;
    while (isSpace(document[at]!)) at++;
    const to = valueEnd(document, at);
    const told = addressesWithin(document, at, to);
    if (one.harmless.includes(document.toString('utf8', at, to)) || (one.text === SCRUBBED && told.length === 0))
      return;
    for (const address of told.flatMap(withEmbedded)) own.addresses.set(address, { text: SCRUBBED, rule: one.found });
    edits.push({ start: at, end: to, text: JSON.stringify(one.text) });
    count(removed, one.rule);
    done = to;
  });
  return edited(document, edits);
}

/** True where a name that may begin at `at` is that of a member, and its value is not a harmless one. */
export function mayTell(document: Buffer, { harmless }: OwnMember, name: string, at: number): boolean {
  let value = at + name.length + 2;
  if (document.toString('latin1', at, value) !== `"${name}"`) return false;
  while (document[value] === 0x3a || isSpace(document[value] ?? 0)) value++;
  const text = document.toString('latin1', value, value + 13);
  return !harmless.some((one) => text.startsWith(one));
}

/** Addresses in the strings of a value, but those that are nobody's. */
function addressesWithin(document: Buffer, start: number, end: number): Address[] {
  const found: Address[] = [];
  eachString(document, start, end, (from, to) => {
    found.push(...addressesOf(readString(document, from, to).bytes));
  });
  return found;
}

/** Addresses in a text, but those that are nobody's. */
export function addressesOf(bytes: Uint8Array): Address[] {
  const found: Address[] = [];
  findAddresses(bytes, (address) => {
    if (!isLocal(address)) found.push(address);
    return true;
  });
  return found;
}
