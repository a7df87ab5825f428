import type { S3Subject } from './s3-operation-of.ts';

/** One request that came by, and what became of it. The query is not kept: it may hold a signature. */
export interface S3Call extends S3Subject {
  readonly method: string;
  /** Milliseconds since the epoch. */
  readonly startedAtMs: number;
  /** Null while it is under way. */
  endedAtMs: number | null;
  /** Of the body, as far as it was read here. */
  requestBytes: number;
  /** What the store answered; null if it was not asked, or did not answer. */
  storeStatus: number | null;
  /** What the client was told; null if nothing. */
  status: number | null;
  /** The kind of the fault that was chosen for it, whether or not that took effect. */
  fault: string | null;
}

/** Whether the server only tries out what the store honours, as it does at its start. */
export function isTrial({ key }: Pick<S3Call, 'key'>): boolean {
  return key?.includes('/.backhaul-probe/') === true;
}
