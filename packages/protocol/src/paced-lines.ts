/** Minimum interval between two lines. */
const INTERVAL_MS = 1000;

/**
 * Limits log lines that a peer can cause to one per second: shows the first at once, then the last of each second with
 * the number of suppressed lines before it.
 */
export class PacedLines<Line> {
  readonly #show: (line: Line, suppressed: number) => void;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #waiting: { readonly line: Line; readonly suppressed: number } | null = null;

  constructor(show: (line: Line, suppressed: number) => void) {
    this.#show = show;
  }

  /** Whether the next line would be shown at once. */
  get isIdle(): boolean {
    return this.#timer === null;
  }

  write(line: Line): void {
    if (this.#timer === null) {
      this.#show(line, 0);
      this.#wait();
    } else {
      this.#waiting = { line, suppressed: this.#waiting === null ? 0 : this.#waiting.suppressed + 1 };
    }
  }

  /** Shows the pending line and resets the interval. */
  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#flush();
  }

  #wait(): void {
    const timer = setTimeout(() => {
      this.#timer = null;
      if (this.#flush()) this.#wait();
    }, INTERVAL_MS);
    this.#timer = timer;
    // In a browser the timer is a number.
    if (typeof timer === 'object') timer.unref();
  }

  #flush(): boolean {
    const waiting = this.#waiting;
    this.#waiting = null;
    if (waiting === null) return false;
    this.#show(waiting.line, waiting.suppressed);
    return true;
  }
}
