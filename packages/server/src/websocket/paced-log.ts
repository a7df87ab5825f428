import { PacedLines } from '@backhaul/protocol';
import type { Log } from '../domain/ports/log.ts';

/** A log that limits warnings to one a second, because a peer can cause them at will. Other lines pass unchanged. */
export class PacedLog implements Log {
  readonly #log: Log;
  /** Created at the first warning; most connections never see one. */
  #warnings: PacedLines<{ readonly data: object; readonly message: string }> | null = null;

  constructor(log: Log) {
    this.#log = log;
  }

  /** Whether the next warning is written immediately. */
  get isIdle(): boolean {
    return this.#warnings?.isIdle ?? true;
  }

  debug(data: object, message: string): void {
    this.#log.debug(data, message);
  }

  info(data: object, message: string): void {
    this.#log.info(data, message);
  }

  warn(data: object, message: string): void {
    this.#warnings ??= new PacedLines((line, suppressed) =>
      this.#log.warn(suppressed === 0 ? line.data : { ...line.data, suppressed }, line.message),
    );
    this.#warnings.write({ data, message });
  }

  error(data: object, message: string): void {
    this.#log.error(data, message);
  }

  /** Writes pending warnings. */
  close(): void {
    this.#warnings?.close();
  }
}
