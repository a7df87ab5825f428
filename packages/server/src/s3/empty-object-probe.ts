import type { UploadTraits } from './multipart-calls.ts';
import type { ProbeScratch } from './probe-scratch.ts';

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
