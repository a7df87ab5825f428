import {
  BackhaulError,
  type DownloadFile,
  type PartUrls,
  type PrepareUpload,
  type UploadLimits,
} from '@backhaul/protocol';
import { abortable } from '../abortable.ts';
import type { OpenedFile } from '../file/open-file.ts';
import type { FileHasher } from '../hashing/file-hasher.ts';
import type { Log } from '../log.ts';
import type { SendQueues } from '../platform/platform.ts';
import { confirmVersion } from './confirm-version.ts';
import { prepareFile, type PreparedFile } from './prepare-file.ts';
import { PartsInFlight, type TakenBytes } from './parts-in-flight.ts';
import { Progress } from './progress.ts';
import { RateLimit } from './rate-limit.ts';
import { StallReport } from './stall-report.ts';
import type { FinalInput, PreparedInput, ResumedInput } from './transfer-messages.ts';
import type { TransferTools } from './transfer-tools.ts';
import { uploadParts } from './upload-parts.ts';

type UrlWindow = Pick<PartUrls, 'presigned_urls' | 'expires_in_ms'>;

/** So many times a progress of less than a thousandth of the file is not told. */
const MAX_LEFT_OUT = 5;

/** setTimeout's longest. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Ends a transfer without a word: nobody wants to hear of it any more. */
class Dropped extends Error {
  override readonly name = 'Dropped';
}

/**
 * One attempt at one upload, from opening the file to the last message. It knows nothing of sockets: it says
 * through the link what there is to say, and `repeat` and `resume` say it again from the state, so that nothing
 * depends on any message having arrived.
 */
export class Transfer {
  readonly uploadId: string;
  readonly attempt: number;
  /** Resolves when nothing of it runs any more; it never rejects. */
  readonly ended: Promise<void>;
  readonly #request: PrepareUpload;
  readonly #tools: TransferTools;
  readonly #log: Log;
  readonly #stop = new AbortController();
  readonly #started = Promise.withResolvers<void>();
  #prepared: PreparedFile | null = null;
  readonly #inFlight = new PartsInFlight();
  #progress: Progress | null = null;
  /** What the last `progress` said, and how many were left out since. */
  #bytesSaid = 0;
  #leftOut = 0;
  #startedAt: number | null = null;
  #retries = 0;
  /** Once it goes on with an earlier attempt. */
  #resumed: ResumedInput | null = null;
  #final: FinalInput | null = null;
  #finalSent = false;

  /** @param after Must have ended before the file is opened: the older attempt that this one replaces. */
  constructor(request: PrepareUpload, tools: TransferTools, after: Promise<void>) {
    this.uploadId = request.upload_id;
    this.attempt = request.attempt;
    this.#request = request;
    this.#log = tools.log.child({ upload_id: request.upload_id, attempt: request.attempt });
    this.#tools = { ...limited(tools, request.limits), log: this.#log };
    this.ended = this.#run(after);
  }

  /** Whether it counts against the agent's limit. */
  get active(): boolean {
    return this.#final === null && !this.#stop.signal.aborted;
  }

  /** Whether it stopped, or is stopping, without a last message that could be repeated. */
  get gone(): boolean {
    return this.#final === null && this.#stop.signal.reason instanceof Dropped;
  }

  /** Whether the last message went into a socket that still holds; it may have arrived. */
  get said(): boolean {
    return this.#finalSent && this.#tools.link.connected;
  }

