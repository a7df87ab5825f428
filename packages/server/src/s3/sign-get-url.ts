import type { BucketAddress } from './bucket-address.ts';
import { attachment } from './content-disposition.ts';
import { presignUrl, type SigningWindow } from './presigned-url.ts';

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
