import type { UploadRecord } from '@backhaul/protocol';
import type { Context } from '../command.ts';
import type { Output, Terminal } from '../output.ts';
import {
  bytesDone,
  describeFetching,
  describePhase,
  describeTransfer,
  type FetchProgress,
  fraction,
} from './describe-progress.ts';
import { RateMeter } from './rate-meter.ts';

/** Shows the progress of an upload and of the download that follows it. */
export interface ProgressView {
  /** Shows a changed record of the upload. */
  show(record: UploadRecord): void;
  /** Shows how much of the finished object has been downloaded. */
  showFetching(progress: FetchProgress): void;
  /** Shows a message that is not part of the record, such as a lost connection. */
  notice(text: string): void;
  /** Restores the terminal. Idempotent. */
  close(): void;
}

/**
 * Returns the view for this output: JSON lines with `--json`, a bar on a terminal, plain lines otherwise.
 *
 * @param onStderr Show progress on standard error, because standard output receives the file.
 */
export function openView({ config, output, now }: Context, onStderr: boolean): ProgressView {
  if (output.json) return jsonView(output);
  const terminal = onStderr ? output.stderr : output.stdout;
  if (terminal.isTTY === true && config.redraw) return new BarView(terminal, now);
  return new LinesView((text) => terminal.write(`${text}\n`), now);
}

/** Prints each version of the record as one line of JSON and nothing else: the last line is the final record. */
function jsonView(output: Output): ProgressView {
  let version = 0;
  const printNothing = (): void => undefined;
  return {
    show(record) {
      // Bytes in flight change without a new version; they are shown only to people.
      if (record.version === version) return;
      version = record.version;
      output.value(record);
    },
    showFetching: printNothing,
    notice: printNothing,
    close: printNothing,
  };
}

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

  showFetching(fetching: FetchProgress): void {
    const now = this.#now();
    if (this.#phase !== fetching.purpose) this.#meter = new RateMeter();
    this.#meter.add(fetching.done, now);
    this.#say(fetching.purpose, () => describeFetching(fetching, this.#meter, now));
  }

  notice(text: string): void {
    this.#line(text);
  }

  close(): void {
    // Nothing to finish: every line is complete when written.
  }

  #say(phase: string, text: () => string): void {
    const now = this.#now();
    if (phase === this.#phase && now - this.#lastAt < LINE_INTERVAL_MS) return;
    this.#phase = phase;
    this.#lastAt = now;
    this.#line(text());
  }
}

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

  showFetching(fetching: FetchProgress): void {
    if (this.#shown?.kind !== 'fetching') this.#meter = new RateMeter();
    this.#meter.add(fetching.done, this.#now());
    this.#shown = { kind: 'fetching', ...fetching };
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
