import type { UploadRecord } from '@backhaul/protocol';
import {
  bytesDone,
  describeFetching,
  describePhase,
  describeTransfer,
  type Fetching,
} from './describe-pull.ts';
import type { PullView } from './pull-view.ts';
import { RateMeter } from './rate-meter.ts';

const LINE_INTERVAL_MS = 1000;

/** Plain lines for logs and pipes: one when the phase changes, else at most one a second. */
export class LinesView implements PullView {
  readonly #line: (text: string) => void;
  readonly #now: () => number;
  #meter = new RateMeter();
  #phase: string | undefined;
  #lastAt = Number.NEGATIVE_INFINITY;

  constructor(line: (text: string) => void, now: () => number) {
    this.#line = line;
    this.#now = now;
  }

  show(record: UploadRecord): void {
    const now = this.#now();
    this.#meter.add(bytesDone(record), now);
    const phase = describePhase(record, now);
    const { status, attempt, stalled_since, stalled_reason } = record;
    this.#say(
      // Without how long yet: that passes by itself.
      [status, attempt, stalled_since, stalled_reason].join(' '),
      () => phase ?? `uploading: ${describeTransfer(record, this.#meter, now)}`,
    );
  }

  showSaving(done: number, total: number): void {
    this.#showFetching({ purpose: 'saving', done, total });
  }

  showChecking(done: number, total: number): void {
    this.#showFetching({ purpose: 'checking', done, total });
  }

  notice(text: string): void {
    this.#line(text);
  }

  close(): void {
    // Each line is finished as it is written.
  }

  #showFetching(fetching: Fetching): void {
    const now = this.#now();
    if (this.#phase !== fetching.purpose) this.#meter = new RateMeter();
    this.#meter.add(fetching.done, now);
    this.#say(fetching.purpose, () => describeFetching(fetching, this.#meter, now));
  }

  #say(phase: string, text: () => string): void {
    const now = this.#now();
    if (phase === this.#phase && now - this.#lastAt < LINE_INTERVAL_MS) return;
    this.#phase = phase;
    this.#lastAt = now;
    this.#line(text());
  }
}
