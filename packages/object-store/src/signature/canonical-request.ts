import { createHash } from 'node:crypto';
import type { RequestHeaders } from '../http/headers.ts';
import type { RequestTarget } from '../http/request-target.ts';

/** SigV4's `UriEncode`: percent-encodes all except the unreserved characters of RFC 3986. */
function uriEncode(text: string): string {
  return encodeURIComponent(text).replaceAll(
    /[!'()*]/g,
    (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}

function canonicalQuery(query: RequestTarget['query']): string {
  return query
    .filter(([name]) => name !== 'X-Amz-Signature')
    .map(([name, value]) => [uriEncode(name), uriEncode(value)] as const)
    .sort(([nameA, valueA], [nameB, valueB]) => compare(nameA, nameB) || compare(valueA, valueB))
    .map(([name, value]) => `${name}=${value}`)
    .join('&');
}

export interface SignedRequest {
  readonly method: string;
  readonly target: RequestTarget;
  readonly headers: RequestHeaders;
}

/**
 * Builds the canonical request in S3's form: the path is encoded once and not normalised.
 * Source: "Create a signed AWS API request", AWS IAM User Guide; "Authenticating Requests", Amazon S3 API Reference.
 */
export function canonicalRequest(
  { method, target, headers }: SignedRequest,
  signedHeaders: readonly string[],
  payloadHash: string,
): string {
  return [
    method,
    target.path.split('/').map(uriEncode).join('/'),
    canonicalQuery(target.query),
    ...signedHeaders.map((name) => `${name}:${(headers.get(name) ?? '').trim().replaceAll(/ {2,}/g, ' ')}`),
    '',
    signedHeaders.join(';'),
    payloadHash,
  ].join('\n');
}

/** Returns hexadecimal. Headers have one byte per character, so `latin1` hashes the bytes as received. */
export function sha256Hex(bytes: string | Uint8Array): string {
  const hash = createHash('sha256');
  return (typeof bytes === 'string' ? hash.update(bytes, 'latin1') : hash.update(bytes)).digest('hex');
}
