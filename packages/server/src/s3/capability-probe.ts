import { HeadBucketCommand, ListObjectsV2Command } from '@aws-sdk/client-s3';
import type { Finding } from '@backhaul/protocol';
import { type BucketCapabilities, BucketError, type CallOptions } from '../domain/ports/bucket.ts';
import { chooseChecksum } from './checksum-probe.ts';
import type { UploadTraits } from './multipart-calls.ts';
import { cleanupFinding, describeCapabilities } from './probe-findings.ts';
import { probeBody, ProbeScratch, refusalOf, type SignPart } from './probe-scratch.ts';
import type { S3Connection } from './s3-connection.ts';
import type { Wish } from './s3-settings.ts';

export interface ProbeReport {
  readonly capabilities: BucketCapabilities;
  readonly findings: Finding[];
}

/**
 * Finds out what the store honours, by doing it: many accept headers and ignore them. Some twenty small requests
 * under `{prefix}/.backhaul-probe/`, of which nothing stays.
 *
 * @throws BucketError `refused` when the bucket cannot be used, or lacks what a person required; `unavailable`
 *   when the store did not answer for all of it.
 */
export async function probeCapabilities(
  connection: S3Connection,
  signPart: SignPart,
  options: CallOptions,
): Promise<ProbeReport> {
  await contact(connection, options);
  const scratch = new ProbeScratch(connection, signPart, options);
  let capabilities: BucketCapabilities;
  try {
    capabilities = await probe(connection, scratch);
  } catch (error) {
    // The first failure is what matters. Of what cannot be removed now, uploads are aborted by the sweeper; an object or
    // two of 64 bytes may stay.
    await scratch.clean();
    throw asVerdict(error);
  }
  const leftover = await scratch.clean();
  const findings = describeCapabilities(capabilities, connection.settings);
  return { capabilities, findings: [...findings, cleanupFinding(leftover)] };
}

/** Whatever the store refused of a right request, it cannot be used as it is. */
function asVerdict(error: unknown): unknown {
  if (!(error instanceof BucketError) || error.kind === 'unavailable' || error.kind === 'refused')
    return error;
  const { message, s3Code } = error;
  return new BucketError('refused', `The store failed a trial upload: ${message}`, { cause: error, s3Code });
}

/** Whether bucket and credentials are right. */
async function contact(connection: S3Connection, options: CallOptions): Promise<void> {
  const bucket = { Bucket: connection.settings.bucket };
  const refusal = await refusalOf(
    connection.call(
      'HeadBucket',
      (client, call) => client.send(new HeadBucketCommand(bucket), call),
      options,
    ),
  );
  if (refusal === null) return;
  // HEAD's answers have no body: a listing, which takes the same right, says which of the many 403s it is.
  const list = new ListObjectsV2Command({ ...bucket, MaxKeys: 1 });
  await connection.call('ListObjectsV2', (client, call) => client.send(list, call), options);
}

const plain: UploadTraits = {
  checksumMode: 'none',
  fullObjectChecksum: false,
  serverSideEncryption: null,
  storageClass: null,
};

async function probe(connection: S3Connection, scratch: ProbeScratch): Promise<BucketCapabilities> {
  const { sse, storageClass, checksum } = connection.settings;
  // Who may not even do this is told so, rather than that encryption were missing.
  await scratch.create('plain', plain);
  const sseRefusal = await refusalToCreate(scratch, sse, (wanted) => ({ serverSideEncryption: wanted }));
  const classRefusal = await refusalToCreate(scratch, storageClass, (wanted) => ({ storageClass: wanted }));
  const asked: UploadTraits = {
    ...plain,
    serverSideEncryption: sseRefusal === null ? sse.wanted : null,
    storageClass: classRefusal === null ? storageClass.wanted : null,
  };
  const traits = { ...asked, ...(await chooseChecksum(scratch, asked, checksum)) };

  const facts = await completeOne(scratch, 'object', traits);
  const served = {
    serverSideEncryption: settle('S3_SSE', sse, facts.serverSideEncryption, sseRefusal),
    storageClass: settle('S3_STORAGE_CLASS', storageClass, facts.storageClass ?? 'STANDARD', classRefusal),
  };
  return {
    checksumMode: traits.checksumMode,
    fullObjectChecksum: traits.fullObjectChecksum,
    conditionalComplete: await enforcesOnlyIfAbsent(scratch, traits),
    objectSizeCheck: await enforcesObjectSize(scratch, traits),
    ...served,
  };
}

async function refusalToCreate(
  scratch: ProbeScratch,
  wish: Wish,
  asking: (wanted: string) => Partial<UploadTraits>,
): Promise<BucketError | null> {
  if (wish.wanted === null) return null;
  return refusalOf(scratch.create('wish', { ...plain, ...asking(wish.wanted) }));
}

/** What was wanted counts as honoured only if HEAD shows it. */
function settle(
  setting: string,
  wish: Wish,
  shown: string | null,
  refusal: BucketError | null,
): string | null {
  if (wish.wanted === null || (refusal === null && shown === wish.wanted)) return wish.wanted;
  if (!wish.required) return null;
  const reason =
    refusal === null
      ? `the store accepted it, but objects show ${shown ?? 'none'}`
      : `the store refused it: ${refusal.message}`;
  throw new BucketError(
    'refused',
    `${setting}=${wish.wanted} is set, but ${reason}. Change or unset ${setting}.`,
    {
      s3Code: refusal?.s3Code ?? null,
      cause: refusal,
    },
  );
}

/** The whole way: create, one part, complete, HEAD. */
async function completeOne(
  scratch: ProbeScratch,
  name: string,
  traits: UploadTraits,
  checks = { onlyIfAbsent: false, objectSize: false },
) {
  const body = probeBody();
  const upload = await scratch.create(name, traits);
  const part = await scratch.put(upload, traits.checksumMode, { body });
  await scratch.complete(upload, {
    parts: [part],
    checksumMode: traits.checksumMode,
    fullObjectCrc32: traits.fullObjectChecksum ? body.checksums.crc32 : null,
    objectSizeBytes: checks.objectSize ? body.bytes.length : null,
    onlyIfAbsent: checks.onlyIfAbsent,
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

/** `object` is there already: a second one must be refused, for that very reason, and a new key accepted. */
async function enforcesOnlyIfAbsent(scratch: ProbeScratch, traits: UploadTraits): Promise<boolean> {
  const checks = { onlyIfAbsent: true, objectSize: false };
  const refusal = await refusalOf(completeOne(scratch, 'object', traits, checks));
  if (refusal?.kind !== 'object_exists') return false;
  return (await refusalOf(completeOne(scratch, 'absent', traits, checks))) === null;
}

/** A wrong size must be refused and the right one accepted. */
async function enforcesObjectSize(scratch: ProbeScratch, traits: UploadTraits): Promise<boolean> {
  const body = probeBody();
  const upload = await scratch.create('wrong-size', traits);
  const part = await scratch.put(upload, traits.checksumMode, { body });
  const wrong = scratch.complete(upload, {
    parts: [part],
    checksumMode: traits.checksumMode,
    fullObjectCrc32: traits.fullObjectChecksum ? body.checksums.crc32 : null,
    objectSizeBytes: body.bytes.length + 1,
    onlyIfAbsent: false,
  });
  if ((await refusalOf(wrong)) === null) return false;
  const checks = { onlyIfAbsent: false, objectSize: true };
  return (await refusalOf(completeOne(scratch, 'right-size', traits, checks))) === null;
}
