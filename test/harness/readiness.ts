import assert from 'node:assert/strict';
import { type Readiness, readinessSchema } from '@backhaul/protocol';
import type { Stage } from './stage.ts';

/** Polls `/readyz` until it reports `ready`; the server caches the result for two seconds. */
export async function readinessWhen(stage: Stage, ready: boolean): Promise<Readiness> {
  const deadline = AbortSignal.timeout(20_000);
  for (;;) {
    const answer = await stage.fetch('/readyz', { signal: deadline });
    const readiness = readinessSchema.parse(await answer.json());
    assert.equal(answer.status, readiness.ready ? 200 : 503);
    if (readiness.ready === ready) return readiness;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
