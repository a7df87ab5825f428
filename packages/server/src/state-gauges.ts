import { type Readiness, uploadStatuses } from '@backhaul/protocol';
import { Gauge, type Registry } from 'prom-client';
import type { Store } from './domain/ports/store.ts';
import type { AgentSession } from './domain/sessions/agent-session.ts';
import type { SessionRegistry } from './domain/sessions/session-registry.ts';
import type { Retention } from './domain/uploads/retention.ts';
import type { HeldRequests } from './http/held-requests.ts';
import type { UnauthenticatedConnections } from './http/unauthenticated-connections.ts';

export interface WatchedParts {
  readonly store: Store;
  readonly sessions: SessionRegistry;
  readonly retention: Pick<Retention, 'isHeld'>;
  readonly connections: UnauthenticatedConnections;
  readonly held: HeldRequests;
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
    name: 'backhaul_agent_tokens_expiring',
    help: 'Agents connected to this node whose token ends within 30 days, or has less than a quarter of its time left if it was made for less than 120 days.',
    registers,
    collect() {
      this.set(soonEnding(parts.sessions).length);
    },
  });
  void new Gauge({
    name: 'backhaul_agent_token_earliest_expiry_timestamp_seconds',
    help: 'When the first token of an agent that is connected to this node ends; NaN with none.',
    registers,
    collect() {
      let earliest = Number.POSITIVE_INFINITY;
      for (const { token } of parts.sessions.all()) earliest = Math.min(earliest, token.expiresAt);
      this.set(Number.isFinite(earliest) ? earliest / 1000 : Number.NaN);
    },
  });
  void new Gauge({
    name: 'backhaul_agents_with_previous_secret',
    help: 'Agents connected to this node whose token was signed with JWT_SECRET_PREVIOUS.',
    registers,
    collect() {
      this.set([...parts.sessions.all()].filter(({ token }) => token.isOfPreviousSecret).length);
    },
  });
  void new Gauge({
    name: 'backhaul_unauthenticated_connections',
    help: 'Connections on which no valid token was shown yet.',
    registers,
    collect() {
      this.set(parts.connections.size);
    },
  });
  void new Gauge({
    name: 'backhaul_held_requests',
    help: 'Event streams and waiting triggers that are open.',
    registers,
    collect() {
      this.set(parts.held.size);
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
    name: 'backhaul_retention_held',
    help: '1 while nothing is removed by RETENTION_DAYS, because the clock was set and may be wrong; else 0.',
    registers,
    collect() {
      this.set(parts.retention.isHeld ? 1 : 0);
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

const SOON_MS = 30 * 86_400_000;

function soonEnding(sessions: SessionRegistry): AgentSession[] {
  const now = Date.now();
  return [...sessions.all()].filter(({ token: { issuedAt, expiresAt } }) => {
    const margin = Math.min(SOON_MS, (expiresAt - issuedAt) / 4);
    return expiresAt - now < margin;
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
