import { BackhaulError } from '@backhaul/protocol';
import type { Bucket } from '../ports/bucket.ts';
import type { Clock } from '../ports/clock.ts';
import type { RequestOrigin, Store } from '../ports/store.ts';
import { type VerificationResult, verifyObject } from './object-verification.ts';
import { findRecordedObject } from './recorded-object.ts';
import { withStoreDeadline } from './store-deadline.ts';
import type { UploadLedger } from './upload-ledger.ts';

export interface ObjectReport extends VerificationResult {
  readonly uploadId: string;
  /** Milliseconds since the epoch. */
  readonly checkedAt: number;
}

/** Compares the objects of completed uploads with their records on request. Changes nothing. */
export class ObjectVerifier {
  readonly #store: Pick<Store, 'appendAudit'>;
  readonly #ledger: Pick<UploadLedger, 'get'>;
  readonly #bucket: Pick<Bucket, 'head'>;
  readonly #clock: Clock;

  constructor(deps: {
    store: Pick<Store, 'appendAudit'>;
    ledger: Pick<UploadLedger, 'get'>;
    bucket: Pick<Bucket, 'head'>;
    clock: Clock;
  }) {
    this.#store = deps.store;
    this.#ledger = deps.ledger;
    this.#bucket = deps.bucket;
    this.#clock = deps.clock;
  }

  /**
   * @param by The operator, for the audit.
   * @throws BackhaulError `upload_not_found`, `upload_not_completed`; `storage_unavailable` after 10 s at most
   * @throws BucketError if the store refuses the request.
   */
  async verify(uploadId: string, by: string, { from }: RequestOrigin = {}): Promise<ObjectReport> {
    const upload = await this.#ledger.get(uploadId);
    if (upload.status !== 'completed') {
      throw new BackhaulError(
        'upload_not_completed',
        `Upload ${uploadId} is ${upload.status}; it has no finished object.`,
      );
    }
    const found = await withStoreDeadline((signal) => findRecordedObject(this.#bucket, upload, { signal }));
    const result = verifyObject(upload, found);
    const checkedAt = this.#clock.now();
    await this.#store.appendAudit({
      at: checkedAt,
      actor: by,
      address: from,
      action: 'upload.verify',
      clientId: upload.clientId,
      uploadId,
      detail: { verdict: result.verdict, keyState: result.keyState },
    });
    return { uploadId, ...result, checkedAt };
  }
}
