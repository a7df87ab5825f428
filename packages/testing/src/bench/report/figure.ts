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

/** As many as tell any two numbers apart. */
const MAX_DIGITS = 17;

/** A measured number beside its limit: with as many digits as tell the two apart. */
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

/** From the least to the greatest. */
export function spread(samples: readonly number[]): string {
  const from = figure(Math.min(...samples), samples);
  const to = figure(Math.max(...samples), samples);
  return from === to ? from : `${from} – ${to}`;
}
