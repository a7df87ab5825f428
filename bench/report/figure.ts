/**
 * Formats a number for people with three significant digits, but whole numbers and thousands in full, e.g. 0.0123,
 * 4.50, 12,345.
 *
 * @param among Numbers shown with it: whole numbers get decimals if one of these has decimals.
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

/** Enough digits to distinguish any two numbers. */
const MAX_DIGITS = 17;

/** Formats a measured number with enough digits to distinguish it from its limit. */
export function figureBeside(value: number, limit: number): string {
  let text = figure(value);
  if (value === limit) return text;
  const shownLimit = readsAs(figure(limit));
  for (let digits = 4; digits <= MAX_DIGITS && readsAs(text) === shownLimit; digits += 1) {
    text = value.toLocaleString('en-GB', { maximumSignificantDigits: digits });
  }
  return text;
}

function readsAs(text: string): number {
  return Number(text.replaceAll(',', ''));
}

/** Formats the range from the smallest to the largest sample. */
export function spread(samples: readonly number[]): string {
  const from = figure(Math.min(...samples), samples);
  const to = figure(Math.max(...samples), samples);
  return from === to ? from : `${from} – ${to}`;
}
