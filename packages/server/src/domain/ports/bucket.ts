import type { ChecksumMode, PartChecksums, PresignedPart } from '@backhaul/protocol';

/** Folder below the key prefix for objects that only test what the store supports. No upload has such a key. */
export const TRIAL_FOLDER = '.backhaul-probe';

/**
 * Evidence, after an interruption, that a listed part is the one that was sent: its checksum, or its size and the
 * ETag that the agent got for it. `none`: all parts are sent again.
 */
export type PartProof = 'checksum' | 'etag' | 'none';

/** Features that the store was found to support. Others are not used, and the record says so. */
export interface BucketCapabilities {
  /** How parts are bound to their bytes. */
  readonly checksumMode: ChecksumMode;
  /** The store stores and enforces a CRC32 of the whole object, combined from its parts. */
  readonly fullObjectChecksum: boolean;
  /** `If-None-Match: *` on Complete is enforced. */
  readonly conditionalComplete: boolean;
  /** `MpuObjectSize` on Complete is enforced. */
  readonly objectSizeCheck: boolean;
  /** What a ListParts result proves: see {@link PartProof}. */
  readonly partProof: PartProof;
  /** `If-None-Match: *` on PutObject is enforced. */
  readonly conditionalPut: boolean;
  /** A PutObject of no bytes may carry its CRC32. */
  readonly emptyObjectCrc32: boolean;
  /** Requested at Create, e.g. `AES256`; null if the store does not encrypt on request. */
  readonly serverSideEncryption: string | null;
  /** Requested at Create, e.g. `INTELLIGENT_TIERING`; null for the store's default. */
  readonly storageClass: string | null;
}

/** One S3 multipart upload. `s3UploadId` is S3's own id and never leaves the server. */
export interface MultipartUpload {
  readonly key: string;
  readonly s3UploadId: string;
}

/** A part to sign a URL for: length and checksums become part of the signature. */
export interface PartToSign extends PartChecksums {
  readonly partNumber: number;
  readonly sizeBytes: number;
}

/** URLs that expire together. */
export interface SignedWindow {
  readonly urls: PresignedPart[];
  /** Milliseconds since the epoch; never later than the signing credentials expire. */
  readonly expiresAt: number;
}

export interface CompletedPart {
  readonly partNumber: number;
  readonly etag: string;
  /** Base64. */
  readonly crc32: string;
  readonly sha256?: string | undefined;
}

export interface ListedPart {
  readonly partNumber: number;
  readonly sizeBytes: number;
  readonly etag: string;
  /** Base64; null if the store has none. */
  readonly crc32: string | null;
  /** Base64; only in mode `sha256`. */
  readonly sha256: string | null;
}

/** An unfinished multipart upload at the store, for the sweeper. */
export interface PendingUpload extends MultipartUpload {
  /** Milliseconds since the epoch, by the store's clock. */
  readonly initiatedAt: number;
}

/** Object attributes returned by HEAD. */
export interface ObjectFacts {
  readonly sizeBytes: number;
  readonly etag: string;
  readonly versionId: string | null;
  /** The token given at Create; null if the object has none. */
  readonly token: string | null;
  /** Full-object CRC32, base64; null if the store has none. */
  readonly crc32: string | null;
  readonly serverSideEncryption: string | null;
  readonly storageClass: string | null;
}

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

export interface VersionOptions extends CallOptions {
  readonly versionId?: string | null | undefined;
}

/**
 * The bucket that files go to. Every call has a deadline of its own and retries transient errors; the final error is
 * a {@link BucketError}.
 */
export interface Bucket {
  readonly name: string;
  /** @throws BucketError `unavailable` until the store has been reached and probed once. */
  capabilities(options?: CallOptions): Promise<BucketCapabilities>;
  /**
   * @param request.token Unique to this attempt; stored in the object's metadata, so that a HEAD can tell later which
   *   attempt wrote the object.
   */
  createMultipartUpload(
    request: { key: string; token: string; checksumMode: ChecksumMode },
    options?: CallOptions,
  ): Promise<MultipartUpload>;
  /** Local signing, no request. Each URL allows one PUT of one part with this length and checksum. */
  signParts(upload: MultipartUpload, parts: readonly PartToSign[], mode: ChecksumMode): Promise<SignedWindow>;
  /** Lists all pages. @throws BucketError `upload_gone` */
  listParts(upload: MultipartUpload, options?: CallOptions): Promise<ListedPart[]>;
  /**
   * Never retried blindly: a lost response surfaces as `unavailable` or `upload_gone`, and the caller checks the
   * outcome with {@link head} and the token.
   */
  completeMultipartUpload(
    upload: MultipartUpload,
    request: {
      parts: readonly CompletedPart[];
      sizeBytes: number;
      /** Base64, combined from the parts. */
      crc32: string;
      checksumMode: ChecksumMode;
    },
    options?: CallOptions,
  ): Promise<void>;
  /**
   * Writes an object without bytes, with the features {@link createMultipartUpload} would request. Needed because
   * stores refuse empty parts or their checksums. May be retried; after a lost response the caller checks the outcome
   * with {@link head} and the token.
   */
  putEmptyObject(request: { key: string; token: string }, options?: CallOptions): Promise<void>;
  /**
   * Unfinished uploads whose keys start with `keyPrefix`, page by page. They include uploads without a record: the
   * response to Create came too late, or the server crashed first.
   */
  listMultipartUploads(keyPrefix: string, options?: CallOptions): AsyncIterable<PendingUpload>;
  /** Also succeeds if the upload no longer exists. */
  abortMultipartUpload(upload: MultipartUpload, options?: CallOptions): Promise<void>;
  /**
   * Undefined when there is no object at this key, or no such version.
   *
   * @param options.versionId Default: the current version.
   */
  head(key: string, options?: VersionOptions): Promise<ObjectFacts | undefined>;
  /** Also succeeds if there is nothing to delete. */
  deleteObject(key: string, options?: VersionOptions): Promise<void>;
  /** URL of a GET whose response saves as `fileName`. */
  signGet(request: { key: string; versionId: string | null; fileName: string }): Promise<string>;
  /** Cheap check whether the store responds now. @throws BucketError */
  ping(options?: CallOptions): Promise<void>;
}

/**
 * - `unavailable`: transient; the effect of a write is unknown.
 * - `refused`: permanent; a setting or policy must change.
 * - `upload_gone`: NoSuchUpload: completed, aborted or expired.
 * - `object_exists`: 412, an object already exists at the key.
 * - `invalid_parts`: a part is missing, too small, or differs from the listed one.
 * - `checksum_mismatch`: the store computed a different checksum.
 */
export type BucketErrorKind =
  | 'unavailable'
  | 'refused'
  | 'upload_gone'
  | 'object_exists'
  | 'invalid_parts'
  | 'checksum_mismatch';

/** A failed call to the store. `message` says what to change and never contains a query string. */
export class BucketError extends Error {
  override readonly name = 'BucketError';
  readonly kind: BucketErrorKind;
  /** S3's own code, e.g. `NoSuchUpload`; null without a response. */
  readonly s3Code: string | null;

  constructor(
    kind: BucketErrorKind,
    message: string,
    options: ErrorOptions & { s3Code?: string | null } = {},
  ) {
    super(message, options);
    this.kind = kind;
    this.s3Code = options.s3Code ?? null;
  }
}
