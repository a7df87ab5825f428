/** A call of the file system has not come back; the file system may be a dead mount or a disk that hangs. */
export class NoAnswer extends Error {
  override readonly name = 'NoAnswer';
  readonly silentMs: number;

  constructor(silentMs: number) {
    super(`the file system has not answered for ${seconds(silentMs)}`);
    this.silentMs = silentMs;
  }
}

/** For people. */
export function seconds(ms: number): string {
  return `${Math.max(1, Math.round(ms / 1000))} s`;
}
