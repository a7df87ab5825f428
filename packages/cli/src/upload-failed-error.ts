import { type ErrorCode, errorTable, type UploadRecord } from '@backhaul/protocol';

/** An upload ended with a status other than `completed`. */
export class UploadFailedError extends Error {
  override readonly name = 'UploadFailedError';
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
