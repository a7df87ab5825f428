import { CHECKSUM_HEADERS } from './checksum/algorithm.ts';
import { S3Error } from './errors.ts';
import type { RequestHeaders } from './http/request-head.ts';
import {
  createBucket,
  deleteBucket,
  getBucketLocation,
  getBucketVersioning,
  headBucket,
  listBuckets,
} from './operations/buckets.ts';
import { completeMultipartUpload } from './operations/complete-multipart-upload.ts';
import { copyObject, uploadPartCopy } from './operations/copy-object.ts';
import { listMultipartUploads, listObjects, listObjectsV2 } from './operations/listings.ts';
import {
  abortMultipartUpload,
  createMultipartUpload,
  listParts,
  uploadPart,
} from './operations/multipart-uploads.ts';
import type { Operation } from './operations/operation.ts';
import { getObject, headObject } from './operations/read-object.ts';
import { deleteObject, deleteObjects, putObject } from './operations/write-object.ts';

type Resource = 'service' | 'bucket' | 'object';

/** Matches requests of one operation and lists everything they may contain; anything else is refused, never ignored. */
interface Route {
  readonly perform: Operation;
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE';
  readonly resource: Resource;
  /** Required query parameters. */
  readonly selectors?: readonly string[];
  /** Required header. */
  readonly header?: string;
  readonly query?: readonly string[];
  /** Allowed `x-amz-*` and conditional headers; a trailing `*` matches any suffix. */
  readonly headers?: readonly string[];
}

const PAYLOAD = [
  'x-amz-decoded-content-length',
  'x-amz-trailer',
  'x-amz-sdk-checksum-algorithm',
  ...CHECKSUM_HEADERS,
];
const STORED = ['x-amz-meta-*', 'x-amz-storage-class', 'x-amz-acl'];
const READ_CONDITIONS = ['if-match', 'if-none-match', 'if-modified-since', 'if-unmodified-since'];
const WRITE_CONDITIONS = ['if-match', 'if-none-match'];
const COPY_SOURCE = ['x-amz-copy-source', 'x-amz-copy-source-if-*'];
const READ_OVERRIDES = [
  'response-cache-control',
  'response-content-disposition',
  'response-content-encoding',
  'response-content-language',
  'response-content-type',
  'response-expires',
];
const LIST = ['prefix', 'delimiter', 'encoding-type'];

/** All operations of this store. More specific routes come first. */
const ROUTES = {
  ListBuckets: { method: 'GET', resource: 'service', perform: listBuckets },

  GetBucketLocation: {
    method: 'GET',
    resource: 'bucket',
    perform: getBucketLocation,
    selectors: ['location'],
  },
  GetBucketVersioning: {
    method: 'GET',
    resource: 'bucket',
    perform: getBucketVersioning,
    selectors: ['versioning'],
  },
  ListMultipartUploads: {
    method: 'GET',
    resource: 'bucket',
    perform: listMultipartUploads,
    selectors: ['uploads'],
    query: [...LIST, 'max-uploads', 'key-marker', 'upload-id-marker'],
  },
  ListObjectsV2: {
    method: 'GET',
    resource: 'bucket',
    perform: listObjectsV2,
    selectors: ['list-type'],
    query: [...LIST, 'max-keys', 'continuation-token', 'start-after', 'fetch-owner'],
  },
  ListObjects: {
    method: 'GET',
    resource: 'bucket',
    perform: listObjects,
    query: [...LIST, 'max-keys', 'marker'],
  },
  HeadBucket: { method: 'HEAD', resource: 'bucket', perform: headBucket },
  CreateBucket: {
    method: 'PUT',
    resource: 'bucket',
    perform: createBucket,
    headers: [...PAYLOAD, 'x-amz-acl'],
  },
  DeleteBucket: { method: 'DELETE', resource: 'bucket', perform: deleteBucket },
  DeleteObjects: {
    method: 'POST',
    resource: 'bucket',
    perform: deleteObjects,
    selectors: ['delete'],
    headers: PAYLOAD,
  },

  ListParts: {
    method: 'GET',
    resource: 'object',
    perform: listParts,
    selectors: ['uploadId'],
    query: ['max-parts', 'part-number-marker', 'encoding-type'],
  },
  GetObject: {
    method: 'GET',
    resource: 'object',
    perform: getObject,
    query: ['partNumber', ...READ_OVERRIDES],
    headers: ['x-amz-checksum-mode', ...READ_CONDITIONS],
  },
  HeadObject: {
    method: 'HEAD',
    resource: 'object',
    perform: headObject,
    query: ['partNumber', ...READ_OVERRIDES],
    headers: ['x-amz-checksum-mode', ...READ_CONDITIONS],
  },
  UploadPartCopy: {
    method: 'PUT',
    resource: 'object',
    perform: uploadPartCopy,
    selectors: ['partNumber', 'uploadId'],
    header: 'x-amz-copy-source',
    headers: [...COPY_SOURCE, 'x-amz-copy-source-range'],
  },
  UploadPart: {
    method: 'PUT',
    resource: 'object',
    perform: uploadPart,
    selectors: ['partNumber', 'uploadId'],
    headers: PAYLOAD,
  },
  CopyObject: {
    method: 'PUT',
    resource: 'object',
    perform: copyObject,
    header: 'x-amz-copy-source',
    headers: [
      ...STORED,
      ...COPY_SOURCE,
      'x-amz-metadata-directive',
      'x-amz-checksum-algorithm',
      ...WRITE_CONDITIONS,
    ],
  },
  PutObject: {
    method: 'PUT',
    resource: 'object',
    perform: putObject,
    headers: [...PAYLOAD, ...STORED, ...WRITE_CONDITIONS],
  },
  CreateMultipartUpload: {
    method: 'POST',
    resource: 'object',
    perform: createMultipartUpload,
    selectors: ['uploads'],
    headers: [...STORED, 'x-amz-checksum-algorithm', 'x-amz-checksum-type'],
  },
  CompleteMultipartUpload: {
    method: 'POST',
    resource: 'object',
    perform: completeMultipartUpload,
    selectors: ['uploadId'],
    headers: [...PAYLOAD, 'x-amz-checksum-type', 'x-amz-mp-object-size', ...WRITE_CONDITIONS],
  },
  AbortMultipartUpload: {
    method: 'DELETE',
    resource: 'object',
    perform: abortMultipartUpload,
    selectors: ['uploadId'],
  },
  DeleteObject: { method: 'DELETE', resource: 'object', perform: deleteObject },
} as const satisfies Record<string, Route>;

