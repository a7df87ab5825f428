const unitSeconds = { s: 1, m: 60, h: 3600, d: 86_400 } as const;

/** Converts `90m`, `12h`, `30d` or `45s` to seconds; undefined for any other text. */
export function parseDurationSeconds(text: string): number | undefined {
  const match = /^(\d{1,9})([smhd])$/.exec(text);
  if (match === null) return undefined;
  const [, amount, unit] = match;
  const seconds = Number(amount) * unitSeconds[unit as keyof typeof unitSeconds];
  return seconds > 0 ? seconds : undefined;
}
