import { createHash, createHmac, createSecretKey, type KeyObject, timingSafeEqual } from 'node:crypto';
import type { RequestHeaders, RequestTarget } from '../http/request-head.ts';

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

export interface Credentials {
  readonly accessKey: string;
  readonly secretKey: string;
  readonly region: string;
}

/** `YYYYMMDD/region/s3/aws4_request` */
export function credentialScope(date: string, region: string): string {
  return `${date}/${region}/s3/aws4_request`;
}

function hmac(key: string | Buffer | KeyObject, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}

const latestKeys = new WeakMap<Credentials, { readonly date: string; readonly key: KeyObject }>();

/**
 * Returns the signing key of a day. The latest key is cached, because deriving it is the most expensive part of
 * verifying a signature.
 * @param date `YYYYMMDD`
 */
export function signingKeyOf(credentials: Credentials, date: string): KeyObject {
  const latest = latestKeys.get(credentials);
  if (latest?.date === date) return latest.key;
  const { secretKey, region } = credentials;
  const key = createSecretKey(hmac(hmac(hmac(hmac(`AWS4${secretKey}`, date), region), 's3'), 'aws4_request'));
  latestKeys.set(credentials, { date, key });
  return key;
}

/** Returns the signature in hexadecimal. */
export function signText(signingKey: KeyObject, text: string): string {
  return hmac(signingKey, text).toString('hex');
}

/** Compares in constant time. */
export function sameSignature(expected: string, given: string): boolean {
  const a = Buffer.from(expected);
  const b = Buffer.from(given);
  return a.length === b.length && timingSafeEqual(a, b);
}
