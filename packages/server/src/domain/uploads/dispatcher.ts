import { randomUUID } from 'node:crypto';
import { BucketError, type Bucket } from '../ports/bucket.ts';
import type { Log } from '../ports/log.ts';
import type { Store } from '../ports/store.ts';
import { KeyedLock } from '../keyed-lock.ts';
import type { AgentSession } from '../sessions/agent-session.ts';
import type { SessionRegistry } from '../sessions/session-registry.ts';
import { type UploadSettings, WINDOW_PARTS, planRule } from '../upload-settings.ts';
import type { UploadLedger } from './upload-ledger.ts';

/** Hands queued uploads to connected agents: oldest first, never more at once than an agent takes. */
export class Dispatcher {
  readonly #store: Store;
  readonly #ledger: UploadLedger;
  readonly #bucket: Bucket;
  readonly #sessions: SessionRegistry;
  readonly #settings: UploadSettings;
  readonly #log: Log;
  readonly #lock = new KeyedLock();

  constructor(parts: {
    store: Store;
    ledger: UploadLedger;
    bucket: Bucket;
    sessions: SessionRegistry;
    settings: UploadSettings;
    log: Log;
  }) {
    this.#store = parts.store;
    this.#ledger = parts.ledger;
    this.#bucket = parts.bucket;
    this.#sessions = parts.sessions;
    this.#settings = parts.settings;
    this.#log = parts.log;
  }

  /**
   * Looks at one client's queue, in the background. Called whenever something may have changed; the sweeper
   * calls it as well, so a missed call only delays.
   */
  kick(clientId: string): void {
    this.#lock
      .run(clientId, () => this.#dispatch(clientId))
      .catch((error: unknown) => {
        const level = error instanceof BucketError ? 'warn' : 'error';
        this.#log[level]({ clientId, err: error }, 'queue not dispatched; tried again by the sweeper');
      });
  }

  async #dispatch(clientId: string): Promise<void> {
    const session = this.#sessions.get(clientId);
    if (session === undefined) return;
    const active = await this.#store.listActiveUploads(clientId);
    const running = active.filter(({ status }) => status === 'preparing' || status === 'uploading').length;
    const free = Math.max(0, session.maxUploads - running);
    const next = active.filter(({ status }) => status === 'queued').slice(0, free);
    if (next.length === 0) return;
    await this.#assertStoreAnswers();
    for (const upload of next) await this.#prepare(session, upload.uploadId);
  }

  /** While the store is away the queue is the place to wait: no agent reads and hashes a file in vain. */
  async #assertStoreAnswers(): Promise<void> {
    try {
      await this.#bucket.ping();
    } catch (error) {
      // A policy may forbid just this question; the store is there.
      if (!(error instanceof BucketError) || error.kind === 'unavailable') throw error;
    }
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
