// Tests that make HTTP requests: one shape for requests, headers and Tor, the experiment before its control.
import { arrayOf, booleanOf, isNull, isObject, isTruthy, type Node, Obj, objectOf, textOf } from '../nodes.ts';
import type { Run } from './run.ts';
import { normText } from './text.ts';

/** Rules of an HTTP test, on its `test_keys`; `record` has `input` and `options`. */
export function httpRules(record: Obj, keys: Obj, run: Run): void {
  inputFromOptions(record, run);
  const requests = pairsOf(keys, run);
  keys.set('requests', inOrder(requests.map((pair) => normPair(pair, run))));
  sortHeadersDiff(keys, run);
}

/** The URL that was given on the command line is the input of a test without one. */
function inputFromOptions(record: Obj, run: Run): void {
  if (!isNull(record.get('input'))) return;
  const options = arrayOf(record.get('options'));
  const texts = options?.map(textOf);
  if (!texts) return;
  const at = texts.includes('-u') ? texts.indexOf('-u') : texts.indexOf('--url');
  if (at === -1 || at + 1 >= texts.length) return;
  run.fire('http.input');
  record.set('input', options![at + 1]!);
}

/** `requests`, with the single pair of older records at its end. */
function pairsOf(keys: Obj, run: Run): Node[] {
  const given = keys.get('requests');
  const pairs = [...(arrayOf(given) ?? [])];
  if (!arrayOf(given) && !isNull(given)) {
    run.fire('http.requests_set_aside');
    keys.set('requests_', given!);
  }
  const [request, response] = [keys.get('request'), keys.get('response')];
  if (isTruthy(request) && isTruthy(response)) {
    run.fire('http.single_pair');
    pairs.push(Obj.of({ request: request!, response: response! }));
    keys.delete('request');
    keys.delete('response');
  }
  return pairs;
}

interface Pair {
  node: Node;
  isTor: boolean;
}

function normPair(node: Node, run: Run): Pair {
  const pair = objectOf(node);
  // Some probes wrote url and headers on the pair itself: there is nothing to bring into shape.
  if (!pair || (!pair.has('request') && !pair.has('response'))) {
    run.fire('http.flat_pair');
    return { node, isTor: false };
  }
  run.fire('http.requests');
  const response = normMessage(pair.get('response'), run);
  const request = normMessage(pair.get('request'), run);
  if (!request.has('url')) request.set('url', null);
  const isTor = normTor(request, run);
  pair.set('request', request);
  pair.set('response', response);
  pair.set('response_length', contentLength(objectOf(response.get('headers'))));
  return { node: pair, isTor };
}

/** A request or response with a body and a headers object; one that is none has both empty. */
function normMessage(node: Node | undefined, run: Run): Obj {
  const message = objectOf(node) ?? new Obj();
  message.set('body', normText(message.get('body'), run));
  message.set('headers', normHeaders(message.get('headers'), run));
  return message;
}

/** `[[name, [value, …]], …]`, or an object of such values → name → first value. */
function normHeaders(node: Node | undefined, run: Run): Obj {
  const headers = new Obj();
  const given = objectOf(node);
  if (given) {
    for (const [name, value] of given.entries()) headers.set(name, firstValue(value, run));
    return headers;
  }
  for (const item of arrayOf(node) ?? []) {
    const [name, value] = arrayOf(item) ?? [];
    const text = name === undefined ? undefined : nameOf(name, run);
    if (text === undefined) run.fire('http.header_dropped');
    else headers.set(text, firstValue(value, run));
  }
  return headers;
}

/** A header's name; one that is no text goes by what it would be written as. */
function nameOf(node: Node, run: Run): string | undefined {
  const norm = normText(node, run);
  return textOf(norm) ?? textOf(objectOf(norm)?.get('data'));
}

/** However deep the list of a header's values is nested, the first of them; none is the empty text. */
function firstValue(node: Node | undefined, run: Run): Node {
  let value = node;
  for (let list = arrayOf(value); list; list = arrayOf(value)) {
    if (list.length === 0) return '';
    value = list[0];
  }
  return value === undefined ? '' : normText(value, run);
}

/** @returns whether the request went through Tor */
function normTor(request: Obj, run: Run): boolean {
  const tor = request.get('tor');
  const url = textOf(request.get('url'));
  const set = (isTor: boolean, from?: Obj) => {
    const part = (key: string) => from?.get(key) ?? null;
    request.set('tor', Obj.of({ is_tor: isTor, exit_ip: part('exit_ip'), exit_name: part('exit_name') }));
    return isTor;
  };
  const plainUrl = () => {
    if (url?.includes('shttp://')) request.set('url', url.replaceAll('shttp://', 'http://'));
  };
  if (url?.startsWith('shttp')) {
    plainUrl();
    return set(true);
  }
  const given = objectOf(tor);
  const isTor = booleanOf(given ? given.get('is_tor') : tor);
  if (isTor) return set(true, given);
  if (isNull(tor) || (isTor === false && (!given || given.size === 1))) return set(false);
  if (isTor === undefined) run.fire('http.tor_unknown');
  plainUrl();
  return set(false);
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

function sortHeadersDiff(keys: Obj, run: Run): void {
  const given = keys.get('headers_diff');
  const names = isObject(given) ? objectOf(given)!.keys() : arrayOf(given);
  if (!names) return;
  run.fire('http.headers_diff');
  keys.set('headers_diff', sorted(names));
}

/** By text, where all of them are text; by what they are written as otherwise. */
export function sorted(items: Node[]): Node[] {
  const keyed = items.map((item) => ({ item, key: textOf(item) ?? '' }));
  return keyed.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0)).map(({ item }) => item);
}
