import { BucketError, type ObjectFacts } from '../domain/ports/bucket.ts';
import type { UploadTraits } from './multipart-calls.ts';
import { completeOne } from './complete-one.ts';
import { plainTraits, type ProbeScratch } from './probe-scratch.ts';
import type { Preference } from './s3-settings.ts';

export interface PreferenceKind {
  readonly setting: 'S3_SSE' | 'S3_STORAGE_CLASS';
  readonly ask: (wanted: string) => Partial<UploadTraits>;
  readonly shownBy: (facts: ObjectFacts) => string | null;
}

export const encryption: PreferenceKind = {
  setting: 'S3_SSE',
  ask: (wanted) => ({ serverSideEncryption: wanted }),
  shownBy: (facts) => facts.serverSideEncryption,
};

export const storageClass: PreferenceKind = {
  setting: 'S3_STORAGE_CLASS',
  ask: (wanted) => ({ storageClass: wanted }),
  // HEAD omits it for STANDARD.
  shownBy: (facts) => facts.storageClass ?? 'STANDARD',
};

export interface GrantedPreference {
  /** The value to request from now on; null for none. */
  readonly granted: string | null;
  /** Reason why the preference is not granted; null if it is, or if there is none. */
  readonly shortfall: string | null;
}

/**
 * Tries the feature with a whole upload: some stores accept Create and fail the part. It counts as supported only if
 * HEAD shows it.
 *
 * @throws BucketError `refused` when the store does not support an explicitly set feature.
 */
export async function probePreference(
  scratch: ProbeScratch,
  kind: PreferenceKind,
  preference: Preference,
): Promise<GrantedPreference> {
  const { wanted, required } = preference;
  if (wanted === null) return { granted: null, shortfall: null };
  const { setting, ask, shownBy } = kind;
  const trying = completeOne(scratch, `preference-${setting}`, { ...plainTraits, ...ask(wanted) });
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
