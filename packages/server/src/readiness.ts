import type { Readiness } from '@backhaul/protocol';
import type { KeySet } from './auth/key-set.ts';
import type { Bucket } from './domain/ports/bucket.ts';
import type { Bus } from './domain/ports/bus.ts';
import type { Store } from './domain/ports/store.ts';

/** `/readyz` needs no token, so however often it is asked, the surroundings are asked once in this time. */
const CACHE_MS = 2000;
/** A probe of the object store may take minutes; who asks whether it is ready now does not wait for that. */
const S3_ANSWER_MS = 5000;

interface ReadinessParts {
  readonly store: Store;
  readonly bus: Bus;
  readonly bucket: Bucket;
  /** Where keys of tokens come from that can be away. Default: none. */
  readonly keySet?: Pick<KeySet, 'check'> | undefined;
  /** How long the object store may take; milliseconds. Default: 5,000. */
  readonly s3AnswerMs?: number;
}

/** Asks database, bus, object store and identity provider whether they answer now. */
export function createReadiness(parts: ReadinessParts): () => Promise<Readiness> {
  let asked: { at: number; answer: Promise<Readiness> } | undefined;
  return () => {
    const now = performance.now();
    if (asked === undefined || now - asked.at > CACHE_MS) asked = { at: now, answer: ask(parts) };
    return asked.answer;
  };
}

async function ask({
  store,
  bus,
  bucket,
  keySet,
  s3AnswerMs = S3_ANSWER_MS,
}: ReadinessParts): Promise<Readiness> {
  const probes: Readonly<Record<string, () => Promise<string | null | void>>> = {
    ...(keySet !== undefined && { tokens: () => keySet.check() }),
    store: () => store.ping(),
    bus: () => bus.ping(),
    // Reached once and probed, and reachable now.
    s3: async () => {
      const signal = AbortSignal.timeout(s3AnswerMs);
      try {
        await bucket.capabilities({ signal });
        await bucket.ping({ signal });
      } catch (error) {
        throw signal.aborted ? new Error(`no answer within ${s3AnswerMs} ms`, { cause: error }) : error;
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
