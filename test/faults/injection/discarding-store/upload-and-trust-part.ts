import { type Operation, S3Error, type S3Request } from 'backhaul-object-store';
import {
  checksumHeader,
  etagOf,
  keepRecord,
  partNumberOf,
  uploadAndDiscardPart,
} from './upload-and-discard-part.ts';

/** Parts up to this size are verified, because the server probes the store with tiny parts. */
const CHECKED_BYTES = 64 * 1024;
const CHECKSUM_BYTES = { CRC32: 4, CRC32C: 4, CRC64NVME: 8, SHA1: 20, SHA256: 32 } as const;

/**
 * UploadPart that discards a large part's bytes unchecked and records what the request claims about them, to measure
 * the sender with minimal work at the receiver. A trailing checksum is recorded as zeros.
 */
export const uploadAndTrustPart: Operation = async (request, context) => {
  const { bucket, key, query, headers, body } = request;
  const { algorithm, sizeBytes } = body.claims;
  if (sizeBytes <= CHECKED_BYTES) return await uploadAndDiscardPart(request, context);
  const { storage } = context;
  const number = partNumberOf(query);
  const upload = storage.bucket(bucket ?? '').upload(query.get('uploadId') ?? '', key ?? '');
  const wanted = upload.record.checksum?.algorithm;
  if (algorithm !== undefined && wanted !== undefined && algorithm !== wanted) {
    throw new S3Error('InvalidRequest', `The upload wants a ${wanted}, the part has ${algorithm}.`);
  }
  await body.discard();
  const checksum = checksumOf(headers, wanted ?? algorithm);
  const md5 = etagOf(`${number} ${sizeBytes}`);
  return await keepRecord({ number, sizeBytes, md5, checksum }, upload, storage);
};

function checksumOf(headers: S3Request['headers'], algorithm: keyof typeof CHECKSUM_BYTES | undefined) {
  if (algorithm === undefined) return undefined;
  const unknown = Buffer.alloc(CHECKSUM_BYTES[algorithm]).toString('base64');
  return { algorithm, value: headers.get(checksumHeader(algorithm)) ?? unknown };
}
