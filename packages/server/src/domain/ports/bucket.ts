import type { ChecksumMode, PartChecksums, PresignedPart } from '@backhaul/protocol';

/** Below the key prefix: keys of what only tries out whether the store honours it. No upload has such a key. */
export const TRIAL_FOLDER = '.backhaul-probe';

/**
 * What shows, after an interruption, that a listed part is the one that was sent: its checksum; or its size and the ETag
 * that the agent got for it. `none`: all parts are sent again.
 */
export type PartProof = 'checksum' | 'etag' | 'none';

/** What the store was found to honour. Anything else is not asked of it, and the record says so. */
export interface BucketCapabilities {
  /** How parts are bound to their bytes. */
  readonly checksumMode: ChecksumMode;
  /** The store keeps and enforces a CRC32 of the whole object, combined from its parts. */
  readonly fullObjectChecksum: boolean;
  /** `If-None-Match: *` on Complete is enforced. */
  readonly conditionalComplete: boolean;
  /** `MpuObjectSize` on Complete is enforced. */
  readonly objectSizeCheck: boolean;
  /** What ListParts shows proves which parts the store holds: see {@link PartProof}. */
  readonly partProof: PartProof;
  /** `If-None-Match: *` on PutObject is enforced. */
  readonly conditionalPut: boolean;
  /** A PutObject of no bytes may carry its CRC32. */
  readonly emptyObjectCrc32: boolean;
  /** Asked for at Create, e.g. `AES256`; null if the store does not encrypt on request. */
  readonly serverSideEncryption: string | null;
  /** Asked for at Create, e.g. `INTELLIGENT_TIERING`; null for the store's default. */
  readonly storageClass: string | null;
}

/** One S3 multipart upload. `s3UploadId` is S3's own id and never leaves the server. */
export interface MultipartUpload {
  readonly key: string;
  readonly s3UploadId: string;
}

/** A part whose URL is to be signed: length and checksums become part of the signature. */
export interface PartToSign extends PartChecksums {
  readonly partNumber: number;
  readonly sizeBytes: number;
}

/** URLs that die together. */
export interface SignedWindow {
  readonly urls: PresignedPart[];
  /** Milliseconds since the epoch; never later than the signing credentials live. */
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
  /** Base64; null if the store keeps none. */
  readonly crc32: string | null;
  /** Base64; only in mode `sha256`. */
  readonly sha256: string | null;
}

/** A multipart upload that the store still holds, for the sweeper. */
export interface PendingUpload extends MultipartUpload {
  /** Milliseconds since the epoch, by the store's clock. */
  readonly initiatedAt: number;
}

/** What HEAD says of an object. */
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
 * The one bucket files go to. Every call has a deadline of its own and retries what is transient; what comes
 * out is final for now, as a {@link BucketError}.
 */
export interface Bucket {
  readonly name: string;
  /** @throws BucketError `unavailable` until the store was reached once and probed. */
  capabilities(options?: CallOptions): Promise<BucketCapabilities>;
  /**
   * @param request.token Unique to this attempt; kept in the object's metadata, so that a HEAD can tell later
   *   whose object is at the key.
   */
  createMultipartUpload(
    request: { key: string; token: string; checksumMode: ChecksumMode },
    options?: CallOptions,
  ): Promise<MultipartUpload>;
  /** Local signing, no request. Each URL allows one PUT of one part with this length and checksum. */
  signParts(upload: MultipartUpload, parts: readonly PartToSign[], mode: ChecksumMode): Promise<SignedWindow>;
  /** All pages. @throws BucketError `upload_gone` */
  listParts(upload: MultipartUpload, options?: CallOptions): Promise<ListedPart[]>;
  /**
   * Never repeated blindly: a lost answer surfaces as `unavailable` or `upload_gone`, and the caller settles it
   * by {@link head} and the token.
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
   * Writes an object without bytes, with all that {@link createMultipartUpload} would ask for. Stores refuse empty
   * parts, or checksums of them. May be repeated; a lost answer is settled by {@link head} and the token.
   */
  putEmptyObject(request: { key: string; token: string }, options?: CallOptions): Promise<void>;
  /**
   * Uploads neither completed nor aborted whose keys start with `keyPrefix`, page by page: among them those whose
   * Create was answered too late, or before a crash, and that no record knows.
   */
  listMultipartUploads(keyPrefix: string, options?: CallOptions): AsyncIterable<PendingUpload>;
  /** Succeeds as well when the upload is already gone. */
  abortMultipartUpload(upload: MultipartUpload, options?: CallOptions): Promise<void>;
  /**
   * Undefined when there is no object at this key, or not that version of it.
   *
   * @param options.versionId Default: the current version.
   */
  head(key: string, options?: VersionOptions): Promise<ObjectFacts | undefined>;
  /** Succeeds as well when there is nothing to delete. */
  deleteObject(key: string, options?: VersionOptions): Promise<void>;
  /** A GET that answers with `fileName` as the name to save under. */
  signGet(request: { key: string; versionId: string | null; fileName: string }): Promise<string>;
  /** Cheap; whether the store answers now. @throws BucketError */
  ping(options?: CallOptions): Promise<void>;
}

/**
 * - `unavailable`: transient; nothing is known about the effect of a write.
 * - `refused`: permanent; a setting or policy must change.
 * - `upload_gone`: NoSuchUpload: completed, aborted or expired.
 * - `object_exists`: 412, something is at the key already.
 * - `invalid_parts`: a part is missing, too small, or not the one that was listed.
 * - `checksum_mismatch`: the store computed another checksum.
 */
export type BucketErrorKind =
  | 'unavailable'
  | 'refused'
  | 'upload_gone'
  | 'object_exists'
  | 'invalid_parts'
  | 'checksum_mismatch';

/** A failed call to the store. `message` names what to change and never holds a query string. */
export class BucketError extends Error {
  override readonly name = 'BucketError';
  readonly kind: BucketErrorKind;
  /** S3's own code, e.g. `NoSuchUpload`; null when no answer came. */
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
