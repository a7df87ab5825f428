import { S3Error } from '../errors.ts';
import type { RequestHeaders } from '../http/headers.ts';
import type { OperationContext } from '../operation.ts';
import type { OpenObject } from '../storage/bucket.ts';
import { summarize } from '../storage/object-manifest.ts';
import { checkCopyConditions } from './conditions.ts';

export interface CopySource {
  readonly bucket: string;
  readonly key: string;
}

/** `bucket/key` or `/bucket/key`, percent-encoded. */
export function parseCopySource(headers: RequestHeaders): CopySource {
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
export async function openCopySource(
  headers: RequestHeaders,
  { storage }: OperationContext,
): Promise<OpenObject> {
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
