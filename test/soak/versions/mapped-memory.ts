import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { PART_BYTES } from './file-states.ts';

const script = fileURLToPath(new URL('mapped-memory.py', import.meta.url));

/** A process that writes into mapped files. */
export class MappedMemory implements AsyncDisposable {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #answers: AsyncIterator<string>;

  private constructor(python: string) {
    this.#child = spawn(python, [script, String(PART_BYTES)], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#answers = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  static async start(python: string): Promise<MappedMemory> {
    const memory = new MappedMemory(python);
    await memory.#answer();
    return memory;
  }

  /** Directs later writes to this file. */
  async map(path: string): Promise<void> {
    await this.#ask(`map ${path}`);
  }

  async write(offset: number, value: number): Promise<void> {
    await this.#ask(`write ${offset} ${value}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = once(this.#child, 'close');
    this.#child.stdin.end();
    await ended;
  }

  async #ask(command: string): Promise<void> {
    this.#child.stdin.write(`${command}\n`);
    await this.#answer();
  }

  async #answer(): Promise<void> {
    const { done } = await this.#answers.next();
    if (done === true) throw new Error('the process that maps files has ended');
  }
}
