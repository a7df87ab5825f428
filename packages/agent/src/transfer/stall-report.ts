import type { AgentMessageInput } from '@backhaul/protocol';
import type { Link } from '../connection/server-link.ts';
import type { Log } from '../log.ts';
import { seconds } from '../waits.ts';
import type { PartParallelism } from './part-parallelism.ts';
import type { Setback } from './send-part.ts';

export type StalledInput = Extract<AgentMessageInput, { status: 'stalled' }>;

interface StallReportDeps {
  readonly link: Pick<Link, 'send'>;
  /** Time without a stored part before a report, and between two reports. */
  readonly afterMs: number;
  readonly now: () => number;
  readonly message: (reason: string, retryInMs: number) => StalledInput;
  readonly parallelism: Pick<PartParallelism, 'breaksEveryMs' | 'bytesPerSecond' | 'partBytes' | 'limit'>;
  /** Rate limit of the owner or the server in bytes per second; null for no limit. */
  readonly maxRate: () => number | null;
  /** Receives the details of each report, which the server does not get. */
  readonly log: Pick<Log, 'warn'>;
}

/** Reports to the server why a transfer stalls; without it, a stall would look like a slow network. */
export class StallReport {
  readonly #deps: StallReportDeps;
  #quietUntil: number;
  #last: (Pick<Setback, 'reason' | 'detail'> & { readonly retryAt: number }) | null = null;

  constructor(deps: StallReportDeps) {
    this.#deps = deps;
    this.#quietUntil = deps.now() + deps.afterMs;
  }

  setback({ reason, detail, broke, retryInMs }: Setback): void {
    const { parallelism, maxRate } = this.#deps;
    const advice = broke ? networkAdvice(parallelism, maxRate()) : null;
    this.#last = {
      reason: advice === null ? reason : `${reason} ${advice}`,
      detail,
      retryAt: this.#deps.now() + retryInMs,
    };
  }

  /** Records that a part was stored. */
  progress(): void {
    this.#last = null;
    this.#quietUntil = this.#deps.now() + this.#deps.afterMs;
  }

  /** Sends a report if there is anything new. Call it frequently. */
  report(): void {
    const { link, afterMs, now, message, log } = this.#deps;
    if (this.#last === null || now() < this.#quietUntil) return;
    const { reason, detail, retryAt } = this.#last;
    if (!link.send(message(reason.slice(0, 500), Math.max(0, Math.round(retryAt - now()))))) return;
    log.warn({ reason, detail }, 'no part stored for a while');
    this.#last = null;
    this.#quietUntil = now() + afterMs;
  }
}

/** Explains the effect of connection losses on parts and what to do; null without connection losses. */
function networkAdvice(
  { breaksEveryMs, bytesPerSecond, partBytes, limit }: StallReportDeps['parallelism'],
  maxRate: number | null,
): string | null {
  if (breaksEveryMs === null) return null;
  const part = `a part of ${Math.round(partBytes / 2 ** 20)} MiB`;
  const losses = `The connection is lost or stalls about every ${seconds(breaksEveryMs)}`;
  const cause = 'find out what closes connections so early, such as a proxy with a time limit';
  if (bytesPerSecond === null) return `${losses}, before ${part} is sent: ${cause}.`;
  const partMs = (partBytes / bytesPerSecond) * 1000;
  const takes = `${part} takes ${seconds(partMs)} at ${Math.round(bytesPerSecond / 1000)} kB/s`;
  if (partMs < breaksEveryMs) {
    return `${losses}, and ${takes}: ${limit === 1 ? 'parts are sent one by one' : `at most ${limit} parts are sent at the same time`}.`;
  }
  // Stores refuse to complete an upload with smaller parts.
  const slowedDown = maxRate !== null && maxRate < bytesPerSecond * 1.25;
  const raise = slowedDown ? `raise the limit of ${maxRate} bytes per second, or ` : '';
  return `${losses}, but ${takes}, and object stores accept no smaller parts: ${raise}${cause}.`;
}
