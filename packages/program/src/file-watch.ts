import { stat } from 'node:fs/promises';

const INTERVAL_MS = 5000;

interface FileWatchOptions {
  /** Called at most once per change, when all files have their new state. */
  readonly onChange: () => void;
  readonly intervalMs?: number;
}

/**
 * Detects that files were replaced or that their permissions changed. Polls, because file system notifications miss
 * changes of link targets, which is how certificates are renewed (certbot's `live/`, Kubernetes volumes). A change is
 * reported only after one interval without further changes, because a certificate and its key are replaced one after
 * the other.
 */
export class FileWatch implements Disposable {
  readonly #paths: readonly string[];
  readonly #timer: NodeJS.Timeout;
  #known: string | undefined;
  #latest: string | undefined;
  #checking = false;

  constructor(paths: readonly string[], { onChange, intervalMs = INTERVAL_MS }: FileWatchOptions) {
    this.#paths = paths;
    this.#timer = setInterval(() => void this.#check(onChange), intervalMs).unref();
    void this.#check(onChange);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  async #check(onChange: () => void): Promise<void> {
    // If the file system hangs, do not start another check.
    if (this.#checking) return;
    this.#checking = true;
    const states = await Promise.all(this.#paths.map(stateOf));
    this.#checking = false;
    const state = states.join('\n');
    const isSteady = state === this.#latest;
    this.#latest = state;
    this.#known ??= state;
    if (!isSteady || state === this.#known) return;
    this.#known = state;
    onChange();
  }
}

async function stateOf(path: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
    // Includes ctime, so that a fixed permission counts as a change.
    return `${dev} ${ino} ${size} ${mtimeNs} ${ctimeNs}`;
  } catch (error) {
    return String((error as NodeJS.ErrnoException).code);
  }
}
