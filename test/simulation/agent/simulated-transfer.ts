import {
  type AgentMessage,
  type ChangePolicy,
  type DownloadFile,
  type ErrorCode,
  type PartUrls,
  type PrepareUpload,
  planParts,
} from '@backhaul/protocol';
import type { PutResponse } from '../object-store/part-urls.ts';
import type { Coverage } from '../coverage.ts';
import type { InvariantChecker } from '../invariant-checker.ts';
import { OpenedFile } from './opened-file.ts';
import { type SimulatedFile, sizeBytesOf } from './simulated-file.ts';
import type { Puts } from './simulated-put.ts';
import { completedMessage, preparedMessage, resumedMessage } from './transfer-messages.ts';
import { type TransferPart, TransferParts } from './transfer-parts.ts';

/**
 * Number of parts announced ahead of their PUTs; fewer than the server grants, so that small files have several
 * windows.
 */
const WINDOW = 2;
const PUTS_AT_ONCE = 2;
const MAX_FAILURES = 4;
const MAX_DIGEST_FAILURES = 3;

export interface TransferEnv {
  /** @returns whether there is a socket to send it on. */
  readonly say: (message: AgentMessage) => boolean;
  readonly isConnected: () => boolean;
  /** Whether the process is still running. */
  readonly isAlive: () => boolean;
  readonly now: () => number;
  readonly puts: Puts;
  readonly coverage: Coverage;
  readonly checker: InvariantChecker;
}

type Final = Extract<AgentMessage, { status: 'completed' | 'failed' }>;

/** State of a transfer once the file is open. */
interface Opened {
  readonly uploadId: string;
  readonly attempt: number;
  readonly file: OpenedFile;
  readonly parts: TransferParts;
}

/** One attempt in one agent process, following docs/protocol.md. Slow work is done step by step. */
export class SimulatedTransfer {
  readonly uploadId: string;
  readonly attempt: number;
  readonly #request: PrepareUpload;
  readonly #policy: ChangePolicy;
  readonly #file: SimulatedFile;
  readonly #env: TransferEnv;
  #stage: 'new' | 'opened' | 'prepared' | 'sending' | 'over' = 'new';
  #opened: Opened | undefined;
  #final: Final | undefined;
  #preparedAt = 0;
  #retries = 0;

  constructor(request: PrepareUpload, file: SimulatedFile, env: TransferEnv) {
    this.uploadId = request.upload_id;
    this.attempt = request.attempt;
    this.#request = request;
    this.#policy = request.on_change ?? 'fail';
    this.#file = file;
    this.#env = env;
  }

  get isActive(): boolean {
    return this.#stage !== 'over';
  }

  /** Over, without a final message that could be repeated. */
  get isFinished(): boolean {
    return this.#stage === 'over' && this.#final === undefined;
  }

