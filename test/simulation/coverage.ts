/** Facts that the simulation must cover: each must have happened, or the test proves less than it claims. */
export const facts = [
  'upload completed',
  'upload failed, cancelled or expired',
  'file appended to during an attempt',
  'file truncated during an attempt',
  'file rewritten during an attempt, its mtime restored',
  'file replaced during an attempt',
  'file touched by chmod during an attempt',
  'agent found its file changed',
  'restarted by on_change',
  'completed by prefix after the file had grown',
  'completed despite a moved ctime',
  'resumed with stored parts',
  'dispatched again after it was resumed',
  'restarted for an agent that cannot resume',
  'stored parts found changed by the process',
  'agent killed during an attempt',
  'socket lost during an attempt',
  'frame lost with its socket',
  'frame delivered twice',
  'frame of an older session delivered',
  'frame of an older attempt delivered',
  'frame overtook one of another upload',
  'session replaced before its end was noticed',
  'PUT failed',
  'PUT stored, its response lost',
  'PUT landed after its sender had exited',
  'PUT landed after the abort of its upload',
  'PUT with an expired URL',
  'PUT refused for its checksum',
  'response to Create lost',
  'response to Complete lost, object created',
  'store unavailable',
  'InvalidPart',
  'multipart upload vanished',
  'parts given up with a healthy store',
  'stored part rotted',
  'stored part rotted, and sent again',
  'foreign object put at the key',
  'server killed before a write',
  'server killed after a write',
  'server killed while completing',
  'server killed between Create and its row',
  'request of a killed server took effect late',
  'no response to prepare_upload in time',
  'orphan aborted',
  'cancelled',
  'cancel waited for a completion',
  'cancelled while completing',
  'cancel came too late for a completion',
  'expired',
  'retried',
  'removed',
  'removed after its retention',
] as const;
export type Fact = (typeof facts)[number];

/** Counts, over all runs, the facts that took effect. */
export class Coverage {
  readonly #counts = new Map<Fact, number>();
  /** Counts of uploads by outcome. */
  readonly #endings = new Map<string, number>();

  count(fact: Fact): void {
    this.#counts.set(fact, (this.#counts.get(fact) ?? 0) + 1);
  }

  countEnding(ending: string): void {
    this.#endings.set(ending, (this.#endings.get(ending) ?? 0) + 1);
  }

  get missing(): Fact[] {
    return facts.filter((fact) => !this.#counts.has(fact));
  }

  /** Human-readable. */
  table(): string[] {
    const lines = facts.map((fact) => [this.#counts.get(fact) ?? 0, fact] as const);
    const endings = [...this.#endings.keys()]
      .toSorted((a, b) => a.localeCompare(b))
      .map((ending) => [this.#endings.get(ending) ?? 0, `end: ${ending}`] as const);
    return [...lines, ...endings].map(([times, what]) => `${String(times).padStart(6)}  ${what}`);
  }
}
