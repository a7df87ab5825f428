import { cutBody, emptyBody, withoutEtag } from './broken-answer.ts';
import { error, errorIn200, requestExpired } from './error-answer.ts';
import { dropAnswer, dropRequest } from './lost-call.ts';
import type { S3Call } from './s3-call.ts';
import type { S3Fault } from './s3-fault.ts';
import { slow } from './slow-call.ts';

type Faults = readonly (() => S3Fault)[];

/** Faults that can occur in any call. */
const common: Faults = [
  () => error('InternalError'),
  () => error('SlowDown'),
  () => error('ServiceUnavailable'),
  () => error('RequestTimeout'),
  dropRequest,
  dropAnswer,
  cutBody,
  () => slow({ beforeRequestMs: 20, beforeAnswerMs: 20 }),
];

const ofPart: Faults = [
  ...common,
  () => error('BadDigest'),
  () => error('SlowDown', { afterBody: false }),
  () => requestExpired(),
  withoutEtag,
];

const ofCompletion: Faults = [
  ...common,
  () => errorIn200('InternalError'),
  () => errorIn200('InternalError', { afterEffect: true }),
  emptyBody,
  withoutEtag,
];

/** Returns a transient fault of S3 or the network; a retry or a check of the store recovers from it. */
export function transientFault(call: S3Call, random: () => number): S3Fault | undefined {
  const faults = faultsOf(call);
  return faults[Math.floor(random() * faults.length)]?.();
}

function faultsOf({ operation }: S3Call): Faults {
  if (operation === 'UploadPart') return ofPart;
  return operation === 'CompleteMultipartUpload' ? ofCompletion : common;
}
