import { BucketError, type ObjectFacts } from '../../domain/ports/bucket.ts';
import type { UploadTraits } from '../object-calls.ts';
import type { Preference } from '../s3-settings.ts';
import { plainTraits, type ProbeScratch } from './probe-scratch.ts';
import { trialBody } from './trial-part.ts';

interface PreferenceKind {
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

interface GrantedPreference {
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
  const trying = scratch.completeOne(`preference-${setting}`, { ...plainTraits, ...ask(wanted) });
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

interface EmptyObjects {
  readonly conditionalPut: boolean;
  readonly emptyObjectCrc32: boolean;
  /** Reason why empty files cannot be stored; null if they can. */
  readonly shortfall: string | null;
}

/** Writes an object without bytes as the server does for an empty file, with every feature the store accepts for it. */
export async function tryEmptyObject(scratch: ProbeScratch, traits: UploadTraits): Promise<EmptyObjects> {
  const put = async (name: string, { withCrc32 = false, onlyIfAbsent = false }) =>
    scratch.putEmpty(name, { traits, withCrc32, onlyIfAbsent });
  const store = async (withCrc32: boolean) => {
    const facts = await scratch.head(await put('empty', { withCrc32 }));
    return facts?.sizeBytes === 0 ? null : 'HEAD does not show an object of 0 bytes.';
  };
  const shortfallOf = async (withCrc32: boolean): Promise<string | null> => {
    const storing = store(withCrc32);
    const refusal = await scratch.refusalOf(storing);
    return refusal === null ? storing : refusal.message;
  };
  const withCrc32 = traits.fullObjectChecksum && (await shortfallOf(true)) === null;
  const shortfall = withCrc32 ? null : await shortfallOf(false);
  if (shortfall !== null) return { conditionalPut: false, emptyObjectCrc32: false, shortfall };
  const refusal = await scratch.refusalOf(put('empty', { withCrc32, onlyIfAbsent: true }));
  const conditionalPut =
    refusal?.kind === 'object_exists' &&
    (await scratch.refusalOf(put('empty-absent', { withCrc32, onlyIfAbsent: true }))) === null;
  return { conditionalPut, emptyObjectCrc32: withCrc32, shortfall: null };
}

/** `object` already exists: a second one must be refused for exactly that reason, and a new key accepted. */
export async function enforcesOnlyIfAbsent(scratch: ProbeScratch, traits: UploadTraits): Promise<boolean> {
  const checks = { onlyIfAbsent: true };
  const refusal = await scratch.refusalOf(scratch.completeOne('object', traits, checks));
  if (refusal?.kind !== 'object_exists') return false;
  return (await scratch.refusalOf(scratch.completeOne('absent', traits, checks))) === null;
}

/** A wrong size must be refused and the right one accepted. */
export async function enforcesObjectSize(scratch: ProbeScratch, traits: UploadTraits): Promise<boolean> {
  const body = trialBody();
  const upload = await scratch.create('wrong-size', traits);
  const part = await scratch.put(upload, traits.checksumMode, { body });
  const wrong = scratch.complete(upload, {
    parts: [part],
    checksumMode: traits.checksumMode,
    fullObjectCrc32: traits.fullObjectChecksum ? body.checksums.crc32 : null,
    objectSizeBytes: body.bytes.length + 1,
    onlyIfAbsent: false,
  });
  if ((await scratch.refusalOf(wrong)) === null) return false;
  const checks = { objectSize: true };
  return (await scratch.refusalOf(scratch.completeOne('right-size', traits, checks))) === null;
}
