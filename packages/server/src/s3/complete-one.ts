import { BucketError, type ObjectFacts } from '../domain/ports/bucket.ts';
import type { UploadTraits } from './multipart-calls.ts';
import { probeBody, type ProbeScratch } from './probe-scratch.ts';

interface Checks {
  readonly onlyIfAbsent?: boolean;
  readonly objectSize?: boolean;
}

/**
 * Runs one whole trial upload: create, one part, complete, HEAD.
 *
 * @throws BucketError
 */
export async function completeOne(
  scratch: ProbeScratch,
  name: string,
  traits: UploadTraits,
  { onlyIfAbsent = false, objectSize = false }: Checks = {},
): Promise<ObjectFacts> {
  const body = probeBody();
  const upload = await scratch.create(name, traits);
  const part = await scratch.put(upload, traits.checksumMode, { body });
  await scratch.complete(upload, {
    parts: [part],
    checksumMode: traits.checksumMode,
    fullObjectCrc32: traits.fullObjectChecksum ? body.checksums.crc32 : null,
    objectSizeBytes: objectSize ? body.bytes.length : null,
    onlyIfAbsent,
  });
  const facts = await scratch.head(upload);
  if (facts === undefined || facts.sizeBytes !== body.bytes.length) {
    throw new BucketError(
      'refused',
      'The store completed an upload, but HEAD does not show the object. Is S3_ENDPOINT an S3 store?',
    );
  }
  return facts;
}
