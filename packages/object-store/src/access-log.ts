import { appendFileSync, closeSync, openSync } from 'node:fs';

/** One finished request. There is no field for the query: signatures must not reach a log. */
export interface AccessLogEntry {
  readonly request_id: string;
  readonly started_at: string;
  readonly started_at_ms: number;
  readonly ended_at: string;
  readonly ended_at_ms: number;
  readonly method: string;
  readonly operation: string | null;
  readonly bucket: string | null;
  readonly key: string | null;
  readonly upload_id: string | null;
  readonly part_number: number | null;
  /** Null if the client left before it could be answered. */
  readonly status: number | null;
  readonly error_code: string | null;
  readonly bytes_in: number;
  readonly bytes_out: number;
}

export interface AccessLog {
  write(entry: AccessLogEntry): void;
}

/** Lines on standard output. */
export const STANDARD_OUTPUT: AccessLog = {
  write: (entry) => void process.stdout.write(lineOf(entry)),
};

/**
 * Lines at a file's end, written at once: a request that was answered is on record even if the store is killed, and
 * to wait for a line in the system's cache takes less than to have it written meanwhile.
 */
export class FileAccessLog implements AccessLog, Disposable {
  readonly #path: string;
  readonly #fd: number;
  #hasFailed = false;

  /** @throws The system's error if the file can't be opened for appending. */
  constructor(path: string) {
    this.#path = path;
    this.#fd = openSync(path, 'a', 0o600);
  }

  /** A log that can't be written must not stop the store; the operator is told once. */
  write(entry: AccessLogEntry): void {
    try {
      appendFileSync(this.#fd, lineOf(entry));
    } catch (error) {
      if (this.#hasFailed) return;
      this.#hasFailed = true;
      process.emitWarning(`The access log ${this.#path} cannot be written: ${String(error)}`);
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}

function lineOf(entry: AccessLogEntry): string {
  return `${JSON.stringify(entry)}\n`;
}
