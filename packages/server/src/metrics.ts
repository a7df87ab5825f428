import {
  errorCodes,
  isTerminal,
  type RefusalReason,
  refusalReasons,
  uploadStatuses,
} from '@backhaul/protocol';
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';
import type { UploadObserver } from './domain/uploads/upload-ledger.ts';
import type { UnfinishedRefusal } from './domain/uploads/unfinished-quota.ts';
import type { HeldRequestRefusal } from './http/held-requests.ts';
import { type ConnectionRefusal, connectionRefusals } from './http/unauthenticated-connections.ts';
import type { FrameObserver } from './websocket/agent-connection.ts';
import { registerStateGauges, type WatchedParts } from './state-gauges.ts';

const requestLimits = [
  'held_per_token',
  'held_total',
  'unfinished_per_token',
  'unfinished_per_client',
] as const satisfies (HeldRequestRefusal | UnfinishedRefusal)[];
type RequestLimit = (typeof requestLimits)[number];

/**
 * What Prometheus sees. No label holds a client, a path or anything else without a bound. Counters whose labels are
 * few begin at 0 for each: what appears as 1 is no increase to Prometheus, and an alert would miss the first.
 */
export class Metrics {
  readonly #registry = new Registry();
  readonly #uploadsEnded: Counter<'status'>;
  readonly #failures: Counter<'error'>;
  readonly #interrupted: Counter<'next'>;
  readonly #bytes: Counter;
  readonly #parts: Counter;
  readonly #partRetries: Counter;
  readonly #duration: Histogram;
  readonly #s3: Histogram<'operation' | 'outcome'>;
  readonly #refusedRequests: Counter<'limit'>;
  readonly #refusedConnections: Counter<'reason'>;
  readonly #refusedAgents: Counter<'reason'>;
  readonly #agentFrames: Counter<'outcome'>;
  readonly #duplicates: Counter;

