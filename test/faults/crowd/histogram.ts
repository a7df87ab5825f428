/** Formats times after `start`, counted in steps, as lines for people. */
export function histogram(
  moments: readonly number[],
  { start, stepMs }: { start: number; stepMs: number },
): { readonly counts: number[]; readonly lines: string[] } {
  const counts: number[] = [];
  for (const moment of moments) {
    const step = Math.max(0, Math.floor((moment - start) / stepMs));
    while (counts.length <= step) counts.push(0);
    counts[step] = (counts[step] ?? 0) + 1;
  }
  const lines = counts.map(
    (count, step) => `${String(step * stepMs).padStart(6)} ms ${'#'.repeat(count)} ${count}`,
  );
  return { counts, lines };
}
