import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  type CreateMultipartUploadCommandInput,
  DeleteObjectCommand,
  HeadObjectCommand,
  type HeadObjectCommandOutput,
  ListMultipartUploadsCommand,
  ListPartsCommand,
  PutObjectCommand,
  type ServerSideEncryption,
  type StorageClass,
} from '@aws-sdk/client-s3';
import type { ChecksumMode } from '@backhaul/protocol';
import {
  BucketError,
  type CallOptions,
  type CompletedPart,
  type ListedPart,
  type MultipartUpload,
  type ObjectFacts,
  type PendingUpload,
  type VersionOptions,
} from '../domain/ports/bucket.ts';
import type { S3Connection } from './s3-connection.ts';

/** Metadata that identifies later which upload wrote the object at a key. */
const TOKEN_METADATA = 'backhaul-token';
/** CRC32 of zero bytes, base64. */
const EMPTY_CRC32 = 'AAAAAA==';

/** Features that Create requests from the store: the prober tries them, the bucket uses the supported ones. */
export interface UploadTraits {
  readonly checksumMode: ChecksumMode;
  /** With `crc32`: a checksum of the whole object instead of one composed of the parts' checksums. */
  readonly fullObjectChecksum: boolean;
  readonly serverSideEncryption: string | null;
  readonly storageClass: string | null;
}

export async function createUpload(
  connection: S3Connection,
  request: { key: string; token: string; traits: UploadTraits },
  options: CallOptions,
): Promise<MultipartUpload> {
  const { traits } = request;
  const command = new CreateMultipartUploadCommand({
    ...objectOf(connection, request),
    ...checksumOf(traits),
  });
  const { UploadId } = await connection.send('CreateMultipartUpload', command, options);
  if (UploadId === undefined) throw connection.unreadable('CreateMultipartUpload', 'UploadId');
  return { key: request.key, s3UploadId: UploadId };
}

/** Object attributes, the same for a single PUT and a multipart upload. */
function objectOf(
  connection: S3Connection,
  { key, token, traits }: { key: string; token: string; traits: UploadTraits },
) {
  return {
    Bucket: connection.settings.bucket,
    Key: key,
    Metadata: { [TOKEN_METADATA]: token },
    ...(traits.serverSideEncryption !== null && {
      ServerSideEncryption: traits.serverSideEncryption as ServerSideEncryption,
    }),
    ...(traits.storageClass !== null && { StorageClass: traits.storageClass as StorageClass }),
  };
}

/** @returns the version id, if the bucket is versioned. */
export async function putEmptyObject(
  connection: S3Connection,
  request: {
    key: string;
    token: string;
    traits: UploadTraits;
    withCrc32: boolean;
    onlyIfAbsent: boolean;
  },
  options: CallOptions,
): Promise<string | null> {
  const command = new PutObjectCommand({
    ...objectOf(connection, request),
    Body: new Uint8Array(),
    ContentLength: 0,
    ...(request.withCrc32 && { ChecksumCRC32: EMPTY_CRC32 }),
    ...(request.onlyIfAbsent && { IfNoneMatch: '*' }),
  });
  const { VersionId } = await connection.send('PutObject', command, options);
  return VersionId ?? null;
}

/** AWS refuses every part with a checksum unless Create named the algorithm. */
function checksumOf({
  checksumMode,
  fullObjectChecksum,
}: UploadTraits): Pick<CreateMultipartUploadCommandInput, 'ChecksumAlgorithm' | 'ChecksumType'> {
  if (checksumMode === 'sha256') return { ChecksumAlgorithm: 'SHA256' };
  if (checksumMode !== 'crc32') return {};
  return { ChecksumAlgorithm: 'CRC32', ...(fullObjectChecksum && { ChecksumType: 'FULL_OBJECT' }) };
}

export interface Completion {
  readonly parts: readonly CompletedPart[];
  readonly checksumMode: ChecksumMode;
  /** Base64; null to omit it. */
  readonly fullObjectCrc32: string | null;
  /** `MpuObjectSize`; null to omit it. */
  readonly objectSizeBytes: number | null;
  /** `If-None-Match: *`. */
  readonly onlyIfAbsent: boolean;
}

/** Sent once. @returns the version id, if the bucket is versioned. */
export async function completeUpload(
  connection: S3Connection,
  request: { upload: MultipartUpload; completion: Completion },
  options: CallOptions,
): Promise<string | null> {
  const { upload, completion } = request;
  const command = new CompleteMultipartUploadCommand({
    Bucket: connection.settings.bucket,
    Key: upload.key,
    UploadId: upload.s3UploadId,
    MultipartUpload: {
      Parts: completion.parts.map((part) => ({
        PartNumber: part.partNumber,
        ETag: part.etag,
        ...(completion.checksumMode === 'crc32' && { ChecksumCRC32: part.crc32 }),
        ...(completion.checksumMode === 'sha256' && { ChecksumSHA256: part.sha256 }),
      })),
    },
    ...(completion.fullObjectCrc32 !== null && {
      ChecksumCRC32: completion.fullObjectCrc32,
      ChecksumType: 'FULL_OBJECT',
    }),
    ...(completion.objectSizeBytes !== null && { MpuObjectSize: completion.objectSizeBytes }),
    ...(completion.onlyIfAbsent && { IfNoneMatch: '*' }),
  });
  const response = await connection.send('CompleteMultipartUpload', command, {
    ...options,
    policy: connection.timing.complete,
  });
  // The SDK accepts any well-formed XML, even an HTML page, as success. The ETag alone may be empty (Ceph 16).
  if (response.Key === undefined && response.Location === undefined && response.ETag === undefined) {
    throw connection.unreadable('CompleteMultipartUpload', 'Location, Key or ETag');
  }
  return response.VersionId ?? null;
}

