import type { Preference, S3Settings } from '../s3/s3-settings.ts';
import type { SettingProblem } from './config-error.ts';
import { missing, proxyVariables, type ReadSettings } from './read-settings.ts';

/** S3 settings that are independent of the store. */
export type S3Preferences = Omit<
  S3Settings,
  'endpoint' | 'region' | 'bucket' | 'accessKeyId' | 'secretAccessKey' | 'sessionToken'
>;

export function s3Preferences({ values, isSet }: ReadSettings, forcePathStyle: boolean): S3Preferences {
  return {
    ...(values.S3_PUBLIC_ENDPOINT !== undefined && { publicEndpoint: values.S3_PUBLIC_ENDPOINT }),
    forcePathStyle: values.S3_FORCE_PATH_STYLE ?? forcePathStyle,
    storageClass: preference(values.S3_STORAGE_CLASS, isSet('S3_STORAGE_CLASS')),
    sse: preference(values.S3_SSE, isSet('S3_SSE')),
    checksum: values.S3_CHECKSUM,
    presignExpirySeconds: values.PRESIGN_EXPIRY_SECONDS,
    keyPrefix: values.S3_KEY_PREFIX,
    proxies: proxyVariables(values),
  };
}

/** `none` is never required, because every store can do without. */
function preference(wanted: string | null, isSet: boolean): Preference {
  return { wanted, required: isSet && wanted !== null };
}

/** @returns The settings; valid only if no problem was added. */
export function s3Settings(settings: ReadSettings, problems: SettingProblem[]): S3Settings {
  const { values, isSet } = settings;
  const compatibleStore = isSet('S3_ENDPOINT');
  if (!isSet('S3_BUCKET_NAME')) problems.push(missing('S3_BUCKET_NAME'));
  if (!isSet('AWS_REGION') && !compatibleStore) problems.push(missing('AWS_REGION'));
  checkCredentials(settings, compatibleStore, problems);
  checkEndpoints(settings, problems);
  return {
    ...s3Preferences(settings, compatibleStore),
    ...(values.S3_ENDPOINT !== undefined && { endpoint: values.S3_ENDPOINT }),
    ...(values.AWS_ACCESS_KEY_ID !== undefined && { accessKeyId: values.AWS_ACCESS_KEY_ID }),
    ...(values.AWS_SECRET_ACCESS_KEY !== undefined && { secretAccessKey: values.AWS_SECRET_ACCESS_KEY }),
    ...(values.AWS_SESSION_TOKEN !== undefined && { sessionToken: values.AWS_SESSION_TOKEN }),
    region: values.AWS_REGION ?? 'us-east-1',
    bucket: values.S3_BUCKET_NAME ?? '',
  };
}

function checkEndpoints({ values }: ReadSettings, problems: SettingProblem[]): void {
  const { S3_BUCKET_NAME: bucket } = values;
  if (bucket === undefined) return;
  for (const name of ['S3_ENDPOINT', 'S3_PUBLIC_ENDPOINT'] as const) {
    const store = values[name] === undefined ? undefined : withoutBucket(values[name], bucket);
    if (store === undefined) continue;
    const message = `${name} contains the bucket’s name: it must be only the address of the store, ${store}. S3_BUCKET_NAME names the bucket.`;
    problems.push({ setting: name, message });
  }
}

/** Requires both keys or none; none only for Amazon S3, where the SDK looks for a role. */
function checkCredentials(
  { isSet }: ReadSettings,
  compatibleStore: boolean,
  problems: SettingProblem[],
): void {
  const needed =
    compatibleStore ||
    isSet('AWS_ACCESS_KEY_ID') ||
    isSet('AWS_SECRET_ACCESS_KEY') ||
    isSet('AWS_SESSION_TOKEN');
  if (!needed) return;
  for (const name of ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY'] as const) {
    if (!isSet(name)) problems.push(missing(name));
  }
}

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
function withoutBucket(endpoint: string, bucket: string): string | undefined {
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
