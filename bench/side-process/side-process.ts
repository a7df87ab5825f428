import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { basename } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';

/** A process that takes longer to end is killed. */
const END_TIMEOUT_MS = 10_000;

interface Waiting {
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: Error) => void;
}

/**
 * A process that does work for an experiment, so that the work is not counted in the measurement. Each request and each
 * response is a line of JSON, handled sequentially; see `answerOrders`. It ends with its input, even if this process is
 * killed.
 */
export class SideProcess<Order> implements AsyncDisposable {
  readonly #name: string;
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #exit: Promise<unknown>;
  readonly #waiting: Waiting[] = [];
  #end: Error | undefined;

  /** @param program URL of a module that calls `answerOrders`. */
  constructor(program: URL) {
    const path = fileURLToPath(program);
    this.#name = basename(path);
    this.#child = spawn(process.execPath, [path], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#child.stdin.on('error', () => undefined);
    createInterface({ input: this.#child.stdout }).on('line', (line) =>
      this.#waiting.shift()?.resolve(JSON.parse(line)),
    );
    this.#exit = once(this.#child, 'close').then(([code, signal]) => {
      this.#end = new Error(`${this.#name} ended with ${String(code ?? signal)}`);
      for (const { reject } of this.#waiting.splice(0)) reject(this.#end);
    });
  }

  /** @throws Error if the process ends before it responds; the signal's reason. */
  async order<Answer>(order: Order, { signal }: { signal: AbortSignal }): Promise<Answer> {
    signal.throwIfAborted();
    if (this.#end !== undefined) throw this.#end;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#waiting.push({ resolve, reject });
    this.#child.stdin.write(`${JSON.stringify(order)}\n`);
    const abort = (): void => reject(signal.reason as Error);
    signal.addEventListener('abort', abort, { once: true });
    try {
      return (await promise) as Answer;
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin.end();
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), END_TIMEOUT_MS);
    await this.#exit;
    clearTimeout(timer);
  }
}
