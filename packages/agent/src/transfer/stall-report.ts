import type { AgentMessageInput } from '@backhaul/protocol';
import type { Link } from '../connection/link.ts';
import type { Setback } from './send-part.ts';

export type StalledInput = Extract<AgentMessageInput, { status: 'stalled' }>;

interface StallReportOptions {
  readonly link: Pick<Link, 'send'>;
  /** Without a stored part for this long it is worth telling; also the time between two reports. */
  readonly afterMs: number;
  readonly now: () => number;
  readonly message: (reason: string, retryInMs: number) => StalledInput;
}

/** Tells the server why nothing moves, so that people see it; silence would look like a slow line. */
export class StallReport {
  readonly #options: StallReportOptions;
  #quietUntil: number;
  #last: { readonly reason: string; readonly retryAt: number } | null = null;

  constructor(options: StallReportOptions) {
    this.#options = options;
    this.#quietUntil = options.now() + options.afterMs;
  }

  setback({ reason, retryInMs }: Setback): void {
    this.#last = { reason, retryAt: this.#options.now() + retryInMs };
  }

  /** A part was stored. */
  progress(): void {
    this.#last = null;
    this.#quietUntil = this.#options.now() + this.#options.afterMs;
  }

  /** To be called often; says something only if there is something new. */
  report(): void {
    const { link, afterMs, now, message } = this.#options;
    if (this.#last === null || now() < this.#quietUntil) return;
    const { reason, retryAt } = this.#last;
    if (!link.send(message(reason.slice(0, 500), Math.max(0, Math.round(retryAt - now()))))) return;
    this.#last = null;
    this.#quietUntil = now() + afterMs;
  }
}
