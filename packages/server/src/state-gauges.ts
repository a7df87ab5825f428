import { type Readiness, uploadStatuses } from '@backhaul/protocol';
import { Gauge, type Registry } from 'prom-client';
import type { Store } from './domain/ports/store.ts';
import type { SessionRegistry } from './domain/sessions/session-registry.ts';

export interface WatchedParts {
  readonly store: Store;
  readonly sessions: SessionRegistry;
  /** Answers within seconds, whatever is away: a scrape waits for it. */
  readonly readiness: () => Promise<Readiness>;
}

/** Gauges that are read at the moment of the scrape. They live in the registry; nobody else needs them. */
export function registerStateGauges(registry: Registry, parts: WatchedParts): void {
  const registers = [registry];
  void new Gauge({
    name: 'backhaul_ready',
    help: 'Whether what the server needs answers, as /readyz has it: 1 or 0 for each check.',
    labelNames: ['check'],
    registers,
    async collect() {
      const { checks } = await parts.readiness();
      for (const [check, { ok }] of Object.entries(checks)) this.set({ check }, ok ? 1 : 0);
    },
  });
  void new Gauge({
    name: 'backhaul_connected_agents',
    help: 'Agents connected to this node.',
    registers,
    collect() {
      this.set(parts.sessions.size);
    },
  });
  void new Gauge({
    name: 'backhaul_uploads',
    help: 'Uploads on record, by status.',
    labelNames: ['status'],
    registers,
    async collect() {
      const counts = await parts.store.countUploadsByStatus().catch(unknown);
      if (counts === undefined) this.reset();
      else for (const status of uploadStatuses) this.set({ status }, counts[status] ?? 0);
    },
  });
  void new Gauge({
    name: 'backhaul_queue_age_seconds',
    help: 'Age of the oldest queued upload; 0 with an empty queue.',
    registers,
    async collect() {
      this.set(await parts.store.oldestQueuedAt().then(secondsSince, notANumber));
    },
  });
  void new Gauge({
    name: 'backhaul_longest_stall_seconds',
    help: 'Of uploads that have not ended, how long the one that stands still for longest has done so; 0 if none does.',
    registers,
    async collect() {
      this.set(await parts.store.oldestStalledSince().then(secondsSince, notANumber));
    },
  });
}

/** While the database is away the rest of the scrape is needed most: `backhaul_ready` says what is the matter. */
function unknown(): undefined {
  return undefined;
}

function notANumber(): number {
  return Number.NaN;
}

function secondsSince(at: number | undefined): number {
  return at === undefined ? 0 : Math.max(0, Date.now() - at) / 1000;
}
