import { AbortMultipartUploadCommand } from '@aws-sdk/client-s3';
import { error } from '../s3/error-answer.ts';
import { isTrial } from '../s3/s3-call.ts';
import type { S3Fault } from '../s3/s3-fault.ts';
import type { S3Operation } from '../s3/s3-operation-of.ts';
import { StoreBehaviour, type StoreDouble } from './store-behaviour.ts';

/** MinIO aborts uploads 24 h after Create, even active ones. */
export function expiresUploads({ afterMs }: { afterMs: number }): StoreDouble {
  return ({ client }) => {
    const createdAt = new Map<string, number>();
    return new StoreBehaviour(`expires multipart uploads ${afterMs} ms after Create`, ({ call }) => {
      const { operation, bucket: Bucket, key: Key, uploadId = '' } = call;
      if (operation === 'CreateMultipartUpload') return noting((id) => createdAt.set(id, performance.now()));
      const age = performance.now() - (createdAt.get(uploadId) ?? Infinity);
      if (age < afterMs) return undefined;
      const gone = error('NoSuchUpload');
      return {
        ...gone,
        apply: async (exchange, control) => {
          const abort = new AbortMultipartUploadCommand({ Bucket, Key, UploadId: uploadId });
          // An earlier call may have aborted it already.
          await client.send(abort).catch(() => undefined);
          await gone.apply(exchange, control);
        },
      };
    });
  };
}

/** A store whose record of one upload is broken; all other uploads work. */
export function neverCompletesFirstUpload(): StoreBehaviour {
  return failsFirstUpload('CompleteMultipartUpload');
}

/** @see neverCompletesFirstUpload */
export function neverListsFirstUpload(): StoreBehaviour {
  return failsFirstUpload('ListParts');
}

function failsFirstUpload(broken: S3Operation): StoreBehaviour {
  let first: string | undefined;
  return new StoreBehaviour(`answers 500 to ${broken} of one upload indefinitely`, ({ call }) => {
    if (call.operation === 'CreateMultipartUpload' && first === undefined && !isTrial(call)) {
      return noting((id) => (first ??= id));
    }
    return call.operation === broken && call.uploadId === first ? error('InternalError') : undefined;
  });
}

/** Forwards a Create call and passes the upload ID to `note`. */
function noting(note: (uploadId: string) => void): S3Fault {
  return {
    kind: 'noted',
    apply: async (exchange) => {
      const answer = await exchange.forward();
      const [, id] = /<UploadId>([^<]+)<\/UploadId>/.exec(await answer.text()) ?? [];
      if (id !== undefined) note(id);
      await exchange.relay(answer);
    },
  };
}
