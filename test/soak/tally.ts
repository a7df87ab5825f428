/** Counts by name. */
export class Tally {
  readonly #counts = new Map<string, number>();

  add(name: string, count = 1): void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + count);
  }

  get total(): number {
    return [...this.#counts.values()].reduce((sum, count) => sum + count, 0);
  }

  /** Counts sorted by name. */
  get entries(): [name: string, count: number][] {
    return [...this.#counts].sort(([a], [b]) => a.localeCompare(b));
  }

  /** Formats the counts on one line. */
  summary(): string {
    return this.entries.map(([name, count]) => `${count} ${name}`).join(', ') || 'none';
  }
}

/** Renders columns under a heading, and their sum. */
export function renderTally(heading: string, tally: Tally): string {
  const rows: [string, number][] = [...tally.entries, ['in all', tally.total]];
  const width = Math.max(heading.length, ...rows.map(([name]) => name.length));
  return [
    `${heading.padEnd(width)}  count`,
    ...rows.map(([name, count]) => `${name.padEnd(width)}  ${String(count).padStart(5)}`),
  ].join('\n');
}

/** @param share E.g. 0.95 for the 95th percentile. @returns 0 for no values. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? 0;
}
