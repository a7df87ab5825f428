import { S3Error } from '../errors.ts';
import type { RequestHeaders } from '../http/headers.ts';
import type { WriteCondition } from '../storage/bucket.ts';
import type { ObjectSummary } from '../storage/object-manifest.ts';

function matchesEtag(list: string, etag: string): boolean {
  return list.split(',').some((item) => {
    const wanted = item.trim().replace(/^W\//, '').replaceAll('"', '');
    return wanted === '*' || wanted === etag;
  });
}

/** HTTP dates have whole seconds. */
function wholeSeconds(ms: number): number {
  return Math.floor(ms / 1000) * 1000;
}

type Finding = 'proceed' | 'not_modified' | 'failed';

/** RFC 9110, section 13.2.2. A date that isn't one is ignored, as the RFC wants. */
function evaluate(headers: RequestHeaders, prefix: string, object: ObjectSummary): Finding {
  const modifiedMs = wholeSeconds(object.lastModifiedMs);
  const header = (name: string): string | undefined => headers.get(prefix + name);
  const date = (name: string): number => Date.parse(header(name) ?? '');
  const ifMatch = header('if-match');
  const ifNoneMatch = header('if-none-match');
  if (ifMatch !== undefined) {
    if (!matchesEtag(ifMatch, object.etag)) return 'failed';
  } else if (modifiedMs > date('if-unmodified-since')) return 'failed';
  if (ifNoneMatch !== undefined) {
    if (matchesEtag(ifNoneMatch, object.etag)) return 'not_modified';
  } else if (modifiedMs <= date('if-modified-since')) return 'not_modified';
  return 'proceed';
}

/** @throws S3Error PreconditionFailed, NotModified */
export function checkReadConditions(headers: RequestHeaders, object: ObjectSummary): void {
  const finding = evaluate(headers, '', object);
  if (finding === 'failed') throw new S3Error('PreconditionFailed');
  if (finding === 'not_modified') throw new S3Error('NotModified', undefined, { ETag: object.etag });
}

/** The `x-amz-copy-source-if-*` headers. @throws S3Error PreconditionFailed */
export function checkCopyConditions(headers: RequestHeaders, source: ObjectSummary): void {
  if (evaluate(headers, 'x-amz-copy-source-', source) !== 'proceed') throw new S3Error('PreconditionFailed');
}

/**
 * `If-None-Match: *` (nothing there yet) and `If-Match: etag` (still this version), the forms S3 knows for writes.
 * @returns a condition to be judged together with the write
 */
export function requestedWriteCondition(headers: RequestHeaders): WriteCondition {
  const ifMatch = headers.get('if-match');
  const ifNoneMatch = headers.get('if-none-match');
  if (ifNoneMatch !== undefined && ifNoneMatch !== '*') {
    throw new S3Error('NotImplemented', 'If-None-Match on a write is implemented for "*" only.', {
      Header: 'If-None-Match',
    });
  }
  return (current) => {
    if (ifNoneMatch !== undefined && current !== undefined) {
      throw new S3Error('PreconditionFailed', undefined, { Condition: 'If-None-Match' });
    }
    if (ifMatch === undefined) return;
    if (current === undefined) throw new S3Error('NoSuchKey');
    if (!matchesEtag(ifMatch, current.etag)) {
      throw new S3Error('PreconditionFailed', undefined, { Condition: 'If-Match' });
    }
  };
}
