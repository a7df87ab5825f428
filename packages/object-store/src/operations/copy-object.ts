import { checksumElement } from '../checksum/algorithm.ts';
import { DigestedContent } from '../body/digested-content.ts';
import { S3Error } from '../errors.ts';
import { requiredBucket, requiredKey, type Operation } from '../operation.ts';
import { requestedAlgorithm } from '../request/checksum-plan.ts';
import { requestedWriteCondition } from '../request/conditions.ts';
import { openCopySource, parseCopySource } from '../request/copy-source.ts';
import { requestedProperties, requestedStorageClass } from '../request/properties.ts';
import { readObjectBytes } from '../storage/object-bytes.ts';

const COPY_LIMIT_BYTES = 5 * 1024 ** 3;

/** Rewrites the bytes, because a copy has the ETag and checksum of a single-part object. */
export const copyObject: Operation = async (request, context) => {
  await request.body.expectEmpty();
  const { headers } = request;
  const { storage } = context;
  const bucket = storage.bucket(requiredBucket(request));
  const key = requiredKey(request);
  const requested = requestedProperties(headers);
  const condition = requestedWriteCondition(headers);
  const directive = headers.get('x-amz-metadata-directive') ?? 'COPY';
  if (directive !== 'COPY' && directive !== 'REPLACE') {
    throw new S3Error('InvalidArgument', 'Unknown metadata directive.');
  }
  const from = parseCopySource(headers);
  const unchanged = directive === 'COPY' && requestedStorageClass(headers) === undefined;
  if (from.bucket === bucket.name && from.key === key && unchanged) {
    throw new S3Error(
      'InvalidRequest',
      "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata or storage class.",
    );
  }
  using source = await openCopySource(headers, context);
  const { manifest, pin } = source;
  if (manifest.sizeBytes > COPY_LIMIT_BYTES) {
    throw new S3Error('InvalidRequest', 'The source is larger than 5 GiB: use UploadPartCopy.');
  }
  const range = { start: 0, sizeBytes: manifest.sizeBytes };
  const algorithm = requestedAlgorithm(headers) ?? manifest.checksum?.algorithm;
  const content = new DigestedContent(readObjectBytes(manifest.parts, range, pin), algorithm);
  await using part = await storage.stage(content, 1);
  const kept = { contentHeaders: manifest.contentHeaders, userMetadata: manifest.userMetadata };
  const properties = directive === 'REPLACE' ? requested : { ...requested, ...kept };
  const { etag, lastModifiedMs, checksum } = await bucket.put(key, part, properties, condition);
  return {
    status: 200,
    body: {
      root: 'CopyObjectResult',
      content: {
        LastModified: new Date(lastModifiedMs).toISOString(),
        ETag: `"${etag}"`,
        ...(checksum && {
          ChecksumType: checksum.type,
          [checksumElement(checksum.algorithm)]: checksum.value,
        }),
      },
    },
  };
};
