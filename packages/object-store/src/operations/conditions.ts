import { S3Error } from '../errors.ts';
import type { RequestHeaders } from '../http/request-head.ts';
import type { WriteCondition } from '../storage/bucket.ts';
import type { ObjectSummary } from '../storage/stored-object.ts';

function matchesEtag(list: string, etag: string): boolean {
  return list.split(',').some((item) => {
    const wanted = item.trim().replace(/^W\//, '').replaceAll('"', '');
    return wanted === '*' || wanted === etag;
  });
}

/** HTTP dates have a resolution of one second. */
function wholeSeconds(ms: number): number {
  return Math.floor(ms / 1000) * 1000;
}

type ConditionResult = 'proceed' | 'not_modified' | 'failed';

/** Evaluates conditions by RFC 9110, section 13.2.2. An invalid date is ignored, as the RFC requires. */
function evaluate(headers: RequestHeaders, prefix: string, object: ObjectSummary): ConditionResult {
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
  const result = evaluate(headers, '', object);
  if (result === 'failed') throw new S3Error('PreconditionFailed');
  if (result === 'not_modified') throw new S3Error('NotModified', undefined, { ETag: object.etag });
}

/** Checks the `x-amz-copy-source-if-*` headers. @throws S3Error PreconditionFailed */
export function checkCopyConditions(headers: RequestHeaders, source: ObjectSummary): void {
  if (evaluate(headers, 'x-amz-copy-source-', source) !== 'proceed') throw new S3Error('PreconditionFailed');
}

/**
 * Parses `If-None-Match: *` (the key must not exist) and `If-Match: etag` (the object must have this ETag), the forms
 * that S3 supports for writes.
 * @returns a condition to evaluate atomically with the write
 */
export function requestedWriteCondition(headers: RequestHeaders): WriteCondition {
  const ifMatch = headers.get('if-match');
  const ifNoneMatch = headers.get('if-none-match');
  if (ifNoneMatch !== undefined && ifNoneMatch !== '*') {
    throw new S3Error('NotImplemented', 'If-None-Match on a write is implemented only for "*".', {
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
