// Sets of Python, which JSON has none of.
import { arrayOf, isObject, jsonOf, type Node, objectOf, textOf } from '../nodes.ts';

/** A list, or an object for its names, as a sorted list; anything else as it is. */
export function setAsList(node: Node): Node {
  const members = isObject(node) ? objectOf(node)!.keys() : arrayOf(node);
  return members ? sorted(members) : node;
}

/** By their text, or by what they are written as where they are none. */
function sorted(items: readonly Node[]): Node[] {
  const keyed = items.map((item) => ({ item, key: textOf(item) ?? jsonOf(item).toString() }));
  return keyed.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0)).map(({ item }) => item);
}
