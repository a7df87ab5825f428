import type { ProxyVariables } from '@backhaul/program';
import type { ChecksumMode } from '@backhaul/protocol';

/** Wanted of the store. `required` once a person set it: then a store that does not honour it stops the start. */
export interface Wish {
  /** As S3 spells it, e.g. `AES256`; null asks for nothing. */
  readonly wanted: string | null;
  readonly required: boolean;
}

/** The store, as the configuration describes it. In brackets the setting that error messages name. */
export interface S3Settings {
  /** `S3_ENDPOINT`: undefined for AWS. */
  readonly endpoint?: string | undefined;
  /** `S3_PUBLIC_ENDPOINT`: the store's address as agents and operators see it; undefined if it is the same. */
  readonly publicEndpoint?: string | undefined;
  /** `AWS_REGION` */
  readonly region: string;
  /** `S3_BUCKET_NAME` */
  readonly bucket: string;
  /** `S3_KEY_PREFIX`: no slash at either end; may be empty. */
  readonly keyPrefix: string;
  /** `AWS_ACCESS_KEY_ID`; without it the SDK's default chain of providers is asked (profile, container, instance). */
  readonly accessKeyId?: string | undefined;
  /** `AWS_SECRET_ACCESS_KEY` */
  readonly secretAccessKey?: string | undefined;
  /** `AWS_SESSION_TOKEN` */
  readonly sessionToken?: string | undefined;
  /** `S3_FORCE_PATH_STYLE` */
  readonly forcePathStyle: boolean;
  /** `S3_STORAGE_CLASS` */
  readonly storageClass: Wish;
  /** `S3_SSE` */
  readonly sse: Wish;
  /** `S3_CHECKSUM`: anything but `auto` is required. */
  readonly checksum: 'auto' | ChecksumMode;
  /** `PRESIGN_EXPIRY_SECONDS` */
  readonly presignExpirySeconds: number;
  /** HTTPS_PROXY, HTTP_PROXY and NO_PROXY, for calls to the store; undefined uses none. */
  readonly proxies?: ProxyVariables | undefined;
}

/** Where calls go, as far as proxies care: the host, not how the bucket is named in it. */
export function storeUrl({ endpoint, bucket, region }: S3Settings): URL {
  return new URL(endpoint ?? `https://${bucket}.s3.${region}.amazonaws.com`);
}
