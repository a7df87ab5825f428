import { error } from '../s3/error-answer.ts';
import { StoreBehaviour } from './store-behaviour.ts';

/** CRC32 of nothing, as a checksum header has it. */
const CRC32_OF_NOTHING = 'AAAAAA==';

/** Garage: a multipart upload needs one part with a byte in it. */
export function refusesEmptyParts(): StoreBehaviour {
  return new StoreBehaviour('refuses an empty part', ({ call, headers }) =>
    call.operation === 'UploadPart' && headers['content-length'] === '0'
      ? error('InvalidRequest', { message: 'Part of 0 bytes.' })
      : undefined,
  );
}

/** MinIO: it computes another checksum of an object made of one empty part than everybody else. */
export function refusesChecksumOfEmptyObject(): StoreBehaviour {
  return new StoreBehaviour('refuses the checksum of an empty object on Complete', ({ call, headers }) =>
    call.operation === 'CompleteMultipartUpload' && headers['x-amz-checksum-crc32'] === CRC32_OF_NOTHING
      ? error('BadDigest')
      : undefined,
  );
}