export type OperationName = keyof typeof ROUTES;

/** What performs each operation. An entry can be wrapped to change a single operation. */
export const OPERATIONS = Object.fromEntries(
  Object.entries(ROUTES).map(([name, { perform }]) => [name, perform]),
) as Readonly<Record<OperationName, Operation>>;

/** Parameters and headers that belong to the signature or do not affect the operation. */
const ANY_QUERY = /^(?:X-Amz-(?:Algorithm|Credential|Date|Expires|SignedHeaders|Signature)|x-id)$/;
const ANY_HEADER = new Set(['x-amz-date', 'x-amz-content-sha256', 'x-amz-user-agent']);

interface RoutableRequest {
  readonly method: string;
  readonly bucket: string | undefined;
  readonly key: string | undefined;
  readonly query: ReadonlyMap<string, string>;
  readonly headers: RequestHeaders;
}

function resourceOf({ bucket, key }: RoutableRequest): Resource {
  if (bucket === undefined) return 'service';
  return key === undefined ? 'bucket' : 'object';
}

/** @throws S3Error NotImplemented with the name of the unsupported feature */
export function route(request: RoutableRequest): OperationName {
  const resource = resourceOf(request);
  const { method, query, headers } = request;
  const candidates = Object.entries(ROUTES) as Array<[OperationName, Route]>;
  const found = candidates.find(
    ([, candidate]) =>
      candidate.method === method &&
      candidate.resource === resource &&
      (candidate.selectors ?? []).every((name) => query.has(name)) &&
      (candidate.header === undefined || headers.has(candidate.header)),
  );
  if (found === undefined) {
    if (!['GET', 'HEAD', 'PUT', 'POST', 'DELETE'].includes(method)) throw new S3Error('MethodNotAllowed');
    const subresource = [...query.keys()].find((name) => !ANY_QUERY.test(name));
    throw new S3Error('NotImplemented', unsupported(method, resource, subresource));
  }
  const [operation, allowed] = found;
  checkQuery(allowed, query);
  checkHeaders(operation, allowed, headers);
  return operation;
}

/** Describes the request rather than the matched operation, because an unknown subresource means another operation. */
function unsupported(method: string, resource: Resource, parameter: string | undefined): string {
  const target = { service: 'the service', bucket: 'a bucket', object: 'an object' }[resource];
  const query = parameter === undefined ? '' : ` with the query parameter "${parameter}"`;
  return `${method} on ${target}${query} is not implemented by this store.`;
}

function checkQuery(allowed: Route, query: ReadonlyMap<string, string>): void {
  for (const name of query.keys()) {
    if (ANY_QUERY.test(name)) continue;
    if (allowed.selectors?.includes(name) === true || allowed.query?.includes(name) === true) continue;
    throw new S3Error('NotImplemented', unsupported(allowed.method, allowed.resource, name), { Query: name });
  }
}

function checkHeaders(operation: OperationName, allowed: Route, headers: RequestHeaders): void {
  for (const name of headers.keys()) {
    const meaningful = name.startsWith('x-amz-') || READ_CONDITIONS.includes(name);
    if (!meaningful || ANY_HEADER.has(name)) continue;
    const matches = (pattern: string): boolean =>
      pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern;
    if (allowed.headers?.some(matches) === true) continue;
    if (name.includes('server-side-encryption')) {
      throw new S3Error('InvalidArgument', `This store does not encrypt; ${name} is not supported.`, {
        ArgumentName: name,
      });
    }
    throw new S3Error(
      'NotImplemented',
      `The header "${name}" is not implemented by this store for ${operation}.`,
      { Header: name },
    );
  }
}
