import { proxyFor, unreadableProxies } from '@backhaul/program';
import { BackhaulError, type Diagnosis, type Finding } from '@backhaul/protocol';
import type { Config } from '../config/config.ts';
import type { Clock } from '../domain/ports/clock.ts';
import { type Store, StoreError } from '../domain/ports/store.ts';
import type { S3Bucket } from '../s3/s3-bucket.ts';
import { storeUrl } from '../s3/s3-settings.ts';
import { SERVER_VERSION } from '../version.ts';

/** Less than the two minutes that clients wait. */
const STORE_TIMEOUT_MS = 100_000;

interface DiagnosisDeps {
  readonly bucket: Pick<S3Bucket, 'diagnose'>;
  readonly store: Pick<Store, 'ping'>;
  /** Findings about the tokens in use. */
  readonly tokenFindings?: () => Finding[];
  /** Which proxy is used for what; constant while the server runs. */
  readonly proxyFindings?: readonly Finding[];
  readonly clock: Pick<Clock, 'now'>;
  /** Aborts when the server starts to shut down; a running diagnosis must not delay that. */
  readonly shutdown: AbortSignal;
  /** Time limit for the object store, in milliseconds. Default: 100,000. */
  readonly storeTimeoutMs?: number;
}

/**
 * Creates the function that checks the server's settings, database and bucket; each call checks again.
 *
 * @throws BackhaulError `shutting_down`, `storage_unavailable`; BucketError
 */
export function createDiagnosis(deps: DiagnosisDeps): () => Promise<Diagnosis> {
  const { bucket, store, tokenFindings = () => [], proxyFindings = [], clock, shutdown } = deps;
  const { storeTimeoutMs = STORE_TIMEOUT_MS } = deps;
  return async () => {
    const signal = AbortSignal.any([shutdown, AbortSignal.timeout(storeTimeoutMs)]);
    try {
      const [database, ofBucket] = await Promise.all([checkDatabase(store), bucket.diagnose({ signal })]);
      const findings = [database, ...ofBucket, ...proxyFindings, ...tokenFindings()];
      return { server_version: SERVER_VERSION, server_time: new Date(clock.now()).toISOString(), findings };
    } catch (error) {
      if (shutdown.aborted) throw new BackhaulError('shutting_down');
      if (!signal.aborted) throw error;
      const seconds = storeTimeoutMs / 1000;
      throw new BackhaulError(
        'storage_unavailable',
        `The object store did not complete the checks within ${seconds} s.`,
      );
    }
  };
}

async function checkDatabase(store: Pick<Store, 'ping'>): Promise<Finding> {
  try {
    await store.ping();
    return { name: 'database', level: 'ok', detail: 'writable', fix: null };
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    const fix =
      'Check the database file, its disk and the server’s log. If files are missing, see docs/backup.md.';
    return { name: 'database', level: 'error', detail: error.message, fix };
  }
}

/**
 * Findings on which proxy the server uses for what, for the log at the start and for `doctor`. Empty without a proxy.
 */
export function proxyFindings({ proxies, s3, jwt }: Pick<Config, 'proxies' | 's3' | 'jwt'>): Finding[] {
  if (proxies.HTTPS_PROXY === null && proxies.HTTP_PROXY === null) return [];
  const uses: readonly (readonly [name: string, what: string, url: URL])[] = [
    ['proxy_object_store', 'calls to the object store', storeUrl(s3)],
    ...(jwt.kind === 'jwks'
      ? [['proxy_key_set', 'the key set (JWT_JWKS_URL)', new URL(jwt.url)] as const]
      : []),
  ];
  const findings = uses.map(([name, what, url]): Finding => {
    const proxy = proxyFor(url, proxies);
    const route =
      proxy === null
        ? `direct connection: it is this machine, NO_PROXY lists it, or no proxy is set for ${url.protocol}//`
        : `through ${proxy.address} (${proxy.variable})`;
    return { name, level: 'info', detail: `${what} at ${url.host}: ${route}`, fix: null };
  });
  const unreadable = unreadableProxies(proxies).map((variable): Finding => {
    const detail = `${variable} is not the address of an HTTP proxy; it is ignored`;
    return { name: 'proxy_variables', level: 'warning', detail, fix: null };
  });
  return [...findings, ...unreadable];
}
