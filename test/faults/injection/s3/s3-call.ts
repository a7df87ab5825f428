import type { S3Subject } from './s3-operation-of.ts';

/** One request and its outcome. The query is not stored, because it may hold a signature. */
export interface S3Call extends S3Subject {
  readonly method: string;
  /** Milliseconds since the epoch. */
  readonly startedAtMs: number;
  /** Null while the call is in progress. */
  endedAtMs: number | null;
  /** Bytes of the body that the proxy has read. */
  requestBytes: number;
  /** Status of the store's response; null if the store was not called or did not respond. */
  storeStatus: number | null;
  /** Status sent to the client; null if none. */
  status: number | null;
  /** Kind of the fault chosen for this call, whether or not it took effect. */
  fault: string | null;
}

/** Whether the call is one of the server's capability probes. */
export function isTrial({ key }: Pick<S3Call, 'key'>): boolean {
  return key?.includes('/.backhaul-probe/') === true;
}
