import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import path from 'node:path';
import type { Readable } from 'node:stream';

const DEADLINE_MS = 30_000;

interface Output {
  readonly stdout: string;
  readonly stderr: string;
}

/** A program of `examples/` as its own process. */
export class ExampleRun implements AsyncDisposable {
  readonly #child: ChildProcessByStdio<null, Readable, Readable>;
  readonly #printed = new EventEmitter();
  readonly #exit: Promise<Output & { readonly code: number | null }>;
  #stdout = '';
  #stderr = '';

  constructor(
    name: string,
    args: readonly string[],
    { env, cwd }: { readonly env: Readonly<Record<string, string>>; readonly cwd: string },
  ) {
    const file = path.join(import.meta.dirname, '../../examples', name);
    this.#child = spawn(process.execPath, [file, ...args], { env, cwd, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.#stdout += text;
      this.#printed.emit('more');
    });
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
      this.#printed.emit('more');
    });
    this.#exit = once(this.#child, 'close').then(([code]) => ({
      ...this.output,
      code: code as number | null,
    }));
  }

  get output(): Output {
    return { stdout: this.#stdout, stderr: this.#stderr };
  }

  get exit(): Promise<Output & { readonly code: number | null }> {
    return this.#exit;
  }

  /** Waits until what it has printed so far is as expected. */
  async until(holds: (output: Output) => boolean): Promise<void> {
    const signal = AbortSignal.timeout(DEADLINE_MS);
    while (!holds(this.output)) {
      try {
        await once(this.#printed, 'more', { signal });
      } catch (cause) {
        throw new Error(`it printed only: ${this.#stdout}${this.#stderr}`, { cause });
      }
    }
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#exit;
  }
}
