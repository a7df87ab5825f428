import { type Progress, PROGRESS_INTERVAL_MS } from '@backhaul/protocol';
import type { AgentSession } from '../sessions/agent-session.ts';
import type { Upload } from './upload.ts';

/** An agent runs at most so many uploads; what it says of more pushes out the oldest. */
const MAX_PER_SESSION = 64;

interface Watched {
  readonly clientId: string;
  readonly listeners: Set<() => void>;
  /** While it runs no watcher is woken. */
  pause: NodeJS.Timeout | undefined;
  /** Whether the agent has spoken during the pause. */
  isDue: boolean;
}

interface Said {
  readonly session: AgentSession;
  readonly uploads: Map<string, Pick<Progress, 'attempt' | 'bytes_sent'>>;
}

/**
 * What agents say about bytes on their way: in memory, for display, and believed by nothing else. What is stored
 * comes from the store's acknowledgements alone. Gone with the agent's session.
 */
export class LiveProgress {
  readonly #said = new Map<string, Said>();
  readonly #watched = new Map<string, Watched>();

  async report(session: AgentSession, { upload_id, attempt, bytes_sent }: Progress): Promise<void> {
    let said = this.#said.get(session.clientId);
    if (said === undefined || said.session.epoch < session.epoch) {
      said = { session, uploads: new Map() };
      this.#said.set(session.clientId, said);
    }
    if (said.session !== session) return;
    const { uploads } = said;
    uploads.delete(upload_id);
    uploads.set(upload_id, { attempt, bytes_sent });
    for (const oldest of uploads.keys()) {
      if (uploads.size <= MAX_PER_SESSION) break;
      uploads.delete(oldest);
    }
    const watched = this.#watched.get(upload_id);
    // Of uploads of others an agent may say what it likes: no watcher is woken.
    if (watched?.clientId === session.clientId) wake(watched);
  }

  sessionEnded(session: AgentSession): void {
    if (this.#said.get(session.clientId)?.session === session) this.#said.delete(session.clientId);
  }

  /** Of an upload under way, beyond what is stored; undefined if its agent has said nothing that fits it. */
  bytesInFlight(upload: Upload): number | undefined {
    if (upload.status !== 'uploading' || upload.sizeBytes === null) return undefined;
    const said = this.#said.get(upload.clientId);
    const latest = said?.session.epoch === upload.epoch ? said?.uploads.get(upload.uploadId) : undefined;
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

/** No more often than agents are asked to speak: one that speaks more often must not set the pace of all its watchers. */
function wake(watched: Watched): void {
  watched.isDue = watched.pause !== undefined;
  if (watched.isDue) return;
  watched.pause = setTimeout(() => {
    watched.pause = undefined;
    if (watched.isDue) wake(watched);
  }, PROGRESS_INTERVAL_MS).unref();
  for (const listener of watched.listeners) listener();
}
