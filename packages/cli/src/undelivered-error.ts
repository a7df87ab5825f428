import type { UploadRecord } from '@backhaul/protocol';

/** The upload succeeded, but its file could not be downloaded or written; see `cause`. */
export class UndeliveredError extends Error {
  override readonly name = 'UndeliveredError';
  readonly record: UploadRecord;

  constructor(record: UploadRecord, cause: unknown) {
    super('The file was not delivered.', { cause });
    this.record = record;
  }
}
