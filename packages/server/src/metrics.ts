import { type UploadStatus, uploadStatuses } from '@backhaul/protocol';
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';
import type { Store } from './domain/ports/store.ts';
import type { SessionRegistry } from './domain/sessions/session-registry.ts';
import type { UploadObserver } from './domain/uploads/upload-ledger.ts';

/** What Prometheus sees. No label holds a client, a path or anything else without a bound. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #uploadsEnded: Counter<'status'>;
  readonly #interrupted: Counter<'next'>;
  readonly #bytes: Counter;
  readonly #partRetries: Counter;
  readonly #duration: Histogram;
  readonly #s3: Histogram<'operation' | 'outcome'>;

  constructor() {
    const registers = [this.#registry];
    collectDefaultMetrics({ register: this.#registry });
    this.#uploadsEnded = new Counter({
      name: 'backhaul_uploads_ended_total',
      help: 'Uploads that reached a terminal status.',
      labelNames: ['status'],
      registers,
    });
    this.#interrupted = new Counter({
      name: 'backhaul_attempts_interrupted_total',
      help: 'Attempts that went back to the queue: the next goes on (`resume`) or begins anew (`start_over`).',
      labelNames: ['next'],
      registers,
    });
    this.#bytes = new Counter({
      name: 'backhaul_uploaded_bytes_total',
      help: 'Bytes of parts that the object store has acknowledged.',
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

  /** Gauges are read at the moment of the scrape. */
  watch(parts: { store: Store; sessions: SessionRegistry }): void {
    const registers = [this.#registry];
    // The gauges live in the registry; nobody else needs them.
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
        const counts = await parts.store.countUploadsByStatus();
        for (const status of uploadStatuses) this.set({ status }, counts[status] ?? 0);
      },
    });
    void new Gauge({
      name: 'backhaul_queue_age_seconds',
      help: 'Age of the oldest queued upload; 0 with an empty queue.',
      registers,
      async collect() {
        const oldest = await parts.store.oldestQueuedAt();
        this.set(oldest === undefined ? 0 : Math.max(0, Date.now() - oldest) / 1000);
      },
    });
  }

  readonly observeUpload: UploadObserver = ({ before, after, transition }) => {
    const isProgress = transition.type === 'progress' || transition.type === 'parts_sent';
    if (isProgress) {
      this.#bytes.inc(Math.max(0, after.bytesUploaded - before.bytesUploaded));
      this.#partRetries.inc(Math.max(0, after.partRetries - before.partRetries));
    }
    if (transition.type === 'interrupt' || transition.type === 'start_over') {
      this.#interrupted.inc({ next: after.s3UploadId === null ? 'start_over' : 'resume' });
    }
    if (endings.has(after.status) && !endings.has(before.status)) {
      this.#uploadsEnded.inc({ status: after.status });
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

const endings: ReadonlySet<UploadStatus> = new Set(['completed', 'failed', 'cancelled', 'expired']);
