// Tests that make HTTP requests: one shape for requests, headers and Tor, the experiment before its control.
import {
  arrayOf,
  booleanOf,
  bytesOfDict,
  isNull,
  isTruthy,
  jsonOf,
  type Node,
  Obj,
  objectOf,
  textOf,
} from '../nodes.ts';
import type { Run } from './run.ts';
import { setAsList } from './sets.ts';
import { normText } from './text.ts';

/** Rules of an HTTP test, on its `test_keys`; `record` has `input` and `options`. */
export function httpRules(record: Obj, keys: Obj, run: Run): void {
  inputFromOptions(record, run);
  const pairs = pairsOf(keys, run).map((pair) => normPair(pair, run));
  run.fire('http.requests', keys.set('requests', inOrder(pairs)));
  const diff = keys.get('headers_diff');
  if (diff !== undefined) run.fire('http.headers_diff', keys.set('headers_diff', setAsList(diff)));
}

/** The URL that was given on the command line is the input of a test without one. */
function inputFromOptions(record: Obj, run: Run): void {
  if (!isNull(record.get('input'))) return;
  const options = arrayOf(record.get('options')) ?? [];
  const texts = options.map(textOf);
  const at = texts.includes('-u') ? texts.indexOf('-u') : texts.indexOf('--url');
  const url = at === -1 ? undefined : options[at + 1];
  if (url === undefined) return;
  run.fire('http.input');
  record.set('input', url);
}

/** `requests`, with the single pair of older records at its end. */
function pairsOf(keys: Obj, run: Run): readonly Node[] {
  const given = keys.get('requests');
  const pairs = arrayOf(given);
  if (!pairs && !isNull(given)) run.setAside(keys, 'requests', given!);
  const [request, response] = [keys.get('request'), keys.get('response')];
  if (!isTruthy(request) || !isTruthy(response)) return pairs ?? [];
  run.fire('http.pair');
  keys.delete('request');
  keys.delete('response');
  return [...(pairs ?? []), Obj.of({ request: request!, response: response! })];
}

interface Pair {
  node: Node;
  isTor: boolean;
}

function normPair(node: Node, run: Run): Pair {
  const pair = objectOf(node);
  // Some probes wrote url and headers on the pair itself: there is nothing to bring into shape.
  if (!pair || (!pair.has('request') && !pair.has('response'))) {
    run.fire('http.odd_request');
    return { node, isTor: false };
  }
  const request = normMessage(pair, 'request', run);
  const response = normMessage(pair, 'response', run);
  if (!request.has('url')) request.set('url', null);
  const isTor = normTor(request, run);
  pair.set('request', request);
  pair.set('response', response);
  pair.set('response_length', contentLength(objectOf(response.get('headers'))));
  return { node: pair, isTor };
}

/** A request or response with a body and a headers object; one that is none has both empty. */
function normMessage(pair: Obj, key: string, run: Run): Obj {
  const given = pair.get(key);
  const message = objectOf(given) ?? new Obj();
  if (!objectOf(given) && !isNull(given)) run.setAside(pair, key, given!);
  message.set('body', normText(message.get('body'), run));
  message.set('headers', normHeaders(message, run));
  return message;
}

/** `[[name, [value, …]], …]`, or an object of such values → name → first value. */
function normHeaders(message: Obj, run: Run): Obj {
  const given = message.get('headers');
  const headers = objectOf(given) ?? new Obj();
  for (const [name, value] of headers.entries()) headers.set(name, firstValue(value, run));
  const list = arrayOf(given);
  const named = (list ?? []).map((item) => arrayOf(item) ?? []).filter((item) => item.length > 0);
  for (const [name, value] of named) headers.set(nameOf(name!), firstValue(value, run));
  const lacks = list ? named.length < list.length : !objectOf(given) && !isNull(given);
  if (lacks) run.setAside(message, 'headers', given!);
  return headers;
}

/** A header's name, or its base64 where it is no text; what is neither goes by what it is written as. */
function nameOf(node: Node): string {
  return textOf(node) ?? bytesOfDict(node)?.toString('base64') ?? jsonOf(node).toString();
}

/** However deep the list of a header's values is nested, the first of them; none is the empty text. */
function firstValue(node: Node | undefined, run: Run): Node {
  let value = node;
  for (let list = arrayOf(value); list; list = arrayOf(value)) value = list[0];
  return value === undefined ? '' : normText(value, run);
}

/** Older probes wrote an s before the URL of a request through Tor. @returns whether it went through Tor */
function normTor(request: Obj, run: Run): boolean {
  const [url, tor] = [textOf(request.get('url')), request.get('tor')];
  const given = objectOf(tor);
  const told = isNull(tor) ? false : booleanOf(given ? given.get('is_tor') : tor);
  const byUrl = url?.startsWith('shttp') ?? false;
  const isTor = byUrl || told === true;
  const ofKnownForm = told !== undefined && (told || !given || given.size === 1);
  if (url?.includes('shttp://') && (byUrl || !ofKnownForm)) request.set('url', url.replaceAll('shttp://', 'http://'));

  const exit = byUrl || !told ? undefined : given;
  const kept = exit ? ['is_tor', 'exit_ip', 'exit_name'] : ['is_tor'];
  const lost = given?.keys().some((key) => !kept.includes(key) && !isNull(given.get(key))) ?? false;
  if (lost || told === undefined) {
    run.fire('http.odd_tor');
    if (isTruthy(tor)) run.setAside(request, 'tor', tor!);
  }
  const shaped = given?.size === 3 && given.has('exit_ip') && given.has('exit_name') && told === isTor && !lost;
  if (!shaped) {
    const part = (key: string) => exit?.get(key) ?? null;
    request.set('tor', Obj.of({ is_tor: isTor, exit_ip: part('exit_ip'), exit_name: part('exit_name') }));
  }
  return isTor;
}

function contentLength(headers: Obj | undefined): Node {
  const name = headers?.keys().find((key) => key.toLowerCase() === 'content-length');
  return name === undefined ? null : headers!.get(name)!;
}

/** First direct, first through Tor, then the others: whoever reads takes the first for the experiment, the second for its control. */
function inOrder(pairs: Pair[]): Node[] {
  const tor = pairs.filter(({ isTor }) => isTor);
  const direct = pairs.filter(({ isTor }) => !isTor);
  return [...direct.slice(0, 1), ...tor.slice(0, 1), ...direct.slice(1), ...tor.slice(1)].map(({ node }) => node);
}
