import { errorCodes, isTerminal, uploadStatuses } from '@backhaul/protocol';
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';
import type { UploadObserver } from './domain/uploads/upload-ledger.ts';
import { registerStateGauges, type WatchedParts } from './state-gauges.ts';

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
  }

  /** What is read at the moment of the scrape. */
  watch(parts: WatchedParts): void {
    registerStateGauges(this.#registry, parts);
  }

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

  async render(): Promise<{ contentType: string; text: string }> {
    return { contentType: this.#registry.contentType, text: await this.#registry.metrics() };
  }
}
