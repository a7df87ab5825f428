/** What the model promises to come across: each must have happened, or the test has shown less than it says. */
export const facts = [
  'upload completed',
  'upload failed, cancelled or expired',
  'file appended to during an attempt',
  'file cut short during an attempt',
  'file rewritten during an attempt, its mtime put back',
  'file replaced during an attempt',
  'file touched by chmod during an attempt',
  'agent found its file changed',
  'begun anew by on_change',
  'completed by prefix after the file had grown',
  'completed in spite of a ctime that moved',
  'resumed with kept parts',
  'handed over again after it was resumed',
  'begun anew for an agent that cannot resume',
  'kept parts that the process had to find changed',
  'agent killed during an attempt',
  'socket lost during an attempt',
  'frame lost with its socket',
  'frame delivered twice',
  'frame of an older session delivered',
  'frame of an older attempt delivered',
  'frame overtook one of another upload',
  'session replaced before its end was noticed',
  'PUT failed',
  'PUT stored, its answer lost',
  'PUT landed after its sender had gone',
  'PUT landed after the abort of its upload',
  'PUT with an expired URL',
  'PUT refused for its checksum',
  'answer to Create lost',
  'answer to Complete lost, the object there',
  'store unavailable',
  'InvalidPart',
  'multipart upload vanished',
  'parts given up by a store that is well',
  'stored part rotted',
  'stored part rotted, and sent again',
  'object of somebody else put at the key',
  'server killed before a write',
  'server killed after a write',
  'server killed while completing',
  'server killed between Create and its row',
  'request of a killed server carried out late',
  'prepare_upload not answered in time',
  'orphan aborted',
  'cancelled',
  'cancel waited for a completion',
  'cancelled while completing',
  'cancel came too late for a completion',
  'expired',
  'retried',
  'removed',
  'forgotten after its retention',
] as const;
export type Fact = (typeof facts)[number];

/** Counts, over all runs, what really took effect. */
export class Tally {
  readonly #counts = new Map<Fact, number>();
  /** How uploads ended. */
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

  /** For people. */
  table(): string[] {
    const lines = facts.map((fact) => [this.#counts.get(fact) ?? 0, fact] as const);
    const endings = [...this.#endings.keys()]
      .toSorted((a, b) => a.localeCompare(b))
      .map((ending) => [this.#endings.get(ending) ?? 0, `end: ${ending}`] as const);
    return [...lines, ...endings].map(([times, what]) => `${String(times).padStart(6)}  ${what}`);
  }
}
