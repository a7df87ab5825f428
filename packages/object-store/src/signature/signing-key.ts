import { createHmac, timingSafeEqual } from 'node:crypto';

export interface Credentials {
  readonly accessKey: string;
  readonly secretKey: string;
  readonly region: string;
}

/** `YYYYMMDD/region/s3/aws4_request` */
export function credentialScope(date: string, region: string): string {
  return `${date}/${region}/s3/aws4_request`;
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}

/** @param date `YYYYMMDD` */
export function deriveSigningKey({ secretKey, region }: Credentials, date: string): Buffer {
  return hmac(hmac(hmac(hmac(`AWS4${secretKey}`, date), region), 's3'), 'aws4_request');
}

/** Hex. */
export function signText(signingKey: Buffer, text: string): string {
  return hmac(signingKey, text).toString('hex');
}

/** In time that depends on neither argument's content. */
export function sameSignature(expected: string, given: string): boolean {
  const a = Buffer.from(expected);
  const b = Buffer.from(given);
  return a.length === b.length && timingSafeEqual(a, b);
}
