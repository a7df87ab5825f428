import { createWriteStream, type WriteStream } from 'node:fs';
import { once } from 'node:events';
import { finished } from 'node:stream/promises';

/** One finished request. Has no field for the query, because signatures must not be logged. */
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
  /** Null if the client disconnected before its request was complete; set, but not received, if it disconnected later. */
  readonly status: number | null;
  readonly error_code: string | null;
  readonly bytes_in: number;
  readonly bytes_out: number;
}

export interface AccessLog extends AsyncDisposable {
  write(entry: AccessLogEntry): void;
}

export class StreamAccessLog implements AccessLog {
  readonly #stream: NodeJS.WritableStream;
  readonly #file: WriteStream | undefined;

  private constructor(stream: NodeJS.WritableStream, file: WriteStream | undefined) {
    this.#stream = stream;
    this.#file = file;
  }

  /** @param path file to append to, or `-` for standard output */
  static async open(path: string): Promise<StreamAccessLog> {
    if (path === '-') return new StreamAccessLog(process.stdout, undefined);
    const file = createWriteStream(path, { flags: 'a', mode: 0o600 });
    await once(file, 'open');
    // A failing log must not stop the store; the error is reported once.
    file.once('error', (error) =>
      process.emitWarning(`The access log ${path} cannot be written: ${error.message}`),
    );
    return new StreamAccessLog(file, file);
  }

  write(entry: AccessLogEntry): void {
    // Uses the schema of all logs (docs/logs.md).
    const line = { level: 'info', time: entry.ended_at, ...entry, msg: 'request' };
    this.#stream.write(`${JSON.stringify(line)}\n`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#file === undefined || this.#file.closed) return;
    this.#file.end();
    await finished(this.#file);
  }
}
