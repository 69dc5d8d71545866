// What lies in a bucket of S3, as file rows: of the keys that a selection can mean, and no others.
import {
  type Branch,
  branchInto,
  branchOfPath,
  type KeyFilter,
  type KeyRange,
  stepOf,
  wholeLayouts,
} from '../record/keyplan.ts';
import { storePlace } from '../record/storeurls.ts';
import { UsageError } from '../stream/errors.ts';
import { orderedMap } from '../stream/ordered.ts';
import { describeFile, type ListedFile, type Listing, selected } from './listing.ts';
import { openBucket, type StoreOptions } from './store.ts';
import type { Page, S3Store } from './store-s3.ts';

/** Listings under way at once. */
const AT_ONCE = 8;

export interface BucketListing extends Listing {
  /** Told, at the end, how many requests the listing took. */
  calls(count: number): void;
}

/** File rows of a bucket, a prefix, or a folder within one of its layouts, in the order of their keys. @throws Failure */
export async function* listBucket(
  url: string,
  listing: BucketListing,
  options: StoreOptions,
): AsyncGenerator<ListedFile> {
  const place = storePlace(url);
  if ('fault' in place) throw new UsageError(`${url}: ${place.fault}`);
  const within = branchOfPath(place.prefix);
  const cut = within === undefined ? 0 : place.prefix.length - within.root.length + (within.root === '' ? 1 : 0);
  const store = await openBucket(cut === 0 ? place.name : place.name.slice(0, -cut), options);
  try {
    for await (const { range, page: first } of orderedMap(
      rangesFor(store, listing, within?.branch),
      async (range) => ({ range, page: await store.page(range, false) }),
      { concurrency: AT_ONCE },
    )) {
      for (let page: Page | undefined = first; page; ) {
        for (const { key, bytes, etag } of page.objects) {
          const row = describeFile(`${store.name}/${key}`, bytes);
          if (!row) listing.strangers.other++;
          else yield* selected({ ...row, s3path: key, ...(etag && { etag }) }, listing);
        }
        page = page.next === undefined ? undefined : await store.page(range, false, page.next);
      }
    }
  } finally {
    listing.calls(store.listCalls);
    store.close();
  }
}

async function* rangesFor(store: S3Store, { selection }: Listing, branch?: Branch): AsyncGenerator<KeyRange> {
  const { kinds, cc, tests, from, to, measuredFrom } = selection;
  // Reports lie anywhere.
  if (kinds.includes('report') && branch === undefined) yield { prefix: '', after: '' };
  else if (kinds.some((kind) => kind !== 'post' && kind !== 'report'))
    yield* rangesIn(store, { cc, tests, from, to, measuredFrom }, branch ? [branch] : wholeLayouts());
}

async function* rangesIn(store: S3Store, filter: KeyFilter, branches: Branch[]): AsyncGenerator<KeyRange> {
  for (const branch of branches) {
    const step = stepOf(filter, branch);
    if ('into' in step) yield* rangesIn(store, filter, step.into);
    else if ('objects' in step) {
      if (step.objects.until === undefined || step.objects.until !== step.objects.after) yield step.objects;
    } else {
      for await (const folder of foldersOf(store, step.folders)) {
        const into = branchInto(filter, branch, folder);
        if (into) yield* rangesIn(store, filter, [into]);
      }
    }
  }
}

/** Names of the folders of a range. */
async function* foldersOf(store: S3Store, range: KeyRange): AsyncGenerator<string> {
  for (let page: Page | undefined = await store.page(range, true); page; ) {
    for (const folder of page.folders) yield folder.split('/').at(-2)!;
    page = page.next === undefined ? undefined : await store.page(range, true, page.next);
  }
}
