import { BucketError, type ObjectFacts } from '../domain/ports/bucket.ts';
import type { UploadTraits } from './multipart-calls.ts';
import { completeOne } from './complete-one.ts';
import { plainTraits, type ProbeScratch } from './probe-scratch.ts';
import type { Wish } from './s3-settings.ts';

export interface WishKind {
  readonly setting: 'S3_SSE' | 'S3_STORAGE_CLASS';
  readonly ask: (wanted: string) => Partial<UploadTraits>;
  readonly shownBy: (facts: ObjectFacts) => string | null;
}

export const encryption: WishKind = {
  setting: 'S3_SSE',
  ask: (wanted) => ({ serverSideEncryption: wanted }),
  shownBy: (facts) => facts.serverSideEncryption,
};

export const storageClass: WishKind = {
  setting: 'S3_STORAGE_CLASS',
  ask: (wanted) => ({ storageClass: wanted }),
  // HEAD does not show it.
  shownBy: (facts) => facts.storageClass ?? 'STANDARD',
};

export interface GrantedWish {
  /** What to ask for from now on; null for nothing. */
  readonly granted: string | null;
  /** Why a wish is not granted; null if it is, or there is none. */
  readonly shortfall: string | null;
}

/**
 * Asks for it with a whole upload: some stores take Create and fail at the part. It counts as honoured only if HEAD
 * shows it.
 *
 * @throws BucketError `refused` when the store does not do what a person required.
 */
export async function tryWish(scratch: ProbeScratch, kind: WishKind, wish: Wish): Promise<GrantedWish> {
  const { wanted, required } = wish;
  if (wanted === null) return { granted: null, shortfall: null };
  const { setting, ask, shownBy } = kind;
  const trying = completeOne(scratch, `wish-${setting}`, { ...plainTraits, ...ask(wanted) });
  const refusal = await scratch.refusalOf(trying);
  const shown = refusal === null ? shownBy(await trying) : null;
  if (shown === wanted) return { granted: wanted, shortfall: null };
  const shortfall =
    refusal === null
      ? `the store accepted it, but objects show ${shown ?? 'none'}`
      : `the store refused it: ${refusal.message.replace(/\.$/, '')}`;
  if (!required) return { granted: null, shortfall };
  const message = `${setting}=${wanted} is set, but ${shortfall}. Change or unset ${setting}.`;
  throw new BucketError('refused', message, { s3Code: refusal?.s3Code ?? null, cause: refusal });
}
