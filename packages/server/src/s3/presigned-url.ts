import aws4 from 'aws4';
import { type BucketAddress, encodeRfc3986, keyPath } from './bucket-address.ts';
import type { SigningCredentials } from './credential-source.ts';

/** S3's own limit (Signature Version 4, "Authenticating requests: using query parameters"). */
const MAX_EXPIRY_SECONDS = 7 * 24 * 60 * 60;

/** Lifetime of URLs signed together. */
export interface SigningWindow {
  readonly credentials: SigningCredentials;
  /** As in `X-Amz-Date`: whole seconds. Milliseconds since the epoch. */
  readonly signedAt: number;
  readonly expirySeconds: number;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
}

/** Never longer than the credentials live: a URL expires with them whatever its own expiry. */
export function signingWindow(
  credentials: SigningCredentials,
  now: number,
  wantedSeconds: number,
): SigningWindow {
  const signedAt = Math.floor(now / 1000) * 1000;
  const life = ((credentials.expiresAt ?? Number.POSITIVE_INFINITY) - signedAt) / 1000;
  const expirySeconds = Math.floor(Math.min(wantedSeconds, life, MAX_EXPIRY_SECONDS));
  return { credentials, signedAt, expirySeconds, expiresAt: signedAt + expirySeconds * 1000 };
}

export interface UrlToSign {
  readonly method: 'GET' | 'PUT';
  readonly key: string;
  readonly query: Readonly<Record<string, string>>;
  /** Lower case. All are signed in addition to `host`, and the user of the URL must send them unchanged. */
  readonly headers: Readonly<Record<string, string>>;
}

/** Computed locally, without a request. The body stays unsigned; the headers bind it. */
export function presignUrl(address: BucketAddress, window: SigningWindow, request: UrlToSign): string {
  const query = Object.entries({
    ...request.query,
    'X-Amz-Date': new Date(window.signedAt).toISOString().replaceAll(/[:-]|\.\d{3}/g, ''),
    'X-Amz-Expires': String(window.expirySeconds),
  });
  const path = keyPath(address, request.key);
  const signed = aws4.sign(
    {
      service: 's3',
      region: address.region,
      method: request.method,
      host: address.host,
      path: `${path}?${query.map(([name, value]) => `${name}=${encodeRfc3986(value)}`).join('&')}`,
      headers: { host: address.host, ...request.headers },
      signQuery: true,
    },
    window.credentials,
  );
  return `${address.protocol}//${address.host}${signed.path}`;
}
