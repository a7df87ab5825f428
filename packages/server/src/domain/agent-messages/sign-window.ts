import type { DownloadFile, PartAnnouncement } from '@backhaul/protocol';
import type { TransferContext } from '../transfer-context.ts';
import type { Upload } from '../uploads/upload.ts';

type UrlWindow = Pick<DownloadFile['upload_config'], 'presigned_urls' | 'expires_at' | 'expires_in_ms'>;

/** Signs URLs for parts that are already recorded, never before. */
export async function signWindow(
  context: TransferContext,
  upload: Upload,
  parts: readonly PartAnnouncement[],
): Promise<UrlWindow> {
  if (upload.s3UploadId === null || upload.checksumMode === null) {
    throw new Error('the upload has no multipart upload to sign for');
  }
  const { urls, expiresAt } = await context.bucket.signParts(
    { key: upload.key, s3UploadId: upload.s3UploadId },
    parts.map((part) => ({
      partNumber: part.part_number,
      sizeBytes: part.size,
      crc32: part.crc32,
      sha256: part.sha256,
      md5: part.md5,
    })),
    upload.checksumMode,
  );
  return {
    presigned_urls: urls,
    expires_at: new Date(expiresAt).toISOString(),
    expires_in_ms: Math.max(1, expiresAt - context.clock.now()),
  };
}
