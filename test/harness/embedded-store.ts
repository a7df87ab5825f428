import { Program, logged } from './program.ts';

export interface EmbeddedStoreOptions {
  readonly dataDirectory: string;
  readonly bucket: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly accessLog?: string | undefined;
  /** Runs the published build; by default the store runs from its sources. */
  readonly compiled?: boolean;
}

/** The embedded object store as a process that can be stopped and restarted at the same address. */
export class EmbeddedStore implements AsyncDisposable {
  readonly endpoint: string;
  readonly #options: EmbeddedStoreOptions;
  #program: Program;

  private constructor(options: EmbeddedStoreOptions, program: Program, endpoint: string) {
    this.#options = options;
    this.#program = program;
    this.endpoint = endpoint;
  }

  static async start(options: EmbeddedStoreOptions): Promise<EmbeddedStore> {
    const { program, endpoint } = await run(options, '0');
    return new EmbeddedStore(options, program, endpoint);
  }

  /** Undefined if the process never started. */
  get pid(): number | undefined {
    return this.#program.pid;
  }

  /** Kills the process, so that its address refuses connections. */
  async goAway(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    this.#program.kill(signal);
    await this.#program.exit;
  }

  /** Sends SIGSTOP, which makes the store hang, or SIGCONT; does not wait. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#program.kill(signal);
  }

  async comeBack(): Promise<void> {
    const { program } = await run(this.#options, new URL(this.endpoint).port);
    this.#program = program;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.signal('SIGCONT');
    await this.#program.stop();
  }
}

async function run(
  { dataDirectory, bucket, accessKeyId, secretAccessKey, accessLog, compiled = false }: EmbeddedStoreOptions,
  port: string,
): Promise<{ program: Program; endpoint: string }> {
  const program = new Program('backhaul-object-store', {
    args: [
      // The store exits with its stdin, even if the test is killed.
      ...['--port', port, '--data', dataDirectory, '--bucket', bucket, '--exit-with-stdin'],
      ...(accessLog === undefined ? [] : ['--access-log', accessLog]),
    ],
    env: { BACKHAUL_STORE_ACCESS_KEY: accessKeyId, BACKHAUL_STORE_SECRET_KEY: secretAccessKey },
    compiled,
  });
  try {
    const { url } = await program.line(logged('listening'));
    return { program, endpoint: String(url) };
  } catch (error) {
    await program.stop();
    throw error;
  }
}
