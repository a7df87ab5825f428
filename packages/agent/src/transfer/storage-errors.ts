import type { ProxyInUse } from '@backhaul/program';
import { type ErrorCode, explainConnectionFault } from '@backhaul/protocol';

/** Why a PUT did not succeed, in two versions. */
export interface Finding {
  /** All of it: for the agent's own log. */
  readonly detail: string;
  /** For the server: of an address that the owner has not vouched for only its class, so that it is no probe. */
  readonly summary: string;
}

/** What to do about a PUT that did not succeed. */
export type Verdict = Finding &
  (
    | /** The store or the way to it has a bad moment: back off, fresh connection. */
      { readonly act: 'retry'; readonly afterMs?: number }
    /** A kept-alive connection had been closed by the other side: once more, at once, for free. */
    | { readonly act: 'retry_at_once' }
    /** The URL expired; not a failure. */
    | { readonly act: 'fresh_url' }
    /** The bytes did not match their checksum: the next try reads them anew. */
    | { readonly act: 'read_again' }
    | { readonly act: 'give_up'; readonly code: ErrorCode }
  );

export interface StorageAnswer {
  readonly status: number;
  /** The element `Code` of S3's error document, '' if there is none. */
  readonly code: string;
  /** The element `Message`; only ever searched, never shown: some stores repeat the URL in it. */
  readonly message: string;
  readonly retryAfterMs: number | null;
  /** Whether the server may hear all of it; see `StorageClient.isTrusted`. */
  readonly trusted: boolean;
  /** Host and port of the part's URL. The server may always hear it: it made the URL. */
  readonly host: string;
}

/** As people look for it in settings and firewalls: the port also where the protocol implies it. */
export function hostAndPort({ hostname, port, protocol }: URL): string {
  return `${hostname}:${port === '' ? (protocol === 'http:' ? '80' : '443') : port}`;
}

const digestCodes = new Set([
  'BadDigest',
  'InvalidDigest',
  'XAmzContentChecksumMismatch',
  'XAmzContentSHA256Mismatch',
]);
/** The last is of a URL that was signed by a wrong clock; the next one may be signed by a right one. */
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

/** Further codes of S3 and its kin that say what is wrong with a setting. An address that answers one is a store. */
const telltaleCodes = new Set([
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
  return [digestCodes, expiredCodes, transientCodes, telltaleCodes].some((codes) => codes.has(code));
}

/** The one table for what a store answers. */
export function judgeAnswer({ status, code, message, retryAfterMs, trusted, host }: StorageAnswer): Verdict {
  const detail = code === '' ? `HTTP ${status}` : `HTTP ${status} ${code}`;
  const open = trusted || isKnownCode(code);
  const summary = open ? detail : statusClass(status);
  const giveUp = (errorCode: ErrorCode, advice: string): Verdict => ({
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
  if (code === 'NoSuchUpload') return giveUp('upload_gone', 'it was completed, aborted, or expired there');
  if (isRedirect(status)) {
    return giveUp(
      'storage_refused',
      'a redirect, which is not followed; the server has a wrong region or endpoint',
    );
  }
  if (status === 413) {
    return giveUp(
      'storage_refused',
      `a proxy in front of the store at ${host} limits the size of requests, and a part is larger (nginx: client_max_body_size)`,
    );
  }
  if (code === 'SignatureDoesNotMatch') {
    return giveUp(
      'storage_refused',
      `the signature does not match: a proxy at ${host} changes the Host header, the path or headers, or the server's AWS_SECRET_ACCESS_KEY is wrong`,
    );
  }
  if (status === 501) return giveUp('storage_refused', 'the store lacks a feature that the request needs');
  const transient = status >= 500 || status === 408 || status === 409 || status === 429;
  if (transient || transientCodes.has(code)) {
    return { act: 'retry', detail, summary, ...(retryAfterMs === null ? {} : { afterMs: retryAfterMs }) };
  }
  if (status === 403)
    return giveUp('storage_refused', "the server's credentials or the bucket's policy forbid it");
  return giveUp('storage_refused', NOT_ACCEPTED);
}

const NOT_ACCEPTED = 'the store does not accept the request';

function isRedirect(status: number): boolean {
  return status >= 300 && status < 400;
}

/** Whether the server hears the advice from any address: the storage policy has refused the private ones before. */
function isPlain(status: number): boolean {
  return isRedirect(status) || status === 413;
}

/** As much of an unknown answer as the server hears, e.g. `HTTP 4xx`. */
function statusClass(status: number): string {
  return `HTTP ${Math.floor(status / 100)}xx`;
}

/** A success that cannot be taken for one. */
export function judgeUselessSuccess(status: number, why: string, { trusted }: { trusted: boolean }): Verdict {
  const detail = `HTTP ${status} ${why}`;
  return { act: 'retry', detail, summary: trusted ? detail : `${statusClass(status)} ${why}` };
}

/** Between tries that need somebody to change something first. */
const LASTING_FAULT_MS = 60_000;

/**
 * What no answer at all means.
 *
 * @param reused Whether the connection had carried an earlier request.
 * @param trusted As in `StorageAnswer`, and `host`.
 */
export function judgeNoAnswer(
  error: unknown,
  {
    reused,
    trusted,
    host,
    proxy,
  }: { reused: boolean; trusted: boolean; host: string; proxy: ProxyInUse | null },
): Verdict {
  const errno = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
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
  // The proxy is the owner's, and named to the server by nobody else; only that there is one may be heard there.
  if (proxy !== null && errno === 'ERR_PROXY_TUNNEL') {
    const detail = `${fault?.sentence ?? 'the proxy failed'} (${errno})`;
    const summary = `the agent's proxy does not connect to ${host}; the agent's log says why`;
    return fault?.isLasting === true
      ? { act: 'retry', detail, summary, afterMs: LASTING_FAULT_MS }
      : { act: 'retry', detail, summary };
  }
  const reset = errno === 'ECONNRESET' || errno === 'EPIPE';
  const detail = `${fault === null || isMidway(errno) ? wayTo(host, errno) : fault.sentence} (${errno})`;
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
  return `the certificate of ${host} is not trusted on the agent's machine; --ca-file or NODE_EXTRA_CA_CERTS there can name a private authority, and the agent's log says more`;
}

/** What a connection that was there may end with, too. */
function isMidway(errno: string): boolean {
  return ['ECONNRESET', 'EPIPE', 'ETIMEDOUT'].includes(errno);
}

function wayTo(host: string, errno: string): string {
  if (errno === 'ETIMEDOUT') return `no progress on the connection to ${host}`;
  if (errno === 'ECONNRESET' || errno === 'EPIPE') return `lost the connection to ${host}`;
  return `the request to ${host} failed`;
}

/**
 * As stores make them: quoted, of hex or base64 characters, with a number of parts. A part is stored only if its answer
 * has one; anything else in that header could carry what an address inside the network says.
 */
export function isEtag(text: string): boolean {
  return /^(?:W\/)?(?:"[A-Za-z0-9+/=._:~-]{1,128}"|[A-Za-z0-9+/=._:~-]{1,128})$/.test(text);
}

/** S3's error document is XML; two of its elements matter, and a parser for them would be the larger risk. */
export function readErrorDocument(body: string): Pick<StorageAnswer, 'code' | 'message'> {
  return {
    code: /<Code>([A-Za-z0-9.]{1,64})<\/Code>/.exec(body)?.[1] ?? '',
    message: /<Message>([^<]{0,500})<\/Message>/.exec(body)?.[1] ?? '',
  };
}
