/** A signal stopped this command. By convention the exit code is 128 + the signal. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';
  readonly exitCode: number;

  constructor(signal: InterruptSignal) {
    super(`stopped by ${signal}`);
    this.exitCode = 128 + interruptSignals[signal];
  }
}

export const interruptSignals = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;
export type InterruptSignal = keyof typeof interruptSignals;
