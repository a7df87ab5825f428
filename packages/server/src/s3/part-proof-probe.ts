import type { ListedPart, PartProof } from '../domain/ports/bucket.ts';
import type { UploadTraits } from './multipart-calls.ts';
import { type ProbeBody, probeBody, type ProbeScratch } from './probe-scratch.ts';

interface Proof {
  readonly partProof: PartProof;
  /** Reason why there is none; null if there is one. */
  readonly shortfall: string | null;
}

/** Finds out what ListParts shows of a part just sent, in the mode in which parts will be sent. */
export async function findPartProof(scratch: ProbeScratch, traits: UploadTraits): Promise<Proof> {
  const upload = await scratch.create('listed', traits);
  const show = async (): Promise<Shown | string> => {
    const body = probeBody();
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
  if (typeof first === 'string') return none(first);
  const shown = checksumShown(first, traits);
  if (shown === true) return { partProof: 'checksum', shortfall: null };
  if (shown === false) return none('ListParts shows a part with a wrong checksum.');
  if (!hasItsEtag(first))
    return none('ListParts shows a part with another ETag than the response to its PUT.');
  // An ETag that never changes proves nothing.
  const second = await show();
  if (typeof second === 'string') return none(second);
  if (!hasItsEtag(second)) return none('ListParts does not show the ETag of a part that was re-sent.');
  if (second.etag === first.etag) return none('Parts with different bytes have the same ETag.');
  return { partProof: 'etag', shortfall: null };
}

interface Shown {
  readonly body: ProbeBody;
  /** ETag in the response to the PUT. */
  readonly etag: string;
  readonly listed: ListedPart;
}

function none(shortfall: string): Proof {
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