  /** Does one piece of work. @returns false if there is none. */
  step(): boolean {
    if (this.#stage === 'new') {
      this.#open();
      return true;
    }
    if (this.#opened === undefined) return false;
    if (this.#stage === 'opened') {
      this.#prepare(this.#opened);
      return true;
    }
    return this.#stage === 'sending' && this.#send(this.#opened);
  }

  /** Called after a reconnect, or when the server asks again. */
  repeat(): void {
    const opened = this.#stage === 'opened' ? undefined : this.#opened;
    // It may never have arrived, and without it the server ignores the final message.
    if (opened !== undefined && this.#isResumed) this.#env.say(resumedMessage(opened));
    if (this.#final !== undefined) this.#env.say(this.#final);
    else if (opened !== undefined && !this.#isResumed) this.#env.say(preparedMessage(opened, WINDOW));
  }

  /** The server decided after a reconnect to continue. */
  continueTransfer(): void {
    if (this.#stage !== 'sending' || this.#opened === undefined) return this.repeat();
    if (this.#isResumed) this.#env.say(resumedMessage(this.#opened));
    this.#opened.parts.resetReports();
  }

  start(message: DownloadFile): void {
    if (this.#final !== undefined) return this.repeat();
    if (this.#stage !== 'prepared' && this.#stage !== 'sending') return;
    this.#stage = 'sending';
    this.takeUrls(message.upload_config);
  }

  takeUrls(window: Pick<PartUrls, 'presigned_urls' | 'expires_in_ms'>): void {
    const staleAt = this.#env.now() + window.expires_in_ms;
    for (const { part_number: number, url } of window.presigned_urls) {
      this.#opened?.parts.giveUrl(number, { url, staleAt });
    }
  }

  /** A prepared upload that the server does not start is dropped. */
  timePassed(): void {
    const isOverdue = this.#env.now() - this.#preparedAt >= this.#request.expires_in_ms;
    if (this.#stage === 'prepared' && isOverdue) this.drop();
  }

  drop(): void {
    this.#stage = 'over';
  }

  get #isResumed(): boolean {
    return this.#request.resume !== undefined;
  }

  #open(): void {
    const { resume, plan } = this.#request;
    const file = new OpenedFile(this.#file, this.#policy);
    const sizeBytes = resume?.size ?? sizeBytesOf(file.version.content);
    const rule = { minChunkSize: plan.min_chunk_size, maxParts: plan.max_parts };
    const stored = new Map(resume?.kept_parts.map(({ part_number, crc32 }) => [part_number, crc32]));
    const parts = new TransferParts(planParts(sizeBytes, rule), stored);
    this.#opened = { uploadId: this.uploadId, attempt: this.attempt, file, parts };
    if (resume === undefined) {
      this.#stage = 'opened';
    } else if (file.differsFrom(resume.fingerprint)) {
      this.#fileChanged('it is not the version that the upload started with');
    } else {
      if (stored.size > 0) this.#env.coverage.count('resumed with stored parts');
      this.#stage = 'sending';
      this.repeat();
    }
  }

  #prepare(opened: Opened): void {
    while (opened.parts.ahead < WINDOW && this.#readNext(opened));
    if (this.#stage !== 'opened') return;
    this.#stage = 'prepared';
    this.#preparedAt = this.#env.now();
    this.repeat();
  }

  #send(opened: Opened): boolean {
    const { parts } = opened;
    const { say, isConnected, now } = this.#env;
    parts.dropStaleUrls(now());
    const ready = parts.next('ready');
    if (ready !== undefined && parts.count('sending') < PUTS_AT_ONCE) {
      this.#put(opened, ready);
      return true;
    }
    if (parts.ahead < WINDOW && parts.next('unread') !== undefined) {
      this.#readNext(opened);
      return true;
    }
    if (isConnected()) {
      const wanting = parts.urlsToRequest(now());
      if (wanting.length > 0) return say({ status: 'parts_ready', ...this.#about, parts: wanting });
      const news = parts.toReport();
      const retries = this.#retries;
      if (news.length > 0) return say({ status: 'part_uploaded', ...this.#about, parts: news, retries });
    }
    if (parts.isComplete) this.#finish(opened);
    return parts.isComplete;
  }

  #put({ file, parts }: Opened, part: TransferPart): void {
    if (!this.#isUnchanged(file) || part.url === null) return;
    part.state = 'sending';
    this.#env.checker.onPut(this, part.number);
    this.#env.puts.begin({
      url: part.url.url,
      read: () => file.read(parts.plan, part.number),
      isListening: () => this.#stage !== 'over' && this.#env.isAlive(),
      onResponse: (response) => this.#onPutResponse(part, response),
    });
  }

  #onPutResponse(part: TransferPart, response: PutResponse): void {
    switch (response.status) {
      case 'stored':
        part.state = 'uploaded';
        part.etag = response.etag;
        return;
      case 'expired':
        part.state = 'waiting';
        part.requestedAt = null;
        return;
      case 'missing':
        return this.#fail('upload_gone', 'The store no longer has the multipart upload.');
      case 'bad_digest':
        return this.#digestRefused(part);
      case 'unavailable':
        return this.#putFailed(part);
    }
    response satisfies never;
  }

  #digestRefused(part: TransferPart): void {
    const { file, parts } = this.#opened ?? {};
    if (parts === undefined || file?.hash(parts.plan, part.number) !== part.crc32) {
      return this.#fileChanged('its content changed');
    }
    part.digestFailures += 1;
    part.state = 'ready';
    if (part.digestFailures === MAX_DIGEST_FAILURES) {
      this.#fail('checksum_mismatch', `Part ${part.number} was refused for its checksum.`);
    }
  }

  #putFailed(part: TransferPart): void {
    part.failures += 1;
    this.#retries += 1;
    part.state = 'ready';
    if (part.failures >= MAX_FAILURES && this.#env.isConnected()) {
      return this.#fail('storage_unavailable', `Part ${part.number} failed ${part.failures} times.`);
    }
    if (part.failures !== 2) return;
    const reason = 'The store does not respond.';
    this.#env.say({ status: 'stalled', ...this.#about, reason, retry_in_ms: 5000 });
  }

  /** The bytes of a stored part must equal those that the store has; other parts are announced. */
  #readNext({ file, parts }: Opened): boolean {
    const part = parts.next('unread');
    if (part === undefined) return false;
    const crc32 = file.hash(parts.plan, part.number);
    if (!this.#isUnchanged(file)) return false;
    if (part.stored !== null && part.stored !== crc32) {
      this.#env.coverage.count('stored parts found changed by the process');
      this.#fileChanged('its content changed');
      return false;
    }
    part.crc32 = crc32;
    part.state = part.stored === null ? 'waiting' : 'stored';
    return true;
  }

  /**
   * Once the ctime has moved only the bytes are proof; with `prefix` also once the file has grown, which moves the
   * ctime too.
   */
  #finish(opened: Opened): void {
    const { file, parts } = opened;
    if (!this.#isUnchanged(file)) return;
    if (file.hasCtimeMoved) {
      if (parts.all.some(({ number, crc32 }) => file.hash(parts.plan, number) !== crc32)) {
        return this.#fileChanged('its content changed');
      }
      this.#env.coverage.count('completed despite a moved ctime');
      if (file.hasGrown) this.#env.coverage.count('completed by prefix after the file had grown');
    }
    this.#end(completedMessage(opened, { isResumed: this.#isResumed }));
  }

  #isUnchanged(file: OpenedFile): boolean {
    if (!file.differsFrom(file.fingerprint)) return true;
    this.#fileChanged('it is no longer the version that was opened');
    return false;
  }

  #fileChanged(how: string): void {
    this.#env.coverage.count('agent found its file changed');
    this.#fail('file_changed', `The file changed: ${how}.`);
  }

  #fail(error: ErrorCode, message: string): void {
    this.#end({ status: 'failed', ...this.#about, error, message });
  }

  #end(final: Final): void {
    this.#stage = 'over';
    this.#final = final;
    this.#env.say(final);
  }

  get #about() {
    return { upload_id: this.uploadId, attempt: this.attempt };
  }
}
