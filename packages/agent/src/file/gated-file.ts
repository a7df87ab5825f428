import type { FileHandle } from 'node:fs/promises';
import type { CallOptions, FileGate } from './file-gate.ts';

interface GatedFileOptions {
  readonly gate: FileGate;
  /** Ends the waits for all of its calls. */
  readonly signal: AbortSignal;
}

type WaitOptions = Pick<CallOptions<unknown>, 'timeoutMs' | 'isOptional'>;

/** One descriptor, of a file or directory, all of whose calls go through the gate. */
export class GatedFile {
  readonly #handle: FileHandle;
  readonly #path: string;
  readonly #options: GatedFileOptions;
  readonly #users = new Set<Promise<unknown>>();
  #closing: Promise<void> | null = null;

  private constructor(handle: FileHandle, path: string, options: GatedFileOptions) {
    this.#handle = handle;
    this.#path = path;
    this.#options = options;
  }

  /**
   * @param path What `open` opens, without links on the way.
   * @throws As {@link FileGate.run}.
   */
  static async open(
    path: string,
    open: () => Promise<FileHandle>,
    options: GatedFileOptions & WaitOptions,
  ): Promise<GatedFile> {
    const { gate } = options;
    const late = (handle: FileHandle) => void gate.close(path, handle);
    return new GatedFile(await gate.run(path, open, { ...options, late }), path, options);
  }

  /** The same file under another descriptor. */
  again(open: (handle: FileHandle) => Promise<FileHandle>, wait: WaitOptions = {}): Promise<GatedFile> {
    const { gate, signal } = this.#options;
    return GatedFile.open(this.#path, () => open(this.#handle), { gate, signal, ...wait });
  }

  /** The descriptor's number, for reading in another thread; that thread's end must be given to `keepOpen`. */
  get fd(): number {
    return this.#handle.fd;
  }

  /**
   * @param options.late Gets what the call returned after its caller stopped waiting.
   * @throws As {@link FileGate.run}.
   */
  call<Value>(
    call: (handle: FileHandle) => Promise<Value>,
    options: WaitOptions & { readonly late?: (value: Value) => void } = {},
  ): Promise<Value> {
    const { gate, signal } = this.#options;
    return gate.run(this.#path, () => call(this.#handle), { ...options, signal });
  }

  /** It is not closed before `done`: its number would become that of another file, under whoever still reads. */
  keepOpen(done: Promise<unknown>): void {
    const user = done.finally(() => this.#users.delete(user));
    this.#users.add(user);
  }

  /** A read of it in another thread has been given up. @param done When it has come back after all. */
  hangs(done: Promise<unknown>): void {
    this.#options.gate.hangs(this.#path, done);
  }

  /** Waits only briefly: what hangs keeps it open until it comes back. Never rejects. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const { gate } = this.#options;
    if (this.#users.size === 0) return await gate.close(this.#path, this.#handle);
    void Promise.allSettled(this.#users).then(() => gate.close(this.#path, this.#handle));
  }
}
