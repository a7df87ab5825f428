import { S3Error } from '../errors.ts';
import { integerParameter, type S3Request } from '../operation.ts';

export const MAX_PARTS = 10_000;

/** @throws S3Error InvalidArgument outside 1…10,000 */
export function requiredPartNumber({ query }: S3Request): number {
  const number = integerParameter(query, 'partNumber', { min: 1, max: MAX_PARTS });
  if (number === undefined) throw new S3Error('InvalidArgument', 'partNumber is missing.');
  return number;
}

export function requiredUploadId({ query }: S3Request): string {
  const id = query.get('uploadId');
  if (id === undefined || id === '') throw new S3Error('InvalidArgument', 'uploadId is missing.');
  return id;
}
