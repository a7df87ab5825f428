import { checksumElement } from '../checksum/algorithm.ts';
import { integerParameter, requiredBucket, requiredKey, type Operation } from '../operation.ts';
import { nameEncoder, pageLimit } from '../request/listing.ts';
import { requiredUploadId } from '../request/part-parameters.ts';

export const listParts: Operation = async (request, { storage, ownerId }) => {
  await request.body.expectEmpty();
  const { query } = request;
  const bucket = storage.bucket(requiredBucket(request));
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
        Initiator: { ID: ownerId },
        Owner: { ID: ownerId },
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
