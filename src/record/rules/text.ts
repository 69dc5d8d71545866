// Bodies and header values: text, or a base64 dict where the bytes are none.
import { base64Dict, bytesOfDict, type Node, nodeOfBytes, Source, textOf } from '../nodes.ts';
import type { Run } from './run.ts';

/** NUL goes; what is neither text nor bytes of a YAML report stays as it is. */
export function normText(node: Node | undefined, run: Run): Node {
  if (node === undefined) return null;
  if (node instanceof Source && node.value.type === 'string') return withoutNul(node, run);
  const bytes = run.fromYaml ? bytesOfDict(node) : undefined;
  if (!bytes || run.keepNul || !bytes.includes(0)) return node;
  run.fire('text.nul');
  return nodeOfBytes(Buffer.from(bytes.filter((byte) => byte !== 0)));
}

const NUL = Buffer.from('\\u0000');
const BACKSLASH = 0x5c;

/** NUL is cut out of the source's own text, so that its other escapes stay. */
function withoutNul(node: Source, run: Run): Node {
  const given = node.bytes.subarray(node.value.start, node.value.end);
  if (!given.includes(NUL)) return node;
  const rest = Buffer.allocUnsafe(given.length);
  let to = 0;
  for (let at = 0; at < given.length; ) {
    if (given[at] !== BACKSLASH) rest[to++] = given[at++]!;
    else if (given.subarray(at, at + NUL.length).equals(NUL)) at += NUL.length;
    else {
      rest[to++] = given[at++]!;
      rest[to++] = given[at++]!;
    }
  }
  if (to === given.length) return node; // a backslash, and u0000 behind it
  run.fire('text.nul');
  return run.keepNul ? asBase64(node) : new Source(rest, { type: 'string', start: 0, end: to });
}

/** Text as a base64 dict. Half a surrogate pair has no bytes: text that holds one stays as it is, as all else does. */
export function asBase64(node: Node | undefined): Node {
  const text = textOf(node);
  const bytes = Buffer.from(text ?? '');
  return bytes.toString() === text ? base64Dict(bytes) : (node ?? null);
}

/** What a probe printed, to be searched: text, or bytes that are none. */
export function printedText(node: Node | undefined): string | undefined {
  return textOf(node) ?? bytesOfDict(node)?.toString('latin1');
}
