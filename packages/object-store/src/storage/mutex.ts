/** Runs one task at a time, in the order of the calls. */
export class Mutex {
  #last: Promise<unknown> = Promise.resolve();

  async run<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#last.then(task);
    this.#last = result.catch(() => undefined);
    return await result;
  }
}

/** Runs one task at a time per name; names without tasks use no memory. */
export class NamedMutex {
  readonly #waiting = new Map<string, { readonly mutex: Mutex; users: number }>();

  async run<T>(name: string, task: () => Promise<T>): Promise<T> {
    const entry = this.#waiting.get(name) ?? { mutex: new Mutex(), users: 0 };
    this.#waiting.set(name, entry);
    entry.users++;
    try {
      return await entry.mutex.run(task);
    } finally {
      if (--entry.users === 0) this.#waiting.delete(name);
    }
  }
}
