import { ListPartsCommand } from '@aws-sdk/client-s3';
import {
  BucketError,
  type CallOptions,
  type ListedPart,
  type MultipartUpload,
} from '../domain/ports/bucket.ts';
import type { S3Connection } from './s3-connection.ts';

/** All pages. */
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
    const page = await connection.call('ListParts', (client, call) => client.send(command, call), options);
    // The SDK reads an empty answer as a list of nothing.
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

/** A store that answers the same page for ever must not keep us for ever. */
function nextMarker(current: string | undefined, next: string | undefined): string {
  if (next === undefined || Number(next) <= Number(current ?? 0)) {
    throw new BucketError('unavailable', 'ListParts: the store says there is more, but names no next page.');
  }
  return next;
}
