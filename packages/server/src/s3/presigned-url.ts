import type { S3Client } from '@aws-sdk/client-s3';
import { type ChecksumMode, type PresignedPart, savedFileName } from '@backhaul/protocol';
import aws4 from 'aws4';
import { BucketError, type MultipartUpload, type PartToSign } from '../domain/ports/bucket.ts';
import type { SigningCredentials } from './credential-source.ts';
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
function keyPath(address: BucketAddress, key: string): string {
  const segments = key.split('/');
  if (segments.some((segment) => segment === '.' || segment === '..')) {
    throw new RangeError('a key must not contain a "." or ".." segment');
  }
  return address.basePath + segments.map(encodeRfc3986).join('/');
}

function encodeRfc3986(text: string): string {
  return encodeURIComponent(text).replaceAll(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

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

interface UrlToSign {
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

/**
 * A URL for one PUT of one part: method, key, upload, part number, length and checksum are all signed. Without a
 * signed `content-length`, the holder of the URL could send 5 GiB.
 */
export function signPartUrl(
  address: BucketAddress,
  window: SigningWindow,
  request: { upload: MultipartUpload; part: PartToSign; mode: ChecksumMode },
): PresignedPart {
  const { upload, part, mode } = request;
  const headers = { 'content-length': String(part.sizeBytes), ...checksumHeader(part, mode) };
  const query = { partNumber: String(part.partNumber), uploadId: upload.s3UploadId };
  const url = presignUrl(address, window, { method: 'PUT', key: upload.key, query, headers });
  return { part_number: part.partNumber, url, headers };
}

/** S3 reads checksums from headers; in the query they would be signed and ignored. */
function checksumHeader(part: PartToSign, mode: ChecksumMode): Record<string, string> {
  switch (mode) {
    case 'crc32':
      return { 'x-amz-checksum-crc32': part.crc32 };
    case 'sha256':
      return { 'x-amz-checksum-sha256': present(part, 'sha256') };
    case 'md5':
      return { 'content-md5': present(part, 'md5') };
    case 'none':
      return {};
    default:
      return mode satisfies never;
  }
}

function present(part: PartToSign, algorithm: 'sha256' | 'md5'): string {
  const value = part[algorithm];
  if (value === undefined) {
    throw new BucketError(
      'invalid_parts',
      `Part ${part.partNumber} has no ${algorithm}, which its URL must sign.`,
    );
  }
  return value;
}

/** A URL for one object (one version, if there are versions) that browsers save as `fileName`. */
export function signGetUrl(
  address: BucketAddress,
  window: SigningWindow,
  request: { key: string; versionId: string | null; fileName: string },
): string {
  const query: Record<string, string> = {
    'response-content-disposition': attachment(request.fileName),
    ...(request.versionId !== null && { versionId: request.versionId }),
  };
  return presignUrl(address, window, { method: 'GET', key: request.key, query, headers: {} });
}

/**
 * `Content-Disposition` for saving under this name (RFC 6266): an ASCII form for old clients, and the exact name. For
 * any input, a browser saves a plain file name, never a path.
 */
export function attachment(fileName: string): string {
  const name = savedFileName(fileName);
  const ascii = name.replaceAll(/[^\x20-\x7e]|["\\%]/g, '_');
  return `attachment; filename="${ascii}"; filename*=UTF-8''${encodeRfc3986(name)}`;
}
