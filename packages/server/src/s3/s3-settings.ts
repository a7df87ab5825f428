import type { ProxyVariables } from '@backhaul/program';
import type { ChecksumMode } from '@backhaul/protocol';

/**
 * A feature wanted of the store. It is `required` if set explicitly: a store that does not support it then stops the
 * start.
 */
export interface Preference {
  /** S3's spelling, e.g. `AES256`; null requests nothing. */
  readonly wanted: string | null;
  readonly required: boolean;
}

/** The store as configured. The backticks name the setting that error messages mention. */
export interface S3Settings {
  /** `S3_ENDPOINT`: undefined for AWS. */
  readonly endpoint?: string | undefined;
  /** `S3_PUBLIC_ENDPOINT`: the store's address for agents and operators; undefined if it is the same. */
  readonly publicEndpoint?: string | undefined;
  /** `AWS_REGION` */
  readonly region: string;
  /** `S3_BUCKET_NAME` */
  readonly bucket: string;
  /** `S3_KEY_PREFIX`: no slash at either end; may be empty. */
  readonly keyPrefix: string;
  /** `AWS_ACCESS_KEY_ID`; without it the SDK's default provider chain applies (profile, container, instance). */
  readonly accessKeyId?: string | undefined;
  /** `AWS_SECRET_ACCESS_KEY` */
  readonly secretAccessKey?: string | undefined;
  /** `AWS_SESSION_TOKEN` */
  readonly sessionToken?: string | undefined;
  /** `S3_FORCE_PATH_STYLE` */
  readonly forcePathStyle: boolean;
  /** `S3_STORAGE_CLASS` */
  readonly storageClass: Preference;
  /** `S3_SSE` */
  readonly sse: Preference;
  /** `S3_CHECKSUM`: any value except `auto` is required. */
  readonly checksum: 'auto' | ChecksumMode;
  /** `PRESIGN_EXPIRY_SECONDS` */
  readonly presignExpirySeconds: number;
  /** HTTPS_PROXY, HTTP_PROXY and NO_PROXY, for calls to the store; undefined uses none. */
  readonly proxies?: ProxyVariables | undefined;
}

/** Beginning of all keys: the prefix and a slash; empty for the whole bucket. */
export function keysUnder(keyPrefix: string): string {
  return keyPrefix === '' ? '' : `${keyPrefix}/`;
}

/** The URL that calls go to, for choosing a proxy: only the host matters, not how it names the bucket. */
export function storeUrl({ endpoint, bucket, region }: S3Settings): URL {
  return new URL(endpoint ?? `https://${bucket}.s3.${region}.amazonaws.com`);
}
