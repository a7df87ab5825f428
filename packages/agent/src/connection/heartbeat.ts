interface HeartbeatDeps {
  readonly ping: () => void;
  readonly onDead: () => void;
  /** Monotonic, milliseconds. */
  readonly now: () => number;
}

interface HeartbeatTimings {
  readonly intervalMs: number;
  readonly deadAfterMs: number;
}

/** Sends pings and detects a dead peer, for which TCP alone may take a quarter of an hour. */
export class Heartbeat {
  readonly #deps: HeartbeatDeps;
  #timer: NodeJS.Timeout | null = null;
  #heardAt: number;

  constructor(deps: HeartbeatDeps) {
    this.#deps = deps;
    this.#heardAt = deps.now();
  }

  /** Starts, or restarts with other timings. */
  start({ intervalMs, deadAfterMs }: HeartbeatTimings): void {
    this.stop();
    this.heard();
    const { now, ping, onDead } = this.#deps;
    let pingedAt = now();
    // Checked more often than pings are sent, so that a dead peer is detected on time.
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

  /** Records that data arrived from the peer. */
  heard(): void {
    this.#heardAt = this.#deps.now();
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }
}
