import { CHECKSUM_HEADERS, checksumHeader } from '../checksum/algorithm.ts';
import { S3Error } from '../errors.ts';
import { parseXml, type XmlElements, type XmlNode } from '../xml.ts';
import { requestedWriteCondition } from './conditions.ts';
import { type Operation, requiredBucket, requiredKey } from './operation.ts';
import { requestedProperties } from './properties.ts';

/** Keys in one DeleteObjects request. */
const KEYS_LIMIT = 1000;

export const putObject: Operation = async (request, context) => {
  const bucket = requiredBucket(request, context);
  const key = requiredKey(request);
  const properties = requestedProperties(request.headers);
  const condition = requestedWriteCondition(request.headers);
  // Checked again with the write; this check avoids sending the body in vain.
  condition(bucket.summary(key));
  await using part = await context.storage.stage(request.body.content(), 1);
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

export const deleteObject: Operation = async (request, context) => {
  await request.body.expectEmpty();
  await requiredBucket(request, context).delete(requiredKey(request));
  return { status: 204 };
};

export const deleteObjects: Operation = async (request, context) => {
  const bucket = requiredBucket(request, context);
  const { headers } = request;
  const guarded = headers.has('content-md5') || request.body.claims.algorithm !== undefined;
  if (!guarded) {
    throw new S3Error(
      'InvalidRequest',
      `Missing required header for this request: Content-MD5 OR one of ${CHECKSUM_HEADERS.join(', ')}`,
    );
  }
  const document = parseXml(await request.body.text(), 'Delete');
  const unknown = document.names().find((name) => name !== 'Object' && name !== 'Quiet');
  if (unknown !== undefined) throw new S3Error('MalformedXML', `<Delete> takes no <${unknown}>.`);
  const keys = document.children('Object').map(keyOf);
  if (keys.length === 0 || keys.length > KEYS_LIMIT) throw new S3Error('MalformedXML');
  const quiet = document.text('Quiet')?.trim() === 'true';
  const deleted: XmlElements[] = [];
  const errors: XmlElements[] = [];
  for (const key of keys) {
    try {
      await bucket.delete(key);
      if (!quiet) deleted.push({ Key: key });
    } catch (error) {
      const { code, message } = error instanceof S3Error ? error : new S3Error('InternalError');
      errors.push({ Key: key, Code: code, Message: message });
    }
  }
  return { status: 200, body: { root: 'DeleteResult', content: { Deleted: deleted, Error: errors } } };
};

function keyOf(object: XmlNode): string {
  const unknown = object.names().find((name) => name !== 'Key');
  if (unknown !== undefined) {
    throw new S3Error('NotImplemented', `<${unknown}> in DeleteObjects is not implemented by this store.`);
  }
  const key = object.text('Key');
  if (key === undefined || key === '') throw new S3Error('MalformedXML');
  return key;
}
