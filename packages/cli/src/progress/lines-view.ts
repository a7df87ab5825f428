import type { UploadRecord } from '@backhaul/protocol';
import {
  bytesDone,
  describeFetching,
  describePhase,
  describeTransfer,
  type FetchProgress,
} from './describe-progress.ts';
import type { ProgressView } from './progress-view.ts';
import { RateMeter } from './rate-meter.ts';

const LINE_INTERVAL_MS = 1000;

/** Progress as plain lines for logs and pipes: one per change of phase, otherwise at most one per second. */
export class LinesView implements ProgressView {
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
      // Excludes the remaining time, which changes all the time.
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
    // Nothing to finish: every line is complete when written.
  }

  #showFetching(fetching: FetchProgress): void {
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
