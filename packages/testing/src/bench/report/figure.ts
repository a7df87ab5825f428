/**
 * A number for people: three significant digits, whole numbers and thousands in full, e.g. 0.0123, 4.50, 12,345.
 *
 * @param among Those it stands with: whole numbers get decimals if one of these has.
 */
export function figure(value: number, among: readonly number[] = []): string {
  if (value !== 0 && Math.abs(value) < 0.001) return value.toExponential(2);
  const isWhole = [value, ...among].every((one) => Number.isInteger(one));
  return value.toLocaleString('en-GB', {
    maximumFractionDigits: 0,
    ...(Math.abs(value) < 100 && !isWhole && value !== 0 && significant),
  });
}

const significant = { minimumSignificantDigits: 3, maximumSignificantDigits: 3 };

/** A measured number beside its limit: never reads as the limit if it is not. */
export function figureBeside(value: number, limit: number): string {
  const text = figure(value);
  const looksEqual = Number(text.replaceAll(',', '')) === Number(figure(limit).replaceAll(',', ''));
  return value !== limit && looksEqual ? String(value) : text;
}

/** From the least to the greatest. */
export function spread(samples: readonly number[]): string {
  const from = figure(Math.min(...samples), samples);
  const to = figure(Math.max(...samples), samples);
  return from === to ? from : `${from} – ${to}`;
}
