import {
  type AgentMessageInput,
  BackhaulError,
  type DownloadFile,
  type PartUrls,
  type PrepareUpload,
  type UploadLimits,
} from '@backhaul/protocol';
import type { FileHasher } from '../file/hashers.ts';
import type { OpenedFile } from '../file/open-file.ts';
import type { Log } from '../log.ts';
import type { SendQueues } from '../platform/platform.ts';
import { abortable, MAX_TIMEOUT_MS } from '../waits.ts';
import { confirmVersion } from './one-version.ts';
import { type PreparedFile, prepareFile } from './prepare-file.ts';
import { PartsInFlight, Progress, type TakenBytes } from './progress.ts';
import { RateLimit } from './rate-limit.ts';
import { StallReport } from './stall-report.ts';
import type { TransferDeps } from './transfer-deps.ts';
import { uploadParts } from './upload-parts.ts';

type PreparedInput = Extract<AgentMessageInput, { status: 'prepared' }>;
type ResumedInput = Extract<AgentMessageInput, { status: 'resumed' }>;
/** The final message of an attempt. */
type FinalInput = Extract<AgentMessageInput, { status: 'completed' | 'failed' }>;

type UrlWindow = Pick<PartUrls, 'presigned_urls' | 'expires_in_ms'>;

/** Maximum number of consecutive skipped reports, if progress is less than a thousandth of the file. */
const MAX_SKIPPED_REPORTS = 5;

/** Ends a transfer without a final message. */
class Cancelled extends Error {
  override readonly name = 'Cancelled';
}

/**
 * One attempt of one upload, from opening the file to the final message. It is independent of connections: it sends
 * messages through the link, and `repeat` and `resume` send them again from the state, so that no message has to arrive.
 */
export class Transfer {
  readonly uploadId: string;
  readonly attempt: number;
  /** Resolves when the transfer has stopped completely. Never rejects. */
  readonly ended: Promise<void>;
  readonly #request: PrepareUpload;
  readonly #deps: TransferDeps;
  readonly #log: Log;
  readonly #stop = new AbortController();
  readonly #started = Promise.withResolvers<void>();
  #prepared: PreparedFile | null = null;
  readonly #inFlight = new PartsInFlight();
  #progress: Progress | null = null;
  /** Bytes in the last `progress`, and the number of skipped reports since. */
  #reportedBytes = 0;
  #skippedReports = 0;
  #startedAt: number | null = null;
  #retries = 0;
  /** Set once the transfer has resumed an earlier attempt. */
  #resumed: ResumedInput | null = null;
  #final: FinalInput | null = null;
  #finalSent = false;

  /** @param after End of the replaced attempt, which must precede the open of the file. */
  constructor(request: PrepareUpload, deps: TransferDeps, after: Promise<void>) {
    this.uploadId = request.upload_id;
    this.attempt = request.attempt;
    this.#request = request;
    this.#log = deps.log.child({ upload_id: request.upload_id, attempt: request.attempt });
    this.#deps = { ...withLimits(deps, request.limits), log: this.#log };
    this.ended = this.#run(after);
  }

  /** Whether it counts towards the agent's limit. */
  get isActive(): boolean {
    return this.#final === null && !this.#stop.signal.aborted;
  }

  /** Whether it has stopped or is stopping without a final message. */
  get isCancelled(): boolean {
    return this.#final === null && this.#stop.signal.reason instanceof Cancelled;
  }

  /** Whether the final message was sent on the current connection, so that it may have arrived. */
  get finalSent(): boolean {
    return this.#finalSent && this.#deps.link.connected;
  }

