import type { UploadRecord } from '@backhaul/protocol';

/** The file is in the bucket, and did not come here: `cause` says why. */
export class UndeliveredError extends Error {
  override readonly name = 'UndeliveredError';
  readonly record: UploadRecord;

  constructor(record: UploadRecord, cause: unknown) {
    super('The file was not delivered.', { cause });
    this.record = record;
  }
}
