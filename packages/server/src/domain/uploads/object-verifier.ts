import { BackhaulError } from '@backhaul/protocol';
import type { Bucket } from '../ports/bucket.ts';
import type { Clock } from '../ports/clock.ts';
import type { Store } from '../ports/store.ts';
import { type ObjectFinding, judgeObject } from './object-verification.ts';
import { findRecordedObject } from './recorded-object.ts';
import { answeredSoon } from './store-deadline.ts';
import type { UploadLedger } from './upload-ledger.ts';

export interface ObjectReport extends ObjectFinding {
  readonly uploadId: string;
  /** Milliseconds since the epoch. */
  readonly checkedAt: number;
}

/** Compares the objects of completed uploads with their records, as often as somebody wants to know. Changes nothing. */
export class ObjectVerifier {
  readonly #store: Pick<Store, 'appendAudit'>;
  readonly #ledger: Pick<UploadLedger, 'get'>;
  readonly #bucket: Pick<Bucket, 'head'>;
  readonly #clock: Clock;

  constructor(parts: {
    store: Pick<Store, 'appendAudit'>;
    ledger: Pick<UploadLedger, 'get'>;
    bucket: Pick<Bucket, 'head'>;
    clock: Clock;
  }) {
    this.#store = parts.store;
    this.#ledger = parts.ledger;
    this.#bucket = parts.bucket;
    this.#clock = parts.clock;
  }

  /**
   * @param by The operator, for the audit.
   * @throws BackhaulError `upload_not_found`, `upload_not_completed`; `storage_unavailable` after 10 s at most
   * @throws BucketError when the store does not say.
   */
  async verify(uploadId: string, by: string): Promise<ObjectReport> {
    const upload = await this.#ledger.get(uploadId);
    if (upload.status !== 'completed') {
      throw new BackhaulError(
        'upload_not_completed',
        `Upload ${uploadId} is ${upload.status}; it has no finished object.`,
      );
    }
    const found = await answeredSoon((signal) => findRecordedObject(this.#bucket, upload, { signal }));
    const finding = judgeObject(upload, found);
    const checkedAt = this.#clock.now();
    await this.#store.appendAudit({
      at: checkedAt,
      actor: by,
      action: 'upload.verify',
      clientId: upload.clientId,
      uploadId,
      detail: { verdict: finding.verdict, keyState: finding.keyState },
    });
    return { uploadId, ...finding, checkedAt };
  }
}
