// Bodies and header values: text, or a base64 dict where the bytes are none.
import { isUtf8 } from 'node:buffer';
import { base64Dict, bytesOfDict, type Node, Source, textOf } from '../nodes.ts';
import type { Run } from './run.ts';

/** NUL goes; what is neither text nor bytes of a YAML report stays as it is. */
export function normText(node: Node | undefined, run: Run): Node {
  if (node === undefined) return null;
  const text = textOf(node);
  if (text !== undefined) return withoutNul(node, text, run);
  const bytes = run.fromYaml ? bytesOfDict(node) : undefined;
  if (!bytes || run.keepNul || !bytes.includes(0)) return node;
  run.fire('text.nul');
  const rest = bytes.filter((byte) => byte !== 0);
  return isUtf8(rest) ? Buffer.from(rest).toString() : base64Dict(Buffer.from(rest));
}

function withoutNul(node: Node, text: string, run: Run): Node {
  if (!text.includes('\0')) return node;
  run.fire('text.nul');
  if (run.keepNul) return base64Dict(Buffer.from(text));
  if (!(node instanceof Source)) return text.replaceAll('\0', '');
  // Cut out of the source's own text, so that its other escapes stay.
  const own = node.bytes.toString('utf8', node.value.start, node.value.end);
  const rest = Buffer.from(own.replace(/\\(?:u0000|.)/g, (found) => (found === '\\u0000' ? '' : found)));
  return new Source(rest, { type: 'string', start: 0, end: rest.length });
}

/** Text or bytes as a base64 dict, whatever they are. */
export function asBase64(node: Node | undefined): Node {
  const text = textOf(node);
  return text === undefined ? (node ?? null) : base64Dict(Buffer.from(text));
}
