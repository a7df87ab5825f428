import {
  errorCodes,
  isTerminal,
  type RefusalReason,
  refusalReasons,
  uploadStatuses,
} from '@backhaul/protocol';
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import { type RenewalOutcome, renewalOutcomes } from '../domain/agents/token-renewal.ts';
import type { UnfinishedRefusal } from '../domain/uploads/unfinished-quota.ts';
import type { UploadObserver } from '../domain/uploads/ledger.ts';
import type { HeldRequestRefusal } from '../http/held-requests.ts';
import { type ConnectionRefusal, connectionRefusals } from '../http/connection-limits.ts';
import { type GaugeDeps, registerStateGauges } from './state-gauges.ts';
import { SERVER_VERSION } from '../version.ts';
import type { FrameObserver } from '../websocket/agent-connection.ts';

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
  readonly #registry = createRegistry();
  readonly #uploadsEnded = this.#counter({
    name: 'backhaul_uploads_ended_total',
    help: 'Uploads that reached a terminal status.',
    label: 'status',
    values: uploadStatuses.filter(isTerminal),
  });
  readonly #failures = this.#counter({
    name: 'backhaul_upload_failures_total',
    help: 'Uploads that ended as `failed`, by error code.',
    label: 'error',
    values: errorCodes,
  });
  readonly #interrupted = this.#counter({
    name: 'backhaul_attempts_interrupted_total',
    help: 'Attempts requeued, by what the next attempt does: `resume` or `start_over`.',
    label: 'next',
    values: ['resume', 'start_over'],
  });
  readonly #bytes = this.#counter({
    name: 'backhaul_uploaded_bytes_total',
    help: 'Bytes of parts acknowledged by the object store.',
  });
  readonly #parts = this.#counter({
    name: 'backhaul_parts_total',
    help: 'Parts acknowledged by the object store.',
  });
  readonly #partRetries = this.#counter({
    name: 'backhaul_part_retries_total',
    help: 'Part PUTs that agents retried.',
  });
  readonly #duration = new Histogram({
    name: 'backhaul_upload_duration_seconds',
    help: 'Time from the first part to the last of completed uploads.',
    buckets: [0.1, 0.5, 1, 5, 15, 60, 300, 1800, 7200, 28_800],
    registers: [this.#registry],
  });
  readonly #s3 = new Histogram({
    name: 'backhaul_s3_request_duration_seconds',
    help: 'Duration of the server’s calls to the object store, retries included.',
    labelNames: ['operation', 'outcome'],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60],
    registers: [this.#registry],
  });
  readonly #refusedRequests = this.#counter({
    name: 'backhaul_requests_refused_total',
    help: 'Operator requests refused, or answered without waiting, because of a limit.',
    label: 'limit',
    values: requestLimits,
  });
  readonly #refusedConnections = this.#counter({
    name: 'backhaul_connections_refused_total',
    help: 'Unauthenticated connections closed or not accepted because of a limit.',
    label: 'reason',
    values: connectionRefusals,
  });
  readonly #refusedAgents = this.#counter({
    name: 'backhaul_agents_refused_total',
    help: 'Agent connections refused before the upgrade, by reason.',
    label: 'reason',
    values: refusalReasons,
  });
  readonly #duplicates = this.#counter({
    name: 'backhaul_duplicate_connections_total',
    help: 'Agent connections that suggest two machines share one token.',
  });
  readonly #renewals = this.#counter({
    name: 'backhaul_token_renewals_total',
    help: 'Renewed tokens sent to agents (`offered`), stored by agents (`stored`), or not stored after several offers (`given_up`).',
    label: 'outcome',
    values: renewalOutcomes,
  });
  readonly #agentFrames = this.#counter({
    name: 'backhaul_agent_abuse_total',
    help: 'Agent messages that could not be parsed (`refused`), pauses in reading from an agent (`throttled`), and agents disconnected for abuse (`closed`).',
    label: 'outcome',
    values: ['refused', 'throttled', 'closed'],
  });

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

  readonly observeS3 = (operation: string, outcome: string, seconds: number): void =>
    this.#s3.observe({ operation, outcome }, seconds);

  readonly requestRefused = (limit: RequestLimit): void => this.#refusedRequests.inc({ limit });

  readonly connectionRefused = (reason: ConnectionRefusal): void => this.#refusedConnections.inc({ reason });

  readonly tokenShared = (): void => this.#duplicates.inc();

  readonly tokenRenewal = (outcome: RenewalOutcome): void => this.#renewals.inc({ outcome });

  readonly agentRefused = (reason: RefusalReason): void => this.#refusedAgents.inc({ reason });

  async render(): Promise<{ contentType: string; text: string }> {
    return { contentType: this.#registry.contentType, text: await this.#registry.metrics() };
  }

  /** Starts at 0 for each of the label's values. */
  #counter<Label extends string = never>({
    name,
    help,
    label,
    values = [],
  }: CounterRow<Label>): Counter<Label> {
    const labelNames = label === undefined ? [] : [label];
    const counter = new Counter<string>({ name, help, labelNames, registers: [this.#registry] });
    for (const value of values) counter.inc({ [label ?? '']: value }, 0);
    return counter;
  }
}

interface CounterRow<Label extends string> {
  readonly name: string;
  readonly help: string;
  readonly label?: Label;
  readonly values?: readonly string[];
}

function createRegistry(): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  new Gauge({
    name: 'backhaul_build_info',
    help: 'Always 1; the label is the version of the server.',
    labelNames: ['version'],
    registers: [registry],
  }).set({ version: SERVER_VERSION }, 1);
  return registry;
}
