import {
  type ErrorCode,
  errorCodes,
  errorTable,
  isErrorCode,
  parseResponse,
  problemSchema,
  type UploadRecord,
  uploadRecordSchema,
} from '@backhaul/protocol';

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

/** The server could not be reached, or disconnected before its response. `cause` is the network's error. */
export class ConnectionError extends Error {
  override readonly name = 'ConnectionError';
  /** Scheme, host and port of the server. */
  readonly origin: string;

  constructor(origin: string, problem: string, options?: ErrorOptions) {
    super(`${origin} ${problem}`, options);
    this.origin = origin;
  }
}

/**
 * Returns the reason of a network error: the system's error code (`ECONNREFUSED`, …), which fetch hides in nested
 * causes, else the innermost message. Undefined for other errors: fetch throws network errors as a TypeError with a
 * cause; a TypeError without one is a bug.
 */
export function networkReason(error: unknown): string | undefined {
  if (!(error instanceof TypeError)) return undefined;
  let innermost: string | undefined;
  for (let at = error.cause; at instanceof Error; at = at.cause) {
    if ('code' in at && typeof at.code === 'string') return at.code;
    innermost = at.message;
  }
  return innermost;
}

/** A failed connection. The message is a clause with the reason and the change to make; `code` is the network's. */
export class NetworkFault extends Error {
  override readonly name = 'NetworkFault';
  readonly code: string;

  constructor(sentence: string, cause: Error) {
    super(sentence, { cause });
    this.code = networkReason(new TypeError('', { cause })) ?? 'unknown';
  }
}

/** Returns the message and code of a {@link NetworkFault} among the causes of an error; null if there is none. */
export function faultIn(error: unknown): string | null {
  for (let at = error; at instanceof Error; at = at.cause) {
    if (at instanceof NetworkFault) return `${at.message} (${at.code})`;
  }
  return null;
}

/**
 * The response is not that of a Backhaul server of this version: it comes from a proxy, another program or an
 * incompatible server.
 */
export class UnexpectedAnswerError extends Error {
  override readonly name = 'UnexpectedAnswerError';
  /** HTTP status. */
  readonly status: number;

  constructor(message: string, status: number, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
  }
}

/** Whether a retry can succeed. */
export function isRetryable(error: unknown): error is ConnectionError | ApiError {
  return error instanceof ConnectionError || (error instanceof ApiError && error.retryable);
}

/** Statuses of a gateway whose server is unavailable (RFC 9110, 15.6). */
const gatewayStatuses: ReadonlySet<number> = new Set([502, 503, 504]);

/** Accepts codes of newer servers that this version's table lacks. */
const anyProblemSchema = problemSchema.extend({ code: problemSchema.shape.code.catch(errorCodes[0]) });

/** Returns the error for a response with an unexpected status. Reads the body. */
export async function readProblem(
  response: Response,
  { request, origin }: { readonly request: string; readonly origin: string },
): Promise<Error> {
  const body = await readJson(response);
  const problem = anyProblemSchema.safeParse(body);
  if (!problem.success) return withoutProblem(response.status, request, origin);
  const code = String(fieldOf(body, 'code'));
  const upload = parseResponse(uploadRecordSchema, fieldOf(body, 'upload'));
  return new ApiError({
    code: isErrorCode(code) ? code : nearestCode(response.status),
    status: response.status,
    detail: isErrorCode(code) ? problem.data.detail : `${problem.data.detail} (${code.slice(0, 64)})`,
    upload: upload.success ? upload.data : undefined,
    retryAfterMs: parseRetryAfter(response.headers.get('retry-after')),
  });
}

/** Returns milliseconds. The header is either seconds or a date (RFC 9110, 10.2.3). */
export function parseRetryAfter(header: string | null, now = Date.now()): number | undefined {
  if (header === null) return undefined;
  if (/^\d{1,9}$/.test(header)) return Number(header) * 1000;
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}

function withoutProblem(status: number, request: string, origin: string): Error {
  if (status === 407) {
    const change = 'set HTTP_PROXY to http://USER:PASSWORD@HOST:PORT';
    return new ConnectionError(
      origin,
      `is behind a proxy that asks for a user name and password (407): ${change}`,
    );
  }
  if (gatewayStatuses.has(status)) {
    return new ConnectionError(origin, `responded with ${status}: the server behind it is unavailable`);
  }
  return new UnexpectedAnswerError(
    `${request} at ${origin} returned ${status}, but not the response of a Backhaul server`,
    status,
  );
}

async function readJson(response: Response): Promise<unknown> {
  const text = await response.text();
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function fieldOf(body: unknown, name: string): unknown {
  return typeof body === 'object' && body !== null ? (body as Record<string, unknown>)[name] : undefined;
}

function nearestCode(status: number): ErrorCode {
  switch (status) {
    case 401:
      return 'unauthorized';
    case 403:
      return 'forbidden';
    case 404:
      return 'not_found';
    case 405:
      return 'method_not_allowed';
    case 413:
      return 'payload_too_large';
    case 415:
      return 'unsupported_media_type';
    case 429:
      return 'too_many_requests';
    default:
      return status < 500 ? 'invalid_request' : 'internal_error';
  }
}
