import assert from 'node:assert/strict';
import { test } from 'node:test';
import { s3OperationOf } from './s3-operation-of.ts';

const requests = {
  'GET /': 'ListBuckets',
  'HEAD /box': 'HeadBucket',
  'PUT /box': 'CreateBucket',
  'DELETE /box': 'DeleteBucket',
  'GET /box?list-type=2&max-keys=1': 'ListObjectsV2',
  'GET /box?prefix=a': 'ListObjects',
  'GET /box/?uploads&prefix=a': 'ListMultipartUploads',
  'GET /box?lifecycle': 'GetBucketLifecycleConfiguration',
  'PUT /box?lifecycle': 'PutBucketLifecycleConfiguration',
  'GET /box?encryption': 'GetBucketEncryption',
  'PUT /box?encryption': 'PutBucketEncryption',
  'DELETE /box?encryption': 'DeleteBucketEncryption',
  'GET /box?versioning': 'GetBucketVersioning',
  'PUT /box?versioning': 'PutBucketVersioning',
  'GET /box?publicAccessBlock': 'GetPublicAccessBlock',
  'PUT /box?publicAccessBlock': 'PutPublicAccessBlock',
  'DELETE /box?policy': 'Other',
  'POST /box?delete': 'DeleteObjects',
  'PUT /box/a/b': 'PutObject',
  'GET /box/a/b?X-Amz-Signature=0': 'GetObject',
  'HEAD /box/a/b': 'HeadObject',
  'DELETE /box/a/b': 'DeleteObject',
  'POST /box/a/b?uploads=': 'CreateMultipartUpload',
  'PUT /box/a/b?partNumber=7&uploadId=u&x-id=UploadPart': 'UploadPart',
  'GET /box/a/b?uploadId=u': 'ListParts',
  'POST /box/a/b?uploadId=u': 'CompleteMultipartUpload',
  'DELETE /box/a/b?uploadId=u': 'AbortMultipartUpload',
  'PATCH /box/a/b': 'Other',
} as const;

test('a request is told by its method, path and query', () => {
  for (const [request, operation] of Object.entries(requests)) {
    const [method = '', target = ''] = request.split(' ');
    assert.equal(s3OperationOf(method, target).operation, operation, request);
  }
  assert.equal(s3OperationOf('PUT', '/box/a', true).operation, 'CopyObject');
  assert.equal(s3OperationOf('PUT', '/box/a?partNumber=1&uploadId=u', true).operation, 'UploadPartCopy');
});

test('bucket, key, upload and part number are told too', () => {
  assert.deepEqual(s3OperationOf('PUT', '/box/a%20b/c?partNumber=7&uploadId=u%2B'), {
    operation: 'UploadPart',
    bucket: 'box',
    key: 'a b/c',
    uploadId: 'u+',
    partNumber: 7,
  });
  assert.deepEqual(s3OperationOf('HEAD', '/box'), {
    operation: 'HeadBucket',
    bucket: 'box',
    key: undefined,
    uploadId: undefined,
    partNumber: undefined,
  });
});
