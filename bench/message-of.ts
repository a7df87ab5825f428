/** Formats an error for a terminal, including every cause. */
export function messageOf(error: unknown): string {
  const causes =
    error instanceof AggregateError ? error.errors.map((cause) => `\n  ${messageOf(cause)}`) : [];
  return `${error instanceof Error ? error.message : String(error)}${causes.join('')}`;
}
