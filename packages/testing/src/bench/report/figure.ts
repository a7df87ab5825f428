/**
 * A number for people: three significant digits, whole numbers and thousands in full, e.g. 0.0123, 4.56, 12,345.
 */
export function figure(value: number): string {
  if (value !== 0 && Math.abs(value) < 0.001) return value.toExponential(2);
  return value.toLocaleString('en-GB', {
    maximumFractionDigits: 0,
    ...(Math.abs(value) < 100 && !Number.isInteger(value) && significant),
  });
}

const significant = { minimumSignificantDigits: 3, maximumSignificantDigits: 3 };

/** A measured number beside its limit: digits enough that it never reads as the limit it misses or beats. */
export function figureBeside(value: number, limit: number): string {
  const text = figure(value);
  return value !== limit && text === figure(limit) ? String(value) : text;
}

export function spread(samples: readonly number[]): string {
  const from = figure(Math.min(...samples));
  const to = figure(Math.max(...samples));
  return from === to ? from : `${from} – ${to}`;
}
