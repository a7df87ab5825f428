import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  type CreateMultipartUploadCommandInput,
  type HeadObjectCommandOutput,
  HeadObjectCommand,
  PutObjectCommand,
  type ServerSideEncryption,
  type StorageClass,
} from '@aws-sdk/client-s3';
import type { ChecksumMode } from '@backhaul/protocol';
import {
  BucketError,
  type CallOptions,
  type CompletedPart,
  type MultipartUpload,
  type ObjectFacts,
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
  const { UploadId } = await connection.call(
    'CreateMultipartUpload',
    (client, call) => client.send(command, call),
    options,
  );
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
  const { VersionId } = await connection.call(
    'PutObject',
    (client, call) => client.send(command, call),
    options,
  );
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
  const response = await connection.call(
    'CompleteMultipartUpload',
    (client, call) => client.send(command, call),
    { ...options, policy: connection.timing.complete },
  );
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
    await connection.call('AbortMultipartUpload', (client, call) => client.send(command, call), options);
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
    const response = await connection.call(
      'HeadObject',
      (client, call) => client.send(command, call),
      options,
    );
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
