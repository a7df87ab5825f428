import type { Operation } from '../operation.ts';

export const listBuckets: Operation = async (request, { storage, ownerId }) => {
  await request.body.expectEmpty();
  const buckets = storage.buckets().map((bucket) => ({
    Name: bucket.name,
    CreationDate: new Date(bucket.createdAtMs).toISOString(),
  }));
  return {
    status: 200,
    body: {
      root: 'ListAllMyBucketsResult',
      content: { Owner: { ID: ownerId }, Buckets: { Bucket: buckets } },
    },
  };
};
