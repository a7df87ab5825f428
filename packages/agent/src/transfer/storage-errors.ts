import type { ErrorCode } from '@backhaul/protocol';

/** What to do about a PUT that did not succeed. */
export type Verdict =
  /** The store or the way to it has a bad moment: back off, fresh connection. */
  | { readonly act: 'retry'; readonly detail: string; readonly afterMs?: number }
  /** A kept-alive connection had been closed by the other side: once more, at once, for free. */
  | { readonly act: 'retry_at_once'; readonly detail: string }
  /** The URL expired; not a failure. */
  | { readonly act: 'fresh_url'; readonly detail: string }
  /** The bytes did not match their checksum: the next try reads them anew. */
  | { readonly act: 'read_again'; readonly detail: string }
  | { readonly act: 'give_up'; readonly code: ErrorCode; readonly detail: string };

export interface StorageAnswer {
  readonly status: number;
  /** The element `Code` of S3's error document, '' if there is none. */
  readonly code: string;
  /** The element `Message`; only ever searched, never shown: some stores repeat the URL in it. */
  readonly message: string;
  readonly retryAfterMs: number | null;
}

const digestCodes = new Set([
  'BadDigest',
  'InvalidDigest',
  'XAmzContentChecksumMismatch',
  'XAmzContentSHA256Mismatch',
]);
const expiredCodes = new Set(['ExpiredToken', 'RequestExpired', 'TokenRefreshRequired']);
const transientCodes = new Set([
  'RequestTimeout',
  'IncompleteBody',
  'InternalError',
  'SlowDown',
  'ServiceUnavailable',
]);

/** The one table for what a store answers. */
export function judgeAnswer({ status, code, message, retryAfterMs }: StorageAnswer): Verdict {
  const detail = code === '' ? `HTTP ${status}` : `HTTP ${status} ${code}`;
  const giveUp = (errorCode: ErrorCode, advice: string): Verdict => ({
    act: 'give_up',
    code: errorCode,
    detail: `${detail}: ${advice}`,
  });

  if (expiredCodes.has(code)) return { act: 'fresh_url', detail };
  if (status === 403 && code === 'AccessDenied' && /expired/i.test(message))
    return { act: 'fresh_url', detail };
  if (digestCodes.has(code)) return { act: 'read_again', detail };
  if (status === 400 && code === 'InvalidRequest' && /checksum/i.test(message))
    return { act: 'read_again', detail };
  if (code === 'NoSuchUpload') return giveUp('upload_gone', 'it was completed, aborted, or expired there');
  if (status >= 300 && status < 400) {
    return giveUp(
      'storage_refused',
      'a redirect, which is not followed; the server has a wrong region or endpoint',
    );
  }
  if (code === 'RequestTimeTooSkewed') return giveUp('storage_refused', "the server's clock is wrong");
  if (status === 501) return giveUp('storage_refused', 'the store lacks a feature that the request needs');
  const transient = status >= 500 || status === 408 || status === 409 || status === 429;
  if (transient || transientCodes.has(code)) {
    return { act: 'retry', detail, ...(retryAfterMs === null ? {} : { afterMs: retryAfterMs }) };
  }
  if (status === 403)
    return giveUp('storage_refused', "the server's credentials or the bucket's policy forbid it");
  return giveUp('storage_refused', 'the store does not accept the request');
}

const certificateErrors =
  /^(?:CERT_|ERR_TLS_CERT|DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT|UNABLE_TO_(?:GET_ISSUER|VERIFY_LEAF))/;

/** What no answer at all means. @param reused Whether the connection had carried an earlier request. */
export function judgeNoAnswer(error: unknown, { reused }: { reused: boolean }): Verdict {
  const errno = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
  if (certificateErrors.test(errno)) {
    const advice = 'the certificate is not trusted here; NODE_EXTRA_CA_CERTS can name a private authority';
    return { act: 'give_up', code: 'storage_refused', detail: `${errno}: ${advice}` };
  }
  const reset = errno === 'ECONNRESET' || errno === 'EPIPE';
  return { act: reused && reset ? 'retry_at_once' : 'retry', detail: errno };
}

/** S3's error document is XML; two of its elements matter, and a parser for them would be the larger risk. */
export function readErrorDocument(body: string): Pick<StorageAnswer, 'code' | 'message'> {
  return {
    code: /<Code>([A-Za-z0-9.]{1,64})<\/Code>/.exec(body)?.[1] ?? '',
    message: /<Message>([^<]{0,500})<\/Message>/.exec(body)?.[1] ?? '',
  };
}
