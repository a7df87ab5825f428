import { randomUUID } from 'node:crypto';
import { type Bucket, BucketError } from '../ports/bucket.ts';
import type { Log } from '../ports/log.ts';
import type { Store } from '../ports/store.ts';
import type { AgentSession } from '../sessions/agent-session.ts';
import type { SessionRegistry } from '../sessions/session-registry.ts';
import { type UploadSettings, WINDOW_PARTS, planRule } from '../upload-settings.ts';
import type { BucketProbe } from './bucket-probe.ts';
import type { UploadLedger } from './upload-ledger.ts';

const SOON_MS = 1000;

/** Hands queued uploads to connected agents: oldest first, never more at once than an agent takes. */
export class Dispatcher {
  readonly #store: Store;
  readonly #ledger: UploadLedger;
  readonly #bucket: Bucket;
  readonly #probe: BucketProbe;
  readonly #sessions: SessionRegistry;
  readonly #settings: UploadSettings;
  readonly #log: Log;
  readonly #signal: AbortSignal;
  /** Clients whose queue is being looked at; whether to look again after that. */
  readonly #looks = new Map<string, { again: boolean }>();
  readonly #soon = new Map<string, NodeJS.Timeout>();

  constructor(parts: {
    store: Store;
    ledger: UploadLedger;
    bucket: Bucket;
    probe: BucketProbe;
    sessions: SessionRegistry;
    settings: UploadSettings;
    log: Log;
    /** Ends all of it. */
    signal: AbortSignal;
  }) {
    this.#store = parts.store;
    this.#ledger = parts.ledger;
    this.#bucket = parts.bucket;
    this.#probe = parts.probe;
    this.#sessions = parts.sessions;
    this.#settings = parts.settings;
    this.#log = parts.log;
    this.#signal = parts.signal;
    this.#signal.addEventListener('abort', () => {
      for (const timer of this.#soon.values()) clearTimeout(timer);
      this.#soon.clear();
    });
  }

  /**
   * Looks at one client's queue, in the background; once more after a look that is under way, however often it
   * is called meanwhile. Called whenever something may have changed; the sweeper calls it as well, so a missed
   * call only delays.
   */
  kick(clientId: string): void {
    if (this.#signal.aborted) return;
    const look = this.#looks.get(clientId);
    if (look === undefined) void this.#look(clientId);
    else look.again = true;
  }

  /** The same a moment later, for an upload that was just put back: at once it would only come back again. */
  kickSoon(clientId: string): void {
    if (this.#signal.aborted || this.#soon.has(clientId)) return;
    const timer = setTimeout(() => {
      this.#soon.delete(clientId);
      this.kick(clientId);
    }, SOON_MS);
    this.#soon.set(clientId, timer.unref());
  }

  /** Never rejects. */
  async #look(clientId: string): Promise<void> {
    const look = { again: true };
    this.#looks.set(clientId, look);
    while (look.again && !this.#signal.aborted) {
      look.again = false;
      try {
        await this.#dispatch(clientId);
      } catch (error) {
        const level = error instanceof BucketError ? 'warn' : 'error';
        this.#log[level]({ clientId, err: error }, 'queue not dispatched; tried again by the sweeper');
      }
    }
    this.#looks.delete(clientId);
  }

  async #dispatch(clientId: string): Promise<void> {
    const session = this.#sessions.get(clientId);
    if (session === undefined) return;
    const running = await this.#store.listRunningIds(clientId);
    const free = session.maxUploads - running.length;
    if (free <= 0) return;
    const next = await this.#store.listQueuedIds(clientId, free);
    if (next.length === 0) return;
    // While the store is away the queue is the place to wait: no agent reads and hashes a file in vain.
    await this.#probe.assertAnswers();
    for (const uploadId of next) await this.#prepare(session, uploadId);
  }

  async #prepare(session: AgentSession, uploadId: string): Promise<void> {
    const { checksumMode } = await this.#bucket.capabilities();
    await this.#ledger.exclusively(uploadId, async () => {
      // Gone or replaced while the store was asked.
      if (this.#sessions.get(session.clientId) !== session) return;
      const upload = await this.#ledger.apply(await this.#ledger.get(uploadId), {
        type: 'prepare',
        epoch: session.epoch,
        objectToken: randomUUID(),
        checksumMode,
      });
      if (upload === undefined) return;
      if (this.#sessions.get(session.clientId) !== session) {
        // Ended or replaced while the row was written, and possibly too late for its successor to see that.
        await this.#ledger.apply(upload, { type: 'requeue', message: 'The agent’s connection ended.' });
        this.kick(session.clientId);
        return;
      }
      session.send({
        action: 'prepare_upload',
        upload_id: upload.uploadId,
        attempt: upload.attempt,
        file_path: upload.filePath,
        plan: {
          min_chunk_size: planRule.minChunkSize,
          max_parts: planRule.maxParts,
          window_size: WINDOW_PARTS,
          ...(this.#settings.maxFileSize === null ? {} : { max_file_size: this.#settings.maxFileSize }),
        },
        checksum_mode: checksumMode,
        expires_in_ms: this.#settings.prepareTimeoutMs,
      });
    });
  }
}
