import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { CrowdOrder } from './crowd-order.ts';

const PROGRAM = fileURLToPath(new URL('crowd-main.ts', import.meta.url));

export interface CrowdEvent {
  readonly clientId: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly msg: string;
}

/** One process with many agents. */
export class Crowd implements AsyncDisposable {
  readonly events: CrowdEvent[] = [];
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #exit: Promise<unknown>;
  #wake = Promise.withResolvers<void>();

  constructor(order: CrowdOrder) {
    this.#child = spawn(process.execPath, [PROGRAM], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#exit = once(this.#child, 'exit');
    this.#child.stdin.on('error', () => {});
    this.#child.stdin.write(`${JSON.stringify(order)}\n`);
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      this.events.push(JSON.parse(line) as CrowdEvent);
      this.#wake.resolve();
      this.#wake = Promise.withResolvers();
    });
  }

  /** Returns each agent's first connection time after `since`, once `count` have connected. */
  async connected(
    count: number,
    { since, signal }: { since: number; signal: AbortSignal },
  ): Promise<number[]> {
    for (;;) {
      const first = new Map<string, number>();
      for (const { clientId, at, msg } of this.events) {
        if (msg === 'connected' && at >= since && !first.has(clientId)) first.set(clientId, at);
      }
      if (first.size >= count) return [...first.values()];
      signal.throwIfAborted();
      await Promise.race([this.#wake.promise, once(signal, 'abort'), this.#exit]);
      if (this.#child.exitCode !== null) throw new Error(`the crowd ended with ${this.#child.exitCode}`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin.end();
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 20_000);
    await this.#exit;
    clearTimeout(timer);
  }
}
