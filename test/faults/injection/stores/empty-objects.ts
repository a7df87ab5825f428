import { error } from '../s3/error-answer.ts';
import { StoreBehaviour } from './store-behaviour.ts';

/** CRC32 of no bytes, in the encoding of a checksum header. */
const CRC32_OF_NOTHING = 'AAAAAA==';

/** Garage requires a non-empty part in a multipart upload. */
export function refusesEmptyParts(): StoreBehaviour {
  return new StoreBehaviour('refuses an empty part', ({ call, headers }) =>
    call.operation === 'UploadPart' && headers['content-length'] === '0'
      ? error('InvalidRequest', { message: 'Part of 0 bytes.' })
      : undefined,
  );
}

/** MinIO's checksum of an object made of one empty part differs from that of other stores. */
export function refusesChecksumOfEmptyObject(): StoreBehaviour {
  return new StoreBehaviour('refuses the checksum of an empty object on Complete', ({ call, headers }) =>
    call.operation === 'CompleteMultipartUpload' && headers['x-amz-checksum-crc32'] === CRC32_OF_NOTHING
      ? error('BadDigest')
      : undefined,
  );
}
