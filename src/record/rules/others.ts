// Tests with a rule or two of their own.
import { arrayOf, isObject, type Node, numberOf, type Obj, objectOf, textOf } from '../nodes.ts';
import { sorted } from './http.ts';
import type { Run } from './run.ts';
import { asBase64, normText } from './text.ts';

/** `tls_handshake`: the serial number in hex, the session key as bytes, the names of the certificate as text. */
export function tlsRules(keys: Obj, run: Run): void {
  run.fire('tls');
  keys.set('cert_serial_no', hexSerial(keys.get('cert_serial_no')));
  if (keys.has('session_key')) keys.set('session_key', asBase64(keys.get('session_key')));
  for (const key of ['cert_subject', 'cert_issuer']) {
    if (run.compat) keys.set(key, []);
    else if (keys.has(key)) keys.set(key, components(keys.get(key)!, run));
  }
}

function hexSerial(node: Node | undefined): Node {
  const number = numberOf(node);
  if (number !== undefined && /^-?\d{1,4300}$/.test(number)) {
    const serial = BigInt(number);
    return `${serial < 0n ? '-' : ''}0x${(serial < 0n ? -serial : serial).toString(16)}`;
  }
  const text = textOf(node);
  if (text !== undefined) return text.replace(/^(-?0x[0-9a-fA-F]+)L$/, '$1'); // as Python 2 wrote large ones
  return node ?? '0x0';
}

/** `[[name, value], …]` */
function components(node: Node, run: Run): Node {
  const list = arrayOf(node);
  if (!list) return node;
  return list.map((part) => arrayOf(part)?.map((text) => normText(text, run)) ?? part);
}

/** `captive_portal`: the addresses of a vendor's name are a set. */
export function captivePortalRules(keys: Obj, run: Run): void {
  const tests = objectOf(keys.get('vendor_dns_tests'));
  const google = tests?.get('google_dns_cp');
  if (!tests || google === undefined) return;
  const list = (node: Node | undefined) => arrayOf(node) ?? (isObject(node) ? objectOf(node)!.keys() : undefined);
  if (isObject(google) && objectOf(google)!.has('addresses')) {
    const inner = objectOf(google)!;
    const addresses = list(inner.get('addresses'));
    if (!addresses) return;
    inner.set('addresses', sorted(addresses));
    tests.set('google_dns_cp', inner);
  } else if (arrayOf(google)) tests.set('google_dns_cp', sorted(arrayOf(google)!));
  else return;
  run.fire('captive_portal.addresses');
  keys.set('vendor_dns_tests', tests);
}

/** What was sent and received as it is, byte for byte: text where it can be. */
export function exchangeRules(keys: Obj, run: Run): void {
  for (const key of ['sent', 'received']) {
    const node = keys.get(key);
    if (node === undefined) continue;
    const list = arrayOf(node);
    keys.set(key, list ? list.map((item) => normText(item, run)) : normText(node, run));
  }
}
