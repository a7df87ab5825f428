import type { Exit, Program } from '../harness/program.ts';
import type { Stage } from '../harness/stage.ts';
import type { Journal } from './journal.ts';
import type { Results } from './results.ts';

/** The server of a stage, which the soak ends in many ways, and which must not end by itself. */
export class SoakServer implements AsyncDisposable {
  readonly #stage: Stage;
  readonly #journal: Journal;
  readonly #results: Results;
  #program: Program | undefined;

  constructor(stage: Stage, journal: Journal, results: Results) {
    this.#stage = stage;
    this.#journal = journal;
    this.#results = results;
    this.#watch();
  }

  async restart(signal: NodeJS.Signals): Promise<Exit> {
    this.#program = undefined;
    const exit = await this.#stage.restartServer({ signal });
    this.#watch();
    return exit;
  }

  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#stage.server.kill(signal);
  }

  #watch(): void {
    const program = this.#stage.server;
    this.#program = program;
    void program.exit.then((exit) => {
      this.#journal.keepOutput('server', exit);
      if (this.#program !== program) return;
      this.#results.wrongOutcome(`the server ended by itself with ${exit.code ?? exit.signal}`);
    });
  }

  /** The stage ends the server. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#program = undefined;
    this.signal('SIGCONT');
    return Promise.resolve();
  }
}
