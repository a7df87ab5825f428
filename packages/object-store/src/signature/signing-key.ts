import { createHmac, createSecretKey, type KeyObject, timingSafeEqual } from 'node:crypto';

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
