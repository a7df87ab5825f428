import { writeSync } from 'node:fs';

/** After the kernel's buffer for a slow reader was full. */
const READER_PAUSE_MS = 5;
/** After a fault: a full disk, which may pass, or a reader that has gone, which does not. */
const FAULT_PAUSE_MS = 1000;
/** What a reader who has stopped may hold up the process's end by. */
const EXIT_PATIENCE_MS = 1000;

export interface LogWriterOptions {
  /**
   * Characters, or bytes once they are encoded, that may wait for the reader; lines beyond them are dropped, and counted
   * in a line of their own.
   */
  readonly maxWaiting: number;
  /** The line, with its line feed, that says how many were dropped. */
  readonly describeDropped: (lines: number) => string;
}

/**
 * Writes a log's lines to standard output or error once per turn of the event loop, and never waits for whoever reads
 * them: a full pipe, a full disk or a reader that has gone stops neither the server nor its end. What is not written
 * when the process is killed is lost; at any other end it is written then.
 */
export class LogWriter {
  readonly #fileDescriptor: 1 | 2;
  readonly #maxWaiting: number;
  readonly #describeDropped: (lines: number) => string;
  #lines: string[] = [];
  /** Characters in `#lines`. */
  #queued = 0;
  /** What the kernel has not taken yet of the lines that were handed to it. */
  #rest = Buffer.alloc(0);
  #dropped = 0;
  #isScheduled = false;

  constructor(fileDescriptor: 1 | 2, { maxWaiting, describeDropped }: LogWriterOptions) {
    this.#fileDescriptor = fileDescriptor;
    this.#maxWaiting = maxWaiting;
    this.#describeDropped = describeDropped;
    // Its stream makes a pipe non-blocking; a write to a full one would stop the process otherwise.
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

  /** As much as is taken now, and the rest later. */
  #flush(): void {
    const pauseMs = this.#writeAll();
    this.#isScheduled = pauseMs !== null;
    // Unreferenced: nobody stays for the log's sake, and at the end it is tried once more.
    if (pauseMs !== null) setTimeout(() => this.#flush(), pauseMs).unref();
  }

  /** @returns null once all is written, or when to try again, in milliseconds from now. */
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

  /** Behind those that were kept. */
  #reportDropped(): void {
    this.#enqueue(this.#describeDropped(this.#dropped));
    this.#dropped = 0;
  }

  #finish(): void {
    const deadline = performance.now() + EXIT_PATIENCE_MS;
    const pause = new Int32Array(new SharedArrayBuffer(4));
    while (this.#writeAll() === READER_PAUSE_MS && performance.now() < deadline) {
      Atomics.wait(pause, 0, 0, READER_PAUSE_MS);
    }
  }
}
