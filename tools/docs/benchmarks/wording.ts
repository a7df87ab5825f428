export function capitalised(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}

/** Legend of a plot, e.g. `Bar: median of 5 runs; line: least to most`. */
export function runsText(
  rows: readonly { readonly samples: readonly number[] }[],
  marks: { readonly middle: string; readonly spread: string },
): string {
  const counts = rows.map(({ samples }) => samples.length);
  const [least, most] = [Math.min(...counts), Math.max(...counts)];
  if (most === 1) return `${capitalised(marks.middle)}: one run`;
  const runs = least === most ? `${most} runs` : `${least} to ${most} runs`;
  return `${capitalised(marks.middle)}: median of ${runs}; ${marks.spread}: least to most`;
}