/** Also succeeds if the upload no longer exists. */
export async function abortUpload(
  connection: S3Connection,
  { key, s3UploadId }: MultipartUpload,
  options: CallOptions,
): Promise<void> {
  const command = new AbortMultipartUploadCommand({
    Bucket: connection.settings.bucket,
    Key: key,
    UploadId: s3UploadId,
  });
  try {
    await connection.send('AbortMultipartUpload', command, options);
  } catch (error) {
    if (!(error instanceof BucketError && error.kind === 'upload_gone')) throw error;
  }
}

/** Codes that HEAD returns for a missing version; some stores name the version. */
const notThere = new Set<string | null>(['NotFound', 'NoSuchKey', 'NoSuchVersion']);

/** Undefined when there is no object at this key, or no such version. */
export async function headObject(
  connection: S3Connection,
  key: string,
  { versionId = null, ...options }: VersionOptions,
): Promise<ObjectFacts | undefined> {
  const command = new HeadObjectCommand({
    Bucket: connection.settings.bucket,
    Key: key,
    ...(versionId !== null && { VersionId: versionId }),
    // HEAD shows no checksum without it.
    ChecksumMode: 'ENABLED',
  });
  try {
    const response = await connection.send('HeadObject', command, options);
    // An unknown length is a failure, never 0.
    if (response.ContentLength === undefined) throw connection.unreadable('HeadObject', 'Content-Length');
    return {
      sizeBytes: response.ContentLength,
      etag: response.ETag ?? '',
      versionId: response.VersionId ?? null,
      token: response.Metadata?.[TOKEN_METADATA] ?? null,
      crc32: fullObjectCrc32Of(response),
      serverSideEncryption: response.ServerSideEncryption ?? null,
      storageClass: response.StorageClass ?? null,
    };
  } catch (error) {
    if (error instanceof BucketError && notThere.has(error.s3Code)) return undefined;
    throw error;
  }
}

/** A composite checksum, `…==-20`, is a checksum of the parts' checksums and not of the object's bytes. */
function fullObjectCrc32Of(response: HeadObjectCommandOutput): string | null {
  const { ChecksumCRC32: crc32, ChecksumType: type } = response;
  return crc32 === undefined || type === 'COMPOSITE' || crc32.includes('-') ? null : crc32;
}

/** Lists the parts of all pages. */
export async function listParts(
  connection: S3Connection,
  upload: MultipartUpload,
  options: CallOptions,
): Promise<ListedPart[]> {
  const parts: ListedPart[] = [];
  let marker: string | undefined;
  do {
    const command = new ListPartsCommand({
      Bucket: connection.settings.bucket,
      Key: upload.key,
      UploadId: upload.s3UploadId,
      PartNumberMarker: marker,
    });
    const page = await connection.send('ListParts', command, options);
    // The SDK parses an empty response as an empty list.
    if (page.UploadId === undefined) throw connection.unreadable('ListParts', 'UploadId');
    for (const part of page.Parts ?? []) {
      if (part.PartNumber === undefined || part.Size === undefined || part.ETag === undefined) {
        throw connection.unreadable('ListParts', 'PartNumber, Size or ETag of a part');
      }
      parts.push({
        partNumber: part.PartNumber,
        sizeBytes: part.Size,
        etag: part.ETag,
        crc32: part.ChecksumCRC32 ?? null,
        sha256: part.ChecksumSHA256 ?? null,
      });
    }
    marker = page.IsTruncated === true ? nextMarker(marker, page.NextPartNumberMarker) : undefined;
  } while (marker !== undefined);
  return parts;
}

/** Guards against a pagination loop. */
function nextMarker(current: string | undefined, next: string | undefined): string {
  if (next === undefined || Number(next) <= Number(current ?? 0)) {
    throw new BucketError('unavailable', 'ListParts: the store reports more results but no next page.');
  }
  return next;
}

/** Unfinished uploads whose keys start with `keyPrefix`, of all pages. */
export async function* listUploads(
  connection: S3Connection,
  keyPrefix: string,
  options: CallOptions,
): AsyncGenerator<PendingUpload> {
  let next: { KeyMarker: string; UploadIdMarker: string | undefined } | undefined;
  do {
    const command = new ListMultipartUploadsCommand({
      Bucket: connection.settings.bucket,
      Prefix: keyPrefix,
      ...next,
    });
    const page = await connection.send('ListMultipartUploads', command, options);
    if (page.Bucket === undefined) throw connection.unreadable('ListMultipartUploads', 'Bucket');
    for (const { Key, UploadId, Initiated } of page.Uploads ?? []) {
      if (Key === undefined || UploadId === undefined || Initiated === undefined) {
        throw connection.unreadable('ListMultipartUploads', 'Key, UploadId or Initiated of an upload');
      }
      yield { key: Key, s3UploadId: UploadId, initiatedAt: Initiated.getTime() };
    }
    const before = next && `${next.KeyMarker}\n${next.UploadIdMarker ?? ''}`;
    next =
      page.IsTruncated === true && page.NextKeyMarker !== undefined
        ? { KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker }
        : undefined;
    if (next !== undefined && before === `${next.KeyMarker}\n${next.UploadIdMarker ?? ''}`) {
      throw connection.unreadable('ListMultipartUploads', 'new page');
    }
  } while (next !== undefined);
}

/** Deletes the version, or in a versioned bucket only hides the object if none is given. */
export async function deleteObject(
  connection: S3Connection,
  key: string,
  { versionId = null, ...options }: VersionOptions,
): Promise<void> {
  const command = new DeleteObjectCommand({
    Bucket: connection.settings.bucket,
    Key: key,
    ...(versionId !== null && { VersionId: versionId }),
  });
  await connection.send('DeleteObject', command, options);
}
