// Tests that sent packets by hand: of each packet its bytes and what scapy said of it.
import { arrayOf, isNull, isTruthy, type Node, type Obj, objectOf } from '../nodes.ts';
import type { Run } from './run.ts';
import { asBase64 } from './text.ts';

/** Rules of a packet test, on its `test_keys`. */
export function packetRules(keys: Obj, run: Run): void {
  for (const key of ['sent_packets', 'answered_packets']) {
    const given = keys.get(key);
    const packets = arrayOf(given);
    if (!packets && !isNull(given)) run.setAside(keys, key, given!);
    run.fire('packets', keys.set(key, (packets ?? []).flatMap(normPacket)));
  }
}

/** `[{raw_packet, summary}]` → `{raw_packet, summary}`; what is no packet is kept as it is, what is empty is not. */
function normPacket(node: Node): Node[] {
  if (!isTruthy(node)) return [];
  const packet = objectOf(arrayOf(node)?.[0] ?? node);
  if (!packet) return [node];
  if (packet.has('raw_packet')) packet.set('raw_packet', asBase64(packet.get('raw_packet')));
  return [packet];
}
