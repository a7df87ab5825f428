import type { RequestBody } from '../body/request-body.ts';
import { S3Error } from '../errors.ts';
import type { RequestHeaders } from '../http/request-head.ts';
import type { Bucket } from '../storage/bucket.ts';
import type { Storage } from '../storage/storage.ts';
import type { XmlElements } from '../xml.ts';

/** Performs one S3 operation. Error responses are thrown as S3Error. */
export type Operation = (request: S3Request, context: OperationContext) => Promise<S3Response>;

/** One authenticated request, routed. */
export interface S3Request {
  /** Undefined only for ListBuckets. */
  readonly bucket: string | undefined;
  readonly key: string | undefined;
  /** Query without the parameters of the signature. */
  readonly query: ReadonlyMap<string, string>;
  readonly headers: RequestHeaders;
  readonly body: RequestBody;
}

export interface OperationContext {
  readonly storage: Storage;
  readonly region: string;
  /** Canonical user id returned as the owner of all buckets and objects. */
  readonly ownerId: string;
  /** Aborted when the client disconnects or the store stops. */
  readonly signal: AbortSignal;
}

export interface S3Response {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string | undefined>>;
  readonly body?: ResponseXml | ResponseBytes;
}

interface ResponseXml {
  readonly root: string;
  readonly content: XmlElements | string;
}

export interface ResponseBytes {
  readonly sizeBytes: number;
  /** Undefined for HEAD: only the size is sent. */
  readonly chunks: AsyncIterable<Buffer> | undefined;
}

export const MAX_PARTS = 10_000;

/** @throws S3Error NoSuchBucket */
export function requiredBucket(request: S3Request, { storage }: OperationContext): Bucket {
  return storage.bucket(requiredBucketName(request));
}

export function requiredBucketName({ bucket }: S3Request): string {
  if (bucket === undefined) throw new S3Error('InvalidBucketName');
  return bucket;
}

export function requiredKey({ key }: S3Request): string {
  if (key === undefined) throw new S3Error('InvalidArgument', 'An object key is required.');
  return key;
}

export function requiredUploadId({ query }: S3Request): string {
  const id = query.get('uploadId');
  if (id === undefined || id === '') throw new S3Error('InvalidArgument', 'uploadId is missing.');
  return id;
}

/** @throws S3Error InvalidArgument outside 1…10,000 */
export function requiredPartNumber({ query }: S3Request): number {
  const number = integerParameter(query, 'partNumber', { min: 1, max: MAX_PARTS });
  if (number === undefined) throw new S3Error('InvalidArgument', 'partNumber is missing.');
  return number;
}

/** Parses an integer query parameter. @throws S3Error InvalidArgument outside `min`…`max` */
export function integerParameter(
  query: ReadonlyMap<string, string>,
  name: string,
  range: { readonly min: number; readonly max: number },
): number | undefined {
  const text = query.get(name);
  if (text === undefined || text === '') return undefined;
  const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= range.min && value <= range.max)) {
    throw new S3Error(
      'InvalidArgument',
      `${name} must be an integer between ${range.min} and ${range.max}, inclusive`,
      { ArgumentName: name, ArgumentValue: text },
    );
  }
  return value;
}
