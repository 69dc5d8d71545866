import { KEY_NAMES, type LookupKeys, lookupKeys } from './facts.ts';
import { type Document, type JsonError, member, onOneLine, readJson, stringOf, type Value } from './json.ts';
import { yamlPostToJson } from './yaml.ts';

export interface ReadablePost {
  readable: true;
  /** The content on one line, without line feed: the bytes as the probe sent them. */
  line: Buffer;
  keys: LookupKeys;
  /** Where these very bytes stand in the post, so that both files of a can may share them compressed. */
  within: { start: number; end: number } | null;
}

export interface UnreadablePost {
  readable: false;
  reason: string;
}

export interface PostLimits {
  maxDepth?: number;
  maxBytes: number;
}

/**
 * A post's bytes → the line of its measurement. Posts are `{"format":"json","content":{…}}` or
 * `{"format":"yaml","content":"<text>"}`; members in any order, others ignored, of doubles the last.
 */
export function readPost(bytes: Buffer, limits: PostLimits): ReadablePost | UnreadablePost {
  if (bytes.length === 0) return { readable: false, reason: 'empty post' };
  let doc: Document;
  try {
    doc = readJson(bytes, { maxDepth: limits.maxDepth ?? 500, keep: 2, names: POST_NAMES });
  } catch (error) {
    return { readable: false, reason: `not JSON: ${(error as JsonError).message}` };
  }
  const post = doc.value;
  if (post.type !== 'object') return { readable: false, reason: `a post is an object, not ${article(post.type)}` };
  const content = member(post, 'content');
  const given = member(post, 'format');
  const format = stringOf(bytes, given);
  if (format === 'json') return jsonPost(bytes, content, doc.lineFeed);
  if (format === 'yaml') return yamlPost(bytes, content, limits);
  return {
    readable: false,
    reason:
      format !== undefined
        ? `unknown format ${JSON.stringify(format.slice(0, 40))}`
        : given
          ? `format is ${article(given.type)}, not a string`
          : 'no format',
  };
}

function jsonPost(bytes: Buffer, content: Value | undefined, lineFeed: boolean): ReadablePost | UnreadablePost {
  if (!content) return { readable: false, reason: 'no content' };
  if (content.type !== 'object')
    return { readable: false, reason: `content is ${article(content.type)}, not an object` };
  const line = onOneLine(bytes, content, lineFeed);
  // A lone line feed became a space: a line of the same length is not yet the same line.
  const same = !lineFeed || bytes.subarray(content.start, content.end).equals(line);
  const within = same ? { start: content.start, end: content.end } : null;
  return { readable: true, line, keys: lookupKeys(bytes, content), within };
}

function yamlPost(bytes: Buffer, content: Value | undefined, limits: PostLimits): ReadablePost | UnreadablePost {
  const text = stringOf(bytes, content);
  if (text === undefined)
    return { readable: false, reason: `content of a YAML post is ${article(content?.type)}, not a string` };
  try {
    const line = yamlPostToJson(text, { maxBytes: limits.maxBytes, maxDepth: limits.maxDepth ?? 500 });
    return { readable: true, line, keys: lookupKeys(line, readJson(line, { names: KEY_NAMES }).value), within: null };
  } catch (error) {
    return { readable: false, reason: (error as Error).message };
  }
}

const POST_NAMES = ['format', 'content', ...KEY_NAMES];

function article(type: Value['type'] | undefined): string {
  if (type === undefined) return 'missing';
  if (type === 'null' || type === 'true' || type === 'false') return type;
  return type === 'object' || type === 'array' ? `an ${type}` : `a ${type}`;
}
