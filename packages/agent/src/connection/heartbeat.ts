interface HeartbeatOptions {
  readonly ping: () => void;
  readonly onDead: () => void;
  /** Monotonic, milliseconds. */
  readonly now: () => number;
}

interface HeartbeatPace {
  readonly intervalMs: number;
  readonly deadAfterMs: number;
}

/** Pings, and notices a peer that has fallen silent: TCP alone may take a quarter of an hour for that. */
export class Heartbeat {
  readonly #options: HeartbeatOptions;
  #timer: NodeJS.Timeout | null = null;
  #heardAt: number;

  constructor(options: HeartbeatOptions) {
    this.#options = options;
    this.#heardAt = options.now();
  }

  /** Starts, or goes on at another pace. */
  start({ intervalMs, deadAfterMs }: HeartbeatPace): void {
    this.stop();
    this.heard();
    const { now, ping, onDead } = this.#options;
    let pingedAt = now();
    // Checked more often than pinged, so that death is noticed at its time and not up to a ping later.
    this.#timer = setInterval(
      () => {
        if (now() - this.#heardAt >= deadAfterMs) {
          this.stop();
          onDead();
        } else if (now() - pingedAt >= intervalMs) {
          pingedAt = now();
          ping();
        }
      },
      Math.min(1000, intervalMs / 4),
    );
  }

  get heardAt(): number {
    return this.#heardAt;
  }

  /** Anything at all came from the peer. */
  heard(): void {
    this.#heardAt = this.#options.now();
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }
}
