/**
 * Host names of stores after the bucket's name. Only hosts for which that is certain: a store at files.example.com may
 * well have a bucket "files".
 */
const storeHosts = [
  /^s3[.-]/,
  /\.amazonaws\.com(\.cn)?$/,
  /^storage\.googleapis\.com$/,
  /.\.digitaloceanspaces\.com$/,
  /.\.r2\.cloudflarestorage\.com$/,
  /.\.linodeobjects\.com$/,
  /.\.your-objectstorage\.com$/,
];

/**
 * @param endpoint A valid URL.
 * @returns The address of the store if `endpoint` is the address of the bucket; else undefined.
 */
export function withoutBucket(endpoint: string, bucket: string): string | undefined {
  const url = new URL(endpoint);
  const store = storeOf(url, bucket);
  return store?.href.replace(/\/+$/, '');
}

function storeOf(url: URL, bucket: string): URL | undefined {
  const store = new URL(url);
  const segments = url.pathname.split('/').filter((segment) => segment !== '');
  if (segments.at(-1) === bucket) {
    store.pathname = segments.slice(0, -1).join('/');
    return store;
  }
  const rest = url.hostname.startsWith(`${bucket}.`) ? url.hostname.slice(bucket.length + 1) : '';
  if (!storeHosts.some((host) => host.test(rest))) return undefined;
  store.hostname = rest;
  return store;
}
