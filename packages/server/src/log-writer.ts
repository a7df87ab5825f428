import { writeSync } from 'node:fs';

/** Pause after a slow reader's kernel buffer was full. */
const READER_PAUSE_MS = 5;
/** Pause after a write error: a full disk (may recover) or a reader that has exited (does not). */
const FAULT_PAUSE_MS = 1000;
/** Maximum time to flush at exit when the reader is stuck. */
const MAX_EXIT_FLUSH_MS = 1000;

export interface LogWriterOptions {
  /** Queue limit in characters (bytes once encoded). Lines beyond it are dropped and counted in a line of their own. */
  readonly maxWaiting: number;
  /** Renders the line, with its line feed, that reports how many were dropped. */
  readonly describeDropped: (lines: number) => string;
}

/**
 * Writes log lines to standard output or error once per turn of the event loop, and never blocks on the reader: a
 * full pipe, a full disk or a reader that has exited stops neither the server nor its shutdown. Queued lines are lost
 * if the process is killed; at any other exit they are flushed.
 */
export class LogWriter {
  readonly #fileDescriptor: 1 | 2;
  readonly #maxWaiting: number;
  readonly #describeDropped: (lines: number) => string;
  #lines: string[] = [];
  /** Characters in `#lines`. */
  #queued = 0;
  /** Bytes of a partial write that the kernel has not accepted yet. */
  #rest = Buffer.alloc(0);
  #dropped = 0;
  #isScheduled = false;

  constructor(fileDescriptor: 1 | 2, { maxWaiting, describeDropped }: LogWriterOptions) {
    this.#fileDescriptor = fileDescriptor;
    this.#maxWaiting = maxWaiting;
    this.#describeDropped = describeDropped;
    // Creating the stream makes a pipe non-blocking; otherwise a write to a full pipe would block the process.
    void (fileDescriptor === 1 ? process.stdout : process.stderr);
    process.on('exit', () => this.#finish());
  }

  /** @param line Ends with a line feed. */
  write(line: string): void {
    if (this.#queued + this.#rest.length + line.length > this.#maxWaiting) {
      this.#dropped += 1;
      return;
    }
    this.#enqueue(line);
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => this.#flush());
  }

  #enqueue(line: string): void {
    this.#lines.push(line);
    this.#queued += line.length;
  }

  /** Writes as much as the kernel accepts now, and schedules the rest. */
  #flush(): void {
    const pauseMs = this.#writeAll();
    this.#isScheduled = pauseMs !== null;
    // Unreferenced: the log does not keep the process alive, and the exit handler tries once more.
    if (pauseMs !== null) setTimeout(() => this.#flush(), pauseMs).unref();
  }

  /** @returns null once all is written, otherwise the delay until the next attempt in milliseconds. */
  #writeAll(): number | null {
    try {
      while (this.#queued + this.#rest.length + this.#dropped > 0) this.#writeSome();
      return null;
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'EAGAIN' ? READER_PAUSE_MS : FAULT_PAUSE_MS;
    }
  }

  #writeSome(): void {
    if (this.#rest.length === 0) {
      if (this.#dropped > 0) this.#reportDropped();
      this.#rest = Buffer.from(this.#lines.join(''));
      this.#lines = [];
      this.#queued = 0;
    }
    this.#rest = this.#rest.subarray(writeSync(this.#fileDescriptor, this.#rest));
  }

  /** Queued after the stored lines. */
  #reportDropped(): void {
    this.#enqueue(this.#describeDropped(this.#dropped));
    this.#dropped = 0;
  }

  #finish(): void {
    const deadline = performance.now() + MAX_EXIT_FLUSH_MS;
    const pause = new Int32Array(new SharedArrayBuffer(4));
    while (this.#writeAll() === READER_PAUSE_MS && performance.now() < deadline) {
      Atomics.wait(pause, 0, 0, READER_PAUSE_MS);
    }
  }
}
