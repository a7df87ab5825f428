import type { FileHandle } from 'node:fs/promises';
import type { CallOptions, FileGate } from './file-gate.ts';

interface GatedFileDeps {
  readonly gate: FileGate;
  /** Ends the waits of all its calls. */
  readonly signal: AbortSignal;
}

type WaitOptions = Pick<CallOptions<unknown>, 'timeoutMs' | 'isOptional'>;

/** A descriptor of a file or directory whose calls all go through the gate. */
export class GatedFile {
  readonly #handle: FileHandle;
  readonly #path: string;
  readonly #deps: GatedFileDeps;
  readonly #users = new Set<Promise<unknown>>();
  #closing: Promise<void> | null = null;

  private constructor(handle: FileHandle, path: string, deps: GatedFileDeps) {
    this.#handle = handle;
    this.#path = path;
    this.#deps = deps;
  }

  /**
   * @param path The path that `open` opens, without links in its directories.
   * @throws As {@link FileGate.run}.
   */
  static async open(
    path: string,
    open: () => Promise<FileHandle>,
    options: GatedFileDeps & WaitOptions,
  ): Promise<GatedFile> {
    const { gate } = options;
    const onLate = (handle: FileHandle) => void gate.close(path, handle);
    return new GatedFile(await gate.run(path, open, { ...options, onLate }), path, options);
  }

  /** The same file under another descriptor. */
  reopen(open: (handle: FileHandle) => Promise<FileHandle>, wait: WaitOptions = {}): Promise<GatedFile> {
    const { gate, signal } = this.#deps;
    return GatedFile.open(this.#path, () => open(this.#handle), { gate, signal, ...wait });
  }

  /** Raw fd for the hash thread; pass the end of its use to `keepOpen`. */
  get fd(): number {
    return this.#handle.fd;
  }

  /**
   * @param options.onLate Receives the result of a call that returned after its caller stopped waiting.
   * @throws As {@link FileGate.run}.
   */
  call<Value>(
    call: (handle: FileHandle) => Promise<Value>,
    options: WaitOptions & { readonly onLate?: (value: Value) => void } = {},
  ): Promise<Value> {
    const { gate, signal } = this.#deps;
    return gate.run(this.#path, () => call(this.#handle), { ...options, signal });
  }

  /** Delays the close until `done`: otherwise the fd could be reused for another file while a thread still reads it. */
  keepOpen(done: Promise<unknown>): void {
    const user = done.finally(() => this.#users.delete(user));
    this.#users.add(user);
  }

  /** Reports that a read in another thread timed out. @param done Settles when it returns after all. */
  reportHanging(done: Promise<unknown>): void {
    this.#deps.gate.reportHanging(this.#path, done);
  }

  /** Waits only briefly; hanging calls keep the descriptor open until they return. Never rejects. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const { gate } = this.#deps;
    if (this.#users.size === 0) return await gate.close(this.#path, this.#handle);
    void Promise.allSettled(this.#users).then(() => gate.close(this.#path, this.#handle));
  }
}
