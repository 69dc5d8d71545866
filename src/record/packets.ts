// Raw IP packets: their addresses are bytes, not text.
import type { Address } from './addresses.ts';
import type { Range } from './ranges.ts';

/** ICMP messages that quote the packet they answer. */
const QUOTING = new Set([3, 4, 5, 11, 12]);
const ICMP = 1;
const ICMP6 = 58;
/** Where a protocol has its sum: ICMP, TCP, UDP, ICMPv6. */
const SUM_AT = new Map([
  [ICMP, 2],
  [6, 16],
  [17, 6],
  [ICMP6, 2],
]);

/**
 * Where a packet has secret addresses: in its header, and in the one that an ICMP error quotes. With them come the
 * sums that they went into: from a sum and the rest of the packet an address can be computed again.
 * @param isSecret of an IPv4 address as a number, or of an IPv6 one
 */
export function packetSecrets(bytes: Buffer, isSecret: (address: Address) => boolean): Range[] {
  return within(bytes, isSecret, 0, true);
}

function within(bytes: Buffer, isSecret: (address: Address) => boolean, from: number, mayQuote: boolean): Range[] {
  const header = ipHeader(bytes, from);
  if (!header) return [];
  const { source, length, payload, protocol, sum } = header;
  const found = [source, source + length]
    .filter((at) => isSecret(length === 4 ? bytes.readInt32BE(at) : binaryIPv6(bytes, at)))
    .map((at) => ({ start: at, end: at + length }));
  const message = bytes[payload] ?? 0;
  const quotes = protocol === ICMP ? QUOTING.has(message) : protocol === ICMP6 && message > 0 && message < 5;
  const quoted = mayQuote && quotes ? within(bytes, isSecret, payload + 8, false) : [];
  const sums: number[] = [];
  if (found.length > 0 && sum !== undefined) sums.push(sum);
  // The sum of ICMP is over what it quotes; the others are over the addresses too.
  const sumAt = SUM_AT.get(protocol);
  if (sumAt !== undefined && (quoted.length > 0 || (found.length > 0 && protocol !== ICMP))) sums.push(payload + sumAt);
  const bad = sums.filter((at) => at + 2 <= bytes.length && bytes.readUInt16BE(at) !== 0);
  return [...found, ...bad.map((at) => ({ start: at, end: at + 2 })), ...quoted];
}

interface IpHeader {
  /** Where the source address stands; the destination's comes behind it. */
  source: number;
  /** Of an address. */
  length: number;
  payload: number;
  protocol: number;
  /** Where the header's own sum stands. */
  sum?: number;
}

/** What is no packet has no address of ours in these places, but by a chance that is nobody's loss. */
function ipHeader(bytes: Buffer, at: number): IpHeader | undefined {
  const version = at + 20 <= bytes.length ? bytes[at]! >> 4 : 0;
  if (version === 4) {
    const length = (bytes[at]! & 15) * 4;
    if (length < 20) return undefined;
    return { source: at + 12, length: 4, payload: at + length, protocol: bytes[at + 9]!, sum: at + 10 };
  }
  if (version !== 6 || at + 40 > bytes.length) return undefined;
  return { source: at + 8, length: 16, payload: at + 40, protocol: bytes[at + 6]! };
}

function binaryIPv6(bytes: Buffer, at: number): string {
  return String.fromCharCode(...Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(at + 2 * i)));
}
