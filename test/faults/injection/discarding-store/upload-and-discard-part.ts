import { createHash } from 'node:crypto';
import { type Operation, type OperationContext, type S3Response, S3Error } from 'backhaul-object-store';

const MAX_PARTS = 10_000;

/**
 * UploadPart that reads and verifies the part but stores only its record in memory: number, size, ETag and checksum.
 * The store's own operations, from ListParts to HEAD, do not need the bytes.
 */
export const uploadAndDiscardPart: Operation = async ({ bucket, key, query, headers, body }, { storage }) => {
  const number = partNumberOf(query);
  const upload = storage.bucket(bucket ?? '').upload(query.get('uploadId') ?? '', key ?? '');
  const plan = upload.record.checksum;
  const algorithm = plan?.algorithm;
  const claimed = body.claims.algorithm;
  const isMissing = claimed === undefined && plan?.type === 'COMPOSITE';
  if (algorithm !== undefined && (isMissing || (claimed !== undefined && claimed !== algorithm))) {
    throw new S3Error(
      'InvalidRequest',
      `The upload wants a ${algorithm}, the part has ${claimed ?? 'none'}.`,
    );
  }
  // MD5 is slower than the network; a checksum, if there is one, also distinguishes parts.
  const needsMd5 = (algorithm ?? claimed) === undefined || headers.has('content-md5');
  const content = body.content(algorithm, { md5: needsMd5 });
  for await (const chunk of content) void chunk;
  const { sizeBytes, checksum } = content;
  const md5 = needsMd5 ? content.md5 : etagOf(`${number} ${sizeBytes} ${checksum?.value}`);
  return await keepRecord({ number, sizeBytes, md5, checksum }, upload, storage);
};

type Storage = OperationContext['storage'];
type Upload = ReturnType<ReturnType<Storage['bucket']>['upload']>;
type PartRecord = Parameters<Upload['setPart']>[0];

/** Records a part and returns S3's response. */
export async function keepRecord(
  part: Omit<PartRecord, 'modifiedAtMs'>,
  upload: Upload,
  storage: Storage,
): Promise<S3Response> {
  await upload.change(() => {
    upload.setPart({ ...part, modifiedAtMs: storage.nowMs() });
    return Promise.resolve();
  });
  const { md5, checksum } = part;
  return {
    status: 200,
    headers: {
      etag: `"${md5}"`,
      ...(checksum && { [checksumHeader(checksum.algorithm)]: checksum.value }),
    },
  };
}

export function checksumHeader(algorithm: string): string {
  return `x-amz-checksum-${algorithm.toLowerCase()}`;
}

export function partNumberOf(query: ReadonlyMap<string, string>): number {
  const number = Number(query.get('partNumber'));
  if (!Number.isInteger(number) || number < 1 || number > MAX_PARTS) throw new S3Error('InvalidArgument');
  return number;
}

/** Returns an ETag in the form of an MD5, equal for equal text. */
export function etagOf(text: string): string {
  return createHash('md5').update(text).digest('hex');
}
