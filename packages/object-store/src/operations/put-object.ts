import { checksumHeader } from '../checksum/algorithm.ts';
import { requiredBucket, requiredKey, type Operation } from '../operation.ts';
import { requestedWriteCondition } from '../request/conditions.ts';
import { requestedProperties } from '../request/properties.ts';

export const putObject: Operation = async (request, { storage }) => {
  const bucket = storage.bucket(requiredBucket(request));
  const key = requiredKey(request);
  const properties = requestedProperties(request.headers);
  const condition = requestedWriteCondition(request.headers);
  // Checked again with the write; this check avoids sending the body in vain.
  condition(bucket.summary(key));
  await using part = await storage.stage(request.body.content(), 1);
  const { etag, checksum } = await bucket.put(key, part, properties, condition);
  return {
    status: 200,
    headers: {
      etag: `"${etag}"`,
      ...(checksum && {
        [checksumHeader(checksum.algorithm)]: checksum.value,
        'x-amz-checksum-type': checksum.type,
      }),
    },
  };
};
