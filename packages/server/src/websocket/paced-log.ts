import { PacedLines } from '@backhaul/protocol';
import type { Log } from '../domain/ports/log.ts';

/** A log whose warnings are at most one a second, because a peer can cause them at will. The others pass as they are. */
export class PacedLog implements Log {
  readonly #log: Log;
  /** From the first warning on; most connections never see one. */
  #warnings: PacedLines<{ readonly data: object; readonly message: string }> | null = null;

  constructor(log: Log) {
    this.#log = log;
  }

  /** Whether the next warning is written at once. */
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

  /** Writes what waits. */
  close(): void {
    this.#warnings?.close();
  }
}
