import {
  type ErrorCode,
  errorCodes,
  isErrorCode,
  problemSchema,
  uploadRecordSchema,
} from '@backhaul/protocol';
import { ApiError } from './api-error.ts';
import { ConnectionError } from './connection-error.ts';
import { UnexpectedAnswerError } from './unexpected-answer-error.ts';

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
  const upload = uploadRecordSchema.safeParse(fieldOf(body, 'upload'));
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
