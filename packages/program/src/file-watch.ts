import { stat } from 'node:fs/promises';

const INTERVAL_MS = 5000;

interface FileWatchOptions {
  /** All files are in their new state; at most once per change. */
  readonly onChange: () => void;
  readonly intervalMs?: number;
}

/**
 * Notices that files were replaced, or that their permissions changed. By polling: notifications of the file system miss what happens behind links, which
 * is how certificates are renewed (certbot's `live/`, volumes of Kubernetes). A change counts only when nothing moved
 * for one interval, because a certificate and its key are replaced one after the other.
 */
export class FileWatch implements Disposable {
  readonly #paths: readonly string[];
  readonly #timer: NodeJS.Timeout;
  #known: string | undefined;
  #latest: string | undefined;
  #looking = false;

  constructor(paths: readonly string[], { onChange, intervalMs = INTERVAL_MS }: FileWatchOptions) {
    this.#paths = paths;
    this.#timer = setInterval(() => void this.#look(onChange), intervalMs).unref();
    void this.#look(onChange);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  async #look(onChange: () => void): Promise<void> {
    // A file system that does not answer gets one call at a time.
    if (this.#looking) return;
    this.#looking = true;
    const states = await Promise.all(this.#paths.map(stateOf));
    this.#looking = false;
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
    // By ctime a permission that was repaired counts: what could not be read before can be now.
    return `${dev} ${ino} ${size} ${mtimeNs} ${ctimeNs}`;
  } catch (error) {
    return String((error as NodeJS.ErrnoException).code);
  }
}
