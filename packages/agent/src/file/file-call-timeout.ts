/** A file system call has not returned in time, for example on a dead mount or a hanging disk. */
export class FileCallTimeout extends Error {
  override readonly name = 'FileCallTimeout';
  readonly silentMs: number;

  constructor(silentMs: number) {
    super(`the file system has not responded for ${seconds(silentMs)}`);
    this.silentMs = silentMs;
  }
}

/** Duration for messages. */
export function seconds(ms: number): string {
  return `${Math.max(1, Math.round(ms / 1000))} s`;
}
