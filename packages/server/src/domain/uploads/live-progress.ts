import { type Progress, PROGRESS_INTERVAL_MS } from '@backhaul/protocol';
import type { AgentSession } from '../agents/session.ts';
import type { Upload } from './upload.ts';

/** Maximum number of uploads an agent runs at once; reports on more replace the oldest. */
const MAX_PER_SESSION = 64;

interface Watched {
  readonly clientId: string;
  readonly listeners: Set<() => void>;
  /** While it runs no watcher is notified. */
  pause: NodeJS.Timeout | undefined;
  /** Whether the agent has reported during the pause. */
  isDue: boolean;
}

interface SessionReports {
  readonly session: AgentSession;
  readonly uploads: Map<string, Pick<Progress, 'attempt' | 'bytes_sent'>>;
}

/**
 * Agents' reports about bytes in flight: in memory, for display only. Stored progress comes from the store's
 * acknowledgements alone. Removed with the agent's session.
 */
export class LiveProgress {
  readonly #reports = new Map<string, SessionReports>();
  readonly #watched = new Map<string, Watched>();

  async report(session: AgentSession, { upload_id, attempt, bytes_sent }: Progress): Promise<void> {
    let reports = this.#reports.get(session.clientId);
    if (reports === undefined || reports.session.epoch < session.epoch) {
      reports = { session, uploads: new Map() };
      this.#reports.set(session.clientId, reports);
    }
    if (reports.session !== session) return;
    const { uploads } = reports;
    uploads.delete(upload_id);
    uploads.set(upload_id, { attempt, bytes_sent });
    for (const oldest of uploads.keys()) {
      if (uploads.size <= MAX_PER_SESSION) break;
      uploads.delete(oldest);
    }
    const watched = this.#watched.get(upload_id);
    // An agent may report about uploads of others: no watcher is notified.
    if (watched?.clientId === session.clientId) notify(watched);
  }

  sessionEnded(session: AgentSession): void {
    if (this.#reports.get(session.clientId)?.session === session) this.#reports.delete(session.clientId);
  }

  /** Bytes in flight of a running upload, beyond the stored ones; undefined if its agent has reported nothing valid. */
  bytesInFlight(upload: Upload): number | undefined {
    if (upload.status !== 'uploading' || upload.sizeBytes === null) return undefined;
    const reports = this.#reports.get(upload.clientId);
    const latest =
      reports?.session.epoch === upload.epoch ? reports?.uploads.get(upload.uploadId) : undefined;
    if (latest?.attempt !== upload.attempt) return undefined;
    return Math.max(0, Math.min(latest.bytes_sent, upload.sizeBytes) - upload.bytesUploaded);
  }

  /** @returns a function that ends the subscription. */
  subscribe({ uploadId, clientId }: Pick<Upload, 'uploadId' | 'clientId'>, listener: () => void): () => void {
    const watched: Watched = this.#watched.get(uploadId) ?? {
      clientId,
      listeners: new Set(),
      pause: undefined,
      isDue: false,
    };
    this.#watched.set(uploadId, watched);
    watched.listeners.add(listener);
    return () => {
      watched.listeners.delete(listener);
      if (watched.listeners.size > 0 || this.#watched.get(uploadId) !== watched) return;
      clearTimeout(watched.pause);
      this.#watched.delete(uploadId);
    };
  }
}

/**
 * At most as often as agents should report: an agent that reports more often must not set the pace of all its
 * watchers.
 */
function notify(watched: Watched): void {
  watched.isDue = watched.pause !== undefined;
  if (watched.isDue) return;
  watched.pause = setTimeout(() => {
    watched.pause = undefined;
    if (watched.isDue) notify(watched);
  }, PROGRESS_INTERVAL_MS).unref();
  for (const listener of watched.listeners) listener();
}
