/** @param samples At least one number. */
export function median(samples: readonly number[]): number {
  return quantile(samples, 0.5);
}

/** Interpolates linearly between the closest ranks. @param share From 0 to 1. */
export function quantile(samples: readonly number[], share: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  const rank = (sorted.length - 1) * share;
  const below = sorted[Math.floor(rank)];
  const above = sorted[Math.ceil(rank)];
  if (below === undefined || above === undefined) throw new RangeError('no quantile of nothing');
  return below + (above - below) * (rank - Math.floor(rank));
}
