import type { AgentMessageInput } from '@backhaul/protocol';
import type { Link } from '../connection/link.ts';
import type { Log } from '../log.ts';
import type { PartParallelism } from './part-parallelism.ts';
import type { Setback } from './send-part.ts';

export type StalledInput = Extract<AgentMessageInput, { status: 'stalled' }>;

interface StallReportOptions {
  readonly link: Pick<Link, 'send'>;
  /** Without a stored part for this long it is worth telling; also the time between two reports. */
  readonly afterMs: number;
  readonly now: () => number;
  readonly message: (reason: string, retryInMs: number) => StalledInput;
  readonly line: Pick<PartParallelism, 'breaksEveryMs' | 'bytesPerSecond' | 'partBytes' | 'limit'>;
  /** Bytes per second that the owner or the server allows; null for as fast as it goes. */
  readonly maxRate: () => number | null;
  /** What the server is not told goes into the agent's own log, as often as the server is told anything. */
  readonly log: Pick<Log, 'warn'>;
}

/** Tells the server why nothing moves, so that people see it; silence would look like a slow line. */
export class StallReport {
  readonly #options: StallReportOptions;
  #quietUntil: number;
  #last: (Pick<Setback, 'reason' | 'detail'> & { readonly retryAt: number }) | null = null;

  constructor(options: StallReportOptions) {
    this.#options = options;
    this.#quietUntil = options.now() + options.afterMs;
  }

  setback({ reason, detail, broke, retryInMs }: Setback): void {
    const { line, maxRate } = this.#options;
    const advice = broke ? lineAdvice(line, maxRate()) : null;
    this.#last = {
      reason: advice === null ? reason : `${reason} ${advice}`,
      detail,
      retryAt: this.#options.now() + retryInMs,
    };
  }

  /** A part was stored. */
  progress(): void {
    this.#last = null;
    this.#quietUntil = this.#options.now() + this.#options.afterMs;
  }

  /** To be called often; says something only if there is something new. */
  report(): void {
    const { link, afterMs, now, message, log } = this.#options;
    if (this.#last === null || now() < this.#quietUntil) return;
    const { reason, detail, retryAt } = this.#last;
    if (!link.send(message(reason.slice(0, 500), Math.max(0, Math.round(retryAt - now()))))) return;
    log.warn({ reason, detail }, 'no part could be stored for a while');
    this.#last = null;
    this.#quietUntil = now() + afterMs;
  }
}

/** What a line that breaks means for parts, and what people can do about it; null for one that has not broken. */
function lineAdvice(
  { breaksEveryMs, bytesPerSecond, partBytes, limit }: StallReportOptions['line'],
  maxRate: number | null,
): string | null {
  if (breaksEveryMs === null) return null;
  const part = `a part of ${Math.round(partBytes / 2 ** 20)} MiB`;
  const line = `The line breaks or falls silent about every ${seconds(breaksEveryMs)}`;
  const cause = 'find out what ends connections so soon, such as a proxy with a time limit';
  if (bytesPerSecond === null) return `${line}, before ${part} is over: ${cause}.`;
  const partMs = (partBytes / bytesPerSecond) * 1000;
  const takes = `${part} takes ${seconds(partMs)} at ${Math.round(bytesPerSecond / 1000)} kB/s`;
  if (partMs < breaksEveryMs) {
    return `${line}, and ${takes}: ${limit === 1 ? 'they are sent one by one' : `at most ${limit} are sent at once`}.`;
  }
  // The store would refuse to complete an upload with smaller ones.
  const slowedDown = maxRate !== null && maxRate < bytesPerSecond * 1.25;
  const raise = slowedDown ? `raise the limit of ${maxRate} bytes per second, or ` : '';
  return `${line}, but ${takes}, and object stores take no smaller ones: ${raise}${cause}.`;
}

function seconds(ms: number): string {
  return `${Math.max(1, Math.round(ms / 1000))} s`;
}
