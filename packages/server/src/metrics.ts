import {
  errorCodes,
  isTerminal,
  type RefusalReason,
  refusalReasons,
  uploadStatuses,
} from '@backhaul/protocol';
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';
import { type RenewalOutcome, renewalOutcomes } from './domain/agents/token-renewal.ts';
import type { UploadObserver } from './domain/uploads/ledger.ts';
import type { UnfinishedRefusal } from './domain/uploads/unfinished-quota.ts';
import type { HeldRequestRefusal } from './http/held-requests.ts';
import { type ConnectionRefusal, connectionRefusals } from './http/unauthenticated-connections.ts';
import type { FrameObserver } from './websocket/agent-connection.ts';
import { registerStateGauges, type GaugeDeps } from './state-gauges.ts';

const requestLimits = [
  'held_per_token',
  'held_total',
  'unfinished_per_token',
  'unfinished_per_client',
] as const satisfies (HeldRequestRefusal | UnfinishedRefusal)[];
type RequestLimit = (typeof requestLimits)[number];

/**
 * The Prometheus metrics. No label has an unbounded set of values such as clients or paths. Counters with few label
 * values start at 0 for each: a series that appears with the value 1 is no increase to Prometheus, and an alert would
 * miss the first event.
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
  readonly #renewals: Counter<'outcome'>;

  constructor({ version }: { version: string }) {
    const registers = [this.#registry];
    collectDefaultMetrics({ register: this.#registry });
    new Gauge({
      name: 'backhaul_build_info',
      help: 'Always 1; the label is the version of the server.',
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
      help: 'Uploads that ended as `failed`, by error code.',
      labelNames: ['error'],
      registers,
    });
    for (const error of errorCodes) this.#failures.inc({ error }, 0);
    this.#interrupted = new Counter({
      name: 'backhaul_attempts_interrupted_total',
      help: 'Attempts requeued, by what the next attempt does: `resume` or `start_over`.',
      labelNames: ['next'],
      registers,
    });
    for (const next of ['resume', 'start_over']) this.#interrupted.inc({ next }, 0);
    this.#bytes = new Counter({
      name: 'backhaul_uploaded_bytes_total',
      help: 'Bytes of parts acknowledged by the object store.',
      registers,
    });
    this.#parts = new Counter({
      name: 'backhaul_parts_total',
      help: 'Parts acknowledged by the object store.',
      registers,
    });
    this.#partRetries = new Counter({
      name: 'backhaul_part_retries_total',
      help: 'Part PUTs that agents retried.',
      registers,
    });
    this.#duration = new Histogram({
      name: 'backhaul_upload_duration_seconds',
      help: 'Time from the first part to the last of completed uploads.',
      buckets: [0.1, 0.5, 1, 5, 15, 60, 300, 1800, 7200, 28_800],
      registers,
    });
    this.#s3 = new Histogram({
      name: 'backhaul_s3_request_duration_seconds',
      help: 'Duration of the server’s calls to the object store, retries included.',
      labelNames: ['operation', 'outcome'],
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60],
      registers,
    });
    this.#refusedRequests = new Counter({
      name: 'backhaul_requests_refused_total',
      help: 'Operator requests refused, or answered without waiting, because of a limit.',
      labelNames: ['limit'],
      registers,
    });
    for (const limit of requestLimits) this.#refusedRequests.inc({ limit }, 0);
    this.#refusedConnections = new Counter({
      name: 'backhaul_connections_refused_total',
      help: 'Unauthenticated connections closed or not accepted because of a limit.',
      labelNames: ['reason'],
      registers,
    });
    for (const reason of connectionRefusals) this.#refusedConnections.inc({ reason }, 0);
    this.#refusedAgents = new Counter({
      name: 'backhaul_agents_refused_total',
      help: 'Agent connections refused before the upgrade, by reason.',
      labelNames: ['reason'],
      registers,
    });
    for (const reason of refusalReasons) this.#refusedAgents.inc({ reason }, 0);
    this.#duplicates = new Counter({
      name: 'backhaul_duplicate_connections_total',
      help: 'Agent connections that suggest two machines share one token.',
      registers,
    });
    this.#renewals = new Counter({
      name: 'backhaul_token_renewals_total',
      help: 'Renewed tokens sent to agents (`offered`), stored by agents (`stored`), or not stored after several offers (`given_up`).',
      labelNames: ['outcome'],
      registers,
    });
    for (const outcome of renewalOutcomes) this.#renewals.inc({ outcome }, 0);
    this.#agentFrames = new Counter({
      name: 'backhaul_agent_abuse_total',
      help: 'Agent messages that could not be parsed (`refused`), pauses in reading from an agent (`throttled`), and agents disconnected for abuse (`closed`).',
      labelNames: ['outcome'],
      registers,
    });
    for (const outcome of ['refused', 'throttled', 'closed']) this.#agentFrames.inc({ outcome }, 0);
  }

  /** Registers the gauges that are read at each scrape. */
  watch(deps: GaugeDeps): void {
    registerStateGauges(this.#registry, deps);
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

  tokenRenewal(outcome: RenewalOutcome): void {
    this.#renewals.inc({ outcome });
  }

  agentRefused(reason: RefusalReason): void {
    this.#refusedAgents.inc({ reason });
  }

  async render(): Promise<{ contentType: string; text: string }> {
    return { contentType: this.#registry.contentType, text: await this.#registry.metrics() };
  }
}
