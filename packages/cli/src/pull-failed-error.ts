import { type ErrorCode, errorTable, type UploadRecord } from '@backhaul/protocol';

/** A pull ended in another way than `completed`. */
export class PullFailedError extends Error {
  override readonly name = 'PullFailedError';
  readonly record: UploadRecord;
  readonly code: ErrorCode;

  constructor(record: UploadRecord) {
    const code = record.error ?? codeOfStatus(record);
    super(record.message ?? errorTable[code].sentence);
    this.record = record;
    this.code = code;
  }
}

function codeOfStatus({ status }: UploadRecord): ErrorCode {
  if (status === 'cancelled') return 'cancelled';
  if (status === 'expired') return 'upload_expired';
  return 'agent_fault';
}
