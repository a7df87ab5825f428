import { ListPartsCommand } from '@aws-sdk/client-s3';
import {
  BucketError,
  type CallOptions,
  type ListedPart,
  type MultipartUpload,
} from '../domain/ports/bucket.ts';
import type { S3Connection } from './s3-connection.ts';

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
    const page = await connection.call('ListParts', (client, call) => client.send(command, call), options);
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
