/** Between two lines. */
const INTERVAL_MS = 1000;

/**
 * Lets one line through each second, for lines that a peer can cause at will: the first at once, then the last of each
 * second, with how many were left out before it.
 */
export class PacedLines<Line> {
  readonly #show: (line: Line, suppressed: number) => void;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #waiting: { readonly line: Line; readonly suppressed: number } | null = null;

  constructor(show: (line: Line, suppressed: number) => void) {
    this.#show = show;
  }

  /** Whether the next line is shown at once. */
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

  /** Shows what waits, and no more of a pace is kept until the next line. */
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
    // In a browser it is a number.
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
