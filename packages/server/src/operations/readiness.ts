import type { Readiness } from '@backhaul/protocol';
import type { KeySet } from '../auth/key-set.ts';
import type { Bucket } from '../domain/ports/bucket.ts';
import type { Bus } from '../domain/ports/bus.ts';
import type { Store } from '../domain/ports/store.ts';

/** `/readyz` needs no token, so its checks run at most once in this time. */
const CACHE_MS = 2000;
/** A probe of the object store may take minutes; a readiness request does not wait for that. */
const S3_TIMEOUT_MS = 5000;

interface ReadinessDeps {
  readonly store: Store;
  readonly bus: Bus;
  readonly bucket: Bucket;
  /** Source of token keys that can be unreachable. Default: none. */
  readonly keySet?: Pick<KeySet, 'check'> | undefined;
  /** Time limit for the object store, in milliseconds. Default: 5,000. */
  readonly s3TimeoutMs?: number;
}

/** Creates the function that checks whether database, bus, object store and identity provider respond. */
export function createReadiness(deps: ReadinessDeps): () => Promise<Readiness> {
  let cached: { at: number; result: Promise<Readiness> } | undefined;
  return () => {
    const now = performance.now();
    if (cached === undefined || now - cached.at > CACHE_MS) cached = { at: now, result: runChecks(deps) };
    return cached.result;
  };
}

async function runChecks({
  store,
  bus,
  bucket,
  keySet,
  s3TimeoutMs = S3_TIMEOUT_MS,
}: ReadinessDeps): Promise<Readiness> {
  const probes: Readonly<Record<string, () => Promise<string | null | void>>> = {
    ...(keySet !== undefined && { tokens: () => keySet.check() }),
    store: () => store.ping(),
    bus: () => bus.ping(),
    // Ready means: probed once, and reachable now.
    s3: async () => {
      const signal = AbortSignal.timeout(s3TimeoutMs);
      try {
        await bucket.capabilities({ signal });
        await bucket.ping({ signal });
      } catch (error) {
        throw signal.aborted ? new Error(`no response within ${s3TimeoutMs} ms`, { cause: error }) : error;
      }
    },
  };
  const checks = Object.fromEntries(
    await Promise.all(
      Object.entries(probes).map(async ([name, probe]) => [name, await outcomeOf(probe)] as const),
    ),
  );
  return { ready: Object.values(checks).every(({ ok }) => ok), checks };
}

async function outcomeOf(
  probe: () => Promise<string | null | void>,
): Promise<{ ok: boolean; detail: string | null }> {
  try {
    return { ok: true, detail: (await probe()) ?? null };
  } catch (error) {
    return { ok: false, detail: error instanceof Error ? error.message : String(error) };
  }
}
