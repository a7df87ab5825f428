import { createHash } from 'node:crypto';
import {
  type Checksum,
  CHECKSUM_ALGORITHMS,
  checksumElement,
  checksumHeader,
} from '../checksum/algorithm.ts';
import { type ChecksumPlan, objectChecksum } from '../checksum/object-checksum.ts';
import { S3Error } from '../errors.ts';
import type { RequestHeaders } from '../http/request-head.ts';
import type { CompletedObject } from '../storage/bucket.ts';
import type { MultipartUpload } from '../storage/multipart-upload.ts';
import type { PartRecord } from '../storage/part-file.ts';
import { parseXml, type XmlNode } from '../xml.ts';
import { requestedWriteCondition } from './conditions.ts';
import { MAX_PARTS, type Operation, requiredBucket, requiredKey, requiredUploadId } from './operation.ts';

/** S3's minimum for all parts but the last: 5 MiB. */
const MIN_PART_BYTES = 5 * 1024 * 1024;
const PART_ELEMENTS = new Set(['PartNumber', 'ETag', ...CHECKSUM_ALGORITHMS.map(checksumElement)]);

/** Properties of the object given in a CompleteMultipartUpload request. */
interface CompletionClaims {
  readonly parts: readonly ListedPart[];
  readonly checksum: Checksum | undefined;
  readonly sizeBytes: number | undefined;
}

/** A part listed by the client. */
interface ListedPart {
  readonly number: number;
  /** ETag without quotes. */
  readonly etag: string;
  readonly checksums: readonly Checksum[];
}

export const completeMultipartUpload: Operation = async (request, context) => {
  const { headers } = request;
  const bucket = requiredBucket(request, context);
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

function checkType(headers: RequestHeaders, { record: { checksum } }: MultipartUpload): void {
  const type = headers.get('x-amz-checksum-type')?.toUpperCase();
  if (type === undefined || type === checksum?.type) return;
  throw new S3Error(
    'InvalidRequest',
    `The upload was created using the ${checksum?.type ?? 'null'} checksum mode. The complete request must use the same checksum mode.`,
  );
}

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

/** @throws S3Error MalformedXML, also for an empty list: S3 requires at least one part */
function parsePartList(text: string): ListedPart[] {
  const document = parseXml(text, 'CompleteMultipartUpload');
  if (document.names().some((name) => name !== 'Part')) throw new S3Error('MalformedXML');
  const parts = document.children('Part').map(parsePart);
  if (parts.length === 0 || parts.length > MAX_PARTS) throw new S3Error('MalformedXML');
  return parts;
}

function parsePart(node: XmlNode): ListedPart {
  const unknown = node.names().find((name) => !PART_ELEMENTS.has(name));
  if (unknown !== undefined) {
    throw new S3Error('NotImplemented', `<${unknown}> in a part is not implemented by this store.`);
  }
  const number = node.text('PartNumber')?.trim() ?? '';
  const etag = node.text('ETag')?.trim();
  if (!/^\d{1,10}$/.test(number) || etag === undefined) throw new S3Error('MalformedXML');
  const checksums = CHECKSUM_ALGORITHMS.flatMap((algorithm) => {
    const value = node.text(checksumElement(algorithm))?.trim();
    return value === undefined ? [] : [{ algorithm, value }];
  });
  return { number: Number(number), etag: etag.replaceAll('"', ''), checksums };
}

/** Builds the object from the listed parts after verifying all claims of the request. */
function assembleObject(upload: MultipartUpload, claims: CompletionClaims): CompletedObject {
  const unordered = claims.parts.some((part, at) => part.number <= (claims.parts[at - 1]?.number ?? 0));
  if (unordered) throw new S3Error('InvalidPartOrder');
  const { checksum: plan } = upload.record;
  if (plan !== undefined) requirePartChecksums(plan, claims.parts);
  const parts = claims.parts.map((listed) => findPart(upload, listed));
  const small = parts.slice(0, -1).find((part) => part.sizeBytes < MIN_PART_BYTES);
  if (small !== undefined) {
    throw new S3Error('EntityTooSmall', undefined, {
      ProposedSize: String(small.sizeBytes),
      MinSizeAllowed: String(MIN_PART_BYTES),
      PartNumber: String(small.number),
      ETag: small.md5,
    });
  }
  const sizeBytes = parts.reduce((sum, part) => sum + part.sizeBytes, 0);
  if (claims.sizeBytes !== undefined && claims.sizeBytes !== sizeBytes) {
    throw new S3Error(
      'InvalidRequest',
      `The provided 'x-amz-mp-object-size' header value ${claims.sizeBytes} does not match what was computed: ${sizeBytes}`,
    );
  }
  const checksum = completedChecksum(upload, parts, claims.checksum);
  return { sizeBytes, etag: multipartEtag(parts), checksum, parts };
}

function findPart(upload: MultipartUpload, listed: ListedPart): PartRecord {
  const part = upload.part(listed.number);
  const differs = listed.checksums.some(
    ({ algorithm, value }) => part?.checksum?.algorithm !== algorithm || part.checksum.value !== value,
  );
  if (part === undefined || part.md5 !== listed.etag || differs) {
    throw new S3Error('InvalidPart', undefined, {
      UploadId: upload.record.id,
      PartNumber: String(listed.number),
      ETag: listed.etag,
    });
  }
  return part;
}

function requirePartChecksums({ algorithm, type }: ChecksumPlan, parts: readonly ListedPart[]): void {
  if (type === 'FULL_OBJECT') return;
  const without = parts.find((part) => part.checksums.length === 0);
  if (without === undefined) return;
  const name = algorithm.toLowerCase();
  throw new S3Error(
    'InvalidRequest',
    `The upload was created using a ${name} checksum. The complete request must include the checksum for each part. It was missing for part ${without.number} in the request.`,
  );
}

function completedChecksum(
  upload: MultipartUpload,
  parts: readonly PartRecord[],
  claimed: Checksum | undefined,
): CompletedObject['checksum'] {
  const plan = upload.record.checksum;
  if (plan === undefined) {
    if (claimed === undefined) return undefined;
    throw new S3Error(
      'InvalidRequest',
      'The upload was created without a checksum algorithm, so its object has no checksum to compare. Set x-amz-checksum-algorithm at CreateMultipartUpload.',
    );
  }
  const values = parts.map(({ sizeBytes, checksum }) => {
    // UploadPart has computed it with the upload's algorithm.
    if (checksum === undefined) throw new TypeError('A part has no checksum of the algorithm of its upload.');
    return { sizeBytes, value: checksum.value };
  });
  const found = objectChecksum(plan, values);
  if (claimed !== undefined && claimed.algorithm !== plan.algorithm) {
    throw new S3Error(
      'InvalidRequest',
      `Checksum Type mismatch occurred, expected checksum Type: ${plan.algorithm.toLowerCase()}, actual checksum Type: ${claimed.algorithm.toLowerCase()}`,
    );
  }
  // The part count of a composite checksum may be omitted.
  const matches = claimed === undefined || [found.value, found.value.split('-')[0]].includes(claimed.value);
  if (!matches) {
    throw new S3Error(
      'BadDigest',
      `The ${plan.algorithm} you specified did not match the calculated checksum of the object.`,
    );
  }
  return found;
}

function multipartEtag(parts: readonly PartRecord[]): string {
  const md5 = createHash('md5');
  for (const part of parts) md5.update(Buffer.from(part.md5, 'hex'));
  return `${md5.digest('hex')}-${parts.length}`;
}
