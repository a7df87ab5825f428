const unitSeconds = { s: 1, m: 60, h: 3600, d: 86_400 } as const;

/** `90m`, `12h`, `30d`, `45s` as seconds; undefined if it is none of these. */
export function parseDurationSeconds(text: string): number | undefined {
  const match = /^(\d{1,9})([smhd])$/.exec(text);
  if (match === null) return undefined;
  const [, amount, unit] = match;
  const seconds = Number(amount) * unitSeconds[unit as keyof typeof unitSeconds];
  return seconds > 0 ? seconds : undefined;
}