  /** Handles a repeated `prepare_upload`. */
  repeat(): void {
    // `resumed` may not have arrived, and the server accepts no final message without it.
    if (this.#final?.status !== 'failed') this.#sendResumed();
    if (this.#final !== null) this.#sendFinal(this.#final);
    else if (this.#prepared?.resumed === false) this.#deps.link.send(this.#preparedMessage(this.#prepared));
  }

  /** Continues on a new session, as requested by the server. */
  resume(): void {
    if (this.#final !== null || this.#prepared === null || this.#startedAt === null) return this.repeat();
    // `resumed` has no response, so it may not have arrived.
    this.#sendResumed();
    this.#prepared.ledger.resetReports();
    this.#progress?.flush();
    this.#prepared.ledger.requestUrls();
  }

  /**
   * Handles `download_file`: starts the PUTs. If repeated, it only provides new URLs.
   *
   * @throws BackhaulError `protocol_error` if it does not match the prepared file.
   */
  download({ file_path: path, upload_config: config }: DownloadFile): void {
    if (this.#final !== null) return this.repeat();
    if (this.#prepared === null || path !== this.#request.file_path) {
      throw new BackhaulError('protocol_error', 'download_file does not match a prepared file');
    }
    const { chunkSize, partCount } = this.#prepared.plan;
    if (config.chunk_size !== chunkSize || (config.part_count ?? partCount) !== partCount) {
      const plans = `The agent planned ${partCount} parts of ${chunkSize} bytes, the server ${config.part_count ?? '?'} of ${config.chunk_size}.`;
      return this.#fail(new BackhaulError('plan_mismatch', plans));
    }
    if (config.kind === 'empty') {
      if (this.#prepared.plan.sizeBytes > 0) {
        const text = `The server requested an empty object for a file of ${this.#prepared.plan.sizeBytes} bytes.`;
        return this.#fail(new BackhaulError('protocol_error', text));
      }
      this.#prepared.ledger.markStoredByServer();
    }
    this.addUrls(config);
    this.#started.resolve();
  }

  /**
   * Adds URLs; their lifetime starts now. A URL that the storage policy refuses ends the transfer.
   *
   * @throws BackhaulError `protocol_error` for a part that does not exist.
   */
  addUrls({ presigned_urls: urls, expires_in_ms: lifeMs }: UrlWindow): void {
    if (this.#final !== null || this.#prepared === null) return;
    const { ledger, plan } = this.#prepared;
    const { timings, storage, now } = this.#deps;
    const staleAt = now() + lifeMs - Math.min(timings.urlMarginMs, lifeMs / 5);
    for (const { part_number: partNumber, url: text, headers } of urls) {
      if (partNumber > plan.partCount)
        throw new BackhaulError('protocol_error', `there is no part ${partNumber}`);
      const url = new URL(text);
      try {
        storage.policy.check(url, headers);
      } catch (error) {
        return this.#fail(error);
      }
      ledger.setUrl(partNumber, { url, headers, staleAt });
    }
  }

  /** Bytes taken by running PUTs, for `sendProgress`; null without any. */
  takenBytes(): TakenBytes | null {
    return this.#inFlight.size === 0 ? null : this.#inFlight.taken();
  }

  /** Sends `progress` for display, including running PUTs. Small changes are skipped for a few calls. */
  sendProgress(taken: TakenBytes, queues: SendQueues): void {
    if (this.#final !== null || this.#prepared === null) return;
    const { ledger, plan } = this.#prepared;
    const bytes = Math.min(plan.sizeBytes, ledger.storedBytes + this.#inFlight.acknowledged(taken, queues));
    const isSignificant = bytes < this.#reportedBytes || bytes - this.#reportedBytes >= plan.sizeBytes / 1000;
    this.#skippedReports += 1;
    if (bytes === this.#reportedBytes || (!isSignificant && this.#skippedReports < MAX_SKIPPED_REPORTS))
      return;
    const about = { upload_id: this.uploadId, attempt: this.attempt };
    if (!this.#deps.link.send({ status: 'progress', ...about, bytes_sent: bytes })) return;
    this.#reportedBytes = bytes;
    this.#skippedReports = 0;
  }

  /** Ends the transfer as `failed`, unless it has ended. */
  fail(error: BackhaulError): void {
    this.#fail(error);
  }

  /** Stops the transfer without a final message. Idempotent. */
  async cancel(): Promise<void> {
    this.#fail(new Cancelled());
    await this.ended;
  }

  #fail(reason: unknown): void {
    this.#stop.abort(reason);
  }

  async #run(after: Promise<void>): Promise<void> {
    const { signal } = this.#stop;
    try {
      await after;
      signal.throwIfAborted();
      await using file = await this.#deps.openFile(this.#request.file_path, {
        onChange: this.#request.on_change ?? 'fail',
        resume: this.#request.resume,
        bypassCache: this.attempt > 1,
        signal,
      });
      await using hasher = this.#deps.hashers.open(file);
      await this.#prepare(file, hasher);
      await this.#untilStarted();
      const completed = await this.#upload(file);
      signal.throwIfAborted();
      this.#progress?.flush();
      this.#end(completed);
    } catch (thrown) {
      const error: unknown = signal.aborted ? signal.reason : thrown;
      if (!(error instanceof Cancelled)) this.#end(this.#failed(error));
    } finally {
      this.#progress?.close();
      this.#prepared = null;
    }
  }

  async #prepare(file: OpenedFile, hasher: FileHasher): Promise<void> {
    const { link, timings } = this.#deps;
    const about = { upload_id: this.uploadId, attempt: this.attempt };
    const prepared = await prepareFile(file, this.#request, {
      deps: this.#deps,
      hasher,
      ask: (parts) => {
        const sent = link.send({ status: 'parts_ready', ...about, parts });
        if (sent)
          this.#log.debug({ parts: parts.map(({ part_number: number }) => number) }, 'requested URLs');
        return sent;
      },
      signal: this.#stop.signal,
    });
    this.#prepared = prepared;
    if (prepared.resumed) {
      this.#resumed = { status: 'resumed', ...about, size: file.sizeBytes, fingerprint: file.fingerprint };
    }
    this.#progress = new Progress({
      ledger: prepared.ledger,
      link,
      reportMs: timings.reportMs,
      message: (parts) => ({ status: 'part_uploaded', ...about, parts, retries: this.#retries }),
    });
    this.#log.info(
      {
        file: file.name,
        size: file.sizeBytes,
        parts: prepared.plan.partCount,
        kept: prepared.ledger.keptCount,
      },
      prepared.resumed ? 'resumed' : 'prepared',
    );
    this.repeat();
    // A resumed upload requests its URLs itself, for the missing parts.
    if (prepared.resumed) this.#started.resolve();
  }

  /** Waits for `download_file`. A prepared upload holds a file and a slot of the agent's limit, so the wait has a timeout. */
  async #untilStarted(): Promise<void> {
    const { signal } = this.#stop;
    const onStartTimeout = () => {
      this.#log.warn('prepared upload timed out before download_file');
      this.#fail(new Cancelled());
    };
    const timer = setTimeout(onStartTimeout, Math.min(this.#request.expires_in_ms, MAX_TIMEOUT_MS));
    try {
      await abortable(this.#started.promise, signal);
    } finally {
      clearTimeout(timer);
    }
  }

  async #upload(file: OpenedFile): Promise<FinalInput> {
    const { now } = this.#deps;
    const prepared = this.#prepared;
    if (prepared === null) throw new Error('started before it was prepared');
    const startedAt = now();
    this.#startedAt = startedAt;
    this.#log.info('uploading');
    await uploadParts(prepared, {
      deps: this.#deps,
      onRetry: () => {
        this.#retries += 1;
      },
      stall: new StallReport({
        link: this.#deps.link,
        afterMs: this.#deps.timings.stallReportMs,
        now,
        log: this.#log,
        parallelism: this.#deps.parallelism,
        maxRate: () => this.#deps.rateLimit?.bytesPerSecond ?? null,
        message: (reason, retryInMs) => ({
          status: 'stalled',
          upload_id: this.uploadId,
          attempt: this.attempt,
          reason,
          retry_in_ms: retryInMs,
        }),
      }),
      inFlight: this.#inFlight,
      signal: this.#stop.signal,
    });
    await file.assertEnds();
    const { hashers } = this.#deps;
    const sha256 = prepared.sha256 ? await prepared.hasher.digest() : null;
    // Releases its thread for the second reading; another thread would need additional memory.
    await prepared.hasher.close();
    await confirmVersion({ ...prepared, hashers, log: this.#log }, { signal: this.#stop.signal });
    return {
      status: 'completed',
      upload_id: this.uploadId,
      attempt: this.attempt,
      file_name: file.name.slice(0, 1024),
      size: file.sizeBytes,
      parts: prepared.ledger.allUploaded(),
      ...(prepared.resumed ? { resumed: true } : {}),
      upload_duration_ms: Math.round(now() - startedAt),
      sha256,
    };
  }

  #end(final: FinalInput): void {
    this.#final = final;
    if (final.status === 'completed') {
      const { size, upload_duration_ms: durationMs } = final;
      this.#log.info({ size, duration_ms: durationMs, retries: this.#retries }, 'all parts sent');
    } else {
      this.#log.warn({ error: final.error, reason: final.message }, 'upload failed');
    }
    this.#sendFinal(final);
  }

  #sendFinal(final: FinalInput): void {
    this.#finalSent = this.#deps.link.send(final);
  }

  #failed(error: unknown): FinalInput {
    const known = error instanceof BackhaulError;
    if (!known) this.#log.error({ error }, 'unexpected error in an upload');
    // Response of a store or a resolved address: for the machine's owner, not for the server.
    else if (error.cause instanceof Error)
      this.#log.warn({ detail: error.cause.message }, 'cause of the failure');
    return {
      status: 'failed',
      upload_id: this.uploadId,
      attempt: this.attempt,
      error: known ? error.code : 'agent_fault',
      message: (known ? error : new BackhaulError('agent_fault')).message.slice(0, 2000),
    };
  }

  #sendResumed(): void {
    if (this.#resumed !== null) this.#deps.link.send(this.#resumed);
  }

  #preparedMessage({ file, plan, firstParts }: PreparedFile): PreparedInput {
    return {
      status: 'prepared',
      upload_id: this.uploadId,
      attempt: this.attempt,
      file_name: file.name.slice(0, 1024),
      size: file.sizeBytes,
      chunk_size: plan.chunkSize,
      part_count: plan.partCount,
      fingerprint: file.fingerprint,
      source_modified_at: file.modifiedAt,
      parts: [...firstParts],
    };
  }
}

/** Applies the limits of an upload, which can only be lower than those of the owner. */
function withLimits(deps: TransferDeps, limits: UploadLimits | undefined): TransferDeps {
  if (limits === undefined) return deps;
  const { rateLimit, settings, now } = deps;
  const { max_rate: maxRate, parallel_parts: parallelParts = Infinity } = limits;
  return {
    ...deps,
    rateLimit: maxRate === undefined ? rateLimit : new RateLimit(maxRate, { now, parent: rateLimit }),
    settings: {
      ...settings,
      parallelParts: Math.min(settings.parallelParts, parallelParts),
      ownRate: maxRate,
    },
  };
}
