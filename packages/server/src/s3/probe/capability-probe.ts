import { HeadBucketCommand, ListObjectsV2Command } from '@aws-sdk/client-s3';
import type { Finding } from '@backhaul/protocol';
import { type BucketCapabilities, BucketError, type CallOptions } from '../../domain/ports/bucket.ts';
import type { UploadTraits } from '../object-calls.ts';
import type { S3Connection } from '../s3-connection.ts';
import { chooseChecksum, findPartProof } from './checksum-probe.ts';
import {
  encryption,
  enforcesObjectSize,
  enforcesOnlyIfAbsent,
  probePreference,
  storageClass,
  tryEmptyObject,
} from './feature-probes.ts';
import { cleanupFinding, describeCapabilities, type Shortfalls } from './findings.ts';
import { plainTraits, ProbeScratch, type SignPart } from './probe-scratch.ts';

export interface ProbeReport {
  readonly capabilities: BucketCapabilities;
  readonly findings: Finding[];
}

/**
 * Finds out which features the store supports by using them: many stores accept headers and ignore them. Sends about
 * fifty small requests under `{prefix}/.backhaul-probe/` and removes everything it wrote.
 *
 * @throws BucketError `refused` when the bucket cannot be used or lacks an explicitly set feature; `unavailable` when
 *   the store stopped responding.
 */
export async function probeCapabilities(
  connection: S3Connection,
  signPart: SignPart,
  options: CallOptions,
): Promise<ProbeReport> {
  await contact(connection, options);
  const scratch = new ProbeScratch(connection, signPart, options);
  let found: { capabilities: BucketCapabilities; shortfalls: Shortfalls };
  try {
    found = await probe(connection, scratch);
  } catch (error) {
    // The first failure is the one to report. Leftover uploads are aborted by the sweeper; one or two objects of 64
    // bytes may stay.
    await scratch.clean();
    throw asRefusal(error);
  }
  const leftover = await scratch.clean();
  const { capabilities, shortfalls } = found;
  const findings = describeCapabilities(capabilities, { settings: connection.settings, shortfalls });
  return { capabilities, findings: [...findings, cleanupFinding(leftover)] };
}

/** A store that refuses a correct request cannot be used as it is. */
function asRefusal(error: unknown): unknown {
  if (!(error instanceof BucketError) || error.kind === 'unavailable' || error.kind === 'refused')
    return error;
  const { message, s3Code } = error;
  return new BucketError('refused', `The store failed a trial upload: ${message}`, { cause: error, s3Code });
}

/** Checks bucket and credentials. */
async function contact(connection: S3Connection, options: CallOptions): Promise<void> {
  const bucket = { Bucket: connection.settings.bucket };
  const head = new HeadBucketCommand(bucket);
  try {
    await connection.send('HeadBucket', head, options);
    return;
  } catch (error) {
    if (!(error instanceof BucketError) || error.kind === 'unavailable') throw error;
  }
  // Responses to HEAD have no body. A listing needs the same permission and says which of the many 403s it is.
  const list = new ListObjectsV2Command({ ...bucket, MaxKeys: 1 });
  await connection.send('ListObjectsV2', list, options);
}

async function probe(
  { settings }: S3Connection,
  scratch: ProbeScratch,
): Promise<{ capabilities: BucketCapabilities; shortfalls: Shortfalls }> {
  // If even a plain upload fails, that is the error to report, not missing encryption.
  await scratch.create('plain', plainTraits);
  const preferences = [
    probePreference(scratch, encryption, settings.sse),
    probePreference(scratch, storageClass, settings.storageClass),
  ] as const;
  // Waits for all before throwing: nothing may be written after the cleanup.
  await Promise.allSettled(preferences);
  const [sse, stored] = await Promise.all(preferences);
  const asked: UploadTraits = {
    ...plainTraits,
    serverSideEncryption: sse.granted,
    storageClass: stored.granted,
  };
  const { checksum, shortfalls: checksums } = await chooseChecksum(scratch, asked, settings.checksum);
  const traits = { ...asked, ...checksum };
  await scratch.completeOne('object', traits);
  const trials = [
    enforcesOnlyIfAbsent(scratch, traits),
    enforcesObjectSize(scratch, traits),
    findPartProof(scratch, traits),
    tryEmptyObject(scratch, traits),
  ] as const;
  await Promise.allSettled(trials);
  const [conditionalComplete, objectSizeCheck, parts, empty] = await Promise.all(trials);
  const { conditionalPut, emptyObjectCrc32 } = empty;
  return {
    capabilities: {
      ...traits,
      ...{ conditionalComplete, objectSizeCheck, conditionalPut, emptyObjectCrc32 },
      partProof: parts.partProof,
    },
    shortfalls: {
      encryption: sse.shortfall,
      storageClass: stored.shortfall,
      checksum: checksums[0] ?? null,
      partProof: parts.shortfall,
      emptyObject: empty.shortfall,
    },
  };
}
