import { error } from '../faults/injection/s3/error-answer.ts';
import { holdAnswer, holdRequest } from '../faults/injection/s3/hold.ts';
import { arriveLate } from '../faults/injection/s3/lost-call.ts';
import type { S3Call } from '../faults/injection/s3/s3-call.ts';
import type { S3FaultProxy } from '../faults/injection/s3/s3-fault-proxy.ts';
import type { S3Fault } from '../faults/injection/s3/s3-fault.ts';
import type { S3Operation } from '../faults/injection/s3/s3-operation-of.ts';
import { slow, stopReading } from '../faults/injection/s3/slow-call.ts';
import { type Fault, lasting } from './fault.ts';

/** Minimum and maximum in milliseconds. */
const HELD = [2000, 6000] as const;
/** Longer than any client waits for a response. */
const HELD_LONG = [46_000, 55_000] as const;
const LONG_SHARE = 0.1;
const WAITED_FOR = [2000, 12_000] as const;

const anyCall = [
  'UploadPart',
  'CreateMultipartUpload',
  'CompleteMultipartUpload',
  'AbortMultipartUpload',
  'ListParts',
  'HeadObject',
] as const satisfies readonly S3Operation[];

/**
 * Faults that last longer than one call, or permanently; {@link S3FaultProxy.randomly} injects the others.
 *
 * @param deniedKeys Receives each key of a permanently denied call.
 */
export function s3Faults(faults: S3FaultProxy, deniedKeys: Set<string>): Fault[] {
  const held = (kind: string, fault: S3Fault, operations: readonly S3Operation[]): Fault => ({
    kind,
    target: `store, ${kind}`,
    weight: 1,
    run: async (options) => {
      const operation = operations[Math.floor(options.random() * operations.length)];
      const rule = faults.next({ operation, matching: isOfPull, fault });
      await lasting(options, options.random() < LONG_SHARE ? HELD_LONG : HELD);
      if (!options.over.aborted) await rule.release();
      rule.remove();
      return rule.firedCount;
    },
  });
  const once = (fault: S3Fault, operation: S3Operation, isForGood = false): Fault => ({
    kind: `${fault.kind}, ${operation}`,
    target: `store, ${fault.kind}`,
    weight: 0.5,
    run: async (options) => {
      const matching = (call: S3Call): boolean => {
        if (!isOfPull(call)) return false;
        // The key is added immediately: the upload may fail before this fault is over.
        if (isForGood) deniedKeys.add(call.key ?? '');
        return true;
      };
      const rule = faults.next({ operation, matching, fault });
      await lasting(options, WAITED_FOR);
      rule.remove();
      return rule.firedCount;
    },
  });
  return [
    held('hold a request', holdRequest(), anyCall),
    held('hold an answer', holdAnswer(), anyCall),
    held('arrive late', arriveLate(), ['UploadPart', 'CompleteMultipartUpload', 'AbortMultipartUpload']),
    held('stop reading a part', stopReading(), ['UploadPart']),
    held('trickle', slow({ bytesPerSecond: 200_000 }), ['UploadPart']),
    once(error('NoSuchUpload'), 'UploadPart'),
    once(error('NoSuchUpload'), 'CompleteMultipartUpload'),
    once(error('NoSuchUpload'), 'ListParts'),
    once(error('InvalidPart'), 'CompleteMultipartUpload'),
    once(error('ConditionalRequestConflict'), 'CompleteMultipartUpload'),
    once(error('OperationAborted'), 'CompleteMultipartUpload'),
    once(error('AccessDenied'), 'UploadPart', true),
    once(error('AccessDenied'), 'CreateMultipartUpload', true),
    once(error('AccessDenied'), 'CompleteMultipartUpload', true),
  ];
}

function isOfPull({ key }: S3Call): boolean {
  return key?.startsWith('uploads/') === true;
}
