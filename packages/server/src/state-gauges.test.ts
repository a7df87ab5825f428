import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Registry } from 'prom-client';
import type { Store } from './domain/ports/store.ts';
import { SessionRegistry } from './domain/sessions/session-registry.ts';
import { registerStateGauges } from './state-gauges.ts';

test('a scrape while the database is away tells just that, instead of failing', async () => {
  const away = () => Promise.reject(new Error('database is locked'));
  const registry = new Registry();
  registerStateGauges(registry, {
    store: {
      countUploadsByStatus: away,
      oldestQueuedAt: away,
      oldestStalledSince: away,
    } as unknown as Store,
    sessions: new SessionRegistry(),
    readiness: async () => ({ ready: false, checks: { store: { ok: false, detail: 'database is locked' } } }),
  });
  const text = await registry.metrics();
  assert.match(text, /^backhaul_ready\{check="store"\} 0$/m);
  assert.match(text, /^backhaul_connected_agents 0$/m);
  assert.match(text, /^backhaul_queue_age_seconds Nan$/im);
  assert.doesNotMatch(text, /^backhaul_uploads\{/m);
});
