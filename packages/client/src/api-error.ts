import { type ErrorCode, errorTable, type UploadRecord } from '@backhaul/protocol';

export interface ApiErrorFields {
  readonly code: ErrorCode;
  /** HTTP status. */
  readonly status: number;
  /** The server's description of what happened and what to change. */
  readonly detail: string;
  /** Record of the upload that the error is about, if there is one. */
  readonly upload?: UploadRecord | undefined;
  /** Time that the server asks to wait before a retry. */
  readonly retryAfterMs?: number | undefined;
}

/** An error response of the server. Distinguish errors by `code`. */
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

  /** Whether the same request can succeed later without a change. */
  get retryable(): boolean {
    return errorTable[this.code].retryable;
  }
}
