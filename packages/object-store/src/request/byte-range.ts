import { S3Error } from '../errors.ts';
import type { ByteRange } from '../storage/object-bytes.ts';

/**
 * Parses a `Range` header with one range. Multiple ranges, other units and malformed headers are ignored, as RFC 9110
 * allows and S3 does: the whole object is sent.
 * @throws S3Error InvalidRange if the range contains no byte of the object
 */
export function parseRange(header: string | undefined, totalBytes: number): ByteRange | undefined {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header?.trim() ?? '');
  const [, first = '', last = ''] = match ?? [];
  if (match === null || (first === '' && last === '')) return undefined;
  if (first !== '' && last !== '' && Number(last) < Number(first)) return undefined;
  const start = first === '' ? Math.max(0, totalBytes - Number(last)) : Number(first);
  const end = first === '' || last === '' ? totalBytes : Math.min(totalBytes, Number(last) + 1);
  if (start >= end) {
    throw new S3Error('InvalidRange', undefined, {
      RangeRequested: header ?? '',
      ActualObjectSize: String(totalBytes),
    });
  }
  return { start, sizeBytes: end - start };
}

/** Parses `x-amz-copy-source-range`, which is stricter: both ends are required and must exist. */
export function parseCopyRange(header: string, totalBytes: number): ByteRange {
  const match = /^bytes=(\d{1,15})-(\d{1,15})$/.exec(header);
  const start = Number(match?.[1]);
  const last = Number(match?.[2]);
  if (match === null || last < start) {
    throw new S3Error(
      'InvalidArgument',
      'The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy',
    );
  }
  if (last >= totalBytes) {
    throw new S3Error('InvalidRange', `The range is not within the source, which has ${totalBytes} bytes.`);
  }
  return { start, sizeBytes: last - start + 1 };
}
