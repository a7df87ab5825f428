import type { S3Client } from '@aws-sdk/client-s3';
import type { S3Settings } from './s3-settings.ts';

/** Address of the bucket in virtual-host or path style; the key follows {@link basePath}. */
export interface BucketAddress {
  /** `http:` or `https:`. */
  readonly protocol: string;
  /** Value of the `Host` header: includes the port only if it is not the protocol's default. */
  readonly host: string;
  /** Ends with a slash. */
  readonly basePath: string;
  readonly region: string;
}

export type EndpointResolver = S3Client['config']['endpointProvider'];

/**
 * Resolved by the SDK's own rules, so that our presigned URLs and the SDK's calls agree in every partition and style.
 */
export function bucketAddress(
  resolve: EndpointResolver,
  settings: S3Settings,
  endpoint: string | undefined,
): BucketAddress {
  const { url } = resolve({
    Bucket: settings.bucket,
    Region: settings.region,
    ForcePathStyle: settings.forcePathStyle,
    UseFIPS: false,
    UseDualStack: false,
    UseGlobalEndpoint: false,
    Accelerate: false,
    DisableMultiRegionAccessPoints: true,
    ...(endpoint !== undefined && { Endpoint: endpoint }),
  });
  return {
    protocol: url.protocol,
    host: url.host,
    basePath: url.pathname.endsWith('/') ? url.pathname : `${url.pathname}/`,
    region: settings.region,
  };
}

/**
 * The key as a path, encoded as Signature Version 4 requires (RFC 3986 unreserved characters stay).
 *
 * @throws RangeError for keys with segments that URL parsers resolve (`..`): the URL would name another object.
 */
export function keyPath(address: BucketAddress, key: string): string {
  const segments = key.split('/');
  if (segments.some((segment) => segment === '.' || segment === '..')) {
    throw new RangeError('a key must not contain a "." or ".." segment');
  }
  return address.basePath + segments.map(encodeRfc3986).join('/');
}

export function encodeRfc3986(text: string): string {
  return encodeURIComponent(text).replaceAll(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
