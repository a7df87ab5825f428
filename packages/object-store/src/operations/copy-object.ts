import { DigestedContent } from '../body/digested-content.ts';
import { checksumElement } from '../checksum/algorithm.ts';
import { requestedAlgorithm } from '../checksum/object-checksum.ts';
import { S3Error } from '../errors.ts';
import type { RequestHeaders } from '../http/request-head.ts';
import type { OpenObject } from '../storage/bucket.ts';
import { type ByteRange, readObjectBytes, summarize } from '../storage/stored-object.ts';
import { checkCopyConditions, requestedWriteCondition } from './conditions.ts';
import {
  type Operation,
  type OperationContext,
  requiredBucket,
  requiredKey,
  requiredPartNumber,
  requiredUploadId,
} from './operation.ts';
import { requestedProperties, requestedStorageClass } from './properties.ts';

/** S3's limit for a copied object or part: 5 GiB. */
const COPY_LIMIT_BYTES = 5 * 1024 ** 3;

/** Rewrites the bytes, because a copy has the ETag and checksum of a single-part object. */
export const copyObject: Operation = async (request, context) => {
  await request.body.expectEmpty();
  const { headers } = request;
  const bucket = requiredBucket(request, context);
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
  await using part = await context.storage.stage(content, 1);
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

export const uploadPartCopy: Operation = async (request, context) => {
  await request.body.expectEmpty();
  const { headers } = request;
  const number = requiredPartNumber(request);
  const bucket = requiredBucket(request, context);
  const upload = bucket.upload(requiredUploadId(request), requiredKey(request));
  using source = await openCopySource(headers, context);
  const { manifest, pin } = source;
  const rangeHeader = headers.get('x-amz-copy-source-range');
  const range =
    rangeHeader === undefined
      ? { start: 0, sizeBytes: manifest.sizeBytes }
      : parseCopyRange(rangeHeader, manifest.sizeBytes);
  if (range.sizeBytes > COPY_LIMIT_BYTES) throw new S3Error('EntityTooLarge');
  const bytes = readObjectBytes(manifest.parts, range, pin);
  const content = new DigestedContent(bytes, upload.record.checksum?.algorithm);
  await using staged = await context.storage.stage(content, number);
  const { md5, checksum, modifiedAtMs } = await bucket.addPart(upload, staged);
  return {
    status: 200,
    body: {
      root: 'CopyPartResult',
      content: {
        LastModified: new Date(modifiedAtMs).toISOString(),
        ETag: `"${md5}"`,
        ...(checksum && { [checksumElement(checksum.algorithm)]: checksum.value }),
      },
    },
  };
};

interface CopySource {
  readonly bucket: string;
  readonly key: string;
}

/** `bucket/key` or `/bucket/key`, percent-encoded. */
function parseCopySource(headers: RequestHeaders): CopySource {
  const value = headers.get('x-amz-copy-source') ?? '';
  const mark = value.indexOf('?');
  if (mark !== -1) {
    throw new S3Error(
      'NotImplemented',
      'Versions are not implemented by this store: x-amz-copy-source must not contain "?".',
    );
  }
  let path: string;
  try {
    path = decodeURIComponent(value).replace(/^\//, '');
  } catch {
    throw new S3Error('InvalidArgument', 'x-amz-copy-source is not properly percent-encoded.');
  }
  const slash = path.indexOf('/');
  if (slash < 1 || slash === path.length - 1) {
    throw new S3Error(
      'InvalidArgument',
      'Copy Source must mention the source bucket and key: sourcebucket/sourcekey',
    );
  }
  return { bucket: path.slice(0, slash), key: path.slice(slash + 1) };
}

/** Opens the source for reading, if its conditions hold. */
async function openCopySource(headers: RequestHeaders, { storage }: OperationContext): Promise<OpenObject> {
  const { bucket, key } = parseCopySource(headers);
  const source = await storage.bucket(bucket).open(key);
  try {
    checkCopyConditions(headers, summarize(source.manifest));
    return source;
  } catch (error) {
    source[Symbol.dispose]();
    throw error;
  }
}

/** Parses `x-amz-copy-source-range`, which is stricter than `Range`: both ends are required and must exist. */
function parseCopyRange(header: string, totalBytes: number): ByteRange {
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
