import type { Socket } from 'node:net';
import { queueKey, type SendQueues } from '../platform/platform.ts';
import type { PartParallelism, PutSlot } from './part-parallelism.ts';
import type { PutExchange } from './put-exchange.ts';

/**
 * Timeout for the store's response after the kernel has taken the last byte of a part. On a slow network that byte may be
 * in transit for minutes, but a dead peer must be detected within one. So the timeout starts short, and each missing
 * response doubles it for later PUTs. Responses shorten it again, so that a dead peer does not slow down the detection of
 * the next one.
 */
export class ResponseTimeout {
  readonly #firstMs: number;
  readonly #maxMs: number;
  #ms: number;

  constructor({ firstMs, maxMs }: { readonly firstMs: number; readonly maxMs: number }) {
    this.#firstMs = firstMs;
    this.#ms = firstMs;
    this.#maxMs = maxMs;
  }

  get ms(): number {
    return this.#ms;
  }

  /** Doubles the timeout. @param waitedMs The expired timeout; several PUTs that expire together count once. */
  increase(waitedMs: number): void {
    this.#ms = Math.max(this.#ms, Math.min(this.#maxMs, waitedMs * 2));
  }

  /** Halves the timeout after a response, but to no less than twice the response time. */
  observe(tookMs: number): void {
    this.#ms = Math.min(this.#maxMs, Math.max(this.#firstMs, this.#ms / 2, tookMs * 2));
  }
}

const CHECK_MS = 1000;
/** PUTs are not checked before this age; most have ended by then. */
const YOUNG_MS = 4000;

export interface SilenceWatchDeps {
  readonly exchange: PutExchange;
  readonly put: PutSlot;
  readonly parallelism: Pick<PartParallelism, 'hasFallenSilent' | 'heldBack'>;
  /** Number of earlier PUTs of the part. */
  readonly tries: number;
  readonly sendQueues: () => Promise<SendQueues>;
  readonly now: () => number;
}

/**
 * Checks once a second how many bytes of a PUT the peer has acknowledged. While that number grows, the timeouts of the
 * exchange are restarted, even if the kernel has taken no byte for long on a slow network. A connection that stays silent
 * while others make progress is aborted long before those timeouts.
 */
export class SilenceWatch implements Disposable {
  readonly #deps: SilenceWatchDeps;
  readonly #timer: NodeJS.Timeout;
  readonly #startedAt: number;
  #acknowledged = -1;
  #silentSince: number;
  #isChecking = false;
  #isDisposed = false;

  constructor(deps: SilenceWatchDeps) {
    this.#deps = deps;
    this.#startedAt = deps.now();
    this.#silentSince = this.#startedAt;
    this.#timer = setInterval(() => void this.#check(), CHECK_MS);
  }

  [Symbol.dispose](): void {
    this.#isDisposed = true;
    clearInterval(this.#timer);
  }

  async #check(): Promise<void> {
    const { exchange, put, now, parallelism, tries, sendQueues } = this.#deps;
    if (this.#isChecking || now() - this.#startedAt < YOUNG_MS) return;
    const { socket } = exchange;
    this.#isChecking = true;
    // Read before the queues, so that bytes written meanwhile do not count as acknowledged.
    const written = socket === null ? -1 : socket.bytesWritten - socket.writableLength;
    const queues = socket === null ? null : await sendQueues();
    this.#isChecking = false;
    if (this.#isDisposed) return;
    const queued = socket === null ? null : (queues?.get(keyOf(socket)) ?? null);
    const acknowledged = written - (queued ?? 0);
    // A PUT held back by a rate limit is silent only if sent bytes are unacknowledged.
    const hasNothingToSend = exchange.heldBack !== null && (queued ?? 0) === 0;
    parallelism.heldBack(put, hasNothingToSend && exchange.heldBack === 'by_its_own');
    if (acknowledged > this.#acknowledged || hasNothingToSend) {
      this.#acknowledged = Math.max(acknowledged, this.#acknowledged);
      this.#silentSince = now();
      exchange.restartTimeouts();
    } else if (
      parallelism.hasFallenSilent(put, { silentSince: this.#silentSince, tries, queued: (queued ?? 0) > 0 })
    ) {
      exchange.timeOut({ alone: true });
    }
  }
}

function keyOf({ localPort = 0, remotePort = 0 }: Socket): string {
  return queueKey(localPort, remotePort);
}
