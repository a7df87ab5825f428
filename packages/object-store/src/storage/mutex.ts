/** Runs one task at a time, in order of arrival. */
export class Mutex {
  #last: Promise<unknown> = Promise.resolve();

  async run<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#last.then(task);
    this.#last = result.catch(() => undefined);
    return await result;
  }
}

/** One task at a time per name; names without tasks cost nothing. */
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