  constructor({ version }: { version: string }) {
    const registers = [this.#registry];
    collectDefaultMetrics({ register: this.#registry });
    new Gauge({
      name: 'backhaul_build_info',
      help: 'Always 1; the label tells the version of the server.',
      labelNames: ['version'],
      registers,
    }).set({ version }, 1);
    this.#uploadsEnded = new Counter({
      name: 'backhaul_uploads_ended_total',
      help: 'Uploads that reached a terminal status.',
      labelNames: ['status'],
      registers,
    });
    for (const status of uploadStatuses.filter(isTerminal)) this.#uploadsEnded.inc({ status }, 0);
    this.#failures = new Counter({
      name: 'backhaul_upload_failures_total',
      help: 'Uploads that ended as `failed`, by the error code on record.',
      labelNames: ['error'],
      registers,
    });
    for (const error of errorCodes) this.#failures.inc({ error }, 0);
    this.#interrupted = new Counter({
      name: 'backhaul_attempts_interrupted_total',
      help: 'Attempts that went back to the queue: the next goes on (`resume`) or begins anew (`start_over`).',
      labelNames: ['next'],
      registers,
    });
    for (const next of ['resume', 'start_over']) this.#interrupted.inc({ next }, 0);
    this.#bytes = new Counter({
      name: 'backhaul_uploaded_bytes_total',
      help: 'Bytes of parts that the object store has acknowledged.',
      registers,
    });
    this.#parts = new Counter({
      name: 'backhaul_parts_total',
      help: 'Parts that the object store has acknowledged.',
      registers,
    });
    this.#partRetries = new Counter({
      name: 'backhaul_part_retries_total',
      help: 'Part PUTs that agents had to repeat.',
      registers,
    });
    this.#duration = new Histogram({
      name: 'backhaul_upload_duration_seconds',
      help: 'From an agent’s first part to its last, of completed uploads.',
      buckets: [0.1, 0.5, 1, 5, 15, 60, 300, 1800, 7200, 28_800],
      registers,
    });
    this.#s3 = new Histogram({
      name: 'backhaul_s3_request_duration_seconds',
      help: 'Calls of the server to the object store, retries included.',
      labelNames: ['operation', 'outcome'],
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60],
      registers,
    });
    this.#refusedRequests = new Counter({
      name: 'backhaul_requests_refused_total',
      help: 'Requests of operators that were refused, or not waited for, because of a limit.',
      labelNames: ['limit'],
      registers,
    });
    for (const limit of requestLimits) this.#refusedRequests.inc({ limit }, 0);
    this.#refusedConnections = new Counter({
      name: 'backhaul_connections_refused_total',
      help: 'Connections that were dropped without a valid token, or not taken, because of a limit.',
      labelNames: ['reason'],
      registers,
    });
    for (const reason of connectionRefusals) this.#refusedConnections.inc({ reason }, 0);
    this.#refusedAgents = new Counter({
      name: 'backhaul_agents_refused_total',
      help: 'Connections of agents that were refused before the upgrade, by reason.',
      labelNames: ['reason'],
      registers,
    });
    for (const reason of refusalReasons) this.#refusedAgents.inc({ reason }, 0);
    this.#duplicates = new Counter({
      name: 'backhaul_duplicate_connections_total',
      help: 'Connections of agents by which two machines seem to use one token.',
      registers,
    });
    this.#agentFrames = new Counter({
      name: 'backhaul_agent_abuse_total',
      help: 'Messages of agents that could not be read (`refused`), agents that were not read from for a while (`throttled`), and agents that were disconnected (`closed`).',
      labelNames: ['outcome'],
      registers,
    });
    for (const outcome of ['refused', 'throttled', 'closed']) this.#agentFrames.inc({ outcome }, 0);
  }

  /** What is read at the moment of the scrape. */
  watch(parts: WatchedParts): void {
    registerStateGauges(this.#registry, parts);
  }

  readonly observeFrames: FrameObserver = {
    refused: () => this.#agentFrames.inc({ outcome: 'refused' }),
    throttled: () => this.#agentFrames.inc({ outcome: 'throttled' }),
    closedForAbuse: () => this.#agentFrames.inc({ outcome: 'closed' }),
  };

  readonly observeUpload: UploadObserver = ({ before, after, transition }) => {
    const isProgress = transition.type === 'progress' || transition.type === 'parts_sent';
    if (isProgress) {
      this.#bytes.inc(Math.max(0, after.bytesUploaded - before.bytesUploaded));
      this.#parts.inc(Math.max(0, after.partsCompleted - before.partsCompleted));
      this.#partRetries.inc(Math.max(0, after.partRetries - before.partRetries));
    }
    if (transition.type === 'interrupt' || transition.type === 'start_over') {
      this.#interrupted.inc({ next: after.s3UploadId === null ? 'start_over' : 'resume' });
    }
    if (isTerminal(after.status) && !isTerminal(before.status)) {
      this.#uploadsEnded.inc({ status: after.status });
      if (after.status === 'failed' && after.error !== null) this.#failures.inc({ error: after.error });
    }
    if (transition.type === 'verified' && after.uploadDurationMs !== null) {
      this.#duration.observe(after.uploadDurationMs / 1000);
    }
  };

  observeS3(operation: string, outcome: string, seconds: number): void {
    this.#s3.observe({ operation, outcome }, seconds);
  }

  requestRefused(limit: RequestLimit): void {
    this.#refusedRequests.inc({ limit });
  }

  connectionRefused(reason: ConnectionRefusal): void {
    this.#refusedConnections.inc({ reason });
  }

  tokenShared(): void {
    this.#duplicates.inc();
  }

  agentRefused(reason: RefusalReason): void {
    this.#refusedAgents.inc({ reason });
  }

  async render(): Promise<{ contentType: string; text: string }> {
    return { contentType: this.#registry.contentType, text: await this.#registry.metrics() };
  }
}
