import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Readable, Writable } from 'node:stream';

const BLOCK_TIMEOUT_MS = 240_000;
const READY_TIMEOUT_MS = 120_000;
const STOP_TIMEOUT_MS = 20_000;

/** Log line of an agent after `welcome`; does not match "disconnected". */
export const AGENT_CONNECTED = /"msg":"connected"| connected session_id=/;

export interface TerminalOptions {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** Directory for the files of running blocks. */
  readonly scratch: string;
}

/** A shell like a reader's: exports of a block are visible in the next one, and a failing command ends it. */
export class Terminal {
  readonly #shell: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #scratch: string;
  readonly #closed: Promise<unknown>;
  #output = '';
  #blocks = 0;

  constructor({ cwd, env, scratch }: TerminalOptions) {
    this.#scratch = scratch;
    this.#shell = spawn('bash', ['--noprofile', '--norc', '-e', '-o', 'pipefail'], {
      cwd,
      env,
      stdio: 'pipe',
      // A process group of its own, so that Ctrl-C reaches all its programs.
      detached: true,
    });
    this.#closed = once(this.#shell, 'close');
    for (const stream of [this.#shell.stdout, this.#shell.stderr]) {
      stream.on('data', (chunk: Buffer) => (this.#output += chunk.toString()));
    }
    // A failed command has ended the shell.
    this.#shell.stdin.on('error', () => undefined);
  }

  /** Output since the start of the last block. */
  get output(): string {
    return this.#output;
  }

  /** @returns Whether all commands succeeded. */
  async run(text: string): Promise<boolean> {
    const end = await this.#send(text);
    return await this.#until(() => this.#output.includes(end), BLOCK_TIMEOUT_MS);
  }

  /**
   * Runs a block whose last command keeps running, such as a server.
   *
   * @returns Whether it is ready.
   */
  async start(text: string, isReady: (output: string) => boolean | Promise<boolean>): Promise<boolean> {
    await this.#send(text);
    return await this.#until(() => isReady(this.#output), READY_TIMEOUT_MS);
  }

  /** Sends Ctrl-C and ends the shell. */
  async close(): Promise<void> {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGKILL'] as const) {
      this.#kill(signal);
      this.#shell.stdin.destroy();
      const timer = AbortSignal.timeout(STOP_TIMEOUT_MS);
      const ended = await Promise.race([
        this.#closed.then(() => true),
        once(timer, 'abort').then(() => false),
      ]);
      if (ended) return;
    }
  }

  async #send(text: string): Promise<string> {
    this.#blocks += 1;
    this.#output = '';
    const file = path.join(this.#scratch, `block-${process.pid}-${this.#shell.pid}-${this.#blocks}.sh`);
    await writeFile(file, text);
    const end = `@@ the end of block ${this.#blocks}`;
    this.#shell.stdin.write(`. '${file}' </dev/null\necho '${end}'\n`);
    return end;
  }

  async #until(isDone: () => boolean | Promise<boolean>, timeoutMs: number): Promise<boolean> {
    const deadline = performance.now() + timeoutMs;
    while (performance.now() < deadline) {
      if (await isDone()) return true;
      if (this.#shell.exitCode !== null || this.#shell.signalCode !== null) return await isDone();
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    this.#output += `\n(not done after ${timeoutMs / 1000} s)`;
    return false;
  }

  #kill(signal: NodeJS.Signals): void {
    try {
      process.kill(-(this.#shell.pid ?? 0), signal);
    } catch {
      // The process group has ended already.
    }
  }
}
