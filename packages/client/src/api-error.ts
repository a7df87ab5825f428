import { type ErrorCode, errorTable, type UploadRecord } from '@backhaul/protocol';

export interface ApiErrorFields {
  readonly code: ErrorCode;
  /** HTTP status. */
  readonly status: number;
  /** What happened here and what to change, in the server's words. */
  readonly detail: string;
  /** The upload record, where the error is about one that exists. */
  readonly upload?: UploadRecord | undefined;
  /** How long the server asks to wait before another try. */
  readonly retryAfterMs?: number | undefined;
}

/** The server refused a request, or failed at it, and said why. Tell them apart by `code`. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly code: ErrorCode;
  readonly status: number;
  readonly detail: string;
  readonly upload: UploadRecord | undefined;
  readonly retryAfterMs: number | undefined;

  constructor(fields: ApiErrorFields) {
    super(fields.detail);
    this.code = fields.code;
    this.status = fields.status;
    this.detail = fields.detail;
    this.upload = fields.upload;
    this.retryAfterMs = fields.retryAfterMs;
  }

  /** Whether the same request can succeed later with nothing changed. */
  get retryable(): boolean {
    return errorTable[this.code].retryable;
  }
}
