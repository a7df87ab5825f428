import type { UploadRecord } from '@backhaul/protocol';
import type { Terminal } from '../output.ts';
import {
  bytesDone,
  describeFetching,
  describePhase,
  describeTransfer,
  type FetchProgress,
  fraction,
} from './describe-progress.ts';
import type { ProgressView } from './progress-view.ts';
import { RateMeter } from './rate-meter.ts';

const REDRAW_MS = 250;
const BAR_CELLS = 24;
/** In a narrow terminal the bar shrinks in favour of the text, which ends with the remaining time. */
const MIN_BAR_CELLS = 8;
const ERASE_LINE = '\r\u001b[K';

type Shown =
  | { readonly kind: 'upload'; readonly record: UploadRecord }
  | ({ readonly kind: 'fetching' } & FetchProgress);

/** Progress as one line that is redrawn on a terminal. */
export class BarView implements ProgressView {
  readonly #terminal: Terminal;
  readonly #now: () => number;
  readonly #timer: ReturnType<typeof setInterval>;
  #meter = new RateMeter();
  #shown: Shown | undefined;
  #drawn = false;

  constructor(terminal: Terminal, now: () => number) {
    this.#terminal = terminal;
    this.#now = now;
    // Also redrawn by timer: rate and ETA change even without events.
    this.#timer = setInterval(() => this.#draw(), REDRAW_MS);
  }

  show(record: UploadRecord): void {
    this.#meter.add(bytesDone(record), this.#now());
    const changed = this.#shown?.kind !== 'upload' || this.#shown.record.status !== record.status;
    this.#shown = { kind: 'upload', record };
    if (changed) this.#draw();
  }

  showSaving(done: number, total: number): void {
    this.#showFetching({ purpose: 'saving', done, total });
  }

  showChecking(done: number, total: number): void {
    this.#showFetching({ purpose: 'checking', done, total });
  }

  notice(text: string): void {
    this.#erase();
    this.#terminal.write(`${text}\n`);
    this.#draw();
  }

  close(): void {
    clearInterval(this.#timer);
    this.#erase();
    this.#shown = undefined;
  }

  #showFetching(fetching: FetchProgress): void {
    if (this.#shown?.kind !== 'fetching') this.#meter = new RateMeter();
    this.#meter.add(fetching.done, this.#now());
    this.#shown = { kind: 'fetching', ...fetching };
  }

  #draw(): void {
    if (this.#shown === undefined) return;
    // A pseudo-terminal whose size was never set reports 0.
    const columns = this.#terminal.columns || 80;
    const width = Math.max(20, columns - 1);
    this.#terminal.write(`${ERASE_LINE}${this.#line(this.#shown, width).slice(0, width)}`);
    this.#drawn = true;
  }

  #erase(): void {
    if (this.#drawn) this.#terminal.write(ERASE_LINE);
    this.#drawn = false;
  }

  #line(shown: Shown, width: number): string {
    const now = this.#now();
    if (shown.kind === 'fetching') {
      return withBar(fraction(shown.done, shown.total), describeFetching(shown, this.#meter, now), width);
    }
    const { record } = shown;
    const phase = describePhase(record, now);
    if (record.size === null) return phase ?? describeTransfer(record, this.#meter, now);
    const text = phase ?? describeTransfer(record, this.#meter, now);
    return withBar(fraction(bytesDone(record), record.size), text, width);
  }
}

function withBar(done: number, text: string, width: number): string {
  const cells = Math.max(MIN_BAR_CELLS, Math.min(BAR_CELLS, width - text.length - '[] '.length));
  const full = Math.floor(done * cells);
  return `[${'█'.repeat(full)}${'░'.repeat(cells - full)}] ${text}`;
}
