import {
  BackhaulError,
  type CancelUpload,
  type DownloadFile,
  type PartUrls,
  type PrepareUpload,
  type Welcome,
} from '@backhaul/protocol';
import { Transfer } from './transfer.ts';
import type { TransferTools } from './transfer-tools.ts';

interface TransfersOptions {
  readonly tools: TransferTools;
  /** Transfers at once. */
  readonly maxActive: number;
}

interface Entry {
  readonly transfer: Transfer;
  /** The server withdrew it; kept for a while, so that a late copy of its messages does not bring it back. */
  cancelled: boolean;
}

/** `hello` names at most so many. */
const MAX_REMEMBERED = 64;

/** All transfers of this process, by upload: the running ones, and for a while those that ended. */
export class Transfers {
  readonly #tools: TransferTools;
  readonly #maxActive: number;
  readonly #entries = new Map<string, Entry>();
  readonly #forgetting = new Map<Transfer, NodeJS.Timeout>();
  #closed = false;
  #progress: NodeJS.Timeout | null = null;
  #isMeasuring = false;

  constructor({ tools, maxActive }: TransfersOptions) {
    this.#tools = tools;
    this.#maxActive = maxActive;
  }

  get activeCount(): number {
    return [...this.#entries.values()].filter(({ transfer }) => transfer.active).length;
  }

  /** For `hello`: what runs, then what ended last and may not have been heard. */
  running(): Array<{ upload_id: string; attempt: number }> {
    const known = [...this.#entries.values()].filter(({ cancelled }) => !cancelled).toReversed();
    return [
      ...known.filter(({ transfer }) => transfer.active),
      ...known.filter(({ transfer }) => !transfer.active),
    ]
      .slice(0, MAX_REMEMBERED)
      .map(({ transfer }) => ({ upload_id: transfer.uploadId, attempt: transfer.attempt }));
  }

  prepare(request: PrepareUpload): void {
    const known = this.#find(request.upload_id);
    if (known !== undefined && request.attempt < known.transfer.attempt) return;
    if (known !== undefined && request.attempt === known.transfer.attempt) {
      if (!known.cancelled) known.transfer.repeat();
      return;
    }
    const replaced = this.#entries.get(request.upload_id)?.transfer.drop() ?? Promise.resolve();
    if (this.#closed || this.activeCount >= this.#maxActive) {
      this.#refuse(
        request,
        new BackhaulError(
          'agent_busy',
          `The agent runs ${this.#maxActive} uploads at once at most (--max-uploads).`,
        ),
      );
      return;
    }
    // Deleted first, because a map keeps a replaced entry at its old place, and age is read from the order.
    this.#entries.delete(request.upload_id);
    const transfer = new Transfer(request, this.#tools, replaced);
    this.#entries.set(request.upload_id, { transfer, cancelled: false });
    void transfer.ended.then(() => this.#remember(transfer));
  }

  download(message: DownloadFile): void {
    const { upload_id: uploadId, attempt } = message.upload_config;
    const known = this.#find(uploadId);
    if (known === undefined) {
      // Nothing was sent: the server can only plan anew, with a fresh fingerprint.
      const why =
        'This agent has not prepared the upload: it was restarted since, or the time to start ran out.';
      this.#refuse({ upload_id: uploadId, attempt }, new BackhaulError('agent_fault', why));
    } else if (attempt === known.transfer.attempt && !known.cancelled) {
      known.transfer.download(message);
    }
  }

  addUrls(message: PartUrls): void {
    this.#current(message)?.addUrls(message);
  }

  /** What the server said about this attempt cannot be read, so the attempt is over, known here or not. */
  fail(about: { upload_id: string; attempt: number }, error: BackhaulError): void {
    const known = this.#find(about.upload_id);
    if (known !== undefined && about.attempt <= known.transfer.attempt) return this.endRefused(about, error);
    void known?.transfer.drop();
    this.#refuse(about, error);
  }

  /** Ends this attempt as failed, if it runs. */
  endRefused(about: { upload_id: string; attempt: number }, error: BackhaulError): void {
    this.#current(about)?.fail(error);
  }

  async cancel(message: CancelUpload): Promise<void> {
    const transfer = this.#current(message);
    const entry = this.#entries.get(message.upload_id);
    if (transfer === null || entry === undefined) return;
    entry.cancelled = true;
    await transfer.drop();
  }

  /** @param intervalMs From `welcome`; undefined if the server wants no `progress`. */
  reportProgress(intervalMs: number | undefined): void {
    if (this.#progress !== null) clearInterval(this.#progress);
    this.#progress =
      intervalMs === undefined || this.#closed
        ? null
        : setInterval(() => void this.#sayProgress(), intervalMs).unref();
  }

  async applyVerdicts(verdicts: Welcome['uploads']): Promise<void> {
    const dropped: Array<Promise<void>> = [];
    for (const verdict of verdicts) {
      const transfer = this.#current(verdict);
      if (transfer === null) continue;
      if (verdict.verdict === 'continue') {
        transfer.resume();
      } else {
        dropped.push(transfer.drop());
        // One that is being stopped is forgotten when it has closed its file, and the next attempt waits for that.
        if (!transfer.gone) this.#forget(transfer);
      }
    }
    await Promise.all(dropped);
  }

  /** Stops everything, and waits until all files are closed. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#entries.values()].map(({ transfer }) => transfer.drop()));
    for (const timer of this.#forgetting.values()) clearTimeout(timer);
    this.#forgetting.clear();
    this.reportProgress(undefined);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #sayProgress(): Promise<void> {
    const { link, sendQueues, log } = this.#tools;
    if (this.#isMeasuring || !link.connected || link.congested) return;
    const sending = [...this.#entries.values()].flatMap(({ transfer }) => {
      const taken = transfer.takenBytes();
      return taken === null ? [] : [{ transfer, taken }];
    });
    if (sending.length === 0) return;
    this.#isMeasuring = true;
    try {
      const queues = await sendQueues();
      for (const { transfer, taken } of sending) transfer.sayProgress(taken, queues);
    } catch (error) {
      log.debug({ error }, 'progress not measured');
    } finally {
      this.#isMeasuring = false;
    }
  }

  /** One that was let go is as good as unknown, even while its file is still being closed. */
  #find(uploadId: string): Entry | undefined {
    const entry = this.#entries.get(uploadId);
    return entry !== undefined && entry.transfer.gone && !entry.cancelled ? undefined : entry;
  }

  #current({ upload_id: uploadId, attempt }: { upload_id: string; attempt: number }): Transfer | null {
    const entry = this.#entries.get(uploadId);
    return entry !== undefined && entry.transfer.attempt === attempt && !entry.cancelled
      ? entry.transfer
      : null;
  }

  #refuse(about: { upload_id: string; attempt: number }, error: BackhaulError): void {
    const { upload_id, attempt } = about;
    this.#tools.log.warn({ upload_id, attempt, error: error.code }, 'upload refused');
    this.#tools.link.send({
      status: 'failed',
      upload_id,
      attempt,
      error: error.code,
      message: error.message.slice(0, 2000),
    });
  }

  #remember(transfer: Transfer): void {
    const entry = this.#entries.get(transfer.uploadId);
    if (this.#closed || entry?.transfer !== transfer) return;
    if (transfer.gone && !entry.cancelled) return this.#forget(transfer);
    this.#forgetLater(entry);
    const over = [...this.#entries.values()]
      .filter(({ transfer }) => !transfer.active)
      .slice(0, -MAX_REMEMBERED);
    for (const { transfer } of over) this.#forget(transfer);
  }

  /** Not while no server is there: nobody can have heard the last message then. */
  #forgetLater({ transfer }: Entry): void {
    const timer = setTimeout(() => {
      const entry = this.#entries.get(transfer.uploadId);
      const over = entry?.transfer !== transfer || entry.cancelled || transfer.said;
      if (over) this.#forget(transfer);
      else this.#forgetLater(entry);
    }, this.#tools.timings.rememberMs);
    this.#forgetting.set(transfer, timer.unref());
  }

  #forget(transfer: Transfer): void {
    clearTimeout(this.#forgetting.get(transfer));
    this.#forgetting.delete(transfer);
    if (this.#entries.get(transfer.uploadId)?.transfer === transfer) this.#entries.delete(transfer.uploadId);
  }
}
