import type {
  BucketOperation,
  BucketOutcome,
} from '../../../packages/server/src/domain/ports/bucket-wrappers.ts';

/** Values appear only when they occur, and one test does not produce all of them. */
export const s3Operations = [
  'capabilities',
  'createMultipartUpload',
  'signParts',
  'listParts',
  'listMultipartUploads',
  'completeMultipartUpload',
  'putEmptyObject',
  'abortMultipartUpload',
  'head',
  'deleteObject',
  'signGet',
  'ping',
] as const satisfies readonly BucketOperation[];

export const s3Outcomes = [
  'ok',
  'unavailable',
  'refused',
  'upload_gone',
  'object_exists',
  'invalid_parts',
  'checksum_mismatch',
  'aborted',
  'fault',
] as const satisfies readonly BucketOutcome[];
