import type { ChecksumMode } from '@backhaul/protocol';
import { BucketError, type ListedPart, type PartProof } from '../../domain/ports/bucket.ts';
import type { UploadTraits } from '../object-calls.ts';
import type { ProbeScratch } from './probe-scratch.ts';
import { type TrialBody, trialBody } from './trial-part.ts';

type Checksum = Pick<UploadTraits, 'checksumMode' | 'fullObjectChecksum'>;

const fullCrc32: Checksum = { checksumMode: 'crc32', fullObjectChecksum: true };
const compositeCrc32: Checksum = { checksumMode: 'crc32', fullObjectChecksum: false };
const sha256: Checksum = { checksumMode: 'sha256', fullObjectChecksum: false };
const md5: Checksum = { checksumMode: 'md5', fullObjectChecksum: false };
const none: Checksum = { checksumMode: 'none', fullObjectChecksum: false };

/** Candidates for each value of `S3_CHECKSUM`, best first. */
const candidates: Readonly<Record<'auto' | ChecksumMode, readonly Checksum[]>> = {
  auto: [fullCrc32, md5, none],
  crc32: [fullCrc32, compositeCrc32],
  sha256: [sha256],
  md5: [md5],
  none: [none],
};

/**
 * @returns the choice, with the reason why better ones were rejected.
 * @throws BucketError `refused` when the store enforces none that `S3_CHECKSUM` allows.
 */
export async function chooseChecksum(
  scratch: ProbeScratch,
  asked: UploadTraits,
  setting: 'auto' | ChecksumMode,
): Promise<{ checksum: Checksum; shortfalls: string[] }> {
  const shortfalls: string[] = [];
  for (const candidate of candidates[setting]) {
    const traits = { ...asked, ...candidate };
    let shortfall = await partShortfall(scratch, traits);
    if (shortfall === null && traits.fullObjectChecksum) shortfall = await objectShortfall(scratch, traits);
    if (shortfall === null) return { checksum: candidate, shortfalls };
    shortfalls.push(shortfall);
  }
  const shortfall = shortfalls.at(-1);
  throw new BucketError(
    'refused',
    setting === 'auto' || setting === 'none'
      ? `The store does not accept parts by presigned URL: ${shortfall}`
      : `S3_CHECKSUM=${setting} is set, but the store does not enforce it: ${shortfall} Set S3_CHECKSUM=auto.`,
  );
}

/** Reason why the store does not enforce the checksum of parts in this mode; null if it does. */
async function partShortfall(scratch: ProbeScratch, traits: UploadTraits): Promise<string | null> {
  const mode = traits.checksumMode;
  const creating = scratch.create('part', traits);
  const refusedCreate = await scratch.refusalOf(creating);
  if (refusedCreate !== null) return `it refused to create the upload: ${refusedCreate.message}`;
  const upload = await creating;

  const body = trialBody();
  const refusedRight = await scratch.refusalOf(scratch.put(upload, mode, { body }));
  if (refusedRight !== null) return `it refused a part with the right checksum: ${refusedRight.message}`;
  if (mode === 'none') return null;
  // A store that refuses every part, or none, has not checked the checksum.
  const refusedWrong = await scratch.refusalOf(scratch.put(upload, mode, { body, boundTo: trialBody() }));
  return refusedWrong === null ? 'it accepted a part with a wrong checksum.' : null;
}

/** Reason why the CRC32 of the whole object cannot be relied on; null if it can. */
async function objectShortfall(scratch: ProbeScratch, traits: UploadTraits): Promise<string | null> {
  const complete = async (claimed: (right: string) => string) => {
    const body = trialBody();
    const upload = await scratch.create('checksum', traits);
    const part = await scratch.put(upload, traits.checksumMode, { body });
    await scratch.complete(upload, {
      parts: [part],
      checksumMode: traits.checksumMode,
      fullObjectCrc32: claimed(body.checksums.crc32),
      objectSizeBytes: null,
      onlyIfAbsent: false,
    });
    return { shown: (await scratch.head(upload))?.crc32 ?? null, right: body.checksums.crc32 };
  };
  const refusedWrong = await scratch.refusalOf(complete(() => trialBody().checksums.crc32));
  if (refusedWrong === null) return 'it completed an object with a wrong checksum.';
  const completing = complete((right) => right);
  const refusedRight = await scratch.refusalOf(completing);
  if (refusedRight !== null) return `it refused an object with the right checksum: ${refusedRight.message}`;
  const { shown, right } = await completing;
  return shown === right ? null : 'HEAD does not show the checksum of the whole object.';
}

interface Proof {
  readonly partProof: PartProof;
  /** Reason why there is none; null if there is one. */
  readonly shortfall: string | null;
}

/** Finds out what ListParts shows of a part just sent, in the mode in which parts will be sent. */
export async function findPartProof(scratch: ProbeScratch, traits: UploadTraits): Promise<Proof> {
  const upload = await scratch.create('listed', traits);
  const show = async (): Promise<Shown | string> => {
    const body = trialBody();
    const { etag } = await scratch.put(upload, traits.checksumMode, { body });
    const listing = scratch.listParts(upload);
    const refusal = await scratch.refusalOf(listing);
    if (refusal !== null) return refusal.message;
    const [listed, ...rest] = await listing;
    if (listed?.partNumber !== 1) return 'ListParts does not show a part that was sent.';
    // SeaweedFS does this, in any order and with timestamps in whole seconds.
    if (rest.length > 0) return 'ListParts shows a re-sent part twice and does not say which one is current.';
    if (listed.sizeBytes !== body.bytes.length) return 'ListParts shows a part with a wrong size.';
    return { body, etag: bare(etag), listed };
  };
  const first = await show();
  if (typeof first === 'string') return noProof(first);
  const shown = checksumShown(first, traits);
  if (shown === true) return { partProof: 'checksum', shortfall: null };
  if (shown === false) return noProof('ListParts shows a part with a wrong checksum.');
  if (!hasItsEtag(first))
    return noProof('ListParts shows a part with another ETag than the response to its PUT.');
  // An ETag that never changes proves nothing.
  const second = await show();
  if (typeof second === 'string') return noProof(second);
  if (!hasItsEtag(second)) return noProof('ListParts does not show the ETag of a part that was re-sent.');
  if (second.etag === first.etag) return noProof('Parts with different bytes have the same ETag.');
  return { partProof: 'etag', shortfall: null };
}

interface Shown {
  readonly body: TrialBody;
  /** ETag in the response to the PUT. */
  readonly etag: string;
  readonly listed: ListedPart;
}

function noProof(shortfall: string): Proof {
  return { partProof: 'none', shortfall };
}

/** Whether the listed checksum is correct; null if none is listed. */
function checksumShown({ body, listed }: Shown, { checksumMode }: UploadTraits): boolean | null {
  const { crc32, sha256, md5 } = body.checksums;
  switch (checksumMode) {
    case 'crc32':
      return listed.crc32 === null ? null : listed.crc32 === crc32;
    case 'sha256':
      return listed.sha256 === null ? null : listed.sha256 === sha256;
    case 'md5':
      return bare(listed.etag) === Buffer.from(md5, 'base64').toString('hex') ? true : null;
    case 'none':
      return null;
  }
  return checksumMode satisfies never;
}

function hasItsEtag({ etag, listed }: Shown): boolean {
  return etag !== '' && bare(listed.etag) === etag;
}

function bare(etag: string): string {
  return etag.replaceAll('"', '');
}
