import { type Exit, Program, logged } from '../harness/program.ts';
import type { Stage } from '../harness/stage.ts';
import type { Journal } from './journal.ts';
import type { Results } from './results.ts';

/** Makes a pull last some seconds. */
const BYTES_PER_SECOND = 6 * 1024 * 1024;

export interface SoakAgentOptions {
  readonly stage: Stage;
  readonly journal: Journal;
  readonly results: Results;
  readonly clientId: string;
  /** Readable directory. */
  readonly directory: string;
  /** Minimum expiry of its token in seconds since the epoch. */
  readonly tokenUntil: number;
}

/** An agent that the soak ends in many ways, and that must not end by itself. */
export class SoakAgent implements AsyncDisposable {
  readonly clientId: string;
  readonly #options: SoakAgentOptions;
  #program: Program | undefined;

  private constructor(options: SoakAgentOptions) {
    this.clientId = options.clientId;
    this.#options = options;
  }

  /** Starts an agent and waits for `welcome`. */
  static async start(options: SoakAgentOptions): Promise<SoakAgent> {
    const agent = new SoakAgent(options);
    const program = await agent.start();
    try {
      await program.line(logged('connected'));
    } catch (error) {
      await agent[Symbol.asyncDispose]();
      throw error;
    }
    return agent;
  }

  /** Does not wait for a connection: the server may be down. */
  async start(): Promise<Program> {
    const { stage, clientId, directory, tokenUntil } = this.#options;
    const token = await stage.tokens.sign('agent', { subject: clientId, expiresAt: tokenUntil });
    const program = new Program('backhaul-agent', {
      args: [
        ...['--client-id', clientId, '--server-url', stage.webSocketUrl, '--allow', directory],
        ...['--max-rate', String(BYTES_PER_SECOND), '--log-format', 'json'],
      ],
      env: { BACKHAUL_TOKEN: token },
      cwd: directory,
    });
    this.#program = program;
    void program.exit.then((exit) => this.#ended(program, exit));
    return program;
  }

  async end(signal: NodeJS.Signals): Promise<Exit | undefined> {
    const program = this.#program;
    this.#program = undefined;
    program?.kill(signal);
    return await program?.exit;
  }

  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#program?.kill(signal);
  }

  #ended(program: Program, exit: Exit): void {
    const { clientId, journal, results } = this.#options;
    journal.keepOutput(clientId, exit);
    if (this.#program !== program) return;
    this.#program = undefined;
    results.wrongOutcome(`the agent ${clientId} ended by itself with ${exit.code ?? exit.signal}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.signal('SIGCONT');
    await this.end('SIGTERM');
  }
}
