import {
  BackhaulError,
  type CancelUpload,
  type DownloadFile,
  type PartUrls,
  type PrepareUpload,
  type Welcome,
} from '@backhaul/protocol';
import { Transfer } from './transfer.ts';
import type { TransferDeps } from './transfer-deps.ts';

interface TransfersDeps {
  readonly deps: TransferDeps;
  /** Maximum number of active transfers. */
  readonly maxActive: number;
}

interface Entry {
  readonly transfer: Transfer;
  /** Cancelled by the server; remembered for a while, so that a late copy of its messages does not restart it. */
  cancelled: boolean;
}

/** Maximum number of uploads in `hello`. */
const MAX_REMEMBERED = 64;

/** All transfers of this process by upload: the running ones, and recently ended ones. */
export class Transfers {
  readonly #deps: TransferDeps;
  readonly #maxActive: number;
  readonly #entries = new Map<string, Entry>();
  readonly #forgetTimers = new Map<Transfer, NodeJS.Timeout>();
  #closed = false;
  #progress: NodeJS.Timeout | null = null;
  #isMeasuring = false;

  constructor({ deps, maxActive }: TransfersDeps) {
    this.#deps = deps;
    this.#maxActive = maxActive;
  }

  get activeCount(): number {
    return [...this.#entries.values()].filter(({ transfer }) => transfer.isActive).length;
  }

  /** For `hello`: running uploads, then recently ended ones whose final message may not have arrived. */
  running(): Array<{ upload_id: string; attempt: number }> {
    const known = [...this.#entries.values()].filter(({ cancelled }) => !cancelled).toReversed();
    return [
      ...known.filter(({ transfer }) => transfer.isActive),
      ...known.filter(({ transfer }) => !transfer.isActive),
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
    const replaced = this.#entries.get(request.upload_id)?.transfer.cancel() ?? Promise.resolve();
    if (this.#closed || this.activeCount >= this.#maxActive) {
      this.#refuse(
        request,
        new BackhaulError(
          'agent_busy',
          `The agent runs at most ${this.#maxActive} uploads at the same time (--max-uploads).`,
        ),
      );
      return;
    }
    // Deleted first, because a map keeps the position of a replaced entry, and the order of entries is their age.
    this.#entries.delete(request.upload_id);
    const transfer = new Transfer(request, this.#deps, replaced);
    this.#entries.set(request.upload_id, { transfer, cancelled: false });
    void transfer.ended.then(() => this.#remember(transfer));
  }

  download(message: DownloadFile): void {
    const { upload_id: uploadId, attempt } = message.upload_config;
    const known = this.#find(uploadId);
    if (known === undefined) {
      // Nothing was sent: the server has to plan again, with a new fingerprint.
      const reason =
        'This agent has not prepared the upload: it was restarted since, or the upload was not started in time.';
      this.#refuse({ upload_id: uploadId, attempt }, new BackhaulError('agent_fault', reason));
    } else if (attempt === known.transfer.attempt && !known.cancelled) {
      known.transfer.download(message);
    }
  }

  addUrls(message: PartUrls): void {
    this.#current(message)?.addUrls(message);
  }

  /** Fails an attempt, known or not, because a message of the server about it is invalid. */
  fail(about: { upload_id: string; attempt: number }, error: BackhaulError): void {
    const known = this.#find(about.upload_id);
    if (known !== undefined && about.attempt <= known.transfer.attempt) return this.endRefused(about, error);
    void known?.transfer.cancel();
    this.#refuse(about, error);
  }

  /** Ends this attempt as failed if it is running. */
  endRefused(about: { upload_id: string; attempt: number }, error: BackhaulError): void {
    this.#current(about)?.fail(error);
  }

  async cancel(message: CancelUpload): Promise<void> {
    const transfer = this.#current(message);
    const entry = this.#entries.get(message.upload_id);
    if (transfer === null || entry === undefined) return;
    entry.cancelled = true;
    await transfer.cancel();
  }

  /** @param intervalMs From `welcome`; undefined if the server does not want `progress`. */
  setProgressInterval(intervalMs: number | undefined): void {
    if (this.#progress !== null) clearInterval(this.#progress);
    this.#progress =
      intervalMs === undefined || this.#closed
        ? null
        : setInterval(() => void this.#sendProgress(), intervalMs).unref();
  }

  async applyDecisions(decisions: Welcome['uploads']): Promise<void> {
    const cancelled: Array<Promise<void>> = [];
    for (const decision of decisions) {
      const transfer = this.#current(decision);
      if (transfer === null) continue;
      if (decision.verdict === 'continue') {
        transfer.resume();
      } else {
        cancelled.push(transfer.cancel());
        // A stopping transfer is forgotten once it has closed its file; the next attempt waits for that.
        if (!transfer.isCancelled) this.#forget(transfer);
      }
    }
    await Promise.all(cancelled);
  }

  /** Stops all transfers and waits until all files are closed. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#entries.values()].map(({ transfer }) => transfer.cancel()));
    for (const timer of this.#forgetTimers.values()) clearTimeout(timer);
    this.#forgetTimers.clear();
    this.setProgressInterval(undefined);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #sendProgress(): Promise<void> {
    const { link, sendQueues, log } = this.#deps;
    if (this.#isMeasuring || !link.connected || link.congested) return;
    const sending = [...this.#entries.values()].flatMap(({ transfer }) => {
      const taken = transfer.takenBytes();
      return taken === null ? [] : [{ transfer, taken }];
    });
    if (sending.length === 0) return;
    this.#isMeasuring = true;
    try {
      const queues = await sendQueues();
      for (const { transfer, taken } of sending) transfer.sendProgress(taken, queues);
    } catch (error) {
      log.debug({ error }, 'failed to measure progress');
    } finally {
      this.#isMeasuring = false;
    }
  }

  /** Ignores a cancelled transfer, even while it is still closing its file, unless the server cancelled it. */
  #find(uploadId: string): Entry | undefined {
    const entry = this.#entries.get(uploadId);
    return entry !== undefined && entry.transfer.isCancelled && !entry.cancelled ? undefined : entry;
  }

  #current({ upload_id: uploadId, attempt }: { upload_id: string; attempt: number }): Transfer | null {
    const entry = this.#entries.get(uploadId);
    return entry !== undefined && entry.transfer.attempt === attempt && !entry.cancelled
      ? entry.transfer
      : null;
  }

  #refuse(about: { upload_id: string; attempt: number }, error: BackhaulError): void {
    const { upload_id, attempt } = about;
    this.#deps.log.warn({ upload_id, attempt, error: error.code }, 'upload refused');
    this.#deps.link.send({
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
    if (transfer.isCancelled && !entry.cancelled) return this.#forget(transfer);
    this.#forgetLater(entry);
    const over = [...this.#entries.values()]
      .filter(({ transfer }) => !transfer.isActive)
      .slice(0, -MAX_REMEMBERED);
    for (const { transfer } of over) this.#forget(transfer);
  }

  /** Forgets a transfer after a while, but not before its final message was sent on an open connection. */
  #forgetLater({ transfer }: Entry): void {
    const timer = setTimeout(() => {
      const entry = this.#entries.get(transfer.uploadId);
      const over = entry?.transfer !== transfer || entry.cancelled || transfer.finalSent;
      if (over) this.#forget(transfer);
      else this.#forgetLater(entry);
    }, this.#deps.timings.rememberMs);
    this.#forgetTimers.set(transfer, timer.unref());
  }

  #forget(transfer: Transfer): void {
    clearTimeout(this.#forgetTimers.get(transfer));
    this.#forgetTimers.delete(transfer);
    if (this.#entries.get(transfer.uploadId)?.transfer === transfer) this.#entries.delete(transfer.uploadId);
  }
}
