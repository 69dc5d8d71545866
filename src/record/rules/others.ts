// Tests with a rule or two of their own.
import { arrayOf, isNull, type Node, numberOf, type Obj, objectOf, textOf } from '../nodes.ts';
import type { Run } from './run.ts';
import { setAsList } from './sets.ts';
import { asBase64, normText } from './text.ts';

/** `tls_handshake`: the serial number in hex, the session key as bytes, the names of the certificate as text. */
export function tlsRules(keys: Obj, run: Run): void {
  const changes = [keys.set('cert_serial_no', hexSerial(keys.get('cert_serial_no')))];
  if (keys.has('session_key')) changes.push(keys.set('session_key', asBase64(keys.get('session_key'))));
  for (const key of ['cert_subject', 'cert_issuer']) {
    if (run.compat) changes.push(keys.set(key, []));
    else if (keys.has(key)) changes.push(keys.set(key, components(keys.get(key)!, run)));
  }
  run.fire('tls.certificate', changes.includes(true));
}

function hexSerial(node: Node | undefined): Node {
  const number = numberOf(node);
  if (number !== undefined && /^-?\d{1,4300}$/.test(number)) {
    const serial = BigInt(number);
    return `${serial < 0n ? '-' : ''}0x${(serial < 0n ? -serial : serial).toString(16)}`;
  }
  const text = textOf(node);
  if (text !== undefined) return text.replace(/^(-?0x[0-9a-fA-F]+)L$/, '$1'); // as Python 2 wrote large ones
  return isNull(node) ? '0x0' : node!;
}

/** `[[name, value], …]` */
function components(node: Node, run: Run): Node {
  const norm = (part: Node) => arrayOf(part)?.map((text, i) => (i === 0 ? text : normText(text, run))) ?? part;
  return arrayOf(node)?.map(norm) ?? node;
}

/** `captive_portal`: the addresses of a vendor's name are a set. */
export function captivePortalRules(keys: Obj, run: Run): void {
  const tests = objectOf(keys.get('vendor_dns_tests'));
  const google = tests?.get('google_dns_cp');
  if (!tests || google === undefined) return;
  const answer = objectOf(google);
  if (answer?.has('addresses')) {
    answer.set('addresses', setAsList(answer.get('addresses')!));
    tests.set('google_dns_cp', answer);
  } else if (!answer) tests.set('google_dns_cp', setAsList(google));
  run.fire('captive_portal.addresses', keys.set('vendor_dns_tests', tests));
}

/** What was sent and received as it is, byte for byte: text where it can be. */
export function exchangeRules(keys: Obj, run: Run): void {
  for (const key of ['sent', 'received']) {
    const node = keys.get(key);
    if (node === undefined) continue;
    keys.set(key, arrayOf(node)?.map((item) => normText(item, run)) ?? normText(node, run));
  }
}
