import type { ProxyInUse } from '@backhaul/program';
import { type ErrorCode, explainConnectionFault } from '@backhaul/protocol';
import { codeOf } from '../errno.ts';

/** Why a PUT failed, in two versions. */
export interface FailureText {
  /** Full text, for the agent's own log. */
  readonly detail: string;
  /** Text for the server. Only a class for untrusted addresses, so that the agent cannot be used to probe its network. */
  readonly summary: string;
}

/** A failed PUT and how to proceed. */
export type PutFailure = FailureText &
  (
    | /** Temporary failure of the store or the network: back off, then use a new connection. */
      { readonly act: 'retry'; readonly afterMs?: number }
    /** The peer had closed a kept-alive connection: retry immediately; does not count as a failure. */
    | { readonly act: 'retry_at_once' }
    /** The URL has expired; does not count as a failure. */
    | { readonly act: 'fresh_url' }
    /** The bytes did not match their checksum: the retry reads them again. */
    | { readonly act: 'read_again' }
    | { readonly act: 'give_up'; readonly code: ErrorCode }
  );

export interface StorageResponse {
  readonly status: number;
  /** Element `Code` of S3's error document; '' if there is none. */
  readonly code: string;
  /** Element `Message`. Only searched, never shown: some stores repeat the URL in it. */
  readonly message: string;
  readonly retryAfterMs: number | null;
  /** Whether the server may receive the full text; see `StorageClient.isTrusted`. */
  readonly trusted: boolean;
  /** Host and port of the part's URL, which the server may always receive, because it created the URL. */
  readonly host: string;
}

/** Host and port for messages; the port is included even if it is the default. */
export function hostAndPort({ hostname, port, protocol }: URL): string {
  return `${hostname}:${port === '' ? (protocol === 'http:' ? '80' : '443') : port}`;
}

const digestCodes = new Set([
  'BadDigest',
  'InvalidDigest',
  'XAmzContentChecksumMismatch',
  'XAmzContentSHA256Mismatch',
]);
/** The last one means that the signer's clock was wrong; the next URL may be correct. */
const expiredCodes = new Set([
  'ExpiredToken',
  'RequestExpired',
  'TokenRefreshRequired',
  'RequestTimeTooSkewed',
]);
const transientCodes = new Set([
  'RequestTimeout',
  'IncompleteBody',
  'InternalError',
  'SlowDown',
  'ServiceUnavailable',
]);

/** Further codes of S3-compatible stores that indicate a wrong setting. An address that returns one is a store. */
const settingCodes = new Set([
  'AccessDenied',
  'AccountProblem',
  'AllAccessDisabled',
  'AuthorizationHeaderMalformed',
  'AuthorizationQueryParametersError',
  'EntityTooLarge',
  'EntityTooSmall',
  'InvalidAccessKeyId',
  'InvalidArgument',
  'InvalidBucketName',
  'InvalidPart',
  'InvalidRequest',
  'InvalidSecurity',
  'InvalidToken',
  'KMS.DisabledException',
  'KMS.NotFoundException',
  'MethodNotAllowed',
  'MissingContentLength',
  'NoSuchBucket',
  'NoSuchKey',
  'NoSuchUpload',
  'NotImplemented',
  'OperationAborted',
  'PermanentRedirect',
  'PreconditionFailed',
  'QuotaExceeded',
  'SignatureDoesNotMatch',
  'TemporaryRedirect',
  'TooManyRequests',
  'XMinioStorageFull',
]);

function isKnownCode(code: string): boolean {
  return [digestCodes, expiredCodes, transientCodes, settingCodes].some((codes) => codes.has(code));
}

/** Decides how to proceed after a response of the store. */
export function classifyResponse({
  status,
  code,
  message,
  retryAfterMs,
  trusted,
  host,
}: StorageResponse): PutFailure {
  const detail = code === '' ? `HTTP ${status}` : `HTTP ${status} ${code}`;
  const open = trusted || isKnownCode(code);
  const summary = open ? detail : statusClass(status);
  const giveUp = (errorCode: ErrorCode, advice: string): PutFailure => ({
    act: 'give_up',
    code: errorCode,
    detail: `${detail}: ${advice}`,
    summary: `${summary}: ${open || isPlain(status) ? advice : NOT_ACCEPTED}`,
  });

  if (expiredCodes.has(code)) return { act: 'fresh_url', detail, summary };
  if (status === 403 && code === 'AccessDenied' && /expired|not valid yet|not yet valid/i.test(message))
    return { act: 'fresh_url', detail, summary };
  if (digestCodes.has(code)) return { act: 'read_again', detail, summary };
  if (status === 400 && code === 'InvalidRequest' && /checksum/i.test(message))
    return { act: 'read_again', detail, summary };
  if (code === 'NoSuchUpload')
    return giveUp('upload_gone', 'the multipart upload was completed, aborted or expired in the store');
  if (isRedirect(status)) {
    return giveUp(
      'storage_refused',
      'redirects are not followed; the region or endpoint in the server configuration is wrong',
    );
  }
  if (status === 413) {
    return giveUp(
      'storage_refused',
      `a part exceeds the request size limit of a proxy in front of the store at ${host} (nginx: client_max_body_size)`,
    );
  }
  if (code === 'SignatureDoesNotMatch') {
    return giveUp(
      'storage_refused',
      `the signature does not match: a proxy at ${host} changes the Host header, the path or headers, or the server's AWS_SECRET_ACCESS_KEY is wrong`,
    );
  }
  if (status === 501)
    return giveUp('storage_refused', 'the store does not support a feature that the request requires');
  const transient = status >= 500 || status === 408 || status === 409 || status === 429;
  if (transient || transientCodes.has(code)) {
    return { act: 'retry', detail, summary, ...(retryAfterMs === null ? {} : { afterMs: retryAfterMs }) };
  }
  if (status === 403)
    return giveUp('storage_refused', "the server's credentials or the bucket policy do not allow it");
  return giveUp('storage_refused', NOT_ACCEPTED);
}

