import type { Log } from '../../packages/server/src/domain/ports/log.ts';

/** Stores log entries. */
export class FakeLog implements Log {
  readonly entries: { level: 'debug' | 'info' | 'warn' | 'error'; data: object; message: string }[] = [];

  debug(data: object, message: string): void {
    this.entries.push({ level: 'debug', data, message });
  }

  info(data: object, message: string): void {
    this.entries.push({ level: 'info', data, message });
  }

  warn(data: object, message: string): void {
    this.entries.push({ level: 'warn', data, message });
  }

  error(data: object, message: string): void {
    this.entries.push({ level: 'error', data, message });
  }

  has(message: string): boolean {
    return this.entries.some((entry) => entry.message === message);
  }
}
