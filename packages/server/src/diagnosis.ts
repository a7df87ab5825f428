import { BackhaulError, type Diagnosis, type Finding } from '@backhaul/protocol';
import type { Clock } from './domain/ports/clock.ts';
import { type Store, StoreError } from './domain/ports/store.ts';
import type { S3Bucket } from './s3/s3-bucket.ts';
import { SERVER_VERSION } from './version.ts';

/** Less than the two minutes that clients wait. */
const STORE_ANSWER_MS = 100_000;

interface DiagnosisParts {
  readonly bucket: Pick<S3Bucket, 'diagnose'>;
  readonly store: Pick<Store, 'ping'>;
  /** What is to be said about the tokens that were used. */
  readonly tokenFindings?: () => Finding[];
  /** Which proxy is used for what; it does not change while the server runs. */
  readonly proxyFindings?: readonly Finding[];
  readonly clock: Pick<Clock, 'now'>;
  /** Aborts when the server begins to shut down: an answer under way must not hold that up. */
  readonly shutdown: AbortSignal;
  /** How long the object store may take for all of it; milliseconds. Default: 100,000. */
  readonly storeAnswerMs?: number;
}

/**
 * What the server finds about its own settings and bucket, asked anew each time.
 *
 * @throws BackhaulError `shutting_down`, `storage_unavailable`; BucketError
 */
export function createDiagnosis(parts: DiagnosisParts): () => Promise<Diagnosis> {
  const { bucket, store, tokenFindings = () => [], proxyFindings = [], clock, shutdown } = parts;
  const { storeAnswerMs = STORE_ANSWER_MS } = parts;
  return async () => {
    const signal = AbortSignal.any([shutdown, AbortSignal.timeout(storeAnswerMs)]);
    try {
      const [database, ofBucket] = await Promise.all([checkDatabase(store), bucket.diagnose({ signal })]);
      const findings = [database, ...ofBucket, ...proxyFindings, ...tokenFindings()];
      return { server_version: SERVER_VERSION, server_time: new Date(clock.now()).toISOString(), findings };
    } catch (error) {
      if (shutdown.aborted) throw new BackhaulError('shutting_down');
      if (!signal.aborted) throw error;
      const seconds = storeAnswerMs / 1000;
      throw new BackhaulError(
        'storage_unavailable',
        `The object store took more than ${seconds} s for a trial.`,
      );
    }
  };
}

async function checkDatabase(store: Pick<Store, 'ping'>): Promise<Finding> {
  try {
    await store.ping();
    return { name: 'database', level: 'ok', detail: 'takes writes', fix: null };
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    const fix =
      'Look at the database file, its disk and the server’s log; docs/backup.md says what to do if files are gone.';
    return { name: 'database', level: 'error', detail: error.message, fix };
  }
}