const NOT_ACCEPTED = 'the store does not accept the request';

function isRedirect(status: number): boolean {
  return status >= 300 && status < 400;
}

/** Whether the server may receive the advice for any address; private addresses were refused by the storage policy. */
function isPlain(status: number): boolean {
  return isRedirect(status) || status === 413;
}

/** Class of an unknown response for the server, e.g. `HTTP 4xx`. */
function statusClass(status: number): string {
  return `HTTP ${Math.floor(status / 100)}xx`;
}

/** A success status without a usable result. */
export function classifyUnusableSuccess(
  status: number,
  problem: string,
  { trusted }: { trusted: boolean },
): PutFailure {
  const detail = `HTTP ${status} ${problem}`;
  return { act: 'retry', detail, summary: trusted ? detail : `${statusClass(status)} ${problem}` };
}

/** Retry interval if a person has to change something first. */
const LASTING_FAULT_MS = 60_000;

/**
 * Decides how to proceed if there is no response.
 *
 * @param reused Whether the connection had carried an earlier request.
 * @param trusted As in `StorageResponse`; `host` likewise.
 */
export function classifyError(
  error: unknown,
  {
    reused,
    trusted,
    host,
    proxy,
  }: { reused: boolean; trusted: boolean; host: string; proxy: ProxyInUse | null },
): PutFailure {
  const errno = codeOf(error) ?? 'unknown';
  const fault = explainConnectionFault(error, {
    host,
    addressSetting: "the server's S3_PUBLIC_ENDPOINT or S3_ENDPOINT",
    authoritySetting: "the agent's --ca-file or NODE_EXTRA_CA_CERTS",
    proxy,
  });
  if (isCertificateError(errno) && fault !== null) {
    const detail = `${errno}: ${fault.sentence}`;
    const summary = trusted ? detail : `TLS: ${untrustedSummary(host)}`;
    return { act: 'give_up', code: 'storage_refused', detail, summary };
  }
  // The proxy is the owner's: the server may only learn that there is one, not its address.
  if (proxy !== null && errno === 'ERR_PROXY_TUNNEL') {
    const detail = `${fault?.sentence ?? 'the proxy failed'} (${errno})`;
    const summary = `the agent's proxy cannot connect to ${host}; see the agent's log`;
    return fault?.isLasting === true
      ? { act: 'retry', detail, summary, afterMs: LASTING_FAULT_MS }
      : { act: 'retry', detail, summary };
  }
  const reset = errno === 'ECONNRESET' || errno === 'EPIPE';
  const detail = `${fault === null || isOnEstablished(errno) ? connectionProblem(host, errno) : fault.sentence} (${errno})`;
  return {
    act: reused && reset ? 'retry_at_once' : 'retry',
    detail,
    summary: trusted ? detail : `the store at ${host} is unreachable`,
  };
}

function isCertificateError(errno: string): boolean {
  return /^(?:CERT_|ERR_TLS_CERT|DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT|UNABLE_TO_(?:GET_ISSUER|VERIFY_LEAF))/.test(
    errno,
  );
}

function untrustedSummary(host: string): string {
  return `the certificate of ${host} is not trusted on the agent's machine; add a private CA there with --ca-file or NODE_EXTRA_CA_CERTS, and see the agent's log`;
}

/** Error codes that also occur on an established connection. */
function isOnEstablished(errno: string): boolean {
  return ['ECONNRESET', 'EPIPE', 'ETIMEDOUT'].includes(errno);
}

function connectionProblem(host: string, errno: string): string {
  if (errno === 'ETIMEDOUT') return `no progress on the connection to ${host}`;
  if (errno === 'ECONNRESET' || errno === 'EPIPE') return `lost the connection to ${host}`;
  return `the request to ${host} failed`;
}

/**
 * Whether a text has the form of a store's ETag: quoted, of hex or base64 characters, with a number of parts. A part
 * counts as stored only with a valid ETag; any other header value could reveal the response of an internal address.
 */
export function isEtag(text: string): boolean {
  return /^(?:W\/)?(?:"[A-Za-z0-9+/=._:~-]{1,128}"|[A-Za-z0-9+/=._:~-]{1,128})$/.test(text);
}

/** Extracts two elements of S3's XML error document; an XML parser would be the larger risk. */
export function readErrorDocument(body: string): Pick<StorageResponse, 'code' | 'message'> {
  return {
    code: /<Code>([A-Za-z0-9.]{1,64})<\/Code>/.exec(body)?.[1] ?? '',
    message: /<Message>([^<]{0,500})<\/Message>/.exec(body)?.[1] ?? '',
  };
}
