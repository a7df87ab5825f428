import { checksumElement, checksumHeader } from '../checksum/algorithm.ts';
import { requestedChecksumPlan } from '../checksum/object-checksum.ts';
import { S3Error } from '../errors.ts';
import { nameEncoder, pageLimit } from './listings.ts';
import {
  integerParameter,
  type Operation,
  requiredBucket,
  requiredKey,
  requiredPartNumber,
  requiredUploadId,
} from './operation.ts';
import { requestedProperties } from './properties.ts';

export const createMultipartUpload: Operation = async (request, context) => {
  await request.body.expectEmpty();
  const bucket = requiredBucket(request, context);
  const key = requiredKey(request);
  const checksum = requestedChecksumPlan(request.headers);
  const upload = await bucket.createUpload({
    key,
    properties: requestedProperties(request.headers),
    checksum,
  });
  return {
    status: 200,
    headers: {
      'x-amz-checksum-algorithm': checksum?.algorithm,
      'x-amz-checksum-type': checksum?.type,
    },
    body: {
      root: 'InitiateMultipartUploadResult',
      content: { Bucket: bucket.name, Key: key, UploadId: upload.record.id },
    },
  };
};

export const uploadPart: Operation = async (request, context) => {
  const number = requiredPartNumber(request);
  const bucket = requiredBucket(request, context);
  const upload = bucket.upload(requiredUploadId(request), requiredKey(request));
  const plan = upload.record.checksum;
  const claimed = request.body.claims.algorithm;
  // For full-object checksums S3 computes missing part checksums itself; for composite ones the client must send them.
  const missing = claimed === undefined && plan?.type === 'COMPOSITE';
  if (plan !== undefined && (missing || (claimed !== undefined && claimed !== plan.algorithm))) {
    throw new S3Error(
      'InvalidRequest',
      `Checksum Type mismatch occurred, expected checksum Type: ${plan.algorithm.toLowerCase()}, actual checksum Type: ${claimed?.toLowerCase() ?? 'null'}`,
    );
  }
  await using staged = await context.storage.stage(request.body.content(plan?.algorithm), number);
  const { md5, checksum } = await bucket.addPart(upload, staged);
  return {
    status: 200,
    headers: {
      etag: `"${md5}"`,
      ...(checksum && { [checksumHeader(checksum.algorithm)]: checksum.value }),
    },
  };
};

export const listParts: Operation = async (request, context) => {
  await request.body.expectEmpty();
  const { query } = request;
  const bucket = requiredBucket(request, context);
  const key = requiredKey(request);
  const upload = bucket.upload(requiredUploadId(request), key);
  const limit = pageLimit(query, 'max-parts');
  const marker = integerParameter(query, 'part-number-marker', { min: 0, max: 2_147_483_647 }) ?? 0;
  const rest = upload.parts().filter((part) => part.number > marker);
  const page = rest.slice(0, limit);
  const { checksum, properties } = upload.record;
  return {
    status: 200,
    body: {
      root: 'ListPartsResult',
      content: {
        Bucket: bucket.name,
        EncodingType: query.get('encoding-type'),
        Key: nameEncoder(query)(key),
        UploadId: upload.record.id,
        Initiator: { ID: context.ownerId },
        Owner: { ID: context.ownerId },
        StorageClass: properties.storageClass,
        ChecksumAlgorithm: checksum?.algorithm,
        ChecksumType: checksum?.type,
        PartNumberMarker: marker,
        NextPartNumberMarker: page.at(-1)?.number ?? marker,
        MaxParts: limit,
        IsTruncated: limit > 0 && rest.length > page.length,
        Part: page.map((part) => ({
          PartNumber: part.number,
          LastModified: new Date(part.modifiedAtMs).toISOString(),
          ETag: `"${part.md5}"`,
          Size: part.sizeBytes,
          ...(part.checksum && { [checksumElement(part.checksum.algorithm)]: part.checksum.value }),
        })),
      },
    },
  };
};

export const abortMultipartUpload: Operation = async (request, context) => {
  await request.body.expectEmpty();
  const bucket = requiredBucket(request, context);
  await bucket.abort(bucket.upload(requiredUploadId(request), requiredKey(request)));
  return { status: 204 };
};
