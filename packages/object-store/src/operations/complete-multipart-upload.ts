import {
  CHECKSUM_ALGORITHMS,
  checksumElement,
  checksumHeader,
  type Checksum,
} from '../checksum/algorithm.ts';
import { S3Error } from '../errors.ts';
import type { RequestHeaders } from '../http/headers.ts';
import { requiredBucket, requiredKey, type Operation } from '../operation.ts';
import { assembleObject, parsePartList } from '../request/completion.ts';
import { requestedWriteCondition } from '../request/conditions.ts';
import { requiredUploadId } from '../request/part-parameters.ts';
import type { MultipartUpload } from '../storage/multipart-upload.ts';

/** In this request `x-amz-checksum-*` is the checksum of the object, not of the body. */
function objectChecksumClaim(headers: RequestHeaders): Checksum | undefined {
  const claims = CHECKSUM_ALGORITHMS.flatMap((algorithm) => {
    const value = headers.get(checksumHeader(algorithm));
    return value === undefined ? [] : [{ algorithm, value }];
  });
  if (claims.length > 1) {
    throw new S3Error(
      'InvalidRequest',
      'Expecting a single x-amz-checksum- header. Multiple checksum types are not allowed.',
    );
  }
  return claims[0];
}

function objectSizeClaim(headers: RequestHeaders): number | undefined {
  const value = headers.get('x-amz-mp-object-size');
  if (value !== undefined && !/^\d{1,15}$/.test(value)) {
    throw new S3Error('InvalidRequest', 'Value for x-amz-mp-object-size header is invalid.');
  }
  return value === undefined ? undefined : Number(value);
}

function checkType(headers: RequestHeaders, { record: { checksum } }: MultipartUpload): void {
  const type = headers.get('x-amz-checksum-type')?.toUpperCase();
  if (type === undefined || type === checksum?.type) return;
  throw new S3Error(
    'InvalidRequest',
    `The upload was created using the ${checksum?.type ?? 'null'} checksum mode. The complete request must use the same checksum mode.`,
  );
}

export const completeMultipartUpload: Operation = async (request, { storage }) => {
  const { headers } = request;
  const bucket = storage.bucket(requiredBucket(request));
  const key = requiredKey(request);
  const upload = bucket.upload(requiredUploadId(request), key);
  checkType(headers, upload);
  const condition = requestedWriteCondition(headers);
  const claimed = { checksum: objectChecksumClaim(headers), sizeBytes: objectSizeClaim(headers) };
  const parts = parsePartList(await request.body.text(false));
  const assemble = () => assembleObject(upload, { ...claimed, parts });
  const { etag, checksum } = await bucket.complete(upload, assemble, condition);
  return {
    status: 200,
    body: {
      root: 'CompleteMultipartUploadResult',
      content: {
        Location: `/${bucket.name}/${key.split('/').map(encodeURIComponent).join('/')}`,
        Bucket: bucket.name,
        Key: key,
        ETag: `"${etag}"`,
        ...(checksum && {
          [checksumElement(checksum.algorithm)]: checksum.value,
          ChecksumType: checksum.type,
        }),
      },
    },
  };
};
