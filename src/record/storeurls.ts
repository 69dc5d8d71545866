// Where a store is, from what a person types or a row tells.

export interface StorePlace {
  /** As given, without slashes at its end: a key behind it and a slash is an object's own address. */
  name: string;
  bucket: string;
  /** Without slashes at its ends. */
  prefix: string;
  /** Of an address of the web: where the server is, and that nobody signs in there. */
  web?: {
    /** Undefined for Amazon, whose servers have a name for each region. */
    endpoint?: string;
    region?: string;
  };
}

const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
const AMAZON = /^(?:(.+)\.)?s3(?:[.-](?:dualstack\.)?([a-z]{2}(?:-[a-z]+)+-\d))?\.amazonaws\.com$/;

/** True for what is no path of a folder. */
export function isUrl(text: string): boolean {
  return /^[a-z][a-z0-9+.-]*:\/\//.test(text);
}

/**
 * `s3://bucket/prefix`, `https://bucket.s3.eu-central-1.amazonaws.com/prefix`, or `https://server/bucket/prefix` as a
 * place; of anything else, what is wrong with it.
 */
export function storePlace(url: string): StorePlace | { fault: string } {
  const name = url.replace(/\/+$/, '');
  const [, scheme, host = '', path = ''] = /^(s3|https?):\/\/([^/]*)(?:\/+(.*))?$/.exec(name) ?? [];
  if (scheme === undefined) return { fault: 'a store is s3://bucket[/prefix] or a folder' };
  if (path.split('/').some((part) => part === '..' || part === '.')) return { fault: "a prefix has no '.' or '..'" };
  if (scheme === 's3') return inBucket(`s3://${host}${path && `/${path}`}`, host, path);
  if (/[?#%\s]/.test(path)) return { fault: 'an address on the web has here no ?, # or % in it' };
  if (!/^[A-Za-z0-9.-]+(?::\d{1,5})?$|^\[[0-9a-f:]+\](?::\d{1,5})?$/.test(host))
    return { fault: `'${host}' is no server` };
  const [amazon, own, region] = AMAZON.exec(host) ?? [];
  const [first = '', ...others] = own === undefined ? path.split('/') : [own, ...path.split('/')];
  const web = amazon === undefined ? { endpoint: `${scheme}://${host}` } : region === undefined ? {} : { region };
  const place = inBucket(name, first, others.join('/'));
  return 'fault' in place ? place : { ...place, web };
}

/** The address of an object → its store and its key; or what is wrong with it. */
export function objectAt(url: string): { store: string; key: string } | { fault: string } {
  const place = storePlace(url);
  if ('fault' in place) return place;
  if (place.prefix === '') return { fault: 'a bucket, and no object in it: ls lists what is there' };
  if (url.endsWith('/')) return { fault: 'a folder, and no object: ls lists what is there' };
  return { store: place.name.slice(0, -place.prefix.length - 1), key: place.prefix };
}

function inBucket(name: string, bucket: string, prefix: string): StorePlace | { fault: string } {
  if (!BUCKET.test(bucket)) return { fault: `'${bucket}' is no name of a bucket` };
  return { name, bucket, prefix };
}
