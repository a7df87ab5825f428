import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { TemporaryDirectory } from '../../harness/temporary-directory.ts';

/**
 * The wall clock of a program under test, which a test can set while the program runs. Its monotonic clock and its
 * timers are not affected, as when an administrator or NTP sets the time.
 */
export class WallClock {
  readonly #file: string;

  private constructor(file: string) {
    this.#file = file;
  }

  /** @param offsetMs How far the clock is ahead of this process's clock. */
  static async create(directory: TemporaryDirectory, offsetMs = 0): Promise<WallClock> {
    const clock = new WallClock(directory.join('wall-clock-offset'));
    await clock.set(offsetMs);
    return clock;
  }

  /** Environment variables for the program. */
  get env(): Readonly<Record<string, string>> {
    const preload = fileURLToPath(new URL('./wall-clock-preload.ts', import.meta.url));
    return { NODE_OPTIONS: `--import=${preload}`, BACKHAUL_TEST_CLOCK_OFFSET_FILE: this.#file };
  }

  /** @param offsetMs How far the clock is ahead of this process's clock from now on. */
  async set(offsetMs: number): Promise<void> {
    await writeFile(this.#file, String(offsetMs));
  }
}
