import type { OperationName } from 'backhaul-object-store';

/** Operations on bucket settings that `--setup-bucket` and `doctor` use. */
type BucketSetting = `${'Get' | 'Put'}${
  | 'BucketEncryption'
  | 'BucketVersioning'
  | 'PublicAccessBlock'
  | 'BucketLifecycleConfiguration'}`;

/** Name of an S3 operation; `Other` if this project never uses it. */
export type S3Operation = OperationName | BucketSetting | 'DeleteBucketEncryption' | 'Other';

/** Operation and target of a request. */
export interface S3Subject {
  readonly operation: S3Operation;
  readonly bucket: string | undefined;
  readonly key: string | undefined;
  readonly uploadId: string | undefined;
  readonly partNumber: number | undefined;
}

type Selected = readonly [parameter: string, operation: S3Operation];

/** By method: operations selected by the first query parameter present, then the one without any. */
const ofObject: Readonly<Record<string, readonly [...Selected[], S3Operation]>> = {
  GET: [['uploadId', 'ListParts'], 'GetObject'],
  HEAD: ['HeadObject'],
  PUT: [['partNumber', 'UploadPart'], 'PutObject'],
  POST: [['uploads', 'CreateMultipartUpload'], ['uploadId', 'CompleteMultipartUpload'], 'Other'],
  DELETE: [['uploadId', 'AbortMultipartUpload'], 'DeleteObject'],
};
const ofBucket: typeof ofObject = {
  GET: [
    ['uploads', 'ListMultipartUploads'],
    ['location', 'GetBucketLocation'],
    ['versioning', 'GetBucketVersioning'],
    ['encryption', 'GetBucketEncryption'],
    ['publicAccessBlock', 'GetPublicAccessBlock'],
    ['lifecycle', 'GetBucketLifecycleConfiguration'],
    ['list-type', 'ListObjectsV2'],
    ...(['cors', 'policy'] as const).map((name) => [name, 'Other'] as const),
    'ListObjects',
  ],
  HEAD: ['HeadBucket'],
  PUT: [
    ['versioning', 'PutBucketVersioning'],
    ['encryption', 'PutBucketEncryption'],
    ['publicAccessBlock', 'PutPublicAccessBlock'],
    ['lifecycle', 'PutBucketLifecycleConfiguration'],
    ...(['cors', 'policy'] as const).map((name) => [name, 'Other'] as const),
    'CreateBucket',
  ],
  POST: [['delete', 'DeleteObjects'], 'Other'],
  DELETE: [
    ['encryption', 'DeleteBucketEncryption'],
    ...(['lifecycle', 'publicAccessBlock', 'cors', 'policy'] as const).map(
      (name) => [name, 'Other'] as const,
    ),
    'DeleteBucket',
  ],
};
const copies: Readonly<Partial<Record<S3Operation, S3Operation>>> = {
  UploadPart: 'UploadPartCopy',
  PutObject: 'CopyObject',
};

/**
 * Determines the operation and target of a request. Buckets are recognized in the path only.
 *
 * @param target Target of the request line, e.g. `/bucket/key?uploadId=…`.
 * @param isCopy Whether the request has an `x-amz-copy-source` header.
 */
export function s3OperationOf(method: string, target: string, isCopy = false): S3Subject {
  const mark = target.indexOf('?');
  const path = mark === -1 ? target : target.slice(0, mark);
  const query = new URLSearchParams(mark === -1 ? '' : target.slice(mark + 1));
  const slash = path.indexOf('/', 1);
  const bucket = decodeURIComponent(slash === -1 ? path.slice(1) : path.slice(1, slash));
  const key = slash === -1 ? '' : decodeURIComponent(path.slice(slash + 1));
  const operation = select(method, { bucket, key, query });
  const partNumber = Number(query.get('partNumber') ?? Number.NaN);
  return {
    operation: isCopy ? (copies[operation] ?? operation) : operation,
    bucket: bucket || undefined,
    key: key || undefined,
    uploadId: query.get('uploadId') ?? undefined,
    partNumber: Number.isInteger(partNumber) ? partNumber : undefined,
  };
}

function select(
  method: string,
  { bucket, key, query }: { bucket: string; key: string; query: URLSearchParams },
): S3Operation {
  if (bucket === '') return method === 'GET' ? 'ListBuckets' : 'Other';
  const choices = (key === '' ? ofBucket : ofObject)[method] ?? ['Other' as const];
  for (const choice of choices) {
    if (typeof choice === 'string') return choice;
    if (query.has(choice[0])) return choice[1];
  }
  return 'Other';
}
