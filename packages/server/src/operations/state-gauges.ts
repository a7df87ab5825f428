import { type Readiness, uploadStatuses } from '@backhaul/protocol';
import { Gauge, type Registry } from 'prom-client';
import type { Store } from '../domain/ports/store.ts';
import type { AgentSession, SessionRegistry } from '../domain/agents/session.ts';
import type { Retention } from '../domain/retention.ts';
import type { HeldRequests } from '../http/held-requests.ts';
import type { UnauthenticatedConnections } from '../http/connection-limits.ts';

export interface GaugeDeps {
  readonly store: Store;
  readonly sessions: SessionRegistry;
  /** The token that a session's agent connects with next. */
  readonly tokenOf: (
    session: AgentSession,
  ) => Pick<AgentSession['token'], 'issuedAt' | 'expiresAt' | 'isOfPreviousSecret'>;
  readonly retention: Pick<Retention, 'isHeld'>;
  readonly connections: UnauthenticatedConnections;
  readonly held: HeldRequests;
  /** Responds within seconds whatever is unreachable, because a scrape waits for it. */
  readonly readiness: () => Promise<Readiness>;
}

/** Registers the gauges that are read at each scrape. Only the registry holds them. */
export function registerStateGauges(registry: Registry, deps: GaugeDeps): void {
  const registers = [registry];
  void new Gauge({
    name: 'backhaul_ready',
    help: 'Result of each check of /readyz: 1 if it passes, else 0.',
    labelNames: ['check'],
    registers,
    async collect() {
      const { checks } = await deps.readiness();
      for (const [check, { ok }] of Object.entries(checks)) this.set({ check }, ok ? 1 : 0);
    },
  });
  void new Gauge({
    name: 'backhaul_connected_agents',
    help: 'Agents connected to this node.',
    registers,
    collect() {
      this.set(deps.sessions.size);
    },
  });
  void new Gauge({
    name: 'backhaul_agent_tokens_expiring',
    help: 'Agents connected to this node whose newest token expires within 30 days, or within the last quarter of its lifetime if that is shorter than 120 days.',
    registers,
    collect() {
      this.set(soonEnding(deps));
    },
  });
  void new Gauge({
    name: 'backhaul_agent_token_earliest_expiry_timestamp_seconds',
    help: 'Earliest expiry of the newest tokens of agents connected to this node; NaN without agents.',
    registers,
    collect() {
      let earliest = Number.POSITIVE_INFINITY;
      for (const session of deps.sessions.all())
        earliest = Math.min(earliest, deps.tokenOf(session).expiresAt);
      this.set(Number.isFinite(earliest) ? earliest / 1000 : Number.NaN);
    },
  });
  void new Gauge({
    name: 'backhaul_agents_with_previous_secret',
    help: 'Agents connected to this node whose newest token was signed with JWT_SECRET_PREVIOUS.',
    registers,
    collect() {
      this.set([...deps.sessions.all()].filter((session) => deps.tokenOf(session).isOfPreviousSecret).length);
    },
  });
  void new Gauge({
    name: 'backhaul_unauthenticated_connections',
    help: 'Connections that have not presented a valid token yet.',
    registers,
    collect() {
      this.set(deps.connections.size);
    },
  });
  void new Gauge({
    name: 'backhaul_held_requests',
    help: 'Open event streams and waiting triggers.',
    registers,
    collect() {
      this.set(deps.held.size);
    },
  });
  void new Gauge({
    name: 'backhaul_uploads',
    help: 'Uploads in the database, by status.',
    labelNames: ['status'],
    registers,
    async collect() {
      const counts = await deps.store.countUploadsByStatus().catch(unknown);
      if (counts === undefined) this.reset();
      else for (const status of uploadStatuses) this.set({ status }, counts[status] ?? 0);
    },
  });
  void new Gauge({
    name: 'backhaul_retention_held',
    help: '1 while RETENTION_DAYS removes nothing because the clock was changed and may be wrong; else 0.',
    registers,
    collect() {
      this.set(deps.retention.isHeld ? 1 : 0);
    },
  });
  void new Gauge({
    name: 'backhaul_queue_age_seconds',
    help: 'Age of the oldest queued upload; 0 if the queue is empty.',
    registers,
    async collect() {
      this.set(await deps.store.oldestQueuedAt().then(secondsSince, notANumber));
    },
  });
  void new Gauge({
    name: 'backhaul_longest_stall_seconds',
    help: 'Longest time an unfinished upload has been stalled; 0 if none is stalled.',
    registers,
    async collect() {
      this.set(await deps.store.oldestStalledSince().then(secondsSince, notANumber));
    },
  });
}

const SOON_MS = 30 * 86_400_000;

function soonEnding({ sessions, tokenOf }: Pick<GaugeDeps, 'sessions' | 'tokenOf'>): number {
  const now = Date.now();
  return [...sessions.all()].filter((session) => {
    const { issuedAt, expiresAt } = tokenOf(session);
    const margin = Math.min(SOON_MS, (expiresAt - issuedAt) / 4);
    return expiresAt - now < margin;
  }).length;
}

/** While the database is unreachable the rest of the scrape is needed most; `backhaul_ready` reports the cause. */
function unknown(): undefined {
  return undefined;
}

function notANumber(): number {
  return Number.NaN;
}

function secondsSince(at: number | undefined): number {
  return at === undefined ? 0 : Math.max(0, Date.now() - at) / 1000;
}
