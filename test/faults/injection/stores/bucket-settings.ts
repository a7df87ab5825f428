import { error } from '../s3/error-answer.ts';
import type { S3Exchange } from '../s3/s3-exchange.ts';
import type { S3Fault } from '../s3/s3-fault.ts';
import type { S3Operation } from '../s3/s3-operation-of.ts';
import { StoreBehaviour } from './store-behaviour.ts';

const ENCRYPTED =
  '<?xml version="1.0" encoding="UTF-8"?>\n' +
  '<ServerSideEncryptionConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Rule>' +
  '<ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault>' +
  '</Rule></ServerSideEncryptionConfiguration>';

const writes: ReadonlySet<S3Operation> = new Set(['PutObject', 'CreateMultipartUpload', 'UploadPart']);

/** SeaweedFS without a key for SSE-S3 accepts and returns the setting, and then every write fails. */
export function breaksOnceEncrypted(): StoreBehaviour {
  let isEncrypted = false;
  return new StoreBehaviour('breaks once default encryption is on', ({ call: { operation } }) => {
    switch (operation) {
      case 'PutBucketEncryption':
        isEncrypted = true;
        return answerDone();
      case 'DeleteBucketEncryption':
        isEncrypted = false;
        return answerDone(204);
      case 'GetBucketEncryption':
        return isEncrypted
          ? answerDone(200, ENCRYPTED)
          : error('ServerSideEncryptionConfigurationNotFoundError');
      default:
        return isEncrypted && writes.has(operation) ? error('InternalError') : undefined;
    }
  });
}

/** SeaweedFS without a key for SSE-S3 fails uploads that request encryption. */
export function failsEncryptedUploads(): StoreBehaviour {
  return new StoreBehaviour('answers 500 to an upload that asks for encryption', ({ call, headers }) =>
    call.operation === 'CreateMultipartUpload' && 'x-amz-server-side-encryption' in headers
      ? error('InternalError')
      : undefined,
  );
}

/** versitygw without `--versioning-dir` responds 501. */
export function hasNoVersioning(): StoreBehaviour {
  return new StoreBehaviour('answers 501 to versioning', ({ call: { operation } }) =>
    operation.endsWith('BucketVersioning') ? error('VersioningNotConfigured') : undefined,
  );
}

/** S3Proxy on a file system responds 500. */
export function failsPublicAccessBlock(): StoreBehaviour {
  return new StoreBehaviour('answers 500 to a block of public access', ({ call: { operation } }) =>
    operation.endsWith('PublicAccessBlock') ? error('InternalError') : undefined,
  );
}

function answerDone(status = 200, body = ''): S3Fault {
  return {
    kind: 'bucket setting',
    apply: async (exchange: S3Exchange) => {
      await exchange.discardBody();
      await exchange.answer({
        status,
        body,
        headers: body === '' ? {} : { 'Content-Type': 'application/xml' },
      });
    },
  };
}
