import type { Behaviour } from './changing-file.ts';

/** Changes to a file during a pull. */
export type Treatment = Behaviour | 'left alone' | 'left alone for 10 s';

interface Row {
  completed: number;
  fileChanged: number;
  mixed: number;
}

/** Results of the pulls of one file system, by treatment of their files. */
export class Results {
  readonly #rows = new Map<Treatment, Row>();
  /** Problems other than mixed objects. */
  readonly faults: string[] = [];
  /** Uploads whose file was read twice. */
  readTwice: ReadonlySet<string> = new Set();
  /** Uploads of a file that was at rest before and was found changed. */
  readonly #restedChanged: string[] = [];
  readonly #trustsTimestamps: boolean;

  /** @param options.trustsTimestamps Whether the agent reads a file at rest only once on this file system. */
  constructor({ trustsTimestamps }: { readonly trustsTimestamps: boolean }) {
    this.#trustsTimestamps = trustsTimestamps;
  }

  add(treatment: Treatment, outcome: keyof Row): void {
    const row = this.#rows.get(treatment) ?? { completed: 0, fileChanged: 0, mixed: 0 };
    row[outcome] += 1;
    this.#rows.set(treatment, row);
  }

  addRestedChange(uploadId: string): void {
    this.#restedChanged.push(uploadId);
  }

  /** Number of changes detected by timestamps alone. */
  get trustedChanges(): number {
    return this.#restedChanged.filter((id) => !this.readTwice.has(id)).length;
  }

  /** Whether timestamps are trusted but have not detected a change yet. */
  get lacksTrustedChange(): boolean {
    return this.#trustsTimestamps && this.trustedChanges === 0;
  }

  total(outcome: keyof Row): number {
    return [...this.#rows.values()].reduce((sum, row) => sum + row[outcome], 0);
  }

  /** @returns the problems; a soak without any change proves nothing. */
  problems(): string[] {
    const problems = [...this.faults];
    if (this.total('mixed') > 0)
      problems.push(`${this.total('mixed')} objects are of no state of their file`);
    if (this.total('completed') === 0) problems.push('nothing was completed');
    if (this.total('fileChanged') === 0) problems.push('no change was met');
    if (this.lacksTrustedChange) problems.push('no change was met by timestamps alone');
    return problems;
  }

  render(name: string): string {
    const cells = (row: Row) =>
      [row.completed, row.fileChanged, row.mixed].map((count) => String(count).padStart(13));
    const lines = [...this.#rows]
      .toSorted(([one], [other]) => one.localeCompare(other))
      .map(([treatment, row]) => `  ${treatment.padEnd(34)}${cells(row).join('')}`);
    const all = { completed: 0, fileChanged: 0, mixed: 0 };
    for (const outcome of ['completed', 'fileChanged', 'mixed'] as const) all[outcome] = this.total(outcome);
    return [
      `${name.padEnd(36)}    completed file_changed        mixed`,
      ...lines,
      `  ${'in all'.padEnd(34)}${cells(all).join('')}   (${this.readTwice.size} read twice, ${this.trustedChanges} changes shown by timestamps alone after a rest)`,
    ].join('\n');
  }
}