  /** The same `prepare_upload` came again. */
  repeat(): void {
    // It may never have arrived, and without it no end is believed.
    if (this.#final?.status !== 'failed') this.#sayResumed();
    if (this.#final !== null) this.#sayFinal(this.#final);
    else if (this.#prepared?.resumed === false) this.#tools.link.send(this.#preparedMessage(this.#prepared));
  }

  /** There is a new socket, and the server wants this upload to go on. */
  resume(): void {
    if (this.#final !== null || this.#prepared === null || this.#startedAt === null) return this.repeat();
    // Nobody answers `resumed`, so it may never have arrived.
    this.#sayResumed();
    this.#prepared.ledger.forgetWhatWasSaid();
    this.#progress?.flush();
    this.#prepared.ledger.askForUrls();
  }

  /**
   * `download_file`: starts the PUTs. Come again, it only brings fresh URLs.
   *
   * @throws BackhaulError `protocol_error` if it does not fit to what was prepared.
   */
  download({ file_path: path, upload_config: config }: DownloadFile): void {
    if (this.#final !== null) return this.repeat();
    if (this.#prepared === null || path !== this.#request.file_path) {
      throw new BackhaulError('protocol_error', 'download_file does not fit to a file that was prepared');
    }
    const { chunkSize, partCount } = this.#prepared.plan;
    if (config.chunk_size !== chunkSize || (config.part_count ?? partCount) !== partCount) {
      const plans = `The agent planned ${partCount} parts of ${chunkSize} bytes, the server ${config.part_count ?? '?'} of ${config.chunk_size}.`;
      return this.#fail(new BackhaulError('plan_mismatch', plans));
    }
    if (config.kind === 'empty') {
      if (this.#prepared.plan.sizeBytes > 0) {
        const text = `The server wants to store a file of ${this.#prepared.plan.sizeBytes} bytes as an empty one.`;
        return this.#fail(new BackhaulError('protocol_error', text));
      }
      this.#prepared.ledger.leaveToServer();
    }
    this.addUrls(config);
    this.#started.resolve();
  }

  /**
   * The window's time counts from its arrival, now. A URL that the storage policy refuses ends the transfer.
   *
   * @throws BackhaulError `protocol_error` for a part that does not exist.
   */
  addUrls({ presigned_urls: urls, expires_in_ms: lifeMs }: UrlWindow): void {
    if (this.#final !== null || this.#prepared === null) return;
    const { ledger, plan } = this.#prepared;
    const { timings, storage, now } = this.#tools;
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
      ledger.giveUrl(partNumber, { url, headers, staleAt });
    }
  }

  /** What is on its way just now, for `sayProgress`; null while nothing is. */
  takenBytes(): TakenBytes | null {
    return this.#inFlight.size === 0 ? null : this.#inFlight.taken();
  }

  /** For display: how far it is, with what is on its way. Often called for long files, it speaks when much has moved. */
  sayProgress(taken: TakenBytes, queues: SendQueues): void {
    if (this.#final !== null || this.#prepared === null) return;
    const { ledger, plan } = this.#prepared;
    const bytes = Math.min(plan.sizeBytes, ledger.storedBytes + this.#inFlight.acknowledged(taken, queues));
    const isNews = bytes < this.#bytesSaid || bytes - this.#bytesSaid >= plan.sizeBytes / 1000;
    this.#leftOut += 1;
    if (bytes === this.#bytesSaid || (!isNews && this.#leftOut < MAX_LEFT_OUT)) return;
    const about = { upload_id: this.uploadId, attempt: this.attempt };
    if (!this.#tools.link.send({ status: 'progress', ...about, bytes_sent: bytes })) return;
    this.#bytesSaid = bytes;
    this.#leftOut = 0;
  }

  /** Ends it as `failed`, unless it has ended. */
  fail(error: BackhaulError): void {
    this.#fail(error);
  }

  /** Stops it without a message. Idempotent. */
  async drop(): Promise<void> {
    this.#fail(new Dropped());
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
      await using file = await this.#tools.openFile(this.#request.file_path, {
        onChange: this.#request.on_change ?? 'fail',
        resume: this.#request.resume,
        bypassCache: this.attempt > 1,
        signal,
      });
      await using hasher = this.#tools.hashers.open(file);
      await this.#prepare(file, hasher);
      await this.#untilStarted();
      const completed = await this.#upload(file);
      signal.throwIfAborted();
      this.#progress?.flush();
      this.#end(completed);
    } catch (thrown) {
      const error: unknown = signal.aborted ? signal.reason : thrown;
      if (!(error instanceof Dropped)) this.#end(this.#failed(error));
    } finally {
      this.#progress?.close();
      this.#prepared = null;
    }
  }

  async #prepare(file: OpenedFile, hasher: FileHasher): Promise<void> {
    const { link, timings } = this.#tools;
    const about = { upload_id: this.uploadId, attempt: this.attempt };
    const prepared = await prepareFile(file, this.#request, {
      tools: this.#tools,
      hasher,
      ask: (parts) => {
        const asked = link.send({ status: 'parts_ready', ...about, parts });
        if (asked)
          this.#log.debug({ parts: parts.map(({ part_number: number }) => number) }, 'asked for URLs');
        return asked;
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
    // It asks for its URLs itself, as it finds what is missing.
    if (prepared.resumed) this.#started.resolve();
  }

  /** A prepared upload that nobody starts holds a file open and a place in the agent's limit: it is let go. */
  async #untilStarted(): Promise<void> {
    const { signal } = this.#stop;
    const letGo = () => {
      this.#log.warn('let go: it was prepared, but not started in time');
      this.#fail(new Dropped());
    };
    const timer = setTimeout(letGo, Math.min(this.#request.expires_in_ms, MAX_TIMER_MS));
    try {
      await abortable(this.#started.promise, signal);
    } finally {
      clearTimeout(timer);
    }
  }

  async #upload(file: OpenedFile): Promise<FinalInput> {
    const { now } = this.#tools;
    const prepared = this.#prepared;
    if (prepared === null) throw new Error('started before it was prepared');
    const startedAt = now();
    this.#startedAt = startedAt;
    this.#log.info('uploading');
    await uploadParts(prepared, {
      tools: this.#tools,
      onRetry: () => {
        this.#retries += 1;
      },
      stall: new StallReport({
        link: this.#tools.link,
        afterMs: this.#tools.timings.stallReportMs,
        now,
        log: this.#log,
        line: this.#tools.line,
        maxRate: () => this.#tools.rateLimit?.bytesPerSecond ?? null,
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
    const { hashers } = this.#tools;
    const sha256 = prepared.sha256 ? await prepared.hasher.digest() : null;
    // Its thread can be used again: a second one would take as much memory again.
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
      this.#log.warn({ error: final.error, reason: final.message }, 'failed');
    }
    this.#sayFinal(final);
  }

  #sayFinal(final: FinalInput): void {
    this.#finalSent = this.#tools.link.send(final);
  }

  #failed(error: unknown): FinalInput {
    const known = error instanceof BackhaulError;
    if (!known) this.#log.error({ error }, 'unexpected fault in a transfer');
    // What a store answered, or where a name led to: for the machine's owner, not for the server.
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

  #sayResumed(): void {
    if (this.#resumed !== null) this.#tools.link.send(this.#resumed);
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

/** The tools of an upload with limits of its own, which can only lower those of the owner. */
function limited(tools: TransferTools, limits: UploadLimits | undefined): TransferTools {
  if (limits === undefined) return tools;
  const { rateLimit, settings, now } = tools;
  const { max_rate: maxRate, parallel_parts: parallelParts = Infinity } = limits;
  return {
    ...tools,
    rateLimit: maxRate === undefined ? rateLimit : new RateLimit(maxRate, { now, within: rateLimit }),
    settings: {
      ...settings,
      parallelParts: Math.min(settings.parallelParts, parallelParts),
      ownRate: maxRate,
    },
  };
}
