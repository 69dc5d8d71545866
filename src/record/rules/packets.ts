// Tests that sent packets by hand: of each packet its bytes and what scapy said of it.
import { arrayOf, isTruthy, type Node, Obj, objectOf } from '../nodes.ts';
import type { Run } from './run.ts';
import { asBase64 } from './text.ts';

/** Rules of a packet test, on its `test_keys`. */
export function packetRules(keys: Obj, run: Run): void {
  for (const key of ['sent_packets', 'answered_packets']) {
    const given = keys.get(key);
    const packets = arrayOf(given);
    if (!packets && isTruthy(given)) keys.set(`${key}_`, given!);
    if (packets && packets.length > 0) run.fire('packets');
    keys.set(key, (packets ?? []).flatMap(normPacket));
  }
}

/** `[[{raw_packet, summary}]]` → `{raw_packet, summary}`; one of another shape is kept with what it has. */
function normPacket(node: Node): Node[] {
  const list = arrayOf(node);
  if (list && list.length === 0) return [];
  if (!list && !isTruthy(node)) return [];
  const inner = list ? list[0]! : node;
  const first = arrayOf(inner)?.[0] ?? inner;
  const packet = objectOf(first);
  if (!packet) return [node];
  if (!packet.has('raw_packet')) return [packet];
  const shaped = Obj.of({ raw_packet: asBase64(packet.get('raw_packet')) });
  if (packet.has('summary')) shaped.set('summary', packet.get('summary')!);
  return [shaped];
}
